/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of the client's tools. Each is an item of the model's answer, and then
 * a request of the CLI's, which a process holds open until the result comes.
 */
#include "codex.h"

#include <string.h>

/* 1 if the CLI passes on a call of the client's tool @a name, NULL if it is
 * none. Others it answers itself, with one more request, before we could stop
 * it. */
static int opens(const clb_chat_t *chat, const char *name,
                 const char *arguments, apr_pool_t *pool)
{
    return name != NULL && clb_codex_has(chat, name)
        && (arguments == NULL
            || strcmp(arguments, clb_chat_arguments(arguments, pool)) == 0);
}

int clb_codex_call(const clb_chat_t *chat, const clb_json_t *item,
                   clb_step_t *out)
{
    const char *name = clb_json_get_string(item, "name");
    const char *asked = clb_codex_asked(chat, name, out->pool);
    const char *arguments = clb_json_get_string(item, "arguments");
    clb_event_t *event = clb_step_event(out, CLB_EV_CALL);

    event->u.call.id = clb_json_get_string(item, "call_id");
    event->u.call.name = asked == NULL ? name : asked;
    clb_step_text(out, CLB_EV_ARGUMENTS, arguments);
    return opens(chat, asked, arguments, out->pool);
}

/* FNV-1a: ids of one answer need only be told from each other. */
static apr_uint64_t hash(const char *text)
{
    apr_uint64_t h = 14695981039346656037u;

    for (; *text != '\0'; text++) {
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    }
    return h;
}

static const clb_codex_call_t *find(const clb_codex_open_t *open,
                                    const char *id)
{
    apr_uint32_t i;

    for (i = 0; i < open->n; i++) {
        if (open->calls[i].id == hash(id)) {
            return &open->calls[i];
        }
    }
    return NULL;
}

void clb_codex_opened(clb_codex_open_t *open, const char *id,
                      apr_int64_t request)
{
    if (open->n < CLB_CODEX_CALLS) {
        open->calls[open->n].id = hash(id);
        open->calls[open->n].request = request;
        open->n++;
    }
}

static const clb_message_t *last_turn(clb_chat_t *chat)
{
    const apr_array_header_t *turns = clb_chat_turns(chat);

    return &APR_ARRAY_IDX(turns, turns->nelts - 1, clb_message_t);
}

/* How many of @a turn's parts are the result of @a call. */
static int results_of(const clb_codex_call_t *call, const clb_message_t *turn)
{
    int i, n = 0;

    for (i = 0; i < turn->parts->nelts; i++) {
        const clb_part_t *part = &APR_ARRAY_IDX(turn->parts, i, clb_part_t);

        n += part->kind == CLB_PART_RESULT && hash(part->id) == call->id;
    }
    return n;
}

int clb_codex_answers(const clb_codex_open_t *open, clb_chat_t *chat)
{
    const clb_message_t *turn = last_turn(chat);
    apr_uint32_t i;

    for (i = 0; i < open->n; i++) {
        if (results_of(&open->calls[i], turn) != 1) {
            return 0;
        }
    }
    return clb_chat_count(turn, CLB_PART_RESULT) == (int)open->n;
}

void clb_codex_results(clb_codex_open_t *open, clb_chat_t *chat,
                       clb_step_t *out)
{
    const clb_message_t *turn = last_turn(chat);
    int i;

    for (i = 0; i < turn->parts->nelts; i++) {
        const clb_part_t *part = &APR_ARRAY_IDX(turn->parts, i, clb_part_t);
        const clb_codex_call_t *call = part->kind != CLB_PART_RESULT ? NULL
                                     : find(open, part->id);

        if (call != NULL) {
            clb_codex_result(part, call->request, out);
        }
    }
    open->n = 0;
}
