/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of the real Codex 0.169.0 (t/data/codex), and what each must come to. */
#include "tap.h"

#include "codex.h"

#include <apr_file_io.h>
#include <apr_fnmatch.h>
#include <apr_general.h>

#define DATA "t/data/codex"

#define HIGH_DEMAND "We\xe2\x80\x99re currently experiencing high demand, " \
    "which may cause temporary errors."
#define LOST "stream disconnected before completion: Transport error: " \
    "network error: error decoding response body"

static const struct {
    const char *name;
    const char *tools;         /* that the client offers */
    const char *said;
} runs[] = {
    { "say", "", "start [hello there] usage 5+0+0/1/0 stop end -> clean" },
    { "stream", "", "start [tok1] [ tok2] [ tok3] [ tok4] [ tok5] usage "
      "4+0+0/5/0 stop end -> clean" },
    { "think", "", "start <let me see> [done] usage 8+0+0/1/0 stop end -> "
      "clean" },
    { "usage", "", "start [x] usage 123+0+0/45/0 stop end -> clean" },
    { "tool-two", "f g", "start call c1 f {{\"a\":\"1\"}} call c2 g "
      "{{\"a\":\"2\"}} usage 11+0+0/2/0 stop calls -> clean" },
    { "tool-think", "f", "start <hm> [I call] call c1 f {{\"a\":\"1\"}} "
      "usage 12+0+0/2/0 stop calls -> clean" },
    { "invent", "f", "start call c1 zzz {{}} usage 0+0+0/0/0 stop calls -> "
      "kill" },
    { "invent-toolless", "", "start [tool said: unsupported call: zzz] usage "
      "16+0+0/2/0 stop end -> clean" },
    { "bad-arguments", "f", "start call c1 f {nonsense} usage 0+0+0/0/0 stop "
      "calls -> kill" },
    { "surrogate", "f", "start call c1 f {{\"a\":\"\\ud83d\"}} usage "
      "7+0+0/1/0 stop calls -> kill" },
    { "error-400", "", "bad_request: scripted error 400 -> settle" },
    { "error-401", "", "login_required: unexpected status 401 Unauthorized: "
      "scripted error 401 -> settle" },
    { "error-403", "", "login_required: unexpected status 403 Forbidden: "
      "scripted error 403 -> settle" },
    { "error-404", "", "model_not_found: scripted error 404 -> settle" },
    { "error-413", "", "too_large: unexpected status 413 Payload Too Large: "
      "scripted error 413 -> settle" },
    { "error-429", "", "rate_limited: exceeded retry limit, last status: 429 "
      "Too Many Requests, request id: req_2e8a5bf1123cc29845ecc768 -> settle" },
    { "error-500", "", "upstream_error: " HIGH_DEMAND " -> settle" },
    { "error-502", "", "upstream_error: unexpected status 502 Bad Gateway: "
      "scripted error 502 -> settle" },
    { "error-503", "", "overloaded: Selected model is at capacity. Please "
      "try a different model. -> settle" },
    { "error-529", "", "overloaded: unexpected status 529 <unknown status "
      "code>: scripted error 529 -> settle" },
    { "error-400-late", "", "start [tok1] [ tok2] upstream_error: scripted "
      "error 400 -> settle" },
    { "error-429-late", "", "start [tok1] [ tok2] rate_limited: rate limit "
      "exceeded: scripted error 429 -> settle" },
    { "error-500-late", "", "start [tok1] [ tok2] upstream_error: stream "
      "disconnected before completion: scripted error 500 -> settle" },
    { "error-503-late", "", "start [tok1] [ tok2] overloaded: Selected model "
      "is at capacity. Please try a different model. -> settle" },
    { "length", "", "start [tok1] [ tok2] usage 8+0+0/2/0 stop length -> "
      "settle" },
    { "filter", "", "start [tok1] [ tok2] usage 0+0+0/0/0 stop filter -> "
      "settle" },
    { "drop", "", "start [tok1] [ tok2] upstream_error: " LOST " -> settle" },
    { "drop-first", "", "upstream_error: stream disconnected before "
      "completion: Transport error: network error: error decoding response "
      "body -> settle" },
    { "quota", "", "quota_exhausted: You\xe2\x80\x99" "ve hit your usage "
      "limit. Upgrade to Pro (https://chatgpt.com/explore/pro), visit "
      "https://chatgpt.com/settings/usage to purchase more credits or try "
      "again at Nov 30th, 2026 12:53 AM. -> settle" },
    { "unreachable", "", "upstream_error: Connection failed: error sending "
      "request -> settle" },
    { "hang", "", "-> -" },
    { "stall", "", "start [tok1] [ tok2] -> -" },
};

