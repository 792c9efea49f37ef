/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking the fields of a request: what dialects have in common. A value of a
 * wrong type or out of its range is refused here, whatever the CLI would say.
 */
#include "take.h"

#include <apr_strings.h>
#include <string.h>

#define STOPS_MAX 16
#define STOP_LEN_MAX 256
#define MODEL_MAX 256
#define NAME_MAX_LEN 256

/* What a tool without parameters takes, and one that takes free text. */
#define NO_ARGUMENTS "{\"type\":\"object\",\"properties\":{}}"
#define FREE_TEXT "{\"type\":\"object\",\"properties\":{\"input\":" \
    "{\"type\":\"string\"}},\"required\":[\"input\"]}"

apr_status_t clb_take_fields(clb_chat_t *chat, const clb_json_t *body,
                             const clb_take_t *table, clb_error_t *error)
{
    apr_status_t rv;

    for (; table->name != NULL; table++) {
        const clb_json_t *value = clb_json_get(body, table->name);

        if (value != NULL && (rv = table->take(chat, table->name, value,
                                               error)) != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}

apr_status_t clb_take_members(clb_chat_t *chat, const char *name,
                              const clb_json_t *object,
                              const clb_take_t *table, clb_error_t *error)
{
    apr_status_t rv;

    if (!clb_json_is_object(object)) {
        return clb_take_bad(chat, name, "an object", error);
    }
    for (; table->name != NULL; table++) {
        const clb_json_t *value = clb_json_get(object, table->name);

        if (value != NULL && (rv = table->take(chat, apr_pstrcat(chat->pool,
                name, ".", table->name, NULL), value, error))
            != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}

apr_status_t clb_take_bad(clb_chat_t *chat, const char *name,
                          const char *need, clb_error_t *error)
{
    return clb_error_set(error, chat->pool, CLB_BAD_REQUEST, name,
                         "'%s' must be %s", name, need);
}

apr_status_t clb_take_wrong(clb_chat_t *chat, const char *at,
                            const char *what, clb_error_t *error)
{
    return clb_error_set(error, chat->pool, CLB_BAD_REQUEST, at, "%s %s", at,
                         what);
}

apr_status_t clb_take_model(clb_chat_t *chat, const char *name,
                            const clb_json_t *value, clb_error_t *error)
{
    const char *model = clb_json_string(value);

    if (model == NULL || strlen(model) > MODEL_MAX) {
        return clb_take_bad(chat, name, "a string of at most 256 bytes", error);
    }
    chat->asked = *model == '\0' ? NULL : model;
    return APR_SUCCESS;
}

apr_status_t clb_take_sampling(clb_chat_t *chat, const char *name,
                               const clb_json_t *value, clb_field_e field,
                               double max, double *out, clb_error_t *error)
{
    double n = clb_json_number(value, -1);

    if (!clb_json_is_number(value) || n < 0 || n > max) {
        return clb_take_bad(chat, name, apr_psprintf(chat->pool,
                            "a number from 0 to %g", max), error);
    }
    *out = n;
    if (n != 1) {
        clb_chat_give(chat, field, name);
    }
    return APR_SUCCESS;
}

apr_status_t clb_take_top_p(clb_chat_t *chat, const char *name,
                            const clb_json_t *value, clb_error_t *error)
{
    return clb_take_sampling(chat, name, value, CLB_TOP_P, 1, &chat->top_p,
                             error);
}

apr_status_t clb_take_integer(clb_chat_t *chat, const char *name,
                              const clb_json_t *value, clb_field_e field,
                              apr_int64_t min, apr_int64_t *out,
                              clb_error_t *error)
{
    double number = clb_json_number(value, -1);
    apr_int64_t n = clb_json_integer(value, -1);

    if (n < min || n > APR_INT32_MAX || number != (double)n) {
        return clb_take_bad(chat, name, apr_psprintf(chat->pool, "an integer "
                            "of at least %d", (int)min), error);
    }
    *out = n;
    clb_chat_give(chat, field, name);
    return APR_SUCCESS;
}

apr_status_t clb_take_top_k(clb_chat_t *chat, const char *name,
                            const clb_json_t *value, clb_error_t *error)
{
    return clb_take_integer(chat, name, value, CLB_TOP_K, 1, &chat->top_k,
                            error);
}

apr_status_t clb_take_max_tokens(clb_chat_t *chat, const char *name,
                                 const clb_json_t *value,
                                 clb_error_t *error)
{
    /* the newer name is first in the table and wins over the older one */
    if (clb_chat_given(chat, CLB_MAX_TOKENS)) {
        return APR_SUCCESS;
    }
    return clb_take_integer(chat, name, value, CLB_MAX_TOKENS, 1,
                            &chat->max_tokens, error);
}

apr_status_t clb_take_stop(clb_chat_t *chat, const char *name,
                           const clb_json_t *value, clb_error_t *error)
{
    apr_size_t i, n = clb_json_is_array(value) ? clb_json_size(value) : 1;

    if (n > STOPS_MAX) {
        return clb_take_bad(chat, name, "at most 16 strings", error);
    }
    for (i = 0; i < n; i++) {
        const char *stop = clb_json_string(clb_json_is_array(value)
                                           ? clb_json_at(value, i) : value);

        if (stop == NULL || strlen(stop) > STOP_LEN_MAX) {
            return clb_take_bad(chat, name, "a string or an array of strings "
                                "of at most 256 bytes", error);
        }
        if (*stop != '\0') {
            APR_ARRAY_PUSH(chat->stop, const char *) = stop;
        }
    }
    return APR_SUCCESS;
}

apr_status_t clb_take_stream(clb_chat_t *chat, const char *name,
                             const clb_json_t *value, clb_error_t *error)
{
    if (!clb_json_is_bool(value)) {
        return clb_take_bad(chat, name, "a boolean", error);
    }
    chat->stream = clb_json_true(value);
    return APR_SUCCESS;
}

apr_status_t clb_take_effort(clb_chat_t *chat, const char *name,
                             const clb_json_t *value, clb_error_t *error)
{
    const char *effort = clb_json_string(value);

    if (effort == NULL
        || clb_effort_parse(&chat->effort, effort) != APR_SUCCESS) {
        return clb_take_bad(chat, name, "one of none, minimal, low, medium, "
                            "high, xhigh, max", error);
    }
    clb_chat_give(chat, CLB_EFFORT, name);
    return APR_SUCCESS;
}

/* Values by which a client says "nothing in particular". */
static int asks(const clb_json_t *value)
{
    const char *text = clb_json_string(value);

    if (text != NULL) {
        return *text != '\0' && strcmp(text, "auto") != 0
            && strcmp(text, "default") != 0 && strcmp(text, "standard") != 0;
    }
    if (clb_json_is_number(value)) {
        return clb_json_number(value, 0) != 0;
    }
    if (clb_json_is_bool(value)) {
        return clb_json_true(value);
    }
    return clb_json_size(value) > 0;
}

apr_status_t clb_take_ignored(clb_chat_t *chat, const char *name,
                              const clb_json_t *value, clb_error_t *error)
{
    /* 0 is a seed like any other */
    if (asks(value) || strcmp(name, "seed") == 0) {
        clb_chat_give(chat, CLB_OTHER, name);
    }
    return APR_SUCCESS;
}

apr_status_t clb_take_refused(clb_chat_t *chat, const char *name,
                              const clb_json_t *value, clb_error_t *error)
{
    if (!asks(value)) {
        return APR_SUCCESS;
    }
    return clb_error_set(error, chat->pool, CLB_UNSUPPORTED, name,
                         "'%s' is not supported by this server", name);
}

apr_status_t clb_take_one(clb_chat_t *chat, const char *name,
                          const clb_json_t *value, clb_error_t *error)
{
    if (clb_json_number(value, 0) != 1) {
        return clb_error_set(error, chat->pool, CLB_UNSUPPORTED, name,
                             "'%s' must be 1: a CLI gives one answer to one "
                             "request", name);
    }
    return APR_SUCCESS;
}

/* What no vendor takes as the schema of arguments is refused here, where the
 * tool can be named: a CLI that gets one may offer its model no tool at all.
 * @return NULL, or what the tool must have, to stand before its name */
static const char *wrong_schema(const clb_json_t *schema)
{
    const clb_json_t *type = clb_json_get(schema, "type");
    const clb_json_t *properties = clb_json_get(schema, "properties");
    const clb_json_t *required = clb_json_get(schema, "required");
    const char *name = clb_json_string(clb_json_is_array(type)
                                       ? clb_json_at(type, 0) : type);

    if (schema != NULL && !clb_json_is_object(schema)) {
        return "an object as its";
    }
    if (type != NULL && (name == NULL || strcmp(name, "object") != 0)) {
        return "the type object in its";
    }
    /* PHP writes an empty object as an array */
    if (properties != NULL && !clb_json_is_object(properties)
        && !(clb_json_is_array(properties) && clb_json_size(properties) == 0)) {
        return "an object as the properties of its";
    }
    return required != NULL && !clb_json_is_array(required)
         ? "an array as the required of its" : NULL;
}

apr_status_t clb_take_tool(clb_chat_t *chat, const char *at,
                           const clb_json_t *json, const char *key,
                           int custom, clb_error_t *error)
{
    const clb_json_t *schema = clb_json_get(json, key);
    const char *name = clb_json_get_string(json, "name");
    const char *wrong = custom ? NULL : wrong_schema(schema);
    clb_tool_t *tool;

    if (name == NULL || *name == '\0' || strlen(name) > NAME_MAX_LEN) {
        return clb_take_wrong(chat, at, "must have a name of 1 to 256 bytes",
                              error);
    }
    if (clb_chat_tool(chat, name) != NULL) {
        return clb_take_wrong(chat, at, apr_psprintf(chat->pool, "has the "
                              "name '%s', which another tool has, too", name),
                              error);
    }
    if (wrong != NULL) {
        return clb_take_wrong(chat, at, apr_pstrcat(chat->pool, "must have ",
                              wrong, " ", key, NULL), error);
    }
    tool = apr_array_push(chat->tools);
    tool->name = name;
    tool->description = clb_json_get_string(json, "description");
    tool->custom = custom;
    tool->space = NULL;
    tool->schema = custom ? FREE_TEXT
                 : clb_json_size(schema) == 0 ? NO_ARGUMENTS
                 : clb_json_text(chat->pool, schema);
    return APR_SUCCESS;
}

apr_status_t clb_take_allowed(clb_chat_t *chat, const char *at,
                              const apr_array_header_t *names,
                              clb_error_t *error)
{
    const apr_array_header_t *tools = chat->tools;
    char *named = apr_pcalloc(chat->pool, (apr_size_t)tools->nelts + 1);
    int i;

    for (i = 0; i < names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);
        const clb_tool_t *tool = name == NULL ? NULL
                               : clb_chat_tool(chat, name);

        if (tool == NULL) {
            break;
        }
        named[tool - (const clb_tool_t *)(const void *)tools->elts] = 1;
    }
    if (i == 0 || i < names->nelts) {
        return clb_take_wrong(chat, at, "must name some of the tools", error);
    }
    chat->tools = apr_array_make(chat->pool, 8, sizeof(clb_tool_t));
    for (i = 0; i < tools->nelts; i++) {
        if (named[i]) {
            APR_ARRAY_PUSH(chat->tools, clb_tool_t) = APR_ARRAY_IDX(tools, i,
                                                                  clb_tool_t);
        }
    }
    return APR_SUCCESS;
}

apr_status_t clb_take_choice(clb_chat_t *chat, const char *at,
                             const char *name, clb_error_t *error)
{
    if (name == NULL || clb_chat_tool(chat, name) == NULL) {
        return clb_take_wrong(chat, at, "must name one of the tools", error);
    }
    chat->choice = CLB_CHOICE_NAMED;
    chat->chosen = name;
    clb_chat_give(chat, CLB_FORCED, at);
    return APR_SUCCESS;
}

apr_status_t clb_take_schema(clb_chat_t *chat, const char *name,
                             const char *at, const clb_json_t *schema,
                             clb_error_t *error)
{
    if (!clb_json_is_object(schema)) {
        return clb_take_wrong(chat, at, "must have an object as its schema",
                              error);
    }
    chat->format = CLB_FORMAT_SCHEMA;
    chat->format_name = name;
    chat->schema = clb_json_text(chat->pool, schema);
    return APR_SUCCESS;
}
