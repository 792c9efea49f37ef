/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_ROUTE_H
#define CLB_ROUTE_H

#include "../api/dialect.h"

#include <httpd.h>

typedef enum clb_route_e {
    CLB_ROUTE_NONE,
    CLB_ROUTE_TURN,       /**< a model answers, in route->dialect */
    CLB_ROUTE_COUNT,      /**< how many tokens such a request has */
    CLB_ROUTE_MODELS,
    CLB_ROUTE_MODEL,
    CLB_ROUTE_HEALTH,
    CLB_ROUTE_STATUS
} clb_route_e;

typedef struct clb_route_t {
    clb_route_e kind;
    int method;           /**< M_GET or M_POST */
    const clb_dialect_t *dialect;  /**< NULL: several have the route */
    const char *rest;     /**< the model's name where the path has it, or
                               NULL */
} clb_route_t;

/**
 * The route of a path. Slashes are merged and one at the end is dropped.
 * @param path the decoded path; route.rest is in @a pool
 * @param at_root the path must be /health or a route below /v1 or /v1beta, of
 *        which the latter has Google's alone; otherwise the
 *        longest known end of it counts, so that a Location may put anything
 *        before
 */
clb_route_t clb_route(const char *path, int at_root, apr_pool_t *pool);

/** 1 if @a path begins as the API does at the root of a virtual host. */
int clb_route_at_root(const char *path);

#endif
