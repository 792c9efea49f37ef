/* SPDX-License-Identifier: Apache-2.0 */
/* Chat completions and completions: every field of a request, every byte of an
 * answer. */
#include "tap.h"

#include "../../src/api/openai.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

static apr_pool_t *pool;
static clb_error_t error;

#define CHAT (&clb_openai_chat)
#define TEXT (&clb_openai_completions)

/* The chat in a body; NULL, and `error` set, if it is refused. */
static clb_chat_t *parse(const clb_dialect_t *dialect, const char *text)
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
    return dialect->parse(chat, body, &error) == APR_SUCCESS ? chat : NULL;
}

/* A body with the fields @a more. */
static const char *body(const clb_dialect_t *dialect, const char *more)
{
    return apr_pstrcat(pool, dialect == CHAT
                       ? "{\"messages\":[{\"role\":\"user\",\"content\":"
                         "\"q\"}]" : "{\"prompt\":\"q\"",
                       *more == '\0' ? "" : ",", more, "}", NULL);
}

static const char *messages(const char *list)
{
    return apr_pstrcat(pool, "{\"messages\":[", list, "]}", NULL);
}

/* --- requests --- */

/* A field that is taken, and what is asked by it, as CLIBridgeUnsupported
 * would tell. */
static void is_taken(const clb_dialect_t *dialect, const char *field,
                     const char *given)
{
    const clb_chat_t *chat = parse(dialect, body(dialect, field));

    if (ok(chat != NULL, "%s: %s", dialect->name, field)) {
        is_str(clb_chat_ignored(chat, 0), given, "it asks for %s",
               given == NULL ? "nothing" : given);
    }
    else {
        diag("%s", error.message);
    }
}

static void is_refused(const clb_dialect_t *dialect, const char *text,
                       clb_error_e kind, const char *param)
{
    clb_chat_t *chat = parse(dialect, text);

    if (!ok(chat == NULL && error.message != NULL, "%s: not %s",
            dialect->name, text)) {
        return;
    }
    is_str(clb_error_info(error.kind)->name, clb_error_info(kind)->name,
           "it is the right error");
    is_str(error.param, param, "with its parameter");
    ok(strstr(error.message, param) != NULL, "named in: %s", error.message);
}

typedef struct field_t {
    const char *text;
    const char *given;
} field_t;

static void common_taken(void)
{
    static const field_t fields[] = {
        { "", NULL },
        { "\"no_such_field\":{\"a\":[1]}", NULL },
        { "\"model\":null", NULL }, { "\"model\":\"m\"", NULL },
        { "\"temperature\":null", NULL }, { "\"temperature\":1", NULL },
        { "\"temperature\":0", "temperature" },
        { "\"temperature\":2.0", "temperature" },
        { "\"top_p\":1.0", NULL }, { "\"top_p\":0", "top_p" },
        { "\"top_k\":1", "top_k" }, { "\"top_k\":40.0", "top_k" },
        { "\"max_tokens\":1", "max_tokens" },
        { "\"max_completion_tokens\":2147483647", "max_completion_tokens" },
        { "\"max_tokens\":7,\"max_completion_tokens\":5",
          "max_completion_tokens" },
        { "\"stop\":null", NULL }, { "\"stop\":\"END\"", NULL },
        { "\"stop\":[]", NULL }, { "\"stop\":[\"a\",\"\",\"b\"]", NULL },
        { "\"stream\":true", NULL }, { "\"stream\":false", NULL },
        { "\"stream_options\":{}", NULL },
        { "\"stream_options\":{\"include_usage\":true}", NULL },
        { "\"reasoning_effort\":\"none\"", "reasoning_effort" },
        { "\"reasoning_effort\":\"xhigh\"", "reasoning_effort" },
        { "\"reasoning\":{}", NULL },
        { "\"reasoning\":{\"effort\":\"low\",\"max_tokens\":0}",
          "reasoning.effort, reasoning.max_tokens" },
        { "\"thinking\":{\"type\":\"enabled\"}", NULL },
        { "\"thinking\":{\"type\":\"disabled\"}", "thinking" },
        { "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}",
          "thinking.budget_tokens" },
        { "\"n\":1", NULL }, { "\"n\":1.0", NULL },
        { "\"logprobs\":false", NULL },
        { "\"presence_penalty\":0", NULL },
        { "\"presence_penalty\":0.5", "presence_penalty" },
        { "\"frequency_penalty\":-1", "frequency_penalty" },
        { "\"logit_bias\":{}", NULL },
        { "\"logit_bias\":{\"50256\":-100}", "logit_bias" },
        { "\"seed\":0", "seed" }, { "\"seed\":null", NULL },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        is_taken(CHAT, fields[i].text, fields[i].given);
        is_taken(TEXT, fields[i].text, fields[i].given);
    }
}

