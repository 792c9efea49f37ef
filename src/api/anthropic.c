/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /v1/messages and /v1/messages/count_tokens, in the two versions that
 * clients speak. Source: the vendor's "Versions", "Migrating to API version
 * 2026-10-21" and the types of @anthropic-ai/sdk 0.137 and 1.14. Fields this
 * file does not name are ignored, as those of betas must be.
 */
#include "anthropic.h"

#include <apr_strings.h>
#include <string.h>

#define OLDER "2023-06-01"
#define NEWER "2026-10-21"

/* The vendor takes no smaller budget of reasoning. */
#define BUDGET_MIN 1024

int clb_anthropic_newer(const clb_chat_t *chat)
{
    return chat->version != NULL && strcmp(chat->version, NEWER) == 0;
}

static apr_status_t check_version(clb_chat_t *chat, clb_error_t *error)
{
    return clb_anthropic_newer(chat)
           || (chat->version != NULL && strcmp(chat->version, OLDER) == 0)
         ? APR_SUCCESS
         : clb_error_set(error, chat->pool, CLB_BAD_REQUEST,
                         "anthropic-version", "the header anthropic-version "
                         "must be " OLDER " or " NEWER);
}

/* Even their default values are refused there. */
static apr_status_t check_sampling(clb_chat_t *chat, const char *name,
                                   clb_error_t *error)
{
    return !clb_anthropic_newer(chat) ? APR_SUCCESS
         : clb_error_set(error, chat->pool, CLB_BAD_REQUEST, name, "'%s' must "
                         "not be given: API version " NEWER " does not have "
                         "it any more", name);
}

static apr_status_t take_temperature(clb_chat_t *chat, const char *name,
                                     const clb_json_t *value,
                                     clb_error_t *error)
{
    apr_status_t rv = check_sampling(chat, name, error);

    return rv != APR_SUCCESS ? rv
         : clb_take_sampling(chat, name, value, CLB_TEMPERATURE, 1,
                             &chat->temperature, error);
}

static apr_status_t take_top_p(clb_chat_t *chat, const char *name,
                               const clb_json_t *value, clb_error_t *error)
{
    apr_status_t rv = check_sampling(chat, name, error);

    return rv != APR_SUCCESS ? rv : clb_take_top_p(chat, name, value, error);
}

static apr_status_t take_top_k(clb_chat_t *chat, const char *name,
                               const clb_json_t *value, clb_error_t *error)
{
    apr_status_t rv = check_sampling(chat, name, error);

    return rv != APR_SUCCESS ? rv : clb_take_top_k(chat, name, value, error);
}

static apr_status_t take_stop(clb_chat_t *chat, const char *name,
                              const clb_json_t *value, clb_error_t *error)
{
    return clb_json_is_array(value) ? clb_take_stop(chat, name, value, error)
         : clb_take_bad(chat, name, "an array of strings", error);
}

static apr_status_t take_display(clb_chat_t *chat, const clb_json_t *display,
                                 clb_error_t *error)
{
    const char *text = clb_json_string(display);

    if (display != NULL
        && (text == NULL || (strcmp(text, "summarized") != 0
                             && strcmp(text, "omitted") != 0))) {
        return clb_take_bad(chat, "thinking.display", "summarized or omitted",
                            error);
    }
    chat->display = text;
    return APR_SUCCESS;
}

/* Where nothing is said, models differ, so nothing is said to them. What the
 * CLI asks for by itself is adaptive thinking, or the most of it. */
static apr_status_t take_thinking(clb_chat_t *chat, const char *name,
                                  const clb_json_t *value, clb_error_t *error)
{
    const char *type = clb_json_get_string(value, "type");

    chat->model_thinks = 0;
    if (type != NULL && strcmp(type, "disabled") == 0) {
        chat->budget = 0;
        clb_chat_give(chat, CLB_BUDGET, name);
        return APR_SUCCESS;
    }
    if (type != NULL && strcmp(type, "enabled") == 0) {
        apr_status_t rv = clb_take_integer(chat, "thinking.budget_tokens",
            clb_json_get(value, "budget_tokens"), CLB_BUDGET, BUDGET_MIN,
            &chat->budget, error);

        return rv != APR_SUCCESS ? rv
             : take_display(chat, clb_json_get(value, "display"), error);
    }
    if (type != NULL && strcmp(type, "between_tools") == 0) {
        clb_chat_give(chat, CLB_OTHER, "thinking.type");
        return APR_SUCCESS;
    }
    return type == NULL || strcmp(type, "adaptive") != 0
         ? clb_take_bad(chat, name, "of type enabled, adaptive or disabled",
                        error)
         : take_display(chat, clb_json_get(value, "display"), error);
}

