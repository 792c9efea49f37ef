/* SPDX-License-Identifier: Apache-2.0 */
/* The driver for Claude Code, fed with what 2.1.197 was seen to print. */
#include "tap.h"

#include "../fuzz/turn.h"

#include <apr_file_io.h>
#include <apr_fnmatch.h>
#include <apr_general.h>

#define DATA "t/data/claude"

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

#define EVENT(event) "{'type':'stream_event','event':{'type':" event \
    "},'session_id':'s','parent_tool_use_id':null,'uuid':'u'}\n"
#define OPEN "{'type':'system','subtype':'init','tools':[]}\n" \
    "{'type':'system','subtype':'status','status':'requesting'}\n"
#define START EVENT("'message_start','message':{'id':'m','content':[]," \
    "'usage':{'input_tokens':121,'cache_creation_input_tokens':3," \
    "'cache_read_input_tokens':20,'output_tokens':1}}") \
    EVENT("'content_block_start','index':0,'content_block':" \
          "{'type':'text','text':''}")
#define TEXT(text) EVENT("'content_block_delta','index':0,'delta':" \
    "{'type':'text_delta','text':'" text "'}")
#define DELTA(reason) EVENT("'message_delta','delta':{'stop_reason':" reason \
    ",'stop_sequence':null},'usage':{'output_tokens':7}")
#define STOP EVENT("'message_stop'")
#define ACK "{'type':'result','subtype':'success','is_error':false," \
    "'num_turns':0,'result':'','stop_reason':null}\n"
#define RESULT(text) "{'type':'result','subtype':'success'," \
    "'is_error':false,'api_error_status':null,'num_turns':1,'result':'" text \
    "','stop_reason':'end_turn'}\n"
#define SYNTHETIC(error) "{'type':'assistant','error':'" error "','message':" \
    "{'model':'<synthetic>','content':[{'type':'text','text':'x'}]}}\n"
#define FAILED(status, text, more) "{'type':'result','subtype':'success'," \
    "'is_error':true,'api_error_status':" status ",'num_turns':1,'result':'" \
    text "'," more "'stop_reason':'stop_sequence'}\n"

static clb_chat_t *chat_new(int turns)
{
    clb_chat_t *chat = clb_chat_create(pool);
    int i;

    chat->model = "claude-sonnet-4-6";
    for (i = 1; i <= turns; i++) {
        clb_chat_part(clb_chat_message(chat, i % 2 ? CLB_ROLE_USER
                                             : CLB_ROLE_ASSISTANT),
                      CLB_PART_TEXT, apr_psprintf(pool, "text %d", i));
    }
    return chat;
}

static void begin(turn_t *turn, clb_chat_t *chat)
{
    turn_init(turn, pool, &clb_driver_claude, CLB_REUSE_UNSET);
    turn->chat = chat;
    turn_input(turn, CLB_IN_CHAT, NULL, 0, 0);
}

/* What one user message gives when the CLI prints these lines. */
static const char *answer(const char *lines)
{
    turn_t turn;

    begin(&turn, chat_new(1));
    turn_print(&turn, lines);
    return turn_said(&turn);
}

/* Line @a i (from 0) of what was written to stdin, parsed. */
static clb_json_t *written(const turn_t *turn, int i)
{
    const char *from = turn->lines.data, *lf, *why;
    clb_json_t *json = NULL;

    while ((lf = strchr(from, '\n')) != NULL && i-- > 0) {
        from = lf + 1;
    }
    if (lf != NULL) {
        clb_json_parse(&json, from, (apr_size_t)(lf - from), CLB_JSON_STRICT,
                       &why, pool);
    }
    return json;
}

static int line_count(const turn_t *turn)
{
    const char *c;
    int n = 0;

    for (c = turn->lines.data; *c != '\0'; c++) {
        n += *c == '\n';
    }
    return n;
}

static const char *string_at(const clb_json_t *json, const char *path)
{
    return clb_json_string(clb_json_find(json, path));
}

/* The texts of a written message's content, each with a '|' behind. */
static const char *content_of(const clb_json_t *line)
{
    const clb_json_t *content = clb_json_find(line, "message.content");
    const char *all = "";
    apr_size_t i;

    for (i = 0; i < clb_json_size(content); i++) {
        const clb_json_t *block = clb_json_at(content, i);

        all = apr_pstrcat(pool, all, clb_json_get_string(block, "text"), "|",
                          NULL);
    }
    return all;
}

static int has(const char *const *list, const char *value)
{
    for (; *list != NULL; list++) {
        if (strcmp(*list, value) == 0) {
            return 1;
        }
    }
    return 0;
}

static apr_array_header_t *words(const char *text)
{
    apr_array_header_t *list = apr_array_make(pool, 2, sizeof(char *));
    char *last, *word, *copy = apr_pstrdup(pool, text);

    for (word = apr_strtok(copy, " ", &last); word != NULL;
         word = apr_strtok(NULL, " ", &last)) {
        APR_ARRAY_PUSH(list, const char *) = word;
    }
    return list;
}

