/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the driver claude writes to its CLI: warm-up, the settings of a chat,
 * native history, the question.
 */
#include "claude.h"

#include <apr_strings.h>
#include <math.h>
#include <string.h>

/* The vendor's API knows schemas, but no way to ask for any object. */
#define JSON_ONLY "Answer with one JSON object and nothing else: no " \
    "explanation, no code fence."

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
    clb_json_t *request = clb_json_pack(out->pool,
        "{s:s, s:[s*, s*, s*], s:s, s:{s:{s:s, s:s, s:s}}}",
        "subtype", "initialize", "systemPrompt", chat->system,
        clb_claude_manual(chat, out->pool), chat->format == CLB_FORMAT_JSON
        ? JSON_ONLY : NULL, "title", "x", "agents", "bridge", "description",
        "b", "prompt", "b", "model", chat->model);

    if (clb_claude_offers(chat)) {
        clb_json_set(request, "sdkMcpServers", clb_json_pack(out->pool, "[s]",
                     "c"));
        clb_json_set(request, "hooks", clb_json_pack(out->pool,
            "{s:[{s:[s]}]}", "PreToolUse", "hookCallbackIds", "defer"));
    }
    control(out, "i", request);
}

/* Sampling away from the default and forced calls exclude thinking in the
 * vendor's API. */
static int excludes_thinking(const clb_chat_t *chat)
{
    return clb_chat_given(chat, CLB_TEMPERATURE)
        || clb_chat_given(chat, CLB_TOP_P)
        || clb_chat_given(chat, CLB_TOP_K)
        || chat->choice == CLB_CHOICE_REQUIRED
        || chat->choice == CLB_CHOICE_NAMED;
}

/* Tokens of reasoning, -1 = as the CLI says. */
static apr_int64_t budget_of(const clb_chat_t *chat)
{
    if (chat->effort == CLB_EFFORT_NONE || chat->effort == CLB_EFFORT_MINIMAL
        || excludes_thinking(chat)) {
        return 0;
    }
    return clb_chat_given(chat, CLB_BUDGET) ? chat->budget : -1;
}

