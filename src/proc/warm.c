/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Warm pools: how many processes stand ready, when one is started, replaced or
 * retired, and how a CLI that does not start is left alone for a while. Keeper
 * only.
 */
#include "keeper.h"

#include "mend.h"
#include "spawn.h"

#include <apr_strings.h>
#include <errno.h>
#include <http_log.h>
#include <math.h>
#include <string.h>

APLOG_USE_MODULE(clibridge);

/* Ready within this, or it failed. First-party logins were seen to take more
 * than 10 s. */
#define START_LIMIT apr_time_from_sec(30)

/* The most one waits before a broken CLI is tried again. */
#define BACKOFF_MAX 60

/* Demand halves in this time. */
#define DEMAND_HALF 60.0

/* An idle process beyond the target is kept this long. */
#define SURPLUS_AGE apr_time_from_sec(60)

/* An idle process that stays this long works. */
#define PROBATION apr_time_from_sec(2)

/* So long nothing is started ahead when a conversation begins: its first word
 * would come later. Several that begin add up. */
#define CALM apr_time_from_msec(150)
#define CALM_MAX apr_time_from_msec(600)

/* Starts at once while no turn runs. */
#define STARTS_MAX 2

/* Those of @a pool that serve turns which ask for @a extra; or all. */
static int count(const clb_keeper_t *keeper, const clb_pool_t *pool,
                 const clb_extra_t *extra, clb_state_e from, clb_state_e to)
{
    const clb_process_t *p;
    int n = 0;

    APR_RING_FOREACH(p, &keeper->processes, clb_process_t, link) {
        n += (pool == NULL ? p->question == NULL
                           : p->home == pool && clb_process_serves(p, extra))
             && p->state >= from && p->state <= to;
    }
    return n;
}

static int can_serve_again(const clb_backend_t *backend)
{
    return (backend->driver->traits(backend) & CLB_REUSE) != 0;
}

int clb_warm_at_hand(const clb_keeper_t *keeper, const clb_pool_t *pool,
                     const clb_extra_t *extra)
{
    const clb_process_t *p;
    int n = count(keeper, pool, extra, CLB_STARTING, CLB_IDLE);

    APR_RING_FOREACH(p, &keeper->processes, clb_process_t, link) {
        n += p->home == pool && p->state == CLB_SETTLING && !p->talk.held
             && can_serve_again(pool->backend)
             && clb_process_serves(p, extra);
    }
    return n;
}

static const char *home_of(clb_keeper_t *keeper, const clb_backend_t *backend,
                           const clb_account_t *account)
{
    const char *home = clb_home(keeper->global, backend, account,
                                keeper->pool);

    if (account->home == NULL && backend->home == NULL) {
        apr_dir_make_recursive(home, APR_FPROT_UREAD | APR_FPROT_UWRITE
                               | APR_FPROT_UEXECUTE, keeper->pool);
    }
    return home;
}

/* A CLI without the key that was meant for it would use whatever other login
 * its home has. */
static int lacks_variable(const apr_array_header_t *vars)
{
    int i;

    for (i = 0; i < vars->nelts; i++) {
        if (APR_ARRAY_IDX(vars, i, clb_var_t).value == NULL) {
            return 1;
        }
    }
    return 0;
}

static void check_variables(clb_pool_t *pool)
{
    if (lacks_variable(pool->backend->env)
        || lacks_variable(pool->account->env)) {
        pool->blocked = 1;
        pool->why_kind = CLB_LOGIN_REQUIRED;
        apr_snprintf(pool->why, sizeof(pool->why), "%s lacks a variable of "
                     "its environment: its CLIBridgeEnvFile cannot be read",
                     pool->backend->name);
    }
}

