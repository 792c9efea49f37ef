/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client as something to wait for.
 */
#include "wait.h"

#include <apr_portable.h>
#include <http_connection.h>
#include <http_core.h>

int clb_client_fd(request_rec *r)
{
    apr_socket_t *socket;
    apr_os_sock_t fd;

    if (r->connection->master != NULL) {
        return -1;
    }
    socket = ap_get_conn_socket(r->connection);
    return socket != NULL && apr_os_sock_get(&fd, socket) == APR_SUCCESS
         ? fd : -1;
}

int clb_client_gone(request_rec *r)
{
    return r->connection->aborted;
}

void clb_client_patience(request_rec *r, apr_interval_time_t limit)
{
    apr_socket_t *socket;

    if (r->connection->master == NULL
        && (socket = ap_get_conn_socket(r->connection)) != NULL) {
        apr_socket_timeout_set(socket, limit >= 0 ? limit
                                                  : r->server->timeout);
    }
}
