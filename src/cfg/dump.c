/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `httpd -t -D DUMP_CLIBRIDGE` prints: each login of each CLI, for
 * clibridge-login. It comes from the configuration alone, which is the
 * operator's: nothing a CLI can write has a part in what root runs.
 */
#include "cmds.h"

#include "../proc/mend.h"

#include <apr_file_io.h>
#include <http_core.h>

static void dump_login(apr_file_t *out, const clb_backend_t *backend,
                       const clb_account_t *account, apr_pool_t *pool)
{
    const clb_global_t *global = clb_global();
    const char *command = clb_mend_login(global, backend, account, pool);

    if (command != NULL) {
        apr_file_printf(out, "login\t%s\t%s\t%s\t%s\t%s\n", backend->name,
                        account->name, global->runner,
                        clb_home(global, backend, account, pool), command);
    }
}

void clb_dump(apr_pool_t *pconf, server_rec *server)
{
    const apr_array_header_t *backends = clb_global()->backends;
    apr_file_t *out;
    int i, j;

    if (!ap_exists_config_define("DUMP_CLIBRIDGE")
        || apr_file_open_stdout(&out, pconf) != APR_SUCCESS) {
        return;
    }
    for (i = 0; i < backends->nelts; i++) {
        const clb_backend_t *b = APR_ARRAY_IDX(backends, i, clb_backend_t *);

        for (j = 0; j < b->accounts->nelts; j++) {
            dump_login(out, b, &APR_ARRAY_IDX(b->accounts, j, clb_account_t),
                       pconf);
        }
    }
}
