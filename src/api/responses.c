/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /v1/responses, and the same on a WebSocket. Sources: OpenAI's OpenAPI
 * document 2.3.0, its guide "WebSocket mode", and Open Responses.
 * Fields this file does not name are ignored, as Codex and the vendor's SDKs
 * need.
 */
#include "responses.h"

#include <apr_strings.h>
#include <string.h>

static apr_status_t take_previous(clb_chat_t *chat, const char *name,
                                  const clb_json_t *value, clb_error_t *error)
{
    chat->previous = clb_json_string(value);
    return chat->previous != NULL ? APR_SUCCESS
         : clb_take_bad(chat, name, "a string", error);
}

static apr_status_t take_store(clb_chat_t *chat, const char *name,
                               const clb_json_t *value, clb_error_t *error)
{
    if (!clb_json_is_bool(value)) {
        return clb_take_bad(chat, name, "true or false", error);
    }
    chat->stored = chat->stored && clb_json_true(value);
    return chat->keeps ? APR_SUCCESS
         : clb_take_ignored(chat, name, value, error);
}

static apr_status_t take_background(clb_chat_t *chat, const char *name,
                                    const clb_json_t *value,
                                    clb_error_t *error)
{
    if (!clb_json_is_bool(value)) {
        return clb_take_bad(chat, name, "true or false", error);
    }
    chat->background = clb_json_true(value);
    return !chat->background || chat->stored ? APR_SUCCESS
         : clb_error_set(error, chat->pool, CLB_BAD_REQUEST, name, "'%s': an "
                         "answer that nobody waits for must be stored%s", name,
                         chat->keeps ? "" : ", and this server stores none "
                         "(CLIBridgeStore)");
}

/* What is repeated must be what clients expect to read. */
static apr_status_t take_string(clb_chat_t *chat, const char *name,
                                const clb_json_t *value, clb_error_t *error)
{
    return clb_json_is_string(value) ? APR_SUCCESS
         : clb_take_bad(chat, name, "a string", error);
}

static apr_status_t take_object(clb_chat_t *chat, const char *name,
                                const clb_json_t *value, clb_error_t *error)
{
    return clb_json_is_object(value) ? APR_SUCCESS
         : clb_take_bad(chat, name, "an object", error);
}

static apr_status_t take_count(clb_chat_t *chat, const char *name,
                               const clb_json_t *value, clb_error_t *error)
{
    return clb_json_integer(value, 0) >= 1 ? APR_SUCCESS
         : clb_take_bad(chat, name, "an integer of at least 1", error);
}

static apr_status_t take_service(clb_chat_t *chat, const char *name,
                                 const clb_json_t *value, clb_error_t *error)
{
    apr_status_t rv = take_string(chat, name, value, error);

    return rv != APR_SUCCESS ? rv : clb_take_ignored(chat, name, value, error);
}

static apr_status_t take_penalty(clb_chat_t *chat, const char *name,
                                 const clb_json_t *value, clb_error_t *error)
{
    return clb_json_is_number(value)
         ? clb_take_ignored(chat, name, value, error)
         : clb_take_bad(chat, name, "a number", error);
}

/* A conversation that is too long is an error either way. */
static apr_status_t take_truncation(clb_chat_t *chat, const char *name,
                                    const clb_json_t *value,
                                    clb_error_t *error)
{
    const char *text = clb_json_string(value);

    if (text != NULL && strcmp(text, "auto") == 0) {
        clb_chat_give(chat, CLB_OTHER, name);
        return APR_SUCCESS;
    }
    return text != NULL && strcmp(text, "disabled") == 0 ? APR_SUCCESS
         : clb_take_bad(chat, name, "auto or disabled", error);
}

/* Other things than these stand in items that no answer has here. */
static apr_status_t take_include(clb_chat_t *chat, const char *name,
                                 const clb_json_t *value, clb_error_t *error)
{
    apr_size_t i;

    if (!clb_json_is_array(value)) {
        return clb_take_bad(chat, name, "an array of strings", error);
    }
    for (i = 0; i < clb_json_size(value); i++) {
        const char *what = clb_json_string(clb_json_at(value, i));

        if (what == NULL) {
            return clb_take_bad(chat, name, "an array of strings", error);
        }
        if (strcmp(what, "message.output_text.logprobs") == 0) {
            return clb_error_set(error, chat->pool, CLB_UNSUPPORTED, name,
                                 "'%s': logprobs are not supported by this "
                                 "server", name);
        }
        chat->signatures = chat->signatures
            || strcmp(what, "reasoning.encrypted_content") == 0;
    }
    return APR_SUCCESS;
}