/* What follows @a name on the command line of a CLI that has @a tools. */
static const char *argument(const char *name, const char *tools)
{
    clb_backend_t backend = { .tools = words(tools == NULL ? "" : tools) };
    apr_array_header_t *argv = apr_array_make(pool, 16, sizeof(char *));
    clb_start_t start = { .backend = &backend };
    int i;

    clb_driver_claude.args(&start, argv);
    for (i = 0; i < argv->nelts - 1; i++) {
        if (strcmp(APR_ARRAY_IDX(argv, i, const char *), name) == 0) {
            return APR_ARRAY_IDX(argv, i + 1, const char *);
        }
    }
    return NULL;
}

static void command_line(void)
{
    is_str(argument("--tools", NULL), "", "the CLI gets no tools");
    is_str(argument("--max-turns", NULL), "1", "and asks its model once");
    ok(argument("--allowedTools", NULL) == NULL, "nothing is allowed");
    is_str(argument("--setting-sources", NULL), "", "and nobody's settings");
    ok(argument("--strict-mcp-config", NULL) != NULL, "and no servers");
    is_str(argument("--tools", "WebFetch WebSearch"), "WebFetch,WebSearch",
           "it gets those tools that the operator lets it have");
    is_str(argument("--allowedTools", "WebFetch WebSearch"),
           "WebFetch,WebSearch", "and may use them");
    is_str(argument("--max-turns", "WebFetch"), "16",
           "for which it asks again, but not for ever");
    ok(has(clb_driver_claude.env, "CLAUDE_CODE_DISABLE_ATTACHMENTS=1"),
       "and reads no file that a prompt names");
    is_int(clb_driver_claude.traits(NULL), CLB_PROBE | CLB_PARKS | CLB_SIGNS,
           "it speaks lines, is probed, serves one conversation, and signs");
}

static void warming(void)
{
    turn_t turn;

    turn_init(&turn, pool, &clb_driver_claude, CLB_REUSE_UNSET);
    turn_input(&turn, CLB_IN_WARM, NULL, 0, 0);
    is_int(line_count(&turn), 2, "warming writes two lines");
    is_str(string_at(written(&turn, 0), "request.subtype"),
           "get_binary_version", "it asks for the version");
    is_str(string_at(written(&turn, 1), "request.subtype"),
           "apply_flag_settings", "and applies settings");
    is_int((long long)clb_json_size(clb_json_find(written(&turn, 1),
                                                  "request.settings")), 0,
           "which are empty");
    ok(!turn.ready, "not ready yet");
    turn_input(&turn, CLB_IN_LINE, "noise", 5, 0);
    turn_input(&turn, CLB_IN_LINE, "{}", 2, 0);
    turn_print(&turn, q("{'type':'control_response','response':{'subtype':"
                        "'success','request_id':'i','response':{}}}\n"));
    ok(!turn.ready, "nor after noise");
}

static void readiness(void)
{
    static const char first[] = "{'type':'control_response','response':"
        "{'subtype':'success','request_id':'w0','response':"
        "{'version':'2.1.197'}}}";
    static const char second[] = "{'type':'control_response','response':"
        "{'subtype':'success','request_id':'w1'}}";
    static const char refused[] = "{'type':'control_response','response':"
        "{'subtype':'error','request_id':'w1','error':'Unsupported'}}";
    turn_t turn;

    turn_init(&turn, pool, &clb_driver_claude, CLB_REUSE_UNSET);
    turn_input(&turn, CLB_IN_WARM, NULL, 0, 0);
    turn_input(&turn, CLB_IN_LINE, q(first), strlen(first), 0);
    ok(!turn.ready, "not ready at the first answer");
    turn_input(&turn, CLB_IN_LINE, q(second), strlen(second), 0);
    ok(turn.ready, "ready at the second");
    is_str(turn_said(&turn), "-> -", "without an event");

    turn_init(&turn, pool, &clb_driver_claude, CLB_REUSE_UNSET);
    turn_input(&turn, CLB_IN_WARM, NULL, 0, 0);
    turn_input(&turn, CLB_IN_LINE, q(refused), strlen(refused), 0);
    ok(!turn.ready, "never ready when it is refused");
    is_str(turn_said(&turn), "cli_failed: the CLI refused a control request:"
           " Unsupported -> end", "but finished with");

    turn_init(&turn, pool, &clb_driver_claude, CLB_REUSE_UNSET);
    turn_input(&turn, CLB_IN_WARM, NULL, 0, 0);
    turn_input(&turn, CLB_IN_EXIT, "boom", 4, 1);
    is_int(turn.fate, CLB_FATE_END, "or when it dies");
}

