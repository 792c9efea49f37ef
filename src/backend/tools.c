/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of tools, both ways.
 */
#include "tools.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

int clb_tool_plain(const char *name, apr_size_t max)
{
    apr_size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnop"
                            "qrstuvwxyz0123456789_-");

    return len > 0 && name[len] == '\0' && len <= max;
}

/* A plain name for the @a i-th tool, which no other has. Numbers before it
 * give it another beginning, too, and not much more of a length. */
static const char *other_name(const clb_chat_t *chat, int i, const char *name,
                              clb_tool_fits_fn fits, apr_pool_t *pool)
{
    char *short_name = apr_pstrndup(pool, name, 40), *c;
    const char *full;
    int n = 0;

    for (c = short_name; *c != '\0'; c++) {
        if (!apr_isalnum(*c) && *c != '-') {
            *c = '_';
        }
    }
    full = apr_psprintf(pool, "%s_%d", short_name, i);
    while (clb_chat_tool(chat, full) != NULL || !fits(chat, full)) {
        full = apr_psprintf(pool, "t%d_%s_%d", n++, short_name, i);
    }
    return full;
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
