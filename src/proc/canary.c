/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trust in a CLI is earned: before a program serves, it answers one fixed chat
 * with our stub in the place of its model, and what it sent must be what is
 * known of one of its versions: the chat, what that version adds by itself,
 * and nothing else. One test for each program and account, anew when the
 * program's file changes. Keeper only.
 */
#include "keeper.h"

#include "../backend/canary.h"
#include "../core/json.h"
#include "../core/match.h"
#include "stub.h"

#include <apr_strings.h>
#include <errno.h>
#include <http_log.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

APLOG_USE_MODULE(clibridge);

#define LOOK_INTERVAL apr_time_from_sec(2)

/* Tests at once of programs that nobody waits for. */
#define TESTS_MAX 2

/* How long after its turn a program may give away that it asks once more. */
#define ECHO_TIME apr_time_from_msec(300)

/* A test that runs. */
struct clb_test_t {
    apr_pool_t *pool;
    clb_stub_t *stub;
    clb_chat_t *chat;
    clb_process_t *process;
    int over;                 /* the turn ended as it should */
};

int clb_canary_passed(const clb_pool_t *pool)
{
    return pool->trust == CLB_TRUST_NONE || pool->trust == CLB_TRUST_PASSED
        || pool->backend->lenient;
}

static clb_chat_t *the_chat(apr_pool_t *pool)
{
    clb_chat_t *chat = clb_chat_create(pool);

    chat->asked = chat->model = CLB_CANARY_MODEL;
    clb_chat_system(chat, CLB_CANARY_SYSTEM);
    clb_chat_part(clb_chat_message(chat, CLB_ROLE_USER), CLB_PART_TEXT,
                  CLB_CANARY_FIRST);
    clb_chat_part(clb_chat_message(chat, CLB_ROLE_ASSISTANT), CLB_PART_TEXT,
                  CLB_CANARY_ANSWER);
    clb_chat_part(clb_chat_message(chat, CLB_ROLE_USER), CLB_PART_TEXT,
                  CLB_CANARY_SECOND);
    return chat;
}

/* The file behind the program, as far as it can be told from another. */
static int same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino
        && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec
        && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void finish(clb_pool_t *pool)
{
    clb_stub_close(pool->canary->stub);
    apr_pool_destroy(pool->canary->pool);
    pool->canary = NULL;
}

void clb_canary_look(clb_keeper_t *keeper, clb_pool_t *pool)
{
    const char *program = clb_program(pool->backend, keeper->tmp);
    struct stat file;

    pool->absent = access(pool->backend->program, X_OK) == 0 ? APR_SUCCESS
                                                             : errno;
    if (stat(program, &file) != 0
        || (pool->edition > 0 && same_file(&file, &pool->file))) {
        return;
    }
    if (pool->edition > 0) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, keeper->server,
                     "backend %s (%s): %s was replaced", pool->backend->name,
                     pool->account->name, program);
    }
    if (strcmp(program, pool->program) != 0) {
        pool->program = apr_pstrdup(keeper->pool, program);
    }
    pool->file = file;
    pool->edition++;
    pool->failures = 0;
    pool->next_start = 0;
    if (pool->trust != CLB_TRUST_NONE) {
        pool->trust = CLB_TRUST_TESTING;
    }
}

/* What runs of a program that was replaced goes, but for running turns. */
static void let_go(clb_keeper_t *keeper)
{
    clb_process_t *p;

    APR_RING_FOREACH(p, &keeper->processes, clb_process_t, link) {
        if (p->edition == p->home->edition
            || (p->state > CLB_IDLE && p->state != CLB_PARKED)) {
            continue;
        }
        if (p->canary) {
            clb_canary_end(keeper, p, "");
        }
        else {
            clb_process_end(p, 0);
        }
    }
}

/* The variables of the test, which win over all others. */
static const char *const *variables(const clb_trial_t *trial, const char *url,
                                    apr_pool_t *pool)
{
    apr_array_header_t *env = apr_array_make(pool, 16, sizeof(const char *));
    int i;

    for (i = 0; trial->env[i].name != NULL; i++) {
        const char *value = trial->env[i].value;

        APR_ARRAY_PUSH(env, const char *) = apr_pstrcat(pool,
            trial->env[i].name, "=", value == NULL ? url : value, NULL);
    }
    APR_ARRAY_PUSH(env, const char *) = NULL;
    return (const char *const *)env->elts;
}

