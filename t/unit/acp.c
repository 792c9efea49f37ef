/* SPDX-License-Identifier: Apache-2.0 */
/* The drivers for agents of the Agent Client Protocol, fed with what Gemini CLI
 * 0.61.0 and Qwen Code 0.15.10 were seen to print. */
#include "tap.h"

#include "../fuzz/turn.h"

#include <apr_general.h>

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

#define RESULT(id, result) "{'jsonrpc':'2.0','id':'" id "','result':" result \
    "}\n"
#define FAILED(id, error) "{'jsonrpc':'2.0','id':'" id "','error':" error \
    "}\n"
#define SESSION(id, name) RESULT(id, "{'sessionId':'" name "'}")
#define RESTORED RESULT("history", "{'success':true}")
#define UPDATE(session, update) "{'jsonrpc':'2.0','method':" \
    "'session/update','params':{'sessionId':'" session "','update':" update \
    "}}\n"
#define CHUNK(session, kind, text) UPDATE(session, "{'sessionUpdate':'" kind \
    "','content':{'type':'text','text':'" text "'}}")
#define LOAD "00000000-0000-4000-8000-000000000001"
#define REPEATS(session) CHUNK(session, "user_message_chunk", "old") \
    CHUNK(session, "agent_message_chunk", "old") \
    CHUNK(session, "user_message_chunk", "old")
#define SAYS(text) CHUNK("s1", "agent_message_chunk", text)
#define ENDS(reason) RESULT("prompt", "{'stopReason':'" reason "'}")
#define QUOTA(reason) RESULT("prompt", "{'stopReason':'" reason "','_meta':" \
    "{'quota':{'token_count':{'input_tokens':11,'output_tokens':7}}}}")
#define USAGE UPDATE("s1", "{'sessionUpdate':'agent_message_chunk'," \
    "'content':{'type':'text','text':''},'_meta':{'usage':{'inputTokens':" \
    "100,'outputTokens':20,'thoughtTokens':5,'cachedReadTokens':3}}}")
#define ASKS(n, rest) "{'jsonrpc':'2.0','id':" n ",'method':" \
    "'session/request_permission','params':{'sessionId':'s1'," rest "}}\n"
#define TELLS(id, text) UPDATE("s1", "{'sessionUpdate':'tool_call_update'," \
    "'toolCallId':'" id "','status':'completed','content':[{'type':" \
    "'content','content':{'type':'text','text':'" text "'}}]}")
#define GEMINI_CALL(n, name, args) TELLS("mcp_fn_" name "__id" n, \
    "{\\'method\\':\\'tools/call\\',\\'params\\':{\\'name\\':\\'" name \
    "\\',\\'arguments\\':" args "}}")
#define QWEN_CALL(n, name, args) ASKS(n, "'options':[{'name':" \
    "'Always Allow in project: " name "'}],'toolCall':{'toolCallId':" \
    "'call_" n "','rawInput':" args "}")

static clb_chat_t *chat_new(int turns)
{
    clb_chat_t *chat = clb_chat_create(pool);
    int i;

    chat->model = "some-model";
    for (i = 1; i <= turns; i++) {
        clb_chat_part(clb_chat_message(chat, i % 2 ? CLB_ROLE_USER
                                             : CLB_ROLE_ASSISTANT),
                      CLB_PART_TEXT, apr_psprintf(pool, "text %d", i));
    }
    return chat;
}

static void add_tool(clb_chat_t *chat, const char *name)
{
    clb_tool_t *tool = apr_array_push(chat->tools);

    memset(tool, 0, sizeof(*tool));
    tool->name = name;
    tool->schema = "{\"type\":\"object\"}";
}

static void warm(turn_t *turn, const clb_driver_t *driver)
{
    turn_init(turn, pool, driver, CLB_REUSE_UNSET);
    turn_input(turn, CLB_IN_WARM, NULL, 0, 0);
    turn_print(turn, q(RESULT("hello", "{}") SESSION("spare", "s0")));
}

