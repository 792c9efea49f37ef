/* SPDX-License-Identifier: Apache-2.0 */
/* The client's tools with Claude Code: what it is told of them, how it asks for
 * them, what its calls become, and how calls, results and images are written
 * into its history. */
#include "tap.h"

#include "../../src/backend/claude.h"
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

static clb_json_t *json(const char *text)
{
    clb_json_t *value = NULL;
    const char *why;

    clb_json_parse(&value, q(text), strlen(text), CLB_JSON_STRICT, &why,
                   pool);
    return value;
}

#define SCHEMA "{'type':'object','properties':{}}"

static clb_tool_t *tool(clb_chat_t *chat, const char *name)
{
    clb_tool_t *one = apr_array_push(chat->tools);

    memset(one, 0, sizeof(*one));
    one->name = name;
    one->schema = q(SCHEMA);
    return one;
}

static clb_chat_t *chat_new(const char *const *names)
{
    clb_chat_t *chat = clb_chat_create(pool);

    chat->model = "claude-sonnet-4-6";
    for (; *names != NULL; names++) {
        tool(chat, *names);
    }
    return chat;
}

#define CHAT(...) chat_new((const char *const[]){ __VA_ARGS__, NULL })

static void ask(clb_chat_t *chat, clb_role_e role, const char *text)
{
    clb_chat_part(clb_chat_message(chat, role), CLB_PART_TEXT, text);
}

static clb_part_t *call(clb_chat_t *chat, const char *id, const char *name,
                        const char *arguments)
{
    clb_message_t *last = chat->messages->nelts == 0 ? NULL
        : &APR_ARRAY_IDX(chat->messages, chat->messages->nelts - 1,
                         clb_message_t);
    clb_part_t *part;

    if (last == NULL || last->role == CLB_ROLE_USER) {
        last = clb_chat_message(chat, CLB_ROLE_ASSISTANT);
    }
    part = clb_chat_part(last, CLB_PART_CALL, q(arguments));
    part->id = id;
    part->name = name;
    return part;
}

static clb_message_t *result(clb_chat_t *chat, const char *id,
                             const char *text)
{
    clb_part_t *part = clb_chat_part(clb_chat_message(chat, CLB_ROLE_USER),
                                     CLB_PART_RESULT, NULL);
    clb_message_t *content = apr_pcalloc(pool, sizeof(*content));

    part->id = id;
    part->parts = content->parts = apr_array_make(pool, 1,
                                                  sizeof(clb_part_t));
    clb_chat_part(content, CLB_PART_TEXT, text);
    return content;
}

static void begin(turn_t *turn, clb_chat_t *chat, int known)
{
    turn_init(turn, pool, &clb_driver_claude, CLB_REUSE_UNSET);
    turn->chat = chat;
    turn->known = known;
    turn_input(turn, CLB_IN_CHAT, NULL, 0, 0);
}

/* Line @a i (from 0) of what was written to stdin, parsed. */
static clb_json_t *written(const turn_t *turn, int i)
{
    const char *from = turn->lines.data, *lf, *why;
    clb_json_t *line = NULL;

    while ((lf = strchr(from, '\n')) != NULL && i-- > 0) {
        from = lf + 1;
    }
    if (lf != NULL) {
        clb_json_parse(&line, from, (apr_size_t)(lf - from), CLB_JSON_STRICT,
                       &why, pool);
    }
    return line;
}

static const char *text_at(const clb_json_t *value, const char *path)
{
    const clb_json_t *found = clb_json_find(value, path);

    return found == NULL ? NULL : clb_json_text(pool, found);
}

/* --- names --- */

