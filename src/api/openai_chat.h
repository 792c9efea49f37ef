/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_OPENAI_CHAT_H
#define CLB_OPENAI_CHAT_H

#include "openai.h"

#include "place.h"

/**
 * The parts of chat completions: openai_chat.c puts them together and writes
 * answers, openai_messages.c reads the conversation, openai_tools.c what the
 * model may call and in which form it answers. Responses has much of it in
 * common.
 */

/** The fields of tools and of the answer's form. */
extern const clb_take_t clb_openai_tool_fields[];

/** Some of them, for a choice among tools that were taken before. */
clb_taker_fn clb_openai_tool_choice, clb_openai_parallel, clb_openai_format;

/** Read `messages`. */
apr_status_t clb_openai_messages(clb_chat_t *chat, const clb_json_t *body,
                                 clb_error_t *error);

/** Read a string or an array of parts, which stands at @a path, into
 *  @a message; NULL stands for the system prompt. */
apr_status_t clb_openai_content(clb_place_t *at, clb_message_t *message,
                                const char *path, const clb_json_t *content);

/** Add @a call, which stands at @a path, if it is one. */
apr_status_t clb_openai_call(const clb_place_t *at, clb_message_t *message,
                             const char *path, const clb_part_t *call);

/** The arguments of a call as a JSON object. */
const char *clb_openai_arguments(const clb_json_t *value, apr_pool_t *pool);

/** The `input` that a custom tool was called with, as its one argument. */
const char *clb_openai_input(const clb_json_t *custom, apr_pool_t *pool);

/** Read the result of the call that @a key names; member @a said has it. */
apr_status_t clb_openai_result(clb_place_t *at, const clb_json_t *json,
                               const char *key, const char *said);

#endif
