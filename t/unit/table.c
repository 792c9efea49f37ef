/* SPDX-License-Identifier: Apache-2.0 */
/* The slot table, as one process sees it. */
#include "tap.h"

#include "../../src/shm/table.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

#define MINUTE apr_time_from_sec(60)
#define GEN 7

static clb_table_t table;

/* A table with so many slots, and backends 0, 1, 2 with these limits. */
static void make(int slots, int queue, int limit0, int limit1, int limit2)
{
    int id;

    free(table.shared);
    table.shared = calloc(1, sizeof(clb_shared_t));
    table.pid = 100;
    table.born = 1;
    clb_table_format(table.shared);
    clb_table_configure(&table, slots, queue, GEN);
    clb_table_backend(&table, "zero", "command", limit0, GEN, &id);
    clb_table_backend(&table, "one", "command", limit1, GEN, &id);
    clb_table_backend(&table, "two", "command", limit2, GEN, &id);
}

static apr_status_t enter(int backend, apr_uint64_t key, clb_claim_t *claim)
{
    return clb_slot_enter(&table, backend, key, GEN, MINUTE, claim);
}

/* Whether the next turn to be admitted is that of @a claim. */
static int admits(const clb_claim_t *claim)
{
    clb_claim_t got = { 0 };

    return clb_slot_admit(&table, GEN, &got) == APR_SUCCESS
        && got.row == claim->row && got.nonce == claim->nonce;
}

static int admits_none(void)
{
    clb_claim_t got;

    return APR_STATUS_IS_EAGAIN(clb_slot_admit(&table, GEN, &got));
}

static clb_row_e state(const clb_claim_t *claim)
{
    return clb_slot_state(&table, claim);
}

static void is_load(int backend, int running, int waiting, const char *name)
{
    clb_load_t load = clb_table_load(table.shared, backend);

    ok(load.running == running && load.waiting == waiting,
       "%s: %d run, %d wait", name, load.running, load.waiting);
}

static void layout(void)
{
    clb_shared_t *shared = calloc(1, sizeof(*shared));

    ok(!clb_table_fits(shared), "zeroes are no table");
    clb_table_format(shared);
    ok(clb_table_fits(shared), "a formatted one is");
    shared->version++;
    ok(!clb_table_fits(shared), "another version is not");
    shared->version--;
    shared->size--;
    ok(!clb_table_fits(shared), "another size is not");
    free(shared);
}

static void one_turn(void)
{
    clb_claim_t claim;

    make(1, 1, 1, 1, 1);
    ok(admits_none(), "nobody waits in a new table");
    is_int(enter(0, 1, &claim), APR_SUCCESS, "a turn enters");
    is_int(state(&claim), CLB_ROW_WAITING, "it waits");
    is_int(table.shared->rows[claim.row].pid, 100, "for its worker");
    is_load(-1, 0, 1, "in all");
    ok(admits(&claim), "it is admitted");
    is_int(state(&claim), CLB_ROW_ACTIVE, "it runs");
    is_load(0, 1, 0, "its backend");
    is_load(1, 0, 0, "another backend");
    ok(admits_none(), "once");
    clb_slot_leave(&table, &claim);
    is_int(state(&claim), CLB_ROW_FREE, "it leaves");
    is_load(-1, 0, 0, "in all");
}

static void full(void)
{
    clb_claim_t claim[6], one;
    int i;

    make(2, 3, 2, 2, 2);
    for (i = 0; i < 5; i++) {
        is_int(enter(0, 1, &claim[i]), APR_SUCCESS, "turn %d of 2 slots and "
               "3 places, none admitted yet", i);
    }
    is_int(enter(0, 1, &one), APR_EAGAIN, "no more");
    ok(admits(&claim[0]) && admits(&claim[1]) && admits_none(),
       "both slots are given");
    is_int(enter(0, 1, &one), APR_EAGAIN, "and still no more");
    clb_slot_leave(&table, &claim[4]);
    is_int(enter(0, 1, &claim[4]), APR_SUCCESS, "one that gave up makes room");
    clb_slot_leave(&table, &claim[0]);
    is_int(enter(0, 1, &claim[5]), APR_SUCCESS, "so does one that ended");
    ok(admits(&claim[2]), "the first in the queue is next");

    make(2, 0, 2, 2, 2);
    ok(enter(0, 1, &one) == APR_SUCCESS && enter(0, 1, &one) == APR_SUCCESS,
       "without a queue there are the slots");
    is_int(enter(0, 1, &one), APR_EAGAIN, "and no more");
}