static void first_lines(void)
{
    clb_chat_t *chat = chat_new(1);
    clb_json_t *line;
    turn_t turn;

    begin(&turn, chat);
    is_int(line_count(&turn), 2, "a plain chat is two lines");
    line = written(&turn, 0);
    is_str(clb_json_get_string(line, "type"), "control_request",
           "the first is a request");
    is_str(string_at(line, "request.subtype"), "initialize", "initialize");
    is_str(string_at(line, "request.agents.bridge.model"),
           "claude-sonnet-4-6", "with the model");
    is_str(clb_json_text(pool, clb_json_find(line, "request.systemPrompt")),
           "[]", "without a system text");
    ok(string_at(line, "request.title") != NULL,
       "with a title, so that none is asked for");
    line = written(&turn, 1);
    is_str(clb_json_get_string(line, "type"), "user", "then the user's");
    is_str(content_of(line), "text 1||",
           "with an empty block at the end against slash commands");
    ok(clb_json_get(line, "shouldQuery") == NULL, "which is the question");

    chat->system = "Be \"brief\".\n\xc3\xa9";
    begin(&turn, chat);
    is_str(clb_json_string(clb_json_at(clb_json_find(written(&turn, 0),
               "request.systemPrompt"), 0)), "Be \"brief\".\n\xc3\xa9",
           "the system text as it is");
}

static void flags(void)
{
    clb_chat_t *chat = chat_new(1);
    const clb_json_t *line;
    turn_t turn;

    clb_chat_give(chat, CLB_TEMPERATURE, "temperature");
    clb_chat_give(chat, CLB_TOP_P, "top_p");
    clb_chat_give(chat, CLB_TOP_K, "top_k");
    clb_chat_give(chat, CLB_MAX_TOKENS, "max_tokens");
    chat->temperature = 1.7;
    chat->top_p = 0.7;
    chat->top_k = 40;
    chat->max_tokens = 512;
    chat->effort = CLB_EFFORT_XHIGH;
    APR_ARRAY_PUSH(chat->stop, const char *) = "END";
    APR_ARRAY_PUSH(chat->stop, const char *) = "\n\n";
    APR_ARRAY_PUSH(chat->stop, const char *) = "\"";
    begin(&turn, chat);
    is_int(line_count(&turn), 4, "with parameters it is four lines");
    line = written(&turn, 1);
    is_str(string_at(line, "request.subtype"), "set_max_thinking_tokens",
           "the second about thinking");
    is_int(clb_json_integer(clb_json_find(line,
               "request.max_thinking_tokens"), -1), 0,
           "which sampling excludes");
    line = clb_json_find(written(&turn, 2), "request.settings");
    is_str(clb_json_get_string(line, "effortLevel"), "xhigh",
           "the third with the effort");
    is_str(string_at(line, "env.CLAUDE_CODE_MAX_OUTPUT_TOKENS"), "512",
           "the limit as a string");
    is_str(string_at(line, "env.CLAUDE_CODE_EXTRA_BODY"),
           q("{'temperature':1.0,'top_p':0.7,'top_k':40,'stop_sequences':"
             "['END','\\'']}"),
           "and the rest as JSON, without stop sequences of white space");

    chat = chat_new(1);
    chat->effort = CLB_EFFORT_NONE;
    begin(&turn, chat);
    is_int(line_count(&turn), 3, "effort none is one more line");
    is_int(clb_json_integer(clb_json_find(written(&turn, 1),
               "request.max_thinking_tokens"), -1), 0, "no thinking");

    chat = chat_new(1);
    clb_chat_give(chat, CLB_BUDGET, "thinking");
    chat->budget = 2048;
    begin(&turn, chat);
    is_int(clb_json_integer(clb_json_find(written(&turn, 1),
               "request.max_thinking_tokens"), -1), 2048, "a budget");

    chat = chat_new(1);
    chat->effort = CLB_EFFORT_HIGH;
    begin(&turn, chat);
    is_int(line_count(&turn), 3, "effort high is one more line");
    is_str(string_at(written(&turn, 1), "request.settings.effortLevel"),
           "high", "of settings");

    chat = chat_new(1);
    APR_ARRAY_PUSH(chat->stop, const char *) = " \n";
    begin(&turn, chat);
    is_int(line_count(&turn), 2, "a stop sequence of white space is core's");
}

static void history(void)
{
    clb_chat_t *chat = chat_new(5);
    turn_t turn;

    begin(&turn, chat);
    is_int(line_count(&turn), 2, "history begins with one user line");
    is_str(content_of(written(&turn, 1)), "text 1||", "the first");
    ok(clb_json_get(written(&turn, 1), "shouldQuery") != NULL
       && !clb_json_true(clb_json_get(written(&turn, 1), "shouldQuery")),
       "which is no question");
    turn_print(&turn, q(OPEN));
    is_int(line_count(&turn), 2, "the next waits for the acknowledgement");
    turn_print(&turn, q(ACK));
    is_int(line_count(&turn), 4, "then an answer and a user line");
    is_str(clb_json_get_string(written(&turn, 2), "type"), "assistant",
           "in their order");
    is_str(content_of(written(&turn, 2)), "text 2|", "the answer's text");
    is_str(string_at(written(&turn, 2), "message.model"),
           "claude-sonnet-4-6", "and model");
    is_str(content_of(written(&turn, 3)), "text 3||", "the user's text");
    turn_print(&turn, q(ACK));
    is_int(line_count(&turn), 6, "and so on");
    ok(strcmp(string_at(written(&turn, 2), "message.id"),
              string_at(written(&turn, 4), "message.id")) != 0,
       "answers have ids of their own");
    is_str(content_of(written(&turn, 5)), "text 5||", "to the last");
    ok(clb_json_get(written(&turn, 5), "shouldQuery") == NULL,
       "which is the question");
    is_str(turn_said(&turn), "-> -", "nothing was said yet");
    turn_print(&turn, q(START TEXT("hi") DELTA("'end_turn'") STOP));
    is_str(turn_said(&turn), "start [hi] usage 121+20+3/7/0 stop end -> park",
           "then comes the answer");
    is_int(line_count(&turn), 6, "and no more lines");
}

