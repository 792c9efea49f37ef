/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /v1/completions, the legacy API: the prompt is one user message.
 */
#include "openai.h"

static apr_status_t take_prompt(clb_chat_t *chat, const char *name,
                                const clb_json_t *value, clb_error_t *error)
{
    const clb_json_t *text = clb_json_is_array(value)
                             && clb_json_size(value) == 1
                           ? clb_json_at(value, 0) : value;

    if (clb_json_is_array(value) && clb_json_size(value) > 1) {
        return clb_error_set(error, chat->pool, CLB_UNSUPPORTED, name,
                             "'%s' must be one prompt: send one request for "
                             "each", name);
    }
    if (!clb_json_is_string(text)) {
        return clb_error_set(error, chat->pool, CLB_BAD_REQUEST, name,
                             "'%s' must be a string", name);
    }
    clb_chat_part(clb_chat_message(chat, CLB_ROLE_USER), CLB_PART_TEXT,
                  clb_json_string(text));
    return APR_SUCCESS;
}

static apr_status_t take_best_of(clb_chat_t *chat, const char *name,
                                 const clb_json_t *value, clb_error_t *error)
{
    return clb_json_number(value, 0) == 1 ? APR_SUCCESS
         : clb_take_refused(chat, name, value, error);
}

static const clb_take_t fields[] = {
    { "prompt", take_prompt },
    { "best_of", take_best_of },
    { "echo", clb_take_refused },
    { "suffix", clb_take_refused },
    { NULL, NULL }
};

static apr_status_t parse(clb_chat_t *chat, const clb_json_t *body,
                          clb_error_t *error)
{
    apr_status_t rv;

    if ((rv = clb_take_fields(chat, body, clb_openai_common, error))
        != APR_SUCCESS
        || (rv = clb_take_fields(chat, body, fields, error))
        != APR_SUCCESS) {
        return rv;
    }
    return chat->messages->nelts > 0 ? APR_SUCCESS
         : clb_error_set(error, chat->pool, CLB_BAD_REQUEST, "prompt",
                         "'prompt' must be a string");
}

static void begin(clb_reply_t *reply)
{
    reply->head = clb_openai_head(reply, "text_completion");
}

static void event(clb_reply_t *reply, const clb_event_t *ev)
{
    if (ev->kind == CLB_EV_TEXT) {
        clb_openai_chunk(reply, "\"text\":", ev->u.text.data,
                         ev->u.text.len, "", NULL);
    }
    else if (ev->kind == CLB_EV_STOP) {
        clb_openai_chunk(reply, "\"text\":", "", 0, "",
                         clb_openai_finish(ev->u.stop));
        clb_openai_end(reply);
    }
}

static void whole(clb_reply_t *reply)
{
    clb_openai_whole(reply, "text_completion", "text",
                     clb_json_pack(reply->pool, "s", reply->text.data),
                     clb_openai_finish(reply->stop));
}

const clb_dialect_t clb_openai_completions = {
    .name = "openai-completions",
    .id_prefix = "cmpl-",
    .parse = parse,
    .begin = begin,
    .event = event,
    .error = clb_openai_error,
    .whole = whole,
    .error_body = clb_openai_error_body,
};
