/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any other agent that speaks the Agent Client Protocol. The protocol has no
 * system prompt and no history: they are part of the text of the one prompt.
 * What such an agent does on the machine is its own affair; it gets no file, no
 * terminal and no permission from us.
 */
#include "acp.h"

#include <string.h>

static void plan(clb_chat_t *chat, clb_acp_plan_t *plan, apr_pool_t *pool)
{
}

/* The conversation as one text, and the images that are in it. */
static clb_message_t *flat(clb_chat_t *chat, apr_pool_t *pool)
{
    clb_message_t *all = apr_pcalloc(pool, sizeof(*all));
    int i, j;

    all->parts = apr_array_make(pool, 4, sizeof(clb_part_t));
    clb_chat_part(all, CLB_PART_TEXT, clb_chat_plain(chat));
    for (i = 0; i < chat->messages->nelts; i++) {
        const apr_array_header_t *parts = APR_ARRAY_IDX(chat->messages, i,
                                                        clb_message_t).parts;

        for (j = 0; j < parts->nelts; j++) {
            const clb_part_t *part = &APR_ARRAY_IDX(parts, j, clb_part_t);

            if (part->kind == CLB_PART_IMAGE) {
                APR_ARRAY_PUSH(all->parts, clb_part_t) = *part;
            }
        }
    }
    return all;
}

/* The backend's own name stands for whatever model the agent takes. */
static void prompt(clb_chat_t *chat, const clb_input_t *in,
                   const char *session, clb_step_t *out)
{
    if (strcmp(chat->model, in->backend->name) != 0) {
        clb_acp_model(session, chat->model, out);
    }
    clb_acp_prompt(session, NULL, flat(chat, out->pool), out);
}

const clb_acp_kind_t clb_acp_plain = {
    .plan = plan,
    .prompt = prompt,
};

static const clb_scratch_t files[] = { { NULL, NULL, NULL } };

static const char *const none[] = { NULL };

static void args(const clb_start_t *start, apr_array_header_t *argv)
{
}

static unsigned traits(const clb_backend_t *backend)
{
    return CLB_PROBE | CLB_REUSE | CLB_CHATTY;
}

static unsigned can(const clb_backend_t *backend)
{
    return CLB_NEED_IMAGES;
}

static unsigned honours(const clb_backend_t *backend)
{
    return 0;
}

const clb_driver_t clb_driver_acp = {
    .name = "acp",
    .args = args,
    .env = none,
    .models = none,
    .files = files,
    .turns = 200,
    .settle = 2 * APR_USEC_PER_SEC,
    .warm = { CLB_WARM_ADAPTIVE, 1, 0, 0 },
    .state_size = CLB_STATE_MAX,
    .traits = traits,
    .can = can,
    .honours = honours,
    .step = clb_acp_step,
};
