/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conversation of Messages. Each kind of block has its taker and the places
 * where it may stand. Marks for the vendor's cache are left out: the CLI sets
 * its own.
 */
#include "anthropic.h"

#include "../core/media.h"
#include "place.h"

#include <apr_strings.h>
#include <string.h>

/* Where a block stands. */
#define IN_SYSTEM    1u
#define IN_USER      2u
#define IN_ASSISTANT 4u
#define IN_RESULT    8u

typedef struct block_t {
    const char *path;
    const clb_json_t *json;
    unsigned where;
} block_t;

static apr_status_t take_blocks(clb_place_t *at, clb_message_t *message,
                                unsigned where, const char *path,
                                const clb_json_t *content);

static apr_status_t wrong(const clb_place_t *at, const block_t *block,
                          const char *what)
{
    return clb_place_bad(at, CLB_BAD_REQUEST, block->path, what);
}

/* What documents and results of searches say about themselves. */
static void note_citations(const clb_place_t *at, const block_t *block)
{
    if (clb_json_true(clb_json_find(block->json, "citations.enabled"))) {
        clb_chat_give(at->chat, CLB_OTHER, "citations");
    }
}

static apr_status_t take_text(clb_place_t *at, clb_message_t *message,
                              const block_t *block)
{
    const char *text = clb_json_get_string(block->json, "text");

    if (text == NULL) {
        return wrong(at, block, "must have a text");
    }
    if (block->where != IN_ASSISTANT && clb_anthropic_newer(at->chat)
        && clb_json_size(clb_json_get(block->json, "citations")) > 0) {
        return wrong(at, block, "must not have citations: they stand in "
                     "messages of the assistant");
    }
    clb_place_text(at, message, text);
    return APR_SUCCESS;
}

/* The source of an image or a document, other than a text. */
static apr_status_t take_source(clb_place_t *at, clb_message_t *message,
                                const block_t *block, clb_part_e kind)
{
    const clb_json_t *source = clb_json_get(block->json, "source");
    const char *type = clb_json_get_string(source, "type");
    const char *media = clb_json_get_string(source, "media_type");
    const char *data = clb_json_get_string(source, "data");
    const char *url = clb_json_get_string(source, "url");
    clb_part_t part = { .kind = kind,
                        .name = clb_json_get_string(block->json, "title") };
    apr_status_t rv;

    if (type != NULL && strcmp(type, "base64") == 0) {
        rv = clb_place_must_be(at, block->path, media == NULL || data == NULL
            ? "given by its media_type and data"
            : clb_media_take(&part, media, data, at->chat->pool));
    }
    else if (type != NULL && strcmp(type, "url") == 0) {
        rv = clb_place_must_be(at, block->path, url == NULL
            ? "given by its url" : clb_media_take_link(&part, url));
    }
    else if (type != NULL && strcmp(type, "file") == 0) {
        return clb_place_bad(at, CLB_UNSUPPORTED, block->path, "has a file as "
                             "its source: this server stores none");
    }
    else {
        return wrong(at, block, "must have a source of a known type");
    }
    if (rv == APR_SUCCESS
        && (rv = clb_place_count(at, block->path)) == APR_SUCCESS) {
        APR_ARRAY_PUSH(message->parts, clb_part_t) = part;
    }
    return rv;
}

static apr_status_t take_image(clb_place_t *at, clb_message_t *message,
                               const block_t *block)
{
    return take_source(at, message, block, CLB_PART_IMAGE);
}

/* The text of parts that are nothing else. */
static const char *joined(const apr_array_header_t *parts, apr_pool_t *pool)
{
    clb_buf_t all;
    int i;

    clb_buf_init(&all, pool, 256);
    for (i = 0; i < parts->nelts; i++) {
        clb_buf_puts(&all, i > 0 ? "\n\n" : "");
        clb_buf_puts(&all, APR_ARRAY_IDX(parts, i, clb_part_t).text);
    }
    return all.data;
}

/* Read texts, in a string or in blocks. */
static apr_status_t read_text(clb_place_t *at, const block_t *block,
                              const char *path, const clb_json_t *content,
                              const char **text)
{
    clb_message_t texts = { CLB_ROLE_USER,
        apr_array_make(at->chat->pool, 1, sizeof(clb_part_t)) };
    apr_status_t rv = take_blocks(at, &texts, IN_SYSTEM,
        apr_pstrcat(at->chat->pool, block->path, path, NULL), content);

    *text = joined(texts.parts, at->chat->pool);
    return rv;
}