void clb_warm_init(clb_keeper_t *keeper)
{
    const apr_array_header_t *backends = keeper->global->backends;
    int i, j;

    keeper->pools = apr_array_make(keeper->pool, backends->nelts,
                                   sizeof(clb_pool_t));
    for (i = 0; i < backends->nelts; i++) {
        const clb_backend_t *backend = APR_ARRAY_IDX(backends, i,
                                                     clb_backend_t *);

        for (j = 0; j < backend->accounts->nelts; j++) {
            clb_pool_t *pool = apr_array_push(keeper->pools);

            memset(pool, 0, sizeof(*pool));
            pool->backend = backend;
            pool->account = &APR_ARRAY_IDX(backend->accounts, j,
                                           clb_account_t);
            pool->index = i;
            pool->home = home_of(keeper, backend, pool->account);
            pool->program = backend->program;
            pool->demand_at = apr_time_now();
            pool->trust = backend->driver->trial == NULL
                       || backend->slots == 0 ? CLB_TRUST_NONE
                        : CLB_TRUST_TESTING;
            check_variables(pool);
        }
    }
    keeper->filling = 1;
}

/* Nothing of it is to be started. */
static int useless(const clb_pool_t *pool)
{
    return pool->blocked || (pool->trust == CLB_TRUST_FAILED
                             && !pool->backend->lenient);
}

int clb_warm_healthy(const clb_pool_t *pool)
{
    return !useless(pool) && pool->failures == 0;
}

clb_pool_t *clb_warm_choose(clb_keeper_t *keeper, int backend)
{
    clb_pool_t *best = NULL;
    int i, cost, least = 0;

    for (i = 0; i < keeper->pools->nelts; i++) {
        clb_pool_t *pool = &APR_ARRAY_IDX(keeper->pools, i, clb_pool_t);

        if (pool->index != backend) {
            continue;
        }
        cost = (clb_warm_idle(keeper, pool, &clb_no_extra) == NULL ? 1000 : 0)
             + (useless(pool) ? 1000000 : 0)
             + (pool->failures > 0 ? 100000 : 0)
             + (clb_canary_passed(pool) ? 0 : 10000)
             + count(keeper, pool, &clb_no_extra, CLB_LEASED, CLB_LEASED)
             + clb_hold_unserved(keeper, pool, NULL);
        if (best == NULL || cost < least) {
            best = pool;
            least = cost;
        }
    }
    return best;
}

static void decay(clb_pool_t *pool)
{
    apr_time_t now = apr_time_now();

    pool->demand *= exp2(-(double)(now - pool->demand_at)
                         / (DEMAND_HALF * APR_USEC_PER_SEC));
    pool->demand_at = now;
}

void clb_warm_demand(clb_keeper_t *keeper, clb_pool_t *pool)
{
    double at_once = count(keeper, pool, &clb_no_extra, CLB_LEASED, CLB_LEASED)
                   + clb_hold_unserved(keeper, pool, &clb_no_extra);

    decay(pool);
    pool->demand = fmax(pool->demand, at_once);
    if (pool->calm < pool->demand_at + CALM_MAX) {
        pool->calm = CALM + (pool->calm > pool->demand_at ? pool->calm
                                                          : pool->demand_at);
    }
}

clb_process_t *clb_warm_idle(clb_keeper_t *keeper, const clb_pool_t *pool,
                             const clb_extra_t *extra)
{
    clb_process_t *p, *best = NULL;

    APR_RING_FOREACH(p, &keeper->processes, clb_process_t, link) {
        if (p->home == pool && p->edition == pool->edition
            && p->state == CLB_IDLE && p->out >= 0
            && clb_process_serves(p, extra)
            && (best == NULL || p->since > best->since)) {
            best = p;
        }
    }
    return best;
}

