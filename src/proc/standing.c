/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What there is of processes and how each login of each CLI stands, for whoever
 * looks after the server: in the shared table, and in the log when it becomes
 * bad. Keeper only.
 */
#include "keeper.h"

#include "mend.h"

#include <apr_strings.h>
#include <http_log.h>
#include <string.h>

APLOG_USE_MODULE(clibridge);

/* The same is told once in this time. */
#define TELL apr_time_from_sec(60)

static void say(clb_standing_t *standing, clb_standing_e state,
                clb_mend_e mend, const char *why)
{
    char *end = apr_cpystrn(standing->why, why, sizeof(standing->why));

    /* what a program says last may be a whole line */
    while (end > standing->why && (unsigned char)end[-1] <= ' ') {
        *--end = '\0';
    }
    standing->state = state;
    standing->mend = mend;
}

/* The program is not there, or out of reach: what to do about that, only
 * somebody who can look knows. */
static void say_absent(const clb_pool_t *pool, clb_standing_t *standing)
{
    clb_mend_e mend = APR_STATUS_IS_ENOENT(pool->absent) ? CLB_MEND_INSTALL
                                                         : CLB_MEND_NONE;
    char why[120];

    apr_strerror(pool->absent, why, sizeof(why));
    say(standing, CLB_STANDING_MISSING, mend, "");
    apr_snprintf(standing->why, sizeof(standing->why), "%s cannot be started: "
                 "%s", pool->backend->program, why);
}

/* @return 0 if nothing keeps it from serving but, perhaps, its login */
static int is_bad(const clb_pool_t *pool, clb_standing_t *standing)
{
    if (pool->backend->slots == 0) {
        say(standing, CLB_STANDING_OFF, CLB_MEND_NONE, "CLIBridgeSlots is 0");
    }
    else if (pool->blocked) {
        say(standing, CLB_STANDING_LOGIN, CLB_MEND_NONE, pool->why);
    }
    else if (pool->absent != APR_SUCCESS) {
        say_absent(pool, standing);
    }
    else if (pool->trust == CLB_TRUST_FAILED && !pool->backend->lenient) {
        say(standing, CLB_STANDING_UNTRUSTED, CLB_MEND_KNOWN, pool->why);
    }
    else if (pool->failures > 0) {
        say(standing, CLB_STANDING_FAILING, CLB_MEND_NONE, pool->why);
    }
    else {
        return 0;
    }
    return 1;
}

static void judge(const clb_pool_t *pool, clb_standing_t *standing)
{
    memset(standing, 0, sizeof(*standing));
    if (is_bad(pool, standing)) {
        return;
    }
    if (pool->trust == CLB_TRUST_TESTING || clb_ask_first(pool)) {
        say(standing, CLB_STANDING_TESTING, CLB_MEND_NONE, "");
    }
    else if (pool->login == CLB_LOGIN_OUT) {
        say(standing, CLB_STANDING_LOGIN, CLB_MEND_LOGIN, "it is not logged "
            "in");
    }
    else if (pool->refused) {
        say(standing, CLB_STANDING_LOGIN, CLB_MEND_LOGIN, "the login it has "
            "was refused");
    }
    else {
        say(standing, CLB_STANDING_OK, CLB_MEND_NONE,
            pool->trust == CLB_TRUST_FAILED ? "its program failed its test "
            "and is used all the same (CLIBridgeUntested)" : "");
    }
}

/* Failed starts are told where they happen. What turns bring about can come and
 * go with each of them. */
static void tell(clb_keeper_t *keeper, clb_pool_t *pool)
{
    const clb_standing_t *standing = &pool->standing;
    const char *mend = clb_mend(keeper->global, pool->backend, pool->account,
                                standing->mend, keeper->tmp);
    apr_time_t now = apr_time_now();
    int again = pool->told == standing->state && now < pool->told_at + TELL;

    if (standing->state == CLB_STANDING_LOGIN
        || standing->state == CLB_STANDING_UNTRUSTED
        || standing->state == CLB_STANDING_MISSING) {
        ap_log_error(APLOG_MARK, again ? APLOG_DEBUG : APLOG_WARNING, 0,
                     keeper->server, "backend %s (%s): %s%s%s",
                     pool->backend->name, pool->account->name, standing->why,
                     mend != NULL ? "; type: " : "", mend != NULL ? mend : "");
        pool->told = standing->state;
        pool->told_at = again ? pool->told_at : now;
    }
}

static clb_trust_e trust_of(const clb_keeper_t *keeper, int backend)
{
    clb_trust_e trust = CLB_TRUST_NONE;
    int i;

    for (i = 0; i < keeper->pools->nelts; i++) {
        const clb_pool_t *pool = &APR_ARRAY_IDX(keeper->pools, i, clb_pool_t);

        if (pool->index == backend && pool->trust > trust) {
            trust = pool->trust;
        }
    }
    return trust;
}

static void publish(clb_keeper_t *keeper)
{
    const apr_array_header_t *backends = keeper->global->backends;
    clb_table_backend_t *shared = keeper->table->shared->backends;
    int i;

    for (i = 0; i < backends->nelts && !keeper->draining; i++) {
        const clb_backend_t *backend = APR_ARRAY_IDX(backends, i,
                                                     clb_backend_t *);
        clb_census_t census = { 0 };
        const clb_process_t *p;

        APR_RING_FOREACH(p, &keeper->processes, clb_process_t, link) {
            if (p->backend == backend && clb_process_serves(p, NULL)) {
                census.starting += p->state <= CLB_WARMING;
                census.idle += p->state == CLB_IDLE;
                census.leased += p->state == CLB_LEASED;
                census.settling += p->state == CLB_SETTLING;
                census.parked += p->state == CLB_PARKED;
                census.dying += p->state == CLB_DYING;
            }
        }
        shared[backend->id].census = census;
        shared[backend->id].trust = trust_of(keeper, i);
    }
}

void clb_standing_tend(clb_keeper_t *keeper)
{
    int i;

    publish(keeper);
    for (i = 0; i < keeper->pools->nelts && !keeper->draining; i++) {
        clb_pool_t *pool = &APR_ARRAY_IDX(keeper->pools, i, clb_pool_t);
        clb_standing_t now;
        int was = (int)pool->standing.state;

        judge(pool, &now);
        if (pool->stands && memcmp(&now, &pool->standing, sizeof(now)) == 0) {
            continue;
        }
        pool->stands = 1;
        pool->standing = now;
        clb_table_stand(keeper->table, pool->backend->id, (int)(pool->account
                        - (clb_account_t *)pool->backend->accounts->elts),
                        &now);
        if ((int)now.state != was) {
            tell(keeper, pool);
        }
    }
}
