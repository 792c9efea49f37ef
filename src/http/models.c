/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of models: every name a backend lists that is no pattern, what its
 * CLI says it has as far as the backend serves it, and every alias that leads
 * to a model somebody serves. Its form is the one of the client's dialect.
 */
#include "../proc/supervise.h"
#include "auth.h"
#include "handler.h"
#include "reply.h"

#include <apr_strings.h>
#include <http_protocol.h>

/* Who serves @a name in this virtual host, NULL if nobody does. */
static const clb_backend_t *server_of(request_rec *r, const char *name)
{
    clb_model_t model;

    return clb_server_model(&model, clb_server_conf(r->server),
                            clb_run()->global->backends, name, r->pool)
           == APR_SUCCESS ? model.backend : NULL;
}

/* The start of the server is as good a date of creation as any, and stable. */
static clb_json_t *model_json(request_rec *r, const char *id,
                              const clb_backend_t *backend)
{
    apr_time_t started = clb_run()->table.shared->started;

    return clb_reply_dialect(r)->model(id, backend->name, started, r->pool);
}

static void add(request_rec *r, clb_json_t *list, apr_hash_t *seen,
                const char *id, const clb_backend_t *backend)
{
    if (backend != NULL && !clb_model_is_pattern(id)
        && apr_hash_get(seen, id, APR_HASH_KEY_STRING) == NULL) {
        apr_hash_set(seen, id, APR_HASH_KEY_STRING, id);
        clb_json_append(list, model_json(r, id, backend));
    }
}

static void add_backend(request_rec *r, clb_json_t *list, apr_hash_t *seen,
                        const clb_backend_t *backend)
{
    const apr_array_header_t *names = backend->models;
    int i;

    for (i = 0; i < names->nelts; i++) {
        add(r, list, seen, APR_ARRAY_IDX(names, i, const char *), backend);
    }
    names = clb_table_reported(&clb_run()->table, backend->id, r->pool);
    for (i = 0; i < names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);

        if (clb_model_is_name(name) && server_of(r, name) == backend) {
            add(r, list, seen, name, backend);
        }
    }
}

static clb_json_t *list_json(request_rec *r)
{
    const apr_array_header_t *backends = clb_run()->global->backends;
    clb_server_conf_t *conf = clb_server_conf(r->server);
    clb_json_t *list = clb_json_pack(r->pool, "[]");
    apr_hash_t *seen = apr_hash_make(r->pool);
    apr_hash_index_t *hi;
    int i;

    if (conf->default_model != NULL) {
        add(r, list, seen, conf->default_model,
            server_of(r, conf->default_model));
    }
    for (i = 0; i < backends->nelts; i++) {
        const clb_backend_t *b = APR_ARRAY_IDX(backends, i, clb_backend_t *);

        if (b->slots != 0) {
            add_backend(r, list, seen, b);
        }
    }
    for (hi = conf->aliases == NULL ? NULL
              : apr_hash_first(r->pool, conf->aliases);
         hi != NULL; hi = apr_hash_next(hi)) {
        const char *alias = apr_hash_this_key(hi);

        add(r, list, seen, alias, server_of(r, alias));
    }
    return list;
}

int clb_handle_models(request_rec *r, const char *id)
{
    clb_error_t error = { CLB_SHUTTING_DOWN, "the server is not ready",
                          NULL, 0 };
    const clb_backend_t *backend = NULL;
    clb_json_t *json;
    clb_buf_t body;

    if (clb_run() == NULL) {
        return clb_reply_error(r, NULL, &error);
    }
    if (id != NULL) {
        if ((backend = server_of(r, id)) == NULL) {
            clb_error_set(&error, r->pool, CLB_MODEL_NOT_FOUND, "model",
                          "the model '%s' does not exist here", id);
            return clb_reply_error(r, NULL, &error);
        }
        json = model_json(r, id, backend);
    }
    else {
        json = clb_reply_dialect(r)->models(list_json(r), r->pool);
    }
    clb_buf_init(&body, r->pool, 1024);
    clb_json_write(&body, json);
    return clb_reply_json(r, HTTP_OK, body.data, body.len);
}