/* @a name with its type and schema, the schema directly in it. */
static apr_status_t take_format(clb_chat_t *chat, const char *name,
                                const clb_json_t *value, clb_error_t *error)
{
    const char *type = clb_json_get_string(value, "type");

    return type == NULL || strcmp(type, "json_schema") != 0
         ? clb_take_bad(chat, name, "of type json_schema", error)
         : clb_take_schema(chat, name, name, clb_json_get(value, "schema"),
                           error);
}

static apr_status_t take_output_config(clb_chat_t *chat, const char *name,
                                       const clb_json_t *value,
                                       clb_error_t *error)
{
    static const clb_take_t members[] = {
        { "effort", clb_take_effort },
        { "format", take_format },
        { "task_budget", clb_take_ignored },
        { NULL, NULL }
    };

    return clb_take_members(chat, name, value, members, error);
}

static const clb_take_t fields[] = {
    { "model", clb_take_model },
    { "max_tokens", clb_take_max_tokens },
    { "temperature", take_temperature },
    { "top_p", take_top_p },
    { "top_k", take_top_k },
    { "stop_sequences", take_stop },
    { "stream", clb_take_stream },
    { "system", clb_anthropic_system },
    { "thinking", take_thinking },
    { "output_format", take_format },
    { "output_config", take_output_config },
    { "container", clb_take_refused },
    { "mcp_servers", clb_take_refused },
    { "thread", clb_take_refused },
    { "compaction", clb_take_ignored },
    { "context_management", clb_take_ignored },
    { "fallbacks", clb_take_ignored },
    { "inference_geo", clb_take_ignored },
    { "service_tier", clb_take_ignored },
    { "speed", clb_take_ignored },
    { NULL, NULL }
};

static apr_status_t parse_count(clb_chat_t *chat, const clb_json_t *body,
                                clb_error_t *error)
{
    apr_status_t rv;

    chat->model_thinks = 1;
    if ((rv = check_version(chat, error)) == APR_SUCCESS
        && (rv = clb_take_fields(chat, body, fields, error)) == APR_SUCCESS
        && (rv = clb_take_fields(chat, body, clb_anthropic_tool_fields,
                                 error)) == APR_SUCCESS) {
        rv = clb_anthropic_messages(chat, body, error);
    }
    return rv;
}

static apr_status_t parse(clb_chat_t *chat, const clb_json_t *body,
                          clb_error_t *error)
{
    apr_status_t rv = parse_count(chat, body, error);

    return rv != APR_SUCCESS || clb_chat_given(chat, CLB_MAX_TOKENS) ? rv
         : clb_error_set(error, chat->pool, CLB_BAD_REQUEST, "max_tokens",
                         "'max_tokens' must be given");
}

static void count(clb_buf_t *out, apr_int64_t tokens)
{
    clb_json_write(out, clb_json_pack(out->pool, "{s:I}", "input_tokens",
                                      (long long)tokens));
}

static clb_json_t *model(const char *id, const char *owner, apr_time_t since,
                         apr_pool_t *pool)
{
    static const char *const unknown[] = {
        "capabilities", "line", "max_input_tokens", "max_tokens",
        "deprecated_at", "retires_at", NULL
    };
    char date[32];
    apr_size_t len;
    apr_time_exp_t time;
    clb_json_t *json;
    int i;

    apr_time_exp_gmt(&time, since);
    apr_strftime(date, &len, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &time);
    json = clb_json_pack(pool, "{s:s, s:s, s:s, s:s, s:s}", "type", "model",
                         "id", id, "display_name", id, "created_at", date,
                         "lifecycle", "active");
    for (i = 0; unknown[i] != NULL; i++) {
        clb_json_set(json, unknown[i], clb_json_pack(pool, "n"));
    }
    return json;
}

/* All of them are on the one page. */
static clb_json_t *models(const clb_json_t *list, apr_pool_t *pool)
{
    apr_size_t n = clb_json_size(list);
    const clb_json_t *first = clb_json_at(list, 0);
    const clb_json_t *last = n == 0 ? NULL : clb_json_at(list, n - 1);

    return clb_json_pack(pool, "{s:O, s:b, s:s?, s:s?}", "data", list,
        "has_more", 0, "first_id", clb_json_get_string(first, "id"),
        "last_id", clb_json_get_string(last, "id"));
}

const clb_dialect_t clb_anthropic = {
    .name = "anthropic",
    .id_prefix = "msg_",
    .thinks = 1,
    .parse = parse,
    .begin = clb_anthropic_begin,
    .event = clb_anthropic_event,
    .error = clb_anthropic_error,
    .ping = clb_anthropic_ping,
    .whole = clb_anthropic_whole,
    .error_body = clb_anthropic_error_body,
    .model = model,
    .models = models,
};

const clb_dialect_t clb_anthropic_count = {
    .name = "anthropic-count",
    .parse = parse_count,
    .error_body = clb_anthropic_error_body,
    .count = count,
};
