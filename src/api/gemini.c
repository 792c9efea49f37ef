/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST models/M:generateContent, :streamGenerateContent and :countTokens below
 * /v1 and /v1beta. Source: the types of @google/genai 3.3, and what it and
 * Gemini CLI 0.61 send. Fields this file does not name are ignored.
 */
#include "gemini.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

/* Longer than any member's name. */
#define NAME_LEN 64

int clb_gemini_is(const char *name, const char *member)
{
    for (; *member != '\0'; member++, name++) {
        if (apr_isupper(*member) && *name == '_') {
            name++;
            if (*name != apr_tolower(*member)) {
                return 0;
            }
        }
        else if (*name != *member) {
            return 0;
        }
    }
    return *name == '\0';
}

clb_json_t *clb_gemini_get(const clb_json_t *object, const char *name)
{
    clb_json_t *value = clb_json_get(object, name);
    char spelled[2 * NAME_LEN], *to = spelled;

    if (value != NULL) {
        return value;
    }
    for (; *name != '\0' && to < spelled + sizeof(spelled) - 2; name++) {
        if (apr_isupper(*name)) {
            *to++ = '_';
        }
        *to++ = (char)apr_tolower(*name);
    }
    *to = '\0';
    return clb_json_get(object, spelled);
}

const char *clb_gemini_string(const clb_json_t *object, const char *name)
{
    return clb_json_string(clb_gemini_get(object, name));
}

apr_size_t clb_gemini_size(const clb_json_t *list)
{
    return list == NULL ? 0 : clb_json_is_array(list) ? clb_json_size(list)
                                                      : 1;
}

const clb_json_t *clb_gemini_at(const clb_json_t *list, apr_size_t i)
{
    return clb_json_is_array(list) ? clb_json_at(list, i)
         : i == 0 ? list : NULL;
}

apr_status_t clb_gemini_fields(clb_chat_t *chat, const char *path,
                               const clb_json_t *object,
                               const clb_take_t *table, clb_error_t *error)
{
    apr_status_t rv = APR_SUCCESS;

    if (!clb_json_is_object(object)) {
        return clb_take_bad(chat, path, "an object", error);
    }
    for (; table->name != NULL && rv == APR_SUCCESS; table++) {
        const clb_json_t *value = clb_gemini_get(object, table->name);

        if (value != NULL) {
            rv = table->take(chat, *path == '\0' ? table->name
                             : apr_pstrcat(chat->pool, path, ".", table->name,
                                           NULL), value, error);
        }
    }
    return rv;
}

/* --- generationConfig --- */

static apr_status_t take_temperature(clb_chat_t *chat, const char *name,
                                     const clb_json_t *value,
                                     clb_error_t *error)
{
    return clb_take_sampling(chat, name, value, CLB_TEMPERATURE, 2,
                             &chat->temperature, error);
}

/* 0 is a seed like any other. */
static apr_status_t take_seed(clb_chat_t *chat, const char *name,
                              const clb_json_t *value, clb_error_t *error)
{
    clb_chat_give(chat, CLB_OTHER, name);
    return APR_SUCCESS;
}

static apr_status_t take_stops(clb_chat_t *chat, const char *name,
                               const clb_json_t *value, clb_error_t *error)
{
    return clb_json_is_array(value) ? clb_take_stop(chat, name, value, error)
         : clb_take_bad(chat, name, "an array of strings", error);
}

static apr_status_t take_modalities(clb_chat_t *chat, const char *name,
                                    const clb_json_t *value,
                                    clb_error_t *error)
{
    apr_size_t i;

    for (i = 0; i < clb_gemini_size(value); i++) {
        const char *text = clb_json_string(clb_gemini_at(value, i));

        if (text == NULL || (strcasecmp(text, "TEXT") != 0
                             && strcmp(text, "MODALITY_UNSPECIFIED") != 0)) {
            return clb_take_refused(chat, name, value, error);
        }
    }
    return APR_SUCCESS;
}

