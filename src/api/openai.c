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

apr_status_t clb_openai_temperature(clb_chat_t *chat, const char *name,
                                    const clb_json_t *value,
                                    clb_error_t *error)
{
    return clb_take_sampling(chat, name, value, CLB_TEMPERATURE, 2,
                             &chat->temperature, error);
}

static apr_status_t take_stream_options(clb_chat_t *chat, const char *name,
                                        const clb_json_t *value,
                                        clb_error_t *error)
{
    if (!clb_json_is_object(value)) {
        return clb_take_bad(chat, name, "an object", error);
    }
    chat->include_usage = clb_json_true(clb_json_get(value, "include_usage"));
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
        return clb_take_bad(chat, name, "an object", error);
    }
    if (effort != NULL) {
        rv = clb_take_effort(chat, "reasoning.effort", effort, error);
    }
    if (rv == APR_SUCCESS && budget != NULL) {
        rv = clb_take_integer(chat, "reasoning.max_tokens", budget,
                              CLB_BUDGET, 0, &chat->budget, error);
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
        return clb_take_bad(chat, name, "an object with a type", error);
    }
    if (strcmp(type, "disabled") == 0) {
        chat->budget = 0;
        clb_chat_give(chat, CLB_BUDGET, name);
        return APR_SUCCESS;
    }
    return budget == NULL ? APR_SUCCESS
         : clb_take_integer(chat, "thinking.budget_tokens", budget,
                            CLB_BUDGET, 0, &chat->budget, error);
}

const clb_take_t clb_openai_common[] = {
    { "model", clb_take_model },
    { "temperature", clb_openai_temperature },
    { "top_p", clb_take_top_p },
    { "top_k", clb_take_top_k },
    { "max_completion_tokens", clb_take_max_tokens },
    { "max_tokens", clb_take_max_tokens },
    { "stop", clb_take_stop },
    { "stream", clb_take_stream },
    { "stream_options", take_stream_options },
    { "reasoning_effort", clb_take_effort },
    { "reasoning", take_reasoning },
    { "thinking", take_thinking },
    { "n", clb_take_one },
    { "logprobs", clb_take_refused },
    { "presence_penalty", clb_take_ignored },
    { "frequency_penalty", clb_take_ignored },
    { "logit_bias", clb_take_ignored },
    { "seed", clb_take_ignored },
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
    clb_openai_error_body(&reply->out, error, reply->request);
    clb_sse_end(&reply->out);
}

void clb_openai_error_body(clb_buf_t *out, const clb_error_t *error,
                           const char *request)
{
    const clb_error_info_t *info = clb_error_info(error->kind);

    /* a message may quote a path or a program's words */
    const char *message = clb_utf8_clean(out->pool, error->message,
                                         strlen(error->message), NULL);

    clb_json_write(out, clb_json_pack(out->pool, "{s:{s:s, s:s, s:s?, s:s?}}",
        "error", "message", message, "type", info->openai_type,
        "param", error->param, "code", info->openai_code));
}
