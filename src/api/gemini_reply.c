/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of the Gemini API. Each piece of a stream is a response of its own
 * with the parts that are new; the last one says why the answer ended. A call
 * comes whole, when it is complete. A comment is white space in both kinds: the
 * vendor's SDK for JavaScript drops an event behind a comment, and its older
 * releases, which Gemini CLI has, drop all that follow.
 */
#include "gemini.h"

#include "sse.h"

#include <apr_strings.h>
#include <string.h>

static const char *finish_reason(clb_stop_e stop)
{
    switch (stop) {
    case CLB_STOP_LENGTH: return "MAX_TOKENS";
    case CLB_STOP_FILTER: return "SAFETY";
    default: return "STOP";
    }
}

static clb_json_t *usage_json(const clb_reply_t *reply)
{
    const clb_usage_t *u = &reply->usage;
    long long in = u->input + u->cache_read + u->cache_write;
    clb_json_t *usage = clb_json_pack(reply->pool, "{s:I, s:I, s:I}",
        "promptTokenCount", in,
        "candidatesTokenCount", (long long)(u->output - u->reasoning),
        "totalTokenCount", in + (long long)u->output);

    if (u->reasoning > 0) {
        clb_json_set(usage, "thoughtsTokenCount", clb_json_pack(reply->pool,
                     "I", (long long)u->reasoning));
    }
    if (u->cache_read > 0) {
        clb_json_set(usage, "cachedContentTokenCount", clb_json_pack(
                     reply->pool, "I", (long long)u->cache_read));
    }
    return usage;
}

static clb_json_t *text_part(apr_pool_t *pool, const char *text)
{
    return clb_json_pack(pool, "{s:s}", "text", text);
}

static clb_json_t *call_part(const clb_call_t *call, apr_pool_t *pool)
{
    return clb_json_pack(pool, "{s:{s:s, s:s, s:O}}", "functionCall",
                         "id", call->id, "name", call->name,
                         "args", clb_call_object(call, pool));
}

/* The end of an answer with the parts @a parts. Nothing at all but a refusal is
 * one of the question. */
static clb_json_t *end_json(const clb_reply_t *reply, const clb_json_t *parts,
                            clb_stop_e stop)
{
    apr_pool_t *pool = reply->pool;
    clb_json_t *json = clb_json_pack(pool, "{s:s, s:s, s:O}",
        "responseId", reply->id, "modelVersion", reply->chat->asked,
        "usageMetadata", usage_json(reply));

    if (stop == CLB_STOP_FILTER && reply->blocks->nelts == 0) {
        clb_json_set(json, "promptFeedback", clb_json_pack(pool, "{s:s}",
                     "blockReason", "SAFETY"));
        return json;
    }
    clb_json_set(json, "candidates", clb_json_pack(pool,
        "[{s:i, s:{s:s, s:O}, s:s}]", "index", 0, "content", "role", "model",
        "parts", parts, "finishReason", finish_reason(stop)));
    return json;
}

/* --- pieces --- */

void clb_gemini_begin(clb_reply_t *reply)
{
    clb_buf_t head;
    const char *model = reply->chat->asked;

    clb_buf_init(&head, reply->pool, 256);
    clb_buf_puts(&head, apr_psprintf(reply->pool, "{\"responseId\":\"%s\","
                 "\"modelVersion\":", reply->id));
    clb_json_quote(&head, model, strlen(model));
    clb_buf_puts(&head, ",\"candidates\":[{\"index\":0,\"content\":{\"role\":"
                 "\"model\",\"parts\":[");
    reply->head = head.data;
}

/* What stands around a piece: an event, or an item of the array. */
typedef struct frame_t {
    void (*begin)(clb_reply_t *reply);
    void (*end)(clb_reply_t *reply);
    const char *last;            /* behind the last one */
} frame_t;

static void put_text(clb_reply_t *reply, const frame_t *frame,
                     const clb_event_t *event)
{
    clb_buf_t *out = &reply->out;

    frame->begin(reply);
    clb_buf_puts(out, reply->head);
    clb_buf_puts(out, "{\"text\":");
    clb_json_quote(out, event->u.text.data, event->u.text.len);
    if (event->kind == CLB_EV_REASONING) {
        clb_buf_puts(out, ",\"thought\":true");
    }
    clb_buf_puts(out, "}]}}]}");
    frame->end(reply);
}

/* Calls that are complete: all that have begun, but for the one that is still
 * @a growing. */
static void put_calls(clb_reply_t *reply, const frame_t *frame, int growing)
{
    for (; reply->open < reply->calls->nelts - growing; reply->open++) {
        frame->begin(reply);
        clb_buf_puts(&reply->out, reply->head);
        clb_json_write(&reply->out, call_part(&APR_ARRAY_IDX(reply->calls,
                       reply->open, clb_call_t), reply->pool));
        clb_buf_puts(&reply->out, "]}}]}");
        frame->end(reply);
    }
}