/* How many idle processes the pool should have. */
static int target(clb_keeper_t *keeper, clb_pool_t *pool)
{
    const clb_warm_t *warm = &pool->backend->warm;

    if (keeper->draining || pool->blocked || !clb_canary_passed(pool)
        || pool->backend->slots == 0) {
        return 0;
    }
    switch (warm->mode) {
    case CLB_WARM_PERIODIC:
        return warm->min;
    case CLB_WARM_PERSISTENT:
        return warm->max;
    case CLB_WARM_ADAPTIVE:
        decay(pool);
        return (int)fmin(warm->max, fmax(warm->min, ceil(pool->demand - 0.5)));
    default:
        return 0;
    }
}

void clb_warm_fail(clb_keeper_t *keeper, clb_pool_t *pool, clb_error_e kind,
                   const char *why)
{
    /* asking again costs nothing when it is the machine that has no room */
    int starved = kind == CLB_OVERLOADED;
    int wait = starved ? 1
             : pool->failures < 6 ? 1 << pool->failures : BACKOFF_MAX;
    clb_table_backend_t *shared = &keeper->table->shared
                                   ->backends[pool->backend->id];

    pool->failures += !starved || pool->failures == 0;
    pool->next_start = apr_time_now() + apr_time_from_sec(wait);
    pool->why_kind = kind;
    apr_cpystrn(pool->why, why, sizeof(pool->why));
    shared->failures++;
    shared->failing = 1;
    ap_log_error(APLOG_MARK, starved && pool->starved ? APLOG_DEBUG
                 : APLOG_ERR, 0, keeper->server,
                 "backend %s (%s): %s; next try in %d s",
                 pool->backend->name, pool->account->name, why, wait);
    pool->starved = starved;
    if (count(keeper, pool, &clb_no_extra, CLB_STARTING, CLB_WARMING) == 0) {
        clb_hold_refuse(keeper, pool);
    }
}

/* Such a process ends for reasons of its own, not because none can work. */
static int proved(const clb_process_t *process)
{
    return process->state == CLB_IDLE
        && (process->turns > 0
            || apr_time_now() - process->since > PROBATION);
}

void clb_warm_failed(clb_keeper_t *keeper, clb_process_t *process,
                     const char *why)
{
    clb_pool_t *pool = process->home;
    int worked = proved(process);

    if (process->canary) {
        clb_canary_end(keeper, process, why);
        return;
    }
    if (process->question != NULL) {
        clb_ask_end(keeper, process, why);
        return;
    }
    process->failed = 1;
    clb_process_end(process, 0);
    if (process->extra.count > 0) {
        /* others are started without what may be the reason */
        clb_hold_fail(keeper, process, why);
    }
    else if (!worked) {
        clb_warm_fail(keeper, pool, CLB_CLI_FAILED, why);
        return;
    }
    keeper->table->shared->backends[pool->backend->id].failures++;
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, keeper->server,
                 "backend %s (%s): %s", pool->backend->name,
                 pool->account->name, why);
}

void clb_warm_worked(clb_keeper_t *keeper, clb_pool_t *pool)
{
    pool->failures = 0;
    keeper->table->shared->backends[pool->backend->id].failing = 0;
}

/* Programs that say nothing before their first turn may still die at once. */
static void recover(clb_keeper_t *keeper, clb_pool_t *pool)
{
    const clb_process_t *p;

    APR_RING_FOREACH(p, &keeper->processes, clb_process_t, link) {
        if (p->home == pool && proved(p)) {
            clb_warm_worked(keeper, pool);
            return;
        }
    }
}

void clb_warm_ready(clb_keeper_t *keeper, clb_process_t *process)
{
    clb_pool_t *pool = process->home;

    if (process->canary) {
        clb_canary_ask(keeper, process);
        return;
    }
    clb_canary_look(keeper, pool);
    if (process->edition != pool->edition) {
        return;     /* nobody knows which of the two programs it runs */
    }
    clb_process_enter(process, CLB_IDLE, 0);
    if (pool->backend->driver->traits(pool->backend) & CLB_PROBE) {
        clb_warm_worked(keeper, pool);
    }
    clb_foreground(process->pid);
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, keeper->server,
                 "process %u (%s): ready after %" APR_TIME_T_FMT " ms, pid %d",
                 process->id, pool->backend->name,
                 apr_time_as_msec(apr_time_now() - process->born),
                 (int)process->pid);
}