static void thinking(const clb_chat_t *chat, clb_step_t *out)
{
    apr_int64_t budget = budget_of(chat);

    if (budget >= 0 || chat->display != NULL) {
        control(out, "k", clb_json_pack(out->pool, "{s:s, s:O, s:s*}",
            "subtype", "set_max_thinking_tokens", "max_thinking_tokens",
            clb_json_pack(out->pool, budget < 0 ? "n" : "I",
                          (long long)budget),
            "thinking_display", chat->display));
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

        if (stop[clb_blanks(stop)] != '\0') {
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
    clb_json_t *choice = clb_claude_choice(chat, pool), *schema;
    const char *why;

    if (choice != NULL) {
        clb_json_set(body, "tool_choice", choice);
    }
    if (chat->format == CLB_FORMAT_SCHEMA
        && clb_json_parse(&schema, chat->schema, strlen(chat->schema),
                          CLB_JSON_LENIENT, &why, pool) == APR_SUCCESS) {
        clb_json_set(body, "output_config", clb_json_pack(pool,
            "{s:{s:s, s:O}}", "format", "type", "json_schema", "schema",
            schema));
    }
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
    if (chat->model_thinks && budget_of(chat) < 0) {
        clb_json_set(vars, "CLAUDE_CODE_DISABLE_THINKING",
                     clb_json_pack(out->pool, "s", "1"));
    }
    if (level != NULL || clb_json_size(vars) > 0) {
        control(out, "f", clb_json_pack(out->pool, "{s:s, s:{s:s*, s:O}}",
            "subtype", "apply_flag_settings", "settings",
            "effortLevel", level, "env", vars));
    }
}

static clb_json_t *media_block(const clb_part_t *part, apr_pool_t *pool)
{
    const char *type = part->kind == CLB_PART_IMAGE ? "image" : "document";

    if (part->url != NULL) {
        return clb_json_pack(pool, "{s:s, s:{s:s, s:s}}", "type", type,
                             "source", "type", "url", "url", part->url);
    }
    return clb_json_pack(pool, "{s:s, s:{s:s, s:s, s:s}, s:s*}", "type", type,
        "source", "type", part->data != NULL ? "base64" : "text",
        "media_type", part->media, "data", part->data != NULL ? part->data
        : part->text, "title", part->name);
}

/* What is written of a turn depends on where it stands. */
typedef struct place_t {
    clb_chat_t *chat;
    const apr_array_header_t *turns;
    int turn;
    int known;           /* turns that the CLI and the model have ids for */
    const char *model;   /* that gave the answers */
    apr_pool_t *pool;
} place_t;

static const char *id_of(const place_t *at, const clb_part_t *part)
{
    return clb_chat_call_id(at->chat, at->turn, part, at->known, "toolu_h",
                            at->pool);
}

static clb_json_t *blocks(const place_t *at, const apr_array_header_t *parts);

static clb_json_t *thinking_block(const clb_part_t *part, apr_pool_t *pool)
{
    return part->data != NULL
         ? clb_json_pack(pool, "{s:s, s:s}", "type", "redacted_thinking",
                         "data", part->data)
         : clb_json_pack(pool, "{s:s, s:s, s:s}", "type", "thinking",
                         "thinking", part->text, "signature",
                         part->signature);
}

static clb_json_t *result_block(const place_t *at, const clb_part_t *part)
{
    clb_json_t *block = clb_json_pack(at->pool, "{s:s, s:s, s:O}", "type",
        "tool_result", "tool_use_id", id_of(at, part), "content",
        blocks(at, part->parts));

    if (part->failed) {
        clb_json_set(block, "is_error", clb_json_pack(at->pool, "b", 1));
    }
    return block;
}

static clb_json_t *call_block(const place_t *at, const clb_part_t *part)
{
    clb_json_t *input = NULL;
    const char *why;

    clb_json_parse(&input, part->text, strlen(part->text), CLB_JSON_LENIENT,
                   &why, at->pool);
    return clb_json_pack(at->pool, "{s:s, s:s, s:s, s:O}", "type", "tool_use",
        "id", id_of(at, part), "name", clb_claude_tool(at->chat, part->name,
        at->pool), "input", input);
}

static clb_json_t *block(const place_t *at, const clb_part_t *part)
{
    switch (part->kind) {
    case CLB_PART_IMAGE:
    case CLB_PART_DOCUMENT:
        return media_block(part, at->pool);
    case CLB_PART_CALL:
        return call_block(at, part);
    case CLB_PART_RESULT:
        return result_block(at, part);
    case CLB_PART_REASONING:
        return thinking_block(part, at->pool);
    default:
        return clb_json_pack(at->pool, "{s:s, s:s}", "type", "text", "text",
                             part->text);
    }
}

static clb_json_t *blocks(const place_t *at, const apr_array_header_t *parts)
{
    clb_json_t *list = clb_json_pack(at->pool, "[]");
    int i;

    for (i = 0; i < parts->nelts; i++) {
        const clb_part_t *part = &APR_ARRAY_IDX(parts, i, clb_part_t);

        if (part->kind != CLB_PART_TEXT || *part->text != '\0') {
            clb_json_append(list, block(at, part));
        }
    }
    return list;
}

/* The empty block at the end is dropped by the CLI and keeps it from reading a
 * leading "/word" as one of its commands, and (2.1.329) from writing today's
 * date into the last result. */
static clb_json_t *content(const place_t *at, const clb_message_t *message)
{
    clb_json_t *list = blocks(at, message->parts);

    if (message->role == CLB_ROLE_USER) {
        clb_json_append(list, clb_json_pack(at->pool, "{s:s, s:s}", "type",
                                            "text", "text", ""));
    }
    return list;
}

static void assistant_line(const place_t *at, clb_step_t *out,
                           const clb_message_t *message)
{
    /* without an id of its own a message is merged into the one before */
    clb_claude_put(out, clb_json_pack(out->pool,
        "{s:s, s:{s:s, s:s, s:s, s:s, s:O}, s:n}", "type", "assistant",
        "message", "id", apr_psprintf(out->pool, "msg_h%d", at->turn), "type",
        "message", "role", "assistant", "model", at->model, "content",
        content(at, message), "parent_tool_use_id"));
}

static void user_line(const place_t *at, clb_step_t *out,
                      const clb_message_t *message)
{
    clb_json_t *line = clb_json_pack(out->pool, "{s:s, s:{s:s, s:O}, s:n}",
        "type", "user", "message", "role", "user", "content",
        content(at, message), "parent_tool_use_id");

    if (at->turn < at->turns->nelts - 1) {
        clb_json_set(line, "shouldQuery", clb_json_pack(out->pool, "b", 0));
    }
    clb_claude_put(out, line);
}

/* Write turns up to and including the next user's: the CLI appends user lines
 * asynchronously, so each one must be acknowledged before the next. */
void clb_claude_history(clb_chat_t *chat, apr_uint32_t *next, int known,
                        const char *model, clb_step_t *out)
{
    place_t at = { chat, clb_chat_turns(chat), 0, known, model, out->pool };

    while (*next < (apr_uint32_t)at.turns->nelts) {
        const clb_message_t *message;

        at.turn = (int)(*next)++;
        message = &APR_ARRAY_IDX(at.turns, at.turn, clb_message_t);
        if (message->role == CLB_ROLE_USER) {
            user_line(&at, out, message);
            return;
        }
        assistant_line(&at, out, message);
    }
}

void clb_claude_ask(clb_chat_t *chat, apr_uint32_t *next, clb_step_t *out)
{
    initialize(chat, out);
    thinking(chat, out);
    settings(chat, out);
    *next = 0;
    clb_claude_history(chat, next, 0, chat->model, out);
}
