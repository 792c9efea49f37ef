/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conversation of the Gemini API. Clients often leave the ids of calls out,
 * so a result is that of the first call of its name that has none. Thoughts are
 * left out, with or without a signature: it would be one of the vendor's, which
 * no other knows.
 */
#include "gemini.h"

#include "../core/media.h"
#include "place.h"

#include <apr_strings.h>
#include <string.h>

#define CALLS_MAX 512

typedef struct where_t {
    const char *path;
    clb_role_e role;
} where_t;

static apr_status_t wrong(const clb_place_t *at, const where_t *where,
                          const char *what)
{
    return clb_place_bad(at, CLB_BAD_REQUEST, where->path, what);
}

/* --- media --- */

/* Base64 as protocol buffers take it: also that for URLs, and without padding.
 * The vendor's SDK for Python sends the former. */
static const char *plain_base64(const char *data, apr_pool_t *pool)
{
    apr_size_t len = strlen(data), i;
    char *copy;

    if (data[strcspn(data, "-_")] == '\0' && len % 4 == 0) {
        return data;
    }
    copy = apr_palloc(pool, len + 4);
    memcpy(copy, data, len);
    for (i = 0; i < len; i++) {
        copy[i] = copy[i] == '-' ? '+' : copy[i] == '_' ? '/' : copy[i];
    }
    while (len % 4 != 0) {
        copy[len++] = '=';
    }
    copy[len] = '\0';
    return copy;
}

static apr_status_t take_inline(clb_place_t *at, clb_message_t *message,
                                const where_t *where, const clb_json_t *json)
{
    const char *media = clb_gemini_string(json, "mimeType");
    const char *data = clb_gemini_string(json, "data");
    clb_part_t part = { .name = clb_gemini_string(json, "displayName") };
    apr_status_t rv;

    if (media == NULL || data == NULL) {
        return wrong(at, where, "must have its mimeType and data");
    }
    part.kind = strncasecmp(media, "image/", 6) == 0 ? CLB_PART_IMAGE
                                                     : CLB_PART_DOCUMENT;
    media = apr_pstrmemdup(at->chat->pool, media, strcspn(media, "; "));
    if ((rv = clb_place_must_be(at, where->path, clb_media_take(&part, media,
             plain_base64(data, at->chat->pool), at->chat->pool)))
        == APR_SUCCESS
        && (rv = clb_place_count(at, where->path)) == APR_SUCCESS) {
        APR_ARRAY_PUSH(message->parts, clb_part_t) = part;
    }
    return rv;
}

static apr_status_t take_file(clb_place_t *at, clb_message_t *message,
                              const where_t *where, const clb_json_t *json)
{
    return clb_place_bad(at, CLB_UNSUPPORTED, where->path, "is a file by its "
                         "URI: this server stores and fetches none; send "
                         "inlineData");
}

/* --- calls and results --- */

/* An id for the call of @a name, one for each call of the message. */
static const char *made_up(const clb_place_t *at, const clb_message_t *message,
                           const char *name)
{
    return apr_psprintf(at->chat->pool, "%s-%" APR_SIZE_T_FMT "-%d", name,
                        at->message, message->parts->nelts);
}

static apr_status_t take_call(clb_place_t *at, clb_message_t *message,
                              const where_t *where, const clb_json_t *json)
{
    const char *name = clb_gemini_string(json, "name");
    const char *id = clb_gemini_string(json, "id");
    const clb_json_t *args = clb_gemini_get(json, "args");
    clb_part_t *part;

    if (where->role != CLB_ROLE_ASSISTANT) {
        return wrong(at, where, "must stand in a content of the model");
    }
    if (name == NULL || *name == '\0'
        || (args != NULL && !clb_json_is_object(args))) {
        return wrong(at, where, "must have the name of a function, and an "
                     "object as its args");
    }
    if (id == NULL || *id == '\0') {
        id = made_up(at, message, name);
    }
    if (clb_chat_find(message, CLB_PART_CALL, id) >= 0) {
        return wrong(at, where, "has the id of another call");
    }
    if (at->calls->nelts == CALLS_MAX) {
        return wrong(at, where, "is one call too many: there may be 512");
    }
    part = clb_chat_part(message, CLB_PART_CALL, args == NULL ? "{}"
                         : clb_json_text(at->chat->pool, args));
    part->id = id;
    part->name = name;
    APR_ARRAY_PUSH(at->calls, clb_part_t) = *part;
    return APR_SUCCESS;
}

/* The id of the call that a result is of, which awaits none any more: the one
 * called @a id, or else the first of @a name. NULL if there is none. */