static clb_error_e kind_of(apr_status_t rv)
{
    if (APR_STATUS_IS_EMFILE(rv) || APR_STATUS_IS_ENFILE(rv)
        || APR_STATUS_IS_EAGAIN(rv) || APR_STATUS_IS_ENOMEM(rv)) {
        return CLB_OVERLOADED;
    }
    return APR_STATUS_IS_ENOENT(rv) || APR_STATUS_IS_EACCES(rv)
         ? CLB_CLI_MISSING : CLB_CLI_FAILED;
}

static void spawn_failed(clb_keeper_t *keeper, clb_pool_t *pool,
                         apr_status_t rv)
{
    char why[120];
    int scratch = rv >= CLB_SCRATCH;

    clb_warm_fail(keeper, pool, scratch ? CLB_OVERLOADED : kind_of(rv),
        apr_psprintf(keeper->tmp, "%s cannot be started%s: %s",
            pool->program, scratch ? ", no directory for it "
            "(CLIBridgeStateDir)" : "", apr_strerror(scratch
            ? rv - CLB_SCRATCH : rv, why, sizeof(why))));
}

apr_status_t clb_warm_launch(clb_keeper_t *keeper, clb_pool_t *pool,
                             int background, const clb_purpose_t *purpose,
                             clb_process_t **started)
{
    apr_uint32_t id = ++keeper->next_id;
    clb_process_t *process;
    apr_status_t rv;

    clb_keeper_run_dir(keeper);
    /* it is inherited: the child could write its own only as a process that
     * others may look into */
    clb_oom_set(keeper->oom, CLB_OOM_SCORE);
    rv = clb_process_start(&process, pool->backend, pool->program,
                           pool->account, pool->home, purpose,
                           apr_psprintf(keeper->tmp, "%s/%u",
                                        keeper->run_dir, id), id,
                           background, keeper->pool);
    clb_oom_set(keeper->oom, keeper->oom_score);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    process->home = pool;
    process->edition = pool->edition;
    APR_RING_INSERT_TAIL(&keeper->processes, process, clb_process_t, link);
    clb_process_enter(process, CLB_STARTING, START_LIMIT);
    *started = process;
    return APR_SUCCESS;
}

apr_status_t clb_warm_start(clb_keeper_t *keeper, clb_pool_t *pool,
                            int background, const clb_purpose_t *purpose,
                            clb_process_t **started)
{
    clb_input_t in = { .kind = CLB_IN_WARM, .backend = pool->backend };
    apr_status_t rv = clb_warm_launch(keeper, pool, background, purpose,
                                      started);

    if (rv != APR_SUCCESS) {
        spawn_failed(keeper, pool, rv);
        return rv;
    }
    pool->starved = 0;
    keeper->table->shared->backends[pool->backend->id].starts
        += !(*started)->canary;
    if (clb_process_step(*started, &in)->ready) {
        clb_warm_ready(keeper, *started);
    }
    return APR_SUCCESS;
}

/* The process that is in @a state for the longest time, not of the pool
 * @a needy; NULL if there is none. */
static clb_process_t *oldest(const clb_keeper_t *keeper, clb_state_e state,
                             const clb_backend_t *backend,
                             const clb_pool_t *needy)
{
    clb_process_t *p, *best = NULL;

    APR_RING_FOREACH(p, &keeper->processes, clb_process_t, link) {
        if (p->state == state && p->home != needy
            && (backend == NULL || p->backend == backend)
            && (best == NULL || p->since < best->since)) {
            best = p;
        }
    }
    return best;
}

