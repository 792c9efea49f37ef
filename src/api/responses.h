/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_RESPONSES_H
#define CLB_RESPONSES_H

#include "openai.h"

/**
 * The parts of OpenAI's Responses: responses.c takes the fields of a request,
 * responses_input.c its conversation, responses_tools.c what the model may
 * call, responses_echo.c what answers repeat of it, and responses_reply.c
 * writes them.
 */

/** What `encrypted_content` begins with: the signature of the summary beside
 *  it, or reasoning that only the vendor can read. Whatever begins otherwise
 *  another server made. */
#define CLB_RESPONSES_SIGNED "clb-signed."
#define CLB_RESPONSES_HIDDEN "clb-hidden."

/** Most items in a row that are the assistant's. */
#define CLB_RESPONSES_ROW 1024

/** Fields of tools, which come before the choice among them. */
extern const clb_take_t clb_responses_tool_fields[];

/** Take the tools that stand in items of the input. */
apr_status_t clb_responses_more_tools(clb_chat_t *chat, const clb_json_t *body,
                                      clb_error_t *error);

/** The name by which the model knows the tool @a name of the group @a space,
 *  which may be NULL. */
const char *clb_responses_name(const char *space, const char *name,
                               apr_pool_t *pool);

/** Read `instructions`, `input`, and what else only this API calls so. */
apr_status_t clb_responses_input(clb_chat_t *chat, const clb_json_t *body,
                                 clb_error_t *error);

/** What `encrypted_content` of a compaction begins with: the summary. */
#define CLB_RESPONSES_SUMMARY "clb-summary."

/** Note in @a chat what its answers repeat of @a body, which was taken. */
void clb_responses_echo(clb_chat_t *chat, const clb_json_t *body);

/** The functions of the dialect that write: see dialect.h. */
void clb_responses_begin(clb_reply_t *reply);
void clb_responses_event(clb_reply_t *reply, const clb_event_t *event);
void clb_responses_error(clb_reply_t *reply, const clb_error_t *error);
void clb_responses_whole(clb_reply_t *reply);
clb_json_t *clb_responses_record(const clb_reply_t *reply,
                                 clb_progress_e progress,
                                 const clb_error_t *error);
apr_status_t clb_responses_recall(clb_json_t *body, const clb_kept_t *kept,
                                  clb_error_t *error, apr_pool_t *pool);

/** As clb_responses_error() on a WebSocket, which has no status to tell of what
 *  failed before it began. */
void clb_responses_socket_error(clb_reply_t *reply, const clb_error_t *error);

/** The response as it stands. @param error why it FAILED */
clb_json_t *clb_responses_json(const clb_reply_t *reply,
                               clb_progress_e progress,
                               const clb_error_t *error);

/** Append the items of an answer that has ended to @a list, with what only the
 *  vendor reads. */
void clb_responses_items(const clb_reply_t *reply, clb_json_t *list);

/** The member `usage`. */
clb_json_t *clb_responses_usage(const clb_reply_t *reply);

/** The member `error` of a response that failed. */
clb_json_t *clb_responses_failure(const clb_error_t *error, apr_pool_t *pool);

/** An item as the server shows it: with an id, @a id unless it has one, and
 *  what else clients expect. */
clb_json_t *clb_responses_item(const clb_json_t *item, const char *id,
                               apr_pool_t *pool);

/** The parser of /v1/responses, which others go on from. */
apr_status_t clb_responses_parse(clb_chat_t *chat, const clb_json_t *body,
                                 clb_error_t *error);

#endif
