/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of Responses. Each block of an answer is an item: a text a message
 * with one part, reasoning its summary, a call what was called. A stream is
 * response.created and in_progress; for each item output_item.added, what
 * happens inside, output_item.done; and response.completed or its like, which
 * has it all once more. Signs of life are comments: this API has no event for
 * them.
 */
#include "responses.h"

#include "sse.h"

#include <apr_strings.h>
#include <string.h>

static const clb_block_t *block_at(const clb_reply_t *reply, int i)
{
    return &APR_ARRAY_IDX(reply->blocks, i, clb_block_t);
}

static const clb_call_t *call_of(const clb_reply_t *reply,
                                 const clb_block_t *block)
{
    return &APR_ARRAY_IDX(reply->calls, (int)block->from, clb_call_t);
}

/* What the streams of the kinds of items have in their deltas. */
typedef struct piece_t {
    const char *id;              /* of the item: what it begins with */
    const char *event;
    const char *index;           /* where in the item */
    const char *tail;
} piece_t;

static const piece_t *piece_of(const clb_reply_t *reply,
                               const clb_block_t *block)
{
    static const piece_t text = {
        "msg", "response.output_text", "\"content_index\":0,",
        ",\"logprobs\":[]"
    };
    static const piece_t summary = {
        "rs", "response.reasoning_summary_text", "\"summary_index\":0,", ""
    };
    static const piece_t function = {
        "fc", "response.function_call_arguments", "", ""
    };
    static const piece_t custom = {
        "ctc", "response.custom_tool_call_input", "", ""
    };

    switch (block->kind) {
    case CLB_PART_TEXT: return &text;
    case CLB_PART_REASONING: return &summary;
    default: return call_of(reply, block)->custom ? &custom : &function;
    }
}

/* Room for the id of an item. */
typedef char item_id_t[64];

static const char *item_id(const clb_reply_t *reply, int i, item_id_t id)
{
    apr_snprintf(id, sizeof(item_id_t), "%s_%s_%d",
                 piece_of(reply, block_at(reply, i))->id,
                 reply->id + sizeof("resp_") - 1, i);
    return id;
}

/* --- items --- */

static clb_json_t *text_part(const char *text, apr_pool_t *pool)
{
    return clb_json_pack(pool, "{s:s, s:[], s:[], s:s}", "type",
                         "output_text", "annotations", "logprobs", "text",
                         text);
}

static clb_json_t *summary_part(const char *text, apr_pool_t *pool)
{
    return clb_json_pack(pool, "{s:s, s:s}", "type", "summary_text", "text",
                         text);
}

/* The text that only the vendor reads: what proves its reasoning, or what it
 * keeps to itself of it. */
static const char *sealed(const clb_reply_t *reply, const clb_block_t *block)
{
    return block->hidden != NULL
         ? apr_pstrcat(reply->pool, CLB_RESPONSES_HIDDEN, block->hidden, NULL)
         : block->signature != NULL
         ? apr_pstrcat(reply->pool, CLB_RESPONSES_SIGNED, block->signature,
                       NULL)
         : NULL;
}

static const char *status_name(const clb_reply_t *reply)
{
    return reply->stop == CLB_STOP_LENGTH || reply->stop == CLB_STOP_FILTER
         ? "incomplete" : "completed";
}

/* The group that the tool @a call is of, or NULL. */
static const char *space_of(const clb_reply_t *reply, const clb_call_t *call)
{
    const clb_tool_t *tool = clb_chat_tool(reply->chat, call->name);

    return tool == NULL ? NULL : tool->space;
}

/* What the client calls it. */
static const char *name_of(const clb_reply_t *reply, const clb_call_t *call)
{
    const char *space = space_of(reply, call);

    return space == NULL ? call->name : call->name + strlen(space) + 1;
}

/* @a text is its arguments or its input. */
static clb_json_t *call_json(const clb_reply_t *reply, const char *id,
                             const clb_call_t *call, const char *status,
                             const char *text)
{
    const char *space = space_of(reply, call);
    clb_json_t *json = clb_json_pack(reply->pool,
        "{s:s, s:s, s:s, s:s, s:s, s:s}", "id", id,
        "type", call->custom ? "custom_tool_call" : "function_call",
        "status", status, call->custom ? "input" : "arguments", text,
        "call_id", call->id, "name", name_of(reply, call));

    if (space != NULL) {
        clb_json_set(json, "namespace", clb_json_pack(reply->pool, "s",
                                                      space));
    }
    return json;
}

