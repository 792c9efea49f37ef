/* SPDX-License-Identifier: Apache-2.0 */
/* A body as a request of Responses, and of chat completions, which take the
 * same input: it is taken with values in their range or refused with a reason.
 * What is taken can be written for Claude Code and has a normal form. An answer
 * that says it all again keeps the order of events, says the same as a whole,
 * and leaves a record from which one can go on.
 *
 * And a body as a record: whatever is not as it should be counts as not there.
 */
#include "chat.h"

#include "../../src/api/responses_kept.h"

/* Where a stream is. */
typedef struct grammar_t {
    apr_int64_t events;
    int items;               /* so many have begun */
    int open;                /* the last of them goes on */
    int ended;
} grammar_t;

static void check_event(grammar_t *at, const char *type,
                        const clb_json_t *json)
{
    apr_int64_t index = clb_json_get_integer(json, "output_index", -1);
    int outer = strncmp(type, "response.output_item.", 21) == 0;

    FUZZ_CHECK(!at->ended, "%s behind the end", type);
    FUZZ_CHECK(clb_json_get_integer(json, "sequence_number", -1)
               == at->events, "%s", type);
    FUZZ_CHECK((at->events == 0) == (strcmp(type, "response.created") == 0),
               "%s", type);
    at->events++;
    if (clb_json_get(json, "response") != NULL) {
        FUZZ_CHECK(!at->open, "%s", type);
        at->ended = strcmp(type, "response.completed") == 0;
    }
    else if (outer && type[21] == 'a') {
        FUZZ_CHECK(!at->open && index == at->items, "%s", type);
        at->open = 1;
        at->items++;
    }
    else {
        FUZZ_CHECK(at->open && index == at->items - 1, "%s", type);
        at->open = !outer;
    }
}

static void check_stream(grammar_t *at, const char *bytes, apr_pool_t *pool)
{
    while (*bytes != '\0') {
        apr_size_t len = strcspn(bytes, "\n");
        const char *type = apr_pstrmemdup(pool, bytes + 7, len - 7), *why;
        const char *data = bytes + len + 7;
        clb_json_t *json;

        FUZZ_CHECK(strncmp(bytes, "event: ", 7) == 0
                   && strncmp(bytes + len, "\ndata: ", 7) == 0, "no event: %s",
                   bytes);
        len = strcspn(data, "\n");
        FUZZ_CHECK(strncmp(data + len, "\n\n", 2) == 0, "no end: %s", data);
        FUZZ_CHECK(clb_json_parse(&json, data, len, CLB_JSON_STRICT, &why,
                   pool) == APR_SUCCESS, "%s", data);
        FUZZ_CHECK(strcmp(clb_json_get_string(json, "type"), type) == 0,
                   "%s", type);
        check_event(at, type, json);
        bytes = data + len + 2;
    }
}

/* The events of an answer, in an order that the input chooses. */
static void say(clb_reply_t *reply, const char *text, unsigned choices)
{
    static const clb_event_e kinds[] = {
        CLB_EV_TEXT, CLB_EV_REASONING, CLB_EV_SIGNATURE, CLB_EV_HIDDEN
    };
    const clb_dialect_t *dialect = &clb_openai_responses;
    const apr_array_header_t *tools = reply->chat->tools;
    int i;

    for (i = 0; i < 8; i++, choices /= 5) {
        if (choices % 5 < 4) {
            send_text(dialect, reply, kinds[choices % 5], text);
            continue;
        }
        send_call(dialect, reply, text, i >= tools->nelts ? text
                  : APR_ARRAY_IDX(tools, i, clb_tool_t).name);
        if (choices / 5 % 2) {
            send_text(dialect, reply, CLB_EV_ARGUMENTS, text);
        }
    }
}

static const clb_json_t *whole(clb_reply_t *reply, apr_pool_t *pool)
{
    clb_json_t *json = NULL;
    const char *why;

    clb_buf_reset(&reply->out);
    clb_openai_responses.whole(reply);
    FUZZ_CHECK(clb_json_parse(&json, reply->out.data, reply->out.len,
               CLB_JSON_STRICT, &why, pool) == APR_SUCCESS, "%s", why);
    return clb_json_get(json, "output");
}

static clb_json_t *find(void *record, const char *id, clb_error_t *error)
{
    return record;
}