static void common_refused(void)
{
    static const struct {
        const char *text;
        clb_error_e kind;
        const char *param;
    } fields[] = {
        { "\"model\":7", CLB_BAD_REQUEST, "model" },
        { "\"temperature\":\"hot\"", CLB_BAD_REQUEST, "temperature" },
        { "\"temperature\":true", CLB_BAD_REQUEST, "temperature" },
        { "\"temperature\":-0.1", CLB_BAD_REQUEST, "temperature" },
        { "\"temperature\":2.1", CLB_BAD_REQUEST, "temperature" },
        { "\"top_p\":1.1", CLB_BAD_REQUEST, "top_p" },
        { "\"top_p\":[1]", CLB_BAD_REQUEST, "top_p" },
        { "\"top_k\":0", CLB_BAD_REQUEST, "top_k" },
        { "\"top_k\":1.5", CLB_BAD_REQUEST, "top_k" },
        { "\"max_tokens\":0", CLB_BAD_REQUEST, "max_tokens" },
        { "\"max_tokens\":\"9\"", CLB_BAD_REQUEST, "max_tokens" },
        { "\"max_tokens\":2147483648", CLB_BAD_REQUEST, "max_tokens" },
        { "\"max_tokens\":1e300", CLB_BAD_REQUEST, "max_tokens" },
        { "\"max_completion_tokens\":-1", CLB_BAD_REQUEST,
          "max_completion_tokens" },
        { "\"stop\":7", CLB_BAD_REQUEST, "stop" },
        { "\"stop\":[\"a\",7]", CLB_BAD_REQUEST, "stop" },
        { "\"stop\":{}", CLB_BAD_REQUEST, "stop" },
        { "\"stream\":\"true\"", CLB_BAD_REQUEST, "stream" },
        { "\"stream\":1", CLB_BAD_REQUEST, "stream" },
        { "\"stream_options\":true", CLB_BAD_REQUEST, "stream_options" },
        { "\"reasoning_effort\":\"huge\"", CLB_BAD_REQUEST,
          "reasoning_effort" },
        { "\"reasoning_effort\":3", CLB_BAD_REQUEST, "reasoning_effort" },
        { "\"reasoning\":\"high\"", CLB_BAD_REQUEST, "reasoning" },
        { "\"reasoning\":{\"effort\":1}", CLB_BAD_REQUEST,
          "reasoning.effort" },
        { "\"reasoning\":{\"max_tokens\":-1}", CLB_BAD_REQUEST,
          "reasoning.max_tokens" },
        { "\"thinking\":true", CLB_BAD_REQUEST, "thinking" },
        { "\"thinking\":{\"budget_tokens\":1}", CLB_BAD_REQUEST, "thinking" },
        { "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":0.5}",
          CLB_BAD_REQUEST, "thinking.budget_tokens" },
        { "\"n\":2", CLB_UNSUPPORTED, "n" },
        { "\"n\":1.5", CLB_UNSUPPORTED, "n" },
        { "\"n\":\"1\"", CLB_UNSUPPORTED, "n" },
        { "\"logprobs\":true", CLB_UNSUPPORTED, "logprobs" },
        { "\"logprobs\":5", CLB_UNSUPPORTED, "logprobs" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        is_refused(CHAT, body(CHAT, fields[i].text), fields[i].kind,
                   fields[i].param);
        is_refused(TEXT, body(TEXT, fields[i].text), fields[i].kind,
                   fields[i].param);
    }
}