static const char *awaited(clb_place_t *at, const char *id, const char *name)
{
    clb_part_t *first = NULL;
    int i;

    for (i = 0; i < at->calls->nelts; i++) {
        clb_part_t *call = &APR_ARRAY_IDX(at->calls, i, clb_part_t);

        if (call->id == NULL) {
            continue;
        }
        if (id != NULL && strcmp(call->id, id) == 0) {
            first = call;
            break;
        }
        if (first == NULL && name != NULL && strcmp(call->name, name) == 0) {
            first = call;
        }
    }
    id = first == NULL ? NULL : first->id;
    if (first != NULL) {
        first->id = NULL;
    }
    return id;
}

static const char *text_of(const clb_json_t *json, apr_pool_t *pool)
{
    const char *text = clb_json_string(json);

    return text != NULL ? text : clb_json_text(pool, json);
}

/* What the function gave is in `output`, and why it failed in `error`; where
 * neither is, all of it is what it gave. */
static const char *said(const clb_json_t *response, int *failed,
                        apr_pool_t *pool)
{
    const clb_json_t *output = clb_json_get(response, "output");
    const clb_json_t *error = clb_json_get(response, "error");

    *failed = error != NULL;
    return error != NULL && output != NULL ? clb_json_text(pool, response)
         : error != NULL ? text_of(error, pool)
         : output != NULL ? text_of(output, pool)
         : clb_json_text(pool, response);
}

/* What else it gave: images and documents. */
static apr_status_t take_more(clb_place_t *at, clb_message_t *result,
                              const where_t *where, const clb_json_t *parts)
{
    apr_status_t rv = APR_SUCCESS;
    apr_size_t i;

    for (i = 0; i < clb_gemini_size(parts) && rv == APR_SUCCESS; i++) {
        const clb_json_t *part = clb_gemini_at(parts, i);
        const clb_json_t *data = clb_gemini_get(part, "inlineData");
        where_t inside = { clb_place_item(at, apr_pstrcat(at->chat->pool,
            where->path, ".functionResponse.parts", NULL), i), where->role };

        rv = data != NULL ? take_inline(at, result, &inside, data)
           : clb_gemini_get(part, "fileData") != NULL
             ? take_file(at, result, &inside, part)
             : wrong(at, &inside, "must have inlineData");
    }
    return rv;
}

static apr_status_t take_result(clb_place_t *at, clb_message_t *message,
                                const where_t *where, const clb_json_t *json)
{
    const clb_json_t *response = clb_gemini_get(json, "response");
    const char *id;
    clb_message_t more = { CLB_ROLE_USER,
        apr_array_make(at->chat->pool, 1, sizeof(clb_part_t)) };
    clb_part_t *part;
    int failed = 0;
    apr_status_t rv;

    if (where->role != CLB_ROLE_USER) {
        return wrong(at, where, "must stand in a content of the user");
    }
    id = awaited(at, clb_gemini_string(json, "id"),
                 clb_gemini_string(json, "name"));
    if (id == NULL) {
        return wrong(at, where, "must have the name of a function that the "
                     "content before calls, and of whose calls one has no "
                     "other result");
    }
    if (response != NULL && !clb_json_is_object(response)) {
        return wrong(at, where, "must have an object as its response");
    }
    if (response != NULL) {
        clb_chat_part(&more, CLB_PART_TEXT, said(response, &failed,
                                                 at->chat->pool));
    }
    rv = take_more(at, &more, where, clb_gemini_get(json, "parts"));
    part = clb_chat_part(message, CLB_PART_RESULT, NULL);
    part->id = id;
    part->parts = more.parts;
    part->failed = failed;
    return rv;
}

/* --- parts --- */

static const struct {
    const char *name;
    apr_status_t (*take)(clb_place_t *at, clb_message_t *message,
                         const where_t *where, const clb_json_t *json);
} kinds[] = {
    { "inlineData", take_inline },
    { "fileData", take_file },
    { "functionCall", take_call },
    { "functionResponse", take_result },
};

#define KINDS (sizeof(kinds) / sizeof(*kinds))

/* What a signature alone says is nothing to anybody here. */
static int says_nothing(const clb_json_t *json)
{
    return clb_gemini_get(json, "thoughtSignature") != NULL
        || clb_gemini_get(json, "thought") != NULL;
}

static const char *vendors(const clb_json_t *json)
{
    static const char *const names[] = {
        "executableCode", "codeExecutionResult", "toolCall", "toolResponse",
        NULL
    };
    int i;

    for (i = 0; names[i] != NULL; i++) {
        if (clb_gemini_get(json, names[i]) != NULL) {
            break;
        }
    }
    return names[i];
}

