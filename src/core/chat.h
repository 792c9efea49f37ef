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
    CLB_PART_REASONING,
    CLB_PART_IMAGE,
    CLB_PART_DOCUMENT,
    CLB_PART_CALL,     /**< the assistant calls a tool of the client's */
    CLB_PART_RESULT    /**< and the user says what came of it */
} clb_part_e;

/** Members that a kind does not have are NULL. */
typedef struct clb_part_t {
    clb_part_e kind;
    const char *text;          /**< TEXT, REASONING; CALL: the arguments, a
                                    JSON object; DOCUMENT: if it is a text */
    const char *id;            /**< CALL, RESULT: of the call */
    const char *name;          /**< CALL: the tool; DOCUMENT: its name */
    const char *media;         /**< IMAGE, DOCUMENT: e.g. "image/png" */
    const char *data;          /**< IMAGE, DOCUMENT: base64; REASONING: instead
                                    of a text, if only the vendor can read it */
    const char *url;           /**< IMAGE, DOCUMENT: instead of data */
    const char *signature;     /**< REASONING: by which the vendor knows it */
    apr_array_header_t *parts; /**< RESULT: of clb_part_t, TEXT and IMAGE */
    int failed;                /**< RESULT: the tool could not do it */
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
    CLB_FORCED,        /**< that a tool is called */
    CLB_OTHER,         /**< fields no CLI honours, e.g. seed */
    CLB_FIELDS
} clb_field_e;

#define CLB_FIELD(field) (1u << (field))

/** What a chat needs that not every CLI can. */
#define CLB_NEED_TOOLS     1u      /**< tools, calls or results */
#define CLB_NEED_IMAGES    2u
#define CLB_NEED_URLS      4u      /**< images by their address */
#define CLB_NEED_DOCUMENTS 8u
#define CLB_NEED_JSON      16u     /**< CLB_FORMAT_JSON */
#define CLB_NEED_SCHEMA    32u     /**< CLB_FORMAT_SCHEMA */
#define CLB_NEED_PREFILL   64u     /**< chat->prefill */

/** Most words in chat->args. */
#define CLB_ARGS_MAX 32

/** A field the client gave with a value that asks for something. */
typedef struct clb_given_t {
    clb_field_e field;
    const char *name;              /**< as the client wrote it */
} clb_given_t;

/** A tool of the client's: the model may call it, the client runs it. */
typedef struct clb_tool_t {
    const char *name;
    const char *description;       /**< NULL = none */
    const char *schema;            /**< of its arguments, a JSON object */
    int custom;                    /**< it takes a text: {"input": TEXT} */
    const char *space;             /**< the group of tools it is of: what its
                                        name begins with, before a dot; or
                                        NULL */
} clb_tool_t;

typedef enum clb_choice_e {
    CLB_CHOICE_AUTO,
    CLB_CHOICE_NONE,
    CLB_CHOICE_REQUIRED,           /**< any, but at least one */
    CLB_CHOICE_NAMED
} clb_choice_e;

typedef enum clb_format_e {
    CLB_FORMAT_TEXT,
    CLB_FORMAT_JSON,               /**< some JSON object */
    CLB_FORMAT_SCHEMA              /**< JSON by a schema */
} clb_format_e;

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
    const char *version;           /**< of the API, as a header says, or NULL */
    const char *asked;             /**< the model as the client named it */
    const char *model;             /**< the model as the CLI is told */
    const char *system;            /**< NULL = none */
    apr_array_header_t *messages;  /**< of clb_message_t, as the client sent */
    const char *messages_name;     /**< the field that has them */
    apr_array_header_t *turns;     /**< cache of clb_chat_turns() */
    double temperature;            /**< valid if given, as the others */
    double top_p;
    apr_int64_t top_k;
    apr_int64_t max_tokens;
    apr_int64_t budget;            /**< tokens of reasoning, 0 = off */
    clb_effort_e effort;
    int model_thinks;              /**< reasoning as the model does by itself,
                                        not as the CLI would ask it to */
    const char *display;           /**< how it is shown, NULL = the CLI's way */
    int quiet;                     /**< the client does not want to see it */
    apr_array_header_t *tools;     /**< of clb_tool_t: those it may call now */
    clb_choice_e choice;           /**< never REQUIRED or NAMED without tools */
    const char *chosen;            /**< NAMED: the tool */
    const apr_array_header_t *own; /**< of const char *: tools that the CLI has
                                        itself, or NULL */
    int one_call;                  /**< at most one call in an answer */
    int functions;                 /**< asked for by OpenAI's older names */
    int prefill;                   /**< the answer goes on with the last
                                        message, the assistant's */
    clb_format_e format;
    const char *format_name;       /**< the field that asked for the format */
    const char *schema;            /**< SCHEMA: a JSON object */
    apr_array_header_t *stop;      /**< of const char *, none empty */
    apr_array_header_t *given;     /**< of clb_given_t */
    int stream;
    int include_usage;
    int signatures;                /**< the client takes those of reasoning */
    apr_array_header_t *args;      /**< of const char *: more arguments for
                                        the CLI, if the operator allows them */
    double timeout;                /**< seconds it may take, 0 = as the server
                                        allows */
    int verbatim;                  /**< the client wants what the program wrote
                                        as it is */
    const struct clb_json_t *echo; /**< what an answer repeats of the request,
                                        an object, or NULL */
    int keeps;                     /**< the server can keep answers */
    int stored;                    /**< the client wants this one kept */
    int background;                /**< and does not wait for it */
    const char *previous;          /**< the answer that this one goes on from,
                                        or NULL */
    const struct clb_json_t *items; /**< of Responses: the conversation as the
                                        client wrote it, an array, or NULL */
} clb_chat_t;