static const char *contents(const char *path, apr_size_t *len)
{
    apr_file_t *file;
    apr_finfo_t info;
    char *data;

    if (apr_file_open(&file, path, APR_FOPEN_READ, 0, pool) != APR_SUCCESS) {
        return NULL;
    }
    apr_file_info_get(&info, APR_FINFO_SIZE, file);
    data = apr_palloc(pool, (apr_size_t)info.size + 1);
    apr_file_read_full(file, data, (apr_size_t)info.size, len);
    apr_file_close(file);
    return data;
}

static clb_chat_t *chat_with(const char *tools)
{
    clb_chat_t *chat = chat_new(1);
    char *last, *word, *copy = apr_pstrdup(pool, tools);

    for (word = apr_strtok(copy, " ", &last); word != NULL;
         word = apr_strtok(NULL, " ", &last)) {
        tool(chat, word);
    }
    return chat;
}

static const char *replay(const char *name, const char *tools)
{
    const char *path = apr_pstrcat(pool, DATA "/", name, NULL), *end;
    apr_size_t len = 0;
    const char *data = contents(path, &len);
    turn_t turn;

    if (data == NULL) {
        return "cannot be read";
    }
    end = data + len;
    turn_init(&turn, pool, &clb_driver_codex, CLB_REUSE_UNSET);
    turn_input(&turn, CLB_IN_WARM, NULL, 0, 0);
    while (!turn.ready && data < end) {
        const char *lf = memchr(data, '\n', (apr_size_t)(end - data));

        lf = lf == NULL ? end - 1 : lf;
        turn_lines(&turn, data, lf);
        data = lf + 1;
    }
    if (!turn.ready) {
        return "never ready";
    }
    ask(&turn, chat_with(tools), 0);
    turn_lines(&turn, data, end);
    return turn_said(&turn);
}

/* The said of a run, with the ids of its calls, which are the model's, as
 * numbers. */
static const char *anonymous(const char *said)
{
    const char *id;
    int n = 0;

    while ((id = strstr(said, "call_")) != NULL) {
        said = apr_psprintf(pool, "%.*sc%d%s", (int)(id - said), said, ++n,
                            id + strspn(id, "abcdefghijklmnopqrstuvwxyz_"
                                        "0123456789"));
    }
    return said;
}

static void real_runs(void)
{
    apr_size_t i;

    for (i = 0; i < sizeof(runs) / sizeof(*runs); i++) {
        is_str(anonymous(replay(apr_pstrcat(pool, runs[i].name, ".jsonl",
                                            NULL), runs[i].tools)),
               runs[i].said, "real run: %s", runs[i].name);
    }
}

/* Whatever is recorded there is at least listed, and so looked at. */
static void other_runs(void)
{
    apr_dir_t *dir;
    apr_finfo_t info;
    apr_size_t n = 0;

    if (!ok(apr_dir_open(&dir, DATA, pool) == APR_SUCCESS, DATA)) {
        return;
    }
    while (apr_dir_read(&info, APR_FINFO_NAME, dir) == APR_SUCCESS) {
        n += apr_fnmatch("*.jsonl", info.name, 0) == APR_SUCCESS;
    }
    apr_dir_close(dir);
    is_int((long long)n, sizeof(runs) / sizeof(*runs), "no other runs");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    real_runs();
    other_runs();
    return tap_done();
}
