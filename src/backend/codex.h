/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_CODEX_H
#define CLB_CODEX_H

#include "../core/json.h"
#include "driver.h"

/**
 * The parts of the driver codex: codex_start.c starts the CLI and knows how it
 * is tested, codex_ask.c writes, codex.c reads, codex_calls.c knows of calls,
 * codex_usage.c of tokens, codex_error.c of what goes wrong, codex_report.c of
 * what the CLI says of itself.
 */

/** An id of a thread or a turn, with its NUL: a UUID. */
#define CLB_CODEX_ID 40

/* Ids of our requests, by which their answers are known. */
#define CLB_CODEX_HELLO "hello"     /**< the handshake */
#define CLB_CODEX_SPARE "spare"     /**< a thread for later */
#define CLB_CODEX_THREAD "thread"   /**< a thread for this chat */
#define CLB_CODEX_ITEMS "items"     /**< what was said before, and is now */
#define CLB_CODEX_TURN "turn"       /**< the turn */
#define CLB_CODEX_STOP "stop"       /**< its interruption */
#define CLB_CODEX_LEAVE "leave"     /**< the end of a thread */

/* --- codex_start.c --- */

extern const clb_setup_t clb_codex_setup;
extern const char *const clb_codex_env[];
extern const clb_gift_t clb_codex_gifts[];
extern const char *const clb_codex_natives[];
extern const clb_trial_t clb_codex_trial;

/** The arguments of the CLI, before the operator's. */
void clb_codex_args(const clb_start_t *start, apr_array_header_t *argv);

/** Those behind the operator's; without them it has its own list of models. */
void clb_codex_last_args(const clb_start_t *start, apr_array_header_t *argv);

/* --- codex_report.c --- */

extern const clb_question_t clb_codex_question;

/* --- codex_ask.c --- */

/** Write the handshake, whose answer is CLB_CODEX_HELLO. */
void clb_codex_hello(clb_step_t *out);

/** Write that the handshake is over. */
void clb_codex_ready(clb_step_t *out);

/** Write the wish for a thread; with a chat for its tools. */
void clb_codex_thread(const clb_chat_t *chat, clb_step_t *out);

/** Write what @a chat says from the turn @a known on, and that the model is to
 *  answer. */
void clb_codex_ask(clb_chat_t *chat, int known, const char *thread,
                   clb_step_t *out);

/** Write what stands beside results in the turns of @a chat from @a known on;
 *  its answer is CLB_CODEX_ITEMS.
 *  @return 1 if there is anything */
int clb_codex_add(clb_chat_t *chat, int known, const char *thread,
                  clb_step_t *out);

/** Write the result @a part of the call that the CLI knows as request @a id. */
void clb_codex_result(const clb_part_t *part, apr_int64_t id,
                      clb_step_t *out);

/** Write that the turn is to end. */
void clb_codex_stop(const char *thread, const char *turn, clb_step_t *out);

/** Write that the CLI's request @a id is not granted. */
void clb_codex_decline(const clb_json_t *id, clb_step_t *out);

/** Write that a thread is not needed any more. */
void clb_codex_leave(const char *thread, clb_step_t *out);

/** 1 if the CLI is told of tools. */
int clb_codex_offers(const clb_chat_t *chat);

/** The keywords of the tools' schemas that the CLI leaves out although they
 *  would restrict arguments: NULL, or "tools (format, pattern)". */
const char *clb_codex_drops(const clb_chat_t *chat, apr_pool_t *pool);

/** 1 if the CLI is told of the client's tool @a name. */
int clb_codex_has(const clb_chat_t *chat, const char *name);

/** The client's name for the tool the CLI would know as @a name, or NULL. */
const char *clb_codex_asked(const clb_chat_t *chat, const char *name,
                            apr_pool_t *pool);

/* --- codex_calls.c --- */

/** Calls that a process can hold open until their results come. */
#define CLB_CODEX_CALLS 12

/** A call that the CLI waits for the result of. */
typedef struct clb_codex_call_t {
    apr_uint64_t id;             /**< a hash of it */
    apr_int64_t request;         /**< the CLI's number for it */
} clb_codex_call_t;

/** All of them; a part of the driver's state. */
typedef struct clb_codex_open_t {
    apr_uint32_t n;
    clb_codex_call_t calls[CLB_CODEX_CALLS];
} clb_codex_open_t;

/** Add the call that the complete @a item is.
 *  @return 1 if the CLI passes it on to us, 0 if it answers it itself */
int clb_codex_call(const clb_chat_t *chat, const clb_json_t *item,
                   clb_step_t *out);

/** Note that the call @a id is open, as request @a request. */
void clb_codex_opened(clb_codex_open_t *open, const char *id,
                      apr_int64_t request);

/** 1 if the last turn of @a chat has one result of each open call, and no other
 *  result. */
int clb_codex_answers(const clb_codex_open_t *open, clb_chat_t *chat);

/** Write the results that the last turn of @a chat has, after which no call is
 *  open: the last one lets the model go on, so that all else must have been
 *  said. */
void clb_codex_results(clb_codex_open_t *open, clb_chat_t *chat,
                       clb_step_t *out);

/* --- codex_usage.c --- */

/** Set @a usage to what @a json counts. */
void clb_codex_count(clb_usage_t *usage, const clb_json_t *json);

/** Set @a usage to what @a total counts beyond @a told. */
void clb_codex_count_since(clb_usage_t *usage, const clb_json_t *total,
                           const clb_usage_t *told);

/* --- codex_error.c --- */

/** The end of the window that is used up by the news @a params of limits, of
 *  several the last, seconds since 1970; 0 if none is. */
apr_int64_t clb_codex_resets_at(const clb_json_t *params);

/** 1 if the failed turn @a turn is an answer that was cut off, and by what. */
int clb_codex_cut(const clb_json_t *turn, clb_stop_e *reason);

/** Write the error that the failed turn @a turn is.
 *  @param resets_at end of a used-up window, seconds since 1970; 0 = unknown */
void clb_codex_fail(const clb_json_t *turn, apr_int64_t resets_at,
                    clb_step_t *out);

#endif
