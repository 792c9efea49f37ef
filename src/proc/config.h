/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_PROC_CONFIG_H
#define CLB_PROC_CONFIG_H

#include "../backend/backend.h"

#include <unistd.h>

/** What is configured once for the server: who runs how many CLIs where. Made
 *  anew at each reading of the configuration, in its pool; read only after. */
typedef struct clb_global_t {
    const char *user;             /**< CLIBridgeUser, NULL = not given */
    uid_t uid;                    /**< of user; valid if httpd runs as root */
    gid_t gid;
    const char *runner;           /**< the name of who runs the CLIs */
    const char *state_dir;
    int slots;
    int queue;
    apr_interval_time_t queue_timeout;
    int processes;
    int sockets;                  /**< most WebSockets, 0 = none */
    apr_interval_time_t socket_idle; /**< until one is closed */
    const char *answers_dir;      /**< where answers are kept that clients want
                                       to find again: the workers' own */
    int answers;                  /**< most of them, 0 = none */
    apr_off_t answers_size;       /**< bytes of all of them */
    apr_interval_time_t answers_age; /**< until they are removed */
    apr_off_t memory;             /**< bytes of all CLIs, 0 = no limit */
    apr_array_header_t *backends; /**< of clb_backend_t * */
} clb_global_t;

#endif
