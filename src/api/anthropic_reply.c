/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of Messages. A stream is message_start; for each block
 * content_block_start, its deltas and content_block_stop; message_delta and
 * message_stop. Members that may be null are written: the vendor's types have
 * them. Pings may stand anywhere, also before message_start, whose usage is not
 * known any sooner.
 */
#include "anthropic.h"

#include "../core/tokens.h"
#include "sse.h"

#include <apr_strings.h>
#include <string.h>

static const char *stop_reason(clb_stop_e stop)
{
    switch (stop) {
    case CLB_STOP_LENGTH: return "max_tokens";
    case CLB_STOP_SEQUENCE: return "stop_sequence";
    case CLB_STOP_FILTER: return "refusal";
    case CLB_STOP_CALLS: return "tool_use";
    default: return "end_turn";
    }
}

/* Only a refusal has details, and these are not told to us. */
static clb_json_t *stop_details(apr_pool_t *pool, clb_stop_e stop)
{
    return stop == CLB_STOP_FILTER
         ? clb_json_pack(pool, "{s:s, s:n, s:n}", "type", "refusal",
                         "category", "explanation")
         : clb_json_pack(pool, "n");
}

/* What message_delta repeats of it. */
static clb_json_t *usage_counts(const clb_usage_t *u, apr_pool_t *pool)
{
    clb_json_t *usage = clb_json_pack(pool,
        "{s:I, s:I, s:I, s:I, s:n, s:n}",
        "input_tokens", (long long)u->input,
        "cache_creation_input_tokens", (long long)u->cache_write,
        "cache_read_input_tokens", (long long)u->cache_read,
        "output_tokens", (long long)u->output,
        "output_tokens_details", "server_tool_use");

    if (u->reasoning > 0) {
        clb_json_set(usage, "output_tokens_details", clb_json_pack(pool,
            "{s:I}", "thinking_tokens", (long long)u->reasoning));
    }
    return usage;
}

static clb_json_t *usage_json(const clb_usage_t *u, apr_pool_t *pool)
{
    static const char *const unknown[] = {
        "cache_creation", "inference_geo", "service_tier", "speed", NULL
    };
    clb_json_t *usage = usage_counts(u, pool);
    int i;

    for (i = 0; unknown[i] != NULL; i++) {
        clb_json_set(usage, unknown[i], clb_json_pack(pool, "n"));
    }
    return usage;
}

/* A message that has not begun. */
static clb_json_t *message_json(const clb_reply_t *reply,
                                const clb_usage_t *usage)
{
    return clb_json_pack(reply->pool, "{s:s, s:s, s:s, s:s, s:[], s:n, s:n, "
        "s:n, s:n, s:n, s:O}", "id", reply->id, "type", "message",
        "role", "assistant", "model", reply->chat->asked, "content",
        "stop_reason", "stop_sequence", "stop_details", "container",
        "diagnostics", "usage", usage_json(usage, reply->pool));
}

static void put(clb_reply_t *reply, const char *type, const clb_json_t *json)
{
    clb_sse_begin_named(&reply->out, type);
    clb_json_write(&reply->out, json);
    clb_sse_end(&reply->out);
}

/* Some CLIs count a question's tokens only when they have answered it. */
void clb_anthropic_begin(clb_reply_t *reply)
{
    clb_usage_t usage = reply->usage;

    if (usage.input + usage.cache_read + usage.cache_write == 0) {
        usage.input = clb_tokens_chat(reply->chat);
    }
    put(reply, "message_start", clb_json_pack(reply->pool, "{s:s, s:O}",
        "type", "message_start", "message", message_json(reply, &usage)));
}

/* --- blocks --- */

static const clb_call_t *call_of(const clb_reply_t *reply,
                                 const clb_block_t *block)
{
    return &APR_ARRAY_IDX(reply->calls, (int)block->from, clb_call_t);
}

static clb_json_t *block_json(const clb_reply_t *reply,
                              const clb_block_t *block, const char *text,
                              const clb_json_t *input)
{
    apr_pool_t *pool = reply->pool;

    if (block->kind == CLB_PART_CALL) {
        return clb_json_pack(pool, "{s:s, s:s, s:s, s:O, s:{s:s}}",
            "type", "tool_use", "id", call_of(reply, block)->id,
            "name", call_of(reply, block)->name, "input", input,
            "caller", "type", "direct");
    }
    if (block->kind == CLB_PART_TEXT) {
        return clb_json_pack(pool, "{s:s, s:s, s:n}", "type", "text", "text",
                             text, "citations");
    }
    return block->hidden != NULL
         ? clb_json_pack(pool, "{s:s, s:s}", "type", "redacted_thinking",
                         "data", block->hidden)
         : clb_json_pack(pool, "{s:s, s:s, s:s}", "type", "thinking",
                         "thinking", text, "signature",
                         block->signature == NULL ? CLB_ANTHROPIC_UNSIGNED
                                                  : block->signature);
}

/* More of the open block. */
static void delta(clb_reply_t *reply, const char *type, const char *key,
                  const char *text, apr_size_t len)
{
    clb_buf_t *out = &reply->out;
    char head[128];

    apr_snprintf(head, sizeof(head), "{\"type\":\"content_block_delta\","
                 "\"index\":%d,\"delta\":{\"type\":\"%s\",\"%s\":",
                 reply->open - 1, type, key);
    clb_sse_begin_named(out, "content_block_delta");
    clb_buf_puts(out, head);
    clb_json_quote(out, text, len);
    clb_buf_puts(out, "}}");
    clb_sse_end(out);
}

