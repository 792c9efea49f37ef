/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_GEMINI_H
#define CLB_GEMINI_H

#include "dialect.h"
#include "take.h"

/**
 * The parts of Google's Gemini API: gemini.c takes the fields of a request,
 * gemini_contents.c its conversation, gemini_tools.c what the model may call,
 * gemini_schema.c reads schemas, and gemini_reply.c writes answers.
 *
 * Members have the names of protocol buffers, in both of their spellings; a
 * list may be its only item. Errors name them in the one that the vendor's SDKs
 * write.
 */

/** 1 if @a name is @a member, also with underscores ("top_k" for "topK"). */
int clb_gemini_is(const char *name, const char *member);

/** The member @a name of @a object, which may also be written with underscores;
 *  NULL when it is absent or null. */
clb_json_t *clb_gemini_get(const clb_json_t *object, const char *name);

/** The text of such a member, NULL when it is not a string. */
const char *clb_gemini_string(const clb_json_t *object, const char *name);

/** How many items @a list has, and item @a i. */
apr_size_t clb_gemini_size(const clb_json_t *list);
const clb_json_t *clb_gemini_at(const clb_json_t *list, apr_size_t i);

/** Run the takers of @a table whose fields @a object has; their names begin
 *  with @a path. */
apr_status_t clb_gemini_fields(clb_chat_t *chat, const char *path,
                               const clb_json_t *object,
                               const clb_take_t *table, clb_error_t *error);

/** The JSON Schema that @a schema, in the vendor's own form, stands for. */
clb_json_t *clb_gemini_schema(const clb_json_t *schema, apr_pool_t *pool);

/** Take `tools` and, after them, `toolConfig`. */
clb_taker_fn clb_gemini_tools, clb_gemini_tool_config;

/** Take `systemInstruction`. */
clb_taker_fn clb_gemini_system;

/** Read `contents`. */
apr_status_t clb_gemini_contents(clb_chat_t *chat, const clb_json_t *body,
                                 clb_error_t *error);

/** The functions of the dialects that write: see dialect.h. A stream is one of
 *  events, or an array that grows. */
void clb_gemini_begin(clb_reply_t *reply);
void clb_gemini_event(clb_reply_t *reply, const clb_event_t *event);
void clb_gemini_error(clb_reply_t *reply, const clb_error_t *error);
void clb_gemini_comment(clb_reply_t *reply, const char *text);
void clb_gemini_item(clb_reply_t *reply, const clb_event_t *event);
void clb_gemini_item_error(clb_reply_t *reply, const clb_error_t *error);
void clb_gemini_whole(clb_reply_t *reply);
void clb_gemini_error_body(clb_buf_t *out, const clb_error_t *error,
                           const char *request);

#endif