static apr_status_t take_type(clb_chat_t *chat, const char *name,
                              const clb_json_t *value, clb_error_t *error)
{
    const char *type = clb_json_string(value);

    if (type != NULL && strcmp(type, "application/json") == 0) {
        chat->format = CLB_FORMAT_JSON;
        chat->format_name = name;
        return APR_SUCCESS;
    }
    return type != NULL && (*type == '\0' || strcmp(type, "text/plain") == 0)
         ? APR_SUCCESS
         : clb_error_set(error, chat->pool, CLB_UNSUPPORTED, name, "'%s' must "
                         "be text/plain or application/json", name);
}

static apr_status_t take_schema(clb_chat_t *chat, const char *name,
                                const clb_json_t *value, clb_error_t *error)
{
    return clb_take_schema(chat, name, name, clb_gemini_schema(value,
                           chat->pool), error);
}

static apr_status_t take_json_schema(clb_chat_t *chat, const char *name,
                                     const clb_json_t *value,
                                     clb_error_t *error)
{
    return clb_take_schema(chat, name, name, value, error);
}

/* -1 leaves it to the model. */
static apr_status_t take_budget(clb_chat_t *chat, const char *name,
                                const clb_json_t *value, clb_error_t *error)
{
    return clb_json_number(value, 0) == -1 ? APR_SUCCESS
         : clb_take_integer(chat, name, value, CLB_BUDGET, 0, &chat->budget,
                            error);
}

static apr_status_t take_level(clb_chat_t *chat, const char *name,
                               const clb_json_t *value, clb_error_t *error)
{
    char *level = apr_pstrdup(chat->pool, clb_json_string(value)), *c;

    for (c = level; c != NULL && *c != '\0'; c++) {
        *c = (char)apr_tolower(*c);
    }
    if (level != NULL && strcmp(level, "thinking_level_unspecified") == 0) {
        return APR_SUCCESS;
    }
    if (level == NULL
        || clb_effort_parse(&chat->effort, level) != APR_SUCCESS) {
        return clb_take_bad(chat, name, "one of MINIMAL, LOW, MEDIUM, HIGH, "
                            "XHIGH", error);
    }
    clb_chat_give(chat, CLB_EFFORT, name);
    return APR_SUCCESS;
}

static apr_status_t take_thoughts(clb_chat_t *chat, const char *name,
                                  const clb_json_t *value, clb_error_t *error)
{
    if (!clb_json_is_bool(value)) {
        return clb_take_bad(chat, name, "a boolean", error);
    }
    chat->quiet = !clb_json_true(value);
    return APR_SUCCESS;
}

static apr_status_t take_thinking(clb_chat_t *chat, const char *name,
                                  const clb_json_t *value, clb_error_t *error)
{
    static const clb_take_t members[] = {
        { "thinkingBudget", take_budget },
        { "thinkingLevel", take_level },
        { "includeThoughts", take_thoughts },
        { NULL, NULL }
    };

    return clb_gemini_fields(chat, name, value, members, error);
}

/* A schema says more than the type, so it comes after it. */
static apr_status_t take_config(clb_chat_t *chat, const char *name,
                                const clb_json_t *value, clb_error_t *error)
{
    static const clb_take_t members[] = {
        { "temperature", take_temperature },
        { "topP", clb_take_top_p },
        { "topK", clb_take_top_k },
        { "maxOutputTokens", clb_take_max_tokens },
        { "stopSequences", take_stops },
        { "candidateCount", clb_take_one },
        { "responseMimeType", take_type },
        { "responseSchema", take_schema },
        { "responseJsonSchema", take_json_schema },
        { "responseFormat", clb_take_refused },
        { "thinkingConfig", take_thinking },
        { "seed", take_seed },
        { "presencePenalty", clb_take_ignored },
        { "frequencyPenalty", clb_take_ignored },
        { "responseLogprobs", clb_take_refused },
        { "logprobs", clb_take_refused },
        { "responseModalities", take_modalities },
        { "speechConfig", clb_take_refused },
        { "imageConfig", clb_take_refused },
        { "mediaResolution", clb_take_ignored },
        { "routingConfig", clb_take_ignored },
        { "modelSelectionConfig", clb_take_ignored },
        { "audioTimestamp", clb_take_ignored },
        { "enableAffectiveDialog", clb_take_ignored },
        { "translationConfig", clb_take_refused },
        { NULL, NULL }
    };

    return clb_gemini_fields(chat, name, value, members, error);
}

