/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the driver claude writes to its CLI: warm-up, the settings of a chat,
 * native history, the question.
 */
#include "claude.h"

#include <apr_strings.h>
#include <math.h>
#include <string.h>

void clb_claude_put(clb_step_t *out, const clb_json_t *json)
{
    clb_json_write(&out->lines, json);
    clb_buf_puts(&out->lines, "\n");
}

static void control(clb_step_t *out, const char *id, const clb_json_t *request)
{
    clb_claude_put(out, clb_json_pack(out->pool, "{s:s, s:s, s:O}",
        "type", "control_request", "request_id", id, "request", request));
}

/* Readiness is the answer to the second line; the empty settings take the
 * 30-48 ms that the first ones of a process cost. */
void clb_claude_warm(clb_step_t *out)
{
    control(out, CLB_CLAUDE_VERSION, clb_json_pack(out->pool, "{s:s}",
        "subtype", "get_binary_version"));
    control(out, CLB_CLAUDE_WARMED, clb_json_pack(out->pool, "{s:s, s:{}}",
        "subtype", "apply_flag_settings", "settings"));
}

void clb_claude_interrupt(clb_step_t *out)
{
    control(out, "x", clb_json_pack(out->pool, "{s:s}", "subtype",
                                    "interrupt"));
}

/* set_model would put three fake user messages into the conversation, so the
 * model is that of an agent chosen on the command line and defined here. The
 * agent's own prompt takes the place of an empty system prompt, but not of an
 * empty list of them. */
static void initialize(const clb_chat_t *chat, clb_step_t *out)
{
    control(out, "i", clb_json_pack(out->pool,
        "{s:s, s:[s*], s:s, s:{s:{s:s, s:s, s:s}}}",
        "subtype", "initialize", "systemPrompt", chat->system,
        "title", "x", "agents", "bridge", "description", "b", "prompt", "b",
        "model", chat->model));
}

/* Sampling away from the default excludes thinking in the vendor's API. */
static int samples(const clb_chat_t *chat)
{
    return clb_chat_given(chat, CLB_TEMPERATURE)
        || clb_chat_given(chat, CLB_TOP_P)
        || clb_chat_given(chat, CLB_TOP_K);
}

static void thinking(const clb_chat_t *chat, clb_step_t *out)
{
    apr_int64_t budget = -1;

    if (clb_chat_given(chat, CLB_BUDGET)) {
        budget = chat->budget;
    }
    else if (chat->effort == CLB_EFFORT_NONE
             || chat->effort == CLB_EFFORT_MINIMAL || samples(chat)) {
        budget = 0;
    }
    if (budget >= 0) {
        control(out, "k", clb_json_pack(out->pool, "{s:s, s:I}", "subtype",
            "set_max_thinking_tokens", "max_thinking_tokens",
            (long long)budget));
    }
}

static const char *effort_level(clb_effort_e effort)
{
    switch (effort) {
    case CLB_EFFORT_UNSET: case CLB_EFFORT_NONE: return NULL;
    case CLB_EFFORT_MINIMAL: return "low";
    default: return clb_effort_name(effort);
    }
}

/* The vendor refuses stop sequences of white space; core cuts at those. */
static clb_json_t *stop_sequences(const clb_chat_t *chat, apr_pool_t *pool)
{
    clb_json_t *list = clb_json_pack(pool, "[]");
    int i;

    for (i = 0; i < chat->stop->nelts; i++) {
        const char *stop = APR_ARRAY_IDX(chat->stop, i, const char *);

        if (stop[strspn(stop, " \t\r\n\v\f")] != '\0') {
            clb_json_append(list, clb_json_pack(pool, "s", stop));
        }
    }
    return list;
}

/* Members merged over the body of every request the process sends. */
static clb_json_t *extra_body(const clb_chat_t *chat, apr_pool_t *pool)
{
    clb_json_t *body = clb_json_pack(pool, "{}");
    clb_json_t *stop = stop_sequences(chat, pool);

    if (clb_chat_given(chat, CLB_TEMPERATURE)) {
        /* OpenAI's scale ends at 2, the vendor's at 1 */
        clb_json_set(body, "temperature", clb_json_pack(pool, "f",
                     fmin(chat->temperature, 1.0)));
    }
    if (clb_chat_given(chat, CLB_TOP_P)) {
        clb_json_set(body, "top_p", clb_json_pack(pool, "f", chat->top_p));
    }
    if (clb_chat_given(chat, CLB_TOP_K)) {
        clb_json_set(body, "top_k", clb_json_pack(pool, "I",
                                                  (long long)chat->top_k));
    }
    if (clb_json_size(stop) > 0) {
        clb_json_set(body, "stop_sequences", stop);
    }
    return body;
}

