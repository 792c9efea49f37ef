/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Responses on a WebSocket: each message is a request, one after the other, and
 * what would be its stream comes back, each event a message. The connection
 * has a thread of httpd's for as long as it lasts, so there are few of them,
 * and one that is idle ends. Sources: RFC 6455; OpenAI's guide "WebSocket
 * mode". Where its handshake is over a connection has nothing of HTTP left, so
 * filters of requests and answers are passed by.
 */
#include "socket.h"

#include "../core/frame.h"
#include "../proc/supervise.h"
#include "auth.h"
#include "handler.h"
#include "job.h"
#include "reply.h"
#include "wait.h"

#include <ap_mpm.h>
#include <apr_base64.h>
#include <apr_poll.h>
#include <apr_sha1.h>
#include <apr_strings.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <string.h>

APLOG_USE_MODULE(clibridge);

#define FILTER "CLIBRIDGE_SOCKET"

/* RFC 6455, section 1.3. */
#define MAGIC "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/* Bytes of a client's nonce, and of its base64. */
#define NONCE 16
#define NONCE_TEXT 24

/* The vendor's; its clients open another one then. */
#define LIFE apr_time_from_sec(3600)

/* Pings without any answer until the client counts as gone. */
#define PINGS 3

/* Bytes that are read at once. */
#define READ 65536

/* How often in a row, before something else has its turn: a client that never
 * pauses would hold up its own answer, and every limit of it. */
#define ROUNDS 16

/* How long to wait for bytes at once. */
#define PATIENCE apr_time_from_sec(1)

typedef struct socket_t {
    request_rec *r;
    clb_dir_conf_t conf;
    clb_claim_t claim;
    clb_frames_t frames;
    clb_buf_t text;              /* of a stream, what is no line yet */
    clb_buf_t out;               /* frames */
    apr_bucket_brigade *in;
    apr_bucket_brigade *bb;
    clb_recent_t recent;         /* the last answer */
    clb_buf_t last;              /* the last request, but for its input */
    const char *waiting;         /* a message that came in mid-answer */
    apr_size_t len;
    apr_time_t opened;
    apr_time_t heard;            /* the last bytes of the client */
    apr_time_t asked;            /* the end of the last answer */
    apr_time_t pinged;
    int over;                    /* 1, or why it ends, to be told */
} socket_t;

/* --- what goes out --- */

static void send_out(socket_t *s)
{
    conn_rec *c = s->r->connection;

    if (s->out.len > 0) {
        apr_brigade_write(s->bb, NULL, NULL, s->out.data, s->out.len);
        APR_BRIGADE_INSERT_TAIL(s->bb,
                                apr_bucket_flush_create(c->bucket_alloc));
        ap_pass_brigade(c->output_filters, s->bb);
        apr_brigade_cleanup(s->bb);
        clb_buf_reset(&s->out);
        if (c->aborted) {
            s->over = 1;
        }
    }
}

/* A line of a stream of events: data is a message, a comment a sign of life. */
static void take_line(socket_t *s, const char *line, apr_size_t len)
{
    if (len > 6 && strncmp(line, "data: ", 6) == 0) {
        clb_frame_write(&s->out, CLB_FRAME_TEXT, line + 6, len - 6);
    }
    else if (len > 0 && *line == ':') {
        clb_frame_write(&s->out, CLB_FRAME_PING, "", 0);
    }
}

/* Lines that are complete become frames. */
static void take_lines(socket_t *s)
{
    const char *line = s->text.data, *end;
    apr_size_t left = s->text.len;

    while ((end = memchr(line, '\n', left)) != NULL) {
        take_line(s, line, (apr_size_t)(end - line));
        left -= (apr_size_t)(end - line) + 1;
        line = end + 1;
    }
    clb_buf_drop(&s->text, s->text.len - left);
}

