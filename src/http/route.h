/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_ROUTE_H
#define CLB_ROUTE_H

#include "../api/dialect.h"

#include <httpd.h>

/** Sets of methods; one that has GET has HEAD, too. */
#define CLB_GET    (AP_METHOD_BIT << M_GET)
#define CLB_POST   (AP_METHOD_BIT << M_POST)
#define CLB_DELETE (AP_METHOD_BIT << M_DELETE)

typedef enum clb_route_e {
    CLB_ROUTE_NONE,       /**< route->rest: why not, or NULL */
    CLB_ROUTE_TURN,       /**< a model answers, in route->dialect */
    CLB_ROUTE_RUN,        /**< the same for who may run, where it is on */
    CLB_ROUTE_SOCKET,     /**< the same over and over, on a WebSocket */
    CLB_ROUTE_KEPT,       /**< an answer that was kept */
    CLB_ROUTE_ITEMS,      /**< what it is an answer to */
    CLB_ROUTE_CANCEL,     /**< nobody wants it any more */
    CLB_ROUTE_COUNT,      /**< how many tokens such a request has */
    CLB_ROUTE_MODELS,
    CLB_ROUTE_MODEL,
    CLB_ROUTE_HEALTH,
    CLB_ROUTE_STATUS
} clb_route_e;

typedef struct clb_route_t {
    clb_route_e kind;
    apr_int64_t methods;  /**< CLB_GET, CLB_POST, CLB_DELETE */
    const clb_dialect_t *dialect;  /**< NULL: several have the route */
    const char *rest;     /**< the name of the model, or the id of what was
                               kept, where the path has it; or NULL */
} clb_route_t;

/**
 * The route of a path. Slashes are merged and one at the end is dropped.
 * @param path the decoded path; route.rest is in @a pool
 * @param at_root the path must be /health, /run or a route below /v1 or
 *        /v1beta, of which the latter has Google's alone; otherwise the longest
 *        known end of it counts, so that a Location may put anything before
 */
clb_route_t clb_route(const char *path, int at_root, apr_pool_t *pool);

/** The names of @a methods as the header Allow has them. */
const char *clb_route_allow(apr_int64_t methods, apr_pool_t *pool);

/** 1 if @a path begins as the API does at the root of a virtual host. */
int clb_route_at_root(const char *path);

#endif
