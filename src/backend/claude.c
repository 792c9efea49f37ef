/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver for Claude Code: `claude -p` with JSON lines both ways and its
 * control protocol. One process serves one conversation: only the first
 * `initialize` counts, so warming must not send one, and going on with the
 * conversation is one more user line. All of it was measured with 2.1.197 and
 * 2.1.329.
 */
#include "claude.h"

#include <apr_strings.h>
#include <string.h>

#define MODEL_SIZE 128

typedef struct claude_t {
    apr_uint32_t turn;       /* next of the chat's turns to write */
    apr_uint32_t offered;    /* the CLI told what tools it has */
    apr_uint32_t started;    /* a message_start was seen */
    apr_uint32_t goes_on;    /* and another one is to come */
    apr_uint32_t gap;        /* the next text is of another message */
    apr_uint64_t spoke;      /* bytes of text streamed */
    apr_uint32_t visible;    /* one of them was no blank */
    apr_uint32_t reasoned;   /* a stop reason was seen */
    apr_uint32_t calling;    /* the block that streams is a call */
    apr_uint32_t calls;      /* of the client's tools */
    apr_uint32_t own;        /* calls of the CLI's own tools */
    apr_uint32_t nested;     /* which may have asked a model, too */
    apr_uint32_t invented;   /* a call is of a tool that is not offered */
    apr_uint32_t answered;   /* the answer is whole; `result` is to come */
    apr_uint32_t failure;    /* clb_error_e named by a line before `result` */
    apr_uint32_t stop;       /* clb_stop_e of message_delta */
    apr_uint32_t sequence;   /* 1 + index of the stop sequence, 0 = none */
    apr_int64_t resets_at;   /* end of a used-up window, seconds since 1970 */
    clb_usage_t usage;       /* of the message that streams */
    clb_usage_t before;      /* of those before */
    clb_usage_t told;        /* of all requests, by the last `result` */
    char model[MODEL_SIZE];  /* that the CLI asks; empty = not told yet */
} claude_t;

static const char *const models[] = {
    "sonnet", "opus", "haiku", "claude-*", NULL
};

static const clb_scratch_t files[] = { { NULL, NULL, NULL } };

static unsigned traits(const clb_backend_t *backend)
{
    return CLB_PROBE | CLB_PARKS | CLB_SIGNS;
}

static unsigned can(const clb_backend_t *backend)
{
    return CLB_NEED_TOOLS | CLB_NEED_IMAGES | CLB_NEED_URLS
         | CLB_NEED_DOCUMENTS | CLB_NEED_JSON | CLB_NEED_SCHEMA;
}

static unsigned honours(const clb_backend_t *backend)
{
    return CLB_FIELD(CLB_TEMPERATURE) | CLB_FIELD(CLB_TOP_P)
         | CLB_FIELD(CLB_TOP_K) | CLB_FIELD(CLB_MAX_TOKENS)
         | CLB_FIELD(CLB_EFFORT) | CLB_FIELD(CLB_BUDGET)
         | CLB_FIELD(CLB_FORCED);
}

static void begin(claude_t *state, const clb_input_t *in, clb_step_t *out)
{
    clb_usage_t told = state->told;

    memset(state, 0, sizeof(*state));
    if (in->known > 0) {
        state->told = told;
        state->turn = (apr_uint32_t)in->known;
        clb_claude_history(in->chat, &state->turn, in->known,
                           in->chat->model, out);
    }
    else {
        clb_claude_ask(in->chat, &state->turn, out);
    }
}

static int replaying(const claude_t *state, const clb_input_t *in)
{
    return in->chat != NULL
        && state->turn < (apr_uint32_t)clb_chat_turns(in->chat)->nelts;
}

/* "sonnet" is a name for people; the CLI told which model it stands for. */
static const char *model_of(claude_t *state, const clb_input_t *in)
{
    state->model[MODEL_SIZE - 1] = '\0';
    return state->model[0] != '\0' ? state->model : in->chat->model;
}

/* Which of the chat's stop sequences @a text is, as state->sequence. */
static apr_uint32_t sequence_of(const clb_chat_t *chat, const char *text)
{
    int i;

    for (i = 0; text != NULL && chat != NULL && i < chat->stop->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(chat->stop, i, const char *), text) == 0) {
            return (apr_uint32_t)i + 1;
        }
    }
    return 0;
}

