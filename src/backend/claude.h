/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_CLAUDE_H
#define CLB_CLAUDE_H

#include "../core/json.h"
#include "driver.h"

/**
 * The two halves of the driver claude: claude_ask.c writes, claude.c reads.
 */

/** Ids of the control requests that warm a process up. */
#define CLB_CLAUDE_VERSION "w0"
#define CLB_CLAUDE_WARMED "w1"

/** Write one line. */
void clb_claude_put(clb_step_t *out, const clb_json_t *json);

/** Write what warms a process up; it is ready when CLB_CLAUDE_WARMED is
 *  answered. */
void clb_claude_warm(clb_step_t *out);

/** Write the settings of @a chat and the first of its turns, to a process that
 *  was asked nothing yet. */
void clb_claude_ask(clb_chat_t *chat, apr_uint32_t *next, clb_step_t *out);

/** Write that the CLI must not go on by itself. */
void clb_claude_interrupt(clb_step_t *out);

/**
 * Write turns up to and including the next user's.
 * @param next the first turn to write; moved on
 */
void clb_claude_history(clb_chat_t *chat, apr_uint32_t *next,
                        clb_step_t *out);

#endif