static void names(void)
{
    static const char *const odd[] = {
        "a.b", "a b", "$ref", "wetter-f\xc3\xbcr", "\xe5\xa4\xa9",
        "a_b_0", "a_b_0_", "ToolSearch", "get-weather", "Bash", "mcp__c__x",
        "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
        "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
        "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnm",
        NULL
    };
    clb_chat_t *chat = chat_new(odd);
    const char *seen[32];
    int i, j, same = 0;

    for (i = 0; odd[i] != NULL; i++) {
        const char *name = seen[i] = clb_claude_tool(chat, odd[i], pool);

        ok(strlen(name) <= 64 && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcde"
           "fghijklmnopqrstuvwxyz0123456789_-") == strlen(name),
           "%s is %s", odd[i], name);
        is_str(clb_claude_asked(chat, name, pool), odd[i], "and back");
        for (j = 0; j < i; j++) {
            same += strcmp(seen[j], name) == 0;
        }
    }
    is_int(same, 0, "no two are the same");
    is_str(seen[5], "a_b_0", "a plain name stays");
    is_str(seen[8], "get-weather", "also with a dash");
    is_str(seen[9], "Bash", "or one of the CLI's own");
    is_int((long long)strlen(seen[11]), 64, "or with 64 letters");
    ok(strcmp(seen[7], "ToolSearch") != 0, "but not the one that hides others");
    ok(clb_claude_asked(chat, "zzz", pool) == NULL, "a name nobody gave");
    ok(clb_claude_asked(chat, "a.b", pool) == NULL, "or only the client");
    is_str(clb_claude_tool(CHAT("f"), "gone", pool), "gone",
           "a tool of the past");
    ok(strchr(clb_claude_tool(CHAT("f"), "go.ne", pool), '.') == NULL,
       "also with an odd name");
}

/* --- what the CLI is told --- */

static void initialize(void)
{
    clb_chat_t *chat = CHAT("f");
    clb_json_t *line;
    turn_t turn;

    ask(chat, CLB_ROLE_USER, "q");
    begin(&turn, chat, 0);
    line = clb_json_get(written(&turn, 0), "request");
    is_str(text_at(line, "sdkMcpServers"), q("['c']"), "we have its tools");
    is_str(text_at(line, "hooks"), q("{'PreToolUse':[{'hookCallbackIds':"
           "['defer']}]}"), "and it asks before it uses one");
    is_str(text_at(line, "systemPrompt"), "[]", "no system text for that");
    chat->choice = CLB_CHOICE_NONE;
    begin(&turn, chat, 0);
    line = clb_json_get(written(&turn, 0), "request");
    ok(clb_json_get(line, "sdkMcpServers") == NULL
       && clb_json_get(line, "hooks") == NULL, "unless none may be used");
    ok(clb_claude_choice(chat, pool) == NULL, "which needs no other word");

    call(chat, "1", "f", "{}");
    result(chat, "1", "r");
    begin(&turn, chat, 0);
    line = clb_json_get(written(&turn, 0), "request");
    ok(clb_json_get(line, "sdkMcpServers") != NULL, "but one was");
    is_str(clb_json_text(pool, clb_claude_choice(chat, pool)),
           q("{'type':'none'}"), "then it is forbidden");
}

static void manuals(void)
{
    clb_chat_t *chat = CHAT("f", "a.b");
    char *most = apr_pcalloc(pool, 2002);
    const char *list;
    turn_t turn;

    memset(most, 'x', 2000);
    APR_ARRAY_IDX(chat->tools, 0, clb_tool_t).description = most;
    ok(clb_claude_manual(chat, pool) == NULL, "2000 bytes are not long");
    APR_ARRAY_IDX(chat->tools, 1, clb_tool_t).description =
        apr_pstrcat(pool, most, "y", NULL);
    is_str(clb_claude_manual(chat, pool), apr_pstrcat(pool, "The tool a_b_1: ",
           most, "y", NULL), "longer ones are for the system prompt");
    APR_ARRAY_IDX(chat->tools, 0, clb_tool_t).description =
        apr_pstrcat(pool, "z", most, NULL);
    is_str(clb_claude_manual(chat, pool), apr_pstrcat(pool, "The tool f: z",
           most, "\n\nThe tool a_b_1: ", most, "y", NULL), "all of them");
    chat->system = "Be brief.";
    chat->format = CLB_FORMAT_JSON;
    ask(chat, CLB_ROLE_USER, "q");
    begin(&turn, chat, 0);
    list = text_at(written(&turn, 0), "request.systemPrompt");
    ok(strncmp(list, "[\"Be brief.\",\"The tool f: z", 27) == 0
       && strstr(list, "y\",\"Answer with one JSON object") != NULL,
       "behind the client's, before the word on JSON");
    chat->choice = CLB_CHOICE_NONE;
    ok(clb_claude_manual(chat, pool) == NULL, "nothing of tools it has not");
}

