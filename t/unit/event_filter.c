/* SPDX-License-Identifier: Apache-2.0 */
/* Stop sequences and the cap on an answer's size. */
#include "tap.h"

#include "../../src/core/filter.h"
#include "../../src/core/text.h"
#include "../fuzz/naive.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

#define NO_CAP ((apr_size_t)1 << 40)

static apr_pool_t *pool;

/* What came out: text as it is, reasoning in <>, the rest as a word in {}. */
typedef struct seen_t {
    clb_buf_t all;
    apr_size_t text;           /* bytes of text passed */
    const char *sequence;      /* of STOP */
    int wrong;                 /* an event that is not well formed */
    apr_status_t answer;       /* given to the filter */
} seen_t;

static apr_status_t see(void *baton, const clb_event_t *event)
{
    static const char *const words[] = {
        [CLB_EV_START] = "{start}", [CLB_EV_USAGE] = "{usage}",
        [CLB_EV_NOTE] = "{note}", [CLB_EV_CALL] = "{call}",
        [CLB_EV_ARGUMENTS] = "{arguments}",
        [CLB_EV_SIGNATURE] = "{signature}", [CLB_EV_HIDDEN] = "{hidden}"
    };
    seen_t *seen = baton;

    switch (event->kind) {
    case CLB_EV_TEXT:
    case CLB_EV_REASONING:
        if (event->u.text.len == 0
            || strlen(event->u.text.data) != event->u.text.len) {
            seen->wrong++;
        }
        clb_buf_puts(&seen->all, event->kind == CLB_EV_TEXT ? "" : "<");
        clb_buf_add(&seen->all, event->u.text.data, event->u.text.len);
        clb_buf_puts(&seen->all, event->kind == CLB_EV_TEXT ? "" : ">");
        seen->text += event->kind == CLB_EV_TEXT ? event->u.text.len : 0;
        break;
    case CLB_EV_STOP:
        clb_buf_puts(&seen->all, apr_psprintf(seen->all.pool, "{stop %d}",
                                              event->u.stop));
        seen->sequence = event->sequence;
        break;
    case CLB_EV_ERROR:
        clb_buf_puts(&seen->all, apr_psprintf(seen->all.pool, "{%s}",
                         clb_error_info(event->u.error.kind)->name));
        break;
    default:
        clb_buf_puts(&seen->all, words[event->kind]);
    }
    return seen->answer;
}

static apr_array_header_t *list(apr_pool_t *p, const char *const *stop)
{
    apr_array_header_t *array = apr_array_make(p, 4, sizeof(char *));

    for (; stop != NULL && *stop != NULL; stop++) {
        APR_ARRAY_PUSH(array, const char *) = *stop;
    }
    return array;
}

static clb_filter_t *filter_new(apr_pool_t *p, seen_t *seen,
                                const apr_array_header_t *stop,
                                apr_size_t max)
{
    clb_sink_t sink = { see, seen };

    memset(seen, 0, sizeof(*seen));
    clb_buf_init(&seen->all, p, 0);
    return clb_filter_create(p, stop, max, sink);
}

static apr_status_t give(clb_filter_t *filter, clb_event_e kind,
                         const char *text, apr_size_t len)
{
    clb_event_t event = { .kind = kind };
    char *copy = malloc(len + 1);
    apr_status_t rv;

    memcpy(copy, text, len);    /* it lives no longer than the call */
    copy[len] = '\0';
    event.u.text.data = copy;
    event.u.text.len = len;
    rv = clb_filter_event(filter, &event);
    memset(copy, '!', len);
    free(copy);
    return rv;
}

static apr_status_t give_text(clb_filter_t *filter, const char *text)
{
    return give(filter, CLB_EV_TEXT, text, strlen(text));
}

static apr_status_t give_word(clb_filter_t *filter, clb_event_e kind)
{
    clb_event_t event = { .kind = kind };

    if (kind == CLB_EV_ERROR) {
        event.u.error.kind = CLB_UPSTREAM;
    }
    return clb_filter_event(filter, &event);
}

