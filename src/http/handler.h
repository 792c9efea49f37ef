/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_HANDLER_H
#define CLB_HANDLER_H

#include "route.h"

#define CLB_VERSION "0.1"

/** The content handler. */
int clb_handler(request_rec *r);

/** Answer a request that a model answers. */
int clb_handle_turn(request_rec *r);

/** GET /v1/ws and /v1/responses: Responses on a WebSocket. */
int clb_handle_socket(request_rec *r);

/** Show, list or remove an answer that was kept, or end one under way. */
int clb_handle_kept(request_rec *r, const clb_route_t *route);

/** Answer how many tokens a request has. */
int clb_handle_count(request_rec *r);

/** GET /v1/models and /v1/models/ID. @param id NULL for the list */
int clb_handle_models(request_rec *r, const char *id);

/** GET /v1/auth/status: how the logins of the CLIs stand. */
int clb_handle_status(request_rec *r);

/** GET /health: from shared memory alone, without a lock. */
int clb_handle_health(request_rec *r);

#endif
