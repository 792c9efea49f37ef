/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a CLI says of itself: which models it has, and whether it is logged in.
 * It is asked as a process of its own, one at a time, that makes room for those
 * that serve: once its program is tested, anew when that is replaced, and now
 * and then. The answer informs; no turn depends on it. Keeper only.
 */
#include "keeper.h"

#include <apr_strings.h>
#include <http_log.h>
#include <string.h>

APLOG_USE_MODULE(clibridge);

/* Until it is asked again; without a login, soon enough that a new one is
 * noticed. */
#define INTERVAL apr_time_from_sec(3600)
#define INTERVAL_OUT apr_time_from_sec(60)

/* As many minutes, at most, after so many questions without an answer: it may
 * never give one. */
#define MUTE_MAX 6

clb_process_t *clb_ask_running(const clb_keeper_t *keeper)
{
    clb_process_t *p;

    APR_RING_FOREACH(p, &keeper->processes, clb_process_t, link) {
        if (p->question != NULL) {
            return p;
        }
    }
    return NULL;
}

/* It can be started, and is trusted, as far as is known. */
static int can_answer(const clb_pool_t *pool)
{
    return pool->backend->driver->question != NULL && pool->edition > 0
        && pool->backend->slots != 0 && clb_warm_healthy(pool)
        && clb_canary_passed(pool) && pool->trust != CLB_TRUST_TESTING;
}

static int due(const clb_pool_t *pool, apr_time_t now)
{
    return can_answer(pool)
        && (pool->asked != pool->edition || pool->next_ask <= now);
}

/* Nobody would be held up. */
static int is_calm(const clb_keeper_t *keeper, apr_time_t now)
{
    int i;

    for (i = 0; i < keeper->pools->nelts; i++) {
        const clb_pool_t *pool = &APR_ARRAY_IDX(keeper->pools, i, clb_pool_t);

        if (pool->calm > now || clb_hold_unserved(keeper, pool, NULL) > 0) {
            return 0;
        }
    }
    return !keeper->draining && !keeper->tight && !clb_warm_full(keeper)
        && clb_ask_running(keeper) == NULL;
}

static int contains(const apr_array_header_t *names, const char *name)
{
    int i;

    for (i = 0; i < names->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(names, i, const char *), name) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Of what it said, each name that can be one, once. */
static apr_array_header_t *names_of(const apr_array_header_t *said,
                                    apr_pool_t *pool)
{
    apr_array_header_t *names = apr_array_make(pool, CLB_REPORTED_MAX,
                                               sizeof(const char *));
    int i;

    for (i = 0; i < said->nelts && names->nelts < CLB_REPORTED_MAX; i++) {
        const char *name = APR_ARRAY_IDX(said, i, const char *);

        if (clb_model_is_name(name) && !contains(names, name)) {
            APR_ARRAY_PUSH(names, const char *) = name;
        }
    }
    return names;
}

/* Accounts may have different models; the first one's are listed. */
static void learn_models(clb_keeper_t *keeper, const clb_pool_t *pool,
                         const apr_array_header_t *said)
{
    const clb_backend_t *backend = pool->backend;

    if (!keeper->draining && pool->account
                             == &APR_ARRAY_IDX(backend->accounts, 0,
                                               clb_account_t)) {
        clb_table_report(keeper->table, backend->id,
                         names_of(said, keeper->tmp));
    }
}

/* What it said is forgotten only when it was another program. */
static void missed(clb_keeper_t *keeper, clb_pool_t *pool, const char *why)
{
    apr_interval_time_t wait = INTERVAL_OUT << pool->mute;

    if (pool->answered != pool->edition) {
        learn_models(keeper, pool, apr_array_make(keeper->tmp, 1,
                                                  sizeof(const char *)));
    }
    pool->mute += pool->mute < MUTE_MAX;
    pool->next_ask = apr_time_now() + wait;
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, keeper->server, "backend %s (%s): "
                 "does not say which models it has, nor if it is logged in: "
                 "%s", pool->backend->name, pool->account->name, why);
}