static void begin(clb_keeper_t *keeper, clb_pool_t *pool)
{
    const clb_trial_t *trial = pool->backend->driver->trial;
    clb_purpose_t tests = { 0 };
    clb_test_t *canary;
    apr_status_t rv;
    apr_pool_t *p;

    apr_pool_create(&p, keeper->pool);
    canary = apr_pcalloc(p, sizeof(*canary));
    canary->pool = p;
    canary->chat = the_chat(p);
    rv = clb_stub_open(&canary->stub, p);
    if (rv != APR_SUCCESS) {
        clb_warm_fail(keeper, pool, CLB_CLI_FAILED, "the stub for its test "
                      "cannot listen on 127.0.0.1");
        apr_pool_destroy(p);
        return;
    }
    clb_stub_answer(canary->stub, "POST", apr_pstrmemdup(p, trial->path,
                        strcspn(trial->path, "?")), "text/event-stream",
                    trial->answer);
    pool->canary = canary;
    tests.env = variables(trial, clb_stub_url(canary->stub), p);
    if (clb_warm_start(keeper, pool, 0, &tests, &canary->process)
        != APR_SUCCESS) {
        finish(pool);
    }
}

static int running(const clb_keeper_t *keeper)
{
    int i, n = 0;

    for (i = 0; i < keeper->pools->nelts; i++) {
        n += APR_ARRAY_IDX(keeper->pools, i, clb_pool_t).canary != NULL;
    }
    return n;
}

static int due(const clb_keeper_t *keeper, const clb_pool_t *pool)
{
    return pool->trust == CLB_TRUST_TESTING && pool->canary == NULL
        && !pool->blocked && pool->next_start <= apr_time_now()
        && (clb_hold_unserved(keeper, pool, NULL) > 0
            || (!keeper->draining && running(keeper) < TESTS_MAX));
}

void clb_canary_tend(clb_keeper_t *keeper)
{
    apr_time_t now = apr_time_now();
    int i, looks = now >= keeper->next_look;

    if (looks) {
        keeper->next_look = now + LOOK_INTERVAL;
    }
    for (i = 0; i < keeper->pools->nelts && looks; i++) {
        clb_canary_look(keeper, &APR_ARRAY_IDX(keeper->pools, i, clb_pool_t));
    }
    let_go(keeper);
    for (i = 0; i < keeper->pools->nelts; i++) {
        clb_pool_t *pool = &APR_ARRAY_IDX(keeper->pools, i, clb_pool_t);

        if (due(keeper, pool) && clb_warm_room(keeper, NULL)) {
            begin(keeper, pool);
        }
    }
}

void clb_canary_watch(clb_keeper_t *keeper, apr_array_header_t *set)
{
    struct pollfd fds[CLB_STUB_FDS];
    int i, j, n;

    for (i = 0; i < keeper->pools->nelts; i++) {
        clb_pool_t *pool = &APR_ARRAY_IDX(keeper->pools, i, clb_pool_t);

        n = pool->canary == NULL ? 0
          : clb_stub_watch(pool->canary->stub, fds, CLB_STUB_FDS);
        for (j = 0; j < n; j++) {
            APR_ARRAY_PUSH(set, struct pollfd) = fds[j];
        }
    }
}

void clb_canary_work(clb_keeper_t *keeper)
{
    int i;

    for (i = 0; i < keeper->pools->nelts; i++) {
        clb_pool_t *pool = &APR_ARRAY_IDX(keeper->pools, i, clb_pool_t);

        if (pool->canary != NULL) {
            clb_stub_work(pool->canary->stub);
        }
    }
}

/* How the request differs from what is known of every version of its CLI;
 * NULL if it is one's own. */
static const char *compare(const clb_backend_t *backend,
                           const clb_stub_request_t *req,
                           const char **version, apr_pool_t *pool)
{
    const clb_driver_t *driver = backend->driver;
    const char *all = NULL, *why;
    const clb_canary_t *known;
    clb_json_t *body, *want;

    if (strcmp(req->path, driver->trial->path) != 0) {
        return apr_psprintf(pool, "it asked for %.200s, and not for %s",
                            req->path, driver->trial->path);
    }
    /* strict: of two members of one name, who knows which one counts */
    if (clb_json_parse(&body, req->body, req->len, CLB_JSON_STRICT, &why,
                       pool) != APR_SUCCESS) {
        return apr_pstrcat(pool, "it sent no JSON: ", why, NULL);
    }
    for (known = clb_canaries; known->driver != NULL; known++) {
        if (strcmp(known->driver, driver->name) != 0) {
            continue;
        }
        if (clb_json_parse(&want, known->text, strlen(known->text),
                           CLB_JSON_STRICT, &why, pool) != APR_SUCCESS) {
            continue;
        }
        driver->trial->adapt(backend, want, pool);
        if ((why = clb_json_mismatch(want, body, pool)) == NULL) {
            *version = known->version;
            return NULL;
        }
        all = apr_pstrcat(pool, all == NULL ? "" : all, all == NULL ? ""
                          : "; ", "unlike ", known->version, ", ", why, NULL);
    }
    return all != NULL ? all : "nothing is known of any version";
}

/* Seeing whether somebody is there. */
static int looks_only(const clb_stub_request_t *req)
{
    return strcmp(req->method, "HEAD") == 0 && req->len == 0
        && (*req->path == '\0' || strcmp(req->path, "/") == 0);
}

