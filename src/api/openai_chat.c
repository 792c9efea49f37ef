/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /v1/chat/completions.
 */
#include "openai_chat.h"

#include "responses.h"

#include <apr_strings.h>
#include <string.h>

static apr_status_t take_modalities(clb_chat_t *chat, const char *name,
                                    const clb_json_t *value,
                                    clb_error_t *error)
{
    const char *only = clb_json_string(clb_json_at(value, 0));

    return clb_json_size(value) == 1 && only != NULL
           && strcmp(only, "text") == 0 ? APR_SUCCESS
         : clb_take_refused(chat, name, value, error);
}

/* `metadata`, `user` and their like ask for nothing a client could miss. */
static const clb_take_t fields[] = {
    { "modalities", take_modalities },
    { "audio", clb_take_refused },
    { "top_logprobs", clb_take_refused },
    { "web_search_options", clb_take_ignored },
    { "prediction", clb_take_ignored },
    { "verbosity", clb_take_ignored },
    { "moderation", clb_take_ignored },
    { "service_tier", clb_take_ignored },
    { "store", clb_take_ignored },
    { NULL, NULL }
};

/* Cursor sends bodies of Responses here, and reads answers of this API. */
static apr_status_t take_conversation(clb_chat_t *chat, const clb_json_t *body,
                                      clb_error_t *error)
{
    return clb_json_get(body, "messages") == NULL
           && clb_json_get(body, "input") != NULL
         ? clb_responses_input(chat, body, error)
         : clb_openai_messages(chat, body, error);
}

static apr_status_t parse(clb_chat_t *chat, const clb_json_t *body,
                          clb_error_t *error)
{
    apr_status_t rv;

    if ((rv = clb_take_fields(chat, body, clb_openai_common, error))
        == APR_SUCCESS
        && (rv = clb_take_fields(chat, body, fields, error))
        == APR_SUCCESS
        && (rv = clb_take_fields(chat, body, clb_openai_tool_fields, error))
        == APR_SUCCESS) {
        rv = take_conversation(chat, body, error);
    }
    return rv;
}

/* One chunk whose delta is {@a key: @a text}. */
static void chunk(clb_reply_t *reply, const char *key, const char *text,
                  apr_size_t len)
{
    clb_openai_chunk(reply, key, text, len, "}", NULL);
}

static void begin(clb_reply_t *reply)
{
    reply->head = clb_openai_head(reply, "chat.completion.chunk");
    chunk(reply, "\"delta\":{\"role\":\"assistant\",\"content\":", "", 0);
}

/* The arguments of a call, in pieces. */
static void arguments(clb_reply_t *reply, const char *text, apr_size_t len)
{
    char lead[80];

    if (reply->chat->functions) {
        clb_openai_chunk(reply, "\"delta\":{\"function_call\":{\"arguments\":",
                         text, len, "}}", NULL);
        return;
    }
    apr_snprintf(lead, sizeof(lead), "\"delta\":{\"tool_calls\":[{\"index\":%d,"
                 "%s", reply->calls->nelts - 1, clb_reply_call(reply)->custom
                 ? "\"custom\":{\"input\":" : "\"function\":{\"arguments\":");
    clb_openai_chunk(reply, lead, text, len, "}}]}", NULL);
}

/* What can only be said at the end of a call: that it has no arguments, and
 * the text for a custom tool, which stands inside of them. */
static void end_call(clb_reply_t *reply)
{
    const clb_call_t *call = clb_reply_call(reply);
    const char *input;

    if (call != NULL && call->custom) {
        input = clb_call_input(call, reply->pool);
        arguments(reply, input, strlen(input));
    }
    else if (call != NULL && call->arguments.len == 0) {
        arguments(reply, "{}", 2);
    }
}

/* A call as OpenAI writes it. */
static clb_json_t *call_json(const clb_reply_t *reply, const clb_call_t *call,
                             const char *text)
{
    if (reply->chat->functions) {
        return clb_json_pack(reply->pool, "{s:s, s:s}", "name", call->name,
                             "arguments", text);
    }
    return clb_json_pack(reply->pool, "{s:s, s:s, s:{s:s, s:s}}",
        "id", call->id, "type", call->custom ? "custom" : "function",
        call->custom ? "custom" : "function", "name", call->name,
        call->custom ? "input" : "arguments", text);
}

