/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an answer repeats of its request: every member that the vendor's schemas
 * require, with its default where the client said nothing.
 */
#include "responses.h"

#include <string.h>

#define DEFAULTS "{\"frequency_penalty\":0,\"instructions\":null," \
    "\"max_output_tokens\":null,\"max_tool_calls\":null,\"metadata\":{}," \
    "\"parallel_tool_calls\":true,\"presence_penalty\":0," \
    "\"prompt_cache_key\":null,\"reasoning\":null," \
    "\"safety_identifier\":null,\"temperature\":1,\"text\":null," \
    "\"tool_choice\":\"auto\",\"tools\":[],\"top_logprobs\":0,\"top_p\":1," \
    "\"truncation\":\"disabled\"}"

/* The member @a key of @a object, in its place @a otherwise, which may be NULL
 * for null. */
static const clb_json_t *or_else(const clb_json_t *object, const char *key,
                                 const clb_json_t *otherwise)
{
    const clb_json_t *value = clb_json_get(object, key);

    return value != NULL ? value : otherwise;
}

static int is_type(const clb_json_t *json, const char *type)
{
    const char *name = clb_json_get_string(json, "type");

    return name != NULL && strcmp(name, type) == 0;
}

static const clb_json_t *tool(const clb_json_t *json, apr_pool_t *pool)
{
    return !is_type(json, "function") || clb_json_get(json, "name") == NULL
         ? json
         : clb_json_pack(pool, "{s:s, s:O?, s:O?, s:O?, s:O?}",
               "type", "function", "name", clb_json_get(json, "name"),
               "description", clb_json_get(json, "description"),
               "parameters", clb_json_get(json, "parameters"),
               "strict", clb_json_get(json, "strict"));
}

static const clb_json_t *tools(const clb_json_t *list, apr_pool_t *pool)
{
    clb_json_t *copy = clb_json_pack(pool, "[]");
    apr_size_t i;

    for (i = 0; i < clb_json_size(list); i++) {
        clb_json_append(copy, tool(clb_json_at(list, i), pool));
    }
    return copy;
}

static const clb_json_t *format(const clb_json_t *json, apr_pool_t *pool)
{
    if (json == NULL) {
        return clb_json_pack(pool, "{s:s}", "type", "text");
    }
    return !is_type(json, "json_schema") ? json
         : clb_json_pack(pool, "{s:s, s:O, s:O?, s:O, s:O}",
               "type", "json_schema",
               "name", or_else(json, "name", clb_json_pack(pool, "s", "")),
               "description", clb_json_get(json, "description"),
               "schema", clb_json_get(json, "schema"),
               "strict", or_else(json, "strict", clb_json_pack(pool, "b", 0)));
}

static const clb_json_t *text(const clb_json_t *json, apr_pool_t *pool)
{
    return clb_json_pack(pool, "{s:O, s:O}",
        "format", format(clb_json_get(json, "format"), pool),
        "verbosity", or_else(json, "verbosity", clb_json_pack(pool, "s",
                                                              "medium")));
}

static const clb_json_t *reasoning(const clb_json_t *json, apr_pool_t *pool)
{
    return clb_json_pack(pool, "{s:O?, s:O?}",
        "effort", clb_json_get(json, "effort"), "summary",
        or_else(json, "summary", clb_json_get(json, "generate_summary")));
}

void clb_responses_echo(clb_chat_t *chat, const clb_json_t *body)
{
    apr_pool_t *pool = chat->pool;
    clb_json_t *defaults, *echo = clb_json_pack(pool, "{}"), *value;
    const char *key, *why;
    void *iter = NULL;

    clb_json_parse(&defaults, DEFAULTS, sizeof(DEFAULTS) - 1, CLB_JSON_STRICT,
                   &why, pool);
    while ((iter = clb_json_next(defaults, iter, &key, &value)) != NULL) {
        clb_json_set(echo, key, or_else(body, key, value));
    }
    clb_json_set(echo, "reasoning", reasoning(clb_json_get(body, "reasoning"),
                                              pool));
    clb_json_set(echo, "text", text(clb_json_get(body, "text"), pool));
    clb_json_set(echo, "tools", tools(clb_json_get(body, "tools"), pool));
    chat->echo = echo;
}