static void ask(turn_t *turn, clb_chat_t *chat)
{
    turn_next(turn);
    turn->chat = chat;
    turn_input(turn, CLB_IN_CHAT, NULL, 0, 0);
}

/* What a driver makes of one question, whose session is "s1". */
static const char *answer(const clb_driver_t *driver, clb_chat_t *chat,
                          const char *lines)
{
    turn_t turn;

    warm(&turn, driver);
    chat->system = "not the spare one's";
    ask(&turn, chat);
    turn_print(&turn, q(SESSION("session", "s1") RESTORED));
    turn_print(&turn, q(lines));
    return turn_said(&turn);
}

static const char *gemini(const char *lines)
{
    return answer(&clb_driver_gemini, chat_new(1), lines);
}

static const char *qwen(const char *lines)
{
    return answer(&clb_driver_qwen, chat_new(1), lines);
}

/* What the keeper hears between two turns. */
static void between(turn_t *turn, const char *lines)
{
    turn_next(turn);
    turn->chat = NULL;
    turn_print(turn, q(lines));
}

/* 1 if what was written has @a text, with single quotes. */
static int wrote(const turn_t *turn, const char *text)
{
    return strstr(turn->lines.data, q(text)) != NULL;
}

static const char *file(const turn_t *turn, int index)
{
    int i;

    for (i = 0; i < turn->step->files->nelts; i++) {
        const clb_file_t *f = &APR_ARRAY_IDX(turn->step->files, i, clb_file_t);

        if (f->index == index) {
            return f->data;
        }
    }
    return "-";
}

static void warming(void)
{
    turn_t turn;

    turn_init(&turn, pool, &clb_driver_gemini, CLB_REUSE_UNSET);
    turn_input(&turn, CLB_IN_WARM, NULL, 0, 0);
    ok(wrote(&turn, "'method':'initialize'"), "the handshake comes first");
    turn_next(&turn);
    turn_print(&turn, q(RESULT("hello", "{}")));
    ok(wrote(&turn, "'id':'spare','method':'session/new'"),
       "then a session is made ahead");
    ok(!turn.ready, "it is not ready yet");
    turn_print(&turn, q(SESSION("spare", "s0")));
    ok(turn.ready, "now it is");

    turn_init(&turn, pool, &clb_driver_gemini, CLB_REUSE_UNSET);
    turn_input(&turn, CLB_IN_WARM, NULL, 0, 0);
    turn_print(&turn, q(FAILED("hello", "{'code':-32000,'message':'no'}")));
    is_str(turn_said(&turn), "login_required: no -> end",
           "without a login it ends");
}

static void answers(void)
{
    is_str(gemini(CHUNK("s1", "agent_thought_chunk", "****\\nhm") SAYS("Hi")
                  SAYS(" you") QUOTA("end_turn")),
           "start <hm> [Hi] [ you] usage 11+0+0/7/0 stop end -> clean",
           "Gemini CLI's words");
    is_str(qwen(CHUNK("s1", "agent_thought_chunk", "hm") SAYS("Hi") USAGE
                ENDS("end_turn")),
           "start <hm> [Hi] usage 97+3+0/20/5 stop end -> clean",
           "Qwen Code's");
    is_str(gemini(CHUNK("s0", "agent_message_chunk", "x") SAYS("Hi")
                  UPDATE("s1", "{'sessionUpdate':'plan','entries':[]}")
                  "no json\n" QUOTA("end_turn")),
           "start [Hi] usage 11+0+0/7/0 stop end -> clean",
           "what else is said is nobody's");
    is_str(gemini(QUOTA("end_turn")), "upstream_error: the model answered "
           "nothing -> settle", "nothing is no answer");
    is_str(gemini(SAYS("x") RESULT("prompt", "{'stopReason':'end_turn',"
                  "'_meta':{'quota':{'token_count':{'input_tokens':0,"
                  "'output_tokens':0}}}}")),
           "start [x] upstream_error: the model's answer broke off -> settle",
           "nor is what cost nothing a whole one");
    is_str(gemini(QUOTA("max_tokens")), "context_length: the conversation is "
           "too long for the model -> settle", "it did not fit");
    is_str(gemini(SAYS("x") QUOTA("refusal")),
           "start [x] usage 11+0+0/7/0 stop filter -> clean", "a refusal");
}