clb_process_t *clb_warm_spared(clb_keeper_t *keeper, const clb_pool_t *pool,
                               const clb_extra_t *extra)
{
    clb_process_t *p, *best = NULL;

    if (!can_serve_again(pool->backend)) {
        return NULL;
    }
    APR_RING_FOREACH(p, &keeper->processes, clb_process_t, link) {
        if (p->home == pool && p->edition == pool->edition
            && p->state == CLB_PARKED && p->out >= 0
            && clb_process_serves(p, extra)
            && (best == NULL || p->since < best->since)) {
            best = p;
        }
    }
    return best;
}

/* End what can be spared most: first one that serves nobody, then the
 * conversation that is the least likely to go on, then a process of a pool
 * other than @a needy.
 * @return its memory, 0 if there is none */
static apr_off_t spare(clb_keeper_t *keeper, const clb_pool_t *needy)
{
    clb_process_t *p = clb_ask_running(keeper);
    apr_off_t size;

    if (p == NULL || p->state == CLB_DYING) {
        p = oldest(keeper, CLB_PARKED, NULL, NULL);
    }
    if (p == NULL && (p = oldest(keeper, CLB_IDLE, NULL, needy)) == NULL) {
        return 0;
    }
    size = clb_memory_of(p->pid);
    ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, keeper->server,
                 "process %u (%s): makes room", p->id, p->backend->name);
    clb_process_end(p, 0);
    return size > 0 ? size : 1;
}

/* Make room for a process that is needed now by ending one that is not. */
static void make_room(clb_keeper_t *keeper, const clb_pool_t *needy)
{
    const clb_process_t *asked = clb_ask_running(keeper);

    if (count(keeper, NULL, NULL, CLB_DYING, CLB_DYING) == 0
        && (asked == NULL || asked->state != CLB_DYING)) {
        spare(keeper, needy);
    }
}

/* End what memory has no room for, and conversations nobody can come back to.
 * What was ended is taken as gone until the next measurement. */
static void relieve(clb_keeper_t *keeper)
{
    clb_process_t *p;

    while (keeper->excess > 0) {
        apr_off_t size = spare(keeper, NULL);

        keeper->excess -= size > 0 ? size : keeper->excess;
    }
    while (keeper->draining
           && (p = oldest(keeper, CLB_PARKED, NULL, NULL)) != NULL) {
        clb_process_end(p, 0);
    }
}

void clb_warm_park(clb_keeper_t *keeper, clb_process_t *process)
{
    const clb_backend_t *backend = process->backend;
    clb_process_t *p = NULL;
    int n = 0;

    if (keeper->draining || process->edition != process->home->edition) {
        clb_process_end(process, 0);
        return;
    }
    APR_RING_FOREACH(p, &keeper->processes, clb_process_t, link) {
        n += p->backend == backend && p->state == CLB_PARKED;
    }
    if (n >= backend->park) {
        p = oldest(keeper, CLB_PARKED, backend, NULL);
        if (can_serve_again(backend)) {
            clb_hold_settle(p);
        }
        else {
            clb_process_end(p, 0);
        }
    }
    clb_process_enter(process, CLB_PARKED, backend->park_time);
}

int clb_warm_full(const clb_keeper_t *keeper)
{
    int all = count(keeper, NULL, NULL, CLB_STARTING, CLB_DYING)
            + (clb_ask_running(keeper) != NULL);

    return all >= keeper->global->processes || (keeper->tight && all > 0);
}

int clb_warm_room(clb_keeper_t *keeper, const clb_pool_t *needy)
{
    if (!clb_warm_full(keeper)) {
        return 1;
    }
    make_room(keeper, needy);
    return 0;
}

