/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of chat completions: texts, images, files, tool calls and their
 * results. Forms of OpenAI's Responses API and of Anthropic's, which clients
 * mix in, are taken where they mean the same.
 */
#include "openai_chat.h"

#include "../core/media.h"
#include "place.h"

#include <apr_strings.h>
#include <string.h>

#define CALLS_MAX 512

static apr_status_t add_media(clb_place_t *at, clb_message_t *message,
                              const char *path, const clb_part_t *part,
                              const char *need)
{
    apr_status_t rv;

    if (message == NULL) {
        return clb_place_bad(at, CLB_BAD_REQUEST, path, "cannot stand in a "
                             "system message");
    }
    if ((rv = clb_place_must_be(at, path, need)) == APR_SUCCESS
        && (rv = clb_place_count(at, path)) == APR_SUCCESS) {
        APR_ARRAY_PUSH(message->parts, clb_part_t) = *part;
    }
    return rv;
}

static apr_status_t take_image(clb_place_t *at, clb_message_t *message,
                               const char *path, const clb_json_t *json)
{
    const clb_json_t *image = clb_json_get(json, "image_url");
    const char *url = clb_json_string(image);
    clb_part_t part = { .kind = CLB_PART_IMAGE };

    if (url == NULL) {
        url = clb_json_get_string(image, "url");
    }
    return add_media(at, message, path, &part, url == NULL
        ? "given by its data: URL"
        : clb_media_take_url(&part, url, at->chat->pool));
}

static apr_status_t take_file(clb_place_t *at, clb_message_t *message,
                              const char *path, const clb_json_t *json)
{
    const clb_json_t *file = clb_json_get(json, "file");
    const clb_json_t *data, *url;
    const char *need = "given by its data: URL";
    clb_part_t part = { .kind = CLB_PART_DOCUMENT };

    file = clb_json_is_object(file) ? file : json;
    data = clb_json_get(file, "file_data");
    url = clb_json_get(file, "file_url");
    part.name = clb_json_get_string(file, "filename");
    if (data == NULL && url == NULL) {
        return clb_place_bad(at, CLB_UNSUPPORTED, path, "must have file_data, "
                             "a data: URL, or a file_url: this server stores "
                             "no files");
    }
    if (clb_json_is_string(data)) {
        need = clb_media_take_url(&part, clb_json_string(data),
                                  at->chat->pool);
    }
    else if (clb_json_is_string(url)) {
        need = clb_media_take_link(&part, clb_json_string(url));
    }
    return add_media(at, message, path, &part, need);
}

/* What a part's type says about it. */
static int is_one_of(const char *type, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (strcmp(*names, type) == 0) {
            return 1;
        }
    }
    return 0;
}

static apr_status_t take_typed(clb_place_t *at, clb_message_t *message,
                               const char *path, const clb_json_t *part,
                               const char *type)
{
    static const char *const texts[] = {
        "text", "input_text", "output_text", "refusal", NULL
    };
    static const char *const thoughts[] = {
        "thinking", "reasoning", "redacted_thinking", NULL
    };
    const char *text = clb_json_get_string(part, *type == 'r' ? "refusal"
                                                              : "text");

    if (is_one_of(type, thoughts)) {
        return APR_SUCCESS;
    }
    if (is_one_of(type, texts)) {
        if (text == NULL) {
            return clb_place_bad(at, CLB_BAD_REQUEST, path, "must have a text");
        }
        clb_place_text(at, message, text);
        return APR_SUCCESS;
    }
    if (strcmp(type, "image_url") == 0 || strcmp(type, "input_image") == 0) {
        return take_image(at, message, path, part);
    }
    if (strcmp(type, "file") == 0 || strcmp(type, "input_file") == 0) {
        return take_file(at, message, path, part);
    }
    return clb_place_bad(at, CLB_UNSUPPORTED, path, apr_pstrcat(
                         at->chat->pool, "has the type '", type, "'; the CLIs "
                         "take text, images and files, no sound and no film",
                         NULL));
}

static apr_status_t take_part(clb_place_t *at, clb_message_t *message,
                              const char *path, const clb_json_t *part)
{
    const char *type = clb_json_get_string(part, "type");

    if (clb_json_is_string(part)) {
        clb_place_text(at, message, clb_json_string(part));
        return APR_SUCCESS;
    }
    return type == NULL
         ? clb_place_bad(at, CLB_BAD_REQUEST, path, "must be a part with a "
                         "type")
         : take_typed(at, message, path, part, type);
}

