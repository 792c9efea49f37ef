/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request is served by: the per-server and per-directory settings,
 * their merge and their defaults.
 */
#include "config.h"

#include <http_config.h>

extern module AP_MODULE_DECLARE_DATA clibridge_module;

#define SET_UNSET(type, name, unset) conf->name = unset;
#define MERGE(type, name, unset) \
    conf->name = over->name == (type)unset ? under->name : over->name;
#define DEFAULT(name, value) \
    conf.name = conf.name == CLB_UNSET ? (value) : conf.name

void *clb_server_conf_create(apr_pool_t *pool, server_rec *server)
{
    clb_server_conf_t *conf = apr_pcalloc(pool, sizeof(*conf));

    CLB_SERVER_FIELDS(SET_UNSET)
    return conf;
}

void *clb_server_conf_merge(apr_pool_t *pool, void *base, void *add)
{
    clb_server_conf_t *conf = apr_pcalloc(pool, sizeof(*conf));
    const clb_server_conf_t *under = base, *over = add;

    CLB_SERVER_FIELDS(MERGE)
    if (over->aliases != NULL && under->aliases != NULL) {
        conf->aliases = apr_hash_overlay(pool, over->aliases, under->aliases);
    }
    if (over->key_file != NULL) {
        conf->keys = over->keys;
    }
    return conf;
}

void *clb_dir_conf_create(apr_pool_t *pool, char *dir)
{
    clb_dir_conf_t *conf = apr_pcalloc(pool, sizeof(*conf));

    CLB_DIR_FIELDS(SET_UNSET)
    return conf;
}

void *clb_dir_conf_merge(apr_pool_t *pool, void *base, void *add)
{
    clb_dir_conf_t *conf = apr_pcalloc(pool, sizeof(*conf));
    const clb_dir_conf_t *under = base, *over = add;

    CLB_DIR_FIELDS(MERGE)
    return conf;
}

clb_server_conf_t *clb_server_conf(const server_rec *server)
{
    return ap_get_module_config(server->module_config, &clibridge_module);
}

apr_status_t clb_server_model(clb_model_t *model,
                              const clb_server_conf_t *conf,
                              const apr_array_header_t *backends,
                              const char *name, apr_pool_t *pool)
{
    return clb_model_find(model, backends, conf->aliases,
                          clb_backend_named(backends, conf->default_backend),
                          name, pool);
}

clb_dir_conf_t clb_dir_conf(const request_rec *r)
{
    clb_dir_conf_t conf = *(clb_dir_conf_t *)
        ap_get_module_config(r->per_dir_config, &clibridge_module);

    DEFAULT(first, apr_time_from_sec(60));
    DEFAULT(idle, apr_time_from_sec(90));
    DEFAULT(turn, apr_time_from_sec(600));
    DEFAULT(write, apr_time_from_sec(30));
    DEFAULT(keep_alive, apr_time_from_sec(15));
    DEFAULT(max_body, 32 * 1024 * 1024);
    DEFAULT(max_answer, 16 * 1024 * 1024);
    DEFAULT(anonymous, CLB_ANONYMOUS_LOOPBACK);
    DEFAULT(run, 0);
    DEFAULT(unsupported, CLB_UNSUPPORTED_WARN);
    DEFAULT(reasoning, CLB_REASONING_FIELD);
    return conf;
}