static void stop(claude_t *state, const clb_input_t *in, clb_step_t *out,
                 clb_fate_e fate)
{
    const apr_array_header_t *stops = in->chat == NULL ? NULL
                                                       : in->chat->stop;
    clb_usage_t usage = state->before;
    clb_event_t *event;

    clb_usage_add(&usage, &state->usage);
    clb_step_event(out, CLB_EV_USAGE)->u.usage = usage;
    event = clb_step_event(out, CLB_EV_STOP);
    event->u.stop = state->stop <= CLB_STOP_CALLS ? state->stop : CLB_STOP_END;
    if (stops != NULL && state->sequence > 0
        && state->sequence <= (apr_uint32_t)stops->nelts) {
        event->sequence = APR_ARRAY_IDX(stops, state->sequence - 1,
                                        const char *);
    }
    out->fate = fate;
}

/* What the CLI counts of all its requests until now; what of it is this turn's
 * is at least what its messages told. */
static void count_all(claude_t *state, const clb_json_t *result)
{
    clb_usage_t all = { 0 }, turn;

    clb_claude_count_all(&all, clb_json_get(result, "modelUsage"));
    turn = all;
    clb_usage_take(&turn, &state->told);
    state->told = all;
    clb_usage_add(&state->before, &state->usage);
    memset(&state->usage, 0, sizeof(state->usage));
    if (turn.output >= state->before.output) {
        turn.reasoning = state->before.reasoning;
        state->before = turn;
    }
}

static void result(claude_t *state, const clb_input_t *in,
                   const clb_json_t *json, clb_step_t *out)
{
    const char *text = clb_json_get_string(json, "result");

    if (clb_json_true(clb_json_get(json, "is_error"))) {
        clb_claude_fail(state->failure < CLB_ERRORS ? state->failure : CLB_OK,
                        state->resets_at, json, out);
        return;
    }
    if (replaying(state, in)) {
        clb_claude_history(in->chat, &state->turn, 0, model_of(state, in),
                           out);
        return;
    }
    if (!state->started) {
        /* e.g. a prompt that it took for one of its own commands */
        clb_step_error(out, CLB_CLI_FAILED, "the CLI ended the turn without "
                       "asking its model", 0, CLB_FATE_END);
        return;
    }
    if (state->spoke > 0 && (text == NULL || strlen(text) != state->spoke)) {
        /* the stream broke off and the CLI got the rest some other way */
        clb_step_error(out, CLB_UPSTREAM, "the model's API broke off its "
                       "answer", 0, CLB_FATE_END);
        return;
    }
    if (state->spoke == 0) {
        clb_step_text(out, CLB_EV_TEXT, text);
    }
    stop(state, in, out, CLB_FATE_END);
}

/* A further message comes only after the use of a tool of the CLI's own. */
static void next_message(claude_t *state)
{
    state->gap = state->gap || state->spoke > 0;
    state->goes_on = 0;
    state->spoke = 0;
    state->visible = state->reasoned = state->own = 0;
    clb_usage_add(&state->before, &state->usage);
    memset(&state->usage, 0, sizeof(state->usage));
}

static void message_start(claude_t *state, const clb_json_t *event,
                          clb_step_t *out)
{
    if (state->started && !state->goes_on) {
        clb_step_error(out, CLB_CLI_FAILED, "the CLI asked its model a second "
                       "time for one answer", 0, CLB_FATE_KILL);
        return;
    }
    if (state->started) {
        next_message(state);
    }
    clb_claude_count(&state->usage, clb_json_find(event, "message.usage"));
    if (!state->started) {
        clb_step_event(out, CLB_EV_START)->u.usage = state->usage;
    }
    state->started = 1;
}

/* The CLI runs the tool itself: that it does is all the client need know. */
static void own_call(claude_t *state, const char *name, clb_step_t *out)
{
    clb_event_t *note = clb_step_event(out, CLB_EV_NOTE);

    state->own++;
    state->nested = 1;
    note->u.note.kind = CLB_NOTE_TOOL;
    note->u.note.text = name;
}

static void call(claude_t *state, const clb_input_t *in,
                 const clb_json_t *block, clb_step_t *out)
{
    const char *id = clb_json_get_string(block, "id");
    const char *name = clb_json_get_string(block, "name"), *asked;
    clb_event_t *call;

    state->calling = id != NULL && name != NULL && in->chat != NULL;
    if (!state->calling) {
        return;
    }
    if (clb_claude_own(in->chat, name)) {
        state->calling = 0;
        own_call(state, name, out);
        return;
    }
    state->calls++;
    asked = clb_claude_asked(in->chat, name, out->pool);
    state->invented = state->invented || asked == NULL;
    call = clb_step_event(out, CLB_EV_CALL);
    call->u.call.id = id;
    call->u.call.name = asked == NULL ? name : asked;
}

