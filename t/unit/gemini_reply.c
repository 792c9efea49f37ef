/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of the Gemini API: every byte of both kinds of streams, of a whole
 * answer and of an error. */
#include "tap.h"

#include "../../src/api/dialect.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

static apr_pool_t *pool;

/* JSON written with single quotes, to spare the backslashes. */
static const char *q(const char *text)
{
    char *copy = apr_pstrdup(pool, text), *c;

    for (c = copy; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    return copy;
}

static clb_reply_t *reply_new(const clb_dialect_t *dialect, const char *model)
{
    clb_chat_t *chat = clb_chat_create(pool);
    clb_reply_t *reply;

    chat->asked = model;
    reply = clb_reply_create(dialect, chat, "1", pool);
    reply->request = "req_1";
    reply->usage.input = 10;
    reply->usage.cache_write = 1;
    reply->usage.output = 7;
    return reply;
}

/* One event, as stream.c passes it on. */
static void pass(const clb_dialect_t *dialect, clb_reply_t *reply,
                 const clb_event_t *event)
{
    clb_reply_note(reply, event);
    if (dialect->event != NULL) {
        dialect->event(reply, event);
    }
    else if (event->kind == CLB_EV_TEXT) {
        clb_buf_puts(&reply->text, event->u.text.data);
    }
    else if (event->kind == CLB_EV_REASONING) {
        clb_buf_puts(&reply->reasoning, event->u.text.data);
    }
    else if (event->kind == CLB_EV_STOP) {
        reply->stop = event->u.stop;
    }
}

/* An answer: each string an event, by its first letter text (t), reasoning
 * (r), signature (s), hidden (h), a call (c ID NAME), arguments (a). */
static void say(const clb_dialect_t *dialect, clb_reply_t *reply,
                const char *const *events)
{
    static const char letters[] = "trsha";
    static const clb_event_e kinds[] = {
        CLB_EV_TEXT, CLB_EV_REASONING, CLB_EV_SIGNATURE, CLB_EV_HIDDEN,
        CLB_EV_ARGUMENTS
    };

    for (; *events != NULL; events++) {
        char *text = strdup(*events + 1);    /* it lives no longer than this */
        clb_event_t event = { .kind = CLB_EV_CALL };

        if (**events == 'c') {
            event.u.call.name = strchr(text, ' ') + 1;
            *strchr(text, ' ') = '\0';
            event.u.call.id = text;
        }
        else {
            event.kind = kinds[strchr(letters, **events) - letters];
            event.u.text.data = text;
            event.u.text.len = strlen(text);
        }
        pass(dialect, reply, &event);
        memset(text, '!', strlen(text));
        free(text);
    }
}

static void stop(const clb_dialect_t *dialect, clb_reply_t *reply,
                 clb_stop_e reason)
{
    clb_event_t event = { .kind = CLB_EV_STOP };

    event.u.stop = reason;
    pass(dialect, reply, &event);
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

#define HEAD "{'responseId':'1','modelVersion':'m',"
#define USAGE "'usageMetadata':{'promptTokenCount':11,'candidatesTokenCount'" \
    ":7,'totalTokenCount':18}"
#define CONTENT(parts) "'content':{'role':'model','parts':[" parts "]}"
#define PIECE(part) HEAD "'candidates':[{'index':0," CONTENT(part) "}]}"
#define END(parts, reason) HEAD USAGE ",'candidates':[{'index':0," \
    CONTENT(parts) ",'finishReason':'" reason "'}]}"
#define TEXT(text) "{'text':'" text "'}"
#define THOUGHT(text) "{'text':'" text "','thought':true}"
#define CALL(id, name, args) "{'functionCall':{'id':'" id "','name':'" name \
    "','args':" args "}}"
#define BLOCKED HEAD USAGE ",'promptFeedback':{'blockReason':'SAFETY'}}"

/* The pieces @a list (ends with NULL) as one of the streams has them. */
static const char *framed(const clb_dialect_t *dialect,
                          const char *const *list)
{
    int array = dialect == &clb_gemini_array, i;
    const char *out = "";

    for (i = 0; list[i] != NULL; i++) {
        out = apr_pstrcat(pool, out, !array ? "data: " : i == 0 ? "[" : ",\n",
                          list[i], array ? "" : "\n\n", NULL);
    }
    return q(apr_pstrcat(pool, out, array ? "]\n" : "", NULL));
}

static const clb_dialect_t *const streams[] = {
    &clb_gemini_stream, &clb_gemini_array
};

static void stream(const clb_dialect_t *dialect)
{
    clb_reply_t *reply = reply_new(dialect, "m");

    dialect->begin(reply);
    is_str(reply->out.data, "", "nothing stands before the first words");
    say(dialect, reply, LIST("rhm", "sc2ln", "heHg=", "tso", "t it", "c1 f",
                             "a{\"a\":", "a1}", "c2 g", "c3 h", "a[1]",
                             "tand"));
    stop(dialect, reply, CLB_STOP_CALLS);
    is_str(reply->out.data, framed(dialect, LIST(
        PIECE(THOUGHT("hm")), PIECE(TEXT("so")), PIECE(TEXT(" it")),
        PIECE(CALL("1", "f", "{'a':1}")), PIECE(CALL("2", "g", "{}")),
        PIECE(CALL("3", "h", "{'arguments':'[1]'}")), PIECE(TEXT("and")),
        END(TEXT(""), "STOP"))), "pieces of every kind");

    reply = reply_new(dialect, "m");
    dialect->begin(reply);
    say(dialect, reply, LIST("c1 f", "a{\"a\":2}"));
    is_str(reply->out.data, "", "a call that is not complete is not told");
    stop(dialect, reply, CLB_STOP_CALLS);
    is_str(reply->out.data, framed(dialect, LIST(
        PIECE(CALL("1", "f", "{'a':2}")), END(TEXT(""), "STOP"))),
        "but at the end");

    reply = reply_new(dialect, "m");
    dialect->begin(reply);
    stop(dialect, reply, CLB_STOP_END);
    is_str(reply->out.data, framed(dialect, LIST(END(TEXT(""), "STOP"))),
           "an answer without a word");
}

static void stops(void)
{
    static const struct {
        clb_stop_e stop;
        const char *reason;
    } cases[] = {
        { CLB_STOP_END, "STOP" }, { CLB_STOP_LENGTH, "MAX_TOKENS" },
        { CLB_STOP_SEQUENCE, "STOP" }, { CLB_STOP_FILTER, "SAFETY" },
        { CLB_STOP_CALLS, "STOP" },
    };
    clb_reply_t *reply;
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        reply = reply_new(&clb_gemini, "m");
        say(&clb_gemini, reply, LIST("tx"));
        stop(&clb_gemini, reply, cases[i].stop);
        clb_gemini.whole(reply);
        ok(strstr(reply->out.data, apr_pstrcat(pool, "\"finishReason\":\"",
           cases[i].reason, "\"", NULL)) != NULL, "stop %d: %s",
           cases[i].stop, cases[i].reason);
    }
    reply = reply_new(&clb_gemini, "m");
    stop(&clb_gemini, reply, CLB_STOP_FILTER);
    clb_gemini.whole(reply);
    is_str(reply->out.data, q(BLOCKED), "a question that is refused");
    for (i = 0; i < 2; i++) {
        reply = reply_new(streams[i], "m");
        streams[i]->begin(reply);
        stop(streams[i], reply, CLB_STOP_FILTER);
        is_str(reply->out.data, framed(streams[i], LIST(BLOCKED)),
               "in a stream");
    }
}

static void whole(void)
{
    clb_reply_t *reply = reply_new(&clb_gemini, "m");

    say(&clb_gemini, reply, LIST("sc2ln", "heHg=", "rno", "rne", "tso",
                                 "t it", "c1 f", "a{\"a\":", "a1}", "c2 g",
                                 "tand"));
    stop(&clb_gemini, reply, CLB_STOP_CALLS);
    clb_gemini.whole(reply);
    is_str(reply->out.data, q(END(THOUGHT("none") "," TEXT("so it") ","
           CALL("1", "f", "{'a':1}") "," CALL("2", "g", "{}") ","
           TEXT("and"), "STOP")), "a whole answer");
    reply = reply_new(&clb_gemini, "m");
    stop(&clb_gemini, reply, CLB_STOP_END);
    clb_gemini.whole(reply);
    is_str(reply->out.data, q(END(TEXT(""), "STOP")), "or none");
}

static void usage(void)
{
    clb_reply_t *reply = reply_new(&clb_gemini, "m");

    reply->usage.reasoning = 3;
    reply->usage.cache_read = 5;
    clb_gemini.whole(reply);
    ok(strstr(reply->out.data, q("'usageMetadata':{'promptTokenCount':16,"
       "'candidatesTokenCount':4,'totalTokenCount':23,'thoughtsTokenCount':3,"
       "'cachedContentTokenCount':5}")) != NULL, "tokens of every kind: %s",
       reply->out.data);
}

#define ERROR "{'error':{'code':429,'message':'too \\'much\\'','status':" \
    "'RESOURCE_EXHAUSTED','details':[]}}"
#define DETAILS(list) "'details':[" list "]"

static const char *error_told(const clb_error_t *error)
{
    clb_buf_t out;

    clb_buf_init(&out, pool, 0);
    clb_gemini.error_body(&out, error, "req_1");
    return out.data;
}

static void errors(void)
{
    clb_error_t failure = { CLB_RATE_LIMITED, "too \"much\"", NULL, 0 };
    clb_reply_t *reply;
    int i;

    is_str(error_told(&failure), q(ERROR), "an error as a body");
    for (i = 0; i < 2; i++) {
        int array = streams[i] == &clb_gemini_array;

        reply = reply_new(streams[i], "m");
        streams[i]->begin(reply);
        say(streams[i], reply, LIST("tx", "c1 f"));
        clb_buf_reset(&reply->out);
        streams[i]->error(reply, &failure);
        is_str(reply->out.data, q(array ? ",\n" ERROR
               : "data: " ERROR "\n\n"), "ends a stream, and nothing says it "
               "is complete");
        reply = reply_new(streams[i], "m");
        streams[i]->error(reply, &failure);
        is_str(reply->out.data, q(array ? "[" ERROR
               : "data: " ERROR "\n\n"), "that has not begun");
    }
    failure.retry_after = apr_time_from_sec(2) + 1;
    ok(strstr(error_told(&failure), q(DETAILS("{'@type':'type.googleapis.com/"
       "google.rpc.RetryInfo','retryDelay':'3s'}"))) != NULL,
       "when to ask again: %s", error_told(&failure));
    failure = (clb_error_t){ CLB_BAD_REQUEST, "no", "tools[0]", 0 };
    ok(strstr(error_told(&failure), q(DETAILS("{'@type':'type.googleapis.com/"
       "google.rpc.BadRequest','fieldViolations':[{'field':'tools[0]',"
       "'description':'tools[0]: no'}]}"))) != NULL, "what was wrong: %s",
       error_told(&failure));
    failure.kind = CLB_MODEL_NOT_FOUND;
    ok(strstr(error_told(&failure), q(DETAILS(""))) != NULL,
       "which is no field where it is not there");
    failure.message = "a\xff";
    ok(strstr(error_told(&failure), "a\xef\xbf\xbd") != NULL,
       "with words of a program");
}

static void comments(void)
{
    int i;

    for (i = 0; i < 2; i++) {
        clb_reply_t *reply = reply_new(streams[i], "m");

        streams[i]->comment(reply, "keep-alive");
        is_str(reply->out.data, "\n", "a comment is white space");
    }
}

/* Text that would break out of JSON or of an event. */
static void escapes(void)
{
    static const char *const texts[] = {
        "\"", "\\", "a\nb", "\r\n\r\n", "\n\ndata: {}\n\n", "\x01",
        "\xe2\x80\xa8", "\xf0\x9f\x98\x80", "</script>", "]",
    };
    apr_size_t i;

    for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        clb_reply_t *reply = reply_new(&clb_gemini_stream, texts[i]);
        clb_json_t *json = NULL;
        const char *why;

        clb_gemini_stream.begin(reply);
        say(&clb_gemini_stream, reply, LIST(apr_pstrcat(pool, "t", texts[i],
                                                        NULL)));
        clb_json_parse(&json, reply->out.data + 6, reply->out.len - 8,
                       CLB_JSON_STRICT, &why, pool);
        is_str(clb_json_get_string(json, "modelVersion"), texts[i],
               "text %d as the model's name", (int)i);
        json = clb_json_find(clb_json_at(clb_json_get(json, "candidates"), 0),
                             "content.parts");
        is_str(clb_json_get_string(clb_json_at(json, 0), "text"), texts[i],
               "and in a stream");
    }
}

static void lists(void)
{
    const clb_json_t *list = clb_json_pack(pool, "[O]",
        clb_gemini.model("a/b", "claude", apr_time_from_sec(1700000000),
                         pool));

    is_str(clb_json_text(pool, clb_gemini.models(list, pool)),
           q("{'models':[{'name':'models/a/b','displayName':'a/b',"
             "'supportedGenerationMethods':['generateContent',"
             "'streamGenerateContent','countTokens']}]}"), "models");
}

static void count(void)
{
    clb_buf_t out;

    clb_buf_init(&out, pool, 0);
    clb_gemini_count.count(&out, 1234567890123);
    is_str(out.data, q("{'totalTokens':1234567890123}"), "a count");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    stream(&clb_gemini_stream);
    stream(&clb_gemini_array);
    stops();
    whole();
    usage();
    errors();
    comments();
    escapes();
    lists();
    count();
    return tap_done();
}
