/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slot table. Counts are never stored: they are read off the rows, so a
 * crash cannot make them wrong. Under the mutex there are only loads and
 * stores; workers, the keeper and the parent may call everything here.
 */
#include "table.h"

#include <apr_strings.h>
#include <string.h>

static void lock(clb_table_t *table)
{
    if (table->mutex != NULL) {
        apr_global_mutex_lock(table->mutex);
    }
}

static void unlock(clb_table_t *table)
{
    if (table->mutex != NULL) {
        apr_global_mutex_unlock(table->mutex);
    }
}

static clb_row_e state_of(const clb_row_t *row)
{
    return __atomic_load_n(&row->state, __ATOMIC_ACQUIRE);
}

static void set_state(clb_row_t *row, clb_row_e state)
{
    __atomic_store_n(&row->state, (apr_uint32_t)state, __ATOMIC_RELEASE);
}

/* Rows to look at. Shared memory is checked like any other input. */
static int used(const clb_shared_t *shared)
{
    return shared->used < 0 || shared->used > CLB_TABLE_ROWS
         ? CLB_TABLE_ROWS : shared->used;
}

void clb_table_format(clb_shared_t *shared)
{
    shared->version = CLB_TABLE_VERSION;
    shared->size = sizeof(*shared);
    shared->next_nonce = 1;
    shared->started = apr_time_now();
    shared->magic = CLB_TABLE_MAGIC;
}

int clb_table_fits(const clb_shared_t *shared)
{
    return shared->magic == CLB_TABLE_MAGIC
        && shared->version == CLB_TABLE_VERSION
        && shared->size == sizeof(*shared);
}

apr_status_t clb_table_configure(clb_table_t *table, int slots, int queue,
                                 apr_uint32_t generation)
{
    clb_shared_t *shared = table->shared;

    if (slots < 0 || queue < 0 || slots + queue > CLB_TURNS_MAX) {
        return APR_EINVAL;
    }
    lock(table);
    shared->slots = slots;
    shared->queue = queue;
    shared->generation = generation;
    unlock(table);
    return APR_SUCCESS;
}

/* The place of @a name; a free one, or one no generation uses, if it has
 * none. -1 if there is no room. */
static int place(const clb_shared_t *shared, const char *name,
                 apr_uint32_t generation)
{
    int i, free = -1;

    for (i = 0; i < CLB_TABLE_BACKENDS; i++) {
        const clb_table_backend_t *backend = &shared->backends[i];
        clb_load_t load;

        if (strcmp(backend->name, name) == 0) {
            return i;
        }
        load = clb_table_load(shared, i);
        if (free < 0 && load.running + load.waiting == 0
            && (backend->name[0] == '\0'
                || (apr_uint32_t)backend->generation + 1 < generation)) {
            free = i;
        }
    }
    return free;
}

apr_status_t clb_table_backend(clb_table_t *table, const char *name,
                               const char *driver, int limit,
                               apr_uint32_t generation, int *id)
{
    clb_table_backend_t *backend;

    lock(table);
    *id = place(table->shared, name, generation);
    if (*id >= 0) {
        backend = &table->shared->backends[*id];
        if (strcmp(backend->name, name) != 0) {
            memset(backend, 0, sizeof(*backend));
        }
        if (strncmp(backend->driver, driver, sizeof(backend->driver) - 1)
            != 0) {
            memset(backend->models, 0, sizeof(backend->models));
        }
        backend->limit = limit;
        backend->generation = (apr_int32_t)generation;
        apr_cpystrn(backend->driver, driver, sizeof(backend->driver));
        apr_cpystrn(backend->name, name, sizeof(backend->name));
    }
    unlock(table);
    return *id >= 0 ? APR_SUCCESS : APR_ENOSPC;
}

void clb_table_report(clb_table_t *table, int backend,
                      const apr_array_header_t *names)
{
    clb_table_backend_t *b = &table->shared->backends[backend];
    int i;

    lock(table);
    memset(b->models, 0, sizeof(b->models));
    for (i = 0; i < names->nelts && i < CLB_REPORTED_MAX; i++) {
        apr_cpystrn(b->models[i], APR_ARRAY_IDX(names, i, const char *),
                    CLB_NAME_MAX);
    }
    unlock(table);
}

apr_array_header_t *clb_table_reported(clb_table_t *table, int backend,
                                       apr_pool_t *pool)
{
    const clb_table_backend_t *b = &table->shared->backends[backend];
    apr_array_header_t *names = apr_array_make(pool, CLB_REPORTED_MAX,
                                               sizeof(const char *));
    int i;

    lock(table);
    for (i = 0; i < CLB_REPORTED_MAX && b->models[i][0] != '\0'; i++) {
        APR_ARRAY_PUSH(names, const char *) = apr_pstrndup(pool,
            b->models[i], CLB_NAME_MAX - 1);
    }
    unlock(table);
    return names;
}

