/* SPDX-License-Identifier: Apache-2.0 */
/* Direct runs: what a request says, which arguments it may have, and what is
 * answered. */
#include "tap.h"

#include "../../src/api/dialect.h"
#include "../../src/backend/backend.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

static apr_pool_t *pool;
static clb_error_t error;

/* The chat in a body; NULL, and `error` set, if it is refused. */
static clb_chat_t *parse(const char *text)
{
    clb_chat_t *chat = clb_chat_create(pool);
    clb_json_t *body;
    const char *why;

    memset(&error, 0, sizeof(error));
    if (clb_json_parse(&body, text, strlen(text), CLB_JSON_STRICT, &why, pool)
        != APR_SUCCESS) {
        diag("%s: %s", text, why);
        return NULL;
    }
    return clb_direct_run.parse(chat, body, &error) == APR_SUCCESS ? chat
                                                                   : NULL;
}

/* --- requests --- */

static void takes(void)
{
    clb_chat_t *chat = parse("{\"model\":\"m\",\"prompt\":\"q \\n\",\"args\":"
                             "[\"-a\",\"\"],\"timeout\":1.5,\"clean\":false,"
                             "\"stream\":true,\"odd\":{}}");

    if (!ok(chat != NULL, "all fields")) {
        return;
    }
    is_str(chat->asked, "m", "the model");
    is_str(clb_chat_plain(chat), "q \n", "the prompt, as it is");
    is_str(apr_array_pstrcat(pool, chat->args, '|'), "-a|", "the arguments");
    is_int((long long)(chat->timeout * 1000), 1500, "the timeout");
    is_int(chat->verbatim, 1, "what is answered");
    is_int(chat->stream, 0, "never a stream");

    chat = parse("{\"prompt\":\"\",\"model\":null,\"args\":null,"
                 "\"timeout\":null,\"clean\":null}");
    if (!ok(chat != NULL, "a prompt alone")) {
        return;
    }
    ok(chat->asked == NULL && chat->args->nelts == 0 && chat->timeout == 0
       && !chat->verbatim, "the rest has defaults");
}

static void refuses(void)
{
    static const struct {
        const char *body;
        const char *param;
    } cases[] = {
        { "{}", "prompt" },
        { "{\"prompt\":null}", "prompt" },
        { "{\"prompt\":5}", "prompt" },
        { "{\"prompt\":[\"q\"]}", "prompt" },
        { "{\"prompt\":\"q\",\"model\":5}", "model" },
        { "{\"prompt\":\"q\",\"args\":\"-a\"}", "args" },
        { "{\"prompt\":\"q\",\"args\":{}}", "args" },
        { "{\"prompt\":\"q\",\"args\":{\"a\":\"b\"}}", "args" },
        { "{\"prompt\":\"q\",\"args\":[\"-a\",5]}", "args" },
        { "{\"prompt\":\"q\",\"args\":[null]}", "args" },
        { "{\"prompt\":\"q\",\"args\":[[\"-a\"]]}", "args" },
        { "{\"prompt\":\"q\",\"timeout\":0}", "timeout" },
        { "{\"prompt\":\"q\",\"timeout\":-1}", "timeout" },
        { "{\"prompt\":\"q\",\"timeout\":\"5\"}", "timeout" },
        { "{\"prompt\":\"q\",\"timeout\":true}", "timeout" },
        { "{\"prompt\":\"q\",\"clean\":1}", "clean" },
        { "{\"prompt\":\"q\",\"clean\":\"false\"}", "clean" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        ok(parse(cases[i].body) == NULL, "not %s", cases[i].body);
        is_str(error.param, cases[i].param, "it says what is wrong");
    }
}

/* A request with @a n arguments. */
static const clb_chat_t *with_args(int n)
{
    clb_buf_t body;
    int i;

    clb_buf_init(&body, pool, 1024);
    clb_buf_puts(&body, "{\"prompt\":\"q\",\"args\":[");
    for (i = 0; i < n; i++) {
        clb_buf_puts(&body, i > 0 ? ",\"-a\"" : "\"-a\"");
    }
    clb_buf_puts(&body, "]}");
    return parse(body.data);
}

static void limits(void)
{
    const clb_chat_t *chat = with_args(CLB_ARGS_MAX);

    ok(chat != NULL && chat->args->nelts == CLB_ARGS_MAX, "%d arguments",
       CLB_ARGS_MAX);
    ok(with_args(CLB_ARGS_MAX + 1) == NULL, "not one more");
    ok(with_args(100000) == NULL, "nor many");
    is_str(error.message, "'args' must be an array of at most 32 strings",
           "it says so");
}

/* --- arguments --- */

/* The words of @a text, which blanks separate; "_" is an empty one. */
static apr_array_header_t *words(const char *text)
{
    apr_array_header_t *list = apr_array_make(pool, 4, sizeof(const char *));
    char *copy = apr_pstrdup(pool, text), *state, *word;

    for (word = apr_strtok(copy, " ", &state); word != NULL;
         word = apr_strtok(NULL, " ", &state)) {
        APR_ARRAY_PUSH(list, const char *) = strcmp(word, "_") == 0 ? ""
                                                                    : word;
    }
    return list;
}

static apr_array_header_t *allowed(const char *const *texts)
{
    apr_array_header_t *runs = apr_array_make(pool, 4,
                                              sizeof(const char *const *));

    for (; *texts != NULL; texts++) {
        apr_array_header_t *run = words(*texts);

        APR_ARRAY_PUSH(run, const char *) = NULL;
        APR_ARRAY_PUSH(runs, const char *const *)
            = (const char *const *)(const void *)run->elts;
    }
    return runs;
}

/* What @a args are made of: the words again, told by their places; or, behind
 * a "!", the number of the first one that is not allowed. */
static const char *found(const apr_array_header_t *runs, const char *args)
{
    clb_extra_t extra;
    int wrong = clb_extra_find(&extra, runs, words(args));
    const char *all = "";
    apr_uint32_t i;

    if (wrong >= 0) {
        return apr_psprintf(pool, "!%d", wrong);
    }
    for (i = 0; i < extra.count; i++) {
        const char *const *run = APR_ARRAY_IDX(runs, extra.which[i],
                                               const char *const *);

        for (; *run != NULL; run++) {
            all = apr_pstrcat(pool, all, *all == '\0' ? "" : " ",
                              **run == '\0' ? "_" : *run, NULL);
        }
    }
    return all;
}

static void arguments(void)
{
    static const char *const texts[] = {
        "--verbose", "--effort high", "-a", "-a -b", "-b -c", "-b _", "-n",
        "-n -n", NULL
    };
    static const char *const good[] = {
        "", "--verbose", "--effort high --verbose", "--verbose --verbose",
        "-a", "-a -a", "-a -b", "-a -b -c", "-a -b -b -c -a", "-b _ -a",
        "-n -n -n",
        "-a -a -a -a -a -a -a -a -a -a -a -a -a -a -a -a "
        "-a -a -a -a -a -a -a -a -a -a -a -a -a -a -a -a"
    };
    static const struct {
        const char *args;
        const char *wrong;
    } bad[] = {
        { "--evil", "!0" }, { "_", "!0" }, { "high", "!0" },
        { "--verbose --evil", "!1" }, { "--effort", "!1" },
        { "--effort low", "!1" }, { "--verbose --effort", "!2" },
        { "-a -b -b", "!3" }, { "-a -b _ x", "!3" }, { "-b -a", "!1" },
        { "--Verbose", "!0" }, { "--verbos", "!0" }, { "--verbosex", "!0" },
        { "-n -n -n x", "!3" },
        { "-n -n -n -n -n -n -n -n -n -n -n -n -n -n -n -n "
          "-n -n -n -n -n -n -n -n -n -n -n -n -n -n -n x", "!31" }
    };
    static const char *const nothing[] = { NULL };
    apr_array_header_t *runs = allowed(texts);
    apr_size_t i;

    for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
        is_str(found(runs, good[i]), good[i], "allowed: %s", good[i]);
    }
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        is_str(found(runs, bad[i].args), bad[i].wrong, "not allowed: %s",
               bad[i].args);
    }
    is_str(found(allowed(nothing), ""), "", "none where none are");
    is_str(found(allowed(nothing), "-a"), "!0", "nor any");
}

