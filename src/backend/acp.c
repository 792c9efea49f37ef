/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The drivers gemini, qwen and acp: agents that speak the Agent Client
 * Protocol, JSON-RPC over lines. A process serves many turns, one at a time,
 * each in a session of its own. Behind a turn one session is made ahead, as
 * this turn's was: the next one often needs the same.
 */
#include "acp.h"

#include <apr_strings.h>
#include <string.h>

typedef enum phase_e {
    COLD,            /* no handshake, or no first session yet */
    QUIET,           /* no turn runs */
    WAITING,         /* for the session that is being made ahead */
    OPENING,         /* a session for the chat was asked for */
    RESTORING,       /* its history was */
    RUNNING,
    STOPPING         /* the turn is to end */
} phase_e;

typedef struct acp_t {
    char session[CLB_ACP_ID];    /* the chat's; empty = none */
    char spare[CLB_ACP_ID];      /* one that holds nothing */
    apr_uint64_t spare_key;      /* what it was made from */
    apr_uint64_t key;            /* what the files are now */
    apr_uint64_t last;           /* and were a turn before */
    apr_uint64_t made;           /* sessions so far, which makes their ids */
    apr_uint32_t phase;
    apr_uint32_t making;         /* the spare one was asked for */
    apr_uint32_t tools;          /* sessions have the client's tools */
    apr_uint32_t spares;         /* a session made ahead would do */
    apr_uint32_t alias;          /* of their directory */
    apr_int64_t limit;           /* of tokens; 0 = the model knows none */
    apr_uint32_t replays;        /* updates that still repeat the history */
    apr_uint32_t started;
    apr_uint32_t spoke;          /* there was a word, or a thought */
    apr_uint32_t announced;      /* calls that are to come, or came */
    apr_uint32_t calls;          /* that came */
    apr_uint32_t cancelled;      /* the agent was told to stop for them */
    apr_uint64_t last_call;      /* hash of its id */
    clb_usage_t usage;
} acp_t;

typedef char state_fits[sizeof(acp_t) <= CLB_STATE_MAX ? 1 : -1];

const clb_acp_kind_t *clb_acp_kind(const clb_backend_t *backend)
{
    return backend->driver == &clb_driver_gemini ? &clb_acp_gemini
         : backend->driver == &clb_driver_qwen ? &clb_acp_qwen
         : &clb_acp_plain;
}

static void keep_id(char *id, const char *text)
{
    apr_cpystrn(id, text == NULL || strlen(text) >= CLB_ACP_ID ? "" : text,
                CLB_ACP_ID);
}

/* --- a turn begins --- */

static void ask(acp_t *state, const clb_input_t *in, clb_step_t *out)
{
    state->phase = RUNNING;
    clb_acp_kind(in->backend)->prompt(in->chat, in, state->session, out);
}

static void opened(acp_t *state, const clb_input_t *in, clb_step_t *out)
{
    const clb_acp_kind_t *kind = clb_acp_kind(in->backend);

    if (kind->history != NULL
        && kind->history(in->chat, state->session, out)) {
        state->phase = RESTORING;
    }
    else {
        ask(state, in, out);
    }
}

static void fill(const clb_acp_plan_t *plan, clb_step_t *out)
{
    int i;

    for (i = 0; i < CLB_FILES_MAX; i++) {
        if (plan->files[i] != NULL) {
            clb_step_file(out, i, plan->files[i], strlen(plan->files[i]));
        }
    }
}

/* Only one who knows its id can load a session. */
static const char *id_to_load(const acp_t *state, apr_pool_t *pool)
{
    return apr_psprintf(pool, "00000000-0000-4000-8000-%012"
                        APR_UINT64_T_HEX_FMT,
                        state->made & 0xffffffffffffu);
}

static void open_session(acp_t *state, const clb_acp_plan_t *plan,
                         clb_step_t *out)
{
    apr_uint64_t tools = plan->tools ? state->made : 0;

    state->phase = OPENING;
    if (plan->loads) {
        keep_id(state->session, plan->session);
        state->replays = (apr_uint32_t)plan->replays;
        clb_acp_load(plan->session, tools, out);
    }
    else {
        clb_acp_new(CLB_ACP_SESSION, state->alias, tools, out);
    }
}

