/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_CHAT_H
#define CLB_CHAT_H

#include <apr_pools.h>
#include <apr_tables.h>

/**
 * What is asked: the neutral form between every dialect and every driver. All
 * strings are valid UTF-8 without NUL and live in chat->pool.
 */

typedef enum clb_role_e {
    CLB_ROLE_USER,
    CLB_ROLE_ASSISTANT
} clb_role_e;

typedef enum clb_part_e {
    CLB_PART_TEXT,
    CLB_PART_REASONING
} clb_part_e;

typedef struct clb_part_t {
    clb_part_e kind;
    const char *text;
} clb_part_t;

typedef struct clb_message_t {
    clb_role_e role;
    apr_array_header_t *parts;     /**< of clb_part_t */
} clb_message_t;

/** Request fields that some CLIs honour and some cannot. */
typedef enum clb_field_e {
    CLB_TEMPERATURE,
    CLB_TOP_P,
    CLB_TOP_K,
    CLB_MAX_TOKENS,
    CLB_EFFORT,
    CLB_BUDGET,
    CLB_OTHER,         /**< fields no CLI honours, e.g. seed */
    CLB_FIELDS
} clb_field_e;

#define CLB_FIELD(field) (1u << (field))

/** A field the client gave with a value that asks for something. */
typedef struct clb_given_t {
    clb_field_e field;
    const char *name;              /**< as the client wrote it */
} clb_given_t;

typedef enum clb_effort_e {
    CLB_EFFORT_UNSET,
    CLB_EFFORT_NONE,
    CLB_EFFORT_MINIMAL,
    CLB_EFFORT_LOW,
    CLB_EFFORT_MEDIUM,
    CLB_EFFORT_HIGH,
    CLB_EFFORT_XHIGH,
    CLB_EFFORT_MAX
} clb_effort_e;

typedef struct clb_chat_t {
    apr_pool_t *pool;
    const char *asked;             /**< the model as the client named it */
    const char *model;             /**< the model as the CLI is told */
    const char *system;            /**< NULL = none */
    apr_array_header_t *messages;  /**< of clb_message_t, as the client sent */
    apr_array_header_t *turns;     /**< cache of clb_chat_turns() */
    double temperature;            /**< valid if given, as the others */
    double top_p;
    apr_int64_t top_k;
    apr_int64_t max_tokens;
    apr_int64_t budget;            /**< tokens of reasoning, 0 = off */
    clb_effort_e effort;
    apr_array_header_t *stop;      /**< of const char *, none empty */
    apr_array_header_t *given;     /**< of clb_given_t */
    int stream;
    int include_usage;
} clb_chat_t;

/** An empty chat in @a pool. */
clb_chat_t *clb_chat_create(apr_pool_t *pool);

/** Add an empty message at the end; the pointer is valid until the next. */
clb_message_t *clb_chat_message(clb_chat_t *chat, clb_role_e role);

/** Add a part to @a message; @a text is not copied. */
void clb_chat_part(clb_message_t *message, clb_part_e kind,
                   const char *text);

/** Append a system text; several are joined by an empty line. */
void clb_chat_system(clb_chat_t *chat, const char *text);

/** Note that the client gave @a field under @a name. */
void clb_chat_give(clb_chat_t *chat, clb_field_e field, const char *name);

/** 1 if the client gave @a field. */
int clb_chat_given(const clb_chat_t *chat, clb_field_e field);

/**
 * The names of given fields that are not in @a honoured (CLB_FIELD bits),
 * joined by ", " in chat->pool; NULL when there is none.
 */
const char *clb_chat_ignored(const clb_chat_t *chat, unsigned honoured);

/**
 * The messages as the vendors' APIs want them: roles alternate (neighbours of
 * one role are merged), no empty text, first and last are the user's. Where
 * the client's history has none there, a user message "Continue." is put.
 * Computed once.
 * @return array of clb_message_t in chat->pool
 */
const apr_array_header_t *clb_chat_turns(clb_chat_t *chat);

/**
 * The conversation as plain text, for programs that know nothing else: the
 * text alone if there is one user message and nothing more; otherwise blocks
 * "System:", "User:" and "Assistant:" separated by empty lines.
 */
const char *clb_chat_plain(clb_chat_t *chat);

/** The effort named @a name (none minimal low medium high xhigh max).
 *  @return APR_SUCCESS or APR_EINVAL */
apr_status_t clb_effort_parse(clb_effort_e *effort, const char *name);

/** The name of @a effort, NULL for CLB_EFFORT_UNSET. */
const char *clb_effort_name(clb_effort_e effort);

#endif