static apr_status_t events_to_frames(ap_filter_t *f, apr_bucket_brigade *bb)
{
    socket_t *s = f->ctx;
    const char *data;
    apr_size_t len;
    apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (!APR_BUCKET_IS_METADATA(b)
            && apr_bucket_read(b, &data, &len, APR_BLOCK_READ)
               == APR_SUCCESS) {
            clb_buf_add(&s->text, data, len);
        }
    }
    apr_brigade_cleanup(bb);
    take_lines(s);
    send_out(s);
    return s->over == 1 ? APR_ECONNABORTED : APR_SUCCESS;
}

void clb_socket_register(void)
{
    ap_register_output_filter(FILTER, events_to_frames, NULL,
                              AP_FTYPE_RESOURCE);
}

/* --- what comes in --- */

/* Take some of the bytes that are there. @return 1 if there were any */
static int read_some(socket_t *s)
{
    conn_rec *c = s->r->connection;
    apr_status_t rv = ap_get_brigade(c->input_filters, s->in,
                                     AP_MODE_READBYTES, APR_NONBLOCK_READ,
                                     READ);
    apr_size_t before = s->frames.in.len;
    apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(s->in); rv == APR_SUCCESS
         && b != APR_BRIGADE_SENTINEL(s->in); b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t len;

        if (APR_BUCKET_IS_EOS(b)) {
            s->over = 1;
        }
        else if (!APR_BUCKET_IS_METADATA(b)
                 && apr_bucket_read(b, &data, &len, APR_BLOCK_READ)
                    == APR_SUCCESS && len > 0) {
            clb_buf_add(&s->frames.in, data, len);
            s->heard = apr_time_now();
        }
    }
    apr_brigade_cleanup(s->in);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(rv)) {
        s->over = 1;
    }
    return s->frames.in.len > before;
}

/* Act on the frames that are there, up to a message. */
static void take_frames(socket_t *s)
{
    clb_frame_e kind = CLB_FRAME_PONG;
    const char *data;
    apr_size_t len;

    while (!s->over && s->waiting == NULL && kind != CLB_FRAME_NONE) {
        switch (kind = clb_frames_next(&s->frames, &data, &len)) {
        case CLB_FRAME_TEXT:
            s->waiting = data;
            s->len = len;
            break;
        case CLB_FRAME_PING:
            clb_frame_write(&s->out, CLB_FRAME_PONG, data, len);
            break;
        case CLB_FRAME_NONE:
        case CLB_FRAME_PONG:
            break;
        case CLB_FRAME_CLOSE:
            s->over = CLB_CLOSE_NORMAL;
            break;
        case CLB_FRAME_BAD:
            s->over = s->frames.why;
            break;
        }
    }
    send_out(s);
}

/* Until nothing is left: what httpd's filters hold no poll shows. Behind a
 * message that waits little is read. @return 1 if there may be more */
static int hear(socket_t *s)
{
    int rounds = ROUNDS, more = 1;

    take_frames(s);
    while (more && rounds-- > 0 && !s->over
           && (s->waiting == NULL || s->frames.in.len < READ)) {
        more = read_some(s);
        take_frames(s);
    }
    return more;
}

/* Nobody who does not answer is there. */
static void check_alive(socket_t *s, apr_time_t now)
{
    apr_interval_time_t each = s->conf.keep_alive;

    if (now > s->heard + (PINGS + 1) * each) {
        s->over = 1;
    }
    else if (now > s->heard + each && now > s->pinged + each) {
        s->pinged = now;
        clb_frame_write(&s->out, CLB_FRAME_PING, "", 0);
        send_out(s);
    }
}

/* In mid-answer: 1 if nobody waits for it. */
static int gone(void *baton)
{
    socket_t *s = baton;

    if (!hear(s)) {
        check_alive(s, apr_time_now());
    }
    return s->over;
}

/* --- a request --- */