static void choices(void)
{
    static const struct {
        clb_choice_e choice;
        int one_call;
        const char *want;
    } cases[] = {
        { CLB_CHOICE_AUTO, 0, NULL },
        { CLB_CHOICE_AUTO, 1,
          "{'type':'auto','disable_parallel_tool_use':true}" },
        { CLB_CHOICE_REQUIRED, 0, "{'type':'any'}" },
        { CLB_CHOICE_REQUIRED, 1,
          "{'type':'any','disable_parallel_tool_use':true}" },
        { CLB_CHOICE_NAMED, 0, "{'type':'tool','name':'a_b_1'}" },
        { CLB_CHOICE_NAMED, 1, "{'type':'tool','name':'a_b_1',"
          "'disable_parallel_tool_use':true}" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        clb_chat_t *chat = CHAT("f", "a.b");
        const clb_json_t *settings;
        const char *body;
        turn_t turn;

        chat->choice = cases[i].choice;
        chat->chosen = "a.b";
        chat->one_call = cases[i].one_call;
        ask(chat, CLB_ROLE_USER, "q");
        begin(&turn, chat, 0);
        settings = clb_json_find(written(&turn, chat->choice
                                         == CLB_CHOICE_AUTO ? 1 : 2),
                                 "request.settings");
        body = clb_json_string(clb_json_find(settings,
                               "env.CLAUDE_CODE_EXTRA_BODY"));
        is_str(body, cases[i].want == NULL ? NULL : apr_pstrcat(pool,
               "{\"tool_choice\":", q(cases[i].want), "}", NULL),
               "a choice: %s", cases[i].want == NULL ? "none"
               : cases[i].want);
        is_int(clb_json_find(written(&turn, 1),
                             "request.max_thinking_tokens") != NULL,
               cases[i].choice != CLB_CHOICE_AUTO,
               "a forced call excludes thinking");
    }
}

static void structured(void)
{
    clb_chat_t *chat = CHAT("f");
    turn_t turn;

    chat->tools->nelts = 0;
    chat->format = CLB_FORMAT_SCHEMA;
    chat->schema = "{\"type\":\"object\",\"$defs\":{\"b\":1,\"a\":2}}";
    chat->effort = CLB_EFFORT_LOW;
    ask(chat, CLB_ROLE_USER, "q");
    begin(&turn, chat, 0);
    is_str(text_at(written(&turn, 0), "request.systemPrompt"), "[]",
           "a schema needs no words");
    is_str(clb_json_string(clb_json_find(written(&turn, 1),
           "request.settings.env.CLAUDE_CODE_EXTRA_BODY")),
           q("{'output_config':{'format':{'type':'json_schema','schema':"
             "{'type':'object','$defs':{'b':1,'a':2}}}}}"), "as it is");
    is_str(clb_json_string(clb_json_find(written(&turn, 1),
           "request.settings.effortLevel")), "low", "beside the effort");
}

/* --- what it asks --- */

/* Our answer to a message for the MCP server. */
static const char *mcp(clb_chat_t *chat, const char *message)
{
    return text_at(clb_claude_mcp(chat, json(message), pool),
                   "mcp_response");
}

static void handshake(void)
{
    clb_chat_t *chat = CHAT("f", "a.b");

    is_str(mcp(chat, "{'jsonrpc':'2.0','id':0,'method':'initialize','params':"
               "{'protocolVersion':'2030-01-01'}}"),
           q("{'jsonrpc':'2.0','id':0,'result':{'protocolVersion':"
             "'2030-01-01','capabilities':{'tools':{}},'serverInfo':{'name':"
             "'c','version':'1'}}}"), "we speak its protocol");
    is_str(mcp(chat, "{'id':1,'method':'initialize'}"),
           q("{'jsonrpc':'2.0','id':1,'result':{'protocolVersion':"
             "'2025-06-18','capabilities':{'tools':{}},'serverInfo':{'name':"
             "'c','version':'1'}}}"), "or one that is known");
    is_str(mcp(chat, "{'method':'notifications/initialized'}"),
           q("{'jsonrpc':'2.0','id':0,'result':{}}"), "are told of things");
    is_str(mcp(chat, "{'id':7,'method':'ping'}"),
           q("{'jsonrpc':'2.0','id':7,'result':{}}"), "are there");
    is_str(mcp(chat, "{'id':'x','method':'tools/call','params':{'name':"
               "'f'}}"),
           q("{'jsonrpc':'2.0','id':'x','error':{'code':-32601,'message':"
             "'not available'}}"), "but run nothing");
    is_str(mcp(chat, "{'id':8}"), q("{'jsonrpc':'2.0','id':8,'error':"
               "{'code':-32601,'message':'not available'}}"),
           "and answer nonsense");
    APR_ARRAY_IDX(chat->tools, 0, clb_tool_t).description = "does \"f\"";
    is_str(mcp(chat, "{'id':2,'method':'tools/list'}"),
           apr_pstrcat(pool, q("{'jsonrpc':'2.0','id':2,'result':{'tools':"
             "[{'name':'f','description':"), "\"does \\\"f\\\"\"",
             q(",'inputSchema':" SCHEMA "},{'name':'a_b_1','inputSchema':"
               SCHEMA "}]}}"), NULL), "we have the client's tools");
    is_str(mcp(NULL, "{'id':2,'method':'tools/list'}"),
           q("{'jsonrpc':'2.0','id':2,'result':{'tools':[]}}"),
           "none when there is no client");
    APR_ARRAY_IDX(chat->tools, 0, clb_tool_t).description =
        memset(apr_pcalloc(pool, 3001), 'x', 3000);
    ok(strstr(mcp(chat, "{'id':2,'method':'tools/list'}"), "\"description\":"
              "\"The system prompt describes this tool.\"") != NULL,
       "a long description stands elsewhere");
}

/* A schema as it comes to the CLI: it must take every one, or takes none. */
static void schemas(void)
{
    static const struct {
        const char *schema;
        const char *want;
    } cases[] = {
        { "{'$defs':{'b':{},'a':{}},'type':'object','properties':{'z':"
          "{'type':['string','null']},'y':{}},'required':['z']}", NULL },
        { "{'properties':{'a':{}}}",
          "{'properties':{'a':{}},'type':'object'}" },
        { "{'type':null}", "{'type':'object'}" },
        { "{'type':['object','null'],'properties':{}}",
          "{'type':'object','properties':{}}" },
        { "{'type':'object','properties':[]}",
          "{'type':'object','properties':{}}" },
        { "{'type':'object','properties':null}",
          "{'type':'object','properties':{}}" },
        { "{'type':'object','required':null}",
          "{'type':'object','required':[]}" },
        { "{'type':'object'}", NULL },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        clb_chat_t *chat = CHAT("f");
        const clb_json_t *list;

        APR_ARRAY_IDX(chat->tools, 0, clb_tool_t).schema = q(cases[i].schema);
        list = clb_json_find(clb_claude_mcp(chat,
            json("{'id':2,'method':'tools/list'}"), pool),
            "mcp_response.result.tools");
        is_str(text_at(clb_json_at(list, 0), "inputSchema"), q(cases[i].want
               == NULL ? cases[i].schema : cases[i].want), "%s",
               cases[i].schema);
    }
}

#define REQUEST(request) "{'type':'control_request','request_id':'r-1'," \
    "'request':" request "}\n"

static void requests(void)
{
    static const struct {
        const char *line;
        const char *want;
    } cases[] = {
        { REQUEST("{'subtype':'hook_callback','callback_id':'defer','input':"
                  "{'tool_name':'f'}}"),
          "{'subtype':'success','request_id':'r-1','response':"
          "{'hookSpecificOutput':{'hookEventName':'PreToolUse',"
          "'permissionDecision':'defer'}}}" },
        { REQUEST("{'subtype':'mcp_message','server_name':'c','message':"
                  "{'id':3,'method':'ping'}}"),
          "{'subtype':'success','request_id':'r-1','response':"
          "{'mcp_response':{'jsonrpc':'2.0','id':3,'result':{}}}}" },
        { REQUEST("{'subtype':'can_use_tool','tool_name':'Bash'}"),
          "{'subtype':'error','request_id':'r-1','error':'not available'}" },
        { REQUEST("{}"),
          "{'subtype':'error','request_id':'r-1','error':'not available'}" },
        { REQUEST("{'subtype':'mcp_message'}"),
          "{'subtype':'success','request_id':'r-1','response':"
          "{'mcp_response':{'jsonrpc':'2.0','id':0,'error':{'code':-32601,"
          "'message':'not available'}}}}" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        clb_chat_t *chat = CHAT("f");
        turn_t turn;

        ask(chat, CLB_ROLE_USER, "q");
        begin(&turn, chat, 0);
        turn_print(&turn, q(cases[i].line));
        is_str(text_at(written(&turn, 2), "response"), q(cases[i].want),
               "what it asks for is answered: %d", (int)i);
    }
}

/* --- what it says --- */

#define EVENT(event) "{'type':'stream_event','event':{'type':" event \
    "},'parent_tool_use_id':null}\n"
#define START EVENT("'message_start','message':{'usage':{'input_tokens':9}}")
#define BLOCK(id, name) EVENT("'content_block_start','index':0," \
    "'content_block':{'type':'tool_use','id':'" id "','name':'" name \
    "','input':{}}")
#define PIECE(text) EVENT("'content_block_delta','delta':{'type':" \
    "'input_json_delta','partial_json':'" text "'}")
