/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of Messages: every byte of a stream, of a whole message and of an
 * error. */
#include "tap.h"

#include "../../src/api/dialect.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

static apr_pool_t *pool;

#define MESSAGES (&clb_anthropic)

/* JSON written with single quotes, to spare the backslashes. */
static const char *q(const char *text)
{
    char *copy = apr_pstrdup(pool, text), *c;

    for (c = copy; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    return copy;
}

static clb_reply_t *reply_new(const char *model)
{
    clb_chat_t *chat = clb_chat_create(pool);
    clb_reply_t *reply;

    chat->asked = model;
    reply = clb_reply_create(MESSAGES, chat, "1", pool);
    reply->request = "req_1";
    reply->usage.input = 10;
    reply->usage.cache_read = 5;
    reply->usage.cache_write = 1;
    reply->usage.output = 7;
    return reply;
}

/* One event, as stream.c passes it on. */
static void pass(clb_reply_t *reply, const clb_event_t *event, int stream)
{
    clb_reply_note(reply, event);
    if (stream) {
        MESSAGES->event(reply, event);
    }
    else if (event->kind == CLB_EV_TEXT) {
        clb_buf_puts(&reply->text, event->u.text.data);
    }
    else if (event->kind == CLB_EV_REASONING) {
        clb_buf_puts(&reply->reasoning, event->u.text.data);
    }
    else if (event->kind == CLB_EV_STOP) {
        reply->stop = event->u.stop;
        reply->sequence = event->sequence;
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

static void stop(clb_reply_t *reply, clb_stop_e reason, const char *sequence,
                 int stream)
{
    clb_event_t event = { .kind = CLB_EV_STOP, .sequence = sequence };

    event.u.stop = reason;
    pass(reply, &event, stream);
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define SAY(reply, ...) say(reply, LIST(__VA_ARGS__), 1)

#define EVENT(type, members) "event: " type "\ndata: {'type':'" type "'" \
    members "}\n\n"
#define COUNTS "'input_tokens':10,'cache_creation_input_tokens':1," \
    "'cache_read_input_tokens':5,'output_tokens':7,'output_tokens_details':" \
    "null,'server_tool_use':null"
#define USAGE "{" COUNTS ",'cache_creation':null,'inference_geo':null," \
    "'service_tier':null,'speed':null}"
#define MESSAGE(content, reason, sequence, details) "{'id':'msg_1','type':" \
    "'message','role':'assistant','model':'m','content':[" content "]," \
    "'stop_reason':" reason ",'stop_sequence':" sequence ",'stop_details':" \
    details ",'container':null,'diagnostics':null,'usage':" USAGE "}"
#define BEGIN EVENT("message_start", ",'message':" \
    MESSAGE("", "null", "null", "null"))
#define START(index, block) EVENT("content_block_start", ",'index':" index \
    ",'content_block':{" block "}")
#define DELTA(index, delta) EVENT("content_block_delta", ",'index':" index \
    ",'delta':{" delta "}")
#define STOP(index) EVENT("content_block_stop", ",'index':" index)
#define END(reason, sequence, details) EVENT("message_delta", ",'delta':{" \
    "'stop_reason':" reason ",'stop_sequence':" sequence ",'stop_details':" \
    details ",'container':null},'usage':{" COUNTS "}") \
    EVENT("message_stop", "")
#define TEXT(index, text) START(index, "'type':'text','text':''," \
    "'citations':null") DELTA(index, "'type':'text_delta','text':'" text "'")
#define USE(id, name, input) "'type':'tool_use','id':'" id "','name':'" name \
    "','input':" input ",'caller':{'type':'direct'}"

static void stream(void)
{
    clb_reply_t *reply = reply_new("m");

    MESSAGES->begin(reply);
    is_str(reply->out.data, q(BEGIN), "a stream begins with the message");
    clb_buf_reset(&reply->out);
    SAY(reply, "tHi");
    is_str(reply->out.data, q(TEXT("0", "Hi")), "a text begins a block");
    clb_buf_reset(&reply->out);
    SAY(reply, "t you");
    is_str(reply->out.data, q(DELTA("0", "'type':'text_delta','text':' you'")),
           "and goes on");
    clb_buf_reset(&reply->out);
    stop(reply, CLB_STOP_END, NULL, 1);
    is_str(reply->out.data, q(STOP("0") END("'end_turn'", "null", "null")),
           "the end closes it");

    reply = reply_new("m");
    stop(reply, CLB_STOP_END, NULL, 1);
    is_str(reply->out.data, q(END("'end_turn'", "null", "null")),
           "an answer without a block");
    clb_buf_reset(&reply->out);
    MESSAGES->ping(reply);
    is_str(reply->out.data, q(EVENT("ping", "")), "a sign of life");
}

/* What the beginning of a stream says of the question's tokens, when so many
 * are known: all anew, and from a cache. */
