/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filters of one turn. The text held back is always shorter than the
 * longest stop sequence, so each piece is searched once.
 */
#include "filter.h"

#include "json.h"

#include <apr_strings.h>
#include <string.h>

struct clb_filter_t {
    const apr_array_header_t *stop;
    apr_size_t left;
    clb_sink_t sink;
    clb_buf_t held;
    int one_call;
    int calls;
    clb_format_e format;         /* what the answer must be, ... */
    const char *format_name;     /* ... by which field */
    clb_buf_t answer;            /* all of its text, unless that is TEXT */
    clb_reasoning_e reasoning;
    int thinking;                /* a tag is open */
    int over;
};

clb_filter_t *clb_filter_create(apr_pool_t *pool,
                                const apr_array_header_t *stop,
                                apr_size_t max_answer, clb_sink_t sink)
{
    clb_filter_t *filter = apr_pcalloc(pool, sizeof(*filter));

    filter->stop = stop;
    filter->left = max_answer;
    filter->sink = sink;
    clb_buf_init(&filter->held, pool, 256);
    clb_buf_init(&filter->answer, pool, 16);
    return filter;
}

void clb_filter_form(clb_filter_t *filter, const clb_chat_t *chat)
{
    filter->one_call = chat->one_call;
    filter->format = chat->format;
    filter->format_name = chat->format_name;
}

void clb_filter_reasoning(clb_filter_t *filter, clb_reasoning_e as)
{
    filter->reasoning = as;
}

static apr_status_t pass(clb_filter_t *filter, const clb_event_t *event)
{
    return filter->sink.event(filter->sink.baton, event);
}

static apr_status_t pass_text(clb_filter_t *filter, const char *data,
                              apr_size_t len)
{
    clb_event_t event = { .kind = CLB_EV_TEXT };

    if (len == 0) {
        return APR_SUCCESS;
    }
    event.u.text.data = data;
    event.u.text.len = len;
    return pass(filter, &event);
}

/* End the turn here: whatever the driver still says is dropped. */
static apr_status_t finish(clb_filter_t *filter, const clb_event_t *event)
{
    apr_status_t rv = pass(filter, event);

    filter->over = 1;
    return rv == APR_SUCCESS ? APR_EOF : rv;
}

/* Where the stop sequence begins that is complete first in the held text (of
 * several the longest), or NULL. Not the one that begins first: whether that
 * is complete would depend on how the text was cut into events. */
static char *find_stop(const clb_filter_t *filter, const char **which)
{
    char *first = NULL, *first_end = NULL;
    int i;

    for (i = 0; i < filter->stop->nelts; i++) {
        const char *stop = APR_ARRAY_IDX(filter->stop, i, const char *);
        char *at = strstr(filter->held.data, stop);
        char *end = at == NULL ? NULL : at + strlen(stop);

        if (at != NULL && (first == NULL || end < first_end
                           || (end == first_end && at < first))) {
            first = at;
            first_end = end;
            *which = stop;
        }
    }
    return first;
}

/* How long the longest end of @a text is that begins a stop sequence. */
static apr_size_t undecided(const clb_filter_t *filter, const char *text,
                            apr_size_t len)
{
    apr_size_t longest = 0;
    int i;

    for (i = 0; i < filter->stop->nelts; i++) {
        const char *stop = APR_ARRAY_IDX(filter->stop, i, const char *);
        apr_size_t n = strlen(stop) - 1;

        for (n = n < len ? n : len; n > longest; n--) {
            if (memcmp(text + len - n, stop, n) == 0) {
                longest = n;
            }
        }
    }
    return longest;
}

static apr_status_t text(clb_filter_t *filter, const clb_event_t *event)
{
    clb_buf_t *held = &filter->held;
    clb_event_t stop = { .kind = CLB_EV_STOP };
    apr_status_t rv;
    apr_size_t keep;
    char *at;

    if (filter->stop->nelts == 0) {
        return pass(filter, event);
    }
    clb_buf_add(held, event->u.text.data, event->u.text.len);
    at = find_stop(filter, &stop.sequence);
    if (at != NULL) {
        *at = '\0';
        rv = pass_text(filter, held->data, (apr_size_t)(at - held->data));
        stop.u.stop = CLB_STOP_SEQUENCE;
        return rv == APR_SUCCESS ? finish(filter, &stop) : rv;
    }
    keep = undecided(filter, held->data, held->len);
    if (keep > 0) {
        char tail = held->data[held->len - keep];

        /* the piece passed on must end with a NUL of its own */
        held->data[held->len - keep] = '\0';
        rv = pass_text(filter, held->data, held->len - keep);
        held->data[held->len - keep] = tail;
    }
    else {
        rv = pass_text(filter, held->data, held->len);
    }
    clb_buf_drop(held, held->len - keep);
    return rv;
}

static apr_status_t flush(clb_filter_t *filter)
{
    apr_status_t rv = pass_text(filter, filter->held.data, filter->held.len);

    clb_buf_reset(&filter->held);
    return rv;
}