static void begin(acp_t *state, const clb_input_t *in, clb_step_t *out)
{
    const clb_acp_kind_t *kind = clb_acp_kind(in->backend);
    clb_acp_plan_t plan = { 0 };

    state->made++;
    plan.session = id_to_load(state, out->pool);
    kind->plan(in->chat, &plan, out->pool);
    if (plan.refusal != NULL) {
        state->phase = QUIET;
        clb_step_error(out, CLB_UNSUPPORTED, plan.refusal, 0, CLB_FATE_SETTLE);
        return;
    }
    fill(&plan, out);
    state->last = state->key;
    state->key = plan.key;
    state->alias = plan.alias;
    state->limit = plan.limit;
    state->tools = plan.tools && !plan.fresh;
    state->spares = !plan.fresh || !plan.tools;
    if (*state->spare != '\0' && state->spare_key == plan.key
        && !plan.fresh) {
        memcpy(state->session, state->spare, CLB_ACP_ID);
        *state->spare = '\0';
        opened(state, in, out);
    }
    else {
        if (kind->shares && state->spare_key != plan.key) {
            *state->spare = '\0';
        }
        open_session(state, &plan, out);
    }
}

static void chat(acp_t *state, const clb_input_t *in, clb_step_t *out)
{
    state->started = state->spoke = state->replays = 0;
    state->announced = state->calls = state->cancelled = 0;
    memset(&state->usage, 0, sizeof(state->usage));
    if (state->making) {
        state->phase = WAITING;
    }
    else {
        begin(state, in, out);
    }
}

/* --- it ends --- */

/* A session like the last one is made for the next turn, unless the turns
 * differ too much for that to be of use. */
static void done(acp_t *state, clb_step_t *out)
{
    state->phase = QUIET;
    *state->session = '\0';
    if (!state->making && state->spares
        && (*state->spare == '\0' || (state->spare_key != state->key
            && (state->spare_key == 0 || state->last == state->key)))) {
        state->making = 1;
        state->spare_key = state->key;
        *state->spare = '\0';
        state->made++;
        clb_acp_new(CLB_ACP_SPARE, state->alias,
                    state->tools ? state->made : 0, out);
    }
}

static void cancel(acp_t *state, clb_step_t *out)
{
    switch (state->phase) {
    case QUIET:
    case WAITING:
        state->phase = QUIET;
        out->fate = CLB_FATE_CLEAN;
        break;
    case RUNNING:
        clb_acp_cancel(state->session, out);
        state->phase = STOPPING;
        break;
    case OPENING:
    case RESTORING:
        state->phase = STOPPING;
        break;
    default:
        break;
    }
}

static void start(acp_t *state, clb_step_t *out)
{
    if (!state->started) {
        state->started = 1;
        clb_step_event(out, CLB_EV_START);
    }
}

static void stop(acp_t *state, clb_stop_e reason, clb_step_t *out)
{
    start(state, out);
    clb_step_event(out, CLB_EV_USAGE)->u.usage = state->usage;
    clb_step_stop(out, reason, CLB_FATE_CLEAN);
}

/* --- what it says --- */

static void say(acp_t *state, clb_event_e kind, const char *text,
                clb_step_t *out)
{
    if (text != NULL && *text != '\0') {
        start(state, out);
        state->spoke = 1;
        clb_step_text(out, kind, text);
    }
}

/* Of Qwen Code: behind the answer's last word. */
static void count(acp_t *state, const clb_json_t *usage)
{
    clb_usage_t *u = &state->usage;
    apr_int64_t input = clb_json_get_integer(usage, "inputTokens", 0);

    if (usage == NULL) {
        return;
    }
    u->cache_read = clb_json_get_integer(usage, "cachedReadTokens", 0);
    u->output = clb_json_get_integer(usage, "outputTokens", 0);
    u->reasoning = clb_json_get_integer(usage, "thoughtTokens", 0);
    u->input = input > u->cache_read ? input - u->cache_read : 0;
}

/* Once all are known, the agent need not go on. */
static void call(acp_t *state, const clb_input_t *in,
                 const clb_acp_call_t *call, clb_step_t *out)
{
    apr_uint64_t id = clb_acp_hash(0, call->id);
    clb_event_t *event;

    if (call->name != NULL && (state->calls == 0 || id != state->last_call)) {
        start(state, out);
        event = clb_step_event(out, CLB_EV_CALL);
        event->u.call.id = call->id;
        event->u.call.name = call->name;
        clb_step_text(out, CLB_EV_ARGUMENTS, call->arguments);
        state->calls++;
        state->last_call = id;
    }
    if (clb_acp_kind(in->backend)->cancels && !state->cancelled
        && state->calls > 0 && state->calls >= state->announced) {
        state->cancelled = 1;
        clb_acp_cancel(state->session, out);
    }
}