/* A document that is a text, whole or in pieces that could be cited. */
static apr_status_t take_document(clb_place_t *at, clb_message_t *message,
                                  const block_t *block)
{
    const clb_json_t *source = clb_json_get(block->json, "source");
    const char *type = clb_json_get_string(source, "type"), *text;
    clb_part_t *part;
    int pieces = type != NULL && strcmp(type, "content") == 0;
    apr_status_t rv;

    note_citations(at, block);
    if (block->where == IN_ASSISTANT && clb_anthropic_newer(at->chat)) {
        return wrong(at, block, "must stand in a message of the user");
    }
    if (clb_json_get(block->json, "context") != NULL) {
        clb_chat_give(at->chat, CLB_OTHER, "context");
    }
    if (!pieces && (type == NULL || strcmp(type, "text") != 0)) {
        return take_source(at, message, block, CLB_PART_DOCUMENT);
    }
    if ((rv = read_text(at, block, pieces ? ".source.content"
                        : ".source.data", clb_json_get(source, pieces
                        ? "content" : "data"), &text)) != APR_SUCCESS
        || (rv = clb_place_count(at, block->path)) != APR_SUCCESS) {
        return rv;
    }
    part = clb_chat_part(message, CLB_PART_DOCUMENT, text);
    part->media = "text/plain";
    part->name = clb_json_get_string(block->json, "title");
    return APR_SUCCESS;
}

static apr_status_t take_search_result(clb_place_t *at,
                                       clb_message_t *message,
                                       const block_t *block)
{
    const char *title = clb_json_get_string(block->json, "title");
    const char *source = clb_json_get_string(block->json, "source"), *text;
    apr_status_t rv;

    if (title == NULL || source == NULL) {
        return wrong(at, block, "must have a title and a source");
    }
    note_citations(at, block);
    rv = read_text(at, block, ".content", clb_json_get(block->json,
                                                       "content"), &text);
    clb_place_text(at, message, apr_pstrcat(at->chat->pool, title, "\n",
                                            source, "\n\n", text, NULL));
    return rv;
}

/* What no signature proves is not the vendor's, or somebody cut it off. */
static int is_signature(const char *text)
{
    return text != NULL && *text != '\0'
        && strcmp(text, CLB_ANTHROPIC_UNSIGNED) != 0;
}

static apr_status_t take_thinking(clb_place_t *at, clb_message_t *message,
                                  const block_t *block)
{
    const char *text = clb_json_get_string(block->json, "thinking");
    const char *signature = clb_json_get_string(block->json, "signature");

    if (text == NULL) {
        return wrong(at, block, "must have its thinking");
    }
    clb_chat_part(message, CLB_PART_REASONING, text)->signature
        = is_signature(signature) ? signature : NULL;
    return APR_SUCCESS;
}

static apr_status_t take_redacted(clb_place_t *at, clb_message_t *message,
                                  const block_t *block)
{
    const char *data = clb_json_get_string(block->json, "data");

    if (data == NULL) {
        return wrong(at, block, "must have its data");
    }
    clb_chat_part(message, CLB_PART_REASONING, "")->data = data;
    return APR_SUCCESS;
}

static apr_status_t take_use(clb_place_t *at, clb_message_t *message,
                             const block_t *block)
{
    const char *id = clb_json_get_string(block->json, "id");
    const char *name = clb_json_get_string(block->json, "name");
    const clb_json_t *input = clb_json_get(block->json, "input");
    clb_part_t *part;

    if (id == NULL || *id == '\0' || name == NULL || *name == '\0'
        || !clb_json_is_object(input)) {
        return wrong(at, block, "must have an id, the name of a tool, and an "
                     "object as its input");
    }
    if (clb_chat_find(message, CLB_PART_CALL, id) >= 0) {
        return wrong(at, block, "has the id of another call");
    }
    part = clb_chat_part(message, CLB_PART_CALL,
                         clb_json_text(at->chat->pool, input));
    part->id = id;
    part->name = name;
    return APR_SUCCESS;
}

static apr_status_t take_result(clb_place_t *at, clb_message_t *message,
                                const block_t *block)
{
    const char *id = clb_json_get_string(block->json, "tool_use_id");
    const clb_json_t *content = clb_json_get(block->json, "content");
    clb_message_t said = { CLB_ROLE_USER,
        apr_array_make(at->chat->pool, 1, sizeof(clb_part_t)) };
    clb_part_t *part;
    apr_status_t rv = APR_SUCCESS;

    if (id == NULL || !clb_chat_expects(at->chat, id)) {
        return wrong(at, block, "must have as its tool_use_id that of a call "
                     "in the assistant message before, which has no other "
                     "result, and must come before other blocks");
    }
    if (content != NULL) {
        rv = take_blocks(at, &said, IN_RESULT, apr_pstrcat(at->chat->pool,
                         block->path, ".content", NULL), content);
    }
    part = clb_chat_part(message, CLB_PART_RESULT, NULL);
    part->id = id;
    part->parts = said.parts;
    part->failed = clb_json_true(clb_json_get(block->json, "is_error"));
    return rv;
}

