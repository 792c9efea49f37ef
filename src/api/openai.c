/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of OpenAI's API that chat completions and completions share.
 * Source: OpenAI's OpenAPI document 2.3.0. Fields this file and its two users
 * do not name are ignored, as the vendor's SDKs and many clients need.
 */
#include "openai.h"

#include "sse.h"

#include <apr_strings.h>
#include <string.h>

#define STOPS_MAX 16
#define STOP_LEN_MAX 256
#define MODEL_MAX 256

apr_status_t clb_openai_fields(clb_chat_t *chat, const clb_json_t *body,
                               const clb_openai_field_t *table,
                               clb_error_t *error)
{
    apr_status_t rv;

    for (; table->name != NULL; table++) {
        const clb_json_t *value = clb_json_get(body, table->name);

        if (value != NULL && (rv = table->take(chat, table->name, value,
                                               error)) != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}

static apr_status_t bad(clb_chat_t *chat, const char *name, const char *need,
                        clb_error_t *error)
{
    return clb_error_set(error, chat->pool, CLB_BAD_REQUEST, name,
                         "'%s' must be %s", name, need);
}

static apr_status_t take_model(clb_chat_t *chat, const char *name,
                               const clb_json_t *value, clb_error_t *error)
{
    const char *model = clb_json_string(value);

    if (model == NULL || strlen(model) > MODEL_MAX) {
        return bad(chat, name, "a string of at most 256 bytes", error);
    }
    chat->asked = *model == '\0' ? NULL : model;
    return APR_SUCCESS;
}

static apr_status_t take_number(clb_chat_t *chat, const char *name,
                                const clb_json_t *value, double max,
                                double *out, clb_error_t *error)
{
    double n = clb_json_number(value, -1);

    if (!clb_json_is_number(value) || n < 0 || n > max) {
        return bad(chat, name, apr_psprintf(chat->pool,
                   "a number from 0 to %g", max), error);
    }
    *out = n;
    return APR_SUCCESS;
}

/* 1 is the default of both: clients send it without meaning anything, and
 * asking for it would switch reasoning off. */
static apr_status_t take_temperature(clb_chat_t *chat, const char *name,
                                     const clb_json_t *value,
                                     clb_error_t *error)
{
    apr_status_t rv = take_number(chat, name, value, 2, &chat->temperature,
                                  error);

    if (rv == APR_SUCCESS && chat->temperature != 1) {
        clb_chat_give(chat, CLB_TEMPERATURE, name);
    }
    return rv;
}

static apr_status_t take_top_p(clb_chat_t *chat, const char *name,
                               const clb_json_t *value, clb_error_t *error)
{
    apr_status_t rv = take_number(chat, name, value, 1, &chat->top_p, error);

    if (rv == APR_SUCCESS && chat->top_p != 1) {
        clb_chat_give(chat, CLB_TOP_P, name);
    }
    return rv;
}

static apr_status_t take_integer(clb_chat_t *chat, const char *name,
                                 const clb_json_t *value, clb_field_e field,
                                 apr_int64_t min, apr_int64_t *out,
                                 clb_error_t *error)
{
    double number = clb_json_number(value, -1);
    apr_int64_t n = clb_json_integer(value, -1);

    if (n < min || n > APR_INT32_MAX || number != (double)n) {
        return bad(chat, name, apr_psprintf(chat->pool, "an integer of at "
                   "least %d", (int)min), error);
    }
    *out = n;
    clb_chat_give(chat, field, name);
    return APR_SUCCESS;
}

static apr_status_t take_top_k(clb_chat_t *chat, const char *name,
                               const clb_json_t *value, clb_error_t *error)
{
    return take_integer(chat, name, value, CLB_TOP_K, 1, &chat->top_k, error);
}

static apr_status_t take_max_tokens(clb_chat_t *chat, const char *name,
                                    const clb_json_t *value,
                                    clb_error_t *error)
{
    /* the newer name is first in the table and wins over the older one */
    if (clb_chat_given(chat, CLB_MAX_TOKENS)) {
        return APR_SUCCESS;
    }
    return take_integer(chat, name, value, CLB_MAX_TOKENS, 1,
                        &chat->max_tokens, error);
}

static apr_status_t take_stop(clb_chat_t *chat, const char *name,
                              const clb_json_t *value, clb_error_t *error)
{
    apr_size_t i, n = clb_json_is_array(value) ? clb_json_size(value) : 1;

    if (n > STOPS_MAX) {
        return bad(chat, name, "at most 16 strings", error);
    }
    for (i = 0; i < n; i++) {
        const char *stop = clb_json_string(clb_json_is_array(value)
                                           ? clb_json_at(value, i) : value);

        if (stop == NULL || strlen(stop) > STOP_LEN_MAX) {
            return bad(chat, name, "a string or an array of strings of at "
                       "most 256 bytes", error);
        }
        if (*stop != '\0') {
            APR_ARRAY_PUSH(chat->stop, const char *) = stop;
        }
    }
    return APR_SUCCESS;
}

static apr_status_t take_stream(clb_chat_t *chat, const char *name,
                                const clb_json_t *value, clb_error_t *error)
{
    if (!clb_json_is_bool(value)) {
        return bad(chat, name, "a boolean", error);
    }
    chat->stream = clb_json_true(value);
    return APR_SUCCESS;
}

static apr_status_t take_stream_options(clb_chat_t *chat, const char *name,
                                        const clb_json_t *value,
                                        clb_error_t *error)
{
    if (!clb_json_is_object(value)) {
        return bad(chat, name, "an object", error);
    }
    chat->include_usage = clb_json_true(clb_json_get(value, "include_usage"));
    return APR_SUCCESS;
}

static apr_status_t take_effort(clb_chat_t *chat, const char *name,
                                const clb_json_t *value, clb_error_t *error)
{
    const char *effort = clb_json_string(value);

    if (effort == NULL
        || clb_effort_parse(&chat->effort, effort) != APR_SUCCESS) {
        return bad(chat, name, "one of none, minimal, low, medium, high, "
                   "xhigh, max", error);
    }
    clb_chat_give(chat, CLB_EFFORT, name);
    return APR_SUCCESS;
}

/* {"effort": …, "max_tokens": …}, as OpenRouter's clients send it. */
static apr_status_t take_reasoning(clb_chat_t *chat, const char *name,
                                   const clb_json_t *value,
                                   clb_error_t *error)
{
    const clb_json_t *effort = clb_json_get(value, "effort");
    const clb_json_t *budget = clb_json_get(value, "max_tokens");
    apr_status_t rv = APR_SUCCESS;

    if (!clb_json_is_object(value)) {
        return bad(chat, name, "an object", error);
    }
    if (effort != NULL) {
        rv = take_effort(chat, "reasoning.effort", effort, error);
    }
    if (rv == APR_SUCCESS && budget != NULL) {
        rv = take_integer(chat, "reasoning.max_tokens", budget, CLB_BUDGET, 0,
                          &chat->budget, error);
    }
    return rv;
}

/* {"type": "enabled", "budget_tokens": …}, as Anthropic's API has it. */
static apr_status_t take_thinking(clb_chat_t *chat, const char *name,
                                  const clb_json_t *value, clb_error_t *error)
{
    const char *type = clb_json_get_string(value, "type");
    const clb_json_t *budget = clb_json_get(value, "budget_tokens");

    if (type == NULL) {
        return bad(chat, name, "an object with a type", error);
    }
    if (strcmp(type, "disabled") == 0) {
        chat->budget = 0;
        clb_chat_give(chat, CLB_BUDGET, name);
        return APR_SUCCESS;
    }
    return budget == NULL ? APR_SUCCESS
         : take_integer(chat, "thinking.budget_tokens", budget, CLB_BUDGET, 0,
                        &chat->budget, error);
}

static apr_status_t take_one(clb_chat_t *chat, const char *name,
                             const clb_json_t *value, clb_error_t *error)
{
    if (clb_json_number(value, 0) != 1) {
        return clb_error_set(error, chat->pool, CLB_UNSUPPORTED, name,
                             "'%s' must be 1: a CLI gives one answer to one "
                             "request", name);
    }
    return APR_SUCCESS;
}

/* Values by which a client says "nothing in particular". */
static int asks(const clb_json_t *value)
{
    const char *text = clb_json_string(value);

    if (text != NULL) {
        return *text != '\0' && strcmp(text, "auto") != 0
            && strcmp(text, "default") != 0;
    }
    if (clb_json_is_number(value)) {
        return clb_json_number(value, 0) != 0;
    }
    if (clb_json_is_bool(value)) {
        return clb_json_true(value);
    }
    return clb_json_size(value) > 0;
}

apr_status_t clb_openai_ignore(clb_chat_t *chat, const char *name,
                               const clb_json_t *value, clb_error_t *error)
{
    /* 0 is a seed like any other */
    if (asks(value) || strcmp(name, "seed") == 0) {
        clb_chat_give(chat, CLB_OTHER, name);
    }
    return APR_SUCCESS;
}

apr_status_t clb_openai_refuse(clb_chat_t *chat, const char *name,
                               const clb_json_t *value, clb_error_t *error)
{
    if (!asks(value)) {
        return APR_SUCCESS;
    }
    return clb_error_set(error, chat->pool, CLB_UNSUPPORTED, name,
                         "'%s' is not supported by this server", name);
}

const clb_openai_field_t clb_openai_common[] = {
    { "model", take_model },
    { "temperature", take_temperature },
    { "top_p", take_top_p },
    { "top_k", take_top_k },
    { "max_completion_tokens", take_max_tokens },
    { "max_tokens", take_max_tokens },
    { "stop", take_stop },
    { "stream", take_stream },
    { "stream_options", take_stream_options },
    { "reasoning_effort", take_effort },
    { "reasoning", take_reasoning },
    { "thinking", take_thinking },
    { "n", take_one },
    { "logprobs", clb_openai_refuse },
    { "presence_penalty", clb_openai_ignore },
    { "frequency_penalty", clb_openai_ignore },
    { "logit_bias", clb_openai_ignore },
    { "seed", clb_openai_ignore },
    { NULL, NULL }
};

const char *clb_openai_finish(clb_stop_e stop)
{
    switch (stop) {
    case CLB_STOP_LENGTH: return "length";
    case CLB_STOP_FILTER: return "content_filter";
    case CLB_STOP_CALLS: return "tool_calls";
    default: return "stop";
    }
}

clb_json_t *clb_openai_usage(const clb_reply_t *reply)
{
    const clb_usage_t *u = &reply->usage;
    long long in = u->input + u->cache_read + u->cache_write;

    return clb_json_pack(reply->pool, "{s:I, s:I, s:I, s:{s:I}, s:{s:I}}",
        "prompt_tokens", in, "completion_tokens", (long long)u->output,
        "total_tokens", in + (long long)u->output,
        "prompt_tokens_details", "cached_tokens", (long long)u->cache_read,
        "completion_tokens_details", "reasoning_tokens",
        (long long)u->reasoning);
}

const char *clb_openai_head(clb_reply_t *reply, const char *object)
{
    clb_buf_t head;
    const char *model = reply->chat->asked;

    clb_buf_init(&head, reply->pool, 256);
    clb_buf_puts(&head, apr_psprintf(reply->pool, "{\"id\":\"%s\",\"object\":"
                 "\"%s\",\"created\":%" APR_INT64_T_FMT ",\"model\":",
                 reply->id, object, reply->created));
    clb_json_quote(&head, model, strlen(model));
    clb_buf_puts(&head, ",\"choices\":[");
    return head.data;
}

void clb_openai_chunk(clb_reply_t *reply, const char *lead, const char *text,
                      apr_size_t len, const char *tail, const char *finish)
{
    clb_buf_t *out = &reply->out;

    clb_sse_begin(out);
    clb_buf_puts(out, reply->head);
    clb_buf_puts(out, "{\"index\":0,");
    clb_buf_puts(out, lead);
    if (text != NULL) {
        clb_json_quote(out, text, len);
    }
    clb_buf_puts(out, tail);
    clb_buf_puts(out, ",\"logprobs\":null,\"finish_reason\":");
    if (finish != NULL) {
        clb_json_quote(out, finish, strlen(finish));
    }
    else {
        clb_buf_puts(out, "null");
    }
    clb_buf_puts(out, reply->chat->include_usage ? "}],\"usage\":null}"
                                                 : "}]}");
    clb_sse_end(out);
}

void clb_openai_whole(clb_reply_t *reply, const char *object, const char *key,
                      const clb_json_t *value, const char *finish)
{
    clb_json_write(&reply->out, clb_json_pack(reply->pool,
        "{s:s, s:s, s:I, s:s, s:[{s:i, s:O, s:n, s:s}], s:O}",
        "id", reply->id, "object", object,
        "created", (long long)reply->created, "model", reply->chat->asked,
        "choices", "index", 0, key, value, "logprobs",
        "finish_reason", finish,
        "usage", clb_openai_usage(reply)));
}

void clb_openai_end(clb_reply_t *reply)
{
    if (reply->chat->include_usage) {
        clb_sse_begin(&reply->out);
        clb_buf_puts(&reply->out, reply->head);
        clb_buf_puts(&reply->out, "],\"usage\":");
        clb_json_write(&reply->out, clb_openai_usage(reply));
        clb_buf_puts(&reply->out, "}");
        clb_sse_end(&reply->out);
    }
    clb_sse_begin(&reply->out);
    clb_buf_puts(&reply->out, "[DONE]");
    clb_sse_end(&reply->out);
}

void clb_openai_error(clb_reply_t *reply, const clb_error_t *error)
{
    clb_sse_begin(&reply->out);
    clb_openai_error_body(&reply->out, error);
    clb_sse_end(&reply->out);
}

void clb_openai_error_body(clb_buf_t *out, const clb_error_t *error)
{
    const clb_error_info_t *info = clb_error_info(error->kind);

    /* a message may quote a path or a program's words */
    const char *message = clb_utf8_clean(out->pool, error->message,
                                         strlen(error->message), NULL);

    clb_json_write(out, clb_json_pack(out->pool, "{s:{s:s, s:s, s:s?, s:s?}}",
        "error", "message", message, "type", info->openai_type,
        "param", error->param, "code", info->openai_code));
}
