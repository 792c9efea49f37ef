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
    reply->blocks = apr_array_make(pool, 2, sizeof(clb_block_t));
    return reply;
}

clb_call_t *clb_reply_call(const clb_reply_t *reply)
{
    return reply->calls->nelts == 0 ? NULL
         : &APR_ARRAY_IDX(reply->calls, reply->calls->nelts - 1, clb_call_t);
}

clb_block_t *clb_reply_block(const clb_reply_t *reply)
{
    return reply->blocks->nelts == 0 ? NULL
         : &APR_ARRAY_IDX(reply->blocks, reply->blocks->nelts - 1,
                          clb_block_t);
}

static clb_block_t *add_block(clb_reply_t *reply, clb_part_e kind,
                              apr_size_t from)
{
    clb_block_t *block = apr_array_push(reply->blocks);

    memset(block, 0, sizeof(*block));
    block->kind = kind;
    block->from = from;
    return block;
}

/* The block that text or reasoning belongs to: the last one, unless that is of
 * another kind or complete. */
static clb_block_t *grow(clb_reply_t *reply, clb_part_e kind)
{
    clb_block_t *last = clb_reply_block(reply);

    return last != NULL && last->kind == kind && last->signature == NULL
           && last->hidden == NULL ? last
         : add_block(reply, kind, kind == CLB_PART_TEXT
                     ? reply->text.len : reply->reasoning.len);
}

static void note_call(clb_reply_t *reply, const clb_event_t *event)
{
    clb_call_t *call;
    const clb_tool_t *tool;

    add_block(reply, CLB_PART_CALL, (apr_size_t)reply->calls->nelts);
    call = apr_array_push(reply->calls);
    call->id = apr_pstrdup(reply->pool, event->u.call.id);
    call->name = apr_pstrdup(reply->pool, event->u.call.name);
    tool = clb_chat_tool(reply->chat, call->name);
    call->custom = tool != NULL && tool->custom;
    clb_buf_init(&call->arguments, reply->pool, 64);
}

void clb_reply_note(clb_reply_t *reply, const clb_event_t *event)
{
    clb_call_t *call;

    switch (event->kind) {
    case CLB_EV_TEXT:
        grow(reply, CLB_PART_TEXT);
        break;
    case CLB_EV_REASONING:
        grow(reply, CLB_PART_REASONING);
        break;
    case CLB_EV_SIGNATURE:
        grow(reply, CLB_PART_REASONING)->signature
            = apr_pstrdup(reply->pool, event->u.text.data);
        break;
    case CLB_EV_HIDDEN:
        add_block(reply, CLB_PART_REASONING, reply->reasoning.len)->hidden
            = apr_pstrdup(reply->pool, event->u.text.data);
        break;
    case CLB_EV_CALL:
        note_call(reply, event);
        break;
    case CLB_EV_ARGUMENTS:
        if ((call = clb_reply_call(reply)) != NULL) {
            clb_buf_add(&call->arguments, event->u.text.data,
                        event->u.text.len);
        }
        break;
    default:
        break;
    }
}

const char *clb_reply_text(const clb_reply_t *reply, int i)
{
    const clb_block_t *block = &APR_ARRAY_IDX(reply->blocks, i, clb_block_t);
    const clb_buf_t *all = block->kind == CLB_PART_TEXT ? &reply->text
                                                        : &reply->reasoning;
    apr_size_t to = all->len;

    while (++i < reply->blocks->nelts) {
        const clb_block_t *next = &APR_ARRAY_IDX(reply->blocks, i,
                                                 clb_block_t);

        if (next->kind == block->kind) {
            to = next->from;
            break;
        }
    }
    return apr_pstrmemdup(reply->pool, all->data + block->from,
                          to - block->from);
}

const char *clb_call_arguments(const clb_call_t *call)
{
    return call->arguments.len > 0 ? call->arguments.data : "{}";
}

const char *clb_error_text(const clb_error_t *error, apr_pool_t *pool)
{
    /* a message may quote a path or a program's words */
    const char *message = clb_utf8_clean(pool, error->message,
                                         strlen(error->message), NULL);

    return error->param == NULL || strstr(message, error->param) != NULL
         ? message : apr_pstrcat(pool, error->param, ": ", message, NULL);
}

clb_json_t *clb_call_object(const clb_call_t *call, apr_pool_t *pool)
{
    const char *text = clb_chat_arguments(clb_call_arguments(call), pool), *why;
    clb_json_t *json;

    clb_json_parse(&json, text, strlen(text), CLB_JSON_LENIENT, &why, pool);
    return json;
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
