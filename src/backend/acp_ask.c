/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What agents are asked: requests of the Agent Client Protocol, and pieces of
 * conversations as the Gemini API has them, which is the form that Gemini CLI
 * and Qwen Code keep them in.
 */
#include "acp.h"

#include <apr_strings.h>
#include <string.h>

static void put(clb_step_t *out, const clb_json_t *json)
{
    clb_json_write(&out->lines, json);
    clb_buf_puts(&out->lines, "\n");
}

void clb_acp_request(clb_step_t *out, const char *id, const char *method,
                     const clb_json_t *params)
{
    put(out, clb_json_pack(out->pool, "{s:s, s:s, s:s, s:O}", "jsonrpc",
                           "2.0", "id", id, "method", method, "params",
                           params));
}

void clb_acp_hello(clb_step_t *out)
{
    clb_acp_request(out, CLB_ACP_HELLO, "initialize", clb_json_pack(out->pool,
        "{s:i, s:{s:{s:b, s:b}, s:b}}", "protocolVersion", 1,
        "clientCapabilities", "fs", "readTextFile", 0, "writeTextFile", 0,
        "terminal", 0));
}

/* Where the agent runs. No other directory is of use to it, but one may have
 * many names, by links that lead back to it. */
#define HERE "."

static const char *directory(apr_uint32_t alias, apr_pool_t *pool)
{
    const char *path = HERE;

    for (; alias > 0; alias >>= 1) {
        path = apr_pstrcat(pool, path, alias & 1 ? "/1" : "/0", NULL);
    }
    return path;
}

void clb_acp_new(const char *id, apr_uint32_t alias, apr_uint64_t tools,
                 clb_step_t *out)
{
    clb_acp_request(out, id, "session/new", clb_json_pack(out->pool,
        "{s:s, s:O}", "cwd", directory(alias, out->pool), "mcpServers",
        clb_acp_servers(tools, out->pool)));
}

void clb_acp_load(const char *session, apr_uint64_t tools, clb_step_t *out)
{
    clb_acp_request(out, CLB_ACP_SESSION, "session/load", clb_json_pack(
        out->pool, "{s:s, s:s, s:O}", "sessionId", session, "cwd", HERE,
        "mcpServers", clb_acp_servers(tools, out->pool)));
}

void clb_acp_cancel(const char *session, clb_step_t *out)
{
    put(out, clb_json_pack(out->pool, "{s:s, s:s, s:{s:s}}", "jsonrpc", "2.0",
                           "method", "session/cancel", "params", "sessionId",
                           session));
}

void clb_acp_model(const char *session, const char *model, clb_step_t *out)
{
    clb_acp_request(out, CLB_ACP_MODEL, "session/set_model", clb_json_pack(
        out->pool, "{s:s, s:s}", "sessionId", session, "modelId", model));
}

static int is_media(const clb_part_t *part)
{
    return part->kind == CLB_PART_IMAGE || part->kind == CLB_PART_DOCUMENT;
}

/* What a part is as a text, NULL if it is none. */
static const char *text_of(const clb_part_t *part, apr_pool_t *pool)
{
    if (part->kind == CLB_PART_DOCUMENT && part->text != NULL
        && part->name != NULL) {
        return apr_pstrcat(pool, part->name, ":\n\n", part->text, NULL);
    }
    return part->kind == CLB_PART_TEXT || part->kind == CLB_PART_DOCUMENT
         ? part->text : NULL;
}

static clb_json_t *text_block(const char *text, apr_pool_t *pool)
{
    return clb_json_pack(pool, "{s:s, s:s}", "type", "text", "text", text);
}

/* Of any type: the agents hand it on as it is. */
static clb_json_t *data_block(const clb_part_t *part, apr_pool_t *pool)
{
    return clb_json_pack(pool, "{s:s, s:s, s:s}", "type", "image", "mimeType",
                         part->media, "data", part->data);
}

