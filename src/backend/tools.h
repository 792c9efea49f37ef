/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_TOOLS_H
#define CLB_TOOLS_H

#include "../core/chat.h"

/**
 * The names by which CLIs know the client's tools: its own where the CLI takes
 * them, otherwise plain ones that no other tool has.
 */

/** 1 if the CLI takes @a name as it is. */
typedef int (*clb_tool_fits_fn)(const clb_chat_t *chat, const char *name);

/** The CLI's name for the @a i-th tool of @a chat. */
const char *clb_tool_at(const clb_chat_t *chat, int i, clb_tool_fits_fn fits,
                        apr_pool_t *pool);

/** The CLI's name for the client's tool @a name, which may be one that is not
 *  offered any more. */
const char *clb_tool_name(const clb_chat_t *chat, const char *name,
                          clb_tool_fits_fn fits, apr_pool_t *pool);

/** The client's name for the tool the CLI knows as @a name, NULL if there is
 *  none: the model made it up. */
const char *clb_tool_asked(const clb_chat_t *chat, const char *name,
                           clb_tool_fits_fn fits, apr_pool_t *pool);

/** 1 if @a name is of letters, digits, _ and - alone, at most @a max. */
int clb_tool_plain(const char *name, apr_size_t max);

#endif
