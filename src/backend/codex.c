/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver for Codex: `codex app-server`, a server of threads over JSON
 * lines. A process serves many turns, one at a time. A thread that holds
 * nothing is started ahead; a chat's history is put into it natively, and it
 * may stay for the conversation's next turn. Calls of the client's tools reach
 * us as requests that stay open until their results come. Measured with 0.169.0
 * and 0.171.0.
 */
#include "codex.h"

#include <apr_strings.h>
#include <string.h>

typedef enum phase_e {
    COLD,            /* no handshake yet */
    QUIET,           /* no turn runs */
    ASKING,          /* a thread for the chat was asked for */
    ADDING,          /* what stands beside results is said before them */
    RUNNING,
    ANSWERED,        /* the client has the calls */
    STOPPING,        /* the turn is to end */
    LEAVING          /* waiting until a new thread is ready and the old gone */
} phase_e;

typedef struct codex_t {
    char thread[CLB_CODEX_ID];   /* the chat's; empty = none */
    char spare[CLB_CODEX_ID];    /* one that holds nothing; empty = none */
    char turn[CLB_CODEX_ID];
    apr_uint32_t phase;
    apr_uint32_t awaited;        /* a spare thread was asked for */
    apr_uint32_t started;
    apr_uint32_t thought;        /* a part of the reasoning was said */
    apr_uint32_t calls;          /* of this answer */
    apr_uint32_t left;           /* LEAVING: the old thread is gone */
    apr_int64_t resets_at;       /* end of a used-up window */
    clb_usage_t usage;           /* of this answer */
    clb_usage_t told;            /* of those before it in the thread */
    clb_codex_open_t open;
} codex_t;

static const char *const models[] = {
    "gpt-*", "o1*", "o3*", "o4*", "codex-*", NULL
};

static const clb_scratch_t files[] = { { NULL, NULL, NULL } };

static unsigned traits(const clb_backend_t *backend)
{
    return CLB_PROBE | CLB_REUSE | CLB_PARKS | CLB_CHATTY;
}

static unsigned can(const clb_backend_t *backend)
{
    return CLB_NEED_TOOLS | CLB_NEED_IMAGES | CLB_NEED_JSON
         | CLB_NEED_SCHEMA;
}

static unsigned honours(const clb_backend_t *backend)
{
    return CLB_FIELD(CLB_EFFORT);
}

static void keep_id(char *id, const char *text)
{
    apr_cpystrn(id, text == NULL || strlen(text) >= CLB_CODEX_ID ? "" : text,
                CLB_CODEX_ID);
}

/* The state may come from another process. */
static void terminate(codex_t *state)
{
    state->thread[CLB_CODEX_ID - 1] = '\0';
    state->spare[CLB_CODEX_ID - 1] = '\0';
    state->turn[CLB_CODEX_ID - 1] = '\0';
    if (state->open.n > CLB_CODEX_CALLS) {
        state->open.n = CLB_CODEX_CALLS;
    }
}

/* --- a turn begins --- */

static void prepare(codex_t *state, clb_step_t *out)
{
    if (*state->spare == '\0' && !state->awaited) {
        state->awaited = 1;
        clb_codex_thread(NULL, out);
    }
}

static void leave(codex_t *state, clb_step_t *out)
{
    if (*state->thread != '\0') {
        clb_codex_leave(state->thread, out);
    }
    *state->thread = *state->turn = '\0';
    memset(&state->told, 0, sizeof(state->told));
    state->open.n = 0;
}

static void run(codex_t *state, const clb_input_t *in, int known,
                clb_step_t *out)
{
    state->phase = RUNNING;
    *state->turn = '\0';
    clb_codex_ask(in->chat, known, state->thread, out);
}

