/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tools in chat completions: what the model may call, whether it must, and
 * what form its answer has. Taken as OpenAI documents it (OpenAPI 2.3.0), as
 * the Responses API has it (Cursor sends that here) and in the older form of
 * `functions`.
 */
#include "openai_chat.h"

#include <apr_strings.h>
#include <string.h>

#define TOOLS_MAX 512

/* A definition stands below its type's name, or beside the type. */
static const clb_json_t *definition(const clb_json_t *tool, const char *type)
{
    const clb_json_t *below = clb_json_get(tool, type);

    return clb_json_is_object(below) ? below : tool;
}

static apr_status_t take_tools(clb_chat_t *chat, const char *name,
                               const clb_json_t *value, clb_error_t *error)
{
    apr_status_t rv = APR_SUCCESS;
    apr_size_t i;

    if (!clb_json_is_array(value) || clb_json_size(value) > TOOLS_MAX) {
        return clb_take_wrong(chat, name, "must be an array of at most 512 "
                              "tools", error);
    }
    for (i = 0; i < clb_json_size(value) && rv == APR_SUCCESS; i++) {
        const clb_json_t *tool = clb_json_at(value, i);
        const char *type = clb_json_get_string(tool, "type");
        const char *at = apr_psprintf(chat->pool, "%s[%" APR_SIZE_T_FMT "]",
                                      name, i);

        if (type == NULL || (strcmp(type, "function") != 0
                             && strcmp(type, "custom") != 0)) {
            return clb_error_set(error, chat->pool, CLB_UNSUPPORTED, at,
                "%s must be of type function or custom: the client runs its "
                "tools, this server has none", at);
        }
        rv = clb_take_tool(chat, at, definition(tool, type), "parameters",
                           *type == 'c', error);
    }
    return rv;
}

static apr_status_t take_functions(clb_chat_t *chat, const char *name,
                                   const clb_json_t *value,
                                   clb_error_t *error)
{
    apr_status_t rv = APR_SUCCESS;
    apr_size_t i;

    if (!clb_json_is_array(value) || clb_json_size(value) > TOOLS_MAX) {
        return clb_take_wrong(chat, name, "must be an array of at most 512 "
                              "functions", error);
    }
    chat->functions = chat->one_call = clb_json_size(value) > 0;
    for (i = 0; i < clb_json_size(value) && rv == APR_SUCCESS; i++) {
        rv = clb_take_tool(chat, apr_psprintf(chat->pool, "%s[%"
                           APR_SIZE_T_FMT "]", name, i), clb_json_at(value, i),
                           "parameters", 0, error);
    }
    return rv;
}

/* Leave only the tools that @a list names. */
static apr_status_t allow(clb_chat_t *chat, const char *param,
                          const clb_json_t *list, clb_error_t *error)
{
    apr_array_header_t *names = apr_array_make(chat->pool, 4,
                                               sizeof(const char *));
    apr_size_t i;

    for (i = 0; i < clb_json_size(list); i++) {
        const clb_json_t *item = clb_json_at(list, i);
        const char *type = clb_json_get_string(item, "type");

        APR_ARRAY_PUSH(names, const char *) = clb_json_get_string(
            definition(item, type == NULL ? "function" : type), "name");
    }
    return clb_take_allowed(chat, param, names, error);
}

static apr_status_t choose_mode(clb_chat_t *chat, const char *param,
                                const char *mode, clb_error_t *error)
{
    if (mode == NULL || strcmp(mode, "auto") == 0) {
        chat->choice = CLB_CHOICE_AUTO;
    }
    else if (strcmp(mode, "none") == 0) {
        chat->choice = CLB_CHOICE_NONE;
    }
    else if (strcmp(mode, "required") == 0 || strcmp(mode, "any") == 0) {
        chat->choice = CLB_CHOICE_REQUIRED;
        clb_chat_give(chat, CLB_FORCED, param);
    }
    else {
        return clb_take_wrong(chat, param, "must be none, auto, required, or "
                              "an object that names a tool", error);
    }
    return APR_SUCCESS;
}