static void ask(clb_keeper_t *keeper, clb_pool_t *pool)
{
    const clb_purpose_t asks = { .question = pool->backend->driver->question };
    clb_process_t *process;
    char why[120];
    apr_status_t rv = clb_warm_launch(keeper, pool, 1, &asks, &process);

    pool->asked = pool->edition;
    pool->asked_at = apr_time_now();
    if (rv != APR_SUCCESS) {
        missed(keeper, pool, apr_strerror(rv, why, sizeof(why)));
        return;
    }
    clb_buf_puts(&process->unsent, asks.question->lines);
    clb_process_write(process);
}

int clb_ask_first(const clb_pool_t *pool)
{
    return can_answer(pool) && pool->login == CLB_LOGIN_UNKNOWN
        && pool->answered == 0 && pool->mute == 0;
}

void clb_ask_told(clb_pool_t *pool, clb_login_e login)
{
    if (login == CLB_LOGIN_IN) {
        pool->login = login;
        pool->refused = 0;
    }
    else if (login == CLB_LOGIN_OUT) {
        pool->refused = 1;
        if (pool->next_ask > pool->asked_at + INTERVAL_OUT) {
            pool->next_ask = pool->asked_at + INTERVAL_OUT;
        }
    }
}

void clb_ask_tend(clb_keeper_t *keeper)
{
    apr_time_t now = apr_time_now();
    int i;

    for (i = 0; i < keeper->pools->nelts && is_calm(keeper, now); i++) {
        clb_pool_t *pool = &APR_ARRAY_IDX(keeper->pools, i, clb_pool_t);

        if (due(pool, now)) {
            ask(keeper, pool);
        }
    }
}

/* What was started without a login may not see the new one. */
static void renew(clb_keeper_t *keeper, const clb_pool_t *pool)
{
    clb_process_t *p;

    APR_RING_FOREACH(p, &keeper->processes, clb_process_t, link) {
        if (p->home == pool && clb_process_serves(p, NULL)
            && (p->state <= CLB_IDLE || p->state == CLB_PARKED)) {
            clb_process_end(p, 0);
        }
    }
}

static void learn_login(clb_keeper_t *keeper, clb_pool_t *pool,
                        clb_login_e login)
{
    if (pool->login == CLB_LOGIN_OUT && login == CLB_LOGIN_IN) {
        pool->refused = 0;
        renew(keeper, pool);
    }
    pool->login = login;
    pool->next_ask = pool->asked_at
                   + (login == CLB_LOGIN_OUT || pool->refused ? INTERVAL_OUT
                                                              : INTERVAL);
}

void clb_ask_end(clb_keeper_t *keeper, clb_process_t *process,
                 const char *why)
{
    const clb_report_t *report = &process->report;
    clb_pool_t *pool = process->home;

    if (report->models == NULL && report->login == CLB_LOGIN_UNKNOWN) {
        missed(keeper, pool, why);
    }
    else {
        pool->mute = 0;
        pool->answered = process->edition;
        learn_login(keeper, pool, report->login);
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, keeper->server, "backend %s "
                     "(%s): says that it is %s and has %d models",
                     pool->backend->name, pool->account->name,
                     pool->login == CLB_LOGIN_OUT ? "not logged in"
                     : pool->login == CLB_LOGIN_IN ? "logged in" : "there",
                     report->models == NULL ? 0 : report->models->nelts);
    }
    if (report->models != NULL) {
        learn_models(keeper, pool, report->models);
    }
    clb_process_end(process, 0);
}

void clb_ask_hear(clb_keeper_t *keeper, clb_process_t *process)
{
    clb_step_t *step;
    apr_status_t rv = clb_process_read(process, &step);

    if (process->report.complete) {
        clb_ask_end(keeper, process, "neither is in its answer");
    }
    else if (rv == APR_EOF) {
        clb_process_hang_up(process);
    }
    else if (rv != APR_SUCCESS) {
        clb_ask_end(keeper, process, "it sent an endless line");
    }
}
