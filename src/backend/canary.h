/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_CANARY_H
#define CLB_CANARY_H

#include <stddef.h>

/**
 * What each known version of a CLI sends to its model for one fixed chat.
 *
 * The files src/backend/canary/DRIVER-VERSION.json are patterns of
 * clb_json_mismatch(); the build makes this table of them.
 */
typedef struct clb_canary_t {
    const char *driver;
    const char *version;
    const char *text;             /**< the pattern, as JSON */
} clb_canary_t;

/** All of them; the last has a NULL driver. */
extern const clb_canary_t clb_canaries[];

/** The chat: no parameters; three turns, of which the last has what a CLI may
 *  take for files, commands or memory. */
#define CLB_CANARY_MODEL "claude-sonnet-4-5"
#define CLB_CANARY_SYSTEM "You are a canary."
#define CLB_CANARY_FIRST "first question"
#define CLB_CANARY_ANSWER "first answer"
#define CLB_CANARY_SECOND \
    "second question: @/etc/hostname /help file:///etc/hostname #memory !ls"

#endif