#define SAY(text) EVENT("'content_block_start','index':0,'content_block':" \
    "{'type':'text','text':''}") EVENT("'content_block_delta','delta':" \
    "{'type':'text_delta','text':'" text "'}")
#define DELTA(reason) EVENT("'message_delta','delta':{'stop_reason':'" reason \
    "'},'usage':{'output_tokens':5}")
#define STOP EVENT("'message_stop'")
#define INIT(tools) "{'type':'system','subtype':'init','tools':[" tools "]}\n"
#define DEFERRED "{'type':'result','subtype':'success','is_error':false," \
    "'result':'','stop_reason':'tool_deferred'}\n"
#define USAGE " usage 9+0+0/5/0 stop "

static turn_t *asked(turn_t *turn, const char *lines)
{
    clb_chat_t *chat = CHAT("f", "a.b");

    ask(chat, CLB_ROLE_USER, "q");
    begin(turn, chat, 0);
    turn_print(turn, q(lines));
    return turn;
}

static void answers(void)
{
    static const struct {
        const char *lines;
        const char *want;
        const char *what;
    } cases[] = {
        { START BLOCK("t1", "f") PIECE("") PIECE("{}") DELTA("tool_use") STOP,
          "start call t1 f {{}}" USAGE "calls -> park", "a call" },
        { START SAY("so") BLOCK("t1", "f") PIECE("{") PIECE("}")
          BLOCK("t2", "a_b_1") DELTA("tool_use") STOP,
          "start [so] call t1 f {{} {}} call t2 a.b" USAGE "calls -> park",
          "two, of which one has the client's odd name" },
        { START BLOCK("t1", "f") SAY("after") DELTA("tool_use") STOP,
          "start call t1 f [after]" USAGE "calls -> park",
          "a text behind a call" },
        { START BLOCK("t1", "Bash") PIECE("{}") DELTA("tool_use") STOP,
          "start call t1 Bash {{}}" USAGE "calls -> kill",
          "one of a tool that the model made up" },
        { START BLOCK("t1", "f") PIECE("{}") BLOCK("t2", "a.b")
          DELTA("tool_use") STOP, "start call t1 f {{}} call t2 a.b" USAGE
          "calls -> kill", "or that is not its name" },
        { START BLOCK("t1", "f") PIECE("{") DELTA("max_tokens"),
          "start call t1 f {{}" USAGE "length -> kill",
          "one that was cut off" },
        { START SAY("x") PIECE("{}") DELTA("end_turn") STOP,
          "start [x]" USAGE "end -> park", "arguments of nothing" },
        { START EVENT("'content_block_start','content_block':{'type':"
          "'tool_use','name':'f'}") PIECE("{}") DELTA("end_turn") STOP,
          "start" USAGE "end -> kill", "a call without an id" },
        { START EVENT("'content_block_start','content_block':{'type':"
          "'server_tool_use','id':'s','name':'f'}") PIECE("{}")
          DELTA("end_turn") STOP, "start" USAGE "end -> kill",
          "one that is the vendor's" },
    };
    turn_t turn;
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        is_str(turn_said(asked(&turn, cases[i].lines)), cases[i].want, "%s",
               cases[i].what);
    }
    asked(&turn, cases[3].lines);
    is_str(text_at(written(&turn, 2), "request.subtype"), "\"interrupt\"",
           "whose process must not answer the model itself");
    asked(&turn, cases[0].lines);
    turn.chat = NULL;
    turn_print(&turn, q(REQUEST("{'subtype':'hook_callback'}")));
    is_str(text_at(written(&turn, 2),
                   "response.response.hookSpecificOutput.permissionDecision"),
           "\"defer\"", "the hook is answered after the answer, too");
    turn_print(&turn, q(DEFERRED));
    is_int(turn.fate, CLB_FATE_CLEAN, "then the process can go on");
}

