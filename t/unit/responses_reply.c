/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of Responses: every byte of a stream, of a whole response and of a
 * failure. */
#include "tap.h"

#include "../../src/api/dialect.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

static apr_pool_t *pool;

#define RESPONSES (&clb_openai_responses)

/* JSON written with single quotes, to spare the backslashes. */
static const char *q(const char *text)
{
    char *copy = apr_pstrdup(pool, text), *c;

    for (c = copy; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    return copy;
}

/* The time of the end is what the clock says: here 9. */
static const char *still(const char *text)
{
    static const char key[] = "\"completed_at\":";
    clb_buf_t out;
    const char *at;

    clb_buf_init(&out, pool, strlen(text));
    while ((at = strstr(text, key)) != NULL) {
        at += sizeof(key) - 1;
        clb_buf_add(&out, text, (apr_size_t)(at - text));
        text = at + strspn(at, "0123456789");
        clb_buf_puts(&out, text > at ? "9" : "");
    }
    clb_buf_puts(&out, text);
    return out.data;
}

static clb_reply_t *reply_new(const char *model)
{
    clb_chat_t *chat = clb_chat_create(pool);
    clb_tool_t *tool = apr_array_push(chat->tools);
    clb_reply_t *reply;

    memset(tool, 0, sizeof(*tool));
    tool->name = "patch";
    tool->custom = 1;
    tool = apr_array_push(chat->tools);
    memset(tool, 0, sizeof(*tool));
    tool->name = "n.f";
    tool->space = "n";
    chat->asked = model;
    chat->echo = clb_json_pack(pool, "{s:i}", "top_p", 1);
    reply = clb_reply_create(RESPONSES, chat, "1", pool);
    reply->created = 8;
    reply->usage.input = 10;
    reply->usage.cache_read = 5;
    reply->usage.cache_write = 1;
    reply->usage.output = 7;
    reply->usage.reasoning = 2;
    return reply;
}

/* The same for a client that takes what proves reasoning. */
static clb_reply_t *sealed_new(void)
{
    clb_reply_t *reply = reply_new("m");

    ((clb_chat_t *)reply->chat)->signatures = 1;
    return reply;
}

/* One event, as stream.c passes it on. */
static void pass(clb_reply_t *reply, const clb_event_t *event, int stream)
{
    clb_reply_note(reply, event);
    if (stream) {
        RESPONSES->event(reply, event);
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
static void say(clb_reply_t *reply, const char *const *events, int stream)
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
        pass(reply, &event, stream);
        memset(text, '!', strlen(text));
        free(text);
    }
}

static void stop(clb_reply_t *reply, clb_stop_e reason, int stream)
{
    clb_event_t event = { .kind = CLB_EV_STOP };

    event.u.stop = reason;
    pass(reply, &event, stream);
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define SAY(reply, ...) say(reply, LIST(__VA_ARGS__), 1)

/* n: the number of the event; i: the index and the id of the item */
#define EVENT(type, n, members) "event: " type "\ndata: {'type':'" type "'," \
    "'sequence_number':" n members "}\n\n"
#define USAGE "{'input_tokens':16,'input_tokens_details':{'cached_tokens':5," \
    "'cache_write_tokens':1},'output_tokens':7,'output_tokens_details':{" \
    "'reasoning_tokens':2},'total_tokens':23}"
#define RESPONSE(status, end, error, details, output, usage) "{'id':'resp_1'" \
    ",'object':'response','created_at':8,'status':'" status "','background':" \
    "false,'completed_at':" end ",'error':" error ",'incomplete_details':" \
    details ",'model':'m','output':[" output "],'previous_response_id':null," \
    "'service_tier':'default','store':false,'usage':" usage ",'top_p':1}"
#define BEGUN RESPONSE("in_progress", "null", "null", "null", "", "null")
#define COMPLETED(output) RESPONSE("completed", "9", "null", "null", output, \
                                   USAGE)
#define BEGIN EVENT("response.created", "0", ",'response':" BEGUN) \
    EVENT("response.in_progress", "1", ",'response':" BEGUN)
#define END(n, output) EVENT("response.completed", n, ",'response':" \
                             COMPLETED(output))
#define ADDED(n, i, item) EVENT("response.output_item.added", n, \
    ",'output_index':" i ",'item':{" item "}")
#define DONE(n, i, item) EVENT("response.output_item.done", n, \
    ",'output_index':" i ",'item':{" item "}")

#define PART(text) "{'type':'output_text','annotations':[],'logprobs':[]," \
    "'text':'" text "'}"
#define MESSAGE(i, status, content) "'id':'msg_1_" i "','type':'message'," \
    "'status':'" status "','content':[" content "],'role':'assistant'"