static void update(acp_t *state, const clb_input_t *in,
                   const clb_json_t *params, clb_step_t *out)
{
    const clb_acp_kind_t *driver = clb_acp_kind(in->backend);
    clb_acp_call_t told = { 0 };
    static const char *const repeated[] = {
        "user_message_chunk", "agent_message_chunk"
    };
    const clb_json_t *news = clb_json_get(params, "update");
    const char *kind = clb_json_get_string(news, "sessionUpdate");
    const char *text = clb_json_string(clb_json_find(news, "content.text"));
    int i;

    for (i = 0; i < 2 && kind != NULL && state->replays > 0; i++) {
        if (strcmp(kind, repeated[i]) == 0) {
            state->replays--;
            return;
        }
    }
    if (state->phase != RUNNING || kind == NULL) {
        return;
    }
    if (strcmp(kind, "agent_message_chunk") == 0) {
        say(state, CLB_EV_TEXT, text, out);
        count(state, clb_json_find(news, "_meta.usage"));
    }
    else if (strcmp(kind, "agent_thought_chunk") == 0) {
        say(state, CLB_EV_REASONING, text == NULL ? NULL
            : clb_acp_thought(text), out);
    }
    else if (driver->told != NULL && in->chat != NULL) {
        switch (driver->told(in->chat, news, &told, out->pool)) {
        case CLB_ACP_ANNOUNCED:
            state->announced++;
            break;
        case CLB_ACP_CALL:
            /* the first one may come with a question */
            if (state->calls > 0 || driver->call == NULL) {
                call(state, in, &told, out);
            }
            break;
        default:
            break;
        }
    }
}

/* It asks whether it may call a tool: it may not, its client does. */
static void permission(acp_t *state, const clb_input_t *in,
                       const clb_json_t *json, clb_step_t *out)
{
    const clb_acp_kind_t *kind = clb_acp_kind(in->backend);
    clb_acp_call_t asked = { 0 };

    if (state->phase == RUNNING && in->chat != NULL && kind->call != NULL
        && kind->call(in->chat, clb_json_get(json, "params"), &asked,
                      out->pool)) {
        call(state, in, &asked, out);
    }
    clb_acp_refuse(clb_json_get(json, "id"), out);
}

static int is_ours(const acp_t *state, const clb_json_t *params)
{
    const char *session = clb_json_get_string(params, "sessionId");

    return session != NULL && *session != '\0'
        && strcmp(session, state->session) == 0;
}

static void news(acp_t *state, const clb_input_t *in, const char *method,
                 const clb_json_t *json, clb_step_t *out)
{
    const clb_json_t *params = clb_json_get(json, "params");
    const clb_json_t *id = clb_json_get(json, "id");

    if (strcmp(method, "session/request_permission") == 0 && id != NULL) {
        if (is_ours(state, params)) {
            permission(state, in, json, out);
        }
        else {
            clb_acp_refuse(id, out);
        }
    }
    else if (id != NULL) {
        clb_acp_decline(id, out);
    }
    else if (strcmp(method, "session/update") == 0 && is_ours(state, params)) {
        update(state, in, params, out);
    }
}

/* --- answers to our requests --- */

static void have_spare(acp_t *state, const clb_input_t *in,
                       const clb_json_t *result, clb_step_t *out)
{
    if (!state->making) {
        return;     /* it was given up: who knows what it was made from */
    }
    keep_id(state->spare, clb_json_get_string(result, "sessionId"));
    state->making = 0;
    if (state->phase == COLD) {
        if (clb_acp_kind(in->backend)->first != NULL) {
            state->spare_key = clb_acp_hash(0, clb_acp_kind(in->backend)
                                               ->first);
        }
        state->phase = QUIET;
        out->ready = *state->spare != '\0';
    }
    else if (state->phase == WAITING && in->chat != NULL) {
        begin(state, in, out);
    }
}

static void have_session(acp_t *state, const clb_input_t *in,
                         const clb_json_t *result, clb_step_t *out)
{
    const char *id = clb_json_get_string(result, "sessionId");

    if (id != NULL) {
        keep_id(state->session, id);
    }
    if (state->phase == STOPPING) {
        done(state, out);
        out->fate = CLB_FATE_CLEAN;
    }
    else if (state->phase == OPENING && in->chat != NULL) {
        opened(state, in, out);
    }
}

/* Of Gemini CLI: with the end of the turn. No tokens at all are those of an
 * answer that broke off: the CLI takes a stream without a last word for one
 * that is over. @return 0 for such a one */
static int count_quota(acp_t *state, const clb_json_t *result)
{
    const clb_json_t *tokens = clb_json_find(result,
                                             "_meta.quota.token_count");

    if (tokens != NULL) {
        state->usage.input = clb_json_get_integer(tokens, "input_tokens", 0);
        state->usage.output = clb_json_get_integer(tokens, "output_tokens",
                                                   0);
    }
    return tokens == NULL || state->usage.input + state->usage.output > 0;
}

/* The protocol's reasons are fewer than models have: that an answer reached
 * the limit that was set shows in its length alone. */
static int is_full(const acp_t *state)
{
    return state->limit > 0 && state->usage.output >= state->limit;
}

