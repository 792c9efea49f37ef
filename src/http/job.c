/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The story of a request that a model answers: body, chat, backend, turn.
 */
#include "job.h"

#include "../api/responses_kept.h"
#include "../api/take.h"
#include "../core/filter.h"
#include "../core/tokens.h"
#include "../proc/turn.h"
#include "auth.h"
#include "body.h"
#include "handler.h"
#include "reply.h"
#include "wait.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <string.h>

APLOG_USE_MODULE(clibridge);

/* What the log says when the client left before its answer (nginx's). */
#define STATUS_CLIENT_GONE 499

/* Where reasoning stands that is shown. */
static clb_reasoning_e place(const clb_job_t *job)
{
    return job->conf.reasoning == CLB_REASONING_TAGS
           && job->route.dialect->thinks ? CLB_REASONING_FIELD
         : job->conf.reasoning;
}

/* What a model thinks by itself is shown where the vendor wants it back. */
static clb_reasoning_e reasoning(const clb_job_t *job)
{
    const clb_backend_t *backend = job->backend;
    int signs = (backend->driver->traits(backend) & CLB_SIGNS) != 0;

    return clb_chat_quiet(job->chat) || (job->chat->model_thinks && !signs)
         ? CLB_REASONING_OFF : place(job);
}

/* The model's name, where the path has it. */
static apr_status_t take_name(clb_job_t *job)
{
    const char *name = job->route.rest;

    return name == NULL ? APR_SUCCESS
         : clb_take_model(job->chat, "model", clb_json_pack(job->r->pool, "s",
                          name), &job->error);
}

static apr_status_t take_chat(clb_job_t *job, clb_json_t *body)
{
    const clb_dialect_t *dialect = job->route.dialect;
    clb_kept_t kept = { clb_stored_find, job->stored };
    request_rec *r = job->r;
    apr_status_t rv;

    job->chat = clb_chat_create(r->pool);
    job->chat->version = clb_request_version(r);
    job->chat->keeps = job->stored->enabled;
    rv = take_name(job);
    if (rv == APR_SUCCESS && dialect->recall != NULL) {
        rv = dialect->recall(body, &kept, &job->error, r->pool);
    }
    if (rv == APR_SUCCESS) {
        rv = dialect->parse(job->chat, body, &job->error);
    }
    if (rv == APR_SUCCESS && place(job) == CLB_REASONING_TAGS) {
        clb_chat_forget_thoughts(job->chat);
    }
    return rv;
}

static apr_status_t no_model(clb_job_t *job)
{
    return clb_error_set(&job->error, job->r->pool, CLB_MODEL_NOT_FOUND,
                         "model", "the model '%s' does not exist here; GET "
                         "/v1/models lists what does", job->chat->asked);
}

/* The backend that serves the model, and what its name says of the chat. */
static apr_status_t take_backend(clb_job_t *job)
{
    clb_server_conf_t *server = clb_server_conf(job->r->server);
    clb_chat_t *chat = job->chat;
    clb_model_t model;

    if (chat->asked == NULL) {
        chat->asked = server->default_model;
    }
    if (chat->asked == NULL) {
        return clb_error_set(&job->error, job->r->pool, CLB_BAD_REQUEST,
                             "model", "'model' must be given");
    }
    if (clb_server_model(&model, server, clb_run()->global->backends,
                         chat->asked, job->r->pool) != APR_SUCCESS) {
        return no_model(job);
    }
    chat->model = model.name;
    if (model.suffixed) {
        clb_suffix_apply(&model.suffix, chat);
    }
    chat->own = model.backend->tools;
    job->backend = model.backend;
    return APR_SUCCESS;
}

/* What the chat is made of must be what this backend's CLI can take. */
static apr_status_t check_needs(clb_job_t *job)
{
    const clb_backend_t *backend = job->backend;
    unsigned lacks = clb_chat_needs(job->chat)
                   & ~backend->driver->can(backend);

    return lacks == 0 ? APR_SUCCESS
         : clb_error_set(&job->error, job->r->pool, CLB_UNSUPPORTED,
                         clb_chat_need_field(job->chat, lacks), "the backend "
                         "'%s' cannot do: %s", backend->name,
                         clb_chat_need_names(lacks, job->r->pool));
}

/* Words for the command line must be among those of CLIBridgeRunArg. */
static apr_status_t check_args(clb_job_t *job)
{
    const apr_array_header_t *args = job->chat->args;
    int wrong = clb_extra_find(&job->extra, job->backend->runs, args);
    apr_pool_t *pool = job->r->pool;

    return wrong < 0 ? APR_SUCCESS
         : clb_error_set(&job->error, pool, CLB_BAD_REQUEST, "args",
                         "the backend '%s' does not allow %s in 'args' "
                         "(CLIBridgeRunArg)", job->backend->name,
                         wrong == args->nelts ? "such an end"
                         : apr_psprintf(pool, "'%.100s'", APR_ARRAY_IDX(
                                        args, wrong, const char *)));
}