static void block_start(claude_t *state, const clb_input_t *in,
                        const clb_json_t *event, clb_step_t *out)
{
    const clb_json_t *block = clb_json_get(event, "content_block");
    const char *type = clb_json_get_string(block, "type");

    state->calling = 0;
    if (type != NULL && strcmp(type, "tool_use") == 0) {
        call(state, in, block, out);
    }
    else if (type != NULL && strcmp(type, "redacted_thinking") == 0) {
        clb_step_text(out, CLB_EV_HIDDEN, clb_json_get_string(block, "data"));
    }
}

/* 1 if @a text has more than what JavaScript trims: the CLI takes an answer of
 * that for none. */
static int is_visible(const char *text)
{
    static const char *const blanks[] = {
        "\xc2\xa0", "\xe1\x9a\x80", "\xe2\x80\xa8", "\xe2\x80\xa9",
        "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80", "\xef\xbb\xbf"
    };
    apr_size_t i = 0;

    while (*text != '\0' && i < sizeof(blanks) / sizeof(*blanks)) {
        apr_size_t len = strspn(text, " \t\r\n\v\f");

        if (len == 0 && strncmp(text, "\xe2\x80", 2) == 0
            && (unsigned char)text[2] <= 0x8a) {
            len = 3;    /* U+2000 to U+200A */
        }
        for (i = 0; len == 0 && i < sizeof(blanks) / sizeof(*blanks); i++) {
            len = strncmp(text, blanks[i], strlen(blanks[i])) == 0
                ? strlen(blanks[i]) : 0;
        }
        text += len;
        i = len > 0 ? 0 : i;
    }
    return *text != '\0';
}

static void delta(claude_t *state, const clb_json_t *event, clb_step_t *out)
{
    const clb_json_t *delta = clb_json_get(event, "delta");
    const char *text = clb_json_get_string(delta, "text");

    if (text != NULL && *text != '\0') {
        clb_step_text(out, CLB_EV_TEXT, state->gap ? "\n\n" : NULL);
        state->gap = 0;
        state->spoke += strlen(text);
        state->visible |= (apr_uint32_t)is_visible(text);
        clb_step_text(out, CLB_EV_TEXT, text);
    }
    clb_step_text(out, CLB_EV_REASONING,
                  clb_json_get_string(delta, "thinking"));
    clb_step_text(out, CLB_EV_SIGNATURE,
                  clb_json_get_string(delta, "signature"));
    if (state->calling) {
        clb_step_text(out, CLB_EV_ARGUMENTS,
                      clb_json_get_string(delta, "partial_json"));
    }
}

/* At its limit the CLI sends a second, hidden request ("Resume directly"), so
 * it does after an answer nobody can see ("no visible output"), and 2.1.329
 * after a refusal too: the answer ends here, and so does the process. On a busy
 * machine the keeper's signal can come too late (2 to 4 of 100 turns); an
 * interrupt takes the shorter way. */
static void cut(claude_t *state, const clb_input_t *in, clb_stop_e reason,
                clb_step_t *out)
{
    clb_claude_interrupt(out);
    state->stop = reason;
    stop(state, in, out, CLB_FATE_KILL);
}

static void message_delta(claude_t *state, const clb_input_t *in,
                          const clb_json_t *event, clb_step_t *out)
{
    const clb_json_t *delta = clb_json_get(event, "delta");
    const char *reason = clb_json_get_string(delta, "stop_reason");

    clb_claude_count(&state->usage, clb_json_get(event, "usage"));
    if (reason == NULL) {
        return;     /* how 2.1.329 closes a stream that broke */
    }
    state->reasoned = 1;
    if (strcmp(reason, "max_tokens") == 0
        || strcmp(reason, "model_context_window_exceeded") == 0) {
        cut(state, in, CLB_STOP_LENGTH, out);
    }
    else if (strcmp(reason, "refusal") == 0) {
        cut(state, in, CLB_STOP_FILTER, out);
    }
    else if (strcmp(reason, "tool_use") == 0) {
        state->stop = CLB_STOP_CALLS;
    }
    else {
        state->stop = strcmp(reason, "stop_sequence") == 0 ? CLB_STOP_SEQUENCE
                                                           : CLB_STOP_END;
        state->sequence = sequence_of(in->chat, clb_json_get_string(delta,
                                          "stop_sequence"));
        if (!state->visible) {
            cut(state, in, state->stop, out);
        }
    }
}