/* Longest values: @a len times x as @a field of a body. */
static const char *long_value(const char *field, int len)
{
    char *x = apr_pcalloc(pool, (apr_size_t)len + 1);

    memset(x, 'x', (apr_size_t)len);
    return body(CHAT, apr_pstrcat(pool, "\"", field, "\":\"", x, "\"", NULL));
}

static void limits(void)
{
    const char *stops = "\"\"";
    char *many = apr_pcalloc(pool, 40001);
    int i;

    ok(parse(CHAT, long_value("model", 256)) != NULL, "a model's name");
    is_refused(CHAT, long_value("model", 257), CLB_BAD_REQUEST, "model");
    ok(parse(CHAT, long_value("stop", 256)) != NULL, "a stop sequence");
    is_refused(CHAT, long_value("stop", 257), CLB_BAD_REQUEST, "stop");
    for (i = 1; i < 16; i++) {
        stops = apr_pstrcat(pool, stops, ",\"x\"", NULL);
    }
    ok(parse(CHAT, body(CHAT, apr_pstrcat(pool, "\"stop\":[", stops, "]",
                                          NULL))) != NULL, "16 stops");
    is_refused(CHAT, body(CHAT, apr_pstrcat(pool, "\"stop\":[", stops,
               ",\"x\"]", NULL)), CLB_BAD_REQUEST, "stop");
    many[0] = '0';
    for (i = 1; i < 20000; i++) {
        memcpy(many + 2 * i - 1, ",0", 2);
    }
    parse(CHAT, messages(many));
    is_str(error.param, "messages[0].role", "20000 messages are looked at");
    parse(CHAT, messages(apr_pstrcat(pool, many, ",0", NULL)));
    is_str(error.param, "messages", "one more and none is");
}

static void values(void)
{
    const clb_chat_t *chat = parse(CHAT, body(CHAT,
        "\"model\":\"m\",\"temperature\":0.5,\"top_p\":0.25,\"top_k\":40,"
        "\"max_tokens\":7,\"max_completion_tokens\":5,\"stop\":[\"a\",\"\","
        "\"b\"],\"stream\":true,\"stream_options\":{\"include_usage\":true},"
        "\"reasoning\":{\"effort\":\"high\",\"max_tokens\":2048}"));

    is_str(chat->asked, "m", "the model");
    ok(chat->temperature == 0.5 && chat->top_p == 0.25, "sampling");
    is_int(chat->top_k, 40, "top_k");
    is_int(chat->max_tokens, 5, "the newer name of max_tokens wins");
    is_int(chat->stop->nelts, 2, "stop sequences, the empty one is none");
    is_str(APR_ARRAY_IDX(chat->stop, 1, const char *), "b", "in order");
    ok(chat->stream && chat->include_usage, "a stream with usage");
    is_int(chat->effort, CLB_EFFORT_HIGH, "effort");
    is_int(chat->budget, 2048, "and budget");

    chat = parse(CHAT, body(CHAT, "\"model\":\"\""));
    is_str(chat->asked, NULL, "an empty model is none");
    ok(!chat->stream && !chat->include_usage && chat->effort
       == CLB_EFFORT_UNSET && chat->stop->nelts == 0, "nothing by itself");
    chat = parse(CHAT, body(CHAT, "\"thinking\":{\"type\":\"disabled\","
                                  "\"budget_tokens\":9}"));
    ok(chat->budget == 0 && clb_chat_given(chat, CLB_BUDGET),
       "no thinking at all");
}

