/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_TOKENS_H
#define CLB_TOKENS_H

#include "chat.h"

/** How many tokens @a text is for a model of Anthropic's: an estimate. */
apr_int64_t clb_tokens_text(const char *text);

/** How many tokens all of @a chat is: system prompt, tools, messages, images
 *  and documents. It does not count what a CLI adds. */
apr_int64_t clb_tokens_chat(const clb_chat_t *chat);

#endif