/* The pieces, then STOP, through a filter with these stop sequences. */
static const char *filtered(const char *const *stop, const char *const *text)
{
    seen_t seen;
    clb_filter_t *filter = filter_new(pool, &seen, list(pool, stop), NO_CAP);

    for (; *text != NULL; text++) {
        if (give_text(filter, *text) != APR_SUCCESS) {
            break;
        }
    }
    give_word(filter, CLB_EV_STOP);
    return seen.wrong ? "an event was not well formed" : seen.all.data;
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void stops(void)
{
    is_str(filtered(NULL, LIST("abc", "def")), "abcdef{stop 0}",
           "without stop sequences all passes");
    is_str(filtered(LIST("END"), LIST("one END two")), "one {stop 2}",
           "the text ends before the stop sequence");
    is_str(filtered(LIST("END"), LIST("END two")), "{stop 2}",
           "also when that is its start");
    is_str(filtered(LIST("END"), LIST("one END")), "one {stop 2}",
           "and when that is its end");
    is_str(filtered(LIST("END"), LIST("E", "N", "D")), "{stop 2}",
           "and in pieces");
    is_str(filtered(LIST("END"), LIST("EN", "EN", "DEND")), "EN{stop 2}",
           "a start that did not go on is given back");
    is_str(filtered(LIST("END"), LIST("one EN")), "one EN{stop 0}",
           "what was held back comes with the end");
    is_str(filtered(LIST("aab"), LIST("a", "a", "a", "b")), "a{stop 2}",
           "a stop sequence that overlaps itself");
    is_str(filtered(LIST("abac", "bab"), LIST("aba", "b")), "a{stop 2}",
           "two that overlap");
    is_str(filtered(LIST("abcd", "bc"), LIST("abcd")), "a{stop 2}",
           "the one that is complete first counts");
    is_str(filtered(LIST("abcd", "bc"), LIST("ab", "cd")), "a{stop 2}",
           "in pieces too");
    is_str(filtered(LIST("bc", "abc"), LIST("abc")), "{stop 2}",
           "of two that end together the longer");
    is_str(filtered(LIST("a", "ab"), LIST("xab")), "x{stop 2}",
           "of two that begin together the shorter");
    is_str(filtered(LIST("\n"), LIST("one\ntwo")), "one{stop 2}",
           "white space counts");
    is_str(filtered(LIST("\xe2\x82\xac"), LIST("5 \xe2\x82\xa4 6 \xe2\x82\xac"
                                               " 7")),
           "5 \xe2\x82\xa4 6 {stop 2}", "characters stay whole");
}

/* The stop sequence that STOP names. */
static const char *named(const char *const *stop, const char *const *text)
{
    seen_t seen;
    clb_filter_t *filter = filter_new(pool, &seen, list(pool, stop), NO_CAP);

    for (; *text != NULL && give_text(filter, *text) == APR_SUCCESS; text++) {
    }
    give_word(filter, CLB_EV_STOP);
    return seen.sequence;
}

static void sequences(void)
{
    is_str(named(LIST("END"), LIST("one END")), "END", "STOP names it");
    is_str(named(LIST("END", "ST"), LIST("E", "N", "STOP")), "ST",
           "of several the one it was");
    is_str(named(LIST("abcd", "bc"), LIST("abcd")), "bc",
           "that was complete first");
    is_str(named(LIST("bc", "abc"), LIST("abc")), "abc",
           "of two that end together the longer");
    is_str(named(LIST("END"), LIST("one EN")), NULL, "and none if it was not");
    is_str(named(NULL, LIST("one")), NULL, "or could not be");
}

static void every_split(void)
{
    static const char text[] = "aba abab abac abacus \xc3\xa9t\xc3\xa9";
    static const char *const stop[] = { "abacu", "cus", "bacus", NULL };
    apr_size_t i, j, len = sizeof(text) - 1;
    int wrong = 0;

    for (i = 0; i <= len; i++) {
        for (j = i; j <= len; j++) {
            apr_pool_t *sub;
            clb_filter_t *filter;
            seen_t seen;

            apr_pool_create(&sub, pool);
            filter = filter_new(sub, &seen, list(sub, stop), NO_CAP);
            if (i > 0) {
                give(filter, CLB_EV_TEXT, text, i);
            }
            if (j > i) {
                give(filter, CLB_EV_TEXT, text + i, j - i);
            }
            if (len > j) {
                give(filter, CLB_EV_TEXT, text + j, len - j);
            }
            give_word(filter, CLB_EV_STOP);
            wrong += strcmp(seen.all.data, "aba abab abac {stop 2}") != 0
                  || seen.wrong;
            apr_pool_destroy(sub);
        }
    }
    is_int(wrong, 0, "every split into three pieces gives the same");
}

static const char *const letters[] = { "a", "b", "c", "\xc3\xa9" };

static const char *random_text(apr_pool_t *p, int letter_count)
{
    clb_buf_t buf;

    clb_buf_init(&buf, p, 0);
    while (letter_count-- > 0) {
        clb_buf_puts(&buf, letters[rand() % 4]);
    }
    return buf.data;
}

/* One random run; a description of it if something was wrong. */
static const char *random_run(apr_pool_t *p)
{
    apr_array_header_t *stop = apr_array_make(p, 3, sizeof(char *));
    const char *text = random_text(p, rand() % 30), *from, *to;
    const char *want;
    int i, n = 1 + rand() % 3, ended = 0;
    seen_t seen;
    clb_filter_t *filter;
    long cut;

    for (i = 0; i < n; i++) {
        APR_ARRAY_PUSH(stop, const char *) = random_text(p, 1 + rand() % 4);
    }
    filter = filter_new(p, &seen, stop, NO_CAP);
    for (from = text; *from != '\0'; from = to) {
        apr_status_t rv;

        to = from + 1 + rand() % 6;
        to = to > text + strlen(text) ? text + strlen(text) : to;
        while ((*to & 0xc0) == 0x80) {
            to++;
        }
        cut = naive_cut(text, (apr_size_t)(to - text), stop);
        rv = give(filter, CLB_EV_TEXT, from, (apr_size_t)(to - from));
        if (rv != (cut < 0 ? APR_SUCCESS : APR_EOF)) {
            return apr_psprintf(p, "status %d after %.*s", rv,
                                (int)(to - text), text);
        }
        if (cut < 0 && seen.text != (apr_size_t)(to - text)
                - naive_held(text, (apr_size_t)(to - text), stop)) {
            return apr_psprintf(p, "%d passed of %.*s", (int)seen.text,
                                (int)(to - text), text);
        }
        ended |= rv == APR_EOF;
    }
    if ((give_word(filter, CLB_EV_STOP) == APR_EOF) != ended) {
        return "the end was taken wrongly";
    }
    cut = naive_cut(text, strlen(text), stop);
    want = cut < 0 ? apr_pstrcat(p, text, "{stop 0}", NULL)
         : apr_psprintf(p, "%.*s{stop 2}", (int)cut, text);
    if (seen.wrong || strcmp(seen.all.data, want) != 0) {
        return apr_psprintf(p, "text %s stops %s gave %s instead of %s", text,
            apr_array_pstrcat(p, stop, ' '), seen.all.data, want);
    }
    return NULL;
}

static void random_runs(void)
{
    const char *wrong = NULL;
    apr_pool_t *sub;
    int i;

    srand(42);
    apr_pool_create(&sub, pool);
    for (i = 0; i < 100000 && wrong == NULL; i++) {
        apr_pool_clear(sub);
        wrong = random_run(sub);
    }
    is_str(wrong, NULL, "random texts, stop sequences and splits: cut where "
           "the naive reference cuts, and no more held back than needed");
    apr_pool_destroy(sub);
}

static void ends(void)
{
    seen_t seen;
    clb_filter_t *filter = filter_new(pool, &seen, list(pool, LIST("END")),
                                      NO_CAP);

    give_word(filter, CLB_EV_START);
    give_text(filter, "one E");
    give(filter, CLB_EV_REASONING, "END", 3);
    give_word(filter, CLB_EV_USAGE);
    give_word(filter, CLB_EV_NOTE);
    is_int(give_word(filter, CLB_EV_ERROR), APR_SUCCESS, "ERROR is passed");
    is_str(seen.all.data, "{start}one <END>{usage}{note}E{upstream_error}",
           "after what was held back; reasoning is not searched");

    filter = filter_new(pool, &seen, list(pool, LIST("END")), NO_CAP);
    is_int(give_text(filter, "one END two"), APR_EOF,
           "a stop sequence is the end");
    is_int(give_text(filter, "END"), APR_EOF, "text after it");
    is_int(give(filter, CLB_EV_REASONING, "hm", 2), APR_EOF,
           "and reasoning");
    is_int(give_word(filter, CLB_EV_USAGE), APR_EOF, "and usage");
    is_int(give_word(filter, CLB_EV_STOP), APR_EOF, "and STOP");
    is_int(give_word(filter, CLB_EV_ERROR), APR_EOF, "and ERROR");
    is_str(seen.all.data, "one {stop 2}", "pass no more");
}

static void cap(void)
{
    seen_t seen;
    clb_filter_t *filter = filter_new(pool, &seen, list(pool, NULL), 10);

    is_int(give_text(filter, "12345"), APR_SUCCESS, "below the cap");
    is_int(give(filter, CLB_EV_REASONING, "67890", 5), APR_SUCCESS,
           "reasoning counts, up to the cap");
    is_int(give_text(filter, "1"), APR_EOF, "one byte more is the end");
    is_int(give_text(filter, "1"), APR_EOF, "for good");
    is_int(give_word(filter, CLB_EV_STOP), APR_EOF, "STOP too");
    is_str(seen.all.data, "12345<67890>{cli_failed}",
           "the client is told, once");

    filter = filter_new(pool, &seen, list(pool, NULL), 10);
    is_int(give_text(filter, "12345678901"), APR_EOF, "in one piece");
    is_str(seen.all.data, "{cli_failed}", "nothing of it passes");

    filter = filter_new(pool, &seen, list(pool, LIST("890")), 10);
    is_int(give_text(filter, "12345678"), APR_SUCCESS, "with hold-back");
    is_int(give_text(filter, "90"), APR_EOF, "a stop sequence at the cap");
    is_str(seen.all.data, "1234567{stop 2}", "is a stop");
}

static void sink_says(void)
{
    seen_t seen;
    clb_filter_t *filter = filter_new(pool, &seen, list(pool, LIST("END")),
                                      NO_CAP);

    seen.answer = APR_ECONNABORTED;
    is_int(give_text(filter, "x"), APR_ECONNABORTED,
           "a receiver that is gone");
    is_int(give_word(filter, CLB_EV_USAGE), APR_ECONNABORTED,
           "is reported for every event");
    is_int(give_text(filter, "y END"), APR_ECONNABORTED,
           "also at a stop sequence");
    is_int(give_text(filter_new(pool, &seen, list(pool, LIST("END")),
                                NO_CAP), "END"), APR_EOF,
           "(one that is there gets the stop)");
    filter = filter_new(pool, &seen, list(pool, LIST("END")), NO_CAP);
    seen.answer = APR_ECONNABORTED;
    is_int(give_text(filter, "END"), APR_ECONNABORTED,
           "and when only the stop is left to say");
    seen.answer = APR_EOF;
    is_int(give_text(filter, "x"), APR_EOF, "one that has enough too");
    filter = filter_new(pool, &seen, list(pool, LIST("END")), NO_CAP);
    give_text(filter, "EN");
    seen.answer = APR_ECONNABORTED;
    is_int(give_word(filter, CLB_EV_STOP), APR_ECONNABORTED,
           "also when held text is flushed");
}

/* --- the form of an answer --- */

static clb_filter_t *formed(seen_t *seen, const char *const *stop,
                            clb_format_e format, int one_call)
{
    clb_filter_t *filter = filter_new(pool, seen, list(pool, stop), NO_CAP);
    clb_chat_t *chat = clb_chat_create(pool);

    chat->format = format;
    chat->one_call = one_call;
    clb_filter_form(filter, chat);
    return filter;
}

static void calls(void)
{
    seen_t seen;
    clb_filter_t *filter = formed(&seen, NULL, CLB_FORMAT_TEXT, 0);

    give_word(filter, CLB_EV_CALL);
    give(filter, CLB_EV_ARGUMENTS, "{}", 2);
    give_word(filter, CLB_EV_CALL);
    is_int(give_word(filter, CLB_EV_STOP), APR_SUCCESS, "several calls");
    is_str(seen.all.data, "{call}{arguments}{call}{stop 0}", "are passed on");

    filter = formed(&seen, NULL, CLB_FORMAT_TEXT, 1);
    give_text(filter, "so");
    is_int(give_word(filter, CLB_EV_CALL), APR_SUCCESS, "one that is allowed");
    give(filter, CLB_EV_ARGUMENTS, "{}", 2);
    is_int(give_word(filter, CLB_EV_CALL), APR_EOF, "and one that is not");
    is_int(give(filter, CLB_EV_ARGUMENTS, "{}", 2), APR_EOF, "ends the turn");
    is_str(seen.all.data, apr_psprintf(pool, "so{call}{arguments}{stop %d}",
                                       CLB_STOP_CALLS), "as calls end it");

    filter = formed(&seen, LIST("END"), CLB_FORMAT_TEXT, 0);
    give_text(filter, "x EN");
    give_word(filter, CLB_EV_CALL);
    give(filter, CLB_EV_ARGUMENTS, "D", 1);
    is_str(seen.all.data, "x EN{call}{arguments}",
           "text held back comes before a call, whose arguments are no text");

    filter = filter_new(pool, &seen, list(pool, NULL), 5);
    give_word(filter, CLB_EV_CALL);
    give(filter, CLB_EV_ARGUMENTS, "123", 3);
    is_int(give(filter, CLB_EV_ARGUMENTS, "456", 3), APR_EOF,
           "arguments count");
    is_str(seen.all.data, "{call}{arguments}{cli_failed}",
           "for what an answer may have");
}

/* What becomes of a whole answer in these pieces. */
static const char *answer(clb_format_e format, clb_stop_e reason,
                          const char *const *pieces)
{
    seen_t seen;
    clb_filter_t *filter = formed(&seen, NULL, format, 0);
    clb_event_t stop = { .kind = CLB_EV_STOP };

    for (; *pieces != NULL; pieces++) {
        give_text(filter, *pieces);
    }
    stop.u.stop = reason;
    clb_filter_event(filter, &stop);
    return seen.all.data;
}

static void forms(void)
{
    static const char *const wrong[] = {
        "", "no", "{", "{} x", "```json\n{}\n```", "{\"a\":}",
    };
    apr_size_t i;

    is_str(answer(CLB_FORMAT_JSON, CLB_STOP_END,
                  LIST("{\"a\"", ": [1]", "}\n")),
           "{\"a\": [1]}\n{stop 0}", "an object");
    is_str(answer(CLB_FORMAT_JSON, CLB_STOP_END, LIST("[1]")),
           "[1]{upstream_error}", "a list is none");
    is_str(answer(CLB_FORMAT_SCHEMA, CLB_STOP_END, LIST("[1]")),
           "[1]{stop 0}", "but may be what a schema asks for");
    is_str(answer(CLB_FORMAT_TEXT, CLB_STOP_END, LIST("no")), "no{stop 0}",
           "a text is a text");
    for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        const char *const pieces[] = { wrong[i], NULL };

        is_str(answer(CLB_FORMAT_JSON, CLB_STOP_END, *wrong[i] == '\0'
                      ? pieces + 1 : pieces),
               apr_pstrcat(pool, wrong[i], "{upstream_error}", NULL),
               "no JSON object: %d", (int)i);
        is_str(answer(CLB_FORMAT_SCHEMA, CLB_STOP_END, *wrong[i] == '\0'
                      ? pieces + 1 : pieces),
               apr_pstrcat(pool, wrong[i], "{upstream_error}", NULL),
               "nor by a schema");
    }
    is_str(answer(CLB_FORMAT_JSON, CLB_STOP_LENGTH, LIST("{\"a")),
           "{\"a{stop 1}", "an answer that was cut off says so itself");
    is_str(answer(CLB_FORMAT_JSON, CLB_STOP_FILTER, LIST("No.")),
           "No.{stop 3}", "and so does a refusal");
    is_str(answer(CLB_FORMAT_JSON, CLB_STOP_CALLS, LIST("I call")),
           "I call{stop 4}", "calls are no answer yet");
}

