/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all dialects share of an answer under way.
 */
#include "dialect.h"

#include <apr_strings.h>
#include <apr_time.h>

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
    return reply;
}
