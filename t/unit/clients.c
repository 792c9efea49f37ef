/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real clients (t/data/clients): does their next request find the process that
 * gave the answer before? clients.t has the normal form once more and says of
 * each pair of requests why it is no continuation, if it is none.
 */
#include "tap.h"

#include "../../src/api/dialect.h"
#include "../../src/core/prefix.h"

#include <apr_file_io.h>
#include <apr_fnmatch.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

#define DATA "t/data/clients"

/* In percent, of the pairs that go on with the same chat. */
#define NEEDED 95

static apr_pool_t *pool;

static clb_json_t *read_json(const char *path)
{
    clb_json_t *json = NULL;
    apr_file_t *file;
    apr_finfo_t info;
    const char *why;
    char *text;

    if (apr_file_open(&file, path, APR_READ, 0, pool) == APR_SUCCESS
        && apr_file_info_get(&info, APR_FINFO_SIZE, file) == APR_SUCCESS) {
        text = apr_pcalloc(pool, (apr_size_t)info.size + 1);
        apr_file_read_full(file, text, (apr_size_t)info.size, NULL);
        apr_file_close(file);
        clb_json_parse(&json, text, (apr_size_t)info.size, CLB_JSON_LENIENT,
                       &why, pool);
    }
    return json;
}

/* The chat a request asks for; NULL if it is not of these APIs. */
static clb_chat_t *chat_of(const clb_json_t *turn)
{
    const char *path = clb_json_get_string(turn, "path");
    clb_chat_t *chat = clb_chat_create(pool);
    clb_error_t error = { 0 };

    const clb_dialect_t *dialect = path == NULL ? NULL
        : strstr(path, "/chat/completions") != NULL ? &clb_openai_chat
        : strstr(path, "/responses") != NULL ? &clb_openai_responses : NULL;

    if (dialect == NULL || dialect->parse(chat, clb_json_get(turn, "request"),
                                          &error) != APR_SUCCESS) {
        return NULL;
    }
    chat->model = chat->asked;
    return chat;
}

static void take(clb_prefix_t *prefix, clb_event_e kind, const char *text)
{
    clb_event_t event = { .kind = kind };

    if (text != NULL) {
        event.u.text.data = text;
        event.u.text.len = strlen(text);
        clb_prefix_event(prefix, &event);
    }
}

/* What a process knows that gave @a answer to @a chat. */
static void answered(clb_chat_t *chat, const clb_json_t *answer,
                     unsigned char digest[CLB_SHA256_SIZE])
{
    const clb_json_t *calls = clb_json_get(answer, "tool_calls");
    clb_prefix_t prefix;
    apr_size_t i;

    clb_prefix_begin(&prefix, chat, "me", "b");
    clb_prefix_turns(&prefix, chat, 0, clb_chat_turns(chat)->nelts);
    clb_prefix_answer(&prefix);
    take(&prefix, CLB_EV_TEXT, clb_json_get_string(answer, "text"));
    for (i = 0; i < clb_json_size(calls); i++) {
        const clb_json_t *call = clb_json_at(calls, i);
        clb_event_t event = { .kind = CLB_EV_CALL };

        event.u.call.id = clb_json_get_string(call, "id");
        event.u.call.name = clb_json_get_string(call, "name");
        clb_prefix_event(&prefix, &event);
        take(&prefix, CLB_EV_ARGUMENTS, clb_json_get_string(call,
                                                            "arguments"));
    }
    clb_prefix_answered(&prefix);
    clb_prefix_digest(&prefix, digest);
}

/* All turns but the last @a but. */
static void known(clb_chat_t *chat, int but,
                  unsigned char digest[CLB_SHA256_SIZE])
{
    clb_prefix_t prefix;

    clb_prefix_begin(&prefix, chat, "me", "b");
    clb_prefix_turns(&prefix, chat, 0, clb_chat_turns(chat)->nelts - but);
    clb_prefix_digest(&prefix, digest);
}

/* After an answer of nothing no process stays. */
static int says_nothing(const clb_json_t *answer)
{
    const char *text = clb_json_get_string(answer, "text");

    return clb_json_size(clb_json_get(answer, "tool_calls")) == 0
        && (text == NULL || text[strspn(text, " \t\r\n")] == '\0');
}

/* 1 if @a next asks for what @a last did, in another way or once more. */
static int goes_on(clb_chat_t *last, clb_chat_t *next)
{
    unsigned char a[CLB_SHA256_SIZE], b[CLB_SHA256_SIZE];

    known(last, clb_chat_turns(last)->nelts, a);
    known(next, clb_chat_turns(next)->nelts, b);
    if (memcmp(a, b, sizeof(a)) != 0) {
        return 0;
    }
    known(last, 0, a);
    known(next, 0, b);
    return memcmp(a, b, sizeof(a)) != 0;
}

static void compare(const clb_json_t *turns, const char *name, int *hits,
                    int *pairs)
{
    unsigned char has[CLB_SHA256_SIZE], wants[CLB_SHA256_SIZE];
    apr_size_t i;

    for (i = 1; i < clb_json_size(turns); i++) {
        const clb_json_t *turn = clb_json_at(turns, i - 1);
        clb_chat_t *last = chat_of(turn);
        clb_chat_t *next = chat_of(clb_json_at(turns, i));

        if (last == NULL || next == NULL || !goes_on(last, next)
            || says_nothing(clb_json_get(turn, "answer"))) {
            continue;
        }
        answered(last, clb_json_get(turn, "answer"), has);
        known(next, 1, wants);
        ++*pairs;
        if (memcmp(has, wants, sizeof(has)) == 0) {
            ++*hits;
        }
        else {
            printf("# missed: %s #%d\n", name, (int)i);
        }
    }
}

int main(void)
{
    int hits = 0, pairs = 0;
    apr_finfo_t info;
    apr_dir_t *dir;
    apr_size_t i;

    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    if (!ok(apr_dir_open(&dir, DATA, pool) == APR_SUCCESS, DATA)) {
        return tap_done();
    }
    while (apr_dir_read(&info, APR_FINFO_NAME, dir) == APR_SUCCESS) {
        clb_json_t *talks;

        if (apr_fnmatch("*.json", info.name, 0) != APR_SUCCESS) {
            continue;
        }
        talks = clb_json_get(read_json(apr_pstrcat(pool, DATA "/", info.name,
                                                   NULL)), "conversations");
        for (i = 0; i < clb_json_size(talks); i++) {
            const clb_json_t *talk = clb_json_at(talks, i);

            compare(clb_json_get(talk, "turns"), apr_pstrcat(pool, info.name,
                    " ", clb_json_get_string(talk, "name"), NULL), &hits,
                    &pairs);
        }
    }
    apr_dir_close(dir);
    ok(pairs > 400, "the recordings were read: %d pairs", pairs);
    ok(hits * 100 >= pairs * NEEDED, "%d of %d requests find their process",
       hits, pairs);
    return tap_done();
}