#define CONTENT(n, i, what, text) EVENT("response.content_part." what, n, \
    ",'item_id':'msg_1_" i "','output_index':" i ",'content_index':0,'part':" \
    PART(text))
#define TEXT(n, i, what, key, text) EVENT("response.output_text." what, n, \
    ",'item_id':'msg_1_" i "','output_index':" i ",'content_index':0,'" key \
    "':'" text "','logprobs':[]")
#define DELTA(n, i, text) TEXT(n, i, "delta", "delta", text)

#define SUMMARY(text) "{'type':'summary_text','text':'" text "'}"
#define REASONING(i, summary) "'id':'rs_1_" i "','type':'reasoning'," \
    "'summary':[" summary "]"
#define THOUGHT(n, i, what, text) EVENT("response.reasoning_summary_part." \
    what, n, ",'item_id':'rs_1_" i "','output_index':" i ",'summary_index':0" \
    ",'part':" SUMMARY(text))
#define THINK(n, i, what, key, text) EVENT( \
    "response.reasoning_summary_text." what, n, ",'item_id':'rs_1_" i "'," \
    "'output_index':" i ",'summary_index':0,'" key "':'" text "'")

#define CALL(i, status, id, name, arguments) "'id':'fc_1_" i "','type':" \
    "'function_call','status':'" status "','arguments':'" arguments "'," \
    "'call_id':'" id "','name':'" name "'"
#define CUSTOM(i, status, id, name, input) "'id':'ctc_1_" i "','type':" \
    "'custom_tool_call','status':'" status "','input':'" input "'," \
    "'call_id':'" id "','name':'" name "'"
#define PIECE(type, n, prefix, i, key, text) EVENT("response." type, n, \
    ",'item_id':'" prefix "_1_" i "','output_index':" i ",'" key "':'" text \
    "'")
#define ARGUMENTS(n, i, text) PIECE("function_call_arguments.delta", n, "fc", \
                                    i, "delta", text)
#define CALLED(n, i, name, text) EVENT( \
    "response.function_call_arguments.done", n, ",'item_id':'fc_1_" i "'," \
    "'output_index':" i ",'name':'" name "','arguments':'" text "'")

static void stream(void)
{
    clb_reply_t *reply = reply_new("m");

    RESPONSES->begin(reply);
    is_str(reply->out.data, q(BEGIN), "a stream begins with the response");
    clb_buf_reset(&reply->out);
    SAY(reply, "tHi");
    is_str(reply->out.data, q(ADDED("2", "0", MESSAGE("0", "in_progress", ""))
           CONTENT("3", "0", "added", "") DELTA("4", "0", "Hi")),
           "a text begins a message");
    clb_buf_reset(&reply->out);
    SAY(reply, "t you");
    is_str(reply->out.data, q(DELTA("5", "0", " you")), "and goes on");
    clb_buf_reset(&reply->out);
    stop(reply, CLB_STOP_END, 1);
    is_str(still(reply->out.data), q(TEXT("6", "0", "done", "text", "Hi you")
           CONTENT("7", "0", "done", "Hi you")
           DONE("8", "0", MESSAGE("0", "completed", PART("Hi you")))
           END("9", "{" MESSAGE("0", "completed", PART("Hi you")) "}")),
           "the end closes it");

    reply = reply_new("m");
    RESPONSES->begin(reply);
    clb_buf_reset(&reply->out);
    stop(reply, CLB_STOP_SEQUENCE, 1);
    is_str(still(reply->out.data), q(END("2", "")), "an answer of nothing");
}

#define ITEMS "{" REASONING("0", SUMMARY("hm so")) "},{" \
    REASONING("1", "") "},{" MESSAGE("2", "completed", PART("so")) "},{" \
    CALL("3", "completed", "c1", "g", "{\\'a\\':1}") "},{" \
    CALL("4", "completed", "c2", "f", "{}") ",'namespace':'n'},{" \
    CUSTOM("5", "completed", "c3", "patch", "x y") "}"

static const char *const events[] = {
    "rhm", "r so", "sc2ln", "heHg=", "tso", "cc1 g", "a{\"a\":", "a1}",
    "cc2 n.f", "cc3 patch", "a{\"input\":", "a\"x y\"}", NULL
};

