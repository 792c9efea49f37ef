/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From requests to what answers them: route, method, key.
 */
#include "handler.h"

#include "auth.h"
#include "reply.h"
#include "socket.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <string.h>

/* A preflight comes without a key, so it is answered before keys matter. */
static int preflight(request_rec *r, const clb_route_t *route)
{
    const char *headers = apr_table_get(r->headers_in,
                                        "Access-Control-Request-Headers");

    r->allowed = route->methods | (AP_METHOD_BIT << M_OPTIONS);
    apr_table_setn(r->headers_out, "Allow", clb_route_allow(route->methods,
                                                            r->pool));
    if (apr_table_get(r->err_headers_out, "Access-Control-Allow-Origin")) {
        apr_table_setn(r->headers_out, "Access-Control-Allow-Methods",
                       "GET, POST, DELETE, OPTIONS");
        apr_table_setn(r->headers_out, "Access-Control-Allow-Headers",
                       headers != NULL ? headers
                       : "authorization, content-type");
        apr_table_setn(r->headers_out, "Access-Control-Max-Age", "600");
    }
    r->status = HTTP_NO_CONTENT;
    return OK;
}

static int refuse(request_rec *r, const clb_route_t *route, clb_error_e kind,
                  const char *message)
{
    clb_error_t error = { kind, message, NULL, 0 };

    return clb_reply_error(r, route->dialect, &error);
}

static int dispatch(request_rec *r, const clb_route_t *route)
{
    if (route->kind == CLB_ROUTE_HEALTH) {
        return clb_handle_health(r);
    }
    if (route->kind == CLB_ROUTE_STATUS) {
        return clb_handle_status(r);
    }
    if (!clb_may(r, route->kind == CLB_ROUTE_RUN ? CLB_SCOPE_RUN
                                                 : CLB_SCOPE_CHAT)) {
        return clb_reply_error(r, route->dialect, &clb_request(r)->error);
    }
    switch (route->kind) {
    case CLB_ROUTE_RUN: return clb_handle_turn(r);
    case CLB_ROUTE_TURN: return r->method_number == M_POST
                              ? clb_handle_turn(r) : clb_handle_socket(r);
    case CLB_ROUTE_SOCKET: return clb_handle_socket(r);
    case CLB_ROUTE_COUNT: return clb_handle_count(r);
    case CLB_ROUTE_KEPT:
    case CLB_ROUTE_ITEMS:
    case CLB_ROUTE_CANCEL: return clb_handle_kept(r, route);
    case CLB_ROUTE_MODELS: return clb_handle_models(r, NULL);
    default: return clb_handle_models(r, route->rest);
    }
}

static int no_method(request_rec *r, const clb_route_t *route)
{
    const char *allow = clb_route_allow(route->methods, r->pool);

    apr_table_setn(r->err_headers_out, "Allow", allow);
    return refuse(r, route, CLB_METHOD, apr_psprintf(r->pool, "the method %s "
                  "is not allowed here; use %.*s", r->method,
                  (int)strcspn(allow, ","), allow));
}

int clb_handler(request_rec *r)
{
    clb_route_t route;

    if (!clb_request_is_ours(r)) {
        return DECLINED;
    }
    route = clb_request_route(r);
    if (route.kind == CLB_ROUTE_NONE
        || (route.kind == CLB_ROUTE_RUN && !clb_dir_conf(r).run)) {
        return refuse(r, &route, CLB_NOT_FOUND, apr_psprintf(r->pool,
                      "there is no '%s %s' here%s%s", r->method, r->uri,
                      route.rest != NULL ? ": " : "",
                      route.rest != NULL ? route.rest : ""));
    }
    if (r->method_number == M_OPTIONS) {
        return preflight(r, &route);
    }
    if (route.kind == CLB_ROUTE_TURN && !clb_socket_asked(r)) {
        route.methods &= ~CLB_GET;
    }
    return (route.methods & (AP_METHOD_BIT << r->method_number)) == 0
         ? no_method(r, &route) : dispatch(r, &route);
}
