/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_CLAUDE_H
#define CLB_CLAUDE_H

#include "../core/json.h"
#include "driver.h"

/**
 * The parts of the driver claude: claude_start.c starts the CLI, claude_ask.c
 * writes, claude.c reads, claude_error.c knows the CLI's errors, claude_tools.c
 * what the CLI is to believe of the client's tools, claude_usage.c tokens,
 * claude_trial.c how the CLI is tested, and claude_report.c what it says of
 * itself.
 */

/** Ids of the control requests that warm a process up. */
#define CLB_CLAUDE_VERSION "w0"
#define CLB_CLAUDE_WARMED "w1"

extern const clb_trial_t clb_claude_trial;
extern const clb_question_t clb_claude_question;

/* --- claude_start.c --- */

extern const clb_setup_t clb_claude_setup;
extern const char *const clb_claude_env[];
extern const char *const clb_claude_web[];

/** The arguments of the CLI. */
void clb_claude_args(const clb_start_t *start, apr_array_header_t *argv);

/* --- claude_ask.c --- */

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
 * @param known turns before this one were written by the CLI and us: what
 *        follows them names calls by the model's own ids
 * @param model whose answers those of the assistant were: the CLI passes on
 *        thoughts of the one that it asks, and no others
 */
void clb_claude_history(clb_chat_t *chat, apr_uint32_t *next, int known,
                        const char *model, clb_step_t *out);

/* --- claude_error.c --- */

/** What the CLI's name of an error means; CLB_OK if we do not know it. */
clb_error_e clb_claude_kind(const char *name);

/**
 * End the turn with the error that @a json, a result, tells.
 * @param kind what a line before named; CLB_OK = nothing
 * @param resets_at end of a used-up window, seconds since 1970; 0 = none
 */
void clb_claude_fail(clb_error_e kind, apr_int64_t resets_at,
                     const clb_json_t *json, clb_step_t *out);

/** Take up that the CLI means to try its request again.
 *  @param started words of the answer were seen */
void clb_claude_retry(int started, const clb_json_t *json, clb_step_t *out);

/** Note what @a json says of a limit.
 *  @return the end of a used-up window, @a resets_at if it tells of none */
apr_int64_t clb_claude_limit(apr_int64_t resets_at, const clb_json_t *json,
                             clb_step_t *out);

/* --- claude_usage.c --- */

/** Set @a usage to what the vendor's @a json counts; what that does not name
 *  stays. */
void clb_claude_count(clb_usage_t *usage, const clb_json_t *json);

/** Add what @a models, the CLI's count by model, has to @a usage. */
void clb_claude_count_all(clb_usage_t *usage, const clb_json_t *models);

/* --- claude_tools.c --- */

/** 1 if @a name is one of the CLI's own tools that it may use; NULL is none. */
int clb_claude_own(const clb_chat_t *chat, const char *name);

/** 1 if the CLI is told of tools. */
int clb_claude_offers(const clb_chat_t *chat);

/** The name by which the CLI knows the client's tool @a name: letters, digits,
 *  _ and -, at most 64. */
const char *clb_claude_tool(const clb_chat_t *chat, const char *name,
                            apr_pool_t *pool);

/** The client's name for the tool the CLI knows as @a name, NULL if there is
 *  none: the model made it up. */
const char *clb_claude_asked(const clb_chat_t *chat, const char *name,
                             apr_pool_t *pool);

/** The client's tools that are not among @a taken, the CLI's list of its tools;
 *  NULL if none is lost. */
const char *clb_claude_lost(const clb_chat_t *chat, const clb_json_t *taken,
                            apr_pool_t *pool);

/** Descriptions that are too long for the CLI, for the system prompt; NULL if
 *  there are none. */
const char *clb_claude_manual(const clb_chat_t *chat, apr_pool_t *pool);

/** Our answer to a message for the MCP server that has the client's tools.
 *  @param chat NULL: there are none */
clb_json_t *clb_claude_mcp(const clb_chat_t *chat, const clb_json_t *message,
                           apr_pool_t *pool);

/** The vendor's `tool_choice`; NULL for its default. */
clb_json_t *clb_claude_choice(const clb_chat_t *chat, apr_pool_t *pool);

#endif
