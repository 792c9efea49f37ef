/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tools in Messages. The client's own are taken; of those the vendor defines,
 * the ones it runs itself are left out, as the answer is good without them, and
 * the ones the client runs are refused, as the model would not know them.
 */
#include "anthropic.h"

#include <apr_strings.h>
#include <string.h>

#define TOOLS_MAX 512

/* A type is one of these and a date. */
static int runs_elsewhere(const char *type)
{
    static const char *const names[] = {
        "web_search", "web_fetch", "code_execution", "tool_search_tool",
        "advisor", "mcp_toolset", NULL
    };
    int i;

    for (i = 0; names[i] != NULL; i++) {
        if (strncmp(type, names[i], strlen(names[i])) == 0) {
            return 1;
        }
    }
    return 0;
}

static apr_status_t take_custom(clb_chat_t *chat, const char *at,
                                const clb_json_t *tool, clb_error_t *error)
{
    return clb_json_get(tool, "input_schema") == NULL
         ? clb_take_wrong(chat, at, "must have an input_schema", error)
         : clb_take_tool(chat, at, tool, "input_schema", 0, error);
}

static apr_status_t take_tool(clb_chat_t *chat, const char *at,
                              const clb_json_t *tool, clb_error_t *error)
{
    const clb_json_t *type = clb_json_get(tool, "type");
    const char *name = clb_json_string(type);

    if (!clb_json_is_object(tool) || (type != NULL && name == NULL)) {
        return clb_take_wrong(chat, at, "must be a tool", error);
    }
    if (name == NULL || strcmp(name, "custom") == 0) {
        return take_custom(chat, at, tool, error);
    }
    if (runs_elsewhere(name)) {
        clb_chat_give(chat, CLB_OTHER, at);
        return APR_SUCCESS;
    }
    return clb_error_set(error, chat->pool, CLB_UNSUPPORTED, at, "%s is of "
                         "type '%s', which the model knows from its vendor "
                         "alone: send it as a custom tool, with an "
                         "input_schema", at, name);
}

static apr_status_t take_tools(clb_chat_t *chat, const char *name,
                               const clb_json_t *value, clb_error_t *error)
{
    apr_status_t rv = APR_SUCCESS;
    apr_size_t i;

    if (!clb_json_is_array(value) || clb_json_size(value) > TOOLS_MAX) {
        return clb_take_bad(chat, name, "an array of at most 512 tools",
                            error);
    }
    for (i = 0; i < clb_json_size(value) && rv == APR_SUCCESS; i++) {
        rv = take_tool(chat, apr_psprintf(chat->pool, "%s[%" APR_SIZE_T_FMT
                       "]", name, i), clb_json_at(value, i), error);
    }
    return rv;
}

static apr_status_t take_tool_choice(clb_chat_t *chat, const char *name,
                                     const clb_json_t *value,
                                     clb_error_t *error)
{
    const char *type = clb_json_get_string(value, "type");

    chat->one_call = clb_json_true(clb_json_get(value,
                                                "disable_parallel_tool_use"));
    if (type != NULL && strcmp(type, "auto") == 0) {
        chat->choice = CLB_CHOICE_AUTO;
        return APR_SUCCESS;
    }
    if (type != NULL && strcmp(type, "none") == 0) {
        chat->choice = CLB_CHOICE_NONE;
        return APR_SUCCESS;
    }
    if (type != NULL && strcmp(type, "tool") == 0) {
        return clb_take_choice(chat, name, clb_json_get_string(value, "name"),
                               error);
    }
    if (type == NULL || strcmp(type, "any") != 0) {
        return clb_take_bad(chat, name, "of type auto, any, tool or none",
                            error);
    }
    if (chat->tools->nelts == 0) {
        return clb_take_bad(chat, name, "of type auto or none, as there is "
                            "nothing to choose from", error);
    }
    chat->choice = CLB_CHOICE_REQUIRED;
    clb_chat_give(chat, CLB_FORCED, name);
    return APR_SUCCESS;
}

const clb_take_t clb_anthropic_tool_fields[] = {
    { "tools", take_tools },
    { "tool_choice", take_tool_choice },
    { NULL, NULL }
};