static void items(void)
{
    clb_reply_t *reply = reply_new("m");

    RESPONSES->begin(reply);
    clb_buf_reset(&reply->out);
    say(reply, events, 1);
    stop(reply, CLB_STOP_CALLS, 1);
    is_str(still(reply->out.data), q(
        ADDED("2", "0", REASONING("0", "")) THOUGHT("3", "0", "added", "")
        THINK("4", "0", "delta", "delta", "hm")
        THINK("5", "0", "delta", "delta", " so")
        THINK("6", "0", "done", "text", "hm so")
        THOUGHT("7", "0", "done", "hm so")
        DONE("8", "0", REASONING("0", SUMMARY("hm so")))
        ADDED("9", "1", REASONING("1", "")) DONE("10", "1",
                                                 REASONING("1", ""))
        ADDED("11", "2", MESSAGE("2", "in_progress", ""))
        CONTENT("12", "2", "added", "") DELTA("13", "2", "so")
        TEXT("14", "2", "done", "text", "so") CONTENT("15", "2", "done", "so")
        DONE("16", "2", MESSAGE("2", "completed", PART("so")))
        ADDED("17", "3", CALL("3", "in_progress", "c1", "g", ""))
        ARGUMENTS("18", "3", "{\\'a\\':") ARGUMENTS("19", "3", "1}")
        CALLED("20", "3", "g", "{\\'a\\':1}")
        DONE("21", "3", CALL("3", "completed", "c1", "g", "{\\'a\\':1}"))
        ADDED("22", "4", CALL("4", "in_progress", "c2", "f", "")
              ",'namespace':'n'") ARGUMENTS("23", "4", "{}")
        CALLED("24", "4", "f", "{}")
        DONE("25", "4", CALL("4", "completed", "c2", "f", "{}")
             ",'namespace':'n'")
        ADDED("26", "5", CUSTOM("5", "in_progress", "c3", "patch", ""))
        PIECE("custom_tool_call_input.delta", "27", "ctc", "5", "delta",
              "x y")
        PIECE("custom_tool_call_input.done", "28", "ctc", "5", "input", "x y")
        DONE("29", "5", CUSTOM("5", "completed", "c3", "patch", "x y"))
        END("30", ITEMS)), "items of every kind");

    reply = reply_new("m");
    say(reply, events, 0);
    stop(reply, CLB_STOP_CALLS, 0);
    RESPONSES->whole(reply);
    is_str(still(reply->out.data), q(COMPLETED(ITEMS)),
           "a whole answer has the same");
    reply = reply_new("m");
    stop(reply, CLB_STOP_END, 0);
    RESPONSES->whole(reply);
    is_str(still(reply->out.data), q(COMPLETED("")), "or none");
}

static void seals(void)
{
    clb_reply_t *reply = sealed_new();

    RESPONSES->begin(reply);
    clb_buf_reset(&reply->out);
    SAY(reply, "sc2ln", "heHg=", "rno", "tx");
    clb_buf_reset(&reply->out);
    stop(reply, CLB_STOP_END, 1);
    ok(strstr(reply->out.data, q("'output':[{" REASONING("0", "")
              ",'encrypted_content':'clb-signed.c2ln'},{" REASONING("1", "")
              ",'encrypted_content':'clb-hidden.eHg='},{"
              REASONING("2", SUMMARY("no")) "},{")) != NULL,
       "encrypted_content");
}

static void stops(void)
{
    static const struct {
        clb_stop_e stop;
        const char *details;
    } cases[] = {
        { CLB_STOP_LENGTH, "max_output_tokens" },
        { CLB_STOP_FILTER, "content_filter" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        clb_reply_t *reply = reply_new("m");
        const char *output = "{" MESSAGE("0", "completed", PART("a")) "},{"
            CALL("1", "incomplete", "c1", "f", "{\\'") "}";
        const char *response = q(apr_pstrcat(pool, "{'id':'resp_1','object':"
            "'response','created_at':8,'status':'incomplete','background':"
            "false,'completed_at':null,'error':null,'incomplete_details':{"
            "'reason':'", cases[i].details, "'},'model':'m','output':[",
            output, "],'previous_response_id':null,'service_tier':'default',"
            "'store':false,'usage':" USAGE ",'top_p':1}", NULL));

        say(reply, LIST("ta", "cc1 f", "a{\""), 0);
        stop(reply, cases[i].stop, 0);
        RESPONSES->whole(reply);
        is_str(reply->out.data, response, "%s in a whole answer",
               cases[i].details);
        reply = reply_new("m");
        RESPONSES->begin(reply);
        SAY(reply, "ta", "cc1 f", "a{\"");
        clb_buf_reset(&reply->out);
        stop(reply, cases[i].stop, 1);
        ok(strstr(reply->out.data, q("event: response.output_item.done"))
           != NULL && strstr(reply->out.data, "\"incomplete\"") != NULL,
           "the item is marked");
        ok(strstr(reply->out.data, apr_pstrcat(pool, "event: "
           "response.incomplete\ndata: ", q("{'type':'response.incomplete',"
           "'sequence_number':12,'response':"), response, "}\n\n", NULL))
           != NULL, "and in a stream");
    }
}

#define FAILED(code, message, output) RESPONSE("failed", "null", "{'code':'" \
    code "','message':'" message "'}", "null", output, "null")