static const char *counted(int input, int cached)
{
    clb_chat_t *chat = clb_chat_create(pool);
    clb_reply_t *reply = clb_reply_create(MESSAGES, chat, "1", pool);
    static const char key[] = "\"input_tokens\":";
    const char *at;

    chat->asked = "m";
    clb_chat_part(clb_chat_message(chat, CLB_ROLE_USER), CLB_PART_TEXT, "Hi");
    reply->usage.input = input;
    reply->usage.cache_read = cached;
    MESSAGES->begin(reply);
    ok(reply->usage.input == input, "what is known stays what it is");
    at = strstr(reply->out.data, key) + sizeof(key) - 1;
    return apr_pstrmemdup(pool, at, strspn(at, "0123456789"));
}

static void counts(void)
{
    is_str(counted(12, 0), "12", "tokens that are known");
    is_str(counted(0, 5), "0", "none is, but from the cache");
    is_str(counted(0, 0), "9", "an estimate, where the CLI counts at the end");
}

static void blocks(void)
{
    clb_reply_t *reply = reply_new("m");

    SAY(reply, "rhm", "sc2ln", "heHg=", "rmore", "tso", "c1 f", "a{\"a\":",
        "a1}", "c2 g", "tand");
    stop(reply, CLB_STOP_CALLS, NULL, 1);
    is_str(reply->out.data, q(
        START("0", "'type':'thinking','thinking':'','signature':''")
        DELTA("0", "'type':'thinking_delta','thinking':'hm'")
        DELTA("0", "'type':'signature_delta','signature':'c2ln'") STOP("0")
        START("1", "'type':'redacted_thinking','data':'eHg='") STOP("1")
        START("2", "'type':'thinking','thinking':'','signature':''")
        DELTA("2", "'type':'thinking_delta','thinking':'more'")
        DELTA("2", "'type':'signature_delta','signature':'clb-unsigned'")
        STOP("2")
        TEXT("3", "so") STOP("3")
        START("4", USE("1", "f", "{}"))
        DELTA("4", "'type':'input_json_delta','partial_json':'{\\'a\\':'")
        DELTA("4", "'type':'input_json_delta','partial_json':'1}'") STOP("4")
        START("5", USE("2", "g", "{}"))
        DELTA("5", "'type':'input_json_delta','partial_json':'{}'") STOP("5")
        TEXT("6", "and") STOP("6")
        END("'tool_use'", "null", "null")), "blocks of every kind");

    reply = reply_new("m");
    SAY(reply, "sc2ln", "tx");
    is_str(reply->out.data, q(
        START("0", "'type':'thinking','thinking':'','signature':''")
        DELTA("0", "'type':'signature_delta','signature':'c2ln'") STOP("0")
        TEXT("1", "x")), "thoughts that are not shown");
}

static void whole_blocks(void)
{
    clb_reply_t *reply = reply_new("m");

    say(reply, LIST("rhm", "sc2ln", "heHg=", "rno", "rne", "tso", "t it",
                    "c1 f", "a{\"a\":", "a1}", "c2 g", "c3 h", "a[1]", "tand",
                    "rlast"), 0);
    stop(reply, CLB_STOP_CALLS, NULL, 0);
    MESSAGES->whole(reply);
    is_str(reply->out.data, q(MESSAGE(
        "{'type':'thinking','thinking':'hm','signature':'c2ln'},"
        "{'type':'redacted_thinking','data':'eHg='},"
        "{'type':'thinking','thinking':'none','signature':'clb-unsigned'},"
        "{'type':'text','text':'so it','citations':null},"
        "{" USE("1", "f", "{'a':1}") "},{" USE("2", "g", "{}") "},"
        "{" USE("3", "h", "{'arguments':'[1]'}") "},"
        "{'type':'text','text':'and','citations':null},"
        "{'type':'thinking','thinking':'last','signature':'clb-unsigned'}",
        "'tool_use'", "null", "null")),
        "a whole answer has the same blocks in the same order");

    reply = reply_new("m");
    stop(reply, CLB_STOP_END, NULL, 0);
    MESSAGES->whole(reply);
    is_str(reply->out.data, q(MESSAGE("", "'end_turn'", "null", "null")),
           "or none");
}

static void stops(void)
{
    static const struct {
        clb_stop_e stop;
        const char *sequence;
        const char *streamed;
        const char *whole;
    } cases[] = {
#define STOPS(reason, sequence, details) END(reason, sequence, details), \
    MESSAGE("", reason, sequence, details)
        { CLB_STOP_LENGTH, NULL, STOPS("'max_tokens'", "null", "null") },
        { CLB_STOP_SEQUENCE, "\"", STOPS("'stop_sequence'", "'\\''", "null") },
        { CLB_STOP_SEQUENCE, NULL, STOPS("'stop_sequence'", "null", "null") },
        { CLB_STOP_FILTER, NULL, STOPS("'refusal'", "null", "{'type':"
          "'refusal','category':null,'explanation':null}") },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        clb_reply_t *reply = reply_new("m");

        stop(reply, cases[i].stop, cases[i].sequence, 1);
        is_str(reply->out.data, q(cases[i].streamed), "stop %d in a stream",
               cases[i].stop);
        reply = reply_new("m");
        stop(reply, cases[i].stop, cases[i].sequence, 0);
        MESSAGES->whole(reply);
        is_str(reply->out.data, q(cases[i].whole), "stop %d of a whole answer",
               cases[i].stop);
    }
}

