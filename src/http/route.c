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
      { CLB_ROUTE_TURN, CLB_POST, &clb_openai_chat, NULL } },
    { "/completions",
      { CLB_ROUTE_TURN, CLB_POST, &clb_openai_completions, NULL } },
    { "/responses/compact",
      { CLB_ROUTE_TURN, CLB_POST, &clb_openai_compact, NULL } },
    { "/responses",
      { CLB_ROUTE_TURN, CLB_POST | CLB_GET, &clb_openai_responses, NULL } },
    { "/ws", { CLB_ROUTE_SOCKET, CLB_GET, &clb_openai_responses, NULL } },
    { "/messages/count_tokens",
      { CLB_ROUTE_COUNT, CLB_POST, &clb_anthropic_count, NULL } },
    { "/messages", { CLB_ROUTE_TURN, CLB_POST, &clb_anthropic, NULL } },
    { "/models", { CLB_ROUTE_MODELS, CLB_GET, NULL, NULL } },
    { "/auth/status", { CLB_ROUTE_STATUS, CLB_GET, NULL, NULL } },
    { "/health", { CLB_ROUTE_HEALTH, CLB_GET, NULL, NULL } },
    { "/run", { CLB_ROUTE_RUN, CLB_POST, &clb_direct_run, NULL } },
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

/* What follows the version, or the very path of /health or /run. At the root
 * nothing may stand before: what is written in <Location /v1> holds for all of
 * the API, and /v1beta is Google's. @return NULL if @a path is no such one */
static const char *anchored(const char *path)
{
    if (strcmp(path, "/health") == 0 || strcmp(path, "/run") == 0) {
        return path;
    }
    if (strncmp(path, "/v1beta/models", 14) == 0) {
        return path + 7;
    }
    return strncmp(path, "/v1/", 4) == 0 ? path + 3 : NULL;
}

/* The version that only Google has. */
static int is_beta(const char *path)
{
    const char *at = strstr(path, "/v1beta");

    return at != NULL && (at[7] == '\0' || at[7] == '/');
}

/* A model's name as the client means it. A slash came as %2F and was kept so
 * (clb_request_slashes). */
static const char *name_of(const char *name, apr_size_t len, apr_pool_t *pool)
{
    const char *at;
    clb_buf_t out;

    name = clb_utf8_clean(pool, name, len, NULL);
    clb_buf_init(&out, pool, len);
    while ((at = ap_strcasestr(name, "%2f")) != NULL) {
        clb_buf_add(&out, name, (apr_size_t)(at - name));
        clb_buf_puts(&out, "/");
        name = at + 3;
    }
    clb_buf_puts(&out, name);
    return strncmp(out.data, "models/", 7) == 0 ? out.data + 7 : out.data;
}

/* What Google's API does with a model stands behind its name, which may have
 * colons as well. */
static const struct {
    const char *name;
    clb_route_t route;
} verbs[] = {
    { "generateContent", { CLB_ROUTE_TURN, CLB_POST, &clb_gemini, NULL } },
    { "streamGenerateContent",
      { CLB_ROUTE_TURN, CLB_POST, &clb_gemini_array, NULL } },
    { "countTokens", { CLB_ROUTE_COUNT, CLB_POST, &clb_gemini_count, NULL } },
    { "embedContent", { CLB_ROUTE_NONE, CLB_POST, &clb_gemini, NULL } },
    { "batchEmbedContents",
      { CLB_ROUTE_NONE, CLB_POST, &clb_gemini, NULL } },
};

/* What clients ask for that no CLI can do. */
static const struct {
    const char *path;
    const char *why;
} lacks[] = {
    { "/embeddings", "no CLI makes embeddings" },
    { "/audio/", "no CLI hears or speaks" },
    { "/images/", "no CLI draws" },
    { "/videos", "no CLI makes films" },
    { "/moderations", "no CLI judges texts for their vendor" },
    { "/realtime", "no CLI hears or speaks; a WebSocket is at /v1/responses" },
    { "/conversations", "answers are kept one by one: see "
      "previous_response_id" },
};

static const char *lack(const char *path, int at_root)
{
    apr_size_t i;

    for (i = 0; i < sizeof(lacks) / sizeof(*lacks); i++) {
        const char *found = strstr(path, lacks[i].path);

        if (found != NULL && (!at_root || found == path)) {
            return lacks[i].why;
        }
    }
    return NULL;
}

#define KEPT "/responses/"

/* What was kept, by its id: @a path is behind KEPT. */
static clb_route_t route_kept(const char *path, apr_pool_t *pool)
{
    clb_route_t route = { CLB_ROUTE_KEPT, CLB_GET | CLB_DELETE,
                          &clb_openai_responses, NULL };
    const char *slash = strchr(path, '/');

    if (slash != NULL && strcmp(slash, "/input_items") == 0) {
        route.kind = CLB_ROUTE_ITEMS;
        route.methods = CLB_GET;
    }
    else if (slash != NULL && strcmp(slash, "/cancel") == 0) {
        route.kind = CLB_ROUTE_CANCEL;
        route.methods = CLB_POST;
    }
    else if (slash != NULL) {
        route.kind = CLB_ROUTE_NONE;
        return route;
    }
    route.rest = slash == NULL ? apr_pstrdup(pool, path)
               : apr_pstrndup(pool, path, (apr_size_t)(slash - path));
    return route;
}

static clb_route_t route_model(const char *name, const clb_dialect_t *dialect,
                               apr_pool_t *pool)
{
    clb_route_t route = { CLB_ROUTE_MODEL, CLB_GET, dialect, NULL };
    const char *colon = strrchr(name, ':');
    apr_size_t i, len = strlen(name);

    for (i = 0; colon != NULL && i < sizeof(verbs) / sizeof(*verbs); i++) {
        if (strcmp(colon + 1, verbs[i].name) == 0) {
            route = verbs[i].route;
            len = (apr_size_t)(colon - name);
            break;
        }
    }
    route.rest = route.kind == CLB_ROUTE_NONE ? lacks[0].why
                                              : name_of(name, len, pool);
    return route;
}

clb_route_t clb_route(const char *path, int at_root, apr_pool_t *pool)
{
    clb_route_t none = { CLB_ROUTE_NONE, CLB_GET, NULL, NULL };
    const char *model, *kept;
    apr_size_t i;

    path = normal(path, pool);
    none.dialect = is_beta(path) ? &clb_gemini : NULL;
    if (at_root && (path = anchored(path)) == NULL) {
        return none;
    }
    model = strstr(path, "/models/");
    if (model != NULL && (!at_root || model == path)) {
        return route_model(model + strlen("/models/"), none.dialect, pool);
    }
    /* the table has the longer one of two ends first */
    for (i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
        if (at_root ? strcmp(path, routes[i].path) == 0
                    : ends_with(path, routes[i].path)) {
            clb_route_t route = routes[i].route;

            route.dialect = route.dialect != NULL ? route.dialect
                                                  : none.dialect;
            return route;
        }
    }
    kept = strstr(path, KEPT);
    if (kept != NULL && (!at_root || kept == path)) {
        return route_kept(kept + strlen(KEPT), pool);
    }
    none.rest = lack(path, at_root);
    return none;
}

const char *clb_route_allow(apr_int64_t methods, apr_pool_t *pool)
{
    return apr_pstrcat(pool, methods & CLB_GET ? "GET, HEAD, " : "",
                       methods & CLB_POST ? "POST, " : "",
                       methods & CLB_DELETE ? "DELETE, " : "", "OPTIONS",
                       NULL);
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