/* --- tools of the CLI's own --- */

#define OWN START BLOCK("o1", "WebSearch") PIECE("{}") DELTA("tool_use") STOP
#define HOOK(name) REQUEST("{'subtype':'hook_callback','input':" \
    "{'tool_name':'" name "'}}")

static turn_t *with_own(turn_t *turn, const char *lines)
{
    clb_chat_t *chat = CHAT("f", "WebFetch");
    apr_array_header_t *own = apr_array_make(pool, 2, sizeof(char *));

    APR_ARRAY_PUSH(own, const char *) = "WebFetch";
    APR_ARRAY_PUSH(own, const char *) = "WebSearch";
    chat->own = own;
    ask(chat, CLB_ROLE_USER, "q");
    begin(turn, chat, 0);
    turn_print(turn, q(lines));
    return turn;
}

#define DONE "{'type':'result','subtype':'success','is_error':false}\n"
#define COUNT(in, cached, out) "{'inputTokens':" in ",'outputTokens':" out \
    ",'cacheReadInputTokens':" cached ",'cacheCreationInputTokens':1}"
#define RESULT(models) "{'type':'result','subtype':'success','is_error':" \
    "false,'result':'a','modelUsage':" models "}\n"
#define FOUND START SAY("a") DELTA("end_turn") STOP

