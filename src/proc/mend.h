/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_MEND_H
#define CLB_MEND_H

#include "../shm/table.h"
#include "config.h"

/**
 * Commands for operators: one line of shell each, to be pasted by root or by
 * the user who runs the CLIs. The keeper, workers and the parent may call
 * these; they know nothing but the configuration.
 */

/** HOME of the CLI under @a account. */
const char *clb_home(const clb_global_t *global, const clb_backend_t *backend,
                     const clb_account_t *account, apr_pool_t *pool);

/** @a text as one word of shell. */
const char *clb_shell_word(const char *text, apr_pool_t *pool);

/** What logs @a account in, NULL if the driver knows of no login. */
const char *clb_mend_login(const clb_global_t *global,
                           const clb_backend_t *backend,
                           const clb_account_t *account, apr_pool_t *pool);

/** What mends @a account, NULL if nothing that can be typed does. */
const char *clb_mend(const clb_global_t *global, const clb_backend_t *backend,
                     const clb_account_t *account, clb_mend_e mend,
                     apr_pool_t *pool);

#endif
