/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reasoning asked for by the name of a model.
 */
#include "suffix.h"

#include "text.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#define THINKING "-thinking"

static int take_value(const char *text, clb_suffix_t *suffix)
{
    apr_int64_t n;

    if (strcmp(text, "auto") == 0 || strcmp(text, "-1") == 0) {
        return 1;
    }
    if (clb_parse_int(&n, text, 0, APR_INT32_MAX) == APR_SUCCESS) {
        suffix->budget = n;
        return 1;
    }
    return clb_effort_parse(&suffix->effort, text) == APR_SUCCESS;
}

const char *clb_suffix_split(const char *model, clb_suffix_t *suffix,
                             apr_pool_t *pool)
{
    apr_size_t len = strlen(model), tail = sizeof(THINKING) - 1;
    const char *open = strrchr(model, '(');
    char *value, *c;

    suffix->effort = CLB_EFFORT_UNSET;
    suffix->budget = -1;
    if (len > tail && strcmp(model + len - tail, THINKING) == 0) {
        suffix->budget = CLB_SUFFIX_BUDGET;
        return apr_pstrmemdup(pool, model, len - tail);
    }
    if (open == NULL || open == model || model[len - 1] != ')') {
        return NULL;
    }
    value = apr_pstrmemdup(pool, open + 1, len - (apr_size_t)(open - model)
                           - 2);
    for (c = value; *c != '\0'; c++) {
        *c = (char)apr_tolower(*c);
    }
    return take_value(value, suffix)
         ? apr_pstrmemdup(pool, model, (apr_size_t)(open - model)) : NULL;
}

static void clear_reasoning(clb_chat_t *chat)
{
    int i, n = 0;

    for (i = 0; i < chat->given->nelts; i++) {
        clb_given_t given = APR_ARRAY_IDX(chat->given, i, clb_given_t);

        if (given.field != CLB_EFFORT && given.field != CLB_BUDGET) {
            APR_ARRAY_IDX(chat->given, n++, clb_given_t) = given;
        }
    }
    chat->given->nelts = n;
    chat->effort = CLB_EFFORT_UNSET;
    chat->budget = 0;
    chat->model_thinks = 0;
}

static void ignore_sampling(clb_chat_t *chat)
{
    int i;

    for (i = 0; i < chat->given->nelts; i++) {
        clb_given_t *given = &APR_ARRAY_IDX(chat->given, i, clb_given_t);

        if (given->field == CLB_TEMPERATURE || given->field == CLB_TOP_P
            || given->field == CLB_TOP_K) {
            given->field = CLB_OTHER;
        }
    }
}

void clb_suffix_apply(const clb_suffix_t *suffix, clb_chat_t *chat)
{
    clear_reasoning(chat);
    if (suffix->effort != CLB_EFFORT_UNSET) {
        chat->effort = suffix->effort;
        clb_chat_give(chat, CLB_EFFORT, "model");
    }
    if (suffix->budget >= 0) {
        chat->budget = suffix->budget;
        clb_chat_give(chat, CLB_BUDGET, "model");
    }
    if (suffix->budget > 0 || suffix->effort > CLB_EFFORT_MINIMAL) {
        ignore_sampling(chat);
    }
}