static void add_blocks(clb_json_t *list, const clb_message_t *turn,
                       apr_pool_t *pool)
{
    int i;

    for (i = 0; i < turn->parts->nelts; i++) {
        const clb_part_t *part = &APR_ARRAY_IDX(turn->parts, i, clb_part_t);
        const char *text = text_of(part, pool);

        if (text != NULL && *text != '\0') {
            clb_json_append(list, text_block(text, pool));
        }
        else if (is_media(part) && part->data != NULL) {
            clb_json_append(list, data_block(part, pool));
        }
    }
}

void clb_acp_prompt(const char *session, const char *guard,
                    const clb_message_t *turn, clb_step_t *out)
{
    clb_json_t *list = clb_json_pack(out->pool, "[]");

    if (guard != NULL) {
        clb_json_append(list, text_block(guard, out->pool));
    }
    if (turn != NULL) {
        add_blocks(list, turn, out->pool);
    }
    if (clb_json_size(list) == 0) {
        clb_json_append(list, text_block("", out->pool));
    }
    clb_acp_request(out, CLB_ACP_PROMPT, "session/prompt", clb_json_pack(
        out->pool, "{s:s, s:O}", "sessionId", session, "prompt", list));
}

void clb_acp_refuse(const clb_json_t *id, clb_step_t *out)
{
    put(out, clb_json_pack(out->pool, "{s:s, s:O, s:{s:{s:s}}}", "jsonrpc",
                           "2.0", "id", id, "result", "outcome", "outcome",
                           "cancelled"));
}

void clb_acp_decline(const clb_json_t *id, clb_step_t *out)
{
    put(out, clb_json_pack(out->pool, "{s:s, s:O, s:{s:i, s:s}}", "jsonrpc",
                           "2.0", "id", id, "error", "code", -32601,
                           "message", "not available"));
}

apr_uint64_t clb_acp_hash(apr_uint64_t hash, const char *text)
{
    if (hash == 0) {
        hash = 14695981039346656037u;
    }
    for (; text != NULL && *text != '\0'; text++) {
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    }
    /* a text that is none differs from an empty one, and two from their sum */
    return (hash ^ (text == NULL ? 0x100 : 0x101)) * 1099511628211u;
}

/* --- as the Gemini API has it --- */

/* The API wants to know a type, which nobody looked at. */
static const char *type_of(const clb_part_t *part, apr_pool_t *pool)
{
    static const char *const known[] = { "png", "gif", "webp" };
    const char *path = apr_pstrndup(pool, part->url, strcspn(part->url, "?#"));
    const char *dot = strrchr(path, '.');
    apr_size_t i;

    if (part->kind == CLB_PART_DOCUMENT) {
        return "application/pdf";
    }
    for (i = 0; dot != NULL && i < sizeof(known) / sizeof(*known); i++) {
        if (strcasecmp(dot + 1, known[i]) == 0) {
            return apr_pstrcat(pool, "image/", known[i], NULL);
        }
    }
    return "image/jpeg";
}

static clb_json_t *media_part(const clb_part_t *part, apr_pool_t *pool)
{
    return part->url != NULL
         ? clb_json_pack(pool, "{s:{s:s, s:s}}", "fileData", "mimeType",
                         type_of(part, pool), "fileUri", part->url)
         : clb_json_pack(pool, "{s:{s:s, s:s}}", "inlineData", "mimeType",
                         part->media, "data", part->data);
}

/* The call that @a part, a result in the turn @a turn, is of. */
static const clb_part_t *call_of(clb_chat_t *chat, int turn,
                                 const clb_part_t *part)
{
    const clb_message_t *before;
    int i;

    if (turn == 0) {
        return NULL;
    }
    before = &APR_ARRAY_IDX(clb_chat_turns(chat), turn - 1, clb_message_t);
    for (i = 0; i < before->parts->nelts; i++) {
        const clb_part_t *call = &APR_ARRAY_IDX(before->parts, i, clb_part_t);

        if (call->kind == CLB_PART_CALL && strcmp(call->id, part->id) == 0) {
            return call;
        }
    }
    return NULL;
}

