/* SPDX-License-Identifier: Apache-2.0 */
/* A body as a request of Messages, in both versions: it is taken with values in
 * their range or refused with a reason. What is taken can be written for Claude
 * Code and has a normal form. An answer that says it all again keeps the order
 * of events, and says the same as a whole. */
#include "chat.h"

/* Where a stream is. */
typedef struct grammar_t {
    int begun;
    int blocks;              /* so many have begun */
    int open;                /* the last of them goes on */
    int ended;               /* 1 at message_delta, 2 at message_stop */
} grammar_t;

static void check_event(grammar_t *at, const char *type,
                        const clb_json_t *json)
{
    apr_int64_t index = clb_json_get_integer(json, "index", -1);

    if (strcmp(type, "ping") == 0) {
        return;
    }
    FUZZ_CHECK(at->begun == (strcmp(type, "message_start") != 0), "%s", type);
    FUZZ_CHECK(at->ended == (strcmp(type, "message_stop") == 0), "%s", type);
    if (strcmp(type, "message_start") == 0) {
        at->begun = 1;
    }
    else if (strcmp(type, "content_block_start") == 0) {
        FUZZ_CHECK(!at->open && index == at->blocks, "%s", type);
        at->open = 1;
        at->blocks++;
    }
    else if (strcmp(type, "content_block_delta") == 0) {
        FUZZ_CHECK(at->open && index == at->blocks - 1, "%s", type);
    }
    else if (strcmp(type, "content_block_stop") == 0) {
        FUZZ_CHECK(at->open && index == at->blocks - 1, "%s", type);
        at->open = 0;
    }
    else {
        FUZZ_CHECK(!at->open && (strcmp(type, "message_delta") == 0
                   || strcmp(type, "message_stop") == 0), "%s", type);
        at->ended++;
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
    const clb_dialect_t *dialect = &clb_anthropic;
    int i;

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
}

static void answer(clb_chat_t *chat, const char *text, unsigned choices,
                   apr_pool_t *pool)
{
    clb_reply_t *reply = clb_reply_create(&clb_anthropic, chat, "1", pool);
    clb_event_t stop = { .kind = CLB_EV_STOP, .sequence = text };
    grammar_t at = { 0, 0, 0, 0 };
    clb_json_t *json;
    const char *why;

    clb_anthropic.ping(reply);
    clb_anthropic.begin(reply);
    say(reply, text, choices);
    clb_anthropic.event(reply, &stop);
    check_stream(&at, reply->out.data, pool);
    FUZZ_CHECK(at.ended == 2 && at.blocks == reply->blocks->nelts,
               "the end: %d of %d", at.blocks, reply->blocks->nelts);

    clb_buf_reset(&reply->out);
    clb_anthropic.whole(reply);
    FUZZ_CHECK(clb_json_parse(&json, reply->out.data, reply->out.len,
               CLB_JSON_STRICT, &why, pool) == APR_SUCCESS, "%s", why);
    FUZZ_CHECK(clb_json_size(clb_json_get(json, "content"))
               == (apr_size_t)at.blocks, "other blocks");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const versions[] = { "2023-06-01", "2026-10-21" };
    apr_pool_t *pool = fuzz_pool();
    const char *text = clb_utf8_clean(pool, (const char *)data, size, NULL);
    int i;

    for (i = 0; i < 2; i++) {
        clb_chat_t *chat = read_chat(&clb_anthropic, versions[i], data, size,
                                     pool);

        if (chat != NULL && *text != '\0') {
            answer(chat, text, fuzz_seed(data, size), pool);
            read_chat(&clb_anthropic_count, versions[i], data, size, pool);
        }
    }
    apr_pool_clear(pool);
    return 0;
}
