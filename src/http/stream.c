/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way from events to brigades.
 */
#include "stream.h"

#include "../api/sse.h"
#include "reply.h"
#include "wait.h"

#include <apr_strings.h>
#include <http_protocol.h>

/* So much is sent although more words are there. */
#define ENOUGH 8192

static int client_gone(void *r)
{
    return clb_client_gone(r);
}

clb_stream_t *clb_stream_create(request_rec *r, const clb_dialect_t *dialect,
                                const clb_chat_t *chat)
{
    clb_stream_t *stream = apr_pcalloc(r->pool, sizeof(*stream));

    stream->r = r;
    stream->dialect = dialect;
    stream->reply = clb_reply_create(dialect, chat,
                                     clb_request(r)->id + sizeof("req"),
                                     r->pool);
    stream->reply->request = clb_request(r)->id;
    stream->bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    stream->client_fd = clb_client_fd(r);
    stream->gone = client_gone;
    stream->waits = r;
    return stream;
}

/* Compression would hold events back and, on a page with secrets, leak them
 * (BREACH). */
static void begin(clb_stream_t *stream)
{
    request_rec *r = stream->r;

    if (stream->begun) {
        return;
    }
    stream->begun = 1;
    ap_set_content_type(r, stream->dialect->type != NULL
                        ? stream->dialect->type : "text/event-stream");
    apr_table_setn(r->headers_out, "X-Accel-Buffering", "no");
    apr_table_setn(r->subprocess_env, "no-gzip", "1");
    apr_table_setn(r->subprocess_env, "no-brotli", "1");
}

static apr_status_t flush(clb_stream_t *stream)
{
    if (!stream->detached && clb_reply_flush(stream->r, stream->bb,
                                             &stream->reply->out)
                             == APR_SUCCESS) {
        if (stream->told != NULL) {
            *stream->told = apr_time_now();
        }
        return APR_SUCCESS;
    }
    stream->detached = 1;
    clb_buf_reset(&stream->reply->out);
    return stream->reply->chat->background ? APR_SUCCESS : APR_ECONNABORTED;
}

/* What is made in the background is kept as it comes, the rest at its end: a
 * client that hears of the end may go on from there at once. */
static void keep(clb_stream_t *stream, clb_progress_e progress,
                 const clb_error_t *error)
{
    if (stream->stored != NULL) {
        clb_stored_keep(stream->stored, stream->dialect, stream->reply,
                        progress, error);
    }
}

static void comment(clb_stream_t *stream, const char *text)
{
    if (stream->dialect->comment != NULL) {
        stream->dialect->comment(stream->reply, text);
    }
    else {
        clb_sse_comment(&stream->reply->out, text);
    }
}

apr_status_t clb_stream_tick(void *baton)
{
    clb_stream_t *stream = baton;

    if (!stream->reply->chat->stream) {
        return APR_SUCCESS;
    }
    begin(stream);
    if (stream->dialect->ping != NULL) {
        stream->dialect->ping(stream->reply);
    }
    else {
        comment(stream, "keep-alive");
    }
    return flush(stream);
}

static void begin_reply(clb_stream_t *stream)
{
    if (stream->reply->chat->stream && !stream->named) {
        stream->named = 1;
        begin(stream);
        stream->dialect->begin(stream->reply);
    }
}

void clb_stream_start(clb_stream_t *stream)
{
    begin_reply(stream);
    flush(stream);
}

static void first_words(clb_stream_t *stream)
{
    if (stream->first == 0) {
        stream->first = apr_time_now();
        keep(stream, CLB_RUNNING, NULL);
        begin_reply(stream);
    }
}

static void take_exit(clb_reply_t *reply, const clb_exit_t *how)
{
    if (how != NULL) {
        reply->exit.status = how->status;
        reply->exit.said = apr_pstrdup(reply->pool, how->said);
    }
}

static apr_status_t gather(clb_stream_t *stream, const clb_event_t *event)
{
    clb_reply_t *reply = stream->reply;

    if (event->kind == CLB_EV_TEXT) {
        clb_buf_add(&reply->text, event->u.text.data, event->u.text.len);
    }
    else if (event->kind == CLB_EV_REASONING) {
        clb_buf_add(&reply->reasoning, event->u.text.data,
                    event->u.text.len);
    }
    else if (event->kind == CLB_EV_STOP) {
        reply->stop = event->u.stop;
        reply->sequence = event->sequence;
        stream->whole = 1;
        keep(stream, CLB_ENDED, NULL);
    }
    return APR_SUCCESS;
}

void clb_stream_end(clb_stream_t *stream)
{
    clb_reply_t *reply = stream->reply;

    if (stream->whole && !stream->detached) {
        stream->dialect->whole(reply);
        clb_reply_json(stream->r, HTTP_OK, reply->out.data, reply->out.len);
    }
}

apr_status_t clb_stream_flush(void *baton)
{
    clb_stream_t *stream = baton;

    return stream->reply->out.len > 0 ? flush(stream) : APR_SUCCESS;
}

static apr_status_t fail(clb_stream_t *stream, const clb_error_t *error)
{
    stream->error = error->kind;
    apr_table_setn(stream->r->notes, "clibridge-error",
                   clb_error_info(error->kind)->name);
    if (stream->dialect->exits && stream->reply->exit.status != 0) {
        stream->whole = 1;
        return APR_SUCCESS;
    }
    keep(stream, CLB_FAILED, error);
    if (!stream->begun) {
        clb_reply_error(stream->r, stream->dialect, error);
        return APR_SUCCESS;
    }
    stream->dialect->error(stream->reply, error);
    return flush(stream);
}

/* No dialect has an event for it, but who watches can see it. */
static apr_status_t note(clb_stream_t *stream, const clb_event_t *event)
{
    if (event->u.note.kind != CLB_NOTE_TOOL || !stream->reply->chat->stream) {
        return APR_SUCCESS;
    }
    begin(stream);
    comment(stream, apr_pstrcat(stream->r->pool, "tool ", event->u.note.text,
                                NULL));
    return flush(stream);
}

apr_status_t clb_stream_event(void *baton, const clb_event_t *event)
{
    clb_stream_t *stream = baton;

    take_exit(stream->reply, event->exit);
    switch (event->kind) {
    case CLB_EV_START:
    case CLB_EV_USAGE:
        stream->reply->usage = event->u.usage;
        return APR_SUCCESS;
    case CLB_EV_TEXT:
    case CLB_EV_REASONING:
    case CLB_EV_SIGNATURE:
    case CLB_EV_HIDDEN:
    case CLB_EV_CALL:
    case CLB_EV_ARGUMENTS:
    case CLB_EV_STOP:
        first_words(stream);
        clb_reply_note(stream->reply, event);
        if (!stream->reply->chat->stream) {
            return gather(stream, event);
        }
        stream->dialect->event(stream->reply, event);
        if (event->kind == CLB_EV_STOP) {
            keep(stream, CLB_ENDED, NULL);
        }
        return event->kind == CLB_EV_STOP
               || stream->reply->out.len >= ENOUGH ? flush(stream)
                                                  : APR_SUCCESS;
    case CLB_EV_NOTE:
        return note(stream, event);
    case CLB_EV_ERROR:
        return fail(stream, &event->u.error);
    default:
        return APR_SUCCESS;
    }
}
