/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of the client's tools that a process of Codex holds open: requests of
 * the CLI's that it waits for the answers to.
 */
#include "codex.h"

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

int clb_codex_answers(const clb_codex_open_t *open, const clb_message_t *turn)
{
    apr_uint32_t i;

    for (i = 0; i < open->n; i++) {
        if (results_of(&open->calls[i], turn) != 1) {
            return 0;
        }
    }
    return turn->parts->nelts == (int)open->n;
}

void clb_codex_results(clb_codex_open_t *open, const clb_message_t *turn,
                       clb_step_t *out)
{
    int i;

    for (i = 0; i < turn->parts->nelts; i++) {
        const clb_part_t *part = &APR_ARRAY_IDX(turn->parts, i, clb_part_t);

        clb_codex_result(part, find(open, part->id)->request, out);
    }
    open->n = 0;
}