static void limits(void)
{
    clb_claim_t a[3], b;

    make(3, 2, 1, 3, 0);
    ok(enter(0, 1, &a[0]) == APR_SUCCESS && enter(0, 1, &a[1]) == APR_SUCCESS
       && enter(0, 1, &a[2]) == APR_SUCCESS, "one slot and the whole queue");
    is_int(enter(0, 1, &b), APR_EAGAIN, "more cannot wait for that backend");
    is_int(enter(1, 1, &b), APR_SUCCESS, "another has free slots");
    ok(admits(&a[0]), "the first is admitted");
    ok(admits(&b), "then that of the other backend: the limit is reached");
    ok(admits_none(), "others of it wait");
    clb_slot_leave(&table, &a[0]);
    ok(admits(&a[1]), "until it has a slot again");

    make(2, 2, 2, 2, 0);
    is_int(enter(2, 1, &b), APR_SUCCESS, "for a backend without slots");
    ok(admits_none(), "one waits in vain");
}

static void fairness(void)
{
    clb_claim_t a[5], b;
    int i;

    make(3, 10, 3, 3, 3);
    for (i = 0; i < 5; i++) {
        enter(0, 1, &a[i]);
    }
    enter(0, 2, &b);
    ok(admits(&a[0]), "the first of one key");
    ok(admits(&b), "then the other key's, which came last");
    ok(admits(&a[1]), "then the first key's again");
    ok(admits_none(), "that is all");
    clb_slot_leave(&table, &b);
    enter(0, 2, &b);
    ok(admits(&b), "a key without running turns is next");
    clb_slot_leave(&table, &a[0]);
    ok(admits(&a[2]), "in order of arrival within a key");

    make(1, 10, 1, 1, 1);
    for (i = 0; i < 4; i++) {
        enter(0, 1, &a[i]);
    }
    ok(admits(&a[0]), "one slot");
    enter(0, 2, &b);
    clb_slot_leave(&table, &a[0]);
    ok(admits(&b), "is another key's next, whoever asked for more before");
    clb_slot_leave(&table, &b);
    enter(0, 2, &b);
    ok(admits(&a[1]), "then the first key's");
    clb_slot_leave(&table, &a[1]);
    ok(admits(&b), "and so on");
    clb_slot_leave(&table, &b);
    enter(0, 2, &b);
    clb_slot_leave(&table, &b);
    ok(admits(&a[2]), "who leaves is passed over");
}

static void patience(void)
{
    clb_claim_t late, next;

    make(1, 2, 1, 1, 1);
    clb_slot_enter(&table, 0, 1, GEN, -1, &late);
    enter(0, 1, &next);
    ok(admits(&next), "a turn that waited too long is passed over");
    is_int(state(&late), CLB_ROW_WAITING, "its worker takes it away");
}

static void generations(void)
{
    clb_claim_t old, claim, got;
    int id;

    make(2, 2, 2, 2, 2);
    enter(0, 1, &old);
    ok(admits(&old), "a turn runs");
    is_int(clb_table_configure(&table, 1, 2, GEN + 1), APR_SUCCESS,
           "a new generation has one slot");
    clb_slot_enter(&table, 0, 1, GEN + 1, MINUTE, &claim);
    is_int(clb_slot_admit(&table, GEN + 1, &got), APR_EAGAIN,
           "which the old turn takes");
    clb_slot_leave(&table, &old);
    is_int(clb_slot_admit(&table, GEN, &got), APR_EAGAIN,
           "the old keeper does not admit the new generation's");
    is_int(clb_slot_admit(&table, GEN + 1, &got), APR_SUCCESS,
           "the new one does");
    is_int((long long)got.nonce, (long long)claim.nonce, "that turn");

    is_int(clb_table_configure(&table, CLB_TURNS_MAX, 1, GEN), APR_EINVAL,
           "more than the table holds");
    is_int(clb_table_configure(&table, -1, 1, GEN), APR_EINVAL, "less");
    is_int(clb_table_backend(&table, "one", "claude", 9, GEN + 1, &id),
           APR_SUCCESS, "a backend comes again");
    is_int(id, 1, "in its place");
    is_int(table.shared->backends[1].limit, 9, "with its new limit");
    is_str(table.shared->backends[1].driver, "claude", "and driver");
}

