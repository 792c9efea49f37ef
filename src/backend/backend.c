/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backends as data: which one serves a model.
 */
#include "backend.h"

#include <apr_fnmatch.h>
#include <string.h>

int clb_model_is_pattern(const char *model)
{
    return strpbrk(model, "*?") != NULL;
}

static int lists(const clb_backend_t *backend, const char *model,
                 int patterns)
{
    int i;

    for (i = 0; i < backend->models->nelts; i++) {
        const char *name = APR_ARRAY_IDX(backend->models, i, const char *);

        if (patterns ? clb_model_is_pattern(name)
                       && apr_fnmatch(name, model, 0) == APR_SUCCESS
                     : strcmp(name, model) == 0) {
            return 1;
        }
    }
    return 0;
}

int clb_backend_serves(const clb_backend_t *backend, const char *model)
{
    return backend->slots != 0
        && (lists(backend, model, 0) || lists(backend, model, 1));
}

const clb_backend_t *clb_backend_route(const apr_array_header_t *backends,
                                       const char *model)
{
    int i, patterns;

    for (patterns = 0; patterns <= 1; patterns++) {
        for (i = 0; i < backends->nelts; i++) {
            const clb_backend_t *backend = APR_ARRAY_IDX(backends, i,
                                                         clb_backend_t *);

            if (backend->slots != 0 && lists(backend, model, patterns)) {
                return backend;
            }
        }
    }
    return NULL;
}