/* The client has all it asked for. A call of a tool that does not exist the CLI
 * would answer itself, with one more request; so it would one of its own beside
 * the client's, whose results it does not have. */
static void message_stop(claude_t *state, const clb_input_t *in,
                         clb_step_t *out)
{
    if (state->invented || (state->own > 0 && state->calls > 0)) {
        cut(state, in, state->stop, out);
    }
    else if (state->own > 0 && state->stop == CLB_STOP_CALLS) {
        state->goes_on = 1;
    }
    else if (state->reasoned) {
        state->answered = 1;
        if (!state->nested) {
            stop(state, in, out, CLB_FATE_PARK);
        }
    }
}

static void stream_event(claude_t *state, const clb_input_t *in,
                         const clb_json_t *json, clb_step_t *out)
{
    const clb_json_t *event = clb_json_get(json, "event");
    const char *type = clb_json_get_string(event, "type");

    if (type == NULL || clb_json_get(json, "parent_tool_use_id") != NULL) {
        return;
    }
    if (strcmp(type, "message_start") == 0) {
        message_start(state, event, out);
    }
    else if (!state->started) {
        return;
    }
    else if (strcmp(type, "content_block_start") == 0) {
        block_start(state, in, event, out);
    }
    else if (strcmp(type, "content_block_delta") == 0) {
        delta(state, event, out);
    }
    else if (strcmp(type, "message_delta") == 0) {
        message_delta(state, in, event, out);
    }
    else if (strcmp(type, "message_stop") == 0) {
        message_stop(state, in, out);
    }
}

/* Without the mark of a larger context, which the model does not have. */
static void take_model(claude_t *state, const char *model)
{
    apr_size_t len = model == NULL ? 0 : strcspn(model, "[");

    if (len < MODEL_SIZE) {
        apr_cpystrn(state->model, model == NULL ? "" : model, len + 1);
    }
}

/* The CLI says whom it asks, and what it can use. A tool that it cannot, it
 * leaves out without a word, and some schemas make it leave out all. */
static void init(claude_t *state, const clb_input_t *in,
                 const clb_json_t *json, clb_step_t *out)
{
    const char *lost = state->offered || in->chat == NULL ? NULL
        : clb_claude_lost(in->chat, clb_json_get(json, "tools"), out->pool);

    take_model(state, clb_json_get_string(json, "model"));
    state->offered = 1;
    if (lost != NULL) {
        clb_claude_interrupt(out);
        clb_step_error(out, CLB_BAD_REQUEST, apr_pstrcat(out->pool, "the CLI "
            "does not take these tools, or the schema of one of them: ", lost,
            NULL), 0, CLB_FATE_KILL);
    }
}

static void news(claude_t *state, const clb_input_t *in,
                 const clb_json_t *json, clb_step_t *out)
{
    const char *subtype = clb_json_get_string(json, "subtype");

    if (subtype != NULL && strcmp(subtype, "api_retry") == 0) {
        clb_claude_retry(state->started, json, out);
    }
    else if (subtype != NULL && strcmp(subtype, "init") == 0) {
        init(state, in, json, out);
    }
}

static void control_response(const clb_json_t *json, clb_step_t *out)
{
    const clb_json_t *response = clb_json_get(json, "response");
    const char *id = clb_json_get_string(response, "request_id");
    const char *error = clb_json_get_string(response, "error");

    if (error != NULL) {
        clb_step_error(out, CLB_CLI_FAILED, apr_pstrcat(out->pool,
            "the CLI refused a control request: ", error, NULL), 0,
            CLB_FATE_END);
    }
    else if (id != NULL && strcmp(id, CLB_CLAUDE_WARMED) == 0) {
        out->ready = 1;
    }
}

/* The CLI asks us for the client's tools, and before it uses one. There is
 * nothing else that it could ask for. */
