/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From paths to routes.
 */
#include "route.h"

#include <apr_strings.h>
#include <string.h>

/* Without the version: a client's base URL may end in /v1 or not. */
static const struct {
    const char *path;
    clb_route_t route;
} routes[] = {
    { "/chat/completions",
      { CLB_ROUTE_TURN, M_POST, &clb_openai_chat, NULL } },
    { "/completions",
      { CLB_ROUTE_TURN, M_POST, &clb_openai_completions, NULL } },
    { "/responses",
      { CLB_ROUTE_TURN, M_POST, &clb_openai_responses, NULL } },
    { "/messages/count_tokens",
      { CLB_ROUTE_COUNT, M_POST, &clb_anthropic_count, NULL } },
    { "/messages", { CLB_ROUTE_TURN, M_POST, &clb_anthropic, NULL } },
    { "/models", { CLB_ROUTE_MODELS, M_GET, NULL, NULL } },
    { "/auth/status", { CLB_ROUTE_STATUS, M_GET, NULL, NULL } },
    { "/health", { CLB_ROUTE_HEALTH, M_GET, NULL, NULL } },
};

static const char *normal(const char *path, apr_pool_t *pool)
{
    char *copy = apr_pstrdup(pool, path);
    apr_size_t len;

    ap_no2slash(copy);
    len = strlen(copy);
    if (len > 1 && copy[len - 1] == '/') {
        copy[len - 1] = '\0';
    }
    return copy;
}

static int ends_with(const char *path, const char *end)
{
    apr_size_t have = strlen(path), want = strlen(end);

    return have >= want && strcmp(path + have - want, end) == 0;
}

/* What follows the version, or the very path of /health. At the root nothing
 * may stand before: what is written in <Location /v1> holds for all of the
 * API. @return NULL if @a path is no such one */
static const char *anchored(const char *path)
{
    if (strcmp(path, "/health") == 0) {
        return path;
    }
    return strncmp(path, "/v1/", 4) == 0 ? path + 3 : NULL;
}

clb_route_t clb_route(const char *path, int at_root, apr_pool_t *pool)
{
    clb_route_t none = { CLB_ROUTE_NONE, M_GET, NULL, NULL }, route = none;
    const char *model;
    apr_size_t i;

    path = normal(path, pool);
    if (at_root && (path = anchored(path)) == NULL) {
        return none;
    }
    model = strstr(path, "/models/");
    if (model != NULL && (!at_root || model == path)) {
        route.kind = CLB_ROUTE_MODEL;
        route.rest = model + strlen("/models/");
        return route;
    }
    /* the table has the longer one of two ends first */
    for (i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
        if (at_root ? strcmp(path, routes[i].path) == 0
                    : ends_with(path, routes[i].path)) {
            return routes[i].route;
        }
    }
    return none;
}

static int is_below(const char *path, const char *root)
{
    apr_size_t len = strlen(root);

    while (path[0] == '/' && path[1] == '/') {
        path++;
    }
    return strncmp(path, root, len) == 0
        && (path[len] == '\0' || path[len] == '/');
}

int clb_route_at_root(const char *path)
{
    return path != NULL
        && (is_below(path, "/v1") || is_below(path, "/v1beta")
            || is_below(path, "/health"));
}