/* A thread has the tools that it was started with. */
static void begin(codex_t *state, const clb_input_t *in, clb_step_t *out)
{
    if (*state->thread != '\0' && state->open.n > 0) {
        clb_codex_stop(state->thread, state->turn, out);
    }
    leave(state, out);
    if (*state->spare != '\0' && !clb_codex_offers(in->chat)) {
        memcpy(state->thread, state->spare, CLB_CODEX_ID);
        *state->spare = '\0';
        run(state, in, 0, out);
    }
    else {
        state->phase = ASKING;
        clb_codex_thread(in->chat, out);
    }
}

static void give_results(codex_t *state, const clb_input_t *in,
                         clb_step_t *out)
{
    state->phase = RUNNING;
    clb_codex_results(&state->open, in->chat, out);
}

/* The CLI takes items and results up at the same time: its model must not be
 * asked before it has both. */
static void go_on(codex_t *state, const clb_input_t *in, clb_step_t *out)
{
    if (state->open.n == 0) {
        run(state, in, in->known, out);
    }
    else if (!clb_codex_answers(&state->open, in->chat)) {
        begin(state, in, out);
    }
    else if (clb_codex_add(in->chat, in->known, state->thread, out)) {
        state->phase = ADDING;
    }
    else {
        give_results(state, in, out);
    }
}

static void chat(codex_t *state, const clb_input_t *in, clb_step_t *out)
{
    state->started = state->thought = state->calls = 0;
    memset(&state->usage, 0, sizeof(state->usage));
    if (in->known > 0 && *state->thread != '\0') {
        go_on(state, in, out);
    }
    else {
        begin(state, in, out);
    }
}

/* --- it ends --- */

/* Whether all that renew() asked for is there. */
static void check_renewed(codex_t *state, clb_step_t *out)
{
    if (state->phase == LEAVING && state->left && *state->spare != '\0') {
        state->phase = QUIET;
        out->fate = CLB_FATE_CLEAN;
    }
}

/* Make ready for another conversation. */
static void renew(codex_t *state, clb_step_t *out)
{
    state->phase = LEAVING;
    state->left = *state->thread == '\0';
    leave(state, out);
    prepare(state, out);
    check_renewed(state, out);
}

static void cancel(codex_t *state, clb_step_t *out)
{
    switch (state->phase) {
    case QUIET:
        renew(state, out);
        break;
    case ASKING:
    case ADDING:
    case RUNNING:
    case ANSWERED:
        state->phase = STOPPING;
        if (*state->turn != '\0') {
            clb_codex_stop(state->thread, state->turn, out);
        }
        break;
    default:
        break;
    }
}

static void start(codex_t *state, clb_step_t *out)
{
    if (!state->started) {
        state->started = 1;
        clb_step_event(out, CLB_EV_START);
    }
}

static void stop(codex_t *state, clb_step_t *out, clb_stop_e reason,
                 clb_fate_e fate)
{
    start(state, out);
    clb_step_event(out, CLB_EV_USAGE)->u.usage = state->usage;
    clb_usage_add(&state->told, &state->usage);
    clb_step_stop(out, reason, fate);
}

/* --- what it says --- */

static void reasoning(codex_t *state, const char *text, clb_step_t *out)
{
    if (text != NULL && *text != '\0') {
        start(state, out);
        state->thought = 1;
        clb_step_text(out, CLB_EV_REASONING, text);
    }
}

static void call(codex_t *state, const clb_input_t *in,
                 const clb_json_t *item, clb_step_t *out)
{
    if (in->chat == NULL || clb_json_get_string(item, "call_id") == NULL
        || clb_json_get_string(item, "name") == NULL) {
        return;
    }
    state->calls++;
    start(state, out);
    if (!clb_codex_call(in->chat, item, out)) {
        stop(state, out, CLB_STOP_CALLS, CLB_FATE_KILL);
    }
}

/* An item of the turn; a result that is not ours is the CLI's own answer to a
 * call that it could not open, with which it asks its model again. */
