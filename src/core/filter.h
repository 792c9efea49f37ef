/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_FILTER_H
#define CLB_FILTER_H

#include "chat.h"
#include "event.h"

#include <apr_tables.h>

/**
 * What no CLI does but a bridge can, done once between driver and dialect:
 * stop sequences, one call at most, whether an answer is JSON, where reasoning
 * stands, and the cap on its size.
 */
typedef struct clb_filter_t clb_filter_t;

/**
 * A filter in @a pool that passes events on to @a sink.
 * @param stop array of const char *, none empty; text that may turn out to be
 *        the start of one is held back until it is known
 * @param max_answer bytes of text and reasoning allowed in one answer
 */
clb_filter_t *clb_filter_create(apr_pool_t *pool,
                                const apr_array_header_t *stop,
                                apr_size_t max_answer, clb_sink_t sink);

/** Where the client finds the model's reasoning. */
typedef enum clb_reasoning_e {
    CLB_REASONING_FIELD,   /**< where its dialect has a place for it */
    CLB_REASONING_TAGS,    /**< in the text, between <think> and </think> */
    CLB_REASONING_OFF      /**< nowhere */
} clb_reasoning_e;

/** Present reasoning @a as; not in the text of an answer that is to be JSON. */
void clb_filter_reasoning(clb_filter_t *filter, clb_reasoning_e as);

/**
 * Hold the answer to what @a chat asks of its form: one call at most, and JSON.
 * What is not JSON is an error, which comes at its end.
 */
void clb_filter_form(clb_filter_t *filter, const clb_chat_t *chat);

/**
 * Pass one event. After a stop sequence the sink got STOP; after too large an
 * answer it got ERROR.
 * @return APR_EOF when the turn is over by the filter's word, else what the
 *         sink returned
 */
apr_status_t clb_filter_event(clb_filter_t *filter, const clb_event_t *event);

#endif