apr_status_t clb_openai_content(clb_place_t *at, clb_message_t *message,
                                const char *path, const clb_json_t *content)
{
    apr_size_t i;
    apr_status_t rv;

    if (content == NULL) {
        return APR_SUCCESS;
    }
    if (clb_json_is_string(content)) {
        clb_place_text(at, message, clb_json_string(content));
        return APR_SUCCESS;
    }
    if (!clb_json_is_array(content)) {
        return clb_place_must_be(at, path, "a string or an array of parts");
    }
    for (i = 0; i < clb_json_size(content); i++) {
        if ((rv = take_part(at, message, clb_place_item(at, path, i),
                            clb_json_at(content, i))) != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}

/* They should be an object in a string; some clients send the object itself. */
const char *clb_openai_arguments(const clb_json_t *value, apr_pool_t *pool)
{
    return clb_json_is_object(value) ? clb_json_text(pool, value)
         : clb_chat_arguments(clb_json_string(value), pool);
}

const char *clb_openai_input(const clb_json_t *custom, apr_pool_t *pool)
{
    const char *text = clb_json_get_string(custom, "input");

    return clb_json_text(pool, clb_json_pack(pool, "{s:s}", "input",
                                             text == NULL ? "" : text));
}

apr_status_t clb_openai_call(const clb_place_t *at, clb_message_t *message,
                             const char *path, const clb_part_t *call)
{
    if (call->id == NULL || *call->id == '\0' || call->name == NULL
        || *call->name == '\0') {
        return clb_place_bad(at, CLB_BAD_REQUEST, path, "must have an id and "
                             "the name of a function");
    }
    if (clb_chat_find(message, CLB_PART_CALL, call->id) >= 0) {
        return clb_place_bad(at, CLB_BAD_REQUEST, path, "has the id of "
                             "another call");
    }
    APR_ARRAY_PUSH(message->parts, clb_part_t) = *call;
    return APR_SUCCESS;
}

static apr_status_t take_call(const clb_place_t *at, clb_message_t *message,
                              const clb_json_t *json, apr_size_t i)
{
    const clb_json_t *custom = clb_json_get(json, "custom");
    const clb_json_t *function = clb_json_get(json, "function");
    const clb_json_t *what = custom != NULL ? custom
                           : function != NULL ? function : json;
    clb_part_t call = { .kind = CLB_PART_CALL };

    call.id = clb_json_get_string(json, "id");
    call.name = clb_json_get_string(what, "name");
    call.text = custom != NULL ? clb_openai_input(custom, at->chat->pool)
        : clb_openai_arguments(clb_json_get(what, "arguments"),
                               at->chat->pool);
    return clb_openai_call(at, message, clb_place_item(at, ".tool_calls", i),
                           &call);
}

/* The older form: a call without an id, one in a message. Its result names
 * the function, so that is the id. */
static apr_status_t take_function_call(const clb_place_t *at,
                                       clb_message_t *message,
                                       const clb_json_t *call)
{
    const char *name = clb_json_get_string(call, "name");
    clb_part_t *part;

    if (name == NULL || *name == '\0') {
        return clb_place_bad(at, CLB_BAD_REQUEST, ".function_call", "must "
                             "have a name");
    }
    part = clb_chat_part(message, CLB_PART_CALL, clb_openai_arguments(
        clb_json_get(call, "arguments"), at->chat->pool));
    part->id = part->name = name;
    return APR_SUCCESS;
}

static apr_status_t take_assistant(clb_place_t *at, const clb_json_t *json)
{
    clb_message_t *message = clb_chat_message(at->chat, CLB_ROLE_ASSISTANT);
    const char *reasoning = clb_json_get_string(json, "reasoning_content");
    const clb_json_t *calls = clb_json_get(json, "tool_calls");
    const clb_json_t *call = clb_json_get(json, "function_call");
    apr_status_t rv;
    apr_size_t i;

    if (reasoning != NULL) {
        clb_chat_part(message, CLB_PART_REASONING, reasoning);
    }
    if (clb_json_size(calls) > CALLS_MAX) {
        return clb_place_bad(at, CLB_BAD_REQUEST, ".tool_calls", "must be at "
                             "most 512 calls");
    }
    rv = clb_openai_content(at, message, ".content",
                            clb_json_get(json, "content"));
    for (i = 0; i < clb_json_size(calls) && rv == APR_SUCCESS; i++) {
        rv = take_call(at, message, clb_json_at(calls, i), i);
    }
    return rv == APR_SUCCESS && call != NULL
         ? take_function_call(at, message, call) : rv;
}

apr_status_t clb_openai_result(clb_place_t *at, const clb_json_t *json,
                               const char *key, const char *said)
{
    const char *id = clb_json_get_string(json, key);
    clb_message_t content = { CLB_ROLE_USER,
        apr_array_make(at->chat->pool, 1, sizeof(clb_part_t)) };
    clb_part_t *part;
    apr_status_t rv;

    if (id == NULL || !clb_chat_expects(at->chat, id)) {
        return clb_place_bad(at, CLB_BAD_REQUEST, apr_pstrcat(at->chat->pool,
                             ".", key, NULL), "must be that of a call in the "
                             "assistant message before, which has no other "
                             "result");
    }
    rv = clb_openai_content(at, &content, apr_pstrcat(at->chat->pool, ".",
                            said, NULL), clb_json_get(json, said));
    part = clb_chat_part(clb_chat_message(at->chat, CLB_ROLE_USER),
                         CLB_PART_RESULT, NULL);
    part->id = id;
    part->parts = content.parts;
    return rv;
}

static apr_status_t take_message(clb_place_t *at, const clb_json_t *json)
{
    const char *role = clb_json_get_string(json, "role");
    const clb_json_t *content = clb_json_get(json, "content");

    if (role == NULL) {
        return clb_place_bad(at, CLB_BAD_REQUEST, ".role", "must be a string");
    }
    if (strcmp(role, "system") == 0 || strcmp(role, "developer") == 0) {
        return clb_openai_content(at, NULL, ".content", content);
    }
    if (strcmp(role, "user") == 0) {
        return clb_openai_content(at, clb_chat_message(at->chat,
                                  CLB_ROLE_USER), ".content", content);
    }
    if (strcmp(role, "assistant") == 0) {
        return take_assistant(at, json);
    }
    if (strcmp(role, "tool") == 0) {
        return clb_openai_result(at, json, "tool_call_id", "content");
    }
    if (strcmp(role, "function") == 0) {
        return clb_openai_result(at, json, "name", "content");
    }
    return clb_place_bad(at, CLB_BAD_REQUEST, ".role", "must be one of system, "
                         "developer, user, assistant, tool, function");
}

apr_status_t clb_openai_messages(clb_chat_t *chat, const clb_json_t *body,
                                 clb_error_t *error)
{
    return clb_place_messages(chat, "messages", clb_json_get(body, "messages"),
                              take_message, error);
}
