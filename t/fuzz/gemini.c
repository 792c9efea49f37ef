/* SPDX-License-Identifier: Apache-2.0 */
/* A body as a request of the Gemini API: it is taken with values in their range
 * or refused with a reason. What is taken can be written for Claude Code and has
 * a normal form. An answer that says it all again is the same in both kinds of
 * streams and as a whole, and its end comes last. */
#include "chat.h"

static clb_json_t *parsed(const char *bytes, apr_size_t len, apr_pool_t *pool)
{
    clb_json_t *json = NULL;
    const char *why;

    FUZZ_CHECK(clb_json_parse(&json, bytes, len, CLB_JSON_STRICT, &why, pool)
               == APR_SUCCESS, "%s: %s", why, bytes);
    return json;
}

/* A stream of events as the array that the other kind would be. */
static clb_json_t *events_of(const char *bytes, apr_pool_t *pool)
{
    clb_json_t *list = clb_json_pack(pool, "[]");

    while (*(bytes += strspn(bytes, "\n")) != '\0') {
        apr_size_t len = strcspn(bytes, "\n");

        FUZZ_CHECK(strncmp(bytes, "data: ", 6) == 0
                   && strncmp(bytes + len, "\n\n", 2) == 0, "no event: %s",
                   bytes);
        clb_json_append(list, parsed(bytes + 6, len - 6, pool));
        bytes += len;
    }
    return list;
}

/* The events of an answer, in an order that the input chooses. */
static void say(const clb_dialect_t *dialect, clb_reply_t *reply,
                const char *text, unsigned choices)
{
    static const clb_event_e kinds[] = {
        CLB_EV_TEXT, CLB_EV_REASONING, CLB_EV_SIGNATURE, CLB_EV_HIDDEN
    };
    clb_event_t stop = { .kind = CLB_EV_STOP };
    int i;

    stop.u.stop = (clb_stop_e)(choices % 5);
    dialect->comment(reply, text);
    dialect->begin(reply);
    for (i = 0; i < 8; i++, choices /= 5) {
        if (choices % 5 < 4) {
            send_text(dialect, reply, kinds[choices % 5], text);
            continue;
        }
        send_call(dialect, reply, text, text);
        if (choices / 5 % 2) {
            send_text(dialect, reply, CLB_EV_ARGUMENTS, text);
        }
    }
    dialect->event(reply, &stop);
}

/* How many calls the pieces have; the last one alone has usage. */
static int calls_of(const clb_json_t *pieces)
{
    apr_size_t i, j, n = clb_json_size(pieces);
    int calls = 0;

    for (i = 0; i < n; i++) {
        const clb_json_t *piece = clb_json_at(pieces, i);
        const clb_json_t *parts = clb_json_find(clb_json_at(clb_json_get(
            piece, "candidates"), 0), "content.parts");

        FUZZ_CHECK((clb_json_get(piece, "usageMetadata") != NULL)
                   == (i + 1 == n), "usage in %d of %d", (int)i, (int)n);
        for (j = 0; j < clb_json_size(parts); j++) {
            calls += clb_json_is_object(clb_json_find(clb_json_at(parts, j),
                                                      "functionCall.args"));
        }
    }
    return calls;
}

static void answer(clb_chat_t *chat, const char *text, unsigned choices,
                   apr_pool_t *pool)
{
    clb_reply_t *events = clb_reply_create(&clb_gemini_stream, chat, "1",
                                           pool);
    clb_reply_t *array = clb_reply_create(&clb_gemini_array, chat, "1", pool);
    clb_json_t *pieces, *whole;

    say(&clb_gemini_stream, events, text, choices);
    say(&clb_gemini_array, array, text, choices);
    pieces = parsed(array->out.data, array->out.len, pool);
    FUZZ_CHECK(clb_json_equal(events_of(events->out.data, pool), pieces),
               "%s %s", events->out.data, array->out.data);
    FUZZ_CHECK(calls_of(pieces) == array->calls->nelts, "calls");

    clb_buf_reset(&array->out);
    clb_buf_puts(&array->text, text);
    clb_buf_puts(&array->reasoning, text);
    clb_gemini.whole(array);
    whole = parsed(array->out.data, array->out.len, pool);
    FUZZ_CHECK(calls_of(clb_json_pack(pool, "[O]", whole))
               == array->calls->nelts, "calls");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();
    const char *text = clb_utf8_clean(pool, (const char *)data, size, NULL);
    clb_chat_t *chat = read_chat(&clb_gemini, NULL, data, size, pool);

    if (chat != NULL && *text != '\0') {
        answer(chat, text, fuzz_seed(data, size), pool);
    }
    read_chat(&clb_gemini_count, NULL, data, size, pool);
    apr_pool_clear(pool);
    return 0;
}
