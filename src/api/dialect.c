/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all dialects share of an answer under way.
 */
#include "dialect.h"

#include <apr_strings.h>
#include <apr_time.h>
#include <string.h>

clb_reply_t *clb_reply_create(const clb_dialect_t *dialect,
                              const clb_chat_t *chat, const char *unique,
                              apr_pool_t *pool)
{
    clb_reply_t *reply = apr_pcalloc(pool, sizeof(*reply));

    reply->pool = pool;
    reply->chat = chat;
    reply->id = apr_pstrcat(pool, dialect->id_prefix, unique, NULL);
    reply->created = apr_time_sec(apr_time_now());
    clb_buf_init(&reply->out, pool, 1024);
    clb_buf_init(&reply->text, pool, 1024);
    clb_buf_init(&reply->reasoning, pool, 64);
    reply->calls = apr_array_make(pool, 1, sizeof(clb_call_t));
    return reply;
}

clb_call_t *clb_reply_call(const clb_reply_t *reply)
{
    return reply->calls->nelts == 0 ? NULL
         : &APR_ARRAY_IDX(reply->calls, reply->calls->nelts - 1, clb_call_t);
}

void clb_reply_note(clb_reply_t *reply, const clb_event_t *event)
{
    const clb_tool_t *tool;
    clb_call_t *call;

    if (event->kind == CLB_EV_CALL) {
        call = apr_array_push(reply->calls);
        call->id = apr_pstrdup(reply->pool, event->u.call.id);
        call->name = apr_pstrdup(reply->pool, event->u.call.name);
        tool = clb_chat_tool(reply->chat, call->name);
        call->custom = tool != NULL && tool->custom;
        clb_buf_init(&call->arguments, reply->pool, 64);
    }
    else if (event->kind == CLB_EV_ARGUMENTS
             && (call = clb_reply_call(reply)) != NULL) {
        clb_buf_add(&call->arguments, event->u.text.data, event->u.text.len);
    }
}

const char *clb_call_arguments(const clb_call_t *call)
{
    return call->arguments.len > 0 ? call->arguments.data : "{}";
}

const char *clb_call_input(const clb_call_t *call, apr_pool_t *pool)
{
    const char *text = clb_call_arguments(call), *input = NULL, *why;
    clb_json_t *json;

    if (clb_json_parse(&json, text, strlen(text), CLB_JSON_LENIENT, &why,
                       pool) == APR_SUCCESS) {
        input = clb_json_get_string(json, "input");
    }
    return input != NULL ? input : text;
}