/* What item @a i says: its text, summary, arguments or input. */
static const char *said(const clb_reply_t *reply, int i)
{
    const clb_block_t *block = block_at(reply, i);

    if (block->kind != CLB_PART_CALL) {
        return clb_reply_text(reply, i);
    }
    return call_of(reply, block)->custom
         ? clb_call_input(call_of(reply, block), reply->pool)
         : clb_call_arguments(call_of(reply, block));
}

/* Item @a i; one that has just begun is @a empty. */
static clb_json_t *item_json(const clb_reply_t *reply, int i, int empty,
                             int seals)
{
    apr_pool_t *pool = reply->pool;
    const clb_block_t *block = block_at(reply, i);
    const char *text = empty ? "" : said(reply, i), *seal;
    const char *status = empty ? "in_progress"
        : i < reply->blocks->nelts - 1 ? "completed" : status_name(reply);
    item_id_t id;
    clb_json_t *json, *parts = clb_json_pack(pool, "[]");

    item_id(reply, i, id);
    if (block->kind == CLB_PART_CALL) {
        return call_json(reply, id, call_of(reply, block), status, text);
    }
    if (block->kind == CLB_PART_TEXT) {
        if (!empty) {
            clb_json_append(parts, text_part(text, pool));
        }
        return clb_json_pack(pool, "{s:s, s:s, s:s, s:O, s:s}", "id", id,
                             "type", "message", "status", status, "content",
                             parts, "role", "assistant");
    }
    if (*text != '\0') {
        clb_json_append(parts, summary_part(text, pool));
    }
    json = clb_json_pack(pool, "{s:s, s:s, s:O}", "id", id, "type",
                         "reasoning", "summary", parts);
    if (!empty && seals && (seal = sealed(reply, block)) != NULL) {
        clb_json_set(json, "encrypted_content", clb_json_pack(pool, "s",
                                                              seal));
    }
    return json;
}

/* --- the response --- */

clb_json_t *clb_responses_usage(const clb_reply_t *reply)
{
    const clb_usage_t *u = &reply->usage;
    long long in = u->input + u->cache_read + u->cache_write;

    return clb_json_pack(reply->pool,
        "{s:I, s:{s:I, s:I}, s:I, s:{s:I}, s:I}", "input_tokens", in,
        "input_tokens_details", "cached_tokens", (long long)u->cache_read,
        "cache_write_tokens", (long long)u->cache_write,
        "output_tokens", (long long)u->output,
        "output_tokens_details", "reasoning_tokens", (long long)u->reasoning,
        "total_tokens", in + (long long)u->output);
}

/* A response with its first @a items; NULL members are null. */
static clb_json_t *response_json(const clb_reply_t *reply, const char *status,
                                 int items, const clb_json_t *usage)
{
    apr_pool_t *pool = reply->pool;
    clb_json_t *output = clb_json_pack(pool, "[]"), *json;
    int i;

    for (i = 0; i < items; i++) {
        clb_json_append(output, item_json(reply, i, 0,
                                          reply->chat->signatures));
    }
    json = clb_json_pack(pool, "{s:s, s:s, s:I, s:s, s:b, s:n, s:n, s:n, s:s, "
        "s:O, s:s?, s:s, s:b, s:O?}", "id", reply->id, "object", "response",
        "created_at", (long long)reply->created, "status", status,
        "background", reply->chat->background, "completed_at", "error",
        "incomplete_details", "model", reply->chat->asked, "output", output,
        "previous_response_id", reply->chat->previous, "service_tier",
        "default", "store", reply->chat->stored, "usage", usage);
    clb_json_update(json, reply->chat->echo);
    return json;
}

/* The response at its end. */
static clb_json_t *ended_json(const clb_reply_t *reply)
{
    apr_pool_t *pool = reply->pool;
    clb_json_t *json = response_json(reply, status_name(reply),
                                     reply->blocks->nelts,
                                     clb_responses_usage(reply));

    if (reply->stop == CLB_STOP_LENGTH || reply->stop == CLB_STOP_FILTER) {
        clb_json_set(json, "incomplete_details", clb_json_pack(pool, "{s:s}",
            "reason", reply->stop == CLB_STOP_LENGTH ? "max_output_tokens"
                                                     : "content_filter"));
    }
    else {
        clb_json_set(json, "completed_at", clb_json_pack(pool, "I",
                     (long long)apr_time_sec(apr_time_now())));
    }
    return json;
}

void clb_responses_whole(clb_reply_t *reply)
{
    clb_json_write(&reply->out, ended_json(reply));
}

