/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_STREAM_H
#define CLB_STREAM_H

#include "stored.h"

/**
 * Events to the client: as a stream, or as one answer at the end. Nothing is
 * sent before the first words of the model or the first sign of life, so that
 * an error before them has its proper status.
 */
typedef struct clb_stream_t {
    request_rec *r;
    const clb_dialect_t *dialect;
    clb_reply_t *reply;
    apr_bucket_brigade *bb;
    int begun;                   /**< headers are out */
    int named;                   /**< the client knows the answer's id */
    int detached;                /**< the client gets no more of it */
    clb_stored_t *stored;        /**< where answers are kept, or NULL */
    int client_fd;               /**< see clb_turn_t: who waits for the answer,
                                      at first the client */
    int (*gone)(void *waits);
    void *waits;
    apr_time_t *told;            /**< see clb_turn_t; NULL = nobody asks */
    apr_time_t first;            /**< when the first words came; 0 = not yet */
    int whole;                   /**< the answer is complete, not yet sent */
    clb_error_e error;           /**< what the turn ended with */
} clb_stream_t;

/** Prepare to answer @a chat. */
clb_stream_t *clb_stream_create(request_rec *r, const clb_dialect_t *dialect,
                                const clb_chat_t *chat);

/** Send what comes before the first words, for a client that must know the
 *  answer before there are any. */
void clb_stream_start(clb_stream_t *stream);

/** The sink for a turn's events. Words may stay until clb_stream_flush(). */
apr_status_t clb_stream_event(void *stream, const clb_event_t *event);

/** Send what events left to be sent. */
apr_status_t clb_stream_flush(void *stream);

/** A sign of life; nothing for an answer that is not streamed. */
apr_status_t clb_stream_tick(void *stream);

/** After the turn: send an answer that was not streamed. The slot is free by
 *  then, so a client that is slow to read holds nobody up. */
void clb_stream_end(clb_stream_t *stream);

#endif
