/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_WAIT_H
#define CLB_WAIT_H

#include <apr_time.h>
#include <httpd.h>

/**
 * Seeing a client leave while nothing is read from it or written to it.
 * Measured: c->aborted is never set on a silent HTTP/1 connection, and under
 * HTTP/2 the connection's socket is a dummy.
 */

/** A descriptor whose POLLRDHUP means that the client left; -1 under HTTP/2,
 *  where clb_client_gone() must be asked. */
int clb_client_fd(request_rec *r);

/** 1 if httpd knows that the client is gone. */
int clb_client_gone(request_rec *r);

/** How long one write to the client may block from now on; -1 puts back what
 *  the server has. No effect under HTTP/2. */
void clb_client_patience(request_rec *r, apr_interval_time_t limit);

#endif
