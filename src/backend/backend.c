/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backends as data: which one serves a model.
 */
#include "backend.h"

#include <string.h>

int clb_model_is_pattern(const char *model)
{
    return strpbrk(model, "*?") != NULL;
}

/* Only * and ? mean something: model names have brackets ("opus[1m]"), which
 * fnmatch would take for sets. */
static int matches(const char *pattern, const char *model)
{
    for (; *pattern != '\0' && *pattern != '*'; pattern++, model++) {
        if (*model == '\0' || (*pattern != '?' && *pattern != *model)) {
            return 0;
        }
    }
    if (*pattern == '\0') {
        return *model == '\0';
    }
    while (!matches(pattern + 1, model)) {
        if (*model++ == '\0') {
            return 0;
        }
    }
    return 1;
}

static int lists(const clb_backend_t *backend, const char *model,
                 int patterns)
{
    int i;

    for (i = 0; i < backend->models->nelts; i++) {
        const char *name = APR_ARRAY_IDX(backend->models, i, const char *);

        if (patterns ? clb_model_is_pattern(name) && matches(name, model)
                     : strcmp(name, model) == 0) {
            return 1;
        }
    }
    return 0;
}

const clb_backend_t *clb_backend_route(const apr_array_header_t *backends,
                                       const char *model)
{
    int i, patterns;

    if (clb_model_is_pattern(model)) {
        return NULL;    /* a pattern is no model's name */
    }
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