static const char *ignored(const clb_chat_t *chat,
                           const clb_backend_t *backend, apr_pool_t *pool)
{
    const clb_driver_t *driver = backend->driver;
    const char *fields = clb_chat_ignored(chat, driver->honours(backend));
    const char *more = driver->drops == NULL ? NULL
                     : driver->drops(chat, pool);

    return fields == NULL || more == NULL ? fields != NULL ? fields : more
         : apr_pstrcat(pool, fields, ", ", more, NULL);
}

/* CLIBridgeUnsupported: fields this backend cannot honour. */
static apr_status_t check_ignored(clb_job_t *job)
{
    const clb_backend_t *backend = job->backend;
    const char *names = ignored(job->chat, backend, job->r->pool);

    if (names == NULL || job->conf.unsupported == CLB_UNSUPPORTED_IGNORE) {
        return APR_SUCCESS;
    }
    if (job->conf.unsupported == CLB_UNSUPPORTED_REJECT) {
        return clb_error_set(&job->error, job->r->pool, CLB_UNSUPPORTED,
                             names, "the backend '%s' cannot honour: %s",
                             backend->name, names);
    }
    apr_table_setn(job->r->headers_out, "x-clibridge-ignored", names);
    return APR_SUCCESS;
}

void clb_job_begin(clb_job_t *job, request_rec *r,
                   const clb_dialect_t *dialect)
{
    memset(job, 0, sizeof(*job));
    job->r = r;
    job->conf = clb_dir_conf(r);
    job->route = clb_request_route(r);
    job->route.dialect = dialect != NULL ? dialect : job->route.dialect;
    job->stored = clb_stored_open(r);
}

apr_status_t clb_job_prepare(clb_job_t *job, clb_json_t *body)
{
    apr_status_t rv;

    if ((rv = take_chat(job, body)) != APR_SUCCESS
        || (rv = take_backend(job)) != APR_SUCCESS
        || job->route.kind == CLB_ROUTE_COUNT
        || (rv = check_needs(job)) != APR_SUCCESS
        || (rv = check_args(job)) != APR_SUCCESS) {
        return rv;
    }
    return check_ignored(job);
}

/* The same for a request whose body is still to be read. */
static apr_status_t prepare(clb_job_t *job)
{
    clb_json_t *body;
    apr_status_t rv;

    if (clb_run() == NULL) {
        return clb_error_set(&job->error, job->r->pool, CLB_SHUTTING_DOWN,
                             NULL, "the server is not ready");
    }
    rv = clb_body_read(job->r, job->conf.max_body, &body, &job->error);
    return rv != APR_SUCCESS ? rv : clb_job_prepare(job, body);
}

static int gone(void *baton)
{
    clb_stream_t *stream = baton;

    return stream->gone(stream->waits);
}

static apr_status_t tick(void *stream)
{
    return clb_stream_tick(stream);
}

static apr_status_t filtered(void *filter, const clb_event_t *event)
{
    return clb_filter_event(filter, event);
}

static void note(request_rec *r, const char *name, apr_int64_t value)
{
    apr_table_setn(r->notes, name, apr_psprintf(r->pool, "%" APR_INT64_T_FMT,
                                                value));
}

/* What CustomLog can show of a turn: %{clibridge-…}n. */
static void take_notes(const clb_job_t *job, const clb_turn_t *turn,
                       const clb_stream_t *stream)
{
    request_rec *r = job->r;
    const clb_usage_t *usage = &stream->reply->usage;

    apr_table_setn(r->notes, "clibridge-model", job->chat->model);
    apr_table_setn(r->notes, "clibridge-backend", job->backend->name);
    note(r, "clibridge-process", turn->process);
    note(r, "clibridge-tools", turn->tools);
    note(r, "clibridge-queue-ms", apr_time_as_msec(turn->queued));
    note(r, "clibridge-tokens-in", usage->input + usage->cache_read
         + usage->cache_write);
    note(r, "clibridge-tokens-out", usage->output);
    if (stream->first != 0) {
        note(r, "clibridge-first-ms", apr_time_as_msec(stream->first
                                                       - r->request_time));
    }
}

static void finish(const clb_job_t *job, const clb_turn_t *turn,
                   const clb_stream_t *stream)
{
    request_rec *r = job->r;

    take_notes(job, turn, stream);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, "request %s: model %s, "
                  "process %u, %s", clb_request(r)->id, job->chat->model,
                  turn->process, turn->left ? "client_gone"
                  : clb_error_info(stream->error)->name);
    if (turn->left) {
        apr_table_setn(r->notes, "clibridge-error",
                       clb_error_info(CLB_CLIENT_GONE)->name);
        r->connection->keepalive = AP_CONN_CLOSE;
        if (!stream->begun) {
            r->status = STATUS_CLIENT_GONE;
        }
    }
}