static void answers(void)
{
    is_str(answer(q(OPEN START TEXT("one") TEXT(" two") DELTA("'end_turn'")
                    STOP RESULT("one two"))),
           "start [one] [ two] usage 121+20+3/7/0 stop end -> clean",
           "an answer ends at message_stop");
    is_str(answer(q(OPEN START TEXT("cut") DELTA("'max_tokens'"))),
           "start [cut] usage 121+20+3/7/0 stop length -> kill",
           "at max_tokens the process is killed at once");
    is_str(answer(q(START TEXT("cut")
                    DELTA("'model_context_window_exceeded'"))),
           "start [cut] usage 121+20+3/7/0 stop length -> kill",
           "also when the window is full");
    is_str(answer(q(START TEXT(" \\n") TEXT("\\t") DELTA("'end_turn'")
                    STOP)),
           "start [ \n] [\t] usage 121+20+3/7/0 stop end -> kill",
           "so is one without a visible character");
    is_str(answer(q(START DELTA("'stop_sequence'") STOP)),
           "start usage 121+20+3/7/0 stop sequence -> kill",
           "or without any");
    is_str(answer(q(START TEXT("x") DELTA("'stop_sequence'") STOP)),
           "start [x] usage 121+20+3/7/0 stop sequence -> park",
           "a stop sequence the vendor saw");
    is_str(answer(q(START TEXT("No.") SYNTHETIC("invalid_request")
                    DELTA("'refusal'") STOP)),
           "start [No.] usage 121+20+3/7/0 stop filter -> kill",
           "a refusal is an answer with its own reason");
    is_str(answer(q(START TEXT("ha") DELTA("null") STOP FAILED("null",
                    "lost", ""))),
           "start [ha] upstream_error: lost -> end",
           "a stream closed without a reason is no answer");
    is_str(answer(q(START TEXT("ha") "{'type':'system','subtype':"
                    "'api_retry','retry_delay_ms':5,'error':'unknown'}\n")),
           "start [ha] upstream_error: the model's API broke off its answer"
           " -> kill", "and is not begun again");
    is_str(answer(q(START EVENT("'content_block_delta','index':0,'delta':"
                    "{'type':'thinking_delta','thinking':'hm'}")
                    EVENT("'content_block_delta','index':0,'delta':"
                    "{'type':'signature_delta','signature':'c2ln'}")
                    TEXT("x") DELTA("'end_turn'") STOP)),
           "start <hm> signed c2ln [x] usage 121+20+3/7/0 stop end -> park",
           "thinking is reasoning, with its signature");
    is_str(answer(q(START RESULT("whole"))),
           "start [whole] usage 121+20+3/1/0 stop end -> end",
           "an answer that was not streamed");
    is_str(answer(q(START TEXT("whole") RESULT("whole"))),
           "start [whole] usage 121+20+3/1/0 stop end -> end",
           "one without message_stop is not said twice");
    is_str(answer(q(START TEXT("x") START)),
           "start [x] cli_failed: the CLI asked its model a second time for "
           "one answer -> kill", "a second question is the end");
    is_str(answer(q(OPEN RESULT("/x is not available"))),
           "cli_failed: the CLI ended the turn without asking its model"
           " -> end", "so is a turn without a question");
    is_str(answer(q(OPEN ACK)),
           "cli_failed: the CLI ended the turn without asking its model"
           " -> end", "and an acknowledgement of the question");
    is_str(answer(q(TEXT("x") DELTA("'end_turn'") STOP START TEXT("y"))),
           "start [y] -> -", "nothing counts before message_start");
    is_str(answer(q("{'type':'stream_event','event':{'type':"
                    "'message_start'},'parent_tool_use_id':'t'}\n")),
           "-> -", "nor the events of a tool's own model");
    is_str(answer(q(START TEXT("a\\u0000b\\ud800c") DELTA("null"))),
           "start [a\xef\xbf\xbd" "b\xef\xbf\xbd" "c] -> -",
           "what is no text is repaired");
}

