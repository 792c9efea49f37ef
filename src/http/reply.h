/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_REPLY_H
#define CLB_REPLY_H

#include "request.h"

/** Send @a body as the whole response with @a status.
 *  @return what the handler returns */
int clb_reply_json(request_rec *r, int status, const char *body,
                   apr_size_t len);

/** The same with 200, now: the client has all of it while the worker goes on
 *  with what it has to do. The connection ends with that. */
void clb_reply_now(request_rec *r, const char *body, apr_size_t len);

/** The dialect that @a r is answered in: its route's, or else OpenAI's. */
const clb_dialect_t *clb_reply_dialect(request_rec *r);

/** Send @a error as the whole response, in @a dialect (NULL = as
 *  clb_reply_dialect()).
 *  @return what the handler returns */
int clb_reply_error(request_rec *r, const clb_dialect_t *dialect,
                    const clb_error_t *error);

/** The body for a refusal by somebody else, whose status is r->status. */
const char *clb_reply_refusal(request_rec *r);

/** Send the brigade with what is in @a out and a flush; empties @a out. */
apr_status_t clb_reply_flush(request_rec *r, apr_bucket_brigade *bb,
                             clb_buf_t *out);

#endif