/* Requests that its own tools make are told of in the result alone, which
 * counts those of the process from its beginning. */
static void own_requests(void)
{
    turn_t turn;

    is_str(turn_said(with_own(&turn, OWN FOUND)), "start (WebSearch) [a] -> -",
           "after the use of its own tools the end is not told");
    turn_print(&turn, q(RESULT("{'claude-x':" COUNT("30", "4", "20")
               ",'claude-haiku':" COUNT("7", "0", "3") "}")));
    is_str(turn_said(&turn), "start (WebSearch) [a] usage 37+4+2/23/0 stop "
           "end -> clean", "before all of it can be counted");

    turn_next(&turn);
    ask(turn.chat, CLB_ROLE_ASSISTANT, "a");
    ask(turn.chat, CLB_ROLE_USER, "r");
    turn.chat->turns = NULL;
    turn.known = 2;
    turn_input(&turn, CLB_IN_CHAT, NULL, 0, 0);
    turn_print(&turn, q(START SAY("b") DELTA("end_turn") STOP));
    is_str(turn_said(&turn), "start [b]" USAGE "end -> park",
           "a turn without them waits for nothing");
    turn_print(&turn, q(RESULT("{'claude-x':" COUNT("39", "4", "25")
               ",'claude-haiku':" COUNT("7", "0", "3") "}")));
    is_int(turn.fate, CLB_FATE_CLEAN, "and can go on");

    turn_next(&turn);
    ask(turn.chat, CLB_ROLE_ASSISTANT, "b");
    ask(turn.chat, CLB_ROLE_USER, "s");
    turn.chat->turns = NULL;
    turn.known = 4;
    turn_input(&turn, CLB_IN_CHAT, NULL, 0, 0);
    turn_print(&turn, q(OWN FOUND RESULT("{'claude-x':" COUNT("60", "4", "35")
               ",'claude-haiku':" COUNT("9", "0", "4") "}")));
    is_str(turn_said(&turn), "start (WebSearch) [a] usage 23+0+0/11/0 stop "
           "end -> clean", "what was told before is not told again");

    is_str(turn_said(with_own(&turn, OWN FOUND RESULT("null"))),
           "start (WebSearch) [a] usage 18+0+0/10/0 stop end -> clean",
           "a result that counts nothing");
    is_str(turn_said(with_own(&turn, OWN FOUND RESULT("{'m':7}"))),
           "start (WebSearch) [a] usage 18+0+0/10/0 stop end -> clean",
           "or by other names");
    is_str(turn_said(with_own(&turn, OWN FOUND "{'type':'result','is_error':"
           "true}\n")), "start (WebSearch) [a] usage 18+0+0/10/0 stop end -> "
           "end", "an error behind the answer");
}