static void places(void)
{
    char name[CLB_NAME_MAX + 8] = "b00";
    int i, id, wrong = 0;
    clb_claim_t claim;

    make(4, 4, 4, 4, 4);
    for (i = 3; i < CLB_TABLE_BACKENDS; i++) {
        sprintf(name, "b%d", i);
        wrong += clb_table_backend(&table, name, "command", 4, GEN, &id)
                 != APR_SUCCESS || id != i;
    }
    is_int(wrong, 0, "every place can be taken");
    is_int(clb_table_backend(&table, "more", "command", 4, GEN, &id),
           APR_ENOSPC, "no more");
    is_int(clb_table_backend(&table, "more", "command", 4, GEN + 1, &id),
           APR_ENOSPC, "nor for the next generation, the last may still run");
    enter(0, 1, &claim);
    is_int(clb_table_backend(&table, "more", "command", 4, GEN + 2, &id),
           APR_SUCCESS, "then a place is given again");
    is_int(id, 1, "but not one on which a turn is");
    is_str(table.shared->backends[1].name, "more", "under the new name");
    is_int(table.shared->backends[1].starts, 0, "with no history");
    memset(name, 'x', sizeof(name) - 1);
    is_int(clb_table_backend(&table, name, "a driver of a long name", 1,
                             GEN + 2, &id), APR_SUCCESS, "a long name");
    is_int((long long)strlen(table.shared->backends[id].name),
           CLB_NAME_MAX - 1, "is cut");
}

static apr_pool_t *pool;

/* The models of backend 1, separated by blanks. */
static const char *reported(void)
{
    return apr_array_pstrcat(pool, clb_table_reported(&table, 1, pool), ' ');
}

static void report(int n, const char *name)
{
    apr_array_header_t *names = apr_array_make(pool, n + 1, sizeof(char *));
    int i;

    for (i = 0; i < n; i++) {
        APR_ARRAY_PUSH(names, const char *) = name;
    }
    clb_table_report(&table, 1, names);
}

static void reports(void)
{
    char name[CLB_NAME_MAX + 8];
    int id;

    apr_pool_create(&pool, NULL);
    make(1, 1, 1, 1, 1);
    is_str(reported(), "", "nothing is said");
    report(3, "model");
    is_str(reported(), "model model model", "three models");
    is_int(clb_table_reported(&table, 0, pool)->nelts, 0, "of one backend");
    clb_table_backend(&table, "one", "command", 9, GEN + 1, &id);
    is_str(reported(), "model model model", "a reload forgets nothing");
    report(1, "other");
    is_str(reported(), "other", "what is said anew is all there is");
    clb_table_backend(&table, "one", "claude", 9, GEN + 1, &id);
    is_str(reported(), "", "another driver has other models");
    report(CLB_REPORTED_MAX + 9, "m");
    is_int(clb_table_reported(&table, 1, pool)->nelts, CLB_REPORTED_MAX,
           "as many as there is room for");
    report(0, NULL);
    is_str(reported(), "", "nothing any more");
    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    report(2, name);
    is_int((long long)strlen(reported()), 2 * CLB_NAME_MAX - 1,
           "a long name is cut");
    memset(table.shared->backends[1].models, 'x',
           sizeof(table.shared->backends[1].models));
    is_int((long long)strlen(reported()), CLB_REPORTED_MAX * CLB_NAME_MAX - 1,
           "no end is taken for granted");
    apr_pool_destroy(pool);
}

static void standings(void)
{
    clb_standing_t said = { CLB_STANDING_LOGIN, CLB_MEND_LOGIN, "why" }, got;

    make(1, 1, 1, 1, 1);
    got = clb_table_standing(&table, 1, 0);
    is_str(clb_standing_name(got.state), "testing", "nothing is known yet");
    clb_table_stand(&table, 1, CLB_ACCOUNTS_MAX - 1, &said);
    got = clb_table_standing(&table, 1, CLB_ACCOUNTS_MAX - 1);
    is_str(clb_standing_name(got.state), "login", "what is said is known");
    is_int(got.mend, CLB_MEND_LOGIN, "with what mends it");
    is_str(got.why, "why", "and why");
    got = clb_table_standing(&table, 2, 0);
    is_int(got.state, CLB_STANDING_TESTING, "of that one alone");
    memset(&said, 'x', sizeof(said));
    clb_table_stand(&table, 1, 0, &said);
    got = clb_table_standing(&table, 1, 0);
    is_int((long long)strlen(got.why), sizeof(got.why) - 1, "a text ends");
    is_str(clb_standing_name(got.state), "testing", "no state is known so");
    is_str(clb_standing_name(CLB_STANDING_OFF), "off", "the last one is");
}