static void item_completed(codex_t *state, const clb_input_t *in,
                           const clb_json_t *item, clb_step_t *out)
{
    const char *type = clb_json_get_string(item, "type");

    if (type == NULL || (state->phase != RUNNING && state->phase != ANSWERED)) {
        return;
    }
    if (strcmp(type, "function_call") == 0 && state->phase == RUNNING) {
        call(state, in, item, out);
    }
    else if (strcmp(type, "function_call_output") == 0 && state->calls > 0) {
        if (state->phase == RUNNING) {
            stop(state, out, CLB_STOP_CALLS, CLB_FATE_KILL);
        }
        out->fate = CLB_FATE_KILL;
    }
}

/* All calls of the answer were seen by then, but not all are open yet. */
static void response_completed(codex_t *state, clb_step_t *out)
{
    if (state->calls > 0) {
        state->phase = ANSWERED;
        stop(state, out, CLB_STOP_CALLS, state->calls > CLB_CODEX_CALLS
             ? CLB_FATE_SETTLE : state->open.n == state->calls
             ? CLB_FATE_CLEAN : CLB_FATE_PARK);
    }
}

/* The turn that was asked for is over. */
static void finish(codex_t *state, const clb_json_t *turn, clb_step_t *out)
{
    const char *status = clb_json_get_string(turn, "status");
    clb_stop_e reason;

    if (status != NULL && strcmp(status, "completed") == 0) {
        stop(state, out, CLB_STOP_END, CLB_FATE_CLEAN);
        prepare(state, out);
    }
    else if (clb_codex_cut(turn, &reason)) {
        stop(state, out, reason, CLB_FATE_SETTLE);
    }
    else if (status != NULL && strcmp(status, "failed") == 0) {
        clb_codex_fail(turn, state->resets_at, out);
    }
    else {
        clb_step_error(out, CLB_CLI_FAILED, "the CLI gave up its answer", 0,
                       CLB_FATE_SETTLE);
    }
}

/* A turn that ends although its calls have no results has gone on without the
 * client: nobody can continue it. */
static void turn_completed(codex_t *state, const clb_json_t *turn,
                           clb_step_t *out)
{
    apr_uint32_t was = state->phase;

    state->open.n = 0;
    if (was == STOPPING) {
        renew(state, out);
    }
    else if (was == ANSWERED) {
        state->phase = QUIET;
        out->fate = CLB_FATE_SETTLE;
    }
    else if (was == RUNNING || was == ADDING) {
        state->phase = QUIET;
        finish(state, turn, out);
    }
}

/* A call is open. */
static void tool_call(codex_t *state, const clb_json_t *json,
                      const clb_json_t *params, clb_step_t *out)
{
    const char *id = clb_json_get_string(params, "callId");

    if (id != NULL && clb_json_is_number(clb_json_get(json, "id"))) {
        clb_codex_opened(&state->open, id, clb_json_get_integer(json, "id",
                                                                0));
    }
    if (state->phase == ANSWERED && state->open.n == state->calls) {
        out->fate = CLB_FATE_CLEAN;
    }
}

/* Of the turn that runs, not of items that we put into its thread. */
static int is_ours(const codex_t *state, const clb_json_t *params)
{
    const char *thread = clb_json_get_string(params, "threadId");
    const char *turn = clb_json_get_string(params, "turnId");

    return thread != NULL && *thread != '\0'
        && strcmp(thread, state->thread) == 0
        && (turn == NULL || strncmp(turn, "auto-compact", 12) != 0);
}

