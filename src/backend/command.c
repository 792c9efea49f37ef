/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver for any program. One program per request: the conversation as
 * plain text on stdin (clb_chat_plain), stdout is the answer as it comes, the
 * exit status tells success; the whole request as JSON is in the file named by
 * CLIBRIDGE_REQUEST. Or, with CLIBridgeReuse lines, a persistent program: one
 * JSON line in, JSON lines out until {"done":true}.
 */
#include "driver.h"

#include "../core/json.h"

#include <apr_strings.h>
#include <string.h>
#include <sysexits.h>

typedef struct command_t {
    char held[4];            /* a UTF-8 sequence cut by the end of a read */
    apr_uint32_t nheld;
    apr_uint32_t started;
} command_t;

/* All of them are the operator's. */
static void args(const clb_start_t *start, apr_array_header_t *argv)
{
}

static unsigned traits(const clb_backend_t *backend)
{
    return backend->reuse == CLB_REUSE_LINES ? CLB_REUSE : CLB_RAW;
}

static unsigned can(const clb_backend_t *backend)
{
    return CLB_NEED_PREFILL;
}

static unsigned honours(const clb_backend_t *backend)
{
    return backend->reuse == CLB_REUSE_LINES
         ? CLB_FIELD(CLB_TEMPERATURE) | CLB_FIELD(CLB_TOP_P)
           | CLB_FIELD(CLB_TOP_K) | CLB_FIELD(CLB_MAX_TOKENS)
           | CLB_FIELD(CLB_EFFORT) | CLB_FIELD(CLB_BUDGET)
         : 0;
}

static clb_json_t *messages_json(const clb_chat_t *chat)
{
    clb_json_t *list = clb_json_pack(chat->pool, "[]");
    int i, j;

    for (i = 0; i < chat->messages->nelts; i++) {
        const clb_message_t *message = &APR_ARRAY_IDX(chat->messages, i,
                                                      clb_message_t);
        clb_buf_t text;

        clb_buf_init(&text, chat->pool, 256);
        for (j = 0; j < message->parts->nelts; j++) {
            const clb_part_t *part = &APR_ARRAY_IDX(message->parts, j,
                                                    clb_part_t);

            if (part->kind == CLB_PART_TEXT) {
                clb_buf_puts(&text, part->text);
            }
        }
        clb_json_append(list, clb_json_pack(chat->pool, "{s:s, s:s}", "role",
            message->role == CLB_ROLE_USER ? "user" : "assistant",
            "content", text.data));
    }
    return list;
}

static void set_number(clb_json_t *json, const clb_chat_t *chat,
                       clb_field_e field, const char *key, double value)
{
    if (clb_chat_given(chat, field)) {
        clb_json_set(json, key, clb_json_pack(chat->pool, "f", value));
    }
}

static void set_integer(clb_json_t *json, const clb_chat_t *chat,
                        clb_field_e field, const char *key, apr_int64_t value)
{
    if (clb_chat_given(chat, field)) {
        clb_json_set(json, key, clb_json_pack(chat->pool, "I",
                                              (long long)value));
    }
}

/* The request as the program gets it: README "Bridging a program". */
static const char *request_json(const clb_chat_t *chat)
{
    clb_json_t *stop = clb_json_pack(chat->pool, "[]");
    clb_json_t *json = clb_json_pack(chat->pool, "{s:s, s:s*, s:O, s:O}",
        "model", chat->model, "system", chat->system,
        "messages", messages_json(chat), "stop", stop);
    int i;

    for (i = 0; i < chat->stop->nelts; i++) {
        clb_json_append(stop, clb_json_pack(chat->pool, "s",
            APR_ARRAY_IDX(chat->stop, i, const char *)));
    }
    set_number(json, chat, CLB_TEMPERATURE, "temperature", chat->temperature);
    set_number(json, chat, CLB_TOP_P, "top_p", chat->top_p);
    set_integer(json, chat, CLB_TOP_K, "top_k", chat->top_k);
    set_integer(json, chat, CLB_MAX_TOKENS, "max_tokens", chat->max_tokens);
    set_integer(json, chat, CLB_BUDGET, "reasoning_budget", chat->budget);
    if (chat->effort != CLB_EFFORT_UNSET) {
        clb_json_set(json, "reasoning_effort", clb_json_pack(chat->pool, "s",
                     clb_effort_name(chat->effort)));
    }
    return clb_json_text(chat->pool, json);
}

static void begin(const clb_input_t *in, clb_step_t *out)
{
    const char *json = request_json(in->chat);

    if (traits(in->backend) & CLB_REUSE) {
        clb_buf_puts(&out->lines, json);
        clb_buf_puts(&out->lines, "\n");
        return;
    }
    clb_step_file(out, 0, json, strlen(json));
    clb_buf_puts(&out->lines, clb_chat_plain(in->chat));
    out->close_stdin = 1;
}

static void start(command_t *state, clb_step_t *out)
{
    if (!state->started) {
        state->started = 1;
        clb_step_event(out, CLB_EV_START);
    }
}

