/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tools of the Gemini API. The client's own are taken; of the vendor's, those
 * that only find out more are left out, as the answer is good without them, and
 * all others are refused: an answer would lack what they give, or the model
 * does not know them.
 */
#include "gemini.h"

#include <apr_strings.h>
#include <string.h>

#define TOOLS_MAX 512

#define DECLARATIONS "functionDeclarations"

/* Without these the model knows less, and that is all. */
static int finds_more(const char *name)
{
    static const char *const names[] = {
        "googleSearch", "googleSearchRetrieval", "enterpriseWebSearch",
        "exaAiSearch", "parallelAiSearch", "googleMaps", "urlContext",
        "codeExecution", NULL
    };
    int i;

    for (i = 0; names[i] != NULL; i++) {
        if (clb_gemini_is(name, names[i])) {
            return 1;
        }
    }
    return 0;
}

/* The declaration with the schema of its arguments as JSON Schema. */
static apr_status_t take_function(clb_chat_t *chat, const char *at,
                                  const clb_json_t *json, clb_error_t *error)
{
    static const char *const unknown[] = { "response", "responseJsonSchema" };
    const clb_json_t *own = clb_gemini_get(json, "parameters");
    const clb_json_t *plain = clb_gemini_get(json, "parametersJsonSchema");
    const clb_json_t *name = clb_json_get(json, "name");
    const clb_json_t *description = clb_json_get(json, "description");
    const char *key = own != NULL ? "parameters" : "parametersJsonSchema";
    clb_json_t *tool = clb_json_pack(chat->pool, "{s:O*, s:O*}", "name", name,
                                     "description", description);
    int i;

    if (own != NULL || plain != NULL) {
        clb_json_set(tool, key, own != NULL
                     ? clb_gemini_schema(own, chat->pool) : plain);
    }
    for (i = 0; i < 2; i++) {
        if (clb_gemini_get(json, unknown[i]) != NULL) {
            clb_chat_give(chat, CLB_OTHER, apr_pstrcat(chat->pool, at, ".",
                                                       unknown[i], NULL));
        }
    }
    return clb_take_tool(chat, at, tool, key, 0, error);
}

static apr_status_t take_functions(clb_chat_t *chat, const char *at,
                                   const clb_json_t *list, clb_error_t *error)
{
    apr_size_t i, n = clb_gemini_size(list);
    apr_status_t rv = APR_SUCCESS;

    if ((apr_size_t)chat->tools->nelts + n > TOOLS_MAX) {
        return clb_take_bad(chat, at, "at most 512 functions", error);
    }
    for (i = 0; i < n && rv == APR_SUCCESS; i++) {
        rv = take_function(chat, apr_psprintf(chat->pool, "%s[%"
                           APR_SIZE_T_FMT "]", at, i), clb_gemini_at(list, i),
                           error);
    }
    return rv;
}

static apr_status_t take_member(clb_chat_t *chat, const char *at,
                                const char *name, const clb_json_t *value,
                                clb_error_t *error)
{
    if (clb_gemini_is(name, DECLARATIONS)) {
        return take_functions(chat, apr_pstrcat(chat->pool, at,
                              "." DECLARATIONS, NULL), value, error);
    }
    at = apr_pstrcat(chat->pool, at, ".", name, NULL);
    if (finds_more(name)) {
        clb_chat_give(chat, CLB_OTHER, at);
        return APR_SUCCESS;
    }
    return clb_error_set(error, chat->pool, CLB_UNSUPPORTED, at, "%s is a tool "
                         "of the vendor's, which this server does not have: "
                         "send functionDeclarations", at);
}

static apr_status_t take_tool(clb_chat_t *chat, const char *at,
                              const clb_json_t *tool, clb_error_t *error)
{
    apr_status_t rv = APR_SUCCESS;
    clb_json_t *value;
    const char *key;
    void *iter = NULL;

    if (!clb_json_is_object(tool)) {
        return clb_take_wrong(chat, at, "must be an object", error);
    }
    while (rv == APR_SUCCESS
           && (iter = clb_json_next(tool, iter, &key, &value)) != NULL) {
        if (clb_json_get(tool, key) != NULL) {
            rv = take_member(chat, at, key, value, error);
        }
    }
    return rv;
}