static const struct {
    const char *type;
    unsigned where;
    apr_status_t (*take)(clb_place_t *at, clb_message_t *message,
                         const block_t *block);
} kinds[] = {
    { "text", IN_SYSTEM | IN_USER | IN_ASSISTANT | IN_RESULT, take_text },
    { "image", IN_USER | IN_RESULT, take_image },
    { "document", IN_USER | IN_ASSISTANT | IN_RESULT, take_document },
    { "search_result", IN_USER | IN_RESULT, take_search_result },
    { "thinking", IN_ASSISTANT, take_thinking },
    { "redacted_thinking", IN_ASSISTANT, take_redacted },
    { "tool_use", IN_ASSISTANT, take_use },
    { "tool_result", IN_USER, take_result },
};

static apr_status_t take_block(clb_place_t *at, clb_message_t *message,
                               const block_t *block)
{
    const char *type = clb_json_get_string(block->json, "type");
    apr_size_t i;

    if (type == NULL) {
        return wrong(at, block, "must be a block with a type");
    }
    for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (strcmp(kinds[i].type, type) == 0) {
            return kinds[i].where & block->where
                 ? kinds[i].take(at, message, block)
                 : wrong(at, block, apr_pstrcat(at->chat->pool, "cannot be of "
                         "type '", type, "' here", NULL));
        }
    }
    return clb_place_bad(at, CLB_UNSUPPORTED, block->path, apr_pstrcat(
                         at->chat->pool, "has the type '", type, "', which a "
                         "CLI cannot be told", NULL));
}

static apr_status_t take_blocks(clb_place_t *at, clb_message_t *message,
                                unsigned where, const char *path,
                                const clb_json_t *content)
{
    apr_status_t rv = APR_SUCCESS;
    apr_size_t i;

    if (clb_json_is_string(content)) {
        clb_place_text(at, message, clb_json_string(content));
        return APR_SUCCESS;
    }
    if (!clb_json_is_array(content)) {
        return clb_place_must_be(at, path, "a string or an array of blocks");
    }
    for (i = 0; i < clb_json_size(content) && rv == APR_SUCCESS; i++) {
        block_t block = { clb_place_item(at, path, i), clb_json_at(content, i),
                          where };

        rv = take_block(at, message, &block);
    }
    return rv;
}

static apr_status_t take_message(clb_place_t *at, const clb_json_t *json)
{
    const char *role = clb_json_get_string(json, "role");
    const clb_json_t *content = clb_json_get(json, "content");

    if (role != NULL && strcmp(role, "user") == 0) {
        return take_blocks(at, clb_chat_message(at->chat, CLB_ROLE_USER),
                           IN_USER, ".content", content);
    }
    if (role != NULL && strcmp(role, "assistant") == 0) {
        return take_blocks(at, clb_chat_message(at->chat, CLB_ROLE_ASSISTANT),
                           IN_ASSISTANT, ".content", content);
    }
    if (role != NULL && strcmp(role, "system") == 0) {
        return take_blocks(at, NULL, IN_SYSTEM, ".content", content);
    }
    return clb_place_must_be(at, ".role", "user, assistant or system");
}

apr_status_t clb_anthropic_messages(clb_chat_t *chat, const clb_json_t *body,
                                    clb_error_t *error)
{
    apr_status_t rv = clb_place_messages(chat, "messages",
        clb_json_get(body, "messages"), take_message, error);

    chat->prefill = clb_place_begun(chat);
    return rv;
}

apr_status_t clb_anthropic_system(clb_chat_t *chat, const char *name,
                                  const clb_json_t *value, clb_error_t *error)
{
    apr_size_t i;

    if (clb_json_is_string(value)) {
        clb_chat_system(chat, clb_json_string(value));
        return APR_SUCCESS;
    }
    if (!clb_json_is_array(value)) {
        return clb_take_bad(chat, name, "a string or an array of text blocks",
                            error);
    }
    for (i = 0; i < clb_json_size(value); i++) {
        const clb_json_t *block = clb_json_at(value, i);
        const char *type = clb_json_get_string(block, "type");
        const char *text = clb_json_get_string(block, "text");

        if (type == NULL || strcmp(type, "text") != 0 || text == NULL) {
            return clb_take_wrong(chat, apr_psprintf(chat->pool, "%s[%"
                                  APR_SIZE_T_FMT "]", name, i),
                                  "must be a text block", error);
        }
        clb_chat_system(chat, text);
    }
    return APR_SUCCESS;
}
