/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_PREFIX_H
#define CLB_PREFIX_H

#include "chat.h"
#include "event.h"
#include "sha256.h"
#include "text.h"

/**
 * The beginning of a conversation in its normal form, as a digest: by it a
 * request finds the process that went through the conversation so far. Two
 * beginnings have the same digest if they mean the same to a model: messages
 * of one role are merged, an answer's text is joined and left out where it is
 * only blanks, arguments are compared as JSON values, reasoning does not count,
 * because clients re-send all of that in many ways. A result says of which call
 * it is; the ids themselves count only where results come next. Who asks and
 * what a process is given once (model, system prompt, tools, parameters) are
 * part of it. Tried with what ten clients send (t/data/clients).
 */
typedef struct clb_prefix_t {
    apr_pool_t *pool;
    clb_sha256_t sum;
    int in_text;
    int in_call;
    clb_buf_t blanks;          /**< of a text that may yet be nothing else */
    clb_buf_t arguments;       /**< of the call that is being answered */
    clb_buf_t ids;             /**< of the last calls, NUL after each */
} clb_prefix_t;

/**
 * Begin with what comes before the first message.
 * @param owner whose conversation it is, e.g. a client's key; nobody else's
 *        conversations have the same digests
 * @param backend its name
 */
void clb_prefix_begin(clb_prefix_t *prefix, const clb_chat_t *chat,
                      const char *owner, const char *backend);

/** Add the turns from @a from to before @a to of clb_chat_turns(). */
void clb_prefix_turns(clb_prefix_t *prefix, clb_chat_t *chat, int from,
                      int to);

/** Begin the assistant's answer, ... */
void clb_prefix_answer(clb_prefix_t *prefix);

/** ... add what it says (events that say nothing are passed over), ... */
void clb_prefix_event(clb_prefix_t *prefix, const clb_event_t *event);

/** ... and end it. */
void clb_prefix_answered(clb_prefix_t *prefix);

/** The digest so far, between two turns. */
void clb_prefix_digest(const clb_prefix_t *prefix,
                       unsigned char digest[CLB_SHA256_SIZE]);

#endif
