/* SPDX-License-Identifier: Apache-2.0 */
/* A body as a request of both dialects, and as a direct run: it is taken with values in their
 * range or refused with a reason. What is taken can be written for Claude Code
 * and has a normal form. An answer that says it all again is valid in every
 * form. */
#include "chat.h"

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

static void answer(const clb_dialect_t *dialect, clb_chat_t *chat,
                   const char *text, apr_pool_t *pool)
{
    clb_reply_t *reply = clb_reply_create(dialect, chat, "1", pool);
    clb_event_t stop = { .kind = CLB_EV_STOP };
    clb_error_t failure = { CLB_UPSTREAM, text, "p", 0 };
    clb_json_t *json;
    const char *why, *back;
    int i;

    dialect->begin(reply);
    send_text(dialect, reply, CLB_EV_REASONING, text);
    send_text(dialect, reply, CLB_EV_TEXT, text);
    send_call(dialect, reply, text, text);
    for (i = 0; i < chat->tools->nelts; i++) {
        send_call(dialect, reply, "id", APR_ARRAY_IDX(chat->tools, i,
                                                      clb_tool_t).name);
        send_text(dialect, reply, CLB_EV_ARGUMENTS, text);
    }
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

/* What it asks for is within the limits; what it gets is the answer. */
static void run(clb_chat_t *chat, const char *text, apr_pool_t *pool)
{
    clb_reply_t *reply = clb_reply_create(&clb_direct_run, chat, "1", pool);
    clb_json_t *json;
    const char *why, *back;
    int i;

    FUZZ_CHECK(chat->timeout >= 0 && !chat->stream, "%g", chat->timeout);
    FUZZ_CHECK(chat->args->nelts <= CLB_ARGS_MAX, "%d", chat->args->nelts);
    for (i = 0; i < chat->args->nelts; i++) {
        check_text(APR_ARRAY_IDX(chat->args, i, const char *), pool);
    }
    clb_buf_puts(&reply->text, text);
    reply->exit.said = text;
    clb_direct_run.whole(reply);
    FUZZ_CHECK(clb_json_parse(&json, reply->out.data, reply->out.len,
               CLB_JSON_STRICT, &why, pool) == APR_SUCCESS, "%s", why);
    back = clb_json_get_string(json, "output");
    FUZZ_CHECK(back != NULL && strstr(text, back) != NULL, "%s", back);
    back = clb_json_get_string(json, "stdout");
    FUZZ_CHECK(chat->verbatim ? back != NULL && strcmp(back, text) == 0
                              : back == NULL, "%s", back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const clb_dialect_t *const dialects[] = {
        &clb_openai_chat, &clb_openai_completions
    };
    apr_pool_t *pool = fuzz_pool();
    const char *text = clb_utf8_clean(pool, (const char *)data, size, NULL);
    clb_chat_t *ran = read_chat(&clb_direct_run, NULL, data, size, pool);
    int i;

    if (ran != NULL) {
        run(ran, text, pool);
    }
    for (i = 0; i < 2; i++) {
        clb_chat_t *chat = read_chat(dialects[i], NULL, data, size, pool);

        if (chat != NULL) {
            answer(dialects[i], chat, text, pool);
        }
    }
    apr_pool_clear(pool);
    return 0;
}