static void own_tools(void)
{
    static const struct {
        const char *lines;
        const char *want;
        const char *what;
    } cases[] = {
        { OWN, "start (WebSearch) -> -", "the CLI's own call is no call" },
        { OWN START SAY("found") DELTA("end_turn") STOP DONE,
          "start (WebSearch) [found] usage 18+0+0/10/0 stop end -> clean",
          "the answer comes with the next message" },
        { START SAY("Let me see.") BLOCK("o1", "WebFetch") DELTA("tool_use")
          STOP START SAY("It is so.") DELTA("end_turn") STOP DONE,
          "start [Let me see.] (WebFetch) [\n\n] [It is so.] "
          "usage 18+0+0/10/0 stop end -> clean",
          "texts of two messages are apart" },
        { OWN START BLOCK("t1", "f") PIECE("{}") DELTA("tool_use") STOP
          DEFERRED, "start (WebSearch) call t1 f {{}} usage 18+0+0/10/0 "
          "stop calls -> clean", "then a call of the client's" },
        { START BLOCK("t1", "f") BLOCK("o1", "WebSearch") DELTA("tool_use")
          STOP, "start call t1 f (WebSearch)" USAGE "calls -> kill",
          "both at once: the client's turn it is" },
        { START BLOCK("t1", "WebFetch_1") DELTA("tool_use") STOP,
          "start call t1 WebFetch" USAGE "calls -> park",
          "the client's tool of that name has another one" },
        { OWN START SAY("a") DELTA("end_turn") STOP START,
          "start (WebSearch) [a] usage 18+0+0/10/0 stop end -> kill",
          "no message without a call before it" },
        { INIT("'WebFetch','WebSearch','f','WebFetch_1'"), "-> -",
          "its own tools are not the client's" },
        { INIT("'WebFetch','WebSearch','f'"), "bad_request: the CLI does not "
          "take these tools, or the schema of one of them: WebFetch -> kill",
          "nor do they make up for lost ones" },
    };
    turn_t turn;
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        is_str(turn_said(with_own(&turn, cases[i].lines)), cases[i].want,
               "%s", cases[i].what);
    }
    with_own(&turn, HOOK("WebSearch") HOOK("f") HOOK("Bash"));
    for (i = 0; i < 3; i++) {
        is_str(text_at(written(&turn, 2 + (int)i),
               "response.response.hookSpecificOutput.permissionDecision"),
               i == 0 ? "\"allow\"" : "\"defer\"",
               "its own tools are allowed, no others: %d", (int)i);
    }
}

static void lost_tools(void)
{
    static const struct {
        const char *tools;
        const char *want;
    } cases[] = {
        { "'a_b_1','f'", "-> -" },
        { "'f','a_b_1','more'", "-> -" },
        { "'f','Task'", "-> -" },
        { "'f'", "bad_request: the CLI does not take these tools, or the "
          "schema of one of them: a.b -> kill" },
        { "", "bad_request: the CLI does not take these tools, or the schema "
          "of one of them: f, a.b -> kill" },
        { "7", "bad_request: the CLI does not take these tools, or the schema "
          "of one of them: f, a.b -> kill" },
    };
    clb_chat_t *chat;
    apr_size_t i;
    turn_t turn;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        is_str(turn_said(asked(&turn, apr_pstrcat(pool, "{'type':'system',"
               "'subtype':'init','tools':[", cases[i].tools, "]}\n", NULL))),
               cases[i].want, "the CLI has %s", cases[i].tools);
    }
    is_str(text_at(written(&turn, 2), "request.subtype"), "\"interrupt\"",
           "the model is not asked");
    chat = CHAT("1", "2", "3", "4", "5", "6", "7", "8");
    ask(chat, CLB_ROLE_USER, "q");
    is_str(clb_claude_lost(chat, json("[]"), pool), "1, 2, 3, 4, 5, ...",
           "not all are named");
    chat->choice = CLB_CHOICE_NONE;
    ok(clb_claude_lost(chat, json("[]"), pool) == NULL,
       "those it was not told of are not missed");
}

/* --- history --- */

#define ACK "{'type':'result','subtype':'success','is_error':false," \
    "'num_turns':0,'result':''}\n"

static const char *content(const turn_t *turn, int line)
{
    return text_at(written(turn, line), "message.content");
}