static void noise(void)
{
    is_str(answer(q("\n"
                    "Warning: no JSON\n"
                    "{'type':\n"
                    "[]\n"
                    "7\n"
                    "null\n"
                    "{'type':7}\n"
                    "{'type':'unknown_type','event':{'type':'message_stop'}}\n"
                    "{'type':'stream_event'}\n"
                    "{'type':'stream_event','event':7}\n"
                    "{'type':'stream_event','event':{'type':'ping'}}\n"
                    "{'type':'user','message':{}}\n"
                    "{'type':'system'}\n"
                    "{'type':'system','subtype':'thinking_tokens'}\n"
                    "{'type':'control_response'}\n"
                    "{'type':'control_request'}\n"
                    "{'type':'keep_alive'}\n"
                    START
                    EVENT("'content_block_delta'")
                    EVENT("'content_block_delta','delta':{'text':7}")
                    EVENT("'message_delta'")
                    EVENT("'nonsense'")
                    TEXT("ok") DELTA("'end_turn'") STOP)),
           "start [ok] usage 121+20+3/7/0 stop end -> park",
           "lines that mean nothing are passed over");
}

static void requests(void)
{
    turn_t turn;
    const clb_json_t *line;
    const char *asked = q("{'type':'control_request','request_id':'r-1',"
        "'request':{'subtype':'can_use_tool','tool_name':'Bash'}}");

    begin(&turn, chat_new(1));
    turn_input(&turn, CLB_IN_LINE, asked, strlen(asked), 0);
    line = written(&turn, 2);
    is_str(clb_json_get_string(line, "type"), "control_response",
           "what the CLI asks for is answered");
    is_str(string_at(line, "response.subtype"), "error", "with a refusal");
    is_str(string_at(line, "response.request_id"), "r-1", "by its id");
    is_str(turn_said(&turn), "-> -", "and the turn goes on");
}