/* What the model shows of its reasoning is the summary. Newer models show
 * nothing of it unless they are asked to. */
static apr_status_t take_summary(clb_chat_t *chat, const char *name,
                                 const clb_json_t *value, clb_error_t *error)
{
    const char *text = clb_json_string(value);

    if (text == NULL || (strcmp(text, "auto") != 0
                         && strcmp(text, "concise") != 0
                         && strcmp(text, "detailed") != 0)) {
        return clb_take_bad(chat, name, "auto, concise or detailed", error);
    }
    chat->display = "summarized";
    return APR_SUCCESS;
}

static apr_status_t take_reasoning(clb_chat_t *chat, const char *name,
                                   const clb_json_t *value,
                                   clb_error_t *error)
{
    static const clb_take_t members[] = {
        { "effort", clb_take_effort },
        { "summary", take_summary },
        { "generate_summary", take_summary },
        { NULL, NULL }
    };

    return clb_take_members(chat, name, value, members, error);
}

static const clb_take_t fields[] = {
    { "model", clb_take_model },
    { "temperature", clb_openai_temperature },
    { "top_p", clb_take_top_p },
    { "stop", clb_take_stop },
    { "stream", clb_take_stream },
    { "stream_options", take_object },
    { "reasoning", take_reasoning },
    { "include", take_include },
    { "metadata", take_object },
    { "safety_identifier", take_string },
    { "prompt_cache_key", take_string },
    { "max_tool_calls", take_count },
    { "previous_response_id", take_previous },
    { "store", take_store },
    { "background", take_background },
    { "conversation", clb_take_refused },
    { "prompt", clb_take_refused },
    { "top_logprobs", clb_take_refused },
    { "truncation", take_truncation },
    { "service_tier", take_service },
    { "presence_penalty", take_penalty },
    { "frequency_penalty", take_penalty },
    { "moderation", clb_take_ignored },
    { "context_management", clb_take_ignored },
    { NULL, NULL }
};

apr_status_t clb_responses_parse(clb_chat_t *chat, const clb_json_t *body,
                                 clb_error_t *error)
{
    apr_status_t rv;

    /* the vendor's default */
    chat->stored = chat->keeps;
    if ((rv = clb_take_fields(chat, body, fields, error)) != APR_SUCCESS
        || (rv = clb_responses_more_tools(chat, body, error)) != APR_SUCCESS
        || (rv = clb_take_fields(chat, body, clb_responses_tool_fields,
                                 error)) != APR_SUCCESS
        || (rv = clb_responses_input(chat, body, error)) != APR_SUCCESS) {
        return rv;
    }
    clb_responses_echo(chat, body);
    return APR_SUCCESS;
}

const clb_dialect_t clb_openai_responses = {
    .name = "openai-responses",
    .id_prefix = "resp_",
    .thinks = 1,
    .parse = clb_responses_parse,
    .recall = clb_responses_recall,
    .record = clb_responses_record,
    .begin = clb_responses_begin,
    .event = clb_responses_event,
    .error = clb_responses_error,
    .whole = clb_responses_whole,
    .error_body = clb_openai_error_body,
};

/* There is nothing but streams on a WebSocket, and the client waits. */
static apr_status_t parse_message(clb_chat_t *chat, const clb_json_t *body,
                                  clb_error_t *error)
{
    apr_status_t rv = clb_responses_parse(chat, body, error);

    chat->stream = 1;
    return rv != APR_SUCCESS || !chat->background ? rv
         : clb_error_set(error, chat->pool, CLB_BAD_REQUEST, "background",
                         "'background' has no place on a WebSocket");
}

const clb_dialect_t clb_openai_socket = {
    .name = "openai-socket",
    .id_prefix = "resp_",
    .thinks = 1,
    .parse = parse_message,
    .recall = clb_responses_recall,
    .record = clb_responses_record,
    .begin = clb_responses_begin,
    .event = clb_responses_event,
    .error = clb_responses_socket_error,
    .error_body = clb_openai_error_body,
};