static void replayed(void)
{
    clb_chat_t *chat = CHAT("f", "a.b");
    turn_t turn;

    ask(chat, CLB_ROLE_USER, "q");
    ask(chat, CLB_ROLE_ASSISTANT, "so");
    call(chat, "x y\n", "a.b", "{'a':[1.5],'b':null}");
    call(chat, "z", "f", "{}");
    result(chat, "z", "zz");
    result(chat, "x y\n", "xx");
    ask(chat, CLB_ROLE_USER, "and");
    begin(&turn, chat, 0);
    turn_print(&turn, q(ACK));
    is_str(content(&turn, 2),
           q("[{'type':'text','text':'so'},{'type':'tool_use','id':"
             "'toolu_h1_0','name':'a_b_1','input':{'a':[1.5],'b':null}},"
             "{'type':'tool_use','id':'toolu_h1_1','name':'f','input':{}}]"),
           "calls of the past have ids of ours and the CLI's names");
    is_str(content(&turn, 3),
           q("[{'type':'tool_result','tool_use_id':'toolu_h1_1','content':"
             "[{'type':'text','text':'zz'}]},{'type':'tool_result',"
             "'tool_use_id':'toolu_h1_0','content':[{'type':'text','text':"
             "'xx'}]},{'type':'text','text':'and'},{'type':'text','text':"
             "''}]"), "and so have their results, as they came");
}

static void twice_the_id(void)
{
    clb_chat_t *chat = CHAT("f");
    turn_t turn;
    int i;

    ask(chat, CLB_ROLE_USER, "q");
    for (i = 0; i < 2; i++) {
        call(chat, "same", "f", "{}");
        result(chat, "same", i == 0 ? "one" : "two");
    }
    begin(&turn, chat, 0);
    turn_print(&turn, q(ACK ACK));
    ok(strstr(content(&turn, 3), "toolu_h1_0") != NULL
       && strstr(content(&turn, 5), "toolu_h3_0") != NULL,
       "calls of two turns are two, even if the client's ids are one");
}

static void continued(void)
{
    clb_chat_t *chat = CHAT("f");
    clb_part_t *part;
    clb_message_t *list;
    turn_t turn;

    ask(chat, CLB_ROLE_USER, "q");
    call(chat, "toolu_01", "f", "{}");
    list = result(chat, "toolu_01", "r");
    part = clb_chat_part(list, CLB_PART_IMAGE, NULL);
    part->media = "image/png";
    part->data = "AAAA";
    begin(&turn, chat, 2);
    is_str(content(&turn, 0),
           q("[{'type':'tool_result','tool_use_id':'toolu_01','content':"
             "[{'type':'text','text':'r'},{'type':'image','source':{'type':"
             "'base64','media_type':'image/png','data':'AAAA'}}]},{'type':"
             "'text','text':''}]"),
           "a conversation that goes on has the model's own ids");
    ok(written(&turn, 1) == NULL, "and nothing else is written");
    turn_print(&turn, q(INIT("'f'") START SAY("x") DELTA("end_turn") STOP));
    is_str(turn_said(&turn), "start [x]" USAGE "end -> park",
           "it is answered");
}

static void media(void)
{
    clb_chat_t *chat = CHAT("f");
    clb_message_t *message;
    clb_part_t *part;
    turn_t turn;

    chat->tools->nelts = 0;
    message = clb_chat_message(chat, CLB_ROLE_USER);
    clb_chat_part(message, CLB_PART_TEXT, "/help");
    part = clb_chat_part(message, CLB_PART_IMAGE, NULL);
    part->url = "https://x.org/a.png";
    part = clb_chat_part(message, CLB_PART_DOCUMENT, NULL);
    part->media = "application/pdf";
    part->data = "JVBERi0=";
    part->name = "a.pdf";
    part = clb_chat_part(message, CLB_PART_DOCUMENT, "/text");
    part->media = "text/plain";
    part = clb_chat_part(message, CLB_PART_IMAGE, NULL);
    part->media = "image/webp";
    part->data = "AAAA";
    begin(&turn, chat, 0);
    is_str(content(&turn, 1),
           q("[{'type':'text','text':'/help'},"
             "{'type':'image','source':{'type':'url','url':"
             "'https://x.org/a.png'}},"
             "{'type':'document','source':{'type':'base64','media_type':"
             "'application/pdf','data':'JVBERi0='},'title':'a.pdf'},"
             "{'type':'document','source':{'type':'text','media_type':"
             "'text/plain','data':'/text'}},"
             "{'type':'image','source':{'type':'base64','media_type':"
             "'image/webp','data':'AAAA'}},{'type':'text','text':''}]"),
           "images and files stand where they stood");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    names();
    initialize();
    manuals();
    choices();
    structured();
    handshake();
    schemas();
    requests();
    answers();
    own_tools();
    own_requests();
    lost_tools();
    replayed();
    twice_the_id();
    continued();
    media();
    return tap_done();
}
