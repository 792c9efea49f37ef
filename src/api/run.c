/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Direct runs: a prompt for a CLI, with arguments that its operator allows, and
 * what came of it as a shell would see it. Errors are OpenAI's.
 */
#include "openai.h"

#include <apr_strings.h>
#include <string.h>

#define BLANKS " \t\r\n\v\f"

static apr_status_t take_prompt(clb_chat_t *chat, const char *name,
                                const clb_json_t *value, clb_error_t *error)
{
    const char *text = clb_json_string(value);

    if (text == NULL) {
        return clb_take_bad(chat, name, "a string", error);
    }
    clb_chat_part(clb_chat_message(chat, CLB_ROLE_USER), CLB_PART_TEXT, text);
    return APR_SUCCESS;
}

static apr_status_t take_args(clb_chat_t *chat, const char *name,
                              const clb_json_t *value, clb_error_t *error)
{
    apr_size_t i, n = clb_json_size(value);

    for (i = 0; i < n && n <= CLB_ARGS_MAX; i++) {
        const char *word = clb_json_string(clb_json_at(value, i));

        if (word == NULL) {
            break;
        }
        APR_ARRAY_PUSH(chat->args, const char *) = word;
    }
    return clb_json_is_array(value) && i == n ? APR_SUCCESS
         : clb_take_bad(chat, name, apr_psprintf(chat->pool, "an array of at "
                        "most %d strings", CLB_ARGS_MAX), error);
}

static apr_status_t take_timeout(clb_chat_t *chat, const char *name,
                                 const clb_json_t *value, clb_error_t *error)
{
    chat->timeout = clb_json_number(value, 0);
    return chat->timeout > 0 ? APR_SUCCESS
         : clb_take_bad(chat, name, "a number of seconds, more than 0", error);
}

static apr_status_t take_clean(clb_chat_t *chat, const char *name,
                               const clb_json_t *value, clb_error_t *error)
{
    if (!clb_json_is_bool(value)) {
        return clb_take_bad(chat, name, "a boolean", error);
    }
    chat->verbatim = !clb_json_true(value);
    return APR_SUCCESS;
}

static const clb_take_t fields[] = {
    { "model", clb_take_model },
    { "prompt", take_prompt },
    { "args", take_args },
    { "timeout", take_timeout },
    { "clean", take_clean },
    { NULL, NULL }
};

static apr_status_t parse(clb_chat_t *chat, const clb_json_t *body,
                          clb_error_t *error)
{
    apr_status_t rv = clb_take_fields(chat, body, fields, error);

    return rv != APR_SUCCESS || chat->messages->nelts > 0 ? rv
         : clb_take_bad(chat, "prompt", "a string", error);
}

static const char *trimmed(const char *text, apr_pool_t *pool)
{
    const char *end = text + strlen(text);

    text += strspn(text, BLANKS);
    while (end > text && strchr(BLANKS, end[-1]) != NULL) {
        end--;
    }
    return apr_pstrmemdup(pool, text, (apr_size_t)(end - text));
}

static void whole(clb_reply_t *reply)
{
    const char *text = reply->text.data, *said = reply->exit.said;
    int verbatim = reply->chat->verbatim;

    clb_json_write(&reply->out, clb_json_pack(reply->pool,
        "{s:s, s:s?, s:s?, s:i}",
        "output", verbatim ? text : trimmed(text, reply->pool),
        "stdout", verbatim ? text : NULL,
        "stderr", !verbatim ? NULL : said == NULL ? "" : said,
        "returncode", reply->exit.status));
}

const clb_dialect_t clb_direct_run = {
    .name = "run",
    .id_prefix = "run_",
    .exits = 1,
    .parse = parse,
    .whole = whole,
    .error_body = clb_openai_error_body,
};
