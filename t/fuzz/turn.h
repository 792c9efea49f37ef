/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TURN_H
#define TURN_H

/* Runs a driver by hand, as the keeper and a worker do, writes down what it
 * says and watches that it keeps the rules of event.h and driver.h. For the
 * drivers' unit tests and fuzzers. */

#include "../../src/backend/driver.h"
#include "../../src/core/json.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

typedef struct turn_t {
    apr_pool_t *pool;
    const clb_driver_t *driver;
    clb_backend_t backend;
    clb_chat_t *chat;             /* given with every input when set */
    union {
        char bytes[CLB_STATE_MAX];
        apr_int64_t align;
    } state;
    clb_buf_t said;               /* events, as turn_note() writes them */
    clb_buf_t text;               /* TEXT only */
    clb_buf_t lines;              /* what went to stdin */
    clb_step_t *step;             /* the last */
    int started;
    int ended;
    int ready;
    clb_fate_e fate;
    int known;                    /* given with the chat */
    int called;                   /* a CALL was seen */
    int cancelled;                /* nobody listens any more */
    const char *wrong;            /* the first rule broken, or NULL */
} turn_t;

static inline void turn_init(turn_t *turn, apr_pool_t *pool,
                             const clb_driver_t *driver, clb_reuse_e reuse)
{
    memset(turn, 0, sizeof(*turn));
    turn->pool = pool;
    turn->driver = driver;
    turn->backend.name = driver->name;
    turn->backend.driver = driver;
    turn->backend.reuse = reuse;
    clb_buf_init(&turn->said, pool, 0);
    clb_buf_init(&turn->text, pool, 0);
    clb_buf_init(&turn->lines, pool, 0);
}

/* The next turn of the same process. */
static inline void turn_next(turn_t *turn)
{
    turn->started = turn->ended = turn->ready = turn->cancelled = 0;
    turn->fate = CLB_FATE_NONE;
    clb_buf_reset(&turn->said);
    clb_buf_reset(&turn->text);
    clb_buf_reset(&turn->lines);
}

static inline void turn_rule(turn_t *turn, int kept, const char *rule)
{
    if (!kept && turn->wrong == NULL) {
        turn->wrong = rule;
    }
}

static inline int turn_is_clean(turn_t *turn, const char *text)
{
    return text != NULL && strcmp(text, clb_utf8_clean(turn->pool, text,
                                        strlen(text), NULL)) == 0;
}

static inline void turn_note(turn_t *turn, const clb_event_t *event)
{
    static const char *const stops[] = { "end", "length", "sequence",
                                         "filter", "calls" };
    const clb_usage_t *u = &event->u.usage;
    const char *word = "";

    switch (event->kind) {
    case CLB_EV_START:
        word = "start";
        break;
    case CLB_EV_TEXT:
        word = apr_pstrcat(turn->pool, "[", event->u.text.data, "]", NULL);
        clb_buf_puts(&turn->text, event->u.text.data);
        break;
    case CLB_EV_REASONING:
        word = apr_pstrcat(turn->pool, "<", event->u.text.data, ">", NULL);
        break;
    case CLB_EV_SIGNATURE:
        word = apr_pstrcat(turn->pool, "signed ", event->u.text.data, NULL);
        break;
    case CLB_EV_HIDDEN:
        word = apr_pstrcat(turn->pool, "hidden ", event->u.text.data, NULL);
        break;
    case CLB_EV_CALL:
        word = apr_pstrcat(turn->pool, "call ", event->u.call.id, " ",
                           event->u.call.name, NULL);
        break;
    case CLB_EV_ARGUMENTS:
        word = apr_pstrcat(turn->pool, "{", event->u.text.data, "}", NULL);
        break;
    case CLB_EV_USAGE:
        word = apr_psprintf(turn->pool, "usage %ld+%ld+%ld/%ld/%ld",
                            (long)u->input, (long)u->cache_read,
                            (long)u->cache_write, (long)u->output,
                            (long)u->reasoning);
        break;
    case CLB_EV_STOP:
        word = apr_pstrcat(turn->pool, "stop ",
                           event->u.stop <= CLB_STOP_CALLS
                           ? stops[event->u.stop] : "?",
                           event->sequence == NULL ? NULL : " at ",
                           event->sequence, NULL);
        break;
    case CLB_EV_ERROR:
        word = apr_psprintf(turn->pool, "%s: %s",
                            clb_error_info(event->u.error.kind)->name,
                            event->u.error.message);
        break;
    case CLB_EV_NOTE:
        word = apr_psprintf(turn->pool, "(%s)", event->u.note.text);
        break;
    }
    clb_buf_puts(&turn->said, turn->said.len > 0 ? " " : "");
    clb_buf_puts(&turn->said, word);
}

