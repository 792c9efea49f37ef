/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tools in Responses. Functions, custom tools and groups of them are the
 * client's. Of all others, which clients offer to any model, this one knows
 * nothing, so they are left out: the answer is good without them.
 */
#include "responses.h"

#include "openai_chat.h"

#include <apr_strings.h>
#include <string.h>

#define TOOLS_MAX 512
#define SPACE_MAX 128

static apr_status_t take_tool(clb_chat_t *chat, const char *space,
                              const char *at, const clb_json_t *tool,
                              clb_error_t *error);

const char *clb_responses_name(const char *space, const char *name,
                               apr_pool_t *pool)
{
    return space == NULL || name == NULL ? name
         : apr_pstrcat(pool, space, ".", name, NULL);
}

static apr_status_t take_list(clb_chat_t *chat, const char *space,
                              const char *at, const clb_json_t *list,
                              clb_error_t *error)
{
    apr_status_t rv = APR_SUCCESS;
    apr_size_t i;

    if (!clb_json_is_array(list)
        || clb_json_size(list) + (apr_size_t)chat->tools->nelts > TOOLS_MAX) {
        return clb_take_wrong(chat, at, "must be an array, and there may be "
                              "512 tools in all", error);
    }
    for (i = 0; i < clb_json_size(list) && rv == APR_SUCCESS; i++) {
        rv = take_tool(chat, space, apr_psprintf(chat->pool, "%s[%"
                       APR_SIZE_T_FMT "]", at, i), clb_json_at(list, i),
                       error);
    }
    return rv;
}

/* A definition stands beside its type; some clients write it below, as chat
 * completions have it. */
static apr_status_t take_own(clb_chat_t *chat, const char *space,
                             const char *at, const clb_json_t *tool,
                             const char *type, clb_error_t *error)
{
    const clb_json_t *below = clb_json_get(tool, type);
    apr_status_t rv;

    tool = clb_json_is_object(below) ? below : tool;
    if (space != NULL) {
        tool = clb_json_pack(chat->pool, "{s:s?, s:O?, s:O?}", "name",
            clb_responses_name(space, clb_json_get_string(tool, "name"),
                               chat->pool),
            "description", clb_json_get(tool, "description"),
            "parameters", clb_json_get(tool, "parameters"));
    }
    rv = clb_take_tool(chat, at, tool, "parameters", *type == 'c', error);
    if (rv == APR_SUCCESS) {
        APR_ARRAY_IDX(chat->tools, chat->tools->nelts - 1,
                      clb_tool_t).space = space;
    }
    return rv;
}

static apr_status_t take_space(clb_chat_t *chat, const char *at,
                               const clb_json_t *tool, clb_error_t *error)
{
    const char *name = clb_json_get_string(tool, "name");

    return name == NULL || *name == '\0' || strlen(name) > SPACE_MAX
         ? clb_take_wrong(chat, at, "must have a name of 1 to 128 bytes", error)
         : take_list(chat, name, apr_pstrcat(chat->pool, at, ".tools", NULL),
                     clb_json_get(tool, "tools"), error);
}

static apr_status_t take_tool(clb_chat_t *chat, const char *space,
                              const char *at, const clb_json_t *tool,
                              clb_error_t *error)
{
    const char *type = clb_json_get_string(tool, "type");

    if (type == NULL) {
        return clb_take_wrong(chat, at, "must be a tool with a type", error);
    }
    if (strcmp(type, "function") == 0 || strcmp(type, "custom") == 0) {
        return take_own(chat, space, at, tool, type, error);
    }
    if (space == NULL && strcmp(type, "namespace") == 0) {
        return take_space(chat, at, tool, error);
    }
    clb_chat_give(chat, CLB_OTHER, at);
    return APR_SUCCESS;
}

static apr_status_t take_tools(clb_chat_t *chat, const char *name,
                               const clb_json_t *value, clb_error_t *error)
{
    return take_list(chat, NULL, name, value, error);
}

apr_status_t clb_responses_more_tools(clb_chat_t *chat, const clb_json_t *body,
                                      clb_error_t *error)
{
    const clb_json_t *input = clb_json_get(body, "input");
    apr_status_t rv = APR_SUCCESS;
    apr_size_t i;

    for (i = 0; i < clb_json_size(input) && rv == APR_SUCCESS; i++) {
        const clb_json_t *item = clb_json_at(input, i);
        const char *type = clb_json_get_string(item, "type");

        if (type != NULL && strcmp(type, "additional_tools") == 0) {
            rv = take_list(chat, NULL, apr_psprintf(chat->pool, "input[%"
                           APR_SIZE_T_FMT "].tools", i),
                           clb_json_get(item, "tools"), error);
        }
    }
    return rv;
}

const clb_take_t clb_responses_tool_fields[] = {
    { "tools", take_tools },
    { "tool_choice", clb_openai_tool_choice },
    { "parallel_tool_calls", clb_openai_parallel },
    { NULL, NULL }
};