static void news(codex_t *state, const clb_input_t *in, const char *method,
                 const clb_json_t *json, clb_step_t *out)
{
    const clb_json_t *params = clb_json_get(json, "params");
    const char *delta = clb_json_get_string(params, "delta");

    if (strcmp(method, "account/rateLimits/updated") == 0) {
        state->resets_at = clb_codex_resets_at(params);
    }
    else if (clb_json_get(json, "id") != NULL
             && strcmp(method, "item/tool/call") != 0) {
        clb_codex_decline(clb_json_get(json, "id"), out);
    }
    else if (!is_ours(state, params)) {
        return;
    }
    else if (strcmp(method, "item/tool/call") == 0) {
        tool_call(state, json, params, out);
    }
    else if (strcmp(method, "turn/completed") == 0) {
        turn_completed(state, clb_json_get(params, "turn"), out);
    }
    else if (strcmp(method, "rawResponseItem/completed") == 0) {
        item_completed(state, in, clb_json_get(params, "item"), out);
    }
    else if (state->phase != RUNNING) {
        return;
    }
    else if (strcmp(method, "item/agentMessage/delta") == 0) {
        start(state, out);
        clb_step_text(out, CLB_EV_TEXT, delta);
    }
    else if (strcmp(method, "item/reasoning/summaryTextDelta") == 0
             || strcmp(method, "item/reasoning/textDelta") == 0) {
        reasoning(state, delta, out);
    }
    else if (strcmp(method, "item/reasoning/summaryPartAdded") == 0) {
        reasoning(state, state->thought ? "\n\n" : NULL, out);
    }
    else if (strcmp(method, "rawResponse/completed") == 0) {
        clb_codex_count(&state->usage, clb_json_get(params, "usage"));
        response_completed(state, out);
    }
    else if (strcmp(method, "thread/tokenUsage/updated") == 0) {
        clb_codex_count_since(&state->usage, clb_json_find(params,
                              "tokenUsage.total"), &state->told);
    }
}

/* --- answers to our requests --- */

/* Nothing can go on without what the CLI did not do. */
static void give_up(const codex_t *state, const char *why, clb_step_t *out)
{
    if (state->phase == COLD || state->phase == ASKING
        || state->phase == ADDING || state->phase == RUNNING) {
        clb_step_error(out, CLB_CLI_FAILED, why, 0, CLB_FATE_KILL);
    }
    out->fate = CLB_FATE_KILL;
}

static void have_spare(codex_t *state, const char *thread, const char *why,
                       clb_step_t *out)
{
    state->awaited = 0;
    keep_id(state->spare, thread);
    if (*state->spare != '\0' && state->phase == COLD) {
        state->phase = QUIET;
        out->ready = 1;
    }
    else if (*state->spare != '\0') {
        check_renewed(state, out);
    }
    else if (state->phase == COLD || state->phase == LEAVING) {
        give_up(state, why, out);
    }
}

static void have_thread(codex_t *state, const clb_input_t *in,
                        const char *thread, const char *why, clb_step_t *out)
{
    if (*state->thread != '\0'
        || (state->phase != ASKING && state->phase != STOPPING)) {
        return;     /* nobody asked for it */
    }
    keep_id(state->thread, thread);
    if (state->phase == STOPPING) {
        renew(state, out);
    }
    else if (*state->thread == '\0') {
        give_up(state, why, out);
    }
    else if (in->chat != NULL) {
        run(state, in, 0, out);
    }
}

static void have_turn(codex_t *state, const char *turn, clb_step_t *out)
{
    keep_id(state->turn, turn);
    if (state->phase == STOPPING && *state->turn != '\0') {
        clb_codex_stop(state->thread, state->turn, out);
    }
}

/* Most likely it is the tools that it does not take. */
static int blames_tools(const codex_t *state, const clb_input_t *in,
                        const char *id)
{
    return strcmp(id, CLB_CODEX_THREAD) == 0 && state->phase == ASKING
        && in->chat != NULL && clb_codex_offers(in->chat);
}

static void refused(codex_t *state, const clb_input_t *in, const char *id,
                    const clb_json_t *error, clb_step_t *out)
{
    const char *message = clb_json_get_string(error, "message"), *why;

    message = message == NULL ? "without a reason" : message;
    why = apr_pstrcat(out->pool, "the CLI refused the request '", id, "': ",
                      message, NULL);
    if (blames_tools(state, in, id)) {
        state->phase = QUIET;
        clb_step_error(out, CLB_BAD_REQUEST, apr_pstrcat(out->pool,
            "the CLI does not take the tools: ", message, NULL), 0,
            CLB_FATE_SETTLE);
    }
    else if (strcmp(id, CLB_CODEX_THREAD) == 0) {
        have_thread(state, in, NULL, why, out);
    }
    else if (strcmp(id, CLB_CODEX_SPARE) == 0) {
        have_spare(state, NULL, why, out);
    }
    else if (strcmp(id, CLB_CODEX_HELLO) == 0
             || strcmp(id, CLB_CODEX_ITEMS) == 0
             || strcmp(id, CLB_CODEX_TURN) == 0) {
        /* it may ask its model with less than it should */
        give_up(state, why, out);
    }
}