/* The vendor's few names for why a response failed; clients act on some. */
static const char *failure(clb_error_e kind)
{
    switch (kind) {
    case CLB_RATE_LIMITED: return "rate_limit_exceeded";
    case CLB_QUOTA_EXHAUSTED: return "insufficient_quota";
    case CLB_CONTEXT_LENGTH: return "context_length_exceeded";
    case CLB_BAD_REQUEST:
    case CLB_UNSUPPORTED:
    case CLB_CONTENT_FILTER: return "invalid_prompt";
    default: return "server_error";
    }
}

/* The response with what was complete of it when it failed. */
static clb_json_t *failed_json(const clb_reply_t *reply,
                               const clb_error_t *error)
{
    clb_json_t *json = response_json(reply, "failed", reply->open > 0
                                     ? reply->open - 1 : 0, NULL);

    clb_json_set(json, "error", clb_responses_failure(error, reply->pool));
    return json;
}

clb_json_t *clb_responses_failure(const clb_error_t *error, apr_pool_t *pool)
{
    return clb_json_pack(pool, "{s:s, s:s}", "code", failure(error->kind),
                         "message", clb_error_text(error, pool));
}

clb_json_t *clb_responses_json(const clb_reply_t *reply,
                               clb_progress_e progress,
                               const clb_error_t *error)
{
    switch (progress) {
    case CLB_QUEUED: return response_json(reply, "queued", 0, NULL);
    case CLB_RUNNING: return response_json(reply, "in_progress", 0, NULL);
    case CLB_ENDED: return ended_json(reply);
    default: return failed_json(reply, error);
    }
}

void clb_responses_items(const clb_reply_t *reply, clb_json_t *list)
{
    int i;

    for (i = 0; i < reply->blocks->nelts; i++) {
        clb_json_append(list, item_json(reply, i, 0, 1));
    }
}

/* --- events --- */

static void put(clb_reply_t *reply, const char *type,
                const clb_json_t *members)
{
    clb_json_t *json = clb_json_pack(reply->pool, "{s:s, s:i}", "type", type,
                                     "sequence_number", reply->count++);

    clb_json_update(json, members);
    clb_sse_begin_named(&reply->out, type);
    clb_json_write(&reply->out, json);
    clb_sse_end(&reply->out);
}

static void put_response(clb_reply_t *reply, const char *type,
                         const clb_json_t *response)
{
    put(reply, type, clb_json_pack(reply->pool, "{s:O}", "response",
                                   response));
}

void clb_responses_begin(clb_reply_t *reply)
{
    clb_json_t *response = response_json(reply, "in_progress", 0, NULL);

    put_response(reply, "response.created", response);
    put_response(reply, "response.in_progress", response);
}

static void put_item(clb_reply_t *reply, const char *type, int i, int empty)
{
    put(reply, type, clb_json_pack(reply->pool, "{s:i, s:O}", "output_index",
                                   i, "item", item_json(reply, i, empty,
                                   reply->chat->signatures)));
}

/* A part of item @a i begins or ends. */
static void put_part(clb_reply_t *reply, int i, const char *what,
                     const char *text)
{
    int message = block_at(reply, i)->kind == CLB_PART_TEXT;
    item_id_t id;

    put(reply, apr_pstrcat(reply->pool, message ? "response.content_part."
                           : "response.reasoning_summary_part.", what, NULL),
        clb_json_pack(reply->pool, "{s:s, s:i, s:i, s:O}",
            "item_id", item_id(reply, i, id), "output_index", i,
            message ? "content_index" : "summary_index", 0, "part",
            message ? text_part(text, reply->pool)
                    : summary_part(text, reply->pool)));
}

/* @a text of item @a i as `delta`, or all of it at its end. */
static void put_text(clb_reply_t *reply, int i, const char *what,
                     const char *key, const char *text, apr_size_t len)
{
    const piece_t *piece = piece_of(reply, block_at(reply, i));
    clb_buf_t *out = &reply->out;
    char head[320], type[64];
    item_id_t id;

    apr_snprintf(type, sizeof(type), "%s.%s", piece->event, what);
    apr_snprintf(head, sizeof(head), "{\"type\":\"%s\",\"sequence_number\":%d,"
                 "\"item_id\":\"%s\",\"output_index\":%d,%s\"%s\":", type,
                 reply->count++, item_id(reply, i, id), i, piece->index, key);
    clb_sse_begin_named(out, type);
    clb_buf_puts(out, head);
    clb_json_quote(out, text, len);
    clb_buf_puts(out, piece->tail);
    clb_buf_puts(out, "}");
    clb_sse_end(out);
}