/** An empty chat in @a pool. */
clb_chat_t *clb_chat_create(apr_pool_t *pool);

/** Add an empty message at the end; the pointer is valid until the next. */
clb_message_t *clb_chat_message(clb_chat_t *chat, clb_role_e role);

/** Add a part to @a message; @a text is not copied. The pointer is valid until
 *  the next. */
clb_part_t *clb_chat_part(clb_message_t *message, clb_part_e kind,
                          const char *text);

/**
 * The arguments of a call as a JSON object: @a text itself if it is one, {} if
 * it is empty, and {"arguments": TEXT} for what a model wrote that is none.
 */
const char *clb_chat_arguments(const char *text, apr_pool_t *pool);

/** CLB_NEED bits of @a chat. */
unsigned clb_chat_needs(const clb_chat_t *chat);

/** What a client would call the CLB_NEED bits, e.g. "tools, images". */
const char *clb_chat_need_names(unsigned needs, apr_pool_t *pool);

/** The request's field that the first of the CLB_NEED bits is due to. */
const char *clb_chat_need_field(const clb_chat_t *chat, unsigned needs);

/** The id of a call that no result follows before the next message, NULL when
 *  there is none: vendors' APIs refuse such a history. */
const char *clb_chat_unanswered(const clb_chat_t *chat);

/** 1 if @a id is of a call in the last message of the assistant, behind which
 *  are only results, and none of that call. */
int clb_chat_expects(const clb_chat_t *chat, const char *id);

/** Which of the parts of @a kind in @a message, from 0, has the id @a id; -1 if
 *  none has. */
int clb_chat_find(const clb_message_t *message, clb_part_e kind,
                  const char *id);

/**
 * The id of the call that @a part, a CALL or RESULT of the turn @a turn, is of,
 * as a vendor's API takes it: clients' ids may be too odd for it, or stand
 * twice, so one is made up, which begins with @a prefix.
 * @param known turns before this one keep their ids: the model gave them
 */
const char *clb_chat_call_id(clb_chat_t *chat, int turn,
                             const clb_part_t *part, int known,
                             const char *prefix, apr_pool_t *pool);

/** How many parts of @a kind @a message has. */
int clb_chat_count(const clb_message_t *message, clb_part_e kind);

/** 1 if a message of @a chat has a part of @a kind. */
int clb_chat_has(const clb_chat_t *chat, clb_part_e kind);

/** The tool called @a name, or NULL. */
const clb_tool_t *clb_chat_tool(const clb_chat_t *chat, const char *name);

/** Append a system text; several are joined by an empty line. */
void clb_chat_system(clb_chat_t *chat, const char *text);

/** Before and behind reasoning that stands in an answer's text. */
#define CLB_THINK "<think>\n"
#define CLB_THOUGHT "\n</think>\n\n"

/** Take reasoning that stands in the text of the assistant's messages out of
 *  it: the client sends answers back as it got them. */
void clb_chat_forget_thoughts(clb_chat_t *chat);

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
 * one role are merged), no text of blanks alone, no reasoning but what the
 * vendor knows again and other parts follow, first and last are the user's.
 * Where the client's history has none there, a user message "Continue." is put.
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

/** 1 if the client wants no reasoning, or not to see it. */
int clb_chat_quiet(const clb_chat_t *chat);

/** The effort named @a name (none minimal low medium high xhigh max).
 *  @return APR_SUCCESS or APR_EINVAL */
apr_status_t clb_effort_parse(clb_effort_e *effort, const char *name);

/** The name of @a effort, NULL for CLB_EFFORT_UNSET. */
const char *clb_effort_name(clb_effort_e effort);

#endif