void clb_table_stand(clb_table_t *table, int backend, int account,
                     const clb_standing_t *standing)
{
    lock(table);
    table->shared->backends[backend].accounts[account] = *standing;
    unlock(table);
}

clb_standing_t clb_table_standing(clb_table_t *table, int backend,
                                  int account)
{
    clb_standing_t standing;

    lock(table);
    standing = table->shared->backends[backend].accounts[account];
    unlock(table);
    standing.why[sizeof(standing.why) - 1] = '\0';
    return standing;
}

const char *clb_standing_name(apr_uint32_t state)
{
    static const char *const names[] = {
        "testing", "ok", "login", "failing", "untrusted", "missing", "off"
    };

    return state < sizeof(names) / sizeof(*names) ? names[state] : names[0];
}

static clb_row_t *free_row(clb_shared_t *shared)
{
    int i;

    for (i = 0; i < CLB_TABLE_ROWS; i++) {
        if (state_of(&shared->rows[i]) == CLB_ROW_FREE) {
            shared->used = i < used(shared) ? used(shared) : i + 1;
            return &shared->rows[i];
        }
    }
    return NULL;
}

/* Turns of all backends and of each. */
typedef struct tally_t {
    clb_load_t all;
    clb_load_t own[CLB_TABLE_BACKENDS];
} tally_t;

