/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The normal form of a conversation's beginning. Numbers have a fixed size and
 * texts end with a NUL, which none contains, so that no two beginnings are
 * written the same.
 */
#include "prefix.h"

#include <string.h>

static void add(clb_prefix_t *prefix, const void *data, apr_size_t len)
{
    clb_sha256_add(&prefix->sum, data, len);
}

static void end_member(clb_prefix_t *prefix)
{
    add(prefix, "", 1);
}

static void add_text(clb_prefix_t *prefix, const char *text)
{
    add(prefix, text == NULL ? "" : text, text == NULL ? 0 : strlen(text));
    end_member(prefix);
}

static void add_parameters(clb_prefix_t *prefix, const clb_chat_t *chat)
{
    clb_field_e field;
    int i, effort = chat->effort;

    for (field = 0; field < CLB_OTHER; field++) {
        int given = clb_chat_given(chat, field);

        add(prefix, &given, sizeof(given));
    }
    add(prefix, &chat->temperature, sizeof(chat->temperature));
    add(prefix, &chat->top_p, sizeof(chat->top_p));
    add(prefix, &chat->top_k, sizeof(chat->top_k));
    add(prefix, &chat->max_tokens, sizeof(chat->max_tokens));
    add(prefix, &chat->budget, sizeof(chat->budget));
    add(prefix, &effort, sizeof(effort));
    add(prefix, &chat->stop->nelts, sizeof(chat->stop->nelts));
    for (i = 0; i < chat->stop->nelts; i++) {
        add_text(prefix, APR_ARRAY_IDX(chat->stop, i, const char *));
    }
}

void clb_prefix_begin(clb_prefix_t *prefix, const clb_chat_t *chat,
                      const char *owner, const char *backend)
{
    clb_sha256_begin(&prefix->sum);
    add_text(prefix, owner);
    add_text(prefix, backend);
    add_text(prefix, chat->model);
    add_text(prefix, chat->system);
    add_parameters(prefix, chat);
}

static void begin_turn(clb_prefix_t *prefix, clb_role_e role)
{
    add(prefix, role == CLB_ROLE_USER ? "U" : "A", 1);
}

void clb_prefix_turns(clb_prefix_t *prefix, clb_chat_t *chat, int from, int to)
{
    const apr_array_header_t *turns = clb_chat_turns(chat);
    int i, j;

    for (i = from; i < to; i++) {
        const clb_message_t *turn = &APR_ARRAY_IDX(turns, i, clb_message_t);

        begin_turn(prefix, turn->role);
        for (j = 0; j < turn->parts->nelts; j++) {
            const char *text = APR_ARRAY_IDX(turn->parts, j, clb_part_t).text;

            add(prefix, text, strlen(text));
        }
        end_member(prefix);
    }
}

void clb_prefix_answer(clb_prefix_t *prefix)
{
    begin_turn(prefix, CLB_ROLE_ASSISTANT);
}

void clb_prefix_text(clb_prefix_t *prefix, const char *text, apr_size_t len)
{
    add(prefix, text, len);
}

void clb_prefix_answered(clb_prefix_t *prefix,
                         unsigned char digest[CLB_SHA256_SIZE])
{
    end_member(prefix);
    clb_prefix_digest(prefix, digest);
}

void clb_prefix_digest(const clb_prefix_t *prefix,
                       unsigned char digest[CLB_SHA256_SIZE])
{
    clb_sha256_end(&prefix->sum, digest);
}