/* End the block that is open, if one is. What it did not get is said there: a
 * call's arguments, a thought's signature. */
static void close_block(clb_reply_t *reply)
{
    const clb_block_t *block;

    if (reply->open == 0) {
        return;
    }
    block = &APR_ARRAY_IDX(reply->blocks, reply->open - 1, clb_block_t);
    if (block->kind == CLB_PART_CALL
        && call_of(reply, block)->arguments.len == 0) {
        delta(reply, "input_json_delta", "partial_json", "{}", 2);
    }
    if (block->kind == CLB_PART_REASONING && block->signature == NULL
        && block->hidden == NULL) {
        delta(reply, "signature_delta", "signature", CLB_ANTHROPIC_UNSIGNED,
              sizeof(CLB_ANTHROPIC_UNSIGNED) - 1);
    }
    put(reply, "content_block_stop", clb_json_pack(reply->pool, "{s:s, s:i}",
        "type", "content_block_stop", "index", reply->open - 1));
}

/* Begin the block that an event began, after the end of the one before. What
 * its deltas say is left out. */
static void follow(clb_reply_t *reply)
{
    clb_block_t block;

    if (reply->open == reply->blocks->nelts) {
        return;
    }
    close_block(reply);
    block = *clb_reply_block(reply);
    block.signature = "";
    put(reply, "content_block_start", clb_json_pack(reply->pool,
        "{s:s, s:i, s:O}", "type", "content_block_start", "index",
        reply->open, "content_block", block_json(reply, &block, "",
            clb_json_pack(reply->pool, "{}"))));
    reply->open++;
}

static void end(clb_reply_t *reply, const clb_event_t *ev)
{
    close_block(reply);
    put(reply, "message_delta", clb_json_pack(reply->pool,
        "{s:s, s:{s:s, s:s?, s:O, s:n}, s:O}", "type", "message_delta",
        "delta", "stop_reason", stop_reason(ev->u.stop),
        "stop_sequence", ev->sequence,
        "stop_details", stop_details(reply->pool, ev->u.stop), "container",
        "usage", usage_counts(&reply->usage, reply->pool)));
    put(reply, "message_stop", clb_json_pack(reply->pool, "{s:s}", "type",
                                             "message_stop"));
}

void clb_anthropic_event(clb_reply_t *reply, const clb_event_t *ev)
{
    follow(reply);
    switch (ev->kind) {
    case CLB_EV_TEXT:
        delta(reply, "text_delta", "text", ev->u.text.data, ev->u.text.len);
        break;
    case CLB_EV_REASONING:
        delta(reply, "thinking_delta", "thinking", ev->u.text.data,
              ev->u.text.len);
        break;
    case CLB_EV_SIGNATURE:
        delta(reply, "signature_delta", "signature", ev->u.text.data,
              ev->u.text.len);
        break;
    case CLB_EV_ARGUMENTS:
        delta(reply, "input_json_delta", "partial_json", ev->u.text.data,
              ev->u.text.len);
        break;
    case CLB_EV_STOP:
        end(reply, ev);
        break;
    default:
        break;
    }
}

/* --- all at once, and none of it --- */

void clb_anthropic_whole(clb_reply_t *reply)
{
    apr_pool_t *pool = reply->pool;
    clb_json_t *message = message_json(reply, &reply->usage);
    clb_json_t *content = clb_json_get(message, "content");
    int i;

    for (i = 0; i < reply->blocks->nelts; i++) {
        const clb_block_t *block = &APR_ARRAY_IDX(reply->blocks, i,
                                                  clb_block_t);
        int call = block->kind == CLB_PART_CALL;

        clb_json_append(content, block_json(reply, block, call ? NULL
            : clb_reply_text(reply, i), call
            ? clb_call_object(call_of(reply, block), pool) : NULL));
    }
    clb_json_set(message, "stop_reason", clb_json_pack(pool, "s",
                 stop_reason(reply->stop)));
    clb_json_set(message, "stop_sequence", clb_json_pack(pool, "s?",
                 reply->sequence));
    clb_json_set(message, "stop_details", stop_details(pool, reply->stop));
    clb_json_write(&reply->out, message);
}

void clb_anthropic_ping(clb_reply_t *reply)
{
    clb_sse_begin_named(&reply->out, "ping");
    clb_buf_puts(&reply->out, "{\"type\":\"ping\"}");
    clb_sse_end(&reply->out);
}

/* By this the vendor's SDK sends the request again without a thread, which its
 * tool runner asks for unless it is told not to. */
static clb_json_t *details_of(const clb_error_t *error, apr_pool_t *pool)
{
    return error->param != NULL && strcmp(error->param, "thread") == 0
         ? clb_json_pack(pool, "{s:s}", "error_code",
                         "thread_unsupported_request")
         : clb_json_pack(pool, "n");
}

void clb_anthropic_error_body(clb_buf_t *out, const clb_error_t *error,
                              const char *request)
{
    clb_json_write(out, clb_json_pack(out->pool,
        "{s:s, s:{s:s, s:s, s:O}, s:s?}", "type", "error", "error",
        "type", clb_error_info(error->kind)->anthropic_type,
        "message", clb_error_text(error, out->pool),
        "details", details_of(error, out->pool), "request_id", request));
}

void clb_anthropic_error(clb_reply_t *reply, const clb_error_t *error)
{
    clb_sse_begin_named(&reply->out, "error");
    clb_anthropic_error_body(&reply->out, error, reply->request);
    clb_sse_end(&reply->out);
}