/* The one request to the model; NULL if there was none, or more. */
static const clb_stub_request_t *request_of(const clb_test_t *canary,
                                            int *count)
{
    const apr_array_header_t *all = clb_stub_requests(canary->stub);
    const clb_stub_request_t *found = NULL;
    int i;

    *count = 0;
    for (i = 0; i < all->nelts; i++) {
        const clb_stub_request_t *req = &APR_ARRAY_IDX(all, i,
                                                       clb_stub_request_t);

        if (!looks_only(req)) {
            found = req;
            ++*count;
        }
    }
    return *count == 1 ? found : NULL;
}

static void distrust(clb_keeper_t *keeper, clb_pool_t *pool, const char *why)
{
    const clb_backend_t *backend = pool->backend;

    pool->trust = CLB_TRUST_FAILED;
    ap_log_error(APLOG_MARK, backend->lenient ? APLOG_WARNING : APLOG_ERR, 0,
                 keeper->server, "backend %s (%s): %s failed its test and is "
                 "%s (CLIBridgeUntested): %s", backend->name,
                 pool->account->name, pool->program, backend->lenient
                 ? "used all the same" : "not used", why);
    if (!backend->lenient) {
        pool->why_kind = CLB_CLI_UNTRUSTED;
        apr_snprintf(pool->why, sizeof(pool->why), "%s failed its test, so "
                     "this server does not use it; its error log says why",
                     backend->name);
        clb_hold_refuse(keeper, pool);
    }
}

/* It may go better another time. */
static void fail(clb_keeper_t *keeper, clb_pool_t *pool, const char *what,
                 const char *said)
{
    const char *why = apr_psprintf(keeper->tmp, "%s did not %s in its test: "
                                   "%s", pool->backend->name, what, said);

    if (pool->backend->lenient) {
        distrust(keeper, pool, why);
    }
    else {
        clb_warm_fail(keeper, pool, CLB_CLI_FAILED, why);
    }
}

static void judge(clb_keeper_t *keeper, clb_pool_t *pool, const char *said)
{
    const char *why, *version = NULL;
    const clb_stub_request_t *req;
    int count;

    if (pool->canary->over) {
        said = "it ended its turn";
    }
    clb_stub_work(pool->canary->stub);      /* its last words */
    req = request_of(pool->canary, &count);
    if (count == 0) {
        fail(keeper, pool, "ask its model", said);
    }
    else if (req == NULL) {
        distrust(keeper, pool, apr_psprintf(keeper->tmp, "it sent %d requests "
                 "to its model where one was due (%s)", count, said));
    }
    else if ((why = compare(pool->backend, req, &version,
                            keeper->tmp)) != NULL) {
        distrust(keeper, pool, why);
    }
    else if (!pool->canary->over) {
        fail(keeper, pool, "end its turn", said);
    }
    else {
        pool->trust = CLB_TRUST_PASSED;
        clb_warm_worked(keeper, pool);
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, keeper->server,
                     "backend %s (%s): %s behaves as %s",
                     pool->backend->name, pool->account->name,
                     pool->program, version);
    }
}

void clb_canary_ask(clb_keeper_t *keeper, clb_process_t *process)
{
    clb_input_t in = { .kind = CLB_IN_CHAT, .backend = process->backend };

    in.chat = process->chat = process->home->canary->chat;
    process->state = CLB_WARMING;
    clb_process_step(process, &in);
}

/* Why a turn ended in an error. */
static const char *error_of(const clb_step_t *step)
{
    int i;

    for (i = 0; i < step->events->nelts; i++) {
        const clb_event_t *event = &APR_ARRAY_IDX(step->events, i,
                                                  clb_event_t);

        if (event->kind == CLB_EV_ERROR) {
            return event->u.error.message;
        }
    }
    return "it ended its turn";
}

void clb_canary_hear(clb_keeper_t *keeper, clb_process_t *process,
                     apr_status_t rv, const clb_step_t *step)
{
    if (rv != APR_SUCCESS && rv != APR_EOF) {
        clb_canary_end(keeper, process, "it sent an endless line");
    }
    else if (step == NULL) {
        return;
    }
    else if (step->ready && process->chat == NULL) {
        clb_canary_ask(keeper, process);
    }
    else if (step->fate == CLB_FATE_PARK || step->fate == CLB_FATE_CLEAN) {
        process->home->canary->over = 1;
        process->deadline = apr_time_now() + ECHO_TIME;
    }
    else if (step->fate != CLB_FATE_NONE) {
        clb_canary_end(keeper, process, error_of(step));
    }
}

void clb_canary_end(clb_keeper_t *keeper, clb_process_t *process,
                    const char *said)
{
    clb_pool_t *pool = process->home;

    if (pool->canary == NULL || pool->canary->process != process) {
        return;     /* it is over already */
    }
    /* the verdict would be on a program that is not there any more */
    clb_canary_look(keeper, pool);
    if (process->edition == pool->edition) {
        judge(keeper, pool, said);
    }
    finish(pool);
    clb_process_end(process, 0);
}
