/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of a request, one by one: what is wrong where.
 */
#include "place.h"

#include "../core/media.h"

#include <apr_strings.h>

#define MESSAGES_MAX 20000

apr_status_t clb_place_bad(const clb_place_t *at, clb_error_e kind,
                           const char *path, const char *what)
{
    const char *param = apr_psprintf(at->chat->pool, "%s[%" APR_SIZE_T_FMT
                                     "]%s", at->chat->messages_name,
                                     at->message, path);

    return clb_error_set(at->error, at->chat->pool, kind, param, "%s %s",
                         param, what);
}

apr_status_t clb_place_must_be(const clb_place_t *at, const char *path,
                               const char *need)
{
    return need == NULL ? APR_SUCCESS
         : clb_place_bad(at, CLB_BAD_REQUEST, path, apr_pstrcat(
               at->chat->pool, "must be ", need, NULL));
}

const char *clb_place_item(const clb_place_t *at, const char *list,
                           apr_size_t i)
{
    return apr_psprintf(at->chat->pool, "%s[%" APR_SIZE_T_FMT "]", list, i);
}

apr_status_t clb_place_count(clb_place_t *at, const char *path)
{
    return ++at->media <= CLB_MEDIA_COUNT ? APR_SUCCESS
         : clb_place_bad(at, CLB_BAD_REQUEST, path, apr_psprintf(
               at->chat->pool, "is one too many: a request may have %d images "
               "and files", CLB_MEDIA_COUNT));
}

void clb_place_text(const clb_place_t *at, clb_message_t *message,
                    const char *text)
{
    if (message != NULL) {
        clb_chat_part(message, CLB_PART_TEXT, text);
    }
    else {
        clb_chat_system(at->chat, text);
    }
}

static apr_status_t check_answered(clb_chat_t *chat, clb_error_t *error)
{
    const char *unanswered = clb_chat_unanswered(chat);

    return unanswered == NULL ? APR_SUCCESS
         : clb_error_set(error, chat->pool, CLB_BAD_REQUEST,
                         chat->messages_name, "%s: the tool call '%s' must be "
                         "followed by its result, before any other message",
                         chat->messages_name, unanswered);
}

apr_status_t clb_place_messages(clb_chat_t *chat, const char *list,
                                const clb_json_t *messages,
                                clb_place_fn *take, clb_error_t *error)
{
    clb_place_t at = { chat, error, 0, 0, NULL };
    apr_status_t rv;

    chat->messages_name = list;
    if (!clb_json_is_array(messages) || clb_json_size(messages) == 0
        || clb_json_size(messages) > MESSAGES_MAX) {
        return clb_error_set(error, chat->pool, CLB_BAD_REQUEST, list,
                             "'%s' must be an array of 1 to %d messages", list,
                             MESSAGES_MAX);
    }
    for (; at.message < clb_json_size(messages); at.message++) {
        if ((rv = take(&at, clb_json_at(messages, at.message)))
            != APR_SUCCESS) {
            return rv;
        }
    }
    return check_answered(chat, error);
}

int clb_place_begun(const clb_chat_t *chat)
{
    int i, n = chat->messages->nelts;
    const clb_message_t *last = n == 0 ? NULL
        : &APR_ARRAY_IDX(chat->messages, n - 1, clb_message_t);

    if (last == NULL || last->role != CLB_ROLE_ASSISTANT) {
        return 0;
    }
    for (i = 0; i < last->parts->nelts; i++) {
        const clb_part_t *part = &APR_ARRAY_IDX(last->parts, i, clb_part_t);

        if (part->kind == CLB_PART_TEXT
            && part->text[clb_blanks(part->text)] != '\0') {
            return 1;
        }
    }
    return 0;
}
