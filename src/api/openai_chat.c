/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /v1/chat/completions.
 */
#include "openai.h"

#include <apr_strings.h>
#include <string.h>

#define MESSAGES_MAX 20000

/* Where in the request we are, for the `param` of an error. */
typedef struct place_t {
    clb_chat_t *chat;
    clb_error_t *error;
    apr_size_t message;
} place_t;

static apr_status_t bad(const place_t *at, clb_error_e kind, const char *path,
                        const char *what)
{
    const char *param = apr_psprintf(at->chat->pool, "messages[%"
                                     APR_SIZE_T_FMT "]%s", at->message, path);

    return clb_error_set(at->error, at->chat->pool, kind, param, "%s %s",
                         param, what);
}

/* Texts of one message go to its parts, of a system message to the system
 * prompt. */
static void add(const place_t *at, clb_message_t *message, clb_part_e kind,
                const char *text)
{
    if (message != NULL) {
        clb_chat_part(message, kind, text);
    }
    else if (kind == CLB_PART_TEXT) {
        clb_chat_system(at->chat, text);
    }
}

static apr_status_t take_part(const place_t *at, clb_message_t *message,
                              const clb_json_t *part, apr_size_t i)
{
    const char *path = apr_psprintf(at->chat->pool, ".content[%"
                                    APR_SIZE_T_FMT "]", i);
    const char *type = clb_json_get_string(part, "type");
    const char *text;

    if ((text = clb_json_string(part)) != NULL) {
        add(at, message, CLB_PART_TEXT, text);
        return APR_SUCCESS;
    }
    if (type == NULL) {
        return bad(at, CLB_BAD_REQUEST, path, "must be a part with a type");
    }
    if (strcmp(type, "thinking") == 0 || strcmp(type, "reasoning") == 0
        || strcmp(type, "redacted_thinking") == 0) {
        return APR_SUCCESS;
    }
    text = clb_json_get_string(part, strcmp(type, "refusal") == 0 ? "refusal"
                                                                  : "text");
    if (strcmp(type, "text") != 0 && strcmp(type, "refusal") != 0
        && strcmp(type, "input_text") != 0
        && strcmp(type, "output_text") != 0) {
        return bad(at, CLB_UNSUPPORTED, path, apr_pstrcat(at->chat->pool,
                   "has the type '", type, "', which this server does not "
                   "support", NULL));
    }
    if (text == NULL) {
        return bad(at, CLB_BAD_REQUEST, path, "must have a text");
    }
    add(at, message, CLB_PART_TEXT, text);
    return APR_SUCCESS;
}

