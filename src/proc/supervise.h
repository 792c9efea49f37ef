/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_SUPERVISE_H
#define CLB_SUPERVISE_H

#include "../shm/table.h"
#include "config.h"

#include <httpd.h>

/** What every process of a generation knows of the keeper. */
typedef struct clb_run_t {
    const clb_global_t *global;
    clb_table_t table;
    apr_uint32_t generation;
    int doorbell;                /**< the workers' end */
} clb_run_t;

/**
 * Make or take over the shared table and start this generation's keeper. In
 * the parent, from post_config, once per generation. Everything made lives in
 * @a pconf, except the table, which lives as long as the process.
 */
apr_status_t clb_supervise(server_rec *server, clb_global_t *global,
                           apr_pool_t *pconf);

/** What clb_supervise() made; NULL before. */
clb_run_t *clb_run(void);

/** Make @a run usable in a child of httpd. */
apr_status_t clb_supervise_child(apr_pool_t *pchild);

/** In the parent, now and then: end a keeper that hangs. */
void clb_supervise_watch(server_rec *server);

/** 1 if the keeper showed no life for so long that it cannot be relied on. */
int clb_keeper_silent(const clb_run_t *run);

#endif