static void data(command_t *state, const clb_input_t *in, clb_step_t *out)
{
    clb_buf_t text;
    apr_size_t tail;

    start(state, out);
    clb_buf_init(&text, out->pool, in->len + sizeof(state->held));
    clb_buf_add(&text, state->held, state->nheld % sizeof(state->held));
    clb_buf_add(&text, in->data, in->len);
    tail = clb_utf8_tail(text.data, text.len);
    state->nheld = (apr_uint32_t)tail;
    memcpy(state->held, text.data + text.len - tail, tail);
    clb_step_text(out, CLB_EV_TEXT,
                  clb_utf8_clean(out->pool, text.data, text.len - tail, NULL));
}

/* sysexits(3) is how a program tells whose fault it was. */
static clb_error_e kind_of_exit(int status)
{
    switch (status) {
    case EX_USAGE: case EX_DATAERR: return CLB_BAD_REQUEST;
    case EX_UNAVAILABLE: case EX_TEMPFAIL: return CLB_OVERLOADED;
    case EX_NOPERM: return CLB_LOGIN_REQUIRED;
    default: return CLB_CLI_FAILED;
    }
}

static void ended(command_t *state, const clb_input_t *in, clb_step_t *out)
{
    if (in->status == 0 && traits(in->backend) & CLB_RAW) {
        start(state, out);
        clb_step_text(out, CLB_EV_TEXT,
                      clb_utf8_clean(out->pool, state->held,
                                     state->nheld % sizeof(state->held),
                                     NULL));
        clb_step_stop(out, CLB_STOP_END, CLB_FATE_END)->exit
            = clb_step_ended(out, in);
        return;
    }
    clb_step_exit(out, in)->u.error.kind = kind_of_exit(in->status);
}

static void usage(const clb_json_t *json, clb_step_t *out)
{
    clb_json_t *usage = clb_json_get(json, "usage");
    clb_usage_t *u;

    if (clb_json_is_object(usage)) {
        u = &clb_step_event(out, CLB_EV_USAGE)->u.usage;
        u->input = clb_json_get_integer(usage, "input_tokens", 0);
        u->output = clb_json_get_integer(usage, "output_tokens", 0);
        u->cache_read = clb_json_get_integer(usage, "cache_read_tokens", 0);
        u->reasoning = clb_json_get_integer(usage, "reasoning_tokens", 0);
    }
}

/* 1 if a line is of the protocol, and not an object a program logs. */
static int speaks(const clb_json_t *json)
{
    static const char *const members[] = {
        "text", "reasoning", "usage", "error", "done", NULL
    };
    int i;

    for (i = 0; members[i] != NULL; i++) {
        if (clb_json_get(json, members[i]) != NULL) {
            return 1;
        }
    }
    return 0;
}

/* {"error": "text"} or {"error": {"message": "text"}}. */
static const char *error_text(const clb_json_t *json)
{
    const char *text = clb_json_get_string(json, "error");

    if (text == NULL) {
        text = clb_json_string(clb_json_find(json, "error.message"));
    }
    return text != NULL ? text : "the program reported an error";
}

static void line(command_t *state, const clb_input_t *in, clb_step_t *out)
{
    const clb_json_t *json = clb_step_json(out, in);
    const char *text;

    /* a program's stray print must not end the answer */
    if (!speaks(json)) {
        return;
    }
    start(state, out);
    clb_step_text(out, CLB_EV_REASONING,
                  clb_json_get_string(json, "reasoning"));
    clb_step_text(out, CLB_EV_TEXT, clb_json_get_string(json, "text"));
    usage(json, out);
    if (clb_json_get(json, "error") != NULL) {
        text = error_text(json);
        clb_step_error(out, clb_error_of_upstream(
                           clb_json_get_integer(json, "status", 500)), text,
                       clb_step_wait(clb_json_get_integer(
                           json, "retry_after", 0), APR_USEC_PER_SEC),
                       CLB_FATE_CLEAN);
    }
    else if (clb_json_true(clb_json_get(json, "done"))) {
        text = clb_json_get_string(json, "stop");
        clb_step_stop(out, text != NULL && strcmp(text, "length") == 0
                      ? CLB_STOP_LENGTH : CLB_STOP_END, CLB_FATE_CLEAN);
    }
    if (out->fate != CLB_FATE_NONE) {
        state->started = 0;
    }
}

static void step(void *state, const clb_input_t *in, clb_step_t *out)
{
    switch (in->kind) {
    case CLB_IN_WARM:
        out->ready = 1;
        break;
    case CLB_IN_CHAT:
        begin(in, out);
        break;
    case CLB_IN_DATA:
        data(state, in, out);
        break;
    case CLB_IN_LINE:
        line(state, in, out);
        break;
    case CLB_IN_EXIT:
        ended(state, in, out);
        break;
    case CLB_IN_CANCEL:
        if (traits(in->backend) & CLB_REUSE) {
            clb_buf_puts(&out->lines, "{\"cancel\":true}\n");
            out->fate = CLB_FATE_SETTLE;
        }
        else {
            out->fate = CLB_FATE_END;
        }
        break;
    }
}

static const char *const none[] = { NULL };

static const clb_scratch_t files[] = {
    { "request.json", "CLIBRIDGE_REQUEST", NULL },
    { NULL, NULL, NULL }
};

const clb_driver_t clb_driver_command = {
    .name = "command",
    .args = args,
    .env = none,
    .models = none,
    .files = files,
    .warm = { CLB_WARM_NONE, 0, 0, 0 },
    .state_size = sizeof(command_t),
    .traits = traits,
    .can = can,
    .honours = honours,
    .step = step,
};