static void take_tally(const clb_shared_t *shared, tally_t *tally)
{
    int i;

    memset(tally, 0, sizeof(*tally));
    for (i = 0; i < used(shared); i++) {
        const clb_row_t *row = &shared->rows[i];
        clb_row_e state = state_of(row);
        clb_load_t *own = &tally->own[row->backend % CLB_TABLE_BACKENDS];

        tally->all.running += state == CLB_ROW_ACTIVE;
        tally->all.waiting += state == CLB_ROW_WAITING;
        own->running += state == CLB_ROW_ACTIVE;
        own->waiting += state == CLB_ROW_WAITING;
    }
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* A turn may join if it could run, or if the queue has a place when all run
 * that can: the keeper may not have come round to admit them. */
static int has_room(const clb_shared_t *shared, int backend)
{
    int i, able = 0, idle;
    const clb_load_t *own;
    tally_t tally;

    take_tally(shared, &tally);
    for (i = 0; i < CLB_TABLE_BACKENDS; i++) {
        own = &tally.own[i];
        idle = shared->backends[i].limit - own->running;
        able += idle > 0 ? least(own->waiting, idle) : 0;
    }
    own = &tally.own[backend];
    idle = shared->slots - tally.all.running;
    if (able < idle
        && own->running + own->waiting < shared->backends[backend].limit) {
        return 1;
    }
    able = idle > 0 ? least(able, idle) : 0;
    return tally.all.waiting - able < shared->queue;
}

/* A turn belongs to the round after that of its key's last one, but not to one
 * that is over: who asked for much waits for who asks for little. */
static apr_uint64_t round_for(const clb_shared_t *shared, apr_uint64_t key)
{
    apr_uint64_t round = shared->round + (key == shared->last_key);
    int i;

    for (i = 0; i < used(shared); i++) {
        const clb_row_t *row = &shared->rows[i];

        if (state_of(row) != CLB_ROW_FREE && row->key == key
            && row->round >= round) {
            round = row->round + 1;
        }
    }
    return round;
}

/* A free row, which is the caller's; its state is not set yet. */
static clb_row_t *claim_row(clb_table_t *table, clb_claim_t *claim)
{
    clb_shared_t *shared = table->shared;
    clb_row_t *row = free_row(shared);

    if (row != NULL) {
        claim->row = (apr_uint32_t)(row - shared->rows);
        claim->nonce = row->nonce = shared->next_nonce++;
        row->pid = table->pid;
        row->born = table->born;
    }
    return row;
}

apr_status_t clb_slot_enter(clb_table_t *table, int backend, apr_uint64_t key,
                            apr_uint32_t generation,
                            apr_interval_time_t wait, clb_claim_t *claim)
{
    clb_shared_t *shared = table->shared;
    clb_row_t *row = NULL;

    lock(table);
    if (has_room(shared, backend)) {
        row = claim_row(table, claim);
    }
    if (row != NULL) {
        row->backend = (apr_uint32_t)backend;
        row->generation = generation;
        row->round = round_for(shared, key);
        row->key = key;
        row->until = apr_time_now() + wait;
        set_state(row, CLB_ROW_WAITING);
    }
    unlock(table);
    return row != NULL ? APR_SUCCESS : APR_EAGAIN;
}

static int sockets(const clb_shared_t *shared)
{
    int i, n = 0;

    for (i = 0; i < used(shared); i++) {
        n += state_of(&shared->rows[i]) == CLB_ROW_SOCKET;
    }
    return n;
}

apr_status_t clb_socket_enter(clb_table_t *table, int most,
                              clb_claim_t *claim)
{
    clb_row_t *row = NULL;

    lock(table);
    if (sockets(table->shared) < most) {
        row = claim_row(table, claim);
    }
    if (row != NULL) {
        row->backend = CLB_TABLE_BACKENDS;
        row->key = row->round = 0;
        set_state(row, CLB_ROW_SOCKET);
    }
    unlock(table);
    return row != NULL ? APR_SUCCESS : APR_EAGAIN;
}

static int running_of_key(const clb_shared_t *shared, apr_uint64_t key)
{
    int i, n = 0;

    for (i = 0; i < used(shared); i++) {
        n += state_of(&shared->rows[i]) == CLB_ROW_ACTIVE
             && shared->rows[i].key == key;
    }
    return n;
}

/* Of two turns whose keys have as many running turns. */
static int before(const clb_row_t *a, const clb_row_t *b)
{
    return a->round != b->round ? a->round < b->round : a->nonce < b->nonce;
}

/* The waiting row that is next, or NULL. */
static clb_row_t *next_row(clb_shared_t *shared)
{
    int i, fewest = 0, own;
    clb_row_t *best = NULL;
    apr_time_t now = apr_time_now();
    tally_t tally;

    take_tally(shared, &tally);
    for (i = 0; i < used(shared) && tally.all.running < shared->slots; i++) {
        clb_row_t *row = &shared->rows[i];
        apr_uint32_t b = row->backend % CLB_TABLE_BACKENDS;

        if (state_of(row) != CLB_ROW_WAITING || row->until < now
            || tally.own[b].running >= shared->backends[b].limit) {
            continue;
        }
        own = running_of_key(shared, row->key);
        if (best == NULL || own < fewest
            || (own == fewest && before(row, best))) {
            best = row;
            fewest = own;
        }
    }
    return best;
}

apr_status_t clb_slot_admit(clb_table_t *table, apr_uint32_t generation,
                            clb_claim_t *claim)
{
    clb_shared_t *shared = table->shared;
    apr_status_t rv = APR_EAGAIN;
    clb_row_t *row;

    lock(table);
    row = next_row(shared);
    if (row != NULL && row->generation == generation) {
        claim->row = (apr_uint32_t)(row - shared->rows);
        claim->nonce = row->nonce;
        if (row->round > shared->round) {
            shared->round = row->round;
        }
        shared->last_key = row->key;
        set_state(row, CLB_ROW_ACTIVE);
        rv = APR_SUCCESS;
    }
    unlock(table);
    return rv;
}

/* The row of a valid claim, or NULL. The mutex is held. */
static clb_row_t *claimed(clb_table_t *table, const clb_claim_t *claim)
{
    clb_row_t *row;

    if (claim->row >= CLB_TABLE_ROWS) {
        return NULL;
    }
    row = &table->shared->rows[claim->row];
    return row->nonce == claim->nonce && state_of(row) != CLB_ROW_FREE
         ? row : NULL;
}

clb_row_e clb_slot_state(clb_table_t *table, const clb_claim_t *claim)
{
    clb_row_e state = CLB_ROW_FREE;
    clb_row_t *row;

    lock(table);
    row = claimed(table, claim);
    if (row != NULL) {
        state = state_of(row);
    }
    unlock(table);
    return state;
}

void clb_slot_leave(clb_table_t *table, const clb_claim_t *claim)
{
    clb_row_t *row;

    lock(table);
    row = claimed(table, claim);
    if (row != NULL) {
        set_state(row, CLB_ROW_FREE);
    }
    unlock(table);
}

int clb_slot_sweep(clb_table_t *table,
                   int (*alive)(apr_int32_t pid, apr_uint64_t born))
{
    int i, freed = 0;

    for (i = 0; i < used(table->shared); i++) {
        clb_row_t row = table->shared->rows[i];
        clb_claim_t claim = { (apr_uint32_t)i, row.nonce };

        if (row.state != CLB_ROW_FREE && !alive(row.pid, row.born)) {
            clb_slot_leave(table, &claim);
            freed++;
        }
    }
    return freed;
}

clb_load_t clb_table_load(const clb_shared_t *shared, int backend)
{
    clb_load_t load = { 0, 0 };
    int i;

    for (i = 0; i < used(shared); i++) {
        const clb_row_t *row = &shared->rows[i];
        clb_row_e state = state_of(row);

        if (state == CLB_ROW_FREE
            || (backend >= 0 && row->backend != (apr_uint32_t)backend)) {
            continue;
        }
        load.running += state == CLB_ROW_ACTIVE;
        load.waiting += state == CLB_ROW_WAITING;
    }
    return load;
}
