/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_CMDS_H
#define CLB_CMDS_H

#include "../proc/config.h"

#include <httpd.h>
#include <http_config.h>

/** The table of directives. */
extern const command_rec clb_commands[];

/** Start a new reading of the configuration. Hook pre_config calls it. */
void clb_global_begin(apr_pool_t *pconf);

/** The configuration being read or in force. */
clb_global_t *clb_global(void);

/** Add a backend of which nothing but the name is known. */
clb_backend_t *clb_global_backend(apr_pool_t *pool, const char *name);

/**
 * Fill in defaults and check what only the whole configuration shows.
 * @return OK, or HTTP_INTERNAL_SERVER_ERROR after saying what to write instead
 */
int clb_check(server_rec *main_server, apr_pool_t *pconf, apr_pool_t *ptemp);

#endif