typedef struct place_t {
    clb_chat_t *chat;
    int turn;
    const char *prefix;          /* of the tools' names */
    clb_json_t *list;            /* of parts */
    apr_pool_t *pool;
} place_t;

static const char *id_at(const place_t *at, const clb_part_t *part)
{
    return clb_chat_call_id(at->chat, at->turn, part, 0, "call_h", at->pool);
}

static const char *name_at(const place_t *at, const char *name)
{
    return apr_pstrcat(at->pool, at->prefix,
                       clb_acp_tool_name(at->chat, name, at->pool), NULL);
}

static void add_call(const place_t *at, const clb_part_t *part)
{
    const char *text = clb_chat_arguments(part->text, at->pool), *why;
    clb_json_t *arguments;

    if (clb_json_parse(&arguments, text, strlen(text), CLB_JSON_LENIENT, &why,
                       at->pool) != APR_SUCCESS) {
        arguments = clb_json_pack(at->pool, "{}");
    }
    clb_json_append(at->list, clb_json_pack(at->pool, "{s:{s:s, s:s, s:O}}",
        "functionCall", "id", id_at(at, part), "name", name_at(at, part->name),
        "args", arguments));
}

static void add_result(const place_t *at, const clb_part_t *part, int whole)
{
    const clb_part_t *call = call_of(at->chat, at->turn, part);
    clb_json_t *result, *media = whole ? clb_json_pack(at->pool, "[]")
                                       : at->list;
    clb_buf_t text;
    int i;

    clb_buf_init(&text, at->pool, 256);
    for (i = 0; i < part->parts->nelts; i++) {
        const clb_part_t *one = &APR_ARRAY_IDX(part->parts, i, clb_part_t);

        if (one->kind == CLB_PART_TEXT) {
            clb_buf_puts(&text, text.len > 0 ? "\n" : "");
            clb_buf_puts(&text, one->text);
        }
    }
    result = clb_json_pack(at->pool, "{s:s, s:s, s:{s:s}}", "id",
        id_at(at, part), "name", name_at(at, call == NULL ? "unknown"
        : call->name), "response", part->failed ? "error" : "output",
        text.data);
    clb_json_append(at->list, clb_json_pack(at->pool, "{s:O}",
                                            "functionResponse", result));
    for (i = 0; i < part->parts->nelts; i++) {
        const clb_part_t *one = &APR_ARRAY_IDX(part->parts, i, clb_part_t);

        if (is_media(one)) {
            clb_json_append(media, media_part(one, at->pool));
        }
    }
    if (whole && clb_json_size(media) > 0) {
        clb_json_set(result, "parts", media);
    }
}

static void add_words(const place_t *at, const clb_part_t *part)
{
    const char *text = text_of(part, at->pool);

    if (part->kind == CLB_PART_CALL) {
        add_call(at, part);
    }
    else if (text != NULL && *text != '\0') {
        clb_json_append(at->list, clb_json_pack(at->pool, "{s:s}", "text",
                                                text));
    }
    else if (is_media(part) && text == NULL) {
        clb_json_append(at->list, media_part(part, at->pool));
    }
}

void clb_acp_parts(clb_json_t *list, clb_chat_t *chat, int turn,
                   clb_acp_parts_e which, const char *prefix,
                   apr_pool_t *pool)
{
    const place_t at = { chat, turn, prefix, list, pool };
    const apr_array_header_t *parts = APR_ARRAY_IDX(clb_chat_turns(chat), turn,
                                                    clb_message_t).parts;
    int i;

    for (i = 0; i < parts->nelts; i++) {
        const clb_part_t *part = &APR_ARRAY_IDX(parts, i, clb_part_t);

        if (part->kind == CLB_PART_RESULT && which != CLB_ACP_WORDS) {
            add_result(&at, part, which == CLB_ACP_RESULTS_WHOLE);
        }
        else if (part->kind != CLB_PART_RESULT && which == CLB_ACP_WORDS) {
            add_words(&at, part);
        }
    }
}