static request_rec *next_request(socket_t *s, apr_pool_t *pool)
{
    request_rec *r = clb_request_again(s->r, pool);

    clb_buf_init(&s->text, pool, 1024);
    ap_add_output_filter(FILTER, s, r, r->connection);
    return r;
}

static void fail(socket_t *s, request_rec *r, const clb_error_t *error)
{
    clb_event_t event = { .kind = CLB_EV_ERROR };
    clb_stream_t *stream = clb_stream_create(r, &clb_openai_socket,
                                             clb_chat_create(r->pool));

    stream->begun = 1;
    event.u.error = *error;
    clb_stream_event(stream, &event);
    r->status = clb_error_info(error->kind)->status;
}

/* One that says what is new is about what the one before was about. */
static clb_json_t *merged(const socket_t *s, const clb_json_t *body,
                          apr_pool_t *pool)
{
    clb_json_t *all;
    const char *why;

    clb_json_parse(&all, s->last.data, s->last.len, CLB_JSON_LENIENT, &why,
                   pool);
    clb_json_set(all, "previous_response_id", clb_json_pack(pool, "s",
                                                            s->recent.id));
    clb_json_update(all, body);
    return all;
}

/* @return the body of the request, or NULL and the error set */
static clb_json_t *body_of(socket_t *s, clb_error_t *error, apr_pool_t *pool)
{
    clb_json_t *body;
    const char *why = NULL, *type;

    if (clb_json_parse(&body, s->waiting, s->len, CLB_JSON_STRICT, &why, pool)
        != APR_SUCCESS || !clb_json_is_object(body)) {
        clb_error_set(error, pool, CLB_BAD_REQUEST, NULL, "a message must be a "
                      "JSON object%s%s", why != NULL ? ": " : "",
                      why != NULL ? why : "");
        return NULL;
    }
    type = clb_json_get_string(body, "type");
    if (type != NULL && strcmp(type, "response.append") == 0
        && s->recent.id != NULL) {
        return merged(s, body, pool);
    }
    if (type == NULL || strcmp(type, "response.create") != 0) {
        clb_error_set(error, pool, CLB_BAD_REQUEST, "type", "'type' must be "
                      "response.create, or response.append after an answer");
        return NULL;
    }
    return body;
}

static void remember(socket_t *s, const clb_json_t *body, apr_pool_t *pool)
{
    clb_json_t *rest = clb_json_pack(pool, "{}");

    clb_json_update(rest, body);
    clb_json_set(rest, "input", clb_json_pack(pool, "n"));
    apr_pool_clear(s->last.pool);
    clb_buf_init(&s->last, s->last.pool, 256);
    clb_json_write(&s->last, rest);
}

/* The model is not asked, but there is something to go on from. */
static void warm_up(clb_job_t *job, clb_stream_t *stream)
{
    clb_event_t event = { .kind = CLB_EV_STOP };

    event.u.stop = CLB_STOP_END;
    stream->stored = job->stored;
    clb_stream_event(stream, &event);
}

static void run(socket_t *s, request_rec *r, clb_json_t *body)
{
    const clb_json_t *generate = clb_json_get(body, "generate");
    clb_stream_t *stream;
    clb_job_t job;

    clb_job_begin(&job, r, &clb_openai_socket);
    job.stored->recent = &s->recent;
    remember(s, body, r->pool);
    if (clb_job_prepare(&job, body) != APR_SUCCESS) {
        fail(s, r, &job.error);
        return;
    }
    stream = clb_stream_create(r, job.route.dialect, job.chat);
    stream->begun = 1;
    stream->client_fd = -1;
    stream->gone = gone;
    stream->waits = s;
    if (clb_json_is_bool(generate) && !clb_json_true(generate)) {
        warm_up(&job, stream);
        return;
    }
    clb_job_run(&job, stream);
    r->status = clb_error_info(stream->error)->status;
}

/* Answer the message that waits. What is large about it or its answer goes with
 * them: the connection may last. */
