/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /v1/responses/compact: a long conversation made short. The model writes
 * a summary, which stands in an item that clients send back in the place of
 * everything but what the user said. Sources: OpenAI's OpenAPI document 2.3.0,
 * Open Responses.
 */
#include "responses.h"

#include <apr_strings.h>
#include <string.h>

#define WISH "Write a summary of our conversation so far, for someone who is " \
    "to go on with it and will read nothing else of it but what I said: what " \
    "was asked for, found, decided and done, what is still to be done, and " \
    "every name, number, path and rule that matters for that. Write the " \
    "summary alone."

static apr_status_t parse(clb_chat_t *chat, const clb_json_t *body,
                          clb_error_t *error)
{
    apr_status_t rv = clb_responses_parse(chat, body, error);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    chat->stream = chat->stored = chat->background = 0;
    chat->choice = CLB_CHOICE_NONE;
    chat->tools = apr_array_make(chat->pool, 1, sizeof(clb_tool_t));
    chat->format = CLB_FORMAT_TEXT;
    clb_chat_part(clb_chat_message(chat, CLB_ROLE_USER), CLB_PART_TEXT, WISH);
    return APR_SUCCESS;
}

static int is_user(const clb_json_t *item)
{
    const char *role = clb_json_get_string(item, "role");

    return role != NULL && strcmp(role, "user") == 0;
}

static void whole(clb_reply_t *reply)
{
    apr_pool_t *pool = reply->pool;
    const clb_json_t *items = reply->chat->items;
    const char *unique = reply->id + sizeof("resp_") - 1;
    clb_json_t *output = clb_json_pack(pool, "[]");
    apr_size_t i;

    for (i = 0; i < clb_json_size(items); i++) {
        if (is_user(clb_json_at(items, i))) {
            clb_json_append(output, clb_responses_item(clb_json_at(items, i),
                apr_psprintf(pool, "msg_%s_%" APR_SIZE_T_FMT, unique, i),
                pool));
        }
    }
    clb_json_append(output, clb_json_pack(pool, "{s:s, s:s, s:s}", "id",
        apr_pstrcat(pool, "cmp_", unique, NULL), "type", "compaction",
        "encrypted_content", apr_pstrcat(pool, CLB_RESPONSES_SUMMARY,
                                         reply->text.data, NULL)));
    clb_json_write(&reply->out, clb_json_pack(pool,
        "{s:s, s:s, s:I, s:O, s:O}", "id", reply->id, "object",
        "response.compaction", "created_at", (long long)reply->created,
        "output", output, "usage", clb_responses_usage(reply)));
}

const clb_dialect_t clb_openai_compact = {
    .name = "openai-compact",
    .id_prefix = "resp_",
    .thinks = 1,
    .parse = parse,
    .recall = clb_responses_recall,
    .whole = whole,
    .error_body = clb_openai_error_body,
};