static apr_status_t take_content(const place_t *at, clb_message_t *message,
                                 const clb_json_t *content)
{
    apr_size_t i;
    apr_status_t rv;

    if (content == NULL) {
        return APR_SUCCESS;
    }
    if (clb_json_is_string(content)) {
        add(at, message, CLB_PART_TEXT, clb_json_string(content));
        return APR_SUCCESS;
    }
    if (!clb_json_is_array(content)) {
        return bad(at, CLB_BAD_REQUEST, ".content",
                   "must be a string or an array of parts");
    }
    for (i = 0; i < clb_json_size(content); i++) {
        if ((rv = take_part(at, message, clb_json_at(content, i), i))
            != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}

static apr_status_t take_assistant(const place_t *at, const clb_json_t *json)
{
    clb_message_t *message = clb_chat_message(at->chat, CLB_ROLE_ASSISTANT);
    const char *reasoning = clb_json_get_string(json, "reasoning_content");

    if (clb_json_size(clb_json_get(json, "tool_calls")) > 0
        || clb_json_get(json, "function_call") != NULL) {
        return bad(at, CLB_UNSUPPORTED, ".tool_calls",
                   "are not supported by this server");
    }
    if (reasoning != NULL) {
        clb_chat_part(message, CLB_PART_REASONING, reasoning);
    }
    return take_content(at, message, clb_json_get(json, "content"));
}

static apr_status_t take_message(place_t *at, const clb_json_t *json)
{
    const char *role = clb_json_get_string(json, "role");
    const clb_json_t *content = clb_json_get(json, "content");

    if (role == NULL) {
        return bad(at, CLB_BAD_REQUEST, ".role", "must be a string");
    }
    if (strcmp(role, "system") == 0 || strcmp(role, "developer") == 0) {
        return take_content(at, NULL, content);
    }
    if (strcmp(role, "user") == 0) {
        return take_content(at, clb_chat_message(at->chat, CLB_ROLE_USER),
                            content);
    }
    if (strcmp(role, "assistant") == 0) {
        return take_assistant(at, json);
    }
    if (strcmp(role, "tool") == 0 || strcmp(role, "function") == 0) {
        return bad(at, CLB_UNSUPPORTED, ".role", apr_pstrcat(at->chat->pool,
                   "'", role, "' is not supported by this server", NULL));
    }
    return bad(at, CLB_BAD_REQUEST, ".role", "must be one of system, "
               "developer, user, assistant, tool, function");
}

static apr_status_t take_messages(clb_chat_t *chat, const clb_json_t *body,
                                  clb_error_t *error)
{
    const clb_json_t *messages = clb_json_get(body, "messages");
    place_t at = { chat, error, 0 };
    apr_status_t rv;

    if (!clb_json_is_array(messages) || clb_json_size(messages) == 0
        || clb_json_size(messages) > MESSAGES_MAX) {
        return clb_error_set(error, chat->pool, CLB_BAD_REQUEST, "messages",
                             "'messages' must be an array of 1 to %d "
                             "messages", MESSAGES_MAX);
    }
    for (; at.message < clb_json_size(messages); at.message++) {
        if ((rv = take_message(&at, clb_json_at(messages, at.message)))
            != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}

static apr_status_t take_response_format(clb_chat_t *chat, const char *name,
                                         const clb_json_t *value,
                                         clb_error_t *error)
{
    const char *type = clb_json_get_string(value, "type");

    return type != NULL && strcmp(type, "text") == 0 ? APR_SUCCESS
         : clb_openai_refuse(chat, name, value, error);
}

static apr_status_t take_modalities(clb_chat_t *chat, const char *name,
                                    const clb_json_t *value,
                                    clb_error_t *error)
{
    const char *only = clb_json_string(clb_json_at(value, 0));

    return clb_json_size(value) == 1 && only != NULL
           && strcmp(only, "text") == 0 ? APR_SUCCESS
         : clb_openai_refuse(chat, name, value, error);
}

/* `tool_choice` and `parallel_tool_calls` mean nothing without tools, and
 * `metadata`, `user` and their like ask for nothing a client could miss. */
static const clb_openai_field_t fields[] = {
    { "tools", clb_openai_refuse },
    { "functions", clb_openai_refuse },
    { "response_format", take_response_format },
    { "modalities", take_modalities },
    { "audio", clb_openai_refuse },
    { "top_logprobs", clb_openai_refuse },
    { "web_search_options", clb_openai_ignore },
    { "prediction", clb_openai_ignore },
    { "verbosity", clb_openai_ignore },
    { "moderation", clb_openai_ignore },
    { "service_tier", clb_openai_ignore },
    { "store", clb_openai_ignore },
    { NULL, NULL }
};

static apr_status_t parse(clb_chat_t *chat, const clb_json_t *body,
                          clb_error_t *error)
{
    apr_status_t rv;

    if ((rv = clb_openai_fields(chat, body, clb_openai_common, error))
        == APR_SUCCESS
        && (rv = clb_openai_fields(chat, body, fields, error))
        == APR_SUCCESS) {
        rv = take_messages(chat, body, error);
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
    case CLB_EV_STOP:
        clb_openai_chunk(reply, "\"delta\":{", NULL, 0, "}",
                         clb_openai_finish(ev->u.stop));
        clb_openai_end(reply);
        break;
    default:
        break;
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
    clb_openai_whole(reply, "chat.completion", "message", message);
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
};