/* A request that goes on from @a record; NULL if it is refused with a reason. */
static clb_json_t *go_on(clb_json_t *record, apr_pool_t *pool)
{
    clb_kept_t kept = { find, record };
    clb_error_t error = { CLB_OK, NULL, NULL, 0 };
    clb_json_t *body = clb_json_pack(pool, "{s:s, s:[{s:s, s:s}, {s:s, s:s}]}",
        "previous_response_id", "resp_1", "input", "role", "user", "content",
        "q", "type", "item_reference", "id", "msg_1_i0");
    apr_status_t rv = clb_openai_responses.recall(body, &kept, &error, pool);

    FUZZ_CHECK((rv == APR_SUCCESS) == (error.kind == CLB_OK), "no reason");
    return rv == APR_SUCCESS ? body : NULL;
}

/* What clients ask of a record. */
static void show(clb_json_t *record, apr_pool_t *pool)
{
    clb_error_t error = { CLB_OK, NULL, NULL, 0 };
    clb_json_t *page = clb_kept_page(record, "order=asc&limit=2", &error,
                                     pool);

    FUZZ_CHECK(clb_json_size(clb_json_get(page, "data")) <= 2, "no page");
    if (clb_kept_runs(record)) {
        clb_error_set(&error, pool, CLB_UPSTREAM, NULL, "no");
        clb_kept_end(record, "failed", &error, pool);
        FUZZ_CHECK(!clb_kept_runs(record), "no end");
    }
    clb_kept_background(record);
}

static void take_record(const uint8_t *data, size_t size, apr_pool_t *pool)
{
    clb_json_t *record, *body;
    const char *why, *text;

    if (clb_json_parse(&record, (const char *)data, size, CLB_JSON_LENIENT,
                       &why, pool) != APR_SUCCESS) {
        return;
    }
    if ((body = go_on(record, pool)) != NULL) {
        text = clb_json_text(pool, body);
        read_chat(&clb_openai_responses, NULL, (const uint8_t *)text,
                  strlen(text), pool);
    }
    show(record, pool);
}

/* What is kept of an answer is enough to go on from. */
static void keep(const clb_reply_t *reply, apr_pool_t *pool)
{
    clb_json_t *record = clb_openai_responses.record(reply, CLB_ENDED, NULL);
    clb_json_t *copy = NULL;
    const char *text = clb_json_text(pool, record), *why;

    FUZZ_CHECK(clb_json_parse(&copy, text, strlen(text), CLB_JSON_LENIENT,
               &why, pool) == APR_SUCCESS
               && strcmp(clb_json_text(pool, copy), text) == 0, "%s", text);
    FUZZ_CHECK(clb_json_size(clb_json_get(record, "items"))
               == clb_json_size(reply->chat->items)
                  + (apr_size_t)reply->blocks->nelts, "items: %s", text);
    FUZZ_CHECK(!clb_kept_runs(record), "%s", text);
    show(record, pool);
}

static void answer(clb_chat_t *chat, const char *text, unsigned choices,
                   apr_pool_t *pool)
{
    clb_reply_t *reply = clb_reply_create(&clb_openai_responses, chat, "1",
                                          pool);
    clb_event_t stop = { .kind = CLB_EV_STOP };
    grammar_t at = { 0, 0, 0, 0 };

    clb_openai_responses.begin(reply);
    say(reply, text, choices);
    clb_openai_responses.event(reply, &stop);
    check_stream(&at, reply->out.data, pool);
    FUZZ_CHECK(at.ended && at.items == reply->blocks->nelts,
               "the end: %d of %d", at.items, reply->blocks->nelts);
    FUZZ_CHECK(clb_json_size(whole(reply, pool)) == (apr_size_t)at.items,
               "other items");
    keep(reply, pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();
    const char *text = clb_utf8_clean(pool, (const char *)data, size, NULL);
    clb_chat_t *chat = read_chat(&clb_openai_responses, NULL, data, size,
                                 pool);

    if (chat != NULL && *text != '\0') {
        answer(chat, text, fuzz_seed(data, size), pool);
    }
    read_chat(&clb_openai_chat, NULL, data, size, pool);
    take_record(data, size, pool);
    apr_pool_clear(pool);
    return 0;
}
