/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_DIALECT_H
#define CLB_DIALECT_H

#include "../core/chat.h"
#include "../core/event.h"
#include "../core/json.h"
#include "../core/text.h"

#include <apr_time.h>

/**
 * A dialect is one vendor's API on the wire: JSON to chat, events to bytes. It
 * knows no driver, no HTTP and no descriptor.
 */

/** A call in an answer. */
typedef struct clb_call_t {
    const char *id;
    const char *name;
    int custom;                  /**< of a tool that takes a text */
    clb_buf_t arguments;         /**< so far */
} clb_call_t;

/** A stretch of one kind in an answer, in the model's order. */
typedef struct clb_block_t {
    clb_part_e kind;             /**< TEXT, REASONING or CALL */
    apr_size_t from;             /**< where in reply->text, reasoning, calls */
    const char *signature;       /**< REASONING: NULL = none so far */
    const char *hidden;          /**< REASONING: if only the vendor reads it */
} clb_block_t;

/** An answer under way. */
typedef struct clb_reply_t {
    apr_pool_t *pool;
    const clb_chat_t *chat;
    const char *id;              /**< of the answer, as the dialect names it */
    const char *request;         /**< id of the request, as a header says it */
    apr_int64_t created;         /**< seconds since 1970 */
    clb_buf_t out;               /**< bytes to send; the sender empties it */
    clb_buf_t text;              /**< the answer so far, if not streamed */
    clb_buf_t reasoning;
    apr_array_header_t *calls;   /**< of clb_call_t */
    apr_array_header_t *blocks;  /**< of clb_block_t */
    clb_usage_t usage;
    clb_exit_t exit;             /**< of the program; zeros if it lives on */
    clb_stop_e stop;
    const char *sequence;        /**< the stop sequence it was, or NULL */
    const char *head;            /**< the dialect's own: start of each chunk */
    int open;                    /**< the dialect's own: blocks it has begun */
    int count;                   /**< the dialect's own: pieces it has sent */
} clb_reply_t;

/** What the server has kept of former answers to whoever asks now. */
typedef struct clb_kept_t {
    /** The record of the answer @a id; NULL: there is none, or @a error says
     *  what is wrong with it. */
    clb_json_t *(*find)(void *baton, const char *id, clb_error_t *error);
    void *baton;
} clb_kept_t;

/** How far an answer has come that is kept. */
typedef enum clb_progress_e {
    CLB_QUEUED,
    CLB_RUNNING,
    CLB_ENDED,
    CLB_FAILED
} clb_progress_e;

typedef struct clb_dialect_t {
    const char *name;
    const char *id_prefix;
    int thinks;                  /**< it has a place of its own for reasoning */
    const char *type;            /**< of a stream; NULL = server-sent events */
    int exits;                   /**< that a program failed is an answer */
    /** Read a request; chat->asked stays NULL if it names no model.
     *  @return APR_SUCCESS, or APR_EGENERAL with @a error set */
    apr_status_t (*parse)(clb_chat_t *chat, const clb_json_t *body,
                          clb_error_t *error);
    /** Put what was kept where @a body refers to it. NULL: it cannot refer.
     *  @return APR_SUCCESS, or APR_EGENERAL with @a error set */
    apr_status_t (*recall)(clb_json_t *body, const clb_kept_t *kept,
                           clb_error_t *error, apr_pool_t *pool);
    /** What is to be kept of an answer, an object. NULL: nothing is.
     *  @param error why it FAILED */
    clb_json_t *(*record)(const clb_reply_t *reply, clb_progress_e progress,
                          const clb_error_t *error);
    /** What comes before the first event of a stream. */
    void (*begin)(clb_reply_t *reply);
    /** TEXT, REASONING, SIGNATURE, HIDDEN, CALL, ARGUMENTS or STOP as stream
     *  bytes; STOP ends the stream. reply->calls and reply->blocks have the
     *  event already. */
    void (*event)(clb_reply_t *reply, const clb_event_t *event);
    /** An error in a stream that has begun: it must not look complete. */
    void (*error)(clb_reply_t *reply, const clb_error_t *error);
    /** A sign of life in a stream, which may not have begun; NULL = a
     *  comment. */
    void (*ping)(clb_reply_t *reply);
    /** Words in a stream that clients pass over; NULL = a comment of SSE. */
    void (*comment)(clb_reply_t *reply, const char *text);
    /** The whole answer as one JSON text. */
    void (*whole)(clb_reply_t *reply);
    /** An error as the body of a response to the request called @a request. */
    void (*error_body)(clb_buf_t *out, const clb_error_t *error,
                       const char *request);
    /** How many tokens a request has, as a body; NULL = nobody asks. */
    void (*count)(clb_buf_t *out, apr_int64_t tokens);
    /** A model that is served, and the list of such; NULL = nobody asks. */
    clb_json_t *(*model)(const char *id, const char *owner, apr_time_t since,
                         apr_pool_t *pool);
    clb_json_t *(*models)(const clb_json_t *list, apr_pool_t *pool);
} clb_dialect_t;

extern const clb_dialect_t clb_openai_chat;
extern const clb_dialect_t clb_openai_completions;
extern const clb_dialect_t clb_openai_responses;
extern const clb_dialect_t clb_openai_socket;
extern const clb_dialect_t clb_openai_compact;
extern const clb_dialect_t clb_anthropic;
extern const clb_dialect_t clb_anthropic_count;
extern const clb_dialect_t clb_gemini;
extern const clb_dialect_t clb_gemini_stream;
extern const clb_dialect_t clb_gemini_array;
extern const clb_dialect_t clb_gemini_count;
extern const clb_dialect_t clb_direct_run;

/** Note an event in reply->calls and reply->blocks. */
void clb_reply_note(clb_reply_t *reply, const clb_event_t *event);

/** The last block, NULL before the first. */
clb_block_t *clb_reply_block(const clb_reply_t *reply);

/** The text of block @a i, TEXT or REASONING, of an answer that is not
 *  streamed. */
const char *clb_reply_text(const clb_reply_t *reply, int i);

/** The last call, NULL before the first. */
clb_call_t *clb_reply_call(const clb_reply_t *reply);

/** The arguments of @a call, never an empty text. */
const char *clb_call_arguments(const clb_call_t *call);

/** The message of @a error, which names what in the request was wrong, for
 *  clients that show nothing else. */
const char *clb_error_text(const clb_error_t *error, apr_pool_t *pool);

/** The arguments of @a call as an object. */
clb_json_t *clb_call_object(const clb_call_t *call, apr_pool_t *pool);

/** The text that a custom tool is called with. */
const char *clb_call_input(const clb_call_t *call, apr_pool_t *pool);

/** An empty reply to @a chat in @a pool. */
clb_reply_t *clb_reply_create(const clb_dialect_t *dialect,
                              const clb_chat_t *chat, const char *unique,
                              apr_pool_t *pool);

#endif