/* Reasoning, text and how they end, presented @a as. */
static const char *presented(clb_reasoning_e as, const char *script,
                             const clb_chat_t *chat)
{
    static const char *const stop[] = { "END", NULL };
    static const clb_event_e kinds[] = {
        ['r'] = CLB_EV_REASONING, ['s'] = CLB_EV_SIGNATURE,
        ['h'] = CLB_EV_HIDDEN, ['t'] = CLB_EV_TEXT, ['e'] = CLB_EV_TEXT,
        ['c'] = CLB_EV_CALL, ['.'] = CLB_EV_STOP
    };
    seen_t seen;
    clb_filter_t *filter = filter_new(pool, &seen, list(pool, stop), 200);

    clb_filter_form(filter, chat);
    clb_filter_reasoning(filter, as);
    for (; *script != '\0'; script++) {
        clb_event_t event = { .kind = kinds[(unsigned char)*script] };

        if (event.kind != CLB_EV_CALL && event.kind != CLB_EV_STOP) {
            event.u.text.data = *script == 'r' ? "hm END" : *script == 'e'
                              ? "EN" : "text";
            event.u.text.len = strlen(event.u.text.data);
        }
        clb_filter_event(filter, &event);
    }
    return seen.wrong ? "wrong" : seen.all.data;
}

