/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings of a session that Gemini CLI and Qwen Code read from a file of its
 * directory: how parameters of a request reach the model.
 */
#include "acp.h"

#include <apr_lib.h>
#include <string.h>

static void set_number(clb_json_t *to, const char *name, double value,
                       apr_pool_t *pool)
{
    clb_json_set(to, name, clb_json_pack(pool, "f", value));
}

static void set_integer(clb_json_t *to, const char *name, apr_int64_t value,
                        apr_pool_t *pool)
{
    clb_json_set(to, name, clb_json_pack(pool, "I", (long long)value));
}

void clb_acp_sampling(clb_json_t *to, const clb_chat_t *chat,
                      const char *const names[4], apr_pool_t *pool)
{
    if (clb_chat_given(chat, CLB_TEMPERATURE)) {
        set_number(to, names[0], chat->temperature, pool);
    }
    if (clb_chat_given(chat, CLB_TOP_P)) {
        set_number(to, names[1], chat->top_p, pool);
    }
    if (clb_chat_given(chat, CLB_TOP_K)) {
        set_integer(to, names[2], chat->top_k, pool);
    }
    if (clb_chat_given(chat, CLB_MAX_TOKENS)) {
        set_integer(to, names[3], chat->max_tokens, pool);
    }
}

clb_json_t *clb_acp_schema(const clb_chat_t *chat, apr_pool_t *pool)
{
    clb_json_t *schema;
    const char *why;

    return chat->format == CLB_FORMAT_SCHEMA
        && clb_json_parse(&schema, chat->schema, strlen(chat->schema),
                          CLB_JSON_LENIENT, &why, pool) == APR_SUCCESS
         ? schema : NULL;
}

/* The CLIs put variables of their environment, keys among them, in the place of
 * their names in the texts of settings. "#/$defs/..." is where schemas refer
 * to. */
static int names_variable(const char *text)
{
    while ((text = strchr(text, '$')) != NULL) {
        text++;
        if (strncmp(text, "defs/", 5) != 0
            && (*text == '{' || *text == '_' || apr_isalnum(*text))) {
            return 1;
        }
    }
    return 0;
}

static int has_variable(const clb_json_t *json)
{
    const char *text = clb_json_string(json), *key;
    int found = text != NULL && names_variable(text);
    clb_json_t *value;
    void *at = NULL;
    apr_size_t i;

    for (i = 0; clb_json_is_array(json) && i < clb_json_size(json); i++) {
        found = found || has_variable(clb_json_at(json, i));
    }
    while (clb_json_is_object(json)
           && (at = clb_json_next(json, at, &key, &value)) != NULL) {
        found = found || has_variable(value);
    }
    return found;
}

const char *clb_acp_refusal(const clb_json_t *settings)
{
    return has_variable(settings) ? "the CLI would take a '$' of the schema or "
        "of the model's name for a variable's" : NULL;
}