static void failures(void)
{
    static const struct {
        clb_error_e kind;
        const char *code;
    } codes[] = {
        { CLB_UPSTREAM, "server_error" }, { CLB_OVERLOADED, "server_error" },
        { CLB_TIMEOUT_IDLE, "server_error" },
        { CLB_RATE_LIMITED, "rate_limit_exceeded" },
        { CLB_QUOTA_EXHAUSTED, "insufficient_quota" },
        { CLB_CONTEXT_LENGTH, "context_length_exceeded" },
        { CLB_CONTENT_FILTER, "invalid_prompt" },
        { CLB_BAD_REQUEST, "invalid_prompt" },
    };
    clb_error_t failure = { CLB_RATE_LIMITED, "too \"much\" \xff", NULL, 0 };
    clb_reply_t *reply = reply_new("m");
    clb_buf_t out;
    apr_size_t i;

    RESPONSES->begin(reply);
    SAY(reply, "rhm", "tx");
    clb_buf_reset(&reply->out);
    RESPONSES->error(reply, &failure);
    is_str(reply->out.data, q(EVENT("error", "11", ",'code':"
           "'rate_limit_exceeded','message':'too \\'much\\' \xef\xbf\xbd',"
           "'param':null") EVENT("response.failed", "12", ",'response':"
           FAILED("rate_limit_exceeded", "too \\'much\\' \xef\xbf\xbd",
                  "{" REASONING("0", SUMMARY("hm")) "}"))),
           "a failure ends a stream, with the items that are complete");
    reply = reply_new("m");
    failure.message = "no";
    failure.param = "p";
    RESPONSES->error(reply, &failure);
    is_str(reply->out.data, q(BEGIN EVENT("error", "2", ",'code':"
           "'rate_limit_exceeded','message':'p: no','param':'p'")
           EVENT("response.failed", "3", ",'response':"
           FAILED("rate_limit_exceeded", "p: no", ""))),
           "one that had not begun begins");
    clb_buf_init(&out, pool, 0);
    RESPONSES->error_body(&out, &failure, "req_1");
    is_str(out.data, q("{'error':{'message':'no','type':'rate_limit_error',"
           "'param':'p','code':'rate_limit_exceeded'}}"), "as a body");
    for (i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
        reply = reply_new("m");
        failure.kind = codes[i].kind;
        RESPONSES->error(reply, &failure);
        ok(strstr(reply->out.data, apr_pstrcat(pool, "\"error\":{\"code\":\"",
                  codes[i].code, "\"", NULL)) != NULL, "%s is %s",
           clb_error_info(codes[i].kind)->name, codes[i].code);
    }
}

/* The JSON of the last event. */
static clb_json_t *last_json(const char *bytes)
{
    const char *data = bytes, *next, *why;
    clb_json_t *json = NULL;

    while ((next = strstr(data, "\ndata: ")) != NULL) {
        data = next + 7;
    }
    clb_json_parse(&json, data, strcspn(data, "\n"), CLB_JSON_STRICT, &why,
                   pool);
    return json;
}

/* Text that would break out of JSON or of an event. */
static void escapes(void)
{
    static const char *const texts[] = {
        "\"", "\\", "a\nb", "\r\n\r\n", "\n\nevent: error\n\n", "\x01",
        "\xe2\x80\xa8", "\xf0\x9f\x98\x80", "</script>",
    };
    apr_size_t i;

    for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        clb_reply_t *reply = reply_new(texts[i]);

        RESPONSES->begin(reply);
        is_str(clb_json_string(clb_json_find(last_json(reply->out.data),
               "response.model")), texts[i], "text %d as the model's name",
               (int)i);
        SAY(reply, apr_pstrcat(pool, "t", texts[i], NULL));
        is_str(clb_json_get_string(last_json(reply->out.data), "delta"),
               texts[i], "text %d in a text", (int)i);
        SAY(reply, apr_pstrcat(pool, "cx f", texts[i], NULL),
            "a{}");
        stop(reply, CLB_STOP_CALLS, 1);
        is_str(clb_json_get_string(clb_json_at(clb_json_find(last_json(
               reply->out.data), "response.output"), 1), "name"),
               apr_pstrcat(pool, "f", texts[i], NULL),
               "text %d as a tool's name", (int)i);
    }
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    stream();
    items();
    seals();
    stops();
    failures();
    escapes();
    return tap_done();
}