static void reasoning(void)
{
    clb_chat_t *chat = clb_chat_create(pool);

    is_str(presented(CLB_REASONING_FIELD, "rrt.", chat),
           "<hm END><hm END>text{stop 0}", "as it came");
    is_str(presented(CLB_REASONING_OFF, "rrt.", chat), "text{stop 0}",
           "nowhere");
    is_str(presented(CLB_REASONING_TAGS, "rrt.", chat),
           "<think>\nhm ENDhm END\n</think>\n\ntext{stop 0}",
           "in the text, and no stop sequence is looked for in it");
    is_str(presented(CLB_REASONING_FIELD, "rshs.", chat),
           "<hm END>{signature}{hidden}{signature}{stop 0}",
           "what belongs to it, too");
    is_str(presented(CLB_REASONING_OFF, "rsht.", chat), "text{stop 0}",
           "or nowhere");
    is_str(presented(CLB_REASONING_TAGS, "rshrt.", chat),
           "<think>\nhm ENDhm END\n</think>\n\ntext{stop 0}",
           "a text has no place for it");
    is_str(presented(CLB_REASONING_TAGS, "trt.", chat),
           "text<think>\nhm END\n</think>\n\ntext{stop 0}", "in between");
    is_str(presented(CLB_REASONING_TAGS, "er.", chat),
           "EN<think>\nhm END\n</think>\n\n{stop 0}",
           "what was held back comes before it");
    is_str(presented(CLB_REASONING_TAGS, "rc.", chat),
           "<think>\nhm END\n</think>\n\n{call}{stop 0}",
           "a call ends it");
    chat->format = CLB_FORMAT_JSON;
    is_str(presented(CLB_REASONING_TAGS, "rt", chat), "text",
           "not in an answer that is to be JSON");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    stops();
    sequences();
    every_split();
    random_runs();
    ends();
    cap();
    sink_says();
    calls();
    forms();
    reasoning();
    return tap_done();
}
