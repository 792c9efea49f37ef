/* SPDX-License-Identifier: Apache-2.0 */
/* A body as a request of both dialects: it is taken with values in their
 * range or refused with a reason. An answer that says it all again is valid in
 * every form. */
#include "fuzz.h"

#include "../../src/api/dialect.h"

#include <string.h>

static void check_text(const char *text, apr_pool_t *pool)
{
    FUZZ_CHECK(strcmp(text, clb_utf8_clean(pool, text, strlen(text), NULL))
               == 0, "not UTF-8: %s", text);
}

static void check_chat(const clb_chat_t *chat)
{
    int i;

    FUZZ_CHECK(chat->temperature >= 0 && chat->temperature <= 2, "%g",
               chat->temperature);
    FUZZ_CHECK(chat->top_p >= 0 && chat->top_p <= 1, "%g", chat->top_p);
    FUZZ_CHECK(!clb_chat_given(chat, CLB_MAX_TOKENS) || chat->max_tokens > 0,
               "no tokens");
    FUZZ_CHECK(chat->budget >= 0 && chat->top_k >= 0, "less than nothing");
    FUZZ_CHECK(chat->asked == NULL || *chat->asked != '\0', "no name");
    for (i = 0; i < chat->stop->nelts; i++) {
        FUZZ_CHECK(*APR_ARRAY_IDX(chat->stop, i, const char *) != '\0',
                   "an empty stop sequence");
    }
}

/* Every event is one line of JSON or [DONE], which comes last. */
static void check_stream(const char *bytes, int ended, apr_pool_t *pool)
{
    int done = 0;

    while (*bytes != '\0') {
        apr_size_t len = strcspn(bytes, "\n");
        clb_json_t *json;
        const char *why;

        FUZZ_CHECK(!done, "something after the end");
        FUZZ_CHECK(strncmp(bytes, "data: ", 6) == 0
                   && strncmp(bytes + len, "\n\n", 2) == 0, "no event: %s",
                   bytes);
        done = len == 12 && memcmp(bytes + 6, "[DONE]", 6) == 0;
        FUZZ_CHECK(done || clb_json_parse(&json, bytes + 6, len - 6,
                   CLB_JSON_STRICT, &why, pool) == APR_SUCCESS, "%s", bytes);
        bytes += len + 2;
    }
    FUZZ_CHECK(done == ended, "the end: %d", done);
}

static void send_text(const clb_dialect_t *dialect, clb_reply_t *reply,
                      clb_event_e kind, const char *text)
{
    clb_event_t event = { .kind = kind };

    event.u.text.data = text;
    event.u.text.len = strlen(text);
    dialect->event(reply, &event);
}

static void answer(const clb_dialect_t *dialect, clb_chat_t *chat,
                   const char *text, apr_pool_t *pool)
{
    clb_reply_t *reply = clb_reply_create(dialect, chat, "1", pool);
    clb_event_t stop = { .kind = CLB_EV_STOP };
    clb_error_t failure = { CLB_UPSTREAM, text, "p", 0 };
    clb_json_t *json;
    const char *why, *back;

    dialect->begin(reply);
    send_text(dialect, reply, CLB_EV_REASONING, text);
    send_text(dialect, reply, CLB_EV_TEXT, text);
    check_stream(reply->out.data, 0, pool);
    dialect->event(reply, &stop);
    check_stream(reply->out.data, 1, pool);
    clb_buf_reset(&reply->out);
    dialect->error(reply, &failure);
    check_stream(reply->out.data, 0, pool);

    clb_buf_reset(&reply->out);
    clb_buf_puts(&reply->text, text);
    clb_buf_puts(&reply->reasoning, text);
    dialect->whole(reply);
    FUZZ_CHECK(clb_json_parse(&json, reply->out.data, reply->out.len,
               CLB_JSON_STRICT, &why, pool) == APR_SUCCESS, "%s", why);
    json = clb_json_at(clb_json_get(json, "choices"), 0);
    back = clb_json_string(clb_json_find(json, dialect == &clb_openai_chat
                                         ? "message.content" : "text"));
    FUZZ_CHECK(back != NULL && strcmp(back, text) == 0, "%s", back);
}

static void ask(const clb_dialect_t *dialect, const clb_json_t *body,
                const char *text, apr_pool_t *pool)
{
    clb_chat_t *chat = clb_chat_create(pool);
    clb_error_t error = { CLB_OK, NULL, NULL, 0 };
    apr_status_t rv = dialect->parse(chat, body, &error);

    if (rv != APR_SUCCESS) {
        FUZZ_CHECK(rv == APR_EGENERAL && error.kind != CLB_OK
                   && error.message != NULL && error.param != NULL,
                   "no reason");
        check_text(error.message, pool);
        return;
    }
    check_chat(chat);
    check_text(clb_chat_plain(chat), pool);
    if (chat->asked == NULL) {
        chat->asked = "m";
    }
    answer(dialect, chat, text, pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();
    const char *text = clb_utf8_clean(pool, (const char *)data, size, NULL);
    clb_json_t *body;
    const char *why;

    if (clb_json_parse(&body, (const char *)data, size, CLB_JSON_STRICT, &why,
                       pool) == APR_SUCCESS && clb_json_is_object(body)) {
        ask(&clb_openai_chat, body, text, pool);
        ask(&clb_openai_completions, body, text, pool);
    }
    apr_pool_clear(pool);
    return 0;
}
