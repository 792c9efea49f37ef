/* SPDX-License-Identifier: Apache-2.0 */
/* The filter against naive.h. The first line has the stop sequences, with '|'
 * between them; every further line is one piece of text (its line feed is
 * not). */
#include "fuzz.h"

#include "../../src/core/filter.h"
#include "../../src/core/text.h"
#include "naive.h"

#include <apr_strings.h>
#include <string.h>

typedef struct seen_t {
    clb_buf_t text;
    int ended;
    clb_stop_e stop;
    apr_pool_t *pool;
} seen_t;

static apr_status_t see(void *baton, const clb_event_t *event)
{
    seen_t *seen = baton;

    FUZZ_CHECK(!seen->ended, "an event after the end");
    if (event->kind == CLB_EV_TEXT) {
        const char *text = event->u.text.data;

        FUZZ_CHECK(event->u.text.len > 0
                   && strlen(text) == event->u.text.len, "a wrong length");
        FUZZ_CHECK(strcmp(text, clb_utf8_clean(seen->pool, text,
                          strlen(text), NULL)) == 0, "not UTF-8");
        clb_buf_add(&seen->text, text, event->u.text.len);
    }
    else {
        FUZZ_CHECK(event->kind == CLB_EV_STOP, "an event of another kind");
        seen->ended = 1;
        seen->stop = event->u.stop;
    }
    return APR_SUCCESS;
}

static apr_array_header_t *stop_sequences(char *list, apr_pool_t *pool)
{
    apr_array_header_t *stop = apr_array_make(pool, 4, sizeof(char *));
    char *last, *one;

    for (one = apr_strtok(list, "|", &last); one != NULL && stop->nelts < 16;
         one = apr_strtok(NULL, "|", &last)) {
        APR_ARRAY_PUSH(stop, const char *) = one;
    }
    return stop;
}

/* Gives a piece and looks at what must have come out by now. */
static int give(clb_filter_t *filter, const apr_array_header_t *stop,
                const seen_t *seen, clb_buf_t *all, const char *piece)
{
    clb_event_t event = { .kind = CLB_EV_TEXT };
    char *copy = strdup(piece);
    apr_status_t rv;
    long cut;

    event.u.text.data = copy;
    event.u.text.len = strlen(piece);
    rv = clb_filter_event(filter, &event);
    free(copy);
    clb_buf_puts(all, piece);
    cut = naive_cut(all->data, all->len, stop);
    FUZZ_CHECK((rv == APR_EOF) == (cut >= 0), "status %d, cut %ld", rv, cut);
    FUZZ_CHECK(seen->text.len == (cut >= 0 ? (apr_size_t)cut : all->len
               - naive_held(all->data, all->len, stop)), "%d bytes of %s",
               (int)seen->text.len, all->data);
    FUZZ_CHECK(memcmp(seen->text.data, all->data, seen->text.len) == 0,
               "%s became %s", all->data, seen->text.data);
    return rv == APR_SUCCESS;
}

static void run(const uint8_t *data, size_t size, apr_pool_t *pool)
{
    char *input = (char *)clb_utf8_clean(pool, (const char *)data,
                                         size < 4096 ? size : 4096, NULL);
    char *rest = strchr(input, '\n'), *piece, *last;
    clb_event_t end = { .kind = CLB_EV_STOP };
    apr_array_header_t *stop;
    clb_filter_t *filter;
    seen_t seen = { .pool = pool };
    clb_sink_t sink = { see, &seen };
    clb_buf_t all;

    if (rest == NULL) {
        return;
    }
    *rest++ = '\0';
    stop = stop_sequences(input, pool);
    clb_buf_init(&seen.text, pool, 0);
    clb_buf_init(&all, pool, 0);
    filter = clb_filter_create(pool, stop, 1 << 20, sink);
    for (piece = apr_strtok(rest, "\n", &last); piece != NULL;
         piece = apr_strtok(NULL, "\n", &last)) {
        if (!give(filter, stop, &seen, &all, piece)) {
            break;
        }
    }
    clb_filter_event(filter, &end);
    FUZZ_CHECK(seen.ended, "no end");
    FUZZ_CHECK(piece != NULL ? seen.stop == CLB_STOP_SEQUENCE
               : seen.stop == CLB_STOP_END && seen.text.len == all.len,
               "a wrong end");
    FUZZ_CHECK(naive_cut(seen.text.data, seen.text.len, stop) < 0,
               "a stop sequence passed");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();

    run(data, size, pool);
    apr_pool_clear(pool);
    return 0;
}
