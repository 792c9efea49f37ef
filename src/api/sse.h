/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_SSE_H
#define CLB_SSE_H

#include "../core/text.h"

/** Server-sent events (WHATWG HTML, section 9.2). JSON text has no line feed,
 *  so one data line holds it. */

/** Begin an event's data; the caller appends one line of text. */
void clb_sse_begin(clb_buf_t *out);

/** The same of an event that has a name. */
void clb_sse_begin_named(clb_buf_t *out, const char *name);

/** End the event. */
void clb_sse_end(clb_buf_t *out);

/** A sign of life no client takes for an event. Some clients choke on a
 *  comment that is followed by an empty line (openai-go, Continue). */
void clb_sse_comment(clb_buf_t *out, const char *text);

#endif
