/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_OPENAI_CHAT_H
#define CLB_OPENAI_CHAT_H

#include "openai.h"

/**
 * The parts of chat completions: openai_chat.c puts them together and writes
 * answers, openai_messages.c reads the conversation, openai_tools.c what the
 * model may call and in which form it answers.
 */

/** The fields of tools and of the answer's form. */
extern const clb_take_t clb_openai_tool_fields[];

/** Read `messages`. */
apr_status_t clb_openai_messages(clb_chat_t *chat, const clb_json_t *body,
                                 clb_error_t *error);

#endif