static void chat_fields(void)
{
    static const field_t taken[] = {
        { "\"tools\":[],\"tool_choice\":\"auto\"", NULL },
        { "\"functions\":[]", NULL },
        { "\"response_format\":{\"type\":\"text\"}", NULL },
        { "\"modalities\":[\"text\"]", NULL }, { "\"modalities\":[]", NULL },
        { "\"audio\":null", NULL }, { "\"top_logprobs\":0", NULL },
        { "\"web_search_options\":{}", NULL },
        { "\"web_search_options\":{\"search_context_size\":\"low\"}",
          "web_search_options" },
        { "\"prediction\":{\"type\":\"content\"}", "prediction" },
        { "\"verbosity\":\"low\"", "verbosity" },
        { "\"service_tier\":\"auto\"", NULL },
        { "\"service_tier\":\"default\"", NULL },
        { "\"service_tier\":\"flex\"", "service_tier" },
        { "\"store\":false", NULL }, { "\"store\":true", "store" },
        { "\"user\":\"u\",\"metadata\":{\"a\":\"b\"}", NULL },
    };
    static const struct {
        const char *text;
        const char *param;
    } refused[] = {
        { "\"tools\":[{\"type\":\"web_search\"}]", "tools[0]" },
        { "\"modalities\":[\"text\",\"audio\"]", "modalities" },
        { "\"modalities\":[\"audio\"]", "modalities" },
        { "\"audio\":{\"voice\":\"alloy\"}", "audio" },
        { "\"top_logprobs\":5", "top_logprobs" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(taken) / sizeof(*taken); i++) {
        is_taken(CHAT, taken[i].text, taken[i].given);
    }
    for (i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        is_refused(CHAT, body(CHAT, refused[i].text), CLB_UNSUPPORTED,
                   refused[i].param);
    }
}

/* The conversation as letters: S:…, U:…, A:… with parts in brackets, those of
 * reasoning in braces. */
static const char *told(const clb_chat_t *chat)
{
    const char *out = chat->system == NULL ? ""
                    : apr_pstrcat(pool, "S:", chat->system, " ", NULL);
    int i, j;

    for (i = 0; i < chat->messages->nelts; i++) {
        const clb_message_t *message = &APR_ARRAY_IDX(chat->messages, i,
                                                      clb_message_t);

        out = apr_pstrcat(pool, out, message->role == CLB_ROLE_USER ? "U:"
                          : "A:", NULL);
        for (j = 0; j < message->parts->nelts; j++) {
            const clb_part_t *part = &APR_ARRAY_IDX(message->parts, j,
                                                    clb_part_t);
            int text = part->kind == CLB_PART_TEXT;

            out = apr_pstrcat(pool, out, text ? "[" : "{", part->text,
                              text ? "]" : "}", NULL);
        }
    }
    return out;
}

#define USER(content) "{\"role\":\"user\",\"content\":" content "}"
#define ASSISTANT(more) "{\"role\":\"assistant\"," more "}"

static void conversations(void)
{
    static const struct {
        const char *list;
        const char *want;
    } cases[] = {
        { USER("\"hi\""), "U:[hi]" },
        { USER("null"), "U:" },
        { USER("[]"), "U:" },
        { "{\"role\":\"user\"}", "U:" },
        { USER("[{\"type\":\"text\",\"text\":\"a\"},\"b\"]"), "U:[a][b]" },
        { USER("[{\"type\":\"input_text\",\"text\":\"a\"},"
               "{\"type\":\"output_text\",\"text\":\"b\"}]"), "U:[a][b]" },
        { "{\"role\":\"system\",\"content\":\"be\"},"
          "{\"role\":\"developer\",\"content\":[{\"type\":\"text\","
          "\"text\":\"kind\"}]}," USER("\"q\""), "S:be\n\nkind U:[q]" },
        { USER("\"q\"") "," ASSISTANT("\"content\":\"a\"") ","
          USER("\"r\""), "U:[q]A:[a]U:[r]" },
        { ASSISTANT("\"content\":\"a\",\"reasoning_content\":\"why\""),
          "A:{why}[a]" },
        { ASSISTANT("\"content\":[{\"type\":\"thinking\",\"thinking\":\"t\"},"
                    "{\"type\":\"redacted_thinking\"},"
                    "{\"type\":\"refusal\",\"refusal\":\"no\"}]"), "A:[no]" },
        { ASSISTANT("\"content\":\"a\",\"tool_calls\":[],"
                    "\"function_call\":null,\"name\":\"x\""), "A:[a]" },
        { "{\"role\":\"system\",\"content\":\"\"}," USER("\"q\""), "U:[q]" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        clb_chat_t *chat = parse(CHAT, messages(cases[i].list));

        is_str(chat == NULL ? error.message : told(chat), cases[i].want,
               "%s", cases[i].list);
    }
    is_str(told(parse(TEXT, "{\"prompt\":\"hi\"}")), "U:[hi]", "a prompt");
    is_str(told(parse(TEXT, "{\"prompt\":[\"hi\"]}")), "U:[hi]",
           "a prompt in an array");
}

static void bad_conversations(void)
{
    static const struct {
        const char *body;
        clb_error_e kind;
        const char *param;
    } cases[] = {
        { "{}", CLB_BAD_REQUEST, "messages" },
        { "{\"messages\":\"hi\"}", CLB_BAD_REQUEST, "messages" },
        { "{\"messages\":{}}", CLB_BAD_REQUEST, "messages" },
        { "{\"messages\":[]}", CLB_BAD_REQUEST, "messages" },
        { "{\"messages\":[7]}", CLB_BAD_REQUEST, "messages[0].role" },
        { "{\"messages\":[{\"content\":\"x\"}]}", CLB_BAD_REQUEST,
          "messages[0].role" },
        { "{\"messages\":[{\"role\":\"User\"}]}", CLB_BAD_REQUEST,
          "messages[0].role" },
        { "{\"messages\":[" USER("\"q\"") "," USER("7") "]}",
          CLB_BAD_REQUEST, "messages[1].content" },
        { "{\"messages\":[" USER("{}") "]}", CLB_BAD_REQUEST,
          "messages[0].content" },
        { "{\"messages\":[" USER("[\"a\",7]") "]}", CLB_BAD_REQUEST,
          "messages[0].content[1]" },
        { "{\"messages\":[" USER("[{\"type\":\"text\"}]") "]}",
          CLB_BAD_REQUEST, "messages[0].content[0]" },
        { "{\"messages\":[" USER("[{\"type\":\"image_url\"}]") "]}",
          CLB_BAD_REQUEST, "messages[0].content[0]" },
        { "{\"messages\":[{\"role\":\"system\",\"content\":[{\"type\":"
          "\"input_audio\"}]}]}", CLB_UNSUPPORTED,
          "messages[0].content[0]" },
        { "{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}",
          CLB_BAD_REQUEST, "messages[0].tool_call_id" },
        { "{\"messages\":[{\"role\":\"function\"}]}", CLB_BAD_REQUEST,
          "messages[0].name" },
        { "{\"messages\":[" ASSISTANT("\"tool_calls\":[{}]") "]}",
          CLB_BAD_REQUEST, "messages[0].tool_calls[0]" },
    };
    static const struct {
        const char *body;
        clb_error_e kind;
        const char *param;
    } prompts[] = {
        { "{}", CLB_BAD_REQUEST, "prompt" },
        { "{\"prompt\":null}", CLB_BAD_REQUEST, "prompt" },
        { "{\"prompt\":7}", CLB_BAD_REQUEST, "prompt" },
        { "{\"prompt\":[]}", CLB_BAD_REQUEST, "prompt" },
        { "{\"prompt\":[7]}", CLB_BAD_REQUEST, "prompt" },
        { "{\"prompt\":[\"a\",\"b\"]}", CLB_UNSUPPORTED, "prompt" },
        { "{\"prompt\":\"a\",\"best_of\":2}", CLB_UNSUPPORTED, "best_of" },
        { "{\"prompt\":\"a\",\"best_of\":1.5}", CLB_UNSUPPORTED,
          "best_of" },
        { "{\"prompt\":\"a\",\"echo\":true}", CLB_UNSUPPORTED, "echo" },
        { "{\"prompt\":\"a\",\"suffix\":\"z\"}", CLB_UNSUPPORTED, "suffix" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        is_refused(CHAT, cases[i].body, cases[i].kind, cases[i].param);
    }
    for (i = 0; i < sizeof(prompts) / sizeof(*prompts); i++) {
        is_refused(TEXT, prompts[i].body, prompts[i].kind, prompts[i].param);
    }
    is_taken(TEXT, "\"best_of\":1,\"echo\":false,\"suffix\":\"\"", NULL);
}

/* --- answers --- */

static clb_reply_t *reply(const clb_dialect_t *dialect, const char *model,
                          int usage)
{
    clb_chat_t *chat = clb_chat_create(pool);
    clb_reply_t *r;

    chat->asked = model;
    chat->include_usage = usage;
    r = clb_reply_create(dialect, chat, "1", pool);
    r->created = 1700000000;
    r->usage.input = 10;
    r->usage.cache_read = 5;
    r->usage.cache_write = 1;
    r->usage.output = 7;
    r->usage.reasoning = 2;
    return r;
}

/* The bytes that become of an event. */
static const char *text(const clb_dialect_t *dialect, clb_reply_t *r,
                        clb_event_e kind, const char *data)
{
    clb_event_t event = { .kind = kind };

    event.u.text.data = data;
    event.u.text.len = strlen(data);
    clb_buf_reset(&r->out);
    dialect->event(r, &event);
    return r->out.data;
}

static const char *stop(const clb_dialect_t *dialect, clb_reply_t *r,
                        clb_stop_e reason)
{
    clb_event_t event = { .kind = CLB_EV_STOP };

    event.u.stop = reason;
    clb_buf_reset(&r->out);
    dialect->event(r, &event);
    return r->out.data;
}

#define HEAD(id, object) "{\"id\":\"" id "\",\"object\":\"" object \
    "\",\"created\":1700000000,\"model\":\"m\",\"choices\":["
#define CHUNK(delta, finish, end) "data: " \
    HEAD("chatcmpl-1", "chat.completion.chunk") "{\"index\":0,\"delta\":" \
    delta ",\"logprobs\":null,\"finish_reason\":" finish "}]" end "}\n\n"
#define PIECE(piece, finish, end) "data: " \
    HEAD("cmpl-1", "text_completion") "{\"index\":0,\"text\":" piece \
    ",\"logprobs\":null,\"finish_reason\":" finish "}]" end \
    "}\n\n"
#define USAGE "{\"prompt_tokens\":16,\"completion_tokens\":7," \
    "\"total_tokens\":23,\"prompt_tokens_details\":{\"cached_tokens\":5}," \
    "\"completion_tokens_details\":{\"reasoning_tokens\":2}}"
#define DONE "data: [DONE]\n\n"

static void chat_stream(void)
{
    clb_reply_t *r = reply(CHAT, "m", 0);

    CHAT->begin(r);
    is_str(r->out.data, CHUNK("{\"role\":\"assistant\",\"content\":\"\"}",
                              "null", ""), "a stream begins with its role");
    is_str(text(CHAT, r, CLB_EV_TEXT, "Hi"),
           CHUNK("{\"content\":\"Hi\"}", "null", ""), "text");
    is_str(text(CHAT, r, CLB_EV_REASONING, "Hm"),
           CHUNK("{\"reasoning_content\":\"Hm\"}", "null", ""), "reasoning");
    is_str(text(CHAT, r, CLB_EV_NOTE, ""), "", "nothing of a note");
    is_str(stop(CHAT, r, CLB_STOP_END), CHUNK("{}", "\"stop\"", "") DONE,
           "its end, without usage");

    r = reply(CHAT, "m", 1);
    CHAT->begin(r);
    is_str(text(CHAT, r, CLB_EV_TEXT, "Hi"), CHUNK("{\"content\":\"Hi\"}",
           "null", ",\"usage\":null"), "usage is null until the end");
    is_str(stop(CHAT, r, CLB_STOP_LENGTH),
           CHUNK("{}", "\"length\"", ",\"usage\":null")
           "data: " HEAD("chatcmpl-1", "chat.completion.chunk")
           "],\"usage\":" USAGE "}\n\n" DONE, "then a chunk of its own");
}

static void completions_stream(void)
{
    clb_reply_t *r = reply(TEXT, "m", 0);

    TEXT->begin(r);
    is_str(r->out.data, "", "a stream begins with nothing");
    is_str(text(TEXT, r, CLB_EV_TEXT, "Hi"), PIECE("\"Hi\"", "null", ""),
           "text");
    is_str(text(TEXT, r, CLB_EV_REASONING, "Hm"), "",
           "there is no place for reasoning");
    is_str(stop(TEXT, r, CLB_STOP_FILTER),
           PIECE("\"\"", "\"content_filter\"", "") DONE, "its end");

    r = reply(TEXT, "m", 1);
    TEXT->begin(r);
    is_str(stop(TEXT, r, CLB_STOP_SEQUENCE),
           PIECE("\"\"", "\"stop\"", ",\"usage\":null")
           "data: " HEAD("cmpl-1", "text_completion") "],\"usage\":" USAGE
           "}\n\n" DONE, "with usage");
}

static void whole_answers(void)
{
    clb_reply_t *r = reply(CHAT, "m", 0);

    clb_buf_puts(&r->text, "Hi");
    CHAT->whole(r);
    is_str(r->out.data, HEAD("chatcmpl-1", "chat.completion")
           "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
           "\"Hi\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":"
           "\"stop\"}],\"usage\":" USAGE "}", "a whole answer");

    r = reply(CHAT, "m", 0);
    clb_buf_puts(&r->reasoning, "Hm");
    r->stop = CLB_STOP_LENGTH;
    CHAT->whole(r);
    is_str(r->out.data, HEAD("chatcmpl-1", "chat.completion")
           "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
           "\"\",\"refusal\":null,\"reasoning_content\":\"Hm\"},\"logprobs\":"
           "null,\"finish_reason\":\"length\"}],\"usage\":" USAGE "}",
           "one that is reasoning alone");

    r = reply(TEXT, "m", 0);
    clb_buf_puts(&r->text, "Hi");
    TEXT->whole(r);
    is_str(r->out.data, HEAD("cmpl-1", "text_completion")
           "{\"index\":0,\"text\":\"Hi\",\"logprobs\":null,\"finish_reason\":"
           "\"stop\"}],\"usage\":" USAGE "}", "a completion");
}

#define ERROR "{\"error\":{\"message\":\"too \\\"much\\\"\",\"type\":" \
    "\"rate_limit_error\",\"param\":null,\"code\":\"rate_limit_exceeded\"}}"

static void errors(void)
{
    clb_error_t failure = { CLB_RATE_LIMITED, "too \"much\"", NULL, 0 };
    clb_reply_t *r = reply(CHAT, "m", 1);
    clb_buf_t out;

    CHAT->begin(r);
    clb_buf_reset(&r->out);
    CHAT->error(r, &failure);
    is_str(r->out.data, "data: " ERROR "\n\n",
           "an error ends a stream, and nothing says it is complete");
    clb_buf_init(&out, pool, 0);
    TEXT->error_body(&out, &failure, "req_1");
    is_str(out.data, ERROR, "an error as a body");
    failure.kind = CLB_BAD_REQUEST;
    failure.message = "no";
    failure.param = "messages[0].role";
    clb_buf_reset(&out);
    CHAT->error_body(&out, &failure, "req_1");
    is_str(out.data, "{\"error\":{\"message\":\"no\",\"type\":"
           "\"invalid_request_error\",\"param\":\"messages[0].role\","
           "\"code\":null}}", "with its parameter and no code");
}

/* The JSON of an event, or of a whole answer. */
static clb_json_t *json_of(const char *bytes)
{
    const char *data = strncmp(bytes, "data: ", 6) == 0 ? bytes + 6 : bytes;
    const char *why;
    clb_json_t *json;

    if (clb_json_parse(&json, data, strcspn(data, "\n"), CLB_JSON_STRICT,
                       &why, pool) != APR_SUCCESS) {
        diag("%s: %s", bytes, why);
        return NULL;
    }
    return json;
}

static const char *member(const clb_json_t *json, const char *path)
{
    const clb_json_t *choice = clb_json_at(clb_json_get(json, "choices"), 0);

    return clb_json_string(clb_json_find(choice, path));
}

/* Text that would break out of JSON or of an event. */
static void escapes(void)
{
    static const char *const texts[] = {
        "\"", "\\", "\\\"", "a\nb", "\r\n\r\n", "\n\ndata: [DONE]\n\n", "\t",
        "\x01\x02\x1f", "\x7f", "\xe2\x80\xa8", "\xf0\x9f\x98\x80", "</script>",
        "\xef\xbf\xbd",
    };
    apr_size_t i;

    for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        const clb_dialect_t *dialects[] = { CHAT, TEXT };
        int d;

        for (d = 0; d < 2; d++) {
            clb_reply_t *r = reply(dialects[d], texts[i], 0);
            const char *bytes;
            clb_json_t *json;

            dialects[d]->begin(r);
            bytes = text(dialects[d], r, CLB_EV_TEXT, texts[i]);
            json = json_of(bytes);
            is_str(member(json, d == 0 ? "delta.content" : "text"), texts[i],
                   "text %d in a stream of %s", (int)i, dialects[d]->name);
            is_str(clb_json_get_string(json, "model"), texts[i],
                   "as the model's name");
            ok(strstr(bytes, "\n\n") == bytes + strlen(bytes) - 2
               && strchr(bytes, '\n') == bytes + strlen(bytes) - 2,
               "in one event of one line");
            clb_buf_reset(&r->out);
            clb_buf_puts(&r->text, texts[i]);
            dialects[d]->whole(r);
            is_str(member(json_of(r->out.data), d == 0 ? "message.content"
                          : "text"), texts[i], "in a whole answer");
        }
    }
}

static void ids(void)
{
    is_str(reply(CHAT, "m", 0)->id, "chatcmpl-1", "a chat's id");
    is_str(reply(TEXT, "m", 0)->id, "cmpl-1", "a completion's id");
    is_str(clb_openai_finish(CLB_STOP_END), "stop", "end");
    is_str(clb_openai_finish(CLB_STOP_SEQUENCE), "stop", "stop sequence");
    is_str(clb_openai_finish(CLB_STOP_LENGTH), "length", "length");
    is_str(clb_openai_finish(CLB_STOP_FILTER), "content_filter", "filter");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    common_taken();
    common_refused();
    limits();
    values();
    chat_fields();
    conversations();
    bad_conversations();
    chat_stream();
    completions_stream();
    whole_answers();
    errors();
    escapes();
    ids();
    return tap_done();
}