static void stale_claims(void)
{
    clb_claim_t old, claim, wild = { CLB_TABLE_ROWS, 1 };

    make(1, 1, 1, 1, 1);
    enter(0, 1, &old);
    clb_slot_leave(&table, &old);
    enter(0, 2, &claim);
    is_int(claim.row, old.row, "the row is used again");
    is_int(state(&old), CLB_ROW_FREE, "the old claim sees nothing of it");
    clb_slot_leave(&table, &old);
    is_int(state(&claim), CLB_ROW_WAITING, "and cannot free it");
    ok(admits(&claim), "it is admitted as ever");
    clb_slot_leave(&table, &old);
    is_int(state(&claim), CLB_ROW_ACTIVE, "even then");
    is_int(state(&wild), CLB_ROW_FREE, "a row beyond the table is no row");
    clb_slot_leave(&table, &wild);
    is_load(-1, 1, 0, "and harms none");
}

static int is_alive(apr_int32_t pid, apr_uint64_t born)
{
    return pid != 200 && born != 2;
}

static void sweep(void)
{
    clb_claim_t here, gone[3];

    make(2, 3, 2, 2, 2);
    enter(0, 1, &here);
    table.pid = 200;
    enter(0, 1, &gone[0]);
    enter(0, 1, &gone[1]);
    table.pid = 100;
    table.born = 2;
    enter(0, 1, &gone[2]);
    ok(admits(&here) && admits(&gone[0]), "two run");
    is_int(clb_slot_sweep(&table, is_alive), 3,
           "rows of the dead are freed, also if the pid lives again");
    is_int(state(&here), CLB_ROW_ACTIVE, "that of the living is not");
    is_int(state(&gone[0]), CLB_ROW_FREE, "a dead one ran");
    is_int(clb_slot_sweep(&table, is_alive), 0, "once");
    is_load(-1, 1, 0, "in all");
}

/* Whoever writes to shared memory can write nonsense. */
static void nonsense(void)
{
    clb_claim_t claim;

    make(2, 2, 2, 2, 2);
    enter(0, 1, &claim);
    table.shared->used = -5;
    is_load(-1, 0, 1, "a negative number of rows");
    table.shared->used = 1 << 30;
    is_load(-1, 0, 1, "too large a one");
    table.shared->rows[claim.row].backend = 0xffffffff;
    is_load(-1, 0, 1, "a backend that is none");
    admits_none();
    enter(0, 1, &claim);
    table.shared->rows[claim.row].state = 99;
    is_int(clb_slot_sweep(&table, is_alive), 0, "a state that is none");
    clb_slot_leave(&table, &claim);
    is_int(state(&claim), CLB_ROW_FREE, "ends with its claim");
}

/* --- any order of calls, against a model that only counts --- */

#define TURNS 64
#define BACKENDS 3
#define KEYS 4

typedef struct turn_t {
    clb_row_e state;
    int backend;
    int key;
    int round;               /* one more than the key's last one */
    int dead;                /* its worker */
    clb_claim_t claim;
} turn_t;

/* In order of arrival. */
static turn_t turns[TURNS];
static clb_claim_t gone;     /* the last that left */
static int nturns, slots, places_left, limit[BACKENDS];
static int latest, last_key; /* round and key that were admitted */
static unsigned seed = 1;

static int choose(int below)
{
    seed = seed * 1664525u + 1013904223u;
    return (int)((seed >> 16) % (unsigned)below);
}

static int count(clb_row_e in_state, int backend, int key)
{
    int i, n = 0;

    for (i = 0; i < nturns; i++) {
        n += turns[i].state == in_state
             && (backend < 0 || turns[i].backend == backend)
             && (key < 0 || turns[i].key == key);
    }
    return n;
}

static int round_of(int key)
{
    int i, round = latest + (key == last_key);

    for (i = 0; i < nturns; i++) {
        if (turns[i].state != CLB_ROW_FREE && turns[i].key == key
            && turns[i].round >= round) {
            round = turns[i].round + 1;
        }
    }
    return round;
}

static int goes_before(const turn_t *a, const turn_t *b)
{
    int of_a = count(CLB_ROW_ACTIVE, -1, a->key);
    int of_b = count(CLB_ROW_ACTIVE, -1, b->key);

    return of_a != of_b ? of_a < of_b : a->round < b->round;
}

static turn_t *next_turn(void)
{
    turn_t *best = NULL;
    int i;

    for (i = 0; i < nturns && count(CLB_ROW_ACTIVE, -1, -1) < slots; i++) {
        turn_t *turn = &turns[i];

        if (turn->state == CLB_ROW_WAITING
            && count(CLB_ROW_ACTIVE, turn->backend, -1) < limit[turn->backend]
            && (best == NULL || goes_before(turn, best))) {
            best = turn;
        }
    }
    return best;
}

