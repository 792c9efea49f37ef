/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_HANDLER_H
#define CLB_HANDLER_H

#include <httpd.h>

/** The content handler. */
int clb_handler(request_rec *r);

/** Answer a request that a model answers. */
int clb_handle_turn(request_rec *r);

/** GET /v1/models and /v1/models/ID. @param id NULL for the list */
int clb_handle_models(request_rec *r, const char *id);

/** GET /health: from shared memory alone, without a lock. */
int clb_handle_health(request_rec *r);

#endif