static void limits(void)
{
    clb_chat_t *chat = chat_new(1);

    chat->max_tokens = 20;
    clb_chat_give(chat, CLB_MAX_TOKENS, "max_tokens");
    is_str(answer(&clb_driver_qwen, chat, SAYS("x") USAGE ENDS("end_turn")),
           "start [x] usage 97+3+0/20/5 stop length -> clean",
           "as long as it may be: it was cut off");
    chat->max_tokens = 21;
    is_str(answer(&clb_driver_qwen, chat, SAYS("x") USAGE ENDS("end_turn")),
           "start [x] usage 97+3+0/20/5 stop end -> clean", "or not");
    chat->max_tokens = 7;
    is_str(answer(&clb_driver_gemini, chat, SAYS("x") QUOTA("end_turn")),
           "start [x] usage 11+0+0/7/0 stop length -> clean", "or it was");
    clb_chat_part(clb_chat_message(chat, CLB_ROLE_ASSISTANT), CLB_PART_TEXT,
                  "a");
    clb_chat_part(clb_chat_message(chat, CLB_ROLE_USER), CLB_PART_TEXT, "b");
    chat->turns = NULL;
    is_str(answer(&clb_driver_gemini, chat, REPEATS("s1") SAYS("x")
                  QUOTA("end_turn")),
           "start [x] usage 11+0+0/7/0 stop length -> clean",
           "with a history, too");
}