/* CLIBridgeTimeout turn, unless the client has less patience. */
static apr_interval_time_t patience(const clb_job_t *job)
{
    double asked = job->chat->timeout * APR_USEC_PER_SEC;

    return asked > 0 && asked < (double)job->conf.turn
         ? (apr_interval_time_t)asked : job->conf.turn;
}

static void fill(clb_turn_t *turn, const clb_job_t *job, clb_stream_t *stream)
{
    const clb_dir_conf_t *conf = &job->conf;
    clb_sink_t sink = { clb_stream_event, stream };
    clb_filter_t *filter;

    turn->pool = job->r->pool;
    turn->run = clb_run();
    turn->backend = job->backend;
    turn->key = clb_fairness_key(job->r);
    turn->owner = clb_owner(job->r);
    turn->chat = job->chat;
    turn->extra = job->extra;
    turn->limits.queue = turn->run->global->queue_timeout;
    turn->limits.first = conf->first;
    turn->limits.idle = conf->idle;
    turn->limits.turn = patience(job);
    turn->limits.tick = job->chat->stream ? conf->keep_alive : 0;
    /* a CLI repeats an answer as one line, with escapes */
    turn->max_line = (apr_size_t)conf->max_answer * 2 + 1024 * 1024;
    filter = clb_filter_create(turn->pool, job->chat->stop,
                               (apr_size_t)conf->max_answer, sink);
    turn->sink.event = filtered;
    turn->sink.baton = filter;
    clb_filter_form(filter, job->chat);
    clb_filter_reasoning(filter, reasoning(job));
    turn->client_fd = stream->client_fd;
    turn->gone = gone;
    turn->tick = tick;
    turn->flush = clb_stream_flush;
    turn->baton = stream;
    stream->told = &turn->told;
}

/* Nobody waits for the answer, but may ask for it later: the client is told its
 * id at once. */
static apr_status_t detach(clb_job_t *job, clb_stream_t *stream)
{
    clb_stored_t *stored = job->stored;
    const clb_json_t *record = clb_stored_keep(stored, job->route.dialect,
                                               stream->reply, CLB_QUEUED,
                                               NULL);
    clb_buf_t body;

    if (record == NULL) {
        return clb_error_set(&job->error, job->r->pool, CLB_OVERLOADED, NULL,
                             "the server has no room for the answer "
                             "(CLIBridgeStore)");
    }
    if (job->chat->stream) {
        clb_stream_start(stream);
    }
    else {
        clb_buf_init(&body, job->r->pool, 1024);
        clb_json_write(&body, clb_kept_response(record));
        clb_reply_now(job->r, body.data, body.len);
        stream->begun = stream->detached = 1;
    }
    stream->client_fd = -1;
    stream->gone = clb_stored_gone;
    stream->waits = stored;
    return APR_SUCCESS;
}

/* To whoever still listens to what was cancelled. */
static void say_cancelled(clb_stream_t *stream)
{
    clb_event_t event = { .kind = CLB_EV_ERROR };

    event.u.error.kind = CLB_CLIENT_GONE;
    event.u.error.message = "the response was cancelled";
    clb_stream_event(stream, &event);
}

void clb_job_run(clb_job_t *job, clb_stream_t *stream)
{
    clb_turn_t turn = { 0 };

    stream->stored = job->stored;
    fill(&turn, job, stream);
    clb_client_patience(job->r, job->conf.write);
    clb_turn_run(&turn);
    if (turn.left && job->chat->background && !stream->detached) {
        say_cancelled(stream);
    }
    clb_stream_end(stream);
    clb_client_patience(job->r, -1);
    finish(job, &turn, stream);
}

int clb_handle_turn(request_rec *r)
{
    clb_job_t job;
    clb_stream_t *stream;

    clb_job_begin(&job, r, NULL);
    if (prepare(&job) != APR_SUCCESS) {
        return clb_reply_error(r, job.route.dialect, &job.error);
    }
    stream = clb_stream_create(r, job.route.dialect, job.chat);
    if (job.chat->background && detach(&job, stream) != APR_SUCCESS) {
        return clb_reply_error(r, job.route.dialect, &job.error);
    }
    clb_job_run(&job, stream);
    return OK;
}

int clb_handle_count(request_rec *r)
{
    clb_job_t job;
    clb_buf_t body;

    clb_job_begin(&job, r, NULL);
    if (prepare(&job) != APR_SUCCESS) {
        return clb_reply_error(r, job.route.dialect, &job.error);
    }
    clb_buf_init(&body, r->pool, 64);
    job.route.dialect->count(&body, clb_tokens_chat(job.chat));
    return clb_reply_json(r, HTTP_OK, body.data, body.len);
}
