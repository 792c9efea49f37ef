/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers that are kept, each in a record that the dialect makes. One that is
 * made in the background is in there from its beginning; its record is touched
 * while a worker is at it, so that an answer whose worker was killed is known.
 * To cancel it is to put another record in its place, to remove it is to take
 * the record away: the worker looks.
 */
#include "stored.h"

#include "../api/responses_kept.h"
#include "../proc/supervise.h"
#include "auth.h"
#include "handler.h"
#include "reply.h"

#include <apr_strings.h>
#include <http_log.h>
#include <string.h>

APLOG_USE_MODULE(clibridge);

/* How often a record is touched, and when that was too long ago. */
#define TICK apr_time_from_sec(1)
#define STALE apr_time_from_sec(60)

/* Most requests have nothing to do with what is kept. */
static void renew(clb_stored_t *stored)
{
    if (stored->scratch == NULL) {
        apr_pool_create(&stored->scratch, stored->r->pool);
    }
    else {
        apr_pool_clear(stored->scratch);
    }
}

clb_stored_t *clb_stored_open(request_rec *r)
{
    clb_stored_t *stored = apr_pcalloc(r->pool, sizeof(*stored));
    const clb_global_t *global = clb_run() == NULL ? NULL : clb_run()->global;
    clb_dir_conf_t conf = clb_dir_conf(r);

    stored->r = r;
    stored->owner = clb_owner(r);
    if (global != NULL && global->answers > 0) {
        stored->enabled = 1;
        stored->store.dir = global->answers_dir;
        stored->store.max = (apr_size_t)global->answers;
        stored->store.size = global->answers_size;
        stored->store.age = global->answers_age;
        stored->store.longest = 2 * conf.max_body + conf.max_answer;
    }
    return stored;
}

static clb_json_t *parse(clb_stored_t *stored, const clb_buf_t *text)
{
    clb_json_t *record = NULL;
    const char *why;

    clb_json_parse(&record, text->data, text->len, CLB_JSON_LENIENT, &why,
                   stored->r->pool);
    return record;
}

/* Nobody works any more on what was not touched for so long. */
static void check_stale(clb_stored_t *stored, const char *id,
                        clb_json_t *record)
{
    static const clb_error_t stopped = {
        CLB_SHUTTING_DOWN, "the server was stopped before the answer was "
        "complete", NULL, 0
    };
    apr_time_t when;

    if (clb_kept_runs(record)
        && clb_store_look(&stored->store, stored->owner, id, NULL, &when,
                          stored->scratch) == APR_SUCCESS
        && when + STALE < apr_time_now()) {
        clb_kept_end(record, "failed", &stopped, stored->r->pool);
    }
}

clb_json_t *clb_stored_find(void *baton, const char *id, clb_error_t *error)
{
    clb_stored_t *stored = baton;
    clb_store_t store = stored->store;
    clb_json_t *record;
    clb_buf_t text;
    apr_status_t rv = APR_ENOENT;

    if (stored->recent != NULL && stored->recent->id != NULL
        && strcmp(stored->recent->id, id) == 0) {
        return parse(stored, &stored->recent->record);
    }
    renew(stored);
    clb_buf_init(&text, stored->scratch, 0);
    store.longest -= stored->read;
    if (stored->enabled) {
        rv = clb_store_get(&store, stored->owner, id, &text, &stored->found,
                           stored->scratch);
    }
    if (rv == APR_ENOSPC) {
        clb_error_set(error, stored->r->pool, CLB_TOO_LARGE, NULL, "the "
                      "conversation is longer than this server takes "
                      "(CLIBridgeMaxBody)");
    }
    if (rv != APR_SUCCESS) {
        return NULL;
    }
    stored->read += (apr_off_t)text.len;
    record = parse(stored, &text);
    if (!clb_json_is_object(clb_kept_response(record))) {
        return NULL;
    }
    check_stale(stored, id, record);
    return record;
}

/* --- the answer under way --- */

static void remember(clb_recent_t *recent, const char *id,
                     const clb_json_t *record)
{
    apr_pool_t *pool = recent->record.pool;

    apr_pool_clear(pool);
    recent->id = apr_pstrdup(pool, id);
    clb_buf_init(&recent->record, pool, 1024);
    clb_json_write(&recent->record, record);
}

static apr_status_t put(clb_stored_t *stored, const clb_json_t *record)
{
    clb_buf_t text;
    apr_status_t rv;

    renew(stored);
    clb_buf_init(&text, stored->scratch, 4096);
    clb_json_write(&text, record);
    rv = clb_store_put(&stored->store, stored->owner, stored->id, text.data,
                       text.len, &stored->version, stored->scratch);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_ENOENT(rv)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, stored->r, "the answer "
                      "cannot be kept in %s (CLIBridgeStore)",
                      stored->store.dir);
    }
    stored->touched = apr_time_now();
    return rv;
}