static void done(codex_t *state, const clb_input_t *in, const char *id,
                 const clb_json_t *result, clb_step_t *out)
{
    static const char nameless[] = "the CLI names no thread";
    const char *thread = clb_json_string(clb_json_find(result, "thread.id"));

    if (strcmp(id, CLB_CODEX_HELLO) == 0) {
        clb_codex_ready(out);
        prepare(state, out);
    }
    else if (strcmp(id, CLB_CODEX_SPARE) == 0) {
        have_spare(state, thread, nameless, out);
    }
    else if (strcmp(id, CLB_CODEX_THREAD) == 0) {
        have_thread(state, in, thread, nameless, out);
    }
    else if (strcmp(id, CLB_CODEX_ITEMS) == 0 && state->phase == ADDING
             && in->chat != NULL) {
        give_results(state, in, out);
    }
    else if (strcmp(id, CLB_CODEX_TURN) == 0) {
        have_turn(state, clb_json_string(clb_json_find(result, "turn.id")),
                  out);
    }
}

static void answered(codex_t *state, const clb_input_t *in, const char *id,
                     const clb_json_t *json, clb_step_t *out)
{
    const clb_json_t *error = clb_json_get(json, "error");

    if (strcmp(id, CLB_CODEX_LEAVE) == 0) {
        /* gone in any case: it may have known nothing of it */
        state->left = 1;
        check_renewed(state, out);
    }
    else if (error != NULL) {
        refused(state, in, id, error, out);
    }
    else {
        done(state, in, id, clb_json_get(json, "result"), out);
    }
}

static void line(codex_t *state, const clb_input_t *in, clb_step_t *out)
{
    const clb_json_t *json = clb_step_json(out, in);
    const char *id = clb_json_get_string(json, "id");
    const char *method = clb_json_get_string(json, "method");

    if (method != NULL) {
        news(state, in, method, json, out);
    }
    else if (id != NULL) {
        answered(state, in, id, json, out);
    }
}

static void step(void *data, const clb_input_t *in, clb_step_t *out)
{
    codex_t *state = data;

    terminate(state);
    switch (in->kind) {
    case CLB_IN_WARM:
        clb_codex_hello(out);
        break;
    case CLB_IN_CHAT:
        chat(state, in, out);
        break;
    case CLB_IN_LINE:
        line(state, in, out);
        break;
    case CLB_IN_EXIT:
        clb_step_exit(out, in);
        break;
    case CLB_IN_CANCEL:
        cancel(state, out);
        break;
    case CLB_IN_DATA:
        break;
    }
}

const clb_driver_t clb_driver_codex = {
    .name = "codex",
    .args = clb_codex_args,
    .last_args = clb_codex_last_args,
    .env = clb_codex_env,
    .models = models,
    .files = files,
    .gifts = clb_codex_gifts,
    .dir_variable = "CODEX_HOME",
    .natives = clb_codex_natives,
    /* each leaves 40 KB in a log, which nothing turns off */
    .turns = 1000,
    .settle = 2 * APR_USEC_PER_SEC,
    .trial = &clb_codex_trial,
    .question = &clb_codex_question,
    .setup = &clb_codex_setup,
    .warm = { CLB_WARM_ADAPTIVE, 1, 0, 0 },
    .state_size = sizeof(codex_t),
    .traits = traits,
    .can = can,
    .honours = honours,
    .drops = clb_codex_drops,
    .step = step,
};