/* Start what leases wait for. */
static void start_needed(clb_keeper_t *keeper, clb_pool_t *pool)
{
    const clb_extra_t *extra = clb_hold_lacks(keeper, pool);
    clb_purpose_t serves = { 0 };
    clb_process_t *process;

    if (useless(pool)) {
        clb_hold_refuse(keeper, pool);
        return;
    }
    if (extra != NULL && pool->next_start > apr_time_now()
        && pool->failures > 0) {
        if (clb_warm_at_hand(keeper, pool, extra) == 0) {
            clb_hold_refuse(keeper, pool);
        }
        return;
    }
    if (!clb_canary_passed(pool)) {
        return;     /* its test comes first */
    }
    /* the pool's idle ones do not help who asks for arguments */
    while (extra != NULL
           && clb_warm_room(keeper, extra->count > 0 ? NULL : pool)) {
        serves.extra = *extra;
        if (kind_of(clb_warm_start(keeper, pool, 0, &serves, &process))
            == CLB_OVERLOADED) {
            make_room(keeper, pool);
        }
        if (pool->failures > 0) {
            return;
        }
        extra = clb_hold_lacks(keeper, pool);
    }
}

/* Start what may be asked for soon: one at a time while turns run. */
static void start_ahead(clb_keeper_t *keeper, clb_pool_t *pool)
{
    const clb_purpose_t serves = { 0 };
    int busy = count(keeper, NULL, NULL, CLB_LEASED, CLB_LEASED);
    int starting = count(keeper, NULL, NULL, CLB_STARTING, CLB_WARMING);
    clb_process_t *process;

    if (clb_warm_at_hand(keeper, pool, &clb_no_extra) < target(keeper, pool)
        && starting < (busy > 0 ? 1 : STARTS_MAX)
        && pool->next_start <= apr_time_now()
        && pool->calm <= apr_time_now() && !clb_warm_full(keeper)
        && !keeper->tight) {
        clb_warm_start(keeper, pool, 1, &serves, &process);
        keeper->filling = 1;
    }
}

/* How long a process too many may stay. Where none is to stand ready, one that
 * nobody took goes at once, unless it can serve again. */
static apr_interval_time_t leisure(const clb_backend_t *backend)
{
    return backend->warm.mode == CLB_WARM_NONE && !can_serve_again(backend)
         ? 0 : SURPLUS_AGE;
}

/* 1 if somebody waits for each idle process of this kind. */
static int is_awaited(const clb_keeper_t *keeper, const clb_process_t *p)
{
    return count(keeper, p->home, &p->extra, CLB_IDLE, CLB_IDLE)
           <= clb_hold_unserved(keeper, p->home, &p->extra);
}

/* End one idle process that is too many or too old, and that nobody waits
 * for. */
static void retire(clb_keeper_t *keeper, clb_pool_t *pool)
{
    int surplus = count(keeper, pool, &clb_no_extra, CLB_IDLE, CLB_IDLE)
                - target(keeper, pool);
    apr_time_t now = apr_time_now();
    clb_process_t *p;

    APR_RING_FOREACH(p, &keeper->processes, clb_process_t, link) {
        if (p->home == pool && p->state == CLB_IDLE
            && (keeper->draining || p->extra.count > 0
                || (surplus > 0 && now - p->since > leisure(pool->backend))
                || now - p->born > pool->backend->warm.refresh)
            && !is_awaited(keeper, p)) {
            ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, keeper->server,
                         "process %u (%s): retired", p->id,
                         pool->backend->name);
            clb_process_end(p, 0);
            return;
        }
    }
}

void clb_warm_tend(clb_keeper_t *keeper)
{
    int i;

    keeper->filling = 0;
    relieve(keeper);
    for (i = 0; i < keeper->pools->nelts; i++) {
        start_needed(keeper, &APR_ARRAY_IDX(keeper->pools, i, clb_pool_t));
    }
    for (i = 0; i < keeper->pools->nelts; i++) {
        clb_pool_t *pool = &APR_ARRAY_IDX(keeper->pools, i, clb_pool_t);

        start_ahead(keeper, pool);
        retire(keeper, pool);
        if (pool->failures > 0) {
            recover(keeper, pool);
        }
    }
}