static void answer(socket_t *s)
{
    clb_buf_t small = s->out;
    clb_error_t error = { 0 };
    clb_json_t *body;
    apr_pool_t *pool;
    request_rec *r;

    apr_pool_create(&pool, s->r->pool);
    clb_buf_init(&s->out, pool, 1024);
    r = next_request(s, pool);
    body = body_of(s, &error, pool);
    s->waiting = NULL;
    clb_frames_forget(&s->frames);
    if (body == NULL) {
        fail(s, r, &error);
    }
    else {
        run(s, r, body);
    }
    clb_client_patience(s->r, s->conf.write);
    /* in logs each is a request */
    ap_run_log_transaction(r);
    s->asked = apr_time_now();
    s->out = small;
    apr_pool_destroy(pool);
}

/* --- the connection --- */

/* It must not outlive what it is served by. */
static int is_stopping(void)
{
    int state = 0;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS
        && state == AP_MPMQ_STOPPING;
}

static void wait_for_bytes(socket_t *s)
{
    apr_pollfd_t set = { .desc_type = APR_POLL_SOCKET,
                         .reqevents = APR_POLLIN };
    apr_int32_t n;

    set.p = s->r->pool;
    set.desc.s = ap_get_conn_socket(s->r->connection);
    apr_poll(&set, 1, &n, PATIENCE);
}

/* Between two requests, whether or not one waits: keys that were valid when it
 * began need not be any more. */
static void check_end(socket_t *s, apr_time_t now)
{
    int old = now > s->opened + LIFE;
    clb_error_t error = { 0 };

    if (old) {
        clb_error_set(&error, s->r->pool, CLB_SOCKET_LIMIT, NULL, "a "
                      "connection lasts an hour: open another one");
        fail(s, next_request(s, s->r->pool), &error);
    }
    if (old || is_stopping()
        || (s->waiting == NULL
            && now > s->asked + clb_run()->global->socket_idle)) {
        s->over = CLB_CLOSE_AWAY;
    }
}

static void serve(socket_t *s)
{
    while (!s->over) {
        int more = hear(s);

        if (!s->over) {
            check_end(s, apr_time_now());
        }
        if (!s->over && s->waiting != NULL) {
            answer(s);
        }
        else if (!s->over && !more) {
            check_alive(s, apr_time_now());
            wait_for_bytes(s);
        }
    }
    if (s->over > 1) {
        clb_frame_close(&s->out, s->over);
        send_out(s);
    }
}

static apr_status_t leave(void *claim)
{
    clb_slot_leave(&clb_run()->table, claim);
    return APR_SUCCESS;
}

static const char *accept_key(request_rec *r, const char *key)
{
    unsigned char digest[APR_SHA1_DIGESTSIZE];
    char *text = apr_palloc(r->pool, (apr_size_t)
                            apr_base64_encode_len(APR_SHA1_DIGESTSIZE));
    apr_sha1_ctx_t sum;

    apr_sha1_init(&sum);
    apr_sha1_update(&sum, key, (unsigned)strlen(key));
    apr_sha1_update(&sum, MAGIC, sizeof(MAGIC) - 1);
    apr_sha1_final(digest, &sum);
    apr_base64_encode_binary(text, digest, sizeof(digest));
    return text;
}

/* From here on the connection is the two programs'. */
static void take_over(socket_t *s, const char *key)
{
    request_rec *r = s->r;
    conn_rec *c = r->connection;

    ap_remove_input_filter_byhandle(c->input_filters, "reqtimeout");
    c->keepalive = AP_CONN_CLOSE;
    r->status = HTTP_SWITCHING_PROTOCOLS;
    r->output_filters = r->proto_output_filters = c->output_filters;
    r->input_filters = r->proto_input_filters = c->input_filters;
    clb_buf_puts(&s->out, apr_pstrcat(r->pool, "HTTP/1.1 101 Switching "
        "Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: ", accept_key(r, key), "\r\nx-request-id: ",
        clb_request(r)->id, "\r\n\r\n", NULL));
    send_out(s);
}