static void put_end(clb_reply_t *reply, const frame_t *frame, clb_stop_e stop)
{
    frame->begin(reply);
    clb_json_write(&reply->out, end_json(reply, clb_json_pack(reply->pool,
                   "[O]", text_part(reply->pool, "")), stop));
    frame->end(reply);
    clb_buf_puts(&reply->out, frame->last);
}

static void put_event(clb_reply_t *reply, const frame_t *frame,
                      const clb_event_t *event)
{
    put_calls(reply, frame, event->kind == CLB_EV_CALL
                            || event->kind == CLB_EV_ARGUMENTS);
    if (event->kind == CLB_EV_TEXT || event->kind == CLB_EV_REASONING) {
        put_text(reply, frame, event);
    }
    else if (event->kind == CLB_EV_STOP) {
        put_end(reply, frame, event->u.stop);
    }
}

static void put_error(clb_reply_t *reply, const frame_t *frame,
                      const clb_error_t *error)
{
    frame->begin(reply);
    clb_gemini_error_body(&reply->out, error, reply->request);
    frame->end(reply);
}

void clb_gemini_comment(clb_reply_t *reply, const char *text)
{
    clb_buf_puts(&reply->out, "\n");
}

/* --- a stream of events --- */

static void event_begin(clb_reply_t *reply)
{
    clb_sse_begin(&reply->out);
}

static void event_end(clb_reply_t *reply)
{
    clb_sse_end(&reply->out);
}

static const frame_t event_frame = { event_begin, event_end, "" };

void clb_gemini_event(clb_reply_t *reply, const clb_event_t *event)
{
    put_event(reply, &event_frame, event);
}

void clb_gemini_error(clb_reply_t *reply, const clb_error_t *error)
{
    put_error(reply, &event_frame, error);
}

/* --- an array --- */

static void item_begin(clb_reply_t *reply)
{
    clb_buf_puts(&reply->out, reply->count++ == 0 ? "[" : ",\n");
}

static void item_end(clb_reply_t *reply)
{
}

static const frame_t item_frame = { item_begin, item_end, "]\n" };

void clb_gemini_item(clb_reply_t *reply, const clb_event_t *event)
{
    put_event(reply, &item_frame, event);
}

/* The array stays open: it must not look complete. */
void clb_gemini_item_error(clb_reply_t *reply, const clb_error_t *error)
{
    put_error(reply, &item_frame, error);
}

/* --- all at once, and none of it --- */

/* NULL if there is nothing that a client could read. */
static clb_json_t *block_part(const clb_reply_t *reply, int i)
{
    const clb_block_t *block = &APR_ARRAY_IDX(reply->blocks, i, clb_block_t);
    const char *text;
    clb_json_t *part;

    if (block->kind == CLB_PART_CALL) {
        return call_part(&APR_ARRAY_IDX(reply->calls, (int)block->from,
                                        clb_call_t), reply->pool);
    }
    text = clb_reply_text(reply, i);
    part = *text == '\0' ? NULL : text_part(reply->pool, text);
    if (part != NULL && block->kind == CLB_PART_REASONING) {
        clb_json_set(part, "thought", clb_json_pack(reply->pool, "b", 1));
    }
    return part;
}

void clb_gemini_whole(clb_reply_t *reply)
{
    clb_json_t *parts = clb_json_pack(reply->pool, "[]");
    int i;

    for (i = 0; i < reply->blocks->nelts; i++) {
        clb_json_t *part = block_part(reply, i);

        if (part != NULL) {
            clb_json_append(parts, part);
        }
    }
    if (clb_json_size(parts) == 0) {
        clb_json_append(parts, text_part(reply->pool, ""));
    }
    clb_json_write(&reply->out, end_json(reply, parts, reply->stop));
}

/* What in the request was wrong, and when to ask again. */
static clb_json_t *details_of(const clb_error_t *error, const char *message,
                              apr_pool_t *pool)
{
    clb_json_t *details = clb_json_pack(pool, "[]");
    apr_int64_t seconds = (error->retry_after + APR_USEC_PER_SEC - 1)
                        / APR_USEC_PER_SEC;

    if (error->param != NULL && clb_error_info(error->kind)->status == 400) {
        clb_json_append(details, clb_json_pack(pool, "{s:s, s:[{s:s, s:s}]}",
            "@type", "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations", "field", error->param, "description", message));
    }
    if (seconds > 0) {
        clb_json_append(details, clb_json_pack(pool, "{s:s, s:s}",
            "@type", "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay", apr_psprintf(pool, "%" APR_INT64_T_FMT "s",
                                       seconds)));
    }
    return details;
}

void clb_gemini_error_body(clb_buf_t *out, const clb_error_t *error,
                           const char *request)
{
    const clb_error_info_t *info = clb_error_info(error->kind);
    const char *message = clb_error_text(error, out->pool);

    clb_json_write(out, clb_json_pack(out->pool, "{s:{s:i, s:s, s:s, s:O}}",
        "error", "code", info->status, "message", message,
        "status", info->gemini_status,
        "details", details_of(error, message, out->pool)));
}
