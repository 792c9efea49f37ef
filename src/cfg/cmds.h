/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_CMDS_H
#define CLB_CMDS_H

#include "../proc/config.h"

#include <httpd.h>
#include <http_config.h>

/**
 * Where in the configuration httpd is. Some names stand in several scopes
 * (CLIBridgeSlots, CLIBridgeEnv): while a section is read, they are that
 * section's.
 */
typedef struct clb_reading_t {
    clb_global_t *global;
    clb_backend_t *backend;      /**< NULL outside of <CLIBridgeBackend> */
    clb_account_t *account;      /**< NULL outside of <CLIBridgeAccount> */
} clb_reading_t;

extern clb_reading_t clb_reading;

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

/** Hook, test_config: print what `-D DUMP_CLIBRIDGE` asks for. */
void clb_dump(apr_pool_t *pconf, server_rec *server);

/** The directives' functions, in the forms httpd calls them: NULL, or what
 *  is wrong. conf.c has the first ones, backends.c the rest. */
const char *clb_cmd_user(cmd_parms *cmd, void *dir, const char *name);
const char *clb_cmd_state_dir(cmd_parms *cmd, void *dir, const char *path);
const char *clb_cmd_slots(cmd_parms *cmd, void *dir, const char *number);
const char *clb_cmd_queue(cmd_parms *cmd, void *dir, const char *number,
                          const char *opt);
const char *clb_cmd_processes(cmd_parms *cmd, void *dir, const char *number);
const char *clb_cmd_memory(cmd_parms *cmd, void *dir, const char *size);
const char *clb_cmd_sockets(cmd_parms *cmd, void *dir, const char *number,
                            const char *opt);
const char *clb_cmd_store(cmd_parms *cmd, void *dir, int argc,
                          char *const argv[]);
const char *clb_cmd_enable(cmd_parms *cmd, void *dir, int on);
const char *clb_cmd_key_file(cmd_parms *cmd, void *dir, const char *path);
const char *clb_cmd_alias(cmd_parms *cmd, void *dir, const char *alias,
                          const char *model);
const char *clb_cmd_default_model(cmd_parms *cmd, void *dir,
                                  const char *model);
const char *clb_cmd_default_backend(cmd_parms *cmd, void *dir,
                                    const char *name);
const char *clb_cmd_timeout(cmd_parms *cmd, void *dir, const char *opt);
const char *clb_cmd_keep_alive(cmd_parms *cmd, void *dir, const char *seconds);
const char *clb_cmd_max_body(cmd_parms *cmd, void *dir, const char *size);
const char *clb_cmd_max_answer(cmd_parms *cmd, void *dir, const char *size);
const char *clb_cmd_anonymous(cmd_parms *cmd, void *dir, const char *text);
const char *clb_cmd_run(cmd_parms *cmd, void *dir, int on);
const char *clb_cmd_unsupported(cmd_parms *cmd, void *dir, const char *text);
const char *clb_cmd_reasoning(cmd_parms *cmd, void *dir, const char *text);
const char *clb_cmd_origin(cmd_parms *cmd, void *dir, const char *origin);
const char *clb_cmd_backend(cmd_parms *cmd, void *dir, const char *arg);
const char *clb_cmd_account(cmd_parms *cmd, void *dir, const char *arg);
const char *clb_cmd_driver(cmd_parms *cmd, void *dir, const char *name);
const char *clb_cmd_program(cmd_parms *cmd, void *dir, const char *path);
const char *clb_cmd_arg(cmd_parms *cmd, void *dir, const char *arg);
const char *clb_cmd_run_arg(cmd_parms *cmd, void *dir, const char *args);
const char *clb_cmd_env(cmd_parms *cmd, void *dir, const char *name,
                        const char *value);
const char *clb_cmd_env_file(cmd_parms *cmd, void *dir, const char *name,
                             const char *file);
const char *clb_cmd_models(cmd_parms *cmd, void *dir, const char *model);
const char *clb_cmd_tools(cmd_parms *cmd, void *dir, const char *name);
const char *clb_cmd_home(cmd_parms *cmd, void *dir, const char *path);
const char *clb_cmd_reuse(cmd_parms *cmd, void *dir, const char *text);
const char *clb_cmd_park(cmd_parms *cmd, void *dir, const char *number,
                         const char *opt);
const char *clb_cmd_untested(cmd_parms *cmd, void *dir, const char *text);
const char *clb_cmd_warm(cmd_parms *cmd, void *dir, int argc,
                         char *const argv[]);

#endif
