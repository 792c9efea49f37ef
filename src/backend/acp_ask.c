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

/* Where the agent runs; no other directory is of use to it. */
#define HERE "."

void clb_acp_new(const char *id, apr_uint64_t tools, clb_step_t *out)
{
    clb_acp_request(out, id, "session/new", clb_json_pack(out->pool,
        "{s:s, s:O}", "cwd", HERE, "mcpServers",
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

static clb_json_t *text_block(const char *text, apr_pool_t *pool)
{
    return clb_json_pack(pool, "{s:s, s:s}", "type", "text", "text", text);
}

static clb_json_t *image_block(const clb_part_t *part, apr_pool_t *pool)
{
    return clb_json_pack(pool, "{s:s, s:s, s:s}", "type", "image", "mimeType",
                         part->media, "data", part->data);
}

void clb_acp_prompt(const char *session, const char *guard,
                    const clb_message_t *turn, const char *otherwise,
                    clb_step_t *out)
{
    clb_json_t *list = clb_json_pack(out->pool, "[]");
    apr_size_t own;
    int i;

    if (guard != NULL) {
        clb_json_append(list, text_block(guard, out->pool));
    }
    own = clb_json_size(list);
    for (i = 0; i < turn->parts->nelts; i++) {
        const clb_part_t *part = &APR_ARRAY_IDX(turn->parts, i, clb_part_t);

        if (part->kind == CLB_PART_TEXT) {
            clb_json_append(list, text_block(part->text, out->pool));
        }
        else if (part->kind == CLB_PART_IMAGE && part->data != NULL) {
            clb_json_append(list, image_block(part, out->pool));
        }
    }
    if (clb_json_size(list) == own && otherwise != NULL) {
        clb_json_append(list, text_block(otherwise, out->pool));
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

int clb_acp_speaks(clb_chat_t *chat)
{
    const apr_array_header_t *turns = clb_chat_turns(chat);
    const clb_message_t *last = &APR_ARRAY_IDX(turns, turns->nelts - 1,
                                               clb_message_t);
    int i;

    for (i = 0; i < last->parts->nelts; i++) {
        if (APR_ARRAY_IDX(last->parts, i, clb_part_t).kind
            != CLB_PART_RESULT) {
            return 1;
        }
    }
    return 0;
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

clb_json_t *clb_acp_part(const clb_part_t *part, apr_pool_t *pool)
{
    return part->kind != CLB_PART_IMAGE
         ? clb_json_pack(pool, "{s:s}", "text", part->text)
         : clb_json_pack(pool, "{s:{s:s, s:s}}", "inlineData", "mimeType",
                         part->media, "data", part->data);
}

clb_json_t *clb_acp_result(const clb_part_t *part, const char *id,
                           const char *name, apr_pool_t *pool)
{
    clb_buf_t text;
    int i;

    clb_buf_init(&text, pool, 256);
    for (i = 0; i < part->parts->nelts; i++) {
        const clb_part_t *one = &APR_ARRAY_IDX(part->parts, i, clb_part_t);

        if (one->kind == CLB_PART_TEXT) {
            clb_buf_puts(&text, text.len > 0 ? "\n" : "");
            clb_buf_puts(&text, one->text);
        }
    }
    return clb_json_pack(pool, "{s:{s:s, s:s, s:{s:s}}}", "functionResponse",
                         "id", id, "name", name, "response", "output",
                         text.data);
}

const clb_part_t *clb_acp_call_of(clb_chat_t *chat, int turn,
                                  const clb_part_t *part)
{
    const apr_array_header_t *turns = clb_chat_turns(chat);
    const clb_message_t *before;
    int i;

    if (turn == 0) {
        return NULL;
    }
    before = &APR_ARRAY_IDX(turns, turn - 1, clb_message_t);
    for (i = 0; i < before->parts->nelts; i++) {
        const clb_part_t *call = &APR_ARRAY_IDX(before->parts, i, clb_part_t);

        if (call->kind == CLB_PART_CALL && strcmp(call->id, part->id) == 0) {
            return call;
        }
    }
    return NULL;
}