static void from_elsewhere(void)
{
    static const char *const texts[] = { "-a", "-b", NULL };
    apr_array_header_t *runs = allowed(texts);
    clb_extra_t extra = { 2, { 1, 0 } }, other = { 2, { 0, 1 } };

    ok(clb_extra_valid(&clb_no_extra, runs), "none are good");
    ok(clb_extra_valid(&extra, runs), "so are those there are");
    ok(clb_extra_same(&extra, &extra) && !clb_extra_same(&extra, &other),
       "their order counts");
    extra.which[2] = 7;
    other = extra;
    other.which[2] = 0;
    ok(clb_extra_same(&extra, &other), "and nothing behind them");
    extra.count = 3;
    ok(!clb_extra_valid(&extra, runs), "not those there are not");
    ok(!clb_extra_same(&extra, &other), "which are others");
    memset(&extra, 0, sizeof(extra));
    extra.count = CLB_ARGS_MAX;
    ok(clb_extra_valid(&extra, runs), "as many as there can be");
    extra.count = CLB_ARGS_MAX + 1;
    ok(!clb_extra_valid(&extra, runs), "and no more");
}

/* --- answers --- */

static const char *answer(const char *text, int status, const char *said,
                          int verbatim)
{
    clb_chat_t *chat = clb_chat_create(pool);
    clb_reply_t *reply;

    chat->verbatim = verbatim;
    reply = clb_reply_create(&clb_direct_run, chat, "1", pool);
    clb_buf_puts(&reply->text, text);
    reply->exit.status = status;
    reply->exit.said = said;
    clb_direct_run.whole(reply);
    return reply->out.data;
}

static void answers(void)
{
    is_str(answer(" \n\t\v\f\ra b\xc3\xa9\r\n ", 0, "e", 0),
           "{\"output\":\"a b\xc3\xa9\",\"stdout\":null,\"stderr\":null,"
           "\"returncode\":0}", "clean");
    is_str(answer(" \n", 3, NULL, 0),
           "{\"output\":\"\",\"stdout\":null,\"stderr\":null,"
           "\"returncode\":3}", "of blanks alone");
    is_str(answer(" a\n", -9, " e\n", 1),
           "{\"output\":\" a\\n\",\"stdout\":\" a\\n\",\"stderr\":\" e\\n\","
           "\"returncode\":-9}", "as it is");
    is_str(answer("", 0, NULL, 1),
           "{\"output\":\"\",\"stdout\":\"\",\"stderr\":\"\","
           "\"returncode\":0}", "of a program that lives on");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    takes();
    refuses();
    limits();
    arguments();
    from_elsewhere();
    answers();
    return tap_done();
}
