/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_HTTP_CONFIG_H
#define CLB_HTTP_CONFIG_H

#include "../acct/keys.h"
#include "../backend/backend.h"
#include "../core/filter.h"

#include <apr_hash.h>
#include <httpd.h>

/** Where a value was not configured. */
#define CLB_UNSET (-1)

typedef enum clb_anonymous_e {
    CLB_ANONYMOUS_OFF,
    CLB_ANONYMOUS_LOOPBACK,
    CLB_ANONYMOUS_ON
} clb_anonymous_e;

typedef enum clb_unsupported_e {
    CLB_UNSUPPORTED_IGNORE,
    CLB_UNSUPPORTED_WARN,
    CLB_UNSUPPORTED_REJECT
} clb_unsupported_e;

/* One list makes the struct, its unset values and its merge:
 * F(type, member, unset value). */

#define CLB_SERVER_FIELDS(F)                        \
    F(int, enabled, CLB_UNSET)                      \
    F(const char *, key_file, NULL)                 \
    F(clb_keys_t *, keys, NULL)                     \
    F(apr_hash_t *, aliases, NULL)                  \
    F(const char *, default_model, NULL)            \
    F(const char *, default_backend, NULL)

#define CLB_DIR_FIELDS(F)                           \
    F(apr_interval_time_t, first, CLB_UNSET)        \
    F(apr_interval_time_t, idle, CLB_UNSET)         \
    F(apr_interval_time_t, turn, CLB_UNSET)         \
    F(apr_interval_time_t, write, CLB_UNSET)        \
    F(apr_interval_time_t, keep_alive, CLB_UNSET)   \
    F(apr_off_t, max_body, CLB_UNSET)               \
    F(apr_off_t, max_answer, CLB_UNSET)             \
    F(int, anonymous, CLB_UNSET)                    \
    F(int, run, CLB_UNSET)                          \
    F(int, unsupported, CLB_UNSET)                  \
    F(int, reasoning, CLB_UNSET)                    \
    F(apr_array_header_t *, origins, NULL)

#define CLB_MEMBER(type, name, unset) type name;

/** Per virtual host. */
typedef struct clb_server_conf_t {
    CLB_SERVER_FIELDS(CLB_MEMBER)
} clb_server_conf_t;

/** Per directory; read with clb_dir_conf(), which fills in the defaults. */
typedef struct clb_dir_conf_t {
    CLB_DIR_FIELDS(CLB_MEMBER)
} clb_dir_conf_t;

/** httpd's create and merge of both, in @a pool: a value that is not set is
 *  taken from @a base, aliases add up. */
void *clb_server_conf_create(apr_pool_t *pool, server_rec *server);
void *clb_server_conf_merge(apr_pool_t *pool, void *base, void *add);
void *clb_dir_conf_create(apr_pool_t *pool, char *dir);
void *clb_dir_conf_merge(apr_pool_t *pool, void *base, void *add);

/** The configuration of @a server. */
clb_server_conf_t *clb_server_conf(const server_rec *server);

/** What @a name stands for where @a conf holds: see clb_model_find(). */
apr_status_t clb_server_model(clb_model_t *model,
                              const clb_server_conf_t *conf,
                              const apr_array_header_t *backends,
                              const char *name, apr_pool_t *pool);

/** The configuration for @a r with every default filled in. */
clb_dir_conf_t clb_dir_conf(const request_rec *r);

#endif
