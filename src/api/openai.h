/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_OPENAI_H
#define CLB_OPENAI_H

#include "dialect.h"
#include "take.h"

/** What OpenAI's chat completions and completions share. */

/** Fields both have: model, sampling, limits, stop, stream, n, ... */
extern const clb_take_t clb_openai_common[];

/** Take `temperature`. */
clb_taker_fn clb_openai_temperature;

/** OpenAI's name for why an answer ended. */
const char *clb_openai_finish(clb_stop_e stop);

/** OpenAI's usage object. */
clb_json_t *clb_openai_usage(const clb_reply_t *reply);

/** The start of every chunk up to the choices. */
const char *clb_openai_head(clb_reply_t *reply, const char *object);

/**
 * Append a chunk with one choice: @a lead, @a text as a JSON string (none if
 * NULL), @a tail, and why the answer ended (NULL = it goes on).
 */
void clb_openai_chunk(clb_reply_t *reply, const char *lead, const char *text,
                      apr_size_t len, const char *tail, const char *finish);

/** Append the whole answer with one choice, whose @a key is @a value. */
void clb_openai_whole(clb_reply_t *reply, const char *object, const char *key,
                      const clb_json_t *value, const char *finish);

/** Append the chunk that carries usage alone, if asked for, and [DONE]. */
void clb_openai_end(clb_reply_t *reply);

/** An error inside a stream: the error object, and no [DONE]. */
void clb_openai_error(clb_reply_t *reply, const clb_error_t *error);

/** An error as a body. */
void clb_openai_error_body(clb_buf_t *out, const clb_error_t *error,
                           const char *request);

#endif