/* An empty buffer in a pool of its own, which may be cleared. */
static void init_alone(clb_buf_t *buf, apr_pool_t *parent)
{
    apr_pool_t *pool;

    apr_pool_create(&pool, parent);
    clb_buf_init(buf, pool, 256);
}

static void open_socket(socket_t *s, request_rec *r)
{
    s->r = r;
    s->conf = clb_dir_conf(r);
    clb_frames_init(&s->frames, r->pool, (apr_size_t)s->conf.max_body);
    clb_buf_init(&s->out, r->pool, 1024);
    init_alone(&s->last, r->pool);
    init_alone(&s->recent.record, r->pool);
    s->in = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    s->bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    s->opened = s->heard = s->asked = apr_time_now();
}

static int is_nonce(const char *key)
{
    unsigned char bytes[NONCE_TEXT];

    return strlen(key) == NONCE_TEXT
        && apr_base64_decode_binary(bytes, key) == NONCE;
}

/* What is wrong with the handshake; NULL = nothing. */
static const char *objection(request_rec *r)
{
    const char *version = apr_table_get(r->headers_in,
                                        "Sec-WebSocket-Version");
    const char *key = apr_table_get(r->headers_in, "Sec-WebSocket-Key");

    return r->connection->master != NULL || r->proto_num < HTTP_VERSION(1, 1)
         ? "a WebSocket needs HTTP/1.1"
         : version == NULL || strcmp(version, "13") != 0
         ? "Sec-WebSocket-Version must be 13"
         : key == NULL || !is_nonce(key)
         ? "Sec-WebSocket-Key must be 16 bytes in base64" : NULL;
}

static int refuse(request_rec *r, clb_error_e kind, const char *message)
{
    clb_error_t error = { kind, message, NULL, 0 };

    return clb_reply_error(r, &clb_openai_responses, &error);
}

int clb_socket_asked(request_rec *r)
{
    return ap_find_token(r->pool, apr_table_get(r->headers_in, "Upgrade"),
                         "websocket")
        && ap_find_token(r->pool, apr_table_get(r->headers_in, "Connection"),
                         "upgrade");
}

int clb_handle_socket(request_rec *r)
{
    socket_t *s = apr_pcalloc(r->pool, sizeof(*s));
    const char *wrong = objection(r);
    clb_run_t *server = clb_run();

    if (!clb_socket_asked(r) || wrong != NULL) {
        apr_table_setn(r->err_headers_out, "Sec-WebSocket-Version", "13");
        return refuse(r, CLB_BAD_REQUEST, wrong != NULL && clb_socket_asked(r)
                      ? wrong : "this is for a WebSocket: Upgrade: websocket");
    }
    if (server == NULL || server->global->sockets == 0) {
        return refuse(r, CLB_NOT_FOUND, "there are no WebSockets here "
                      "(CLIBridgeSockets)");
    }
    if (clb_is_foreign_page(r)) {
        return refuse(r, CLB_FORBIDDEN, "a page from elsewhere may open no "
                      "WebSocket without a key (CLIBridgeOrigin)");
    }
    if (clb_socket_enter(&server->table, server->global->sockets, &s->claim)
        != APR_SUCCESS) {
        return refuse(r, CLB_QUEUE_FULL, "there are too many WebSockets "
                      "(CLIBridgeSockets)");
    }
    apr_pool_cleanup_register(r->pool, &s->claim, leave,
                              apr_pool_cleanup_null);
    open_socket(s, r);
    take_over(s, apr_table_get(r->headers_in, "Sec-WebSocket-Key"));
    clb_client_patience(r, s->conf.write);
    serve(s);
    clb_client_patience(r, -1);
    return OK;
}
