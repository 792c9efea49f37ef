/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backends as data: which one serves a model.
 */
#include "backend.h"

#include "../core/text.h"

#include <string.h>

/* Suffixes that are looked behind: an alias can lead back to itself. */
#define SUFFIXES_MAX 3

/* Of the names that vendors give, the longest have some 45 bytes. */
#define NAME_LEN 63

int clb_model_is_pattern(const char *model)
{
    return strpbrk(model, "*?") != NULL;
}

int clb_model_is_name(const char *name)
{
    apr_size_t len = strlen(name), i, n;

    if (len == 0 || len > NAME_LEN || clb_model_is_pattern(name)) {
        return 0;
    }
    for (i = 0; i < len; i += n) {
        n = clb_utf8_len((const unsigned char *)name + i, len - i);
        if (n == 0 || (unsigned char)name[i] <= ' ' || name[i] == 0x7f) {
            return 0;
        }
    }
    return 1;
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

static const clb_backend_t *find(const apr_array_header_t *backends,
                                 const char *model, int patterns)
{
    int i;

    if (clb_model_is_pattern(model)) {
        return NULL;    /* a pattern is no model's name */
    }
    for (i = 0; i < backends->nelts; i++) {
        const clb_backend_t *backend = APR_ARRAY_IDX(backends, i,
                                                     clb_backend_t *);

        if (backend->slots != 0 && lists(backend, model, patterns)) {
            return backend;
        }
    }
    return NULL;
}

const clb_backend_t *clb_backend_route(const apr_array_header_t *backends,
                                       const char *model)
{
    const clb_backend_t *backend = find(backends, model, 0);

    return backend != NULL ? backend : find(backends, model, 1);
}

const clb_backend_t *clb_backend_named(const apr_array_header_t *backends,
                                       const char *name)
{
    int i;

    for (i = 0; name != NULL && i < backends->nelts; i++) {
        const clb_backend_t *backend = APR_ARRAY_IDX(backends, i,
                                                     clb_backend_t *);

        if (backend->slots != 0 && strcmp(backend->name, name) == 0) {
            return backend;
        }
    }
    return NULL;
}

const clb_extra_t clb_no_extra = { 0, { 0 } };

/* How many of the words in @a args from @a at on are those of @a run. */
static int agree(const char *const *run, const apr_array_header_t *args,
                 int at)
{
    int n = 0;

    while (run[n] != NULL && at + n < args->nelts
           && strcmp(run[n], APR_ARRAY_IDX(args, at + n, const char *)) == 0) {
        n++;
    }
    return n;
}

int clb_extra_find(clb_extra_t *extra, const apr_array_header_t *runs,
                   const apr_array_header_t *args)
{
    clb_extra_t ways[CLB_ARGS_MAX + 1] = { { 0 } };    /* that lead to a word */
    int at, i, far = 0;

    for (at = 0; at < args->nelts; at++) {
        int led = at == 0 || ways[at].count > 0;

        for (i = 0; led && i < runs->nelts; i++) {
            const char *const *run = APR_ARRAY_IDX(runs, i,
                                                   const char *const *);
            int to = at + agree(run, args, at);

            far = to > far ? to : far;
            if (run[to - at] == NULL) {
                ways[to] = ways[at];
                ways[to].which[ways[to].count++] = (unsigned char)i;
            }
        }
    }
    *extra = ways[args->nelts];
    return extra->count > 0 || args->nelts == 0 ? -1 : far;
}

int clb_extra_same(const clb_extra_t *a, const clb_extra_t *b)
{
    return a->count == b->count && memcmp(a->which, b->which, a->count) == 0;
}

int clb_extra_valid(const clb_extra_t *extra, const apr_array_header_t *runs)
{
    apr_uint32_t i;

    for (i = 0; i < extra->count && i < CLB_ARGS_MAX
         && extra->which[i] < runs->nelts; i++) {
    }
    return i == extra->count;
}

/* Where models are looked up. */
typedef struct map_t {
    const apr_array_header_t *backends;
    apr_hash_t *aliases;
    const clb_backend_t *otherwise;
    apr_pool_t *pool;
} map_t;

static const char *resolve(const map_t *map, const char *name)
{
    const char *to = map->aliases == NULL ? NULL
                   : apr_hash_get(map->aliases, name, APR_HASH_KEY_STRING);

    return to != NULL ? to : name;
}

static const clb_backend_t *route(const map_t *map, const char *name)
{
    const clb_backend_t *backend = clb_backend_route(map->backends, name);

    return backend != NULL || clb_model_is_pattern(name) ? backend
                                                         : map->otherwise;
}

/* The name without its suffix, which counts more than one inside. */
static int find_suffixed(clb_model_t *model, const map_t *map, int depth);

static int find_model(clb_model_t *model, const map_t *map, const char *name,
                      int depth)
{
    model->suffixed = 0;
    model->name = resolve(map, name);
    model->backend = find(map->backends, model->name, 0);
    if (model->backend == NULL && !find_suffixed(model, map, depth)) {
        model->backend = route(map, model->name);
    }
    return model->backend != NULL;
}

static int find_suffixed(clb_model_t *model, const map_t *map, int depth)
{
    clb_model_t inner;
    clb_suffix_t suffix;
    const char *base = depth < SUFFIXES_MAX
                     ? clb_suffix_split(model->name, &suffix, map->pool)
                     : NULL;

    if (base == NULL || !find_model(&inner, map, base, depth + 1)) {
        return 0;
    }
    *model = inner;
    model->suffixed = 1;
    model->suffix = suffix;
    return 1;
}

apr_status_t clb_model_find(clb_model_t *model,
                            const apr_array_header_t *backends,
                            apr_hash_t *aliases,
                            const clb_backend_t *otherwise, const char *name,
                            apr_pool_t *pool)
{
    map_t map = { backends, aliases, NULL, pool };

    if (find_model(model, &map, name, 0)) {
        return APR_SUCCESS;
    }
    map.otherwise = otherwise;
    return find_model(model, &map, name, 0) ? APR_SUCCESS : APR_NOTFOUND;
}