static void begin_call(clb_reply_t *reply)
{
    int i = reply->calls->nelts - 1;
    clb_json_t *call = call_json(reply, clb_reply_call(reply), "");
    const char *delta;

    if (reply->chat->functions) {
        delta = apr_pstrcat(reply->pool, "\"delta\":{\"function_call\":",
                            clb_json_text(reply->pool, call), NULL);
        clb_openai_chunk(reply, delta, NULL, 0, "}", NULL);
        return;
    }
    clb_json_set(call, "index", clb_json_pack(reply->pool, "i", i));
    delta = apr_pstrcat(reply->pool, "\"delta\":{\"tool_calls\":[",
                        clb_json_text(reply->pool, call), NULL);
    clb_openai_chunk(reply, delta, NULL, 0, "]}", NULL);
}

/* A call that begins ends the one before, which is not the last any more. */
static void next_call(clb_reply_t *reply)
{
    if (reply->calls->nelts > 1) {
        reply->calls->nelts--;
        end_call(reply);
        reply->calls->nelts++;
    }
    begin_call(reply);
}

static const char *finish(const clb_reply_t *reply, clb_stop_e stop)
{
    return stop == CLB_STOP_CALLS && reply->chat->functions ? "function_call"
         : clb_openai_finish(stop);
}

static void event(clb_reply_t *reply, const clb_event_t *ev)
{
    switch (ev->kind) {
    case CLB_EV_TEXT:
        chunk(reply, "\"delta\":{\"content\":", ev->u.text.data,
              ev->u.text.len);
        break;
    case CLB_EV_REASONING:
        chunk(reply, "\"delta\":{\"reasoning_content\":", ev->u.text.data,
              ev->u.text.len);
        break;
    case CLB_EV_CALL:
        next_call(reply);
        break;
    case CLB_EV_ARGUMENTS:
        if (!clb_reply_call(reply)->custom) {
            arguments(reply, ev->u.text.data, ev->u.text.len);
        }
        break;
    case CLB_EV_STOP:
        end_call(reply);
        clb_openai_chunk(reply, "\"delta\":{", NULL, 0, "}",
                         finish(reply, ev->u.stop));
        clb_openai_end(reply);
        break;
    default:
        break;
    }
}

static void set_calls(clb_reply_t *reply, clb_json_t *message)
{
    clb_json_t *list = clb_json_pack(reply->pool, "[]");
    int i;

    for (i = 0; i < reply->calls->nelts; i++) {
        const clb_call_t *call = &APR_ARRAY_IDX(reply->calls, i, clb_call_t);

        clb_json_append(list, call_json(reply, call, call->custom
                        ? clb_call_input(call, reply->pool)
                        : clb_call_arguments(call)));
    }
    if (reply->chat->functions) {
        clb_json_set(message, "function_call", clb_json_at(list, 0));
    }
    else {
        clb_json_set(message, "tool_calls", list);
    }
    if (reply->text.len == 0) {
        clb_json_set(message, "content", clb_json_pack(reply->pool, "n"));
    }
}

static void whole(clb_reply_t *reply)
{
    clb_json_t *message = clb_json_pack(reply->pool, "{s:s, s:s, s:n}",
        "role", "assistant", "content", reply->text.data, "refusal");

    if (reply->reasoning.len > 0) {
        clb_json_set(message, "reasoning_content",
                     clb_json_pack(reply->pool, "s", reply->reasoning.data));
    }
    if (reply->calls->nelts > 0) {
        set_calls(reply, message);
    }
    clb_openai_whole(reply, "chat.completion", "message", message,
                     finish(reply, reply->stop));
}

static clb_json_t *model(const char *id, const char *owner, apr_time_t since,
                         apr_pool_t *pool)
{
    return clb_json_pack(pool, "{s:s, s:s, s:I, s:s}", "id", id, "object",
                         "model", "created", (long long)apr_time_sec(since),
                         "owned_by", owner);
}

static clb_json_t *models(const clb_json_t *list, apr_pool_t *pool)
{
    return clb_json_pack(pool, "{s:s, s:O}", "object", "list", "data", list);
}

const clb_dialect_t clb_openai_chat = {
    .name = "openai-chat",
    .id_prefix = "chatcmpl-",
    .parse = parse,
    .begin = begin,
    .event = event,
    .error = clb_openai_error,
    .whole = whole,
    .error_body = clb_openai_error_body,
    .model = model,
    .models = models,
};