static void errors(void)
{
    static const struct {
        const char *error, *said;
    } some[] = {
        { "{'code':401,'message':'bad key'}", "login_required: bad key" },
        { "{'code':429,'message':'slow down'}", "rate_limited: slow down" },
        { "{'code':429,'message':'You have exhausted your daily quota'}",
          "quota_exhausted: You have exhausted your daily quota" },
        { "{'code':500,'message':'models/x is not found for API version v1'}",
          "model_not_found: models/x is not found for API version v1" },
        { "{'code':500,'message':'terminated'}",
          "upstream_error: terminated" },
        { "{'code':-32603,'message':'Internal error','data':{'details':"
          "'401 Incorrect API key'}}",
          "login_required: 401 Incorrect API key" },
        { "{'code':-32603,'message':'Internal error','data':{'details':"
          "'Connection error.'}}", "upstream_error: Connection error." },
        { "{'code':-32603,'message':'x','data':{'details':'4011 x'}}",
          "upstream_error: 4011 x" },
        { "{'code':-32000,'message':'Authentication required'}",
          "login_required: Authentication required" },
        { "{'code':503}", "overloaded: the CLI reported an error without a "
          "reason" },
        { "7", "upstream_error: the CLI reported an error without a reason" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(some) / sizeof(*some); i++) {
        is_str(gemini(apr_psprintf(pool, FAILED("prompt", "%s"),
                                   some[i].error)),
               apr_pstrcat(pool, some[i].said, " -> settle", NULL), "%s",
               some[i].error);
    }
    is_str(answer(&clb_driver_gemini, chat_new(1), apr_pstrcat(pool,
        "{\"id\":\"prompt\",\"error\":{\"code\":400,\"message\":"
        "\"{\\\"error\\\":{\\\"code\\\":413,\\\"message\\\":\\\"big\\\"}}\""
        "}}\n", NULL)), "too_large: big -> settle", "an error inside of one");
    is_str(qwen(FAILED("session", "{'code':-32603,'message':'no'}")),
           "upstream_error: no -> settle", "a session that there is not");
    is_str(gemini(FAILED("model", "{'code':500,'message':'no'}")),
           "model_not_found: no -> kill",
           "no other model may answer in the place of one");
}

static void calls(void)
{
    clb_chat_t *chat = chat_new(1);

    add_tool(chat, "f");
    add_tool(chat, "odd name");
    is_str(answer(&clb_driver_gemini, chat, SAYS("so")
                  GEMINI_CALL("0", "f", "{\\'a\\':1,\\'wait_for_previous\\':"
                              "true}")
                  GEMINI_CALL("1", "odd_name_1", "[1]")
                  TELLS("x", "no json") TELLS("x", "{}")
                  QUOTA("max_turn_requests")),
           "start [so] call id0 f {{\"a\":1}} call id1 odd name {{}} "
           "usage 11+0+0/7/0 stop calls -> clean", "Gemini CLI's calls");
    is_str(answer(&clb_driver_qwen, chat, QWEN_CALL("0", "f", "{'a':1}")
                  QWEN_CALL("1", "odd_name_1", "{}") ENDS("cancelled")),
           "start call call_0 f {{\"a\":1}} call call_1 odd name {{}} "
           "usage 0+0+0/0/0 stop calls -> clean", "Qwen Code's");
    is_str(answer(&clb_driver_gemini, chat, GEMINI_CALL("0", "g", "{}")
                  QUOTA("max_turn_requests")),
           "upstream_error: the model called a tool that there is not, or "
           "not as its schema says -> settle", "a call of nobody's tool");
}

static void permissions(void)
{
    clb_chat_t *chat = chat_new(1);
    turn_t turn;

    add_tool(chat, "f");
    warm(&turn, &clb_driver_qwen);
    ask(&turn, chat);
    ok(wrote(&turn, "'command':'/bin/sh','args':['../tools.sh','1']"),
       "the session has the tools");
    turn_print(&turn, q(SESSION("session", "s1") RESTORED));
    clb_buf_reset(&turn.lines);
    turn_print(&turn, q(QWEN_CALL("7", "f", "{}")));
    ok(wrote(&turn, "'method':'session/cancel'")
       && wrote(&turn, "'id':7,'result':{'outcome':{'outcome':'cancelled'}}"),
       "no call is permitted, and the turn ends");
    clb_buf_reset(&turn.lines);
    turn_print(&turn, q(QWEN_CALL("8", "f", "{}")));
    ok(!wrote(&turn, "session/cancel") && wrote(&turn, "'id':8,'result'"),
       "which is said once");
    clb_buf_reset(&turn.lines);
    turn_print(&turn, q("{'jsonrpc':'2.0','id':9,'method':"
                        "'fs/read_text_file','params':{}}\n"));
    ok(wrote(&turn, "'id':9,'error':"), "nor is anything else granted");
}

static void sessions(void)
{
    clb_chat_t *chat = chat_new(1);
    turn_t turn;

    warm(&turn, &clb_driver_qwen);
    ask(&turn, chat_new(1));
    ok(wrote(&turn, "'id':'session','method':'session/new'"),
       "the first session is the question's own");
    turn_print(&turn, q(SESSION("session", "s1") RESTORED SAYS("x")));
    clb_buf_reset(&turn.lines);
    turn_print(&turn, q(ENDS("end_turn")));
    ok(wrote(&turn, "'id':'spare','method':'session/new'"),
       "one like it is made for the next");
    between(&turn, SESSION("spare", "s2"));

    ask(&turn, chat_new(1));
    ok(wrote(&turn, "'id':'history'") && wrote(&turn, "'sessionId':'s2'"),
       "which takes it");
    turn_print(&turn, q(RESTORED CHUNK("s2", "agent_message_chunk", "y")
                        ENDS("end_turn")));
    is_str(turn_said(&turn), "start [y] usage 0+0+0/0/0 stop end -> clean",
           "and has its answer");

    ask(&turn, chat_new(1));
    is_str(turn.lines.data, "", "one that is being made is waited for");
    turn_print(&turn, q(SESSION("spare", "s3")));
    ok(wrote(&turn, "'sessionId':'s3'"), "and taken");
    turn_print(&turn, q(RESTORED CHUNK("s3", "agent_message_chunk", "z")
                        ENDS("end_turn")));

    ask(&turn, chat_new(1));
    turn_print(&turn, "s9\"}}\n");
    ok(wrote(&turn, "'id':'session'"), "unless its answer may be lost");
    turn_print(&turn, q(SESSION("spare", "s9") SESSION("session", "s3")));
    ok(wrote(&turn, "'sessionId':'s3'") && !wrote(&turn, "s9"),
       "then it is not taken any more");
    turn_print(&turn, q(RESTORED CHUNK("s3", "agent_message_chunk", "z")
                        ENDS("end_turn")));
    between(&turn, SESSION("spare", "s4"));

    chat->temperature = 0.5;
    clb_chat_give(chat, CLB_TEMPERATURE, "temperature");
    ask(&turn, chat);
    ok(wrote(&turn, "'id':'session'") && strstr(file(&turn, 1),
       "\"temperature\":0.5") != NULL, "no other will do");
}

/* What Gemini CLI would put words of its own for. */
static void placeholders(void)
{
    clb_chat_t *chat = chat_new(1);
    turn_t turn;

    warm(&turn, &clb_driver_gemini);
    chat->system = "${x} $${AvailableTools} ${y_ToolName} ${_ToolName ${";
    ask(&turn, chat);
    is_str(file(&turn, 0), "${x} $$\xe2\x81\xa0{AvailableTools} "
           "$\xe2\x81\xa0{y_ToolName} ${_ToolName ${",
           "variables in a system prompt are none");
}

/* Gemini CLI reads the system prompt for all sessions whenever one is made. */
static void system_prompts(void)
{
    clb_chat_t *other = chat_new(3);
    turn_t turn;

    warm(&turn, &clb_driver_gemini);
    other->system = "other";
    ask(&turn, other);
    is_str(file(&turn, 0), "other", "the system prompt is in its file");
    turn_print(&turn, q(RESULT("session", "{}")));
    turn_print(&turn, q(REPEATS(LOAD)
                        CHUNK(LOAD, "agent_message_chunk", "new")));
    clb_buf_reset(&turn.lines);
    turn_print(&turn, q(QUOTA("end_turn")));
    is_str(turn_said(&turn), "start [new] usage 11+0+0/7/0 stop end -> clean",
           "what repeats the history is no answer");
    ok(wrote(&turn, "'id':'spare'"), "the session made before is not kept");
}

static void histories(void)
{
    clb_chat_t *chat = chat_new(3);
    turn_t turn;

    clb_chat_part(clb_chat_message(chat, CLB_ROLE_ASSISTANT), CLB_PART_TEXT,
                  "/help");
    clb_chat_part(clb_chat_message(chat, CLB_ROLE_USER), CLB_PART_TEXT,
                  "/quit ${HOME}");
    warm(&turn, &clb_driver_gemini);
    ask(&turn, chat);
    ok(wrote(&turn, "'method':'session/load','params':{'sessionId':"
             "'00000000-0000-4000-8000-000000000001'"),
       "Gemini CLI loads a history");
    ok(strstr(file(&turn, 1), "\"content\":[{\"text\":\"text 3\"}]") != NULL
       && strstr(file(&turn, 1), "[{\"text\":\"\xe2\x81\xa0\"},{\"text\":"
                 "\"/quit ${HOME}\"}]") != NULL,
       "all is in its file, with a word before what begins like a command");
    turn_print(&turn, q(RESULT("session", "{}")));
    ok(wrote(&turn, "'prompt':[{'type':'text','text':''}]"),
       "so that there is nothing to ask");

    warm(&turn, &clb_driver_qwen);
    ask(&turn, chat);
    turn_print(&turn, q(SESSION("session", "s1")));
    ok(wrote(&turn, "'method':'restoreSessionHistory'")
       && !wrote(&turn, "'id':'prompt'"), "Qwen Code is told of one");
    turn_print(&turn, q(RESTORED));
    ok(wrote(&turn, "'/quit ${HOME}'")
       && wrote(&turn, "'prompt':[{'type':'text','text':''}]"),
       "and then is asked nothing more");
}

static clb_part_t *add_part(clb_chat_t *chat, clb_role_e role,
                            clb_part_e kind, const char *text)
{
    return clb_chat_part(clb_chat_message(chat, role), kind, text);
}

/* Behind results Gemini CLI says that an answer is missing, unless there are
 * words. */
static void results(void)
{
    clb_chat_t *chat = chat_new(1);
    clb_part_t *part = add_part(chat, CLB_ROLE_ASSISTANT, CLB_PART_CALL,
                                "{}");
    turn_t turn;

    part->id = "c1";
    part->name = "f";
    part = add_part(chat, CLB_ROLE_USER, CLB_PART_RESULT, NULL);
    part->id = "c1";
    part->failed = 1;
    part->parts = apr_array_make(pool, 1, sizeof(clb_part_t));
    warm(&turn, &clb_driver_gemini);
    ask(&turn, chat);
    ok(strstr(file(&turn, 1), q("{'id':'call_h1_0','name':'mcp_fn_f',"
              "'response':{'error':''}}}]}\n")) != NULL,
       "a failure is called one");
    ok(strstr(file(&turn, 1), "\"content\":[{\"text\":\"\xe2\x81\xa0\"}]}")
       != NULL, "a word that is none stands behind results");

    clb_chat_part(&APR_ARRAY_IDX(chat->messages, 2, clb_message_t),
                  CLB_PART_TEXT, "and so?");
    chat->turns = NULL;
    ask(&turn, chat);
    ok(strstr(file(&turn, 1), q("'content':[{'text':'and so?'}]}")) != NULL,
       "or the client's");
}

static void media(void)
{
    clb_chat_t *chat = chat_new(1);
    clb_part_t *part = add_part(chat, CLB_ROLE_USER, CLB_PART_DOCUMENT,
                                "words");
    turn_t turn;

    part->name = "/help";
    part = add_part(chat, CLB_ROLE_USER, CLB_PART_DOCUMENT, NULL);
    part->media = "application/pdf";
    part->data = "JVBERi0=";
    warm(&turn, &clb_driver_gemini);
    ask(&turn, chat);
    ok(wrote(&turn, "{'type':'text','text':'/help:\\n\\nwords'},{'type':"
             "'image','mimeType':'application/pdf','data':'JVBERi0='}"),
       "a text is said with its name, any other document handed on");

    part = add_part(chat, CLB_ROLE_USER, CLB_PART_IMAGE, NULL);
    part->url = "https://example.org/a.PNG?x=.gif";
    chat->turns = NULL;
    warm(&turn, &clb_driver_gemini);
    ask(&turn, chat);
    ok(strstr(file(&turn, 1), q("{'inlineData':{'mimeType':'application/pdf',"
              "'data':'JVBERi0='}},{'fileData':{'mimeType':'image/png',"
              "'fileUri':'https://example.org/a.PNG?x=.gif'}}")) != NULL,
       "what has an address is part of a history");
}

/* A question that begins so would be Gemini CLI's own, wherever it stands. */
static void commands(void)
{
    static const struct {
        const char *text;
        int guarded;
    } some[] = {
        { "/help", 1 }, { " \n/help", 1 }, { "\xc2\xa0/help", 1 },
        { "\xef\xbb\xbf$skill", 1 }, { "?", 1 }, { "<hook_context>", 1 },
        { "a/help", 0 }, { "\xe6\x97\xa5", 0 }, { "@file", 0 },
    };
    apr_size_t i;
    turn_t turn;

    for (i = 0; i < sizeof(some) / sizeof(*some); i++) {
        clb_chat_t *chat = clb_chat_create(pool);

        chat->model = "m";
        add_part(chat, CLB_ROLE_USER, CLB_PART_TEXT, some[i].text);
        warm(&turn, &clb_driver_gemini);
        ask(&turn, chat);
        is_int(wrote(&turn, "'prompt':[{'type':'text','text':'\xe2\x81\xa0'"),
               some[i].guarded, "asked: %s", some[i].text);
        add_part(chat, CLB_ROLE_ASSISTANT, CLB_PART_TEXT, "a");
        chat->turns = NULL;
        warm(&turn, &clb_driver_gemini);
        ask(&turn, chat);
        is_int(strstr(file(&turn, 1), "[{\"text\":\"\xe2\x81\xa0\"},")
               != NULL, some[i].guarded, "said before: %s", some[i].text);
    }
}

/* Gemini CLI remembers the settings of a directory by its name. */
static void settings(void)
{
    clb_chat_t *chat = chat_new(1), *other = chat_new(1);
    turn_t turn;

    warm(&turn, &clb_driver_gemini);
    chat->temperature = 0.5;
    clb_chat_give(chat, CLB_TEMPERATURE, "temperature");
    ask(&turn, chat);
    ok(strstr(file(&turn, 3), q("'generateContentConfig':{'temperature':0.5}"))
       != NULL, "parameters are settings");
    ok(wrote(&turn, "'params':{'cwd':'./"), "of a directory of that name");
    turn_print(&turn, q(SESSION("session", "s1") SAYS("x")));
    clb_buf_reset(&turn.lines);
    turn_print(&turn, q(QUOTA("end_turn")));
    ok(wrote(&turn, "'id':'spare','method':'session/new','params':{'cwd':"
             "'./"), "and of the next session's");
    between(&turn, SESSION("spare", "s2"));
    ask(&turn, chat);
    ok(wrote(&turn, "'id':'prompt'") && wrote(&turn, "'sessionId':'s2'"),
       "which serves the same again");
    turn_print(&turn, q(CHUNK("s2", "agent_message_chunk", "x")
                        QUOTA("end_turn")));
    between(&turn, SESSION("spare", "s3"));

    other->effort = CLB_EFFORT_LOW;
    ask(&turn, other);
    ok(strstr(file(&turn, 3), q("{'thinkingLevel':'LOW'}")) != NULL,
       "effort is a word");
    other->model = "gemini-2.5-pro";
    warm(&turn, &clb_driver_gemini);
    ask(&turn, other);
    ok(strstr(file(&turn, 3), q("{'thinkingBudget':1024}")) != NULL,
       "or a number");
    clb_chat_give(other, CLB_BUDGET, "budget");
    other->budget = 77;
    other->model = "gemini-3-pro";
    warm(&turn, &clb_driver_gemini);
    ask(&turn, other);
    ok(strstr(file(&turn, 3), q("{'thinkingBudget':77,'thinkingLevel':null}"))
       != NULL, "never both");

    clb_chat_part(clb_chat_message(chat, CLB_ROLE_ASSISTANT), CLB_PART_TEXT,
                  "a");
    chat->turns = NULL;
    warm(&turn, &clb_driver_gemini);
    ask(&turn, chat);
    ok(strstr(file(&turn, 4), q("\n{'hookSpecificOutput':{'llm_request':{"
              "'config':{'temperature':0.5,'topP':0.95,'topK':64}}}}\n"))
       != NULL && strstr(file(&turn, 4), "BeforeToolSelection") == NULL,
       "with a history they are a hook's");
    is_str(file(&turn, 3), "{}", "and no settings");
    ok(clb_driver_gemini.drops(chat, pool) == NULL, "so all is well");
    chat->effort = CLB_EFFORT_LOW;
    clb_chat_give(chat, CLB_EFFORT, "effort");
    is_str(clb_driver_gemini.drops(chat, pool), "effort",
           "but for what no hook has");

    chat = chat_new(3);
    add_tool(chat, "odd name");
    chat->choice = CLB_CHOICE_NAMED;
    chat->chosen = "odd name";
    warm(&turn, &clb_driver_gemini);
    ask(&turn, chat);
    ok(strstr(file(&turn, 4), q("\n{'hookSpecificOutput':{'toolConfig':{"
              "'mode':'ANY','allowedFunctionNames':['mcp_fn_odd_name_0']}}}\n"))
       != NULL && strstr(file(&turn, 4), "BeforeModel") == NULL,
       "nor is a demanded call");
    chat->format = CLB_FORMAT_JSON;
    warm(&turn, &clb_driver_gemini);
    ask(&turn, chat);
    ok(turn.fate == CLB_FATE_SETTLE, "a format is refused");
}

static void variables(void)
{
    static const struct {
        const char *schema;
        int good;
    } some[] = {
        { "{\"$schema\":\"x\",\"$defs\":{},\"$ref\":\"#/$defs/a\"}", 1 },
        { "{\"pattern\":\"^a$\"}", 1 },
        { "{\"description\":\"costs $ 5\"}", 1 },
        { "{\"description\":\"$OPENAI_API_KEY\"}", 0 },
        { "{\"enum\":[{\"a\":\"${HOME}\"}]}", 0 },
        { "{\"description\":\"$5\"}", 0 },
    };
    const clb_driver_t *const both[] = { &clb_driver_gemini,
                                         &clb_driver_qwen };
    apr_size_t i;
    turn_t turn;

    for (i = 0; i < 2 * sizeof(some) / sizeof(*some); i++) {
        clb_chat_t *chat = chat_new(1);

        chat->format = CLB_FORMAT_SCHEMA;
        chat->schema = some[i / 2].schema;
        warm(&turn, both[i % 2]);
        ask(&turn, chat);
        is_int(turn.fate == CLB_FATE_NONE, some[i / 2].good,
               "%s: %s %s", both[i % 2]->name, some[i / 2].schema,
               some[i / 2].good ? "is taken" : "would have a variable in it");
    }
}

static void leaving(void)
{
    turn_t turn;

    warm(&turn, &clb_driver_gemini);
    ask(&turn, chat_new(1));
    turn.chat = NULL;
    turn_input(&turn, CLB_IN_CANCEL, NULL, 0, 0);
    turn_print(&turn, q(SESSION("session", "s1")));
    is_str(turn_said(&turn), "-> clean", "before its session was there");

    between(&turn, SESSION("spare", "s2"));
    ask(&turn, chat_new(3));
    turn_print(&turn, q(SESSION("session", "s1")
                        CHUNK("s1", "agent_message_chunk", "x")));
    turn.chat = NULL;
    turn_input(&turn, CLB_IN_CANCEL, NULL, 0, 0);
    ok(wrote(&turn, "'method':'session/cancel'"), "an answer is stopped");
    ok(turn.fate == CLB_FATE_NONE, "which takes a while");
    turn.ended = 1;
    turn_print(&turn, q(FAILED("prompt", "{'code':1,'message':'aborted'}")));
    ok(turn.fate == CLB_FATE_CLEAN, "and then it is ready again");
}

static void plain(void)
{
    clb_chat_t *chat = chat_new(3);
    turn_t turn;

    warm(&turn, &clb_driver_acp);
    clb_chat_system(chat, "sys");
    ask(&turn, chat);
    ok(wrote(&turn, "System: sys\\n\\nUser: text 1\\n\\nAssistant: "),
       "any other agent gets all as one text");
    ok(wrote(&turn, "'method':'session/set_model'"), "a model, if it is one");
    turn_next(&turn);
    turn_print(&turn, q(ASKS("3", "'toolCall':{}") ));
    ok(wrote(&turn, "'cancelled'"), "and no permission");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    warming();
    answers();
    limits();
    errors();
    calls();
    permissions();
    sessions();
    placeholders();
    system_prompts();
    histories();
    results();
    media();
    commands();
    settings();
    variables();
    leaving();
    plain();
    apr_pool_destroy(pool);
    return tap_done();
}