static void delta(clb_reply_t *reply, const char *text, apr_size_t len)
{
    put_text(reply, reply->open - 1, "delta", "delta", text, len);
}

static void put_call_done(clb_reply_t *reply, int i, const char *text)
{
    const clb_call_t *call = call_of(reply, block_at(reply, i));
    item_id_t id;

    /* the text for a custom tool stands inside of the arguments */
    if (call->custom || call->arguments.len == 0) {
        delta(reply, text, strlen(text));
    }
    if (call->custom) {
        put_text(reply, i, "done", "input", text, strlen(text));
        return;
    }
    put(reply, "response.function_call_arguments.done", clb_json_pack(
        reply->pool, "{s:s, s:i, s:s, s:s}", "item_id", item_id(reply, i, id),
        "output_index", i, "name", name_of(reply, call), "arguments", text));
}

/* End the item that is open, if one is. */
static void close_item(clb_reply_t *reply)
{
    int i = reply->open - 1;
    const char *text;

    if (i < 0) {
        return;
    }
    text = said(reply, i);
    if (block_at(reply, i)->kind == CLB_PART_CALL) {
        put_call_done(reply, i, text);
    }
    else if (block_at(reply, i)->kind == CLB_PART_TEXT || *text != '\0') {
        put_text(reply, i, "done", "text", text, strlen(text));
        put_part(reply, i, "done", text);
    }
    put_item(reply, "response.output_item.done", i, 0);
}

/* Begin the item that an event began, after the end of the one before. */
static void follow(clb_reply_t *reply)
{
    int i = reply->open;

    if (i == reply->blocks->nelts) {
        return;
    }
    close_item(reply);
    reply->open++;
    put_item(reply, "response.output_item.added", i, 1);
    if (block_at(reply, i)->kind == CLB_PART_TEXT) {
        put_part(reply, i, "added", "");
    }
}

/* Only reasoning that shows something has a summary. */
static void add_reasoning(clb_reply_t *reply, const clb_event_t *ev)
{
    if (ev->u.text.len == 0) {
        return;
    }
    if (reply->reasoning.len == clb_reply_block(reply)->from) {
        put_part(reply, reply->open - 1, "added", "");
    }
    clb_buf_add(&reply->reasoning, ev->u.text.data, ev->u.text.len);
    delta(reply, ev->u.text.data, ev->u.text.len);
}

static void end(clb_reply_t *reply, const clb_event_t *ev)
{
    clb_json_t *response;

    reply->stop = ev->u.stop;
    close_item(reply);
    response = ended_json(reply);
    put_response(reply, apr_pstrcat(reply->pool, "response.",
                 status_name(reply), NULL), response);
}

void clb_responses_event(clb_reply_t *reply, const clb_event_t *ev)
{
    follow(reply);
    switch (ev->kind) {
    case CLB_EV_TEXT:
        clb_buf_add(&reply->text, ev->u.text.data, ev->u.text.len);
        delta(reply, ev->u.text.data, ev->u.text.len);
        break;
    case CLB_EV_REASONING:
        add_reasoning(reply, ev);
        break;
    case CLB_EV_ARGUMENTS:
        if (!clb_reply_call(reply)->custom && ev->u.text.len > 0) {
            delta(reply, ev->u.text.data, ev->u.text.len);
        }
        break;
    case CLB_EV_STOP:
        end(reply, ev);
        break;
    default:
        break;
    }
}

/* --- failures --- */

void clb_responses_error(clb_reply_t *reply, const clb_error_t *error)
{
    apr_pool_t *pool = reply->pool;

    if (reply->count == 0) {
        clb_responses_begin(reply);
    }
    put(reply, "error", clb_json_pack(pool, "{s:s?, s:s, s:s?}",
        "code", clb_error_info(error->kind)->openai_code, "message",
        clb_error_text(error, pool), "param", error->param));
    put_response(reply, "response.failed", failed_json(reply, error));
}

void clb_responses_socket_error(clb_reply_t *reply, const clb_error_t *error)
{
    const clb_error_info_t *info = clb_error_info(error->kind);

    if (reply->count > 0) {
        clb_responses_error(reply, error);
        return;
    }
    clb_sse_begin_named(&reply->out, "error");
    clb_json_write(&reply->out, clb_json_pack(reply->pool,
        "{s:s, s:i, s:{s:s?, s:s, s:s, s:s?}}", "type", "error", "status",
        info->status, "error", "type", info->openai_type, "code",
        info->openai_code != NULL ? info->openai_code : info->name,
        "message", clb_error_text(error, reply->pool), "param",
        error->param));
    clb_sse_end(&reply->out);
}
