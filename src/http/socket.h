/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_SOCKET_H
#define CLB_SOCKET_H

#include <httpd.h>

/** 1 if @a r asks for a WebSocket. */
int clb_socket_asked(request_rec *r);

/** Register the output filter by which events become messages. */
void clb_socket_register(void);

#endif