/* A turn may enter if it could run at once or a place in the queue is left,
 * after all who can have been admitted. */
static int may_enter(int backend)
{
    clb_row_e before[TURNS];
    turn_t *turn;
    int i, room;

    for (i = 0; i < nturns; i++) {
        before[i] = turns[i].state;
    }
    while ((turn = next_turn()) != NULL) {
        turn->state = CLB_ROW_ACTIVE;
    }
    room = count(CLB_ROW_WAITING, -1, -1) < places_left
        || (count(CLB_ROW_ACTIVE, -1, -1) < slots
            && count(CLB_ROW_ACTIVE, backend, -1) < limit[backend]);
    for (i = 0; i < nturns; i++) {
        turns[i].state = before[i];
    }
    return room;
}

static void forget_free(void)
{
    int i, kept = 0;

    for (i = 0; i < nturns; i++) {
        if (turns[i].state != CLB_ROW_FREE) {
            turns[kept++] = turns[i];
        }
    }
    nturns = kept;
}

static int do_enter(void)
{
    turn_t *turn = &turns[nturns];
    int may;

    turn->state = CLB_ROW_FREE;
    turn->backend = choose(BACKENDS);
    turn->key = choose(KEYS);
    turn->round = round_of(turn->key);
    turn->dead = choose(8) == 0;
    may = may_enter(turn->backend);
    table.pid = turn->dead ? 200 : 100;
    if ((enter(turn->backend, (apr_uint64_t)turn->key, &turn->claim)
         == APR_SUCCESS) != may) {
        return 0;
    }
    turn->state = may ? CLB_ROW_WAITING : CLB_ROW_FREE;
    nturns += may;
    return 1;
}

static int do_admit(void)
{
    turn_t *turn = next_turn();

    if (turn == NULL) {
        return admits_none();
    }
    turn->state = CLB_ROW_ACTIVE;
    latest = turn->round > latest ? turn->round : latest;
    last_key = turn->key;
    return admits(&turn->claim);
}

/* Some turn leaves, or one that left before does again. */
static int do_leave(void)
{
    int i = choose(nturns + 1);

    if (i < nturns) {
        turns[i].state = CLB_ROW_FREE;
        gone = turns[i].claim;
    }
    clb_slot_leave(&table, &gone);
    return 1;
}

static int do_sweep(void)
{
    int i, dead = 0;

    for (i = 0; i < nturns; i++) {
        if (turns[i].dead) {
            turns[i].state = CLB_ROW_FREE;
            dead++;
        }
    }
    return clb_slot_sweep(&table, is_alive) == dead;
}

static int agrees(void)
{
    int b, i;

    for (b = -1; b < BACKENDS; b++) {
        clb_load_t load = clb_table_load(table.shared, b);

        if (load.running != count(CLB_ROW_ACTIVE, b, -1)
            || load.waiting != count(CLB_ROW_WAITING, b, -1)) {
            return 0;
        }
    }
    for (i = 0; i < nturns; i++) {
        if (state(&turns[i].claim) != turns[i].state) {
            return 0;
        }
    }
    return 1;
}

static void any_order(void)
{
    int round, step, good = 1, admitted = 0, refused = 0;

    for (round = 0; round < 200 && good; round++) {
        latest = last_key = 0;
        slots = 1 + choose(6);
        places_left = choose(12);
        limit[0] = choose(4);
        limit[1] = 1 + choose(6);
        limit[2] = 6;
        make(slots, places_left, limit[0], limit[1], limit[2]);
        memset(&gone, 0, sizeof(gone));
        nturns = 0;
        for (step = 0; step < 300 && good; step++) {
            int before = nturns, what = choose(20);

            good = what < 9 ? do_enter() : what < 15 ? do_admit()
                 : what < 19 ? do_leave() : do_sweep();
            admitted += what >= 9 && what < 15;
            refused += what < 9 && nturns == before;
            forget_free();
            if (!(good = good && agrees())) {
                diag("round %d, step %d, operation %d", round, step, what);
            }
        }
    }
    ok(good, "any order of calls does what the model does");
    ok(admitted > 1000 && refused > 1000, "with %d calls to admit, %d turns "
       "refused", admitted, refused);
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    layout();
    one_turn();
    full();
    limits();
    fairness();
    patience();
    generations();
    places();
    reports();
    standings();
    stale_claims();
    sweep();
    nonsense();
    any_order();
    free(table.shared);
    return tap_done();
}