/* --- requests --- */

/* The choice is among the tools, so they come first. `labels` and its like ask
 * for nothing a client could miss. */
static const clb_take_t fields[] = {
    { "systemInstruction", clb_gemini_system },
    { "generationConfig", take_config },
    { "tools", clb_gemini_tools },
    { "toolConfig", clb_gemini_tool_config },
    { "cachedContent", clb_take_refused },
    { "continuationToken", clb_take_refused },
    { "safetySettings", clb_take_ignored },
    { "modelArmorConfig", clb_take_ignored },
    { "serviceTier", clb_take_ignored },
    { "store", clb_take_ignored },
    { NULL, NULL }
};

/* Thoughts are shown to those who ask for them. */
static apr_status_t parse(clb_chat_t *chat, const clb_json_t *body,
                          clb_error_t *error)
{
    apr_status_t rv;

    chat->quiet = 1;
    rv = clb_gemini_fields(chat, "", body, fields, error);
    return rv != APR_SUCCESS ? rv : clb_gemini_contents(chat, body, error);
}

static apr_status_t parse_stream(clb_chat_t *chat, const clb_json_t *body,
                                 clb_error_t *error)
{
    chat->stream = 1;
    return parse(chat, body, error);
}

/* The contents alone, or all of a request. */
static apr_status_t parse_count(clb_chat_t *chat, const clb_json_t *body,
                                clb_error_t *error)
{
    const clb_json_t *whole = clb_gemini_get(body, "generateContentRequest");

    return parse(chat, whole != NULL ? whole : body, error);
}

static void count(clb_buf_t *out, apr_int64_t tokens)
{
    clb_json_write(out, clb_json_pack(out->pool, "{s:I}", "totalTokens",
                                      (long long)tokens));
}

static clb_json_t *model(const char *id, const char *owner, apr_time_t since,
                         apr_pool_t *pool)
{
    return clb_json_pack(pool, "{s:s, s:s, s:[s, s, s]}",
        "name", apr_pstrcat(pool, "models/", id, NULL), "displayName", id,
        "supportedGenerationMethods", "generateContent",
        "streamGenerateContent", "countTokens");
}

/* All of them are on the one page. */
static clb_json_t *models(const clb_json_t *list, apr_pool_t *pool)
{
    return clb_json_pack(pool, "{s:O}", "models", list);
}

const clb_dialect_t clb_gemini = {
    .name = "gemini",
    .id_prefix = "",
    .thinks = 1,
    .parse = parse,
    .whole = clb_gemini_whole,
    .error_body = clb_gemini_error_body,
    .model = model,
    .models = models,
};

const clb_dialect_t clb_gemini_stream = {
    .name = "gemini-stream",
    .id_prefix = "",
    .thinks = 1,
    .parse = parse_stream,
    .begin = clb_gemini_begin,
    .event = clb_gemini_event,
    .error = clb_gemini_error,
    .comment = clb_gemini_comment,
    .error_body = clb_gemini_error_body,
};

const clb_dialect_t clb_gemini_array = {
    .name = "gemini-array",
    .id_prefix = "",
    .thinks = 1,
    .type = "application/json",
    .parse = parse_stream,
    .begin = clb_gemini_begin,
    .event = clb_gemini_item,
    .error = clb_gemini_item_error,
    .comment = clb_gemini_comment,
    .error_body = clb_gemini_error_body,
};

const clb_dialect_t clb_gemini_count = {
    .name = "gemini-count",
    .parse = parse_count,
    .error_body = clb_gemini_error_body,
    .count = count,
};