static void turn_ended(acp_t *state, const clb_json_t *result,
                       clb_step_t *out)
{
    const char *why = clb_json_get_string(result, "stopReason");
    int cut = why != NULL && strcmp(why, "max_tokens") == 0;
    int whole = count_quota(state, result);

    if (state->calls > 0) {
        stop(state, CLB_STOP_CALLS, out);
    }
    else if (why != NULL && strcmp(why, "refusal") == 0) {
        stop(state, CLB_STOP_FILTER, out);
    }
    else if (cut && !state->spoke) {
        clb_step_error(out, CLB_CONTEXT_LENGTH, "the conversation is too long "
                       "for the model", 0, CLB_FATE_SETTLE);
    }
    else if (why != NULL && strcmp(why, "max_turn_requests") == 0) {
        clb_step_error(out, CLB_UPSTREAM, "the model called a tool that there "
                       "is not, or not as its schema says", 0,
                       CLB_FATE_SETTLE);
    }
    else if (!cut && why != NULL && strcmp(why, "end_turn") != 0) {
        clb_step_error(out, CLB_CLI_FAILED, "the CLI gave up its answer", 0,
                       CLB_FATE_SETTLE);
    }
    else if (!state->spoke) {
        clb_step_error(out, CLB_UPSTREAM, "the model answered nothing", 0,
                       CLB_FATE_SETTLE);
    }
    else if (!whole) {
        clb_step_error(out, CLB_UPSTREAM, "the model's answer broke off", 0,
                       CLB_FATE_SETTLE);
    }
    else {
        stop(state, cut || is_full(state) ? CLB_STOP_LENGTH : CLB_STOP_END,
             out);
    }
    done(state, out);
}

static void refused(acp_t *state, const char *id, const clb_json_t *error,
                    clb_step_t *out)
{
    int stopping = state->phase == STOPPING;

    if (strcmp(id, CLB_ACP_SPARE) == 0 || state->phase == COLD) {
        /* what it cannot now it may never can */
        clb_acp_fail(id, error, out);
        out->fate = CLB_FATE_END;
        return;
    }
    if (state->phase == QUIET || (strcmp(id, CLB_ACP_MODEL) == 0
                                  && stopping)) {
        return;     /* the turn ended over another of its requests */
    }
    if (strcmp(id, CLB_ACP_MODEL) == 0) {
        /* its prompt is on its way, for another model */
        clb_acp_fail(id, error, out);
        out->fate = CLB_FATE_KILL;
        return;
    }
    if (stopping) {
        out->fate = CLB_FATE_CLEAN;
    }
    else {
        clb_acp_fail(id, error, out);
    }
    done(state, out);
}

static void answered(acp_t *state, const clb_input_t *in, const char *id,
                     const clb_json_t *json, clb_step_t *out)
{
    const clb_json_t *error = clb_json_get(json, "error");
    const clb_json_t *result = clb_json_get(json, "result");

    if (error != NULL) {
        refused(state, id, error, out);
    }
    else if (strcmp(id, CLB_ACP_HELLO) == 0) {
        state->making = 1;
        clb_acp_new(CLB_ACP_SPARE, 0, 0, out);
    }
    else if (strcmp(id, CLB_ACP_SPARE) == 0) {
        have_spare(state, in, result, out);
    }
    else if (strcmp(id, CLB_ACP_SESSION) == 0) {
        have_session(state, in, result, out);
    }
    else if (strcmp(id, CLB_ACP_HISTORY) == 0 && state->phase == RESTORING
             && in->chat != NULL) {
        ask(state, in, out);
    }
    else if ((strcmp(id, CLB_ACP_HISTORY) == 0
              || strcmp(id, CLB_ACP_PROMPT) == 0)
             && state->phase == STOPPING) {
        done(state, out);
        out->fate = CLB_FATE_CLEAN;
    }
    else if (strcmp(id, CLB_ACP_PROMPT) == 0 && state->phase == RUNNING) {
        turn_ended(state, result, out);
    }
}

static void line(acp_t *state, const clb_input_t *in, clb_step_t *out)
{
    const clb_json_t *json = clb_step_json(out, in);
    const char *id = clb_json_get_string(json, "id");
    const char *method = clb_json_get_string(json, "method");

    if (json == NULL && state->phase == WAITING && in->chat != NULL) {
        /* the beginning of the line is lost with who read it: it may have been
         * the answer that is waited for */
        state->making = 0;
        begin(state, in, out);
    }
    else if (method != NULL) {
        news(state, in, method, json, out);
    }
    else if (id != NULL) {
        answered(state, in, id, json, out);
    }
}

void clb_acp_step(void *data, const clb_input_t *in, clb_step_t *out)
{
    acp_t *state = data;

    /* the state may come from another process */
    state->session[CLB_ACP_ID - 1] = '\0';
    state->spare[CLB_ACP_ID - 1] = '\0';
    switch (in->kind) {
    case CLB_IN_WARM:
        clb_acp_hello(out);
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
