/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of tools, both ways.
 */
#include "tools.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

/* Bytes of a name that are kept in another one for it. */
#define STEM_LEN 40

/* More than twice as many as a request has tools. */
#define TRIES 1100
#define STEP 1024

int clb_tool_plain(const char *name, apr_size_t max)
{
    apr_size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnop"
                            "qrstuvwxyz0123456789_-");

    return len > 0 && name[len] == '\0' && len <= max;
}

/* A plain name for the @a i-th tool, which no other has: a client that knows
 * how it is made has not tools enough to take all that are tried. */
static const char *other_name(const clb_chat_t *chat, int i, const char *name,
                              clb_tool_fits_fn fits, apr_pool_t *pool)
{
    char *stem = apr_pstrndup(pool, name, STEM_LEN), full[STEM_LEN + 32], *c;
    int n;

    for (c = stem; *c != '\0'; c++) {
        if (!apr_isalnum(*c) && *c != '-') {
            *c = '_';
        }
    }
    for (n = 0; n < TRIES; n++) {
        /* some CLIs have a meaning for how a name begins */
        apr_snprintf(full, sizeof(full), "%s%s_%d", n % 2 ? "tool_" : "", stem,
                     i + n * STEP);
        if (fits(chat, full) && clb_chat_tool(chat, full) == NULL) {
            break;
        }
    }
    return apr_pstrdup(pool, full);
}

const char *clb_tool_at(const clb_chat_t *chat, int i, clb_tool_fits_fn fits,
                        apr_pool_t *pool)
{
    const char *name = APR_ARRAY_IDX(chat->tools, i, clb_tool_t).name;

    return fits(chat, name) ? name : other_name(chat, i, name, fits, pool);
}

const char *clb_tool_name(const clb_chat_t *chat, const char *name,
                          clb_tool_fits_fn fits, apr_pool_t *pool)
{
    int i;

    for (i = 0; i < chat->tools->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(chat->tools, i, clb_tool_t).name, name)
            == 0) {
            return clb_tool_at(chat, i, fits, pool);
        }
    }
    return fits(chat, name) ? name : other_name(chat, 0, name, fits, pool);
}

const char *clb_tool_asked(const clb_chat_t *chat, const char *name,
                           clb_tool_fits_fn fits, apr_pool_t *pool)
{
    int i;

    for (i = 0; i < chat->tools->nelts; i++) {
        if (strcmp(clb_tool_at(chat, i, fits, pool), name) == 0) {
            return APR_ARRAY_IDX(chat->tools, i, clb_tool_t).name;
        }
    }
    return NULL;
}