static apr_status_t take_part(clb_place_t *at, clb_message_t *message,
                              const where_t *where, const clb_json_t *json)
{
    const clb_json_t *text = clb_gemini_get(json, "text");
    const char *vendor = vendors(json);
    apr_size_t i;

    if (clb_json_is_string(text)) {
        clb_chat_part(message, clb_json_true(clb_gemini_get(json, "thought"))
                      ? CLB_PART_REASONING : CLB_PART_TEXT,
                      clb_json_string(text));
        return APR_SUCCESS;
    }
    for (i = 0; i < KINDS; i++) {
        const clb_json_t *value = clb_gemini_get(json, kinds[i].name);

        if (value != NULL) {
            return kinds[i].take(at, message, where, value);
        }
    }
    if (vendor != NULL) {
        return clb_place_bad(at, CLB_UNSUPPORTED, where->path, apr_pstrcat(
            at->chat->pool, "is of a tool of the vendor's (", vendor, "), "
            "which a CLI cannot be told", NULL));
    }
    return text == NULL && says_nothing(json) ? APR_SUCCESS
         : wrong(at, where, "must have text, inlineData, functionCall or "
                 "functionResponse");
}

static int is_result(const clb_json_t *part)
{
    return clb_gemini_get(part, "functionResponse") != NULL;
}

/* The parts of one kind: @a results or all others. */
static apr_status_t take_parts(clb_place_t *at, const clb_json_t *parts,
                               int results)
{
    clb_message_t *message = &APR_ARRAY_IDX(at->chat->messages,
        at->chat->messages->nelts - 1, clb_message_t);
    apr_status_t rv = APR_SUCCESS;
    apr_size_t i;

    for (i = 0; i < clb_gemini_size(parts) && rv == APR_SUCCESS; i++) {
        const clb_json_t *part = clb_gemini_at(parts, i);
        where_t where = { clb_place_item(at, ".parts", i), message->role };

        if (is_result(part) == results) {
            rv = take_part(at, message, &where, part);
        }
    }
    return rv;
}

/* Clients keep each piece of a stream as a content of its own: together they
 * are one message. */
static void begin_model(clb_place_t *at)
{
    const apr_array_header_t *messages = at->chat->messages;

    if (messages->nelts == 0
        || APR_ARRAY_IDX(messages, messages->nelts - 1, clb_message_t).role
           != CLB_ROLE_ASSISTANT) {
        clb_chat_message(at->chat, CLB_ROLE_ASSISTANT);
        apr_array_clear(at->calls);
    }
}

/* Results come first, wherever the client put them; behind anything else there
 * are none. */
static apr_status_t take_user(clb_place_t *at, const clb_json_t *parts)
{
    const clb_message_t *message = clb_chat_message(at->chat, CLB_ROLE_USER);
    const apr_array_header_t *taken = message->parts;
    apr_status_t rv = take_parts(at, parts, 1);
    int results = taken->nelts;

    if (rv == APR_SUCCESS) {
        rv = take_parts(at, parts, 0);
    }
    if (taken->nelts > results) {
        apr_array_clear(at->calls);
    }
    return rv;
}

static apr_status_t take_content(clb_place_t *at, const clb_json_t *json)
{
    const clb_json_t *role = clb_gemini_get(json, "role");
    const clb_json_t *parts = clb_gemini_get(json, "parts");
    const char *name = role == NULL ? "" : clb_json_string(role);
    apr_status_t rv;

    if (at->calls == NULL) {
        at->calls = apr_array_make(at->chat->pool, 4, sizeof(clb_part_t));
    }
    if (!clb_json_is_object(json)) {
        return clb_place_must_be(at, "", "an object with parts");
    }
    if (name != NULL && strcmp(name, "model") == 0) {
        begin_model(at);
        rv = take_parts(at, parts, 1);
        return rv != APR_SUCCESS ? rv : take_parts(at, parts, 0);
    }
    return name != NULL && (*name == '\0' || strcmp(name, "user") == 0
                            || strcmp(name, "function") == 0)
         ? take_user(at, parts)
         : clb_place_must_be(at, ".role", "user or model");
}

apr_status_t clb_gemini_contents(clb_chat_t *chat, const clb_json_t *body,
                                 clb_error_t *error)
{
    const clb_json_t *contents = clb_gemini_get(body, "contents");
    apr_status_t rv;

    if (clb_json_is_object(contents)) {
        contents = clb_json_pack(chat->pool, "[O]", contents);
    }
    rv = clb_place_messages(chat, "contents", contents, take_content, error);
    chat->prefill = clb_place_begun(chat);
    return rv;
}

apr_status_t clb_gemini_system(clb_chat_t *chat, const char *name,
                               const clb_json_t *value, clb_error_t *error)
{
    const clb_json_t *parts = clb_gemini_get(value, "parts");
    apr_size_t i;

    if (!clb_json_is_object(value)) {
        return clb_take_bad(chat, name, "a content, an object with parts",
                            error);
    }
    for (i = 0; i < clb_gemini_size(parts); i++) {
        const char *text = clb_gemini_string(clb_gemini_at(parts, i), "text");

        if (text == NULL) {
            return clb_take_wrong(chat, apr_psprintf(chat->pool, "%s.parts[%"
                                  APR_SIZE_T_FMT "]", name, i),
                                  "must be a text", error);
        }
        clb_chat_system(chat, text);
    }
    return APR_SUCCESS;
}