static void usage(void)
{
    clb_reply_t *reply = reply_new("m");

    reply->usage.reasoning = 3;
    stop(reply, CLB_STOP_END, NULL, 1);
    ok(strstr(reply->out.data, "\"output_tokens_details\":{\"thinking_tokens\""
              ":3}") != NULL, "tokens of thoughts");
}

#define ERROR "{'type':'error','error':{'type':'rate_limit_error'," \
    "'message':'too \\'much\\'','details':null},'request_id':'req_1'}"

static void errors(void)
{
    clb_error_t failure = { CLB_RATE_LIMITED, "too \"much\"", NULL, 0 };
    clb_reply_t *reply = reply_new("m");
    clb_buf_t out;

    SAY(reply, "tx");
    clb_buf_reset(&reply->out);
    MESSAGES->error(reply, &failure);
    is_str(reply->out.data, q("event: error\ndata: " ERROR "\n\n"),
           "an error ends a stream, and nothing says it is complete");
    clb_buf_init(&out, pool, 0);
    MESSAGES->error_body(&out, &failure, "req_1");
    is_str(out.data, q(ERROR), "an error as a body");
    clb_buf_reset(&out);
    clb_anthropic_count.error_body(&out, &failure, NULL);
    ok(strstr(out.data, "\"request_id\":null") != NULL, "of no request");
    clb_buf_reset(&out);
    failure.param = "top_k";
    failure.message = "no";
    MESSAGES->error_body(&out, &failure, "req_1");
    ok(strstr(out.data, "\"top_k: no\"") != NULL, "that names what was wrong");
    clb_buf_reset(&out);
    failure.message = "'top_k' no";
    MESSAGES->error_body(&out, &failure, "req_1");
    ok(strstr(out.data, "\"'top_k' no\"") != NULL, "once");
    clb_buf_reset(&out);
    failure.param = "thread";
    MESSAGES->error_body(&out, &failure, "req_1");
    ok(strstr(out.data, "\"details\":{\"error_code\":"
              "\"thread_unsupported_request\"}") != NULL,
       "with what makes the vendor's SDK do without threads");
    clb_buf_reset(&out);
    failure.message = "a\xff";
    MESSAGES->error_body(&out, &failure, "req_1");
    ok(strstr(out.data, "a\xef\xbf\xbd") != NULL, "with words of a program");
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
        "\"", "\\", "a\nb", "\r\n\r\n", "\n\nevent: message_stop\n\n", "\x01",
        "\xe2\x80\xa8", "\xf0\x9f\x98\x80", "</script>",
    };
    apr_size_t i;

    for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        clb_reply_t *reply = reply_new(texts[i]);

        MESSAGES->begin(reply);
        is_str(clb_json_string(clb_json_find(last_json(reply->out.data),
               "message.model")), texts[i], "text %d as the model's name",
               (int)i);
        SAY(reply, apr_pstrcat(pool, "t", texts[i], NULL));
        is_str(clb_json_string(clb_json_find(last_json(reply->out.data),
               "delta.text")), texts[i], "in a stream");
        SAY(reply, apr_pstrcat(pool, "s", texts[i], NULL));
        is_str(clb_json_string(clb_json_find(last_json(reply->out.data),
               "delta.signature")), texts[i], "as a signature");
    }
}

static void lists(void)
{
    const clb_json_t *list = clb_json_pack(pool, "[O, {s:s}]",
        MESSAGES->model("a/b", "claude", apr_time_from_sec(1700000000), pool),
        "id", "z");

    is_str(clb_json_text(pool, clb_json_at(list, 0)), q("{'type':'model',"
           "'id':'a/b','display_name':'a/b','created_at':"
           "'2023-11-14T22:13:20Z','lifecycle':'active','capabilities':null,"
           "'line':null,'max_input_tokens':null,'max_tokens':null,"
           "'deprecated_at':null,'retires_at':null}"), "a model");
    is_str(clb_json_text(pool, clb_json_pack(pool, "O", clb_json_get(
           MESSAGES->models(list, pool), "last_id"))), "\"z\"",
           "a page of them");
    is_str(clb_json_text(pool, MESSAGES->models(clb_json_pack(pool, "[]"),
                                                pool)),
           q("{'data':[],'has_more':false,'first_id':null,'last_id':null}"),
           "and an empty one");
}

static void count(void)
{
    clb_buf_t out;

    clb_buf_init(&out, pool, 0);
    clb_anthropic_count.count(&out, 1234567890123);
    is_str(out.data, q("{'input_tokens':1234567890123}"), "a count");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    stream();
    counts();
    blocks();
    whole_blocks();
    stops();
    usage();
    errors();
    escapes();
    lists();
    count();
    return tap_done();
}