/* Where nothing can be chosen, "none" and "auto", which clients send, are no
 * mistakes. */
static apr_status_t no_choice(clb_chat_t *chat, const char *name,
                              const clb_json_t *value, clb_error_t *error)
{
    const char *mode = clb_json_string(value);

    return mode != NULL && (strcmp(mode, "none") == 0
                            || strcmp(mode, "auto") == 0) ? APR_SUCCESS
         : clb_take_wrong(chat, name, "must be none or auto, as there is "
                          "nothing to choose from", error);
}

apr_status_t clb_openai_tool_choice(clb_chat_t *chat, const char *name,
                                    const clb_json_t *value,
                                    clb_error_t *error)
{
    const char *type = clb_json_get_string(value, "type");
    const clb_json_t *allowed;
    apr_status_t rv;

    if (chat->tools->nelts == 0) {
        return no_choice(chat, name, value, error);
    }
    if (clb_json_is_string(value)) {
        return choose_mode(chat, name, clb_json_string(value), error);
    }
    if (type == NULL) {
        return clb_take_wrong(chat, name, "must be a string or an object "
                              "with a type", error);
    }
    if (strcmp(type, "allowed_tools") == 0) {
        allowed = definition(value, "allowed_tools");
        rv = allow(chat, name, clb_json_get(allowed, "tools"), error);
        return rv != APR_SUCCESS ? rv
             : choose_mode(chat, name, clb_json_get_string(allowed, "mode"),
                           error);
    }
    if (strcmp(type, "function") == 0 || strcmp(type, "custom") == 0) {
        return clb_take_choice(chat, name, clb_json_get_string(
                               definition(value, type), "name"), error);
    }
    return choose_mode(chat, name, type, error);
}

static apr_status_t take_function_call(clb_chat_t *chat, const char *name,
                                       const clb_json_t *value,
                                       clb_error_t *error)
{
    if (!chat->functions) {
        return no_choice(chat, name, value, error);
    }
    return clb_json_is_string(value)
         ? choose_mode(chat, name, clb_json_string(value), error)
         : clb_take_choice(chat, name, clb_json_get_string(value, "name"),
                           error);
}

apr_status_t clb_openai_parallel(clb_chat_t *chat, const char *name,
                                 const clb_json_t *value, clb_error_t *error)
{
    if (!clb_json_is_bool(value)) {
        return clb_take_wrong(chat, name, "must be a boolean", error);
    }
    chat->one_call = chat->one_call || !clb_json_true(value);
    return APR_SUCCESS;
}

/* @a at is where a schema should stand. */
static apr_status_t take_form(clb_chat_t *chat, const char *name,
                              const char *at, const clb_json_t *value,
                              clb_error_t *error)
{
    const char *type = clb_json_get_string(value, "type");

    if (type != NULL && strcmp(type, "text") == 0) {
        return APR_SUCCESS;
    }
    if (type != NULL && strcmp(type, "json_object") == 0) {
        chat->format = CLB_FORMAT_JSON;
        chat->format_name = name;
        return APR_SUCCESS;
    }
    if (type == NULL || strcmp(type, "json_schema") != 0) {
        return clb_take_wrong(chat, name, "must be of type text, json_object "
                              "or json_schema", error);
    }
    return clb_take_schema(chat, name, at, clb_json_get(
                           definition(value, "json_schema"), "schema"), error);
}

static apr_status_t take_response_format(clb_chat_t *chat, const char *name,
                                         const clb_json_t *value,
                                         clb_error_t *error)
{
    return take_form(chat, name, "response_format.json_schema", value, error);
}

apr_status_t clb_openai_format(clb_chat_t *chat, const char *name,
                               const clb_json_t *value, clb_error_t *error)
{
    return take_form(chat, name, name, value, error);
}

/* The choice is among the tools, so they come first. */
const clb_take_t clb_openai_tool_fields[] = {
    { "tools", take_tools },
    { "functions", take_functions },
    { "tool_choice", clb_openai_tool_choice },
    { "function_call", take_function_call },
    { "parallel_tool_calls", clb_openai_parallel },
    { "response_format", take_response_format },
    { NULL, NULL }
};