/* Reasoning is no text of the answer: no stop sequence ends it. */
static apr_status_t reasoning(clb_filter_t *filter, const clb_event_t *event)
{
    apr_status_t rv;

    if (filter->reasoning == CLB_REASONING_FIELD) {
        return pass(filter, event);
    }
    if (filter->reasoning == CLB_REASONING_OFF
        || filter->format != CLB_FORMAT_TEXT) {
        return APR_SUCCESS;
    }
    if ((rv = flush(filter)) != APR_SUCCESS) {
        return rv;
    }
    if (!filter->thinking) {
        filter->thinking = 1;
        rv = pass_text(filter, CLB_THINK, sizeof(CLB_THINK) - 1);
    }
    return rv != APR_SUCCESS ? rv
         : pass_text(filter, event->u.text.data, event->u.text.len);
}

/* Whatever is no reasoning ends it. */
static apr_status_t end_reasoning(clb_filter_t *filter)
{
    if (!filter->thinking) {
        return APR_SUCCESS;
    }
    filter->thinking = 0;
    return pass_text(filter, CLB_THOUGHT, sizeof(CLB_THOUGHT) - 1);
}

static apr_status_t too_large(clb_filter_t *filter)
{
    clb_event_t event = { .kind = CLB_EV_ERROR };

    event.u.error.kind = CLB_CLI_FAILED;
    event.u.error.message = "the answer grew larger than this server allows "
                            "(CLIBridgeMaxAnswer)";
    return finish(filter, &event);
}

/* The second call ends the answer: the first is the one that was allowed. */
static apr_status_t call(clb_filter_t *filter, const clb_event_t *event)
{
    clb_event_t stop = { .kind = CLB_EV_STOP };
    apr_status_t rv;

    if (filter->calls++ > 0 && filter->one_call) {
        stop.u.stop = CLB_STOP_CALLS;
        return finish(filter, &stop);
    }
    rv = flush(filter);
    return rv == APR_SUCCESS ? pass(filter, event) : rv;
}

/* An answer that ended by itself must be what was asked for; whether it
 * follows a schema is the vendor's business. */
static int malformed(const clb_filter_t *filter, clb_stop_e stop)
{
    clb_json_t *json;
    const char *why;

    if (filter->format == CLB_FORMAT_TEXT || stop != CLB_STOP_END) {
        return 0;
    }
    return clb_json_parse(&json, filter->answer.data, filter->answer.len,
                          CLB_JSON_LENIENT, &why, filter->answer.pool)
           != APR_SUCCESS
        || (filter->format == CLB_FORMAT_JSON && !clb_json_is_object(json));
}

static apr_status_t stop(clb_filter_t *filter, const clb_event_t *event)
{
    clb_event_t error = { .kind = CLB_EV_ERROR };
    apr_status_t rv = flush(filter);

    if (rv == APR_SUCCESS && malformed(filter, event->u.stop)) {
        error.u.error.kind = CLB_UPSTREAM;
        error.u.error.message = apr_pstrcat(filter->answer.pool, "the model's "
            "answer is not the JSON that ", filter->format_name, " asks for",
            NULL);
        return finish(filter, &error);
    }
    return rv == APR_SUCCESS ? pass(filter, event) : rv;
}

/* What has a text, within the cap. */
static apr_status_t words(clb_filter_t *filter, const clb_event_t *event)
{
    if (event->u.text.len > filter->left) {
        return too_large(filter);
    }
    filter->left -= event->u.text.len;
    if (event->kind == CLB_EV_REASONING) {
        return reasoning(filter, event);
    }
    if (event->kind == CLB_EV_SIGNATURE || event->kind == CLB_EV_HIDDEN) {
        return filter->reasoning == CLB_REASONING_FIELD ? pass(filter, event)
                                                        : APR_SUCCESS;
    }
    if (event->kind == CLB_EV_ARGUMENTS) {
        return pass(filter, event);
    }
    if (filter->format != CLB_FORMAT_TEXT) {
        clb_buf_add(&filter->answer, event->u.text.data, event->u.text.len);
    }
    return text(filter, event);
}

apr_status_t clb_filter_event(clb_filter_t *filter, const clb_event_t *event)
{
    apr_status_t rv = APR_SUCCESS;

    if (filter->over) {
        return APR_EOF;
    }
    if (event->kind == CLB_EV_TEXT || event->kind == CLB_EV_CALL
        || event->kind == CLB_EV_STOP) {
        rv = end_reasoning(filter);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    switch (event->kind) {
    case CLB_EV_TEXT:
    case CLB_EV_REASONING:
    case CLB_EV_SIGNATURE:
    case CLB_EV_HIDDEN:
    case CLB_EV_ARGUMENTS:
        return words(filter, event);
    case CLB_EV_CALL:
        return call(filter, event);
    case CLB_EV_STOP:
        return stop(filter, event);
    case CLB_EV_ERROR:
        rv = flush(filter);
        return rv == APR_SUCCESS ? pass(filter, event) : rv;
    default:
        return pass(filter, event);
    }
}
