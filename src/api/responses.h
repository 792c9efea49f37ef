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

/** Note in @a chat what its answers repeat of @a body, which was taken. */
void clb_responses_echo(clb_chat_t *chat, const clb_json_t *body);

/** The functions of the dialect that write: see dialect.h. */
void clb_responses_begin(clb_reply_t *reply);
void clb_responses_event(clb_reply_t *reply, const clb_event_t *event);
void clb_responses_error(clb_reply_t *reply, const clb_error_t *error);
void clb_responses_whole(clb_reply_t *reply);

#endif