/* claude.md, table 1.1. */
static void errors(void)
{
    static const struct {
        const char *lines;
        const char *said;
        const char *what;
    } cases[] = {
        { SYNTHETIC("authentication_failed") FAILED("401",
          "Invalid API key", ""), "login_required: Invalid API key -> end",
          "401 with a key" },
        { "{'type':'system','subtype':'api_retry','attempt':1,"
          "'retry_delay_ms':504.9,'error_status':401,"
          "'error':'authentication_failed'}\n"
          SYNTHETIC("authentication_failed")
          FAILED("401", "Failed to authenticate.", ""),
          "(status 401, again in 504 ms) login_required: Failed to "
          "authenticate. -> end", "401 with a token, after a retry" },
        { SYNTHETIC("authentication_failed") FAILED("403", "x", ""),
          "login_required: x -> end", "403" },
        { SYNTHETIC("authentication_failed") FAILED("null",
          "Not logged in", ""), "login_required: Not logged in -> end",
          "no credentials" },
        { SYNTHETIC("rate_limit") FAILED("429",
          "API Error: Request rejected (429)", ""),
          "rate_limited: API Error: Request rejected (429) -> end", "429" },
        { SYNTHETIC("server_error") FAILED("529", "API Error: 529 x", ""),
          "overloaded: API Error: 529 x -> end", "529" },
        { SYNTHETIC("server_error") FAILED("null",
          "API Error: Repeated 529 Overloaded errors.", ""),
          "overloaded: API Error: Repeated 529 Overloaded errors. -> end",
          "529 again and again" },
        { SYNTHETIC("overloaded") FAILED("null", "x", ""),
          "overloaded: x -> end", "overloaded by name" },
        { SYNTHETIC("server_error") FAILED("500", "x", ""),
          "upstream_error: x -> end", "500" },
        { SYNTHETIC("model_not_found") FAILED("404", "no such model", ""),
          "model_not_found: no such model -> end", "404" },
        { SYNTHETIC("invalid_request") FAILED("400", "Prompt is too long",
          "'terminal_reason':'prompt_too_long',"),
          "context_length: Prompt is too long -> end", "prompt too long" },
        { SYNTHETIC("unknown") FAILED("400", "API Error: 400 bad", ""),
          "bad_request: API Error: 400 bad -> end", "another 400" },
        { SYNTHETIC("billing_error") FAILED("400",
          "Credit balance is too low", ""),
          "quota_exhausted: Credit balance is too low -> end",
          "no credit" },
        { SYNTHETIC("invalid_request") FAILED("413", "Request too large",
          "'terminal_reason':'image_error',"),
          "too_large: Request too large -> end", "413" },
        { SYNTHETIC("invalid_request") FAILED("400", "x", ""),
          "bad_request: x -> end", "an invalid request" },
        { SYNTHETIC("server_error") FAILED("null",
          "API Error: Unable to connect to API (ECONNRESET)", ""),
          "upstream_error: API Error: Unable to connect to API (ECONNRESET)"
          " -> end", "a reset before headers" },
        { START TEXT("w0") SYNTHETIC("server_error") FAILED("null",
          "API Error: Connection to the API was lost", ""),
          "start [w0] upstream_error: API Error: Connection to the API was "
          "lost -> end", "a drop in the middle" },
        { SYNTHETIC("server_error") FAILED("null", "Request timed out", ""),
          "upstream_error: Request timed out -> end", "no headers" },
        { START TEXT("No.") SYNTHETIC("invalid_request")
          "{'type':'result','subtype':'success','is_error':true,"
          "'api_error_status':null,'result':'violates','stop_reason':"
          "'refusal'}\n", "start [No.] content_filter: violates -> end",
          "a refusal without message_stop" },
        { "{'type':'result','subtype':'error_max_turns','is_error':true,"
          "'errors':['Reached maximum number of turns (1)']}\n",
          "upstream_error: Reached maximum number of turns (1) -> end",
          "an error without a result" },
        { "{'type':'result','is_error':true}\n",
          "upstream_error: the CLI reported an error without a reason"
          " -> end", "an error without a word" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        is_str(answer(q(cases[i].lines)), cases[i].said, "error: %s",
               cases[i].what);
    }
}

static apr_interval_time_t wait_told(const char *lines, const char **said)
{
    turn_t turn;
    int i;

    begin(&turn, chat_new(1));
    turn_print(&turn, lines);
    *said = turn_said(&turn);
    for (i = 0; i < turn.step->events->nelts; i++) {
        const clb_event_t *event = &APR_ARRAY_IDX(turn.step->events, i,
                                                  clb_event_t);

        if (event->kind == CLB_EV_ERROR) {
            return event->u.error.retry_after;
        }
    }
    return -1;
}

#define LIMIT(status, more) "{'type':'rate_limit_event','rate_limit_info':" \
    "{'status':'" status "'," more "'isUsingOverage':false}}\n"
#define RETRY(error, delay) "{'type':'system','subtype':'api_retry'," \
    "'attempt':1,'max_retries':1,'retry_delay_ms':" delay \
    ",'error_status':429,'error':'" error "'}\n"

static void limits(void)
{
    apr_time_t now = apr_time_sec(apr_time_now());
    apr_interval_time_t wait;
    const char *said;

    wait = wait_told(q(apr_psprintf(pool, LIMIT("rejected",
        "'resetsAt':%ld,'rateLimitType':'five_hour',") SYNTHETIC("rate_limit")
        FAILED("429", "You have hit your session limit", ""),
        (long)now + 3600)), &said);
    is_str(said, "(five_hour: rejected) quota_exhausted: You have hit your "
           "session limit -> end", "a used-up window is a quota");
    ok(wait > apr_time_from_sec(3590) && wait <= apr_time_from_sec(3600),
       "and says when it opens");
    wait = wait_told(q(apr_psprintf(pool, LIMIT("rejected",
        "'resetsAt':%ld,'rateLimitType':'five_hour',") SYNTHETIC("rate_limit")
        FAILED("429", "x", ""), (long)now - 5)), &said);
    is_int(wait, 0, "unless that is over");
    wait = wait_told(q(LIMIT("rejected",
        "'resetsAt':9223372036854775807,") SYNTHETIC("rate_limit")
        FAILED("429", "x", "")), &said);
    ok(wait > 0, "an absurd time is a long one");
    wait = wait_told(q(LIMIT("rejected", "") SYNTHETIC("rate_limit")
        FAILED("429", "x", "")), &said);
    is_str(said, "(limit: rejected) rate_limited: x -> end",
           "without a time it is a rate limit");
    is_int(wait, 0, "of unknown length");
    wait_told(q(LIMIT("allowed", "'resetsAt':1795171149,") START TEXT("x")
                DELTA("'end_turn'") STOP), &said);
    is_str(said, "(limit: allowed) start [x] usage 121+20+3/7/0 stop end"
           " -> park", "an open window is a note");

    wait = wait_told(q(RETRY("rate_limit", "1500.7")), &said);
    is_str(said, "rate_limited: the model's API refused the request (429)"
           " -> end", "a retry after a rate limit is not waited for");
    is_int(wait, apr_time_from_msec(1500), "the client gets its time");
    wait = wait_told(q(RETRY("rate_limit", "8e18")), &said);
    ok(wait > 0, "also an absurd one");
    wait = wait_told(q(RETRY("rate_limit", "-5")), &said);
    is_int(wait, 0, "but none before now");
    wait = wait_told(q(RETRY("overloaded", "578.0") START TEXT("x")
                       DELTA("'end_turn'") STOP), &said);
    is_str(said, "(status 429, again in 578 ms) start [x] "
           "usage 121+20+3/7/0 stop end -> park", "other retries are");
    wait_told(q(RETRY("unknown", "null")), &said);
    is_str(said, "(status 429, again in 0 ms) -> -", "whatever their name");
}

static void endings(void)
{
    turn_t turn;

    begin(&turn, chat_new(1));
    turn_input(&turn, CLB_IN_EXIT, "", 0, 1);
    is_str(turn_said(&turn),
           "cli_failed: claude exited with status 1 -> end",
           "a CLI that ends too early");
    begin(&turn, chat_new(1));
    turn_input(&turn, CLB_IN_CANCEL, NULL, 0, 0);
    ok(turn.fate == CLB_FATE_END || turn.fate == CLB_FATE_KILL,
       "a cancelled process serves no more");
    is_int(turn.ended, 0, "without a word");
    is_int(turn.step->close_stdin, 0, "nor the chance to finish");
}

#define ANSWERED q(START TEXT("x") DELTA("'end_turn'") STOP)

/* What comes after the answer, which nobody reads any more. */
static clb_fate_e after(const char *lines)
{
    turn_t turn;

    begin(&turn, chat_new(1));
    turn_print(&turn, ANSWERED);
    turn.chat = NULL;
    turn_print(&turn, lines);
    is_str(turn.wrong, NULL, "without a word");
    return turn.fate;
}

static void parking(void)
{
    turn_t turn;

    is_int(after(""), CLB_FATE_PARK, "it may stay");
    is_int(after(q(LIMIT("allowed", ""))), CLB_FATE_PARK, "with some news");
    is_int(after(q(RESULT("x"))), CLB_FATE_CLEAN, "until it is ready");
    is_int(after(q(FAILED("null", "x", ""))), CLB_FATE_END,
           "not when something went wrong late");
    is_int(after(q(START)), CLB_FATE_KILL, "nor when it asks again");

    turn_init(&turn, pool, &clb_driver_claude, CLB_REUSE_UNSET);
    turn.chat = chat_new(3);
    turn.known = 2;
    turn_input(&turn, CLB_IN_CHAT, NULL, 0, 0);
    is_int(line_count(&turn), 1, "a conversation goes on with one line");
    is_str(content_of(written(&turn, 0)), "text 3||", "the user's");
    ok(clb_json_get(written(&turn, 0), "shouldQuery") == NULL,
       "which is the question");
    turn_print(&turn, ANSWERED);
    is_str(turn_said(&turn), "start [x] usage 121+20+3/7/0 stop end -> park",
           "that is answered");
    turn_print(&turn, q(RESULT("x")));
    is_int(turn.fate, CLB_FATE_CLEAN, "and so on");
}

/* A state that came over a socket is believed as far as it does no harm. */
static void strange_state(void)
{
    const char *lines = q(ACK START TEXT("x") DELTA("'end_turn'") STOP);
    const char *failed = q(FAILED("null", "x", ""));
    int byte;
    turn_t fresh;

    turn_init(&fresh, pool, &clb_driver_claude, CLB_REUSE_UNSET);
    memset(fresh.state.bytes, 1, sizeof(fresh.state.bytes));
    fresh.chat = chat_new(1);
    turn_input(&fresh, CLB_IN_CHAT, NULL, 0, 0);
    turn_print(&fresh, q(START TEXT("x") DELTA("'end_turn'") STOP));
    is_str(turn_said(&fresh), "start [x] usage 121+20+3/7/0 stop end -> park",
           "a chat begins with a state of its own");
    for (byte = 1; byte < 256; byte += 127) {
        turn_t turn;

        begin(&turn, chat_new(5));
        memset(turn.state.bytes, byte, sizeof(turn.state.bytes));
        turn_print(&turn, lines);
        ok(turn.fate != CLB_FATE_NONE, "a state of %02x comes to an end",
           byte);
        begin(&turn, chat_new(5));
        memset(turn.state.bytes, byte, sizeof(turn.state.bytes));
        turn_print(&turn, failed);
        is_int(turn.fate, CLB_FATE_END, "also by an error");
    }
}

/* Runs of the real CLI (t/data/claude): what each must come to. */
static const struct {
    const char *name;
    int turns;
    const char *said;
} runs[] = {
    { "say", 1,
      "start [hello there] usage 120+0+0/1/0 stop end -> clean" },
    { "stream", 1,
      "start [tok1] [ tok2] [ tok3] [ tok4] [ tok5] usage 123+0+0/45/0 "
      "stop end -> clean" },
    { "system", 1,
      "start [found sys-needle;] [missing other;] usage 124+0+0/2/0 "
      "stop end -> clean" },
    { "unicode", 1,
      "start [\"q\"\\ \n\xe2\x80\xa8 \xc3\xa9 \xf0\x9f\x98\x80 ]] [[x] "
      "usage 125+0+0/1/0 stop end -> clean" },
    { "flags", 1,
      "start [one ] usage 120+0+0/1/0 stop sequence -> clean" },
    { "history", 7,
      "start [found needle-1;] [found noted-1;] [found needle-2;] "
      "[found noted-2;] [found needle-3;] [missing absent;] usage "
      "155+0+0/6/0 stop end -> clean" },
    { "length", 1,
      "start [cut] usage 122+0+0/1/0 stop length -> kill" },
    { "context-window", 1,
      "start [cut] usage 128+0+0/1/0 stop length -> kill" },
    { "refusal", 1,
      "start [I cannot help with that.] usage 129+0+0/1/0 stop filter "
      "-> kill" },
    { "think-budget", 1,
      "start <let me see> signed c2lnbmVk [done] usage 123+0+0/1/0 stop end "
      "-> clean" },
    { "think-off", 1,
      "start [done] usage 123+0+0/1/0 stop end -> clean" },
    { "oauth-say", 1,
      "start [hi] usage 117+0+0/1/0 stop end -> clean" },
    { "error-400-r0", 1,
      "bad_request: API Error: 400 scripted error 400 -> end" },
    { "error-401-r1", 1,
      "(status 401, again in 570 ms) login_required: Failed to "
      "authenticate. API Error: 401 scripted error 401 -> end" },
    { "error-403-r0", 1,
      "login_required: Failed to authenticate. API Error: 403 scripted "
      "error 403 -> end" },
    { "error-404-r0", 1,
      "model_not_found: There's an issue with the selected model "
      "(claude-sonnet-4-6). It may not exist or you may not have "
      "access to it. Run --model to pick a different model. -> end" },
    { "error-413-r0", 1,
      "too_large: Request too large (max 32MB). Try with a smaller "
      "file. -> end" },
    { "error-429-r0", 1,
      "rate_limited: API Error: Request rejected (429) \xc2\xb7 "
      "scripted error 429 -> end" },
    { "error-429-r1", 1,
      "rate_limited: the model's API refused the request (429) -> end" },
    { "error-500-r0", 1,
      "upstream_error: API Error: 500 scripted error 500. This is a "
      "server-side issue, usually temporary \xe2\x80\x94 try again in "
      "a moment. -> end" },
    { "error-503-r0", 1,
      "overloaded: API Error: 503 scripted error 503. This is a "
      "server-side issue, usually temporary \xe2\x80\x94 try again in "
      "a moment. -> end" },
    { "error-529-r1", 1,
      "(status 529, again in 578 ms) overloaded: API Error: 529 "
      "scripted error 529. This is a server-side issue, usually "
      "temporary \xe2\x80\x94 try again in a moment. -> end" },
    { "error-first", 1,
      "start upstream_error: API Error: scripted error 529 -> end" },
    { "error-midstream", 1,
      "start [tok1] [ tok2] upstream_error: API Error: scripted error "
      "529 -> end" },
    { "drop", 1,
      "start [tok1] [ tok2] upstream_error: API Error: Connection to "
      "the API was lost (ECONNRESET). This is usually temporary "
      "\xe2\x80\x94 try again. -> end" },
    { "drop-first", 1,
      "start upstream_error: API Error: Connection to the API was lost "
      "(ECONNRESET). This is usually temporary \xe2\x80\x94 try again. "
      "-> end" },
    { "no-login", 1,
      "login_required: Not logged in \xc2\xb7 Please run /login -> end" },
    { "oauth-401", 1,
      "(status 401, again in 504 ms) login_required: Failed to "
      "authenticate. API Error: 401 scripted error 401 -> end" },
    { "oauth-429", 1,
      "(limit: rejected) rate_limited: API Error: Server is "
      "temporarily limiting requests (not your usage limit) \xc2\xb7 "
      "scripted error 429 -> end" },
    { "quota", 1,
      "(five_hour: rejected) quota_exhausted: You've hit your session "
      "limit \xc2\xb7 resets 1:31pm (UTC) -> end" },
    { "quota-key", 1,
      "rate_limited: API Error: Request rejected (429) \xc2\xb7 This "
      "request would exceed your account's rate limit. Please try "
      "again later. -> end" },
    { "unreachable", 1,
      "(status 0, again in 558 ms) upstream_error: API Error: Unable "
      "to connect to API (ConnectionRefused) -> end" },
    { "hang", 1,
      "-> -" },
    { "stall", 1,
      "start [tok1] [ tok2] -> -" },
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

static const char *replay(const char *path, int turns)
{
    apr_size_t len = 0;
    const char *data = contents(path, &len), *end = data + len;
    turn_t turn;

    if (data == NULL) {
        return "cannot be read";
    }
    turn_init(&turn, pool, &clb_driver_claude, CLB_REUSE_UNSET);
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
    turn.chat = chat_new(turns);
    turn_input(&turn, CLB_IN_CHAT, NULL, 0, 0);
    turn_lines(&turn, data, end);
    return turn_said(&turn);
}

static void real_runs(void)
{
    apr_size_t i;

    for (i = 0; i < sizeof(runs) / sizeof(*runs); i++) {
        is_str(replay(apr_pstrcat(pool, DATA "/", runs[i].name, ".jsonl",
                                  NULL), runs[i].turns),
               runs[i].said, "real run: %s", runs[i].name);
    }
}

/* Whatever else is recorded there at least breaks no rule. */
static void other_runs(void)
{
    apr_dir_t *dir;
    apr_finfo_t info;

    if (!ok(apr_dir_open(&dir, DATA, pool) == APR_SUCCESS, DATA)) {
        return;
    }
    while (apr_dir_read(&info, APR_FINFO_NAME, dir) == APR_SUCCESS) {
        const char *said;

        if (apr_fnmatch("*.jsonl", info.name, 0) == APR_SUCCESS) {
            said = replay(apr_pstrcat(pool, DATA "/", info.name, NULL), 1);
            ok(strstr(said, "->") != NULL && strstr(said, "BROKEN") == NULL,
               "%s keeps the rules", info.name);
        }
    }
    apr_dir_close(dir);
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    command_line();
    warming();
    readiness();
    first_lines();
    flags();
    history();
    answers();
    noise();
    requests();
    errors();
    limits();
    endings();
    parking();
    strange_state();
    real_runs();
    other_runs();
    return tap_done();
}