clb_json_t *clb_stored_keep(clb_stored_t *stored, const clb_dialect_t *dialect,
                            const clb_reply_t *reply, clb_progress_e progress,
                            const clb_error_t *error)
{
    const clb_chat_t *chat = reply->chat;
    int ended = progress == CLB_ENDED;
    clb_json_t *record;

    if (dialect->record == NULL || !(ended || chat->background)
        || !(chat->stored || stored->recent != NULL)
        || (stored->version != 0 && clb_stored_gone(stored))) {
        return NULL;
    }
    record = dialect->record(reply, progress, error);
    stored->id = reply->id;
    if (stored->recent != NULL) {
        remember(stored->recent, reply->id, record);
    }
    return !chat->stored || put(stored, record) == APR_SUCCESS ? record : NULL;
}

int clb_stored_gone(void *baton)
{
    clb_stored_t *stored = baton;
    apr_time_t now = apr_time_now();
    clb_version_t version;

    renew(stored);
    if (clb_store_look(&stored->store, stored->owner, stored->id, &version,
                       NULL, stored->scratch) != APR_SUCCESS
        || version != stored->version) {
        return 1;
    }
    if (stored->touched + TICK < now) {
        clb_store_touch(&stored->store, stored->owner, stored->id,
                        stored->scratch);
        stored->touched = now;
    }
    return 0;
}

/* --- requests about answers --- */

static int reply_json(request_rec *r, const clb_json_t *json)
{
    clb_buf_t body;

    clb_buf_init(&body, r->pool, 1024);
    clb_json_write(&body, json);
    return clb_reply_json(r, HTTP_OK, body.data, body.len);
}

static int cancel(clb_stored_t *stored, const clb_route_t *route,
                  clb_json_t *record)
{
    request_rec *r = stored->r;
    clb_error_t error = { 0 };
    apr_status_t rv = APR_SUCCESS;

    if (!clb_kept_background(record)) {
        clb_error_set(&error, r->pool, CLB_BAD_REQUEST, NULL, "the response "
                      "'%s' is not made in the background, so it cannot be "
                      "cancelled: close its connection", route->rest);
        return clb_reply_error(r, route->dialect, &error);
    }
    if (clb_kept_runs(record)) {
        clb_kept_end(record, "cancelled", NULL, r->pool);
        stored->id = route->rest;
        stored->version = stored->found;
        rv = put(stored, record);
    }
    if (APR_STATUS_IS_ENOENT(rv)) {
        /* it came further, or to its end, since it was read */
        return clb_handle_kept(r, route);
    }
    if (rv != APR_SUCCESS) {
        clb_error_set(&error, r->pool, CLB_OVERLOADED, NULL, "the server has "
                      "no room to note that the response '%s' is cancelled "
                      "(CLIBridgeStore)", route->rest);
        return clb_reply_error(r, route->dialect, &error);
    }
    return reply_json(r, clb_kept_response(record));
}

static int list(clb_stored_t *stored, const clb_route_t *route,
                const clb_json_t *record)
{
    request_rec *r = stored->r;
    clb_error_t error = { 0 };
    clb_json_t *page = clb_kept_page(record, r->args, &error, r->pool);

    return page != NULL ? reply_json(r, page)
                        : clb_reply_error(r, route->dialect, &error);
}

int clb_handle_kept(request_rec *r, const clb_route_t *route)
{
    clb_stored_t *stored = clb_stored_open(r);
    clb_error_t error = { 0 };
    clb_json_t *record = clb_stored_find(stored, route->rest, &error);

    if (record != NULL && clb_request_says(r, "stream=true")) {
        clb_error_set(&error, r->pool, CLB_UNSUPPORTED, "stream", "'stream': "
                      "an answer that is kept is not streamed: ask for it "
                      "until its status says that it ended");
        record = NULL;
    }
    if (record == NULL) {
        if (error.kind == CLB_OK) {
            clb_error_set(&error, r->pool, CLB_NOT_FOUND, NULL,
                          "there is no response '%s' here", route->rest);
        }
        return clb_reply_error(r, route->dialect, &error);
    }
    if (route->kind == CLB_ROUTE_CANCEL) {
        return cancel(stored, route, record);
    }
    if (route->kind == CLB_ROUTE_ITEMS) {
        return list(stored, route, record);
    }
    if (r->method_number == M_DELETE) {
        clb_store_remove(&stored->store, stored->owner, route->rest,
                         stored->scratch);
        return reply_json(r, clb_json_pack(r->pool, "{s:s, s:s, s:b}", "id",
                          route->rest, "object", "response", "deleted", 1));
    }
    return reply_json(r, clb_kept_response(record));
}
