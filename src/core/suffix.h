/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_SUFFIX_H
#define CLB_SUFFIX_H

#include "chat.h"

/** Tokens that "-thinking" asks for. */
#define CLB_SUFFIX_BUDGET 30000

/**
 * The reasoning that the end of a model's name asks for, for clients that can
 * choose a model and nothing else: "NAME-thinking", "NAME(VALUE)" where VALUE
 * is a number of tokens (0 = off), an effort, or "auto" or -1 for the model's
 * own.
 */
typedef struct clb_suffix_t {
    clb_effort_e effort;     /**< CLB_EFFORT_UNSET = not asked for */
    apr_int64_t budget;      /**< -1 = not asked for */
} clb_suffix_t;

/**
 * Split @a model into what comes before the suffix and its meaning.
 * @return the name without it in @a pool, NULL if it has none
 */
const char *clb_suffix_split(const char *model, clb_suffix_t *suffix,
                             apr_pool_t *pool);

/** Let @a suffix take the place of what @a chat asks for otherwise. Vendors
 *  exclude reasoning and sampling from each other: where it asks for reasoning,
 *  the sampling is reported as ignored. */
void clb_suffix_apply(const clb_suffix_t *suffix, clb_chat_t *chat);

#endif