static inline void turn_event(turn_t *turn, const clb_event_t *event)
{
    turn_rule(turn, !turn->ended, "an event after STOP or ERROR");
    switch (event->kind) {
    case CLB_EV_START:
        turn_rule(turn, !turn->started, "START twice");
        turn->started = 1;
        break;
    case CLB_EV_CALL:
        turn_rule(turn, turn->started, "a call before START");
        turn_rule(turn, turn_is_clean(turn, event->u.call.id)
                  && turn_is_clean(turn, event->u.call.name),
                  "a call that is not UTF-8");
        turn->called = 1;
        break;
    case CLB_EV_ARGUMENTS:
        turn_rule(turn, turn->called, "arguments before a CALL");
        /* fall through */
    case CLB_EV_TEXT:
    case CLB_EV_REASONING:
    case CLB_EV_SIGNATURE:
    case CLB_EV_HIDDEN:
        turn_rule(turn, turn->started, "text before START");
        turn_rule(turn, turn_is_clean(turn, event->u.text.data),
                  "text that is not UTF-8");
        turn_rule(turn, event->u.text.len > 0
                  && event->u.text.len == strlen(event->u.text.data),
                  "a wrong length of text");
        break;
    case CLB_EV_USAGE:
        turn_rule(turn, turn->started, "USAGE before START");
        break;
    case CLB_EV_STOP:
        turn_rule(turn, turn->started, "STOP before START");
        turn->ended = 1;
        break;
    case CLB_EV_ERROR:
        turn_rule(turn, turn_is_clean(turn, event->u.error.message),
                  "an error message that is not UTF-8");
        turn_rule(turn, event->u.error.kind > CLB_OK
                  && event->u.error.kind < CLB_ERRORS, "no kind of error");
        turn_rule(turn, event->u.error.retry_after >= 0, "a negative wait");
        turn->ended = 1;
        break;
    case CLB_EV_NOTE:
        turn_rule(turn, turn_is_clean(turn, event->u.note.text),
                  "a note that is not UTF-8");
        break;
    default:
        turn_rule(turn, 0, "an event of no kind");
    }
    turn_note(turn, event);
}

static inline void turn_check_lines(turn_t *turn, const char *text)
{
    const char *lf, *why;
    clb_json_t *json;

    for (; *text != '\0'; text = lf + 1) {
        if ((lf = strchr(text, '\n')) == NULL) {
            turn_rule(turn, 0, "a line without line feed");
            return;
        }
        /* what a client sent may be deeper in a line than it was in a body */
        turn_rule(turn, clb_json_parse(&json, text, (apr_size_t)(lf - text),
                                       CLB_JSON_STRICT, &why, turn->pool)
                        == APR_SUCCESS ? clb_json_is_object(json)
                        : strncmp(why, "nested deeper", 13) == 0,
                  "a line that is no JSON object");
    }
}

static inline void turn_check_files(turn_t *turn)
{
    const clb_step_t *step = turn->step;
    int i, known = 0;

    while (turn->driver->files[known].name != NULL) {
        known++;
    }
    for (i = 0; i < step->files->nelts; i++) {
        const clb_file_t *file = &APR_ARRAY_IDX(step->files, i, clb_file_t);

        turn_rule(turn, file->index >= 0 && file->index < known,
                  "a file that does not exist");
    }
}

/* One input. @a data is gone when the results are looked at. */
static inline clb_step_t *turn_input(turn_t *turn, clb_in_e kind,
                                     const char *data, apr_size_t len,
                                     int status)
{
    clb_input_t in = { .kind = kind, .backend = &turn->backend,
                       .chat = turn->chat, .known = turn->known,
                       .len = len, .status = status };
    clb_step_t *step = turn->step = clb_step_create(turn->pool);
    int i, ended = turn->ended;

    if (data != NULL) {
        in.data = malloc(len + 1);
        memcpy(in.data, data, len);
        in.data[len] = '\0';
    }
    turn->cancelled |= kind == CLB_IN_CANCEL;
    turn->driver->step(turn->state.bytes, &in, step);
    if (in.data != NULL) {
        memset(in.data, '!', len);
        free(in.data);
    }
    for (i = 0; i < step->events->nelts; i++) {
        turn_event(turn, &APR_ARRAY_IDX(step->events, i, clb_event_t));
    }
    if (!turn->cancelled && !ended) {
        turn_rule(turn, (step->fate != CLB_FATE_NONE) == turn->ended,
                  "an end without fate, or a fate without end");
    }
    if (step->fate != CLB_FATE_NONE) {
        turn->fate = step->fate;
    }
    turn->ready |= step->ready;
    clb_buf_add(&turn->lines, step->lines.data, step->lines.len);
    if (!(turn->driver->traits(&turn->backend) & CLB_RAW)) {
        turn_check_lines(turn, step->lines.data);
    }
    turn_check_files(turn);
    return step;
}

/* Gives lines until they are used up or the turn has ended.
 * @return what was not given */
static inline const char *turn_lines(turn_t *turn, const char *data,
                                     const char *end)
{
    while (data < end && (turn->fate == CLB_FATE_NONE
                          || turn->fate == CLB_FATE_SETTLE
                          || turn->fate == CLB_FATE_PARK)) {
        const char *lf = memchr(data, '\n', (apr_size_t)(end - data));

        lf = lf == NULL ? end : lf;
        turn_input(turn, CLB_IN_LINE, data, (apr_size_t)(lf - data), 0);
        data = lf == end ? end : lf + 1;
    }
    return data;
}

static inline void turn_print(turn_t *turn, const char *lines)
{
    turn_lines(turn, lines, lines + strlen(lines));
}

/* The whole turn as a line: events, then the fate. */
static inline const char *turn_said(turn_t *turn)
{
    static const char *const fates[] = { "-", "clean", "settle", "park", "end",
                                         "kill" };

    return apr_pstrcat(turn->pool, turn->said.data, turn->said.len > 0
                       ? " " : "", "-> ", fates[turn->fate],
                       turn->wrong == NULL ? "" : "; BROKEN: ", turn->wrong,
                       NULL);
}

#endif
