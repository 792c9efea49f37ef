/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mod_clibridge: AI command-line programs as an API that OpenAI's clients
 * speak. The module record and the hooks; everything else is in src.
 */
#include "src/cfg/cmds.h"
#include "src/http/auth.h"
#include "src/http/handler.h"
#include "src/http/request.h"
#include "src/http/socket.h"
#include "src/proc/supervise.h"

#include <ap_mpm.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>
#include <util_mutex.h>

static int pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    clb_global_begin(pconf);
    ap_mutex_register(pconf, "clibridge-slots", NULL, APR_LOCK_DEFAULT, 0);
    return OK;
}

static int check_config(apr_pool_t *pconf, apr_pool_t *plog,
                        apr_pool_t *ptemp, server_rec *server)
{
    return clb_check(server, pconf, ptemp);
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog,
                       apr_pool_t *ptemp, server_rec *server)
{
    /* httpd reads its configuration twice at the start */
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    return clb_supervise(server, clb_global(), pconf) == APR_SUCCESS
         ? OK : HTTP_INTERNAL_SERVER_ERROR;
}

static void child_init(apr_pool_t *pchild, server_rec *server)
{
    apr_status_t rv = clb_supervise_child(pchild);

    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, server,
                     "the mutex clibridge-slots cannot be used");
    }
}

static int monitor(apr_pool_t *pool, server_rec *server)
{
    clb_supervise_watch(server);
    return DECLINED;
}

static void register_hooks(apr_pool_t *pool)
{
    /* they fork in post_config too, and must not inherit a half-made keeper */
    static const char *const after[] = {
        "mod_dbd.c", "mod_watchdog.c", NULL
    };

    ap_hook_pre_config(pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_test_config(clb_dump, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(post_config, NULL, after, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(monitor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_read_request(clb_request_arrive, NULL, NULL,
                              APR_HOOK_REALLY_FIRST);
    ap_hook_pre_translate_name(clb_request_slashes, NULL, NULL,
                               APR_HOOK_FIRST);
    ap_hook_post_perdir_config(clb_request_locate, NULL, NULL,
                               APR_HOOK_FIRST);
    ap_hook_map_to_storage(clb_request_no_file, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_type_checker(clb_request_no_type, NULL, NULL,
                         APR_HOOK_REALLY_FIRST);
    ap_hook_insert_error_filter(clb_request_refused, NULL, NULL,
                                APR_HOOK_LAST);
    ap_hook_handler(clb_handler, NULL, NULL, APR_HOOK_MIDDLE);
    clb_request_register();
    clb_socket_register();
    clb_auth_register(pool);
}

AP_DECLARE_MODULE(clibridge) = {
    STANDARD20_MODULE_STUFF,
    clb_dir_conf_create,
    clb_dir_conf_merge,
    clb_server_conf_create,
    clb_server_conf_merge,
    clb_commands,
    register_hooks,
    0
};