static void control_request(const clb_input_t *in, const clb_json_t *json,
                            clb_step_t *out)
{
    const char *id = clb_json_get_string(json, "request_id");
    const clb_json_t *request = clb_json_get(json, "request");
    const char *subtype = clb_json_get_string(request, "subtype");
    clb_json_t *answer = NULL;

    if (id == NULL) {
        return;
    }
    if (subtype != NULL && strcmp(subtype, "mcp_message") == 0) {
        answer = clb_claude_mcp(in->chat, clb_json_get(request, "message"),
                                out->pool);
    }
    else if (subtype != NULL && strcmp(subtype, "hook_callback") == 0) {
        answer = clb_json_pack(out->pool, "{s:{s:s, s:s}}",
            "hookSpecificOutput", "hookEventName", "PreToolUse",
            "permissionDecision", clb_claude_own(in->chat, clb_json_string(
                clb_json_find(request, "input.tool_name"))) ? "allow"
            : "defer");
    }
    clb_claude_put(out, answer != NULL
        ? clb_json_pack(out->pool, "{s:s, s:{s:s, s:s, s:O}}", "type",
              "control_response", "response", "subtype", "success",
              "request_id", id, "response", answer)
        : clb_json_pack(out->pool, "{s:s, s:{s:s, s:s, s:s}}", "type",
              "control_response", "response", "subtype", "error",
              "request_id", id, "error", "not available"));
}

/* The process is done with an answer, whose end may not be told yet. */
static void finish(claude_t *state, const clb_input_t *in, clb_fate_e fate,
                   clb_step_t *out)
{
    if (state->nested) {
        state->nested = 0;
        stop(state, in, out, fate);
    }
    out->fate = fate;
}

/* The answer is whole. The process can go on when `result` says so; one that
 * asks its model again by itself cannot. */
static void after_answer(claude_t *state, const clb_input_t *in,
                         const char *type, const clb_json_t *json,
                         clb_step_t *out)
{
    const char *event = clb_json_string(clb_json_find(json, "event.type"));

    if (strcmp(type, "result") == 0) {
        count_all(state, json);
        finish(state, in, clb_json_true(clb_json_get(json, "is_error"))
               ? CLB_FATE_END : CLB_FATE_CLEAN, out);
    }
    else if (strcmp(type, "stream_event") == 0 && event != NULL
             && strcmp(event, "message_start") == 0) {
        finish(state, in, CLB_FATE_KILL, out);
    }
    else if (strcmp(type, "control_request") == 0) {
        control_request(in, json, out);
    }
}

static void line(claude_t *state, const clb_input_t *in, clb_step_t *out)
{
    const clb_json_t *json = clb_step_json(out, in);
    const char *type = clb_json_get_string(json, "type"), *name;

    if (type == NULL) {
        return;
    }
    if (state->answered) {
        after_answer(state, in, type, json, out);
    }
    else if (strcmp(type, "stream_event") == 0) {
        stream_event(state, in, json, out);
    }
    else if (strcmp(type, "result") == 0) {
        result(state, in, json, out);
    }
    else if (strcmp(type, "control_response") == 0) {
        control_response(json, out);
    }
    else if (strcmp(type, "control_request") == 0) {
        control_request(in, json, out);
    }
    else if (strcmp(type, "rate_limit_event") == 0) {
        state->resets_at = clb_claude_limit(state->resets_at, json, out);
    }
    else if (strcmp(type, "assistant") == 0) {
        name = clb_json_get_string(json, "error");
        state->failure = name == NULL ? state->failure : clb_claude_kind(name);
    }
    else if (strcmp(type, "system") == 0) {
        news(state, in, json, out);
    }
}

static void step(void *state, const clb_input_t *in, clb_step_t *out)
{
    switch (in->kind) {
    case CLB_IN_WARM:
        clb_claude_warm(out);
        break;
    case CLB_IN_CHAT:
        begin(state, in, out);
        break;
    case CLB_IN_LINE:
        line(state, in, out);
        break;
    case CLB_IN_EXIT:
        clb_step_exit(out, in);
        break;
    case CLB_IN_CANCEL:
        out->fate = CLB_FATE_END;
        break;
    case CLB_IN_DATA:
        break;
    }
}

const clb_driver_t clb_driver_claude = {
    .name = "claude",
    .args = clb_claude_args,
    .env = clb_claude_env,
    .web = clb_claude_web,
    .models = models,
    .files = files,
    .trial = &clb_claude_trial,
    .question = &clb_claude_question,
    .setup = &clb_claude_setup,
    .warm = { CLB_WARM_ADAPTIVE, 1, 0, 0 },
    .state_size = sizeof(claude_t),
    .traits = traits,
    .can = can,
    .honours = honours,
    .step = step,
};