apr_status_t clb_gemini_tools(clb_chat_t *chat, const char *name,
                              const clb_json_t *value, clb_error_t *error)
{
    apr_status_t rv = APR_SUCCESS;
    apr_size_t i;

    for (i = 0; i < clb_gemini_size(value) && rv == APR_SUCCESS; i++) {
        rv = take_tool(chat, apr_psprintf(chat->pool, "%s[%" APR_SIZE_T_FMT
                       "]", name, i), clb_gemini_at(value, i), error);
    }
    return rv;
}

/* --- the choice among them --- */

static apr_status_t take_allowed(clb_chat_t *chat, const char *at,
                                 const clb_json_t *list, clb_error_t *error)
{
    apr_array_header_t *names = apr_array_make(chat->pool, 4,
                                               sizeof(const char *));
    apr_size_t i;

    for (i = 0; i < clb_gemini_size(list); i++) {
        APR_ARRAY_PUSH(names, const char *)
            = clb_json_string(clb_gemini_at(list, i));
    }
    return clb_take_allowed(chat, apr_pstrcat(chat->pool, at,
                            ".allowedFunctionNames", NULL), names, error);
}

/* A call is a must; where there is one tool, of this one. */
static apr_status_t take_any(clb_chat_t *chat, const char *at,
                             clb_error_t *error)
{
    if (chat->tools->nelts == 0) {
        return clb_take_bad(chat, at, "of mode AUTO or NONE, as there is "
                            "nothing to choose from", error);
    }
    if (chat->tools->nelts == 1) {
        return clb_take_choice(chat, at, APR_ARRAY_IDX(chat->tools, 0,
                                                       clb_tool_t).name,
                               error);
    }
    chat->choice = CLB_CHOICE_REQUIRED;
    clb_chat_give(chat, CLB_FORCED, at);
    return APR_SUCCESS;
}

/* VALIDATED lets the model choose, and promises what no CLI can: arguments by
 * their schema. */
static apr_status_t take_calling(clb_chat_t *chat, const char *name,
                                 const clb_json_t *value, clb_error_t *error)
{
    const char *mode = clb_gemini_string(value, "mode");
    const clb_json_t *allowed = clb_gemini_get(value, "allowedFunctionNames");
    int any = mode != NULL && strcasecmp(mode, "ANY") == 0;
    int checked = mode != NULL && strcasecmp(mode, "VALIDATED") == 0;
    apr_status_t rv;

    if (mode != NULL && strcasecmp(mode, "NONE") == 0) {
        chat->choice = CLB_CHOICE_NONE;
        return APR_SUCCESS;
    }
    if (!clb_json_is_object(value)
        || (mode == NULL && clb_gemini_get(value, "mode") != NULL)
        || (mode != NULL && !any && !checked && strcasecmp(mode, "AUTO") != 0
            && strcmp(mode, "MODE_UNSPECIFIED") != 0)) {
        return clb_take_bad(chat, name, "of mode AUTO, ANY, NONE or VALIDATED",
                            error);
    }
    if (clb_gemini_size(allowed) > 0) {
        if (!any && !checked) {
            return clb_take_bad(chat, name, "of mode ANY or VALIDATED where "
                                "it has allowedFunctionNames", error);
        }
        if ((rv = take_allowed(chat, name, allowed, error)) != APR_SUCCESS) {
            return rv;
        }
    }
    return any ? take_any(chat, name, error) : APR_SUCCESS;
}

apr_status_t clb_gemini_tool_config(clb_chat_t *chat, const char *name,
                                    const clb_json_t *value,
                                    clb_error_t *error)
{
    static const clb_take_t members[] = {
        { "functionCallingConfig", take_calling },
        { "retrievalConfig", clb_take_ignored },
        { NULL, NULL }
    };

    return clb_gemini_fields(chat, name, value, members, error);
}