static void settings(const clb_chat_t *chat, clb_step_t *out)
{
    const char *level = effort_level(chat->effort);
    clb_json_t *body = extra_body(chat, out->pool);
    clb_json_t *vars = clb_json_pack(out->pool, "{}");

    if (clb_json_size(body) > 0) {
        clb_json_set(vars, "CLAUDE_CODE_EXTRA_BODY", clb_json_pack(out->pool,
                     "s", clb_json_text(out->pool, body)));
    }
    if (clb_chat_given(chat, CLB_MAX_TOKENS)) {
        clb_json_set(vars, "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
                     clb_json_pack(out->pool, "s", apr_psprintf(out->pool,
                         "%" APR_INT64_T_FMT, chat->max_tokens)));
    }
    if (level != NULL || clb_json_size(vars) > 0) {
        control(out, "f", clb_json_pack(out->pool, "{s:s, s:{s:s*, s:O}}",
            "subtype", "apply_flag_settings", "settings",
            "effortLevel", level, "env", vars));
    }
}

/* Content as blocks. The empty block at the end is dropped by the CLI and
 * keeps it from reading a leading "/word" as one of its commands. */
static clb_json_t *content(const clb_message_t *message, apr_pool_t *pool)
{
    clb_json_t *blocks = clb_json_pack(pool, "[]");
    int i;

    for (i = 0; i < message->parts->nelts; i++) {
        clb_json_append(blocks, clb_json_pack(pool, "{s:s, s:s}", "type",
            "text", "text",
            APR_ARRAY_IDX(message->parts, i, clb_part_t).text));
    }
    if (message->role == CLB_ROLE_USER) {
        clb_json_append(blocks, clb_json_pack(pool, "{s:s, s:s}", "type",
                                              "text", "text", ""));
    }
    return blocks;
}

static void assistant_line(const clb_chat_t *chat, clb_step_t *out, int i,
                           const clb_message_t *message)
{
    /* without an id of its own a message is merged into the one before */
    clb_claude_put(out, clb_json_pack(out->pool,
        "{s:s, s:{s:s, s:s, s:s, s:s, s:O}, s:n}", "type", "assistant",
        "message", "id", apr_psprintf(out->pool, "msg_h%d", i), "type",
        "message", "role", "assistant", "model", chat->model, "content",
        content(message, out->pool), "parent_tool_use_id"));
}

static void user_line(clb_step_t *out, const clb_message_t *message, int last)
{
    clb_json_t *line = clb_json_pack(out->pool, "{s:s, s:{s:s, s:O}, s:n}",
        "type", "user", "message", "role", "user", "content",
        content(message, out->pool), "parent_tool_use_id");

    if (!last) {
        clb_json_set(line, "shouldQuery", clb_json_pack(out->pool, "b", 0));
    }
    clb_claude_put(out, line);
}

/* Write turns up to and including the next user's: the CLI appends user lines
 * asynchronously, so each one must be acknowledged before the next. */
void clb_claude_history(clb_chat_t *chat, apr_uint32_t *next, clb_step_t *out)
{
    const apr_array_header_t *turns = clb_chat_turns(chat);

    while (*next < (apr_uint32_t)turns->nelts) {
        int i = (int)(*next)++;
        const clb_message_t *message = &APR_ARRAY_IDX(turns, i,
                                                      clb_message_t);

        if (message->role == CLB_ROLE_USER) {
            user_line(out, message, i == turns->nelts - 1);
            return;
        }
        assistant_line(chat, out, i, message);
    }
}

void clb_claude_ask(clb_chat_t *chat, apr_uint32_t *next, clb_step_t *out)
{
    initialize(chat, out);
    thinking(chat, out);
    settings(chat, out);
    *next = 0;
    clb_claude_history(chat, next, out);
}
