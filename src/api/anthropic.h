/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_ANTHROPIC_H
#define CLB_ANTHROPIC_H

#include "dialect.h"
#include "take.h"

/**
 * The parts of Anthropic's Messages: anthropic.c takes the fields of a request,
 * anthropic_messages.c its conversation, anthropic_tools.c what the model may
 * call, and anthropic_reply.c writes answers.
 */

/** In place of a signature, where no vendor gives one: clients want some text
 *  there, and send it back. */
#define CLB_ANTHROPIC_UNSIGNED "clb-unsigned"

/** 1 if the client speaks version 2026-10-21, 0 if it is 2023-06-01. */
int clb_anthropic_newer(const clb_chat_t *chat);

/** Fields of tools, which come before the choice among them. */
extern const clb_take_t clb_anthropic_tool_fields[];

/** Read `messages`. */
apr_status_t clb_anthropic_messages(clb_chat_t *chat, const clb_json_t *body,
                                    clb_error_t *error);

/** Take `system`, a string or text blocks. */
clb_taker_fn clb_anthropic_system;

/** The functions of the dialect that write: see dialect.h. */
void clb_anthropic_begin(clb_reply_t *reply);
void clb_anthropic_event(clb_reply_t *reply, const clb_event_t *event);
void clb_anthropic_error(clb_reply_t *reply, const clb_error_t *error);
void clb_anthropic_ping(clb_reply_t *reply);
void clb_anthropic_whole(clb_reply_t *reply);
void clb_anthropic_error_body(clb_buf_t *out, const clb_error_t *error,
                              const char *request);

#endif
