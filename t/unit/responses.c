/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of Responses: what is taken, what is refused and how that is said,
 * what of it an answer repeats. */
#include "tap.h"

#include "../../src/api/dialect.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

static apr_pool_t *pool;
static clb_error_t error;

/* JSON written with single quotes, to spare the backslashes. */
static const char *q(const char *text)
{
    char *copy = apr_pstrdup(pool, text), *c;

    for (c = copy; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    return copy;
}

/* The chat in a body; NULL, and `error` set, if it is refused. */
static clb_chat_t *parse_as(const clb_dialect_t *dialect, const char *text)
{
    clb_chat_t *chat = clb_chat_create(pool);
    clb_json_t *body;
    const char *why;

    memset(&error, 0, sizeof(error));
    if (clb_json_parse(&body, q(text), strlen(text), CLB_JSON_STRICT, &why,
                       pool) != APR_SUCCESS) {
        diag("%s: %s", text, why);
        return NULL;
    }
    return dialect->parse(chat, body, &error) == APR_SUCCESS ? chat : NULL;
}

static clb_chat_t *parse(const char *text)
{
    return parse_as(&clb_openai_responses, text);
}

/* A body with the fields @a more. */
static const char *body(const char *more)
{
    return apr_pstrcat(pool, "{'input':'q'", *more == '\0' ? "" : ",", more,
                       "}", NULL);
}

static const char *input(const char *items)
{
    return apr_pstrcat(pool, "{'input':[", items, "]}", NULL);
}

static void is_refused(const char *text, clb_error_e kind, const char *param)
{
    clb_chat_t *chat = parse(text);

    if (!ok(chat == NULL && error.message != NULL, "not %.300s", text)) {
        return;
    }
    is_str(clb_error_info(error.kind)->name, clb_error_info(kind)->name,
           "it is the right error");
    is_str(error.param, param, "with its parameter");
    ok(strstr(error.message, param) != NULL, "named in: %s", error.message);
}

#define FUNCTION(name) "{'type':'function','name':'" name "'}"

/* --- fields --- */

/* What is taken, and what is asked by it, as CLIBridgeUnsupported would tell. */
static void taken(void)
{
    static const struct {
        const char *text;
        const char *given;
    } fields[] = {
        { "", NULL }, { "'no_such_field':{'a':[1]}", NULL },
        { "'model':'m','stream':true,'stream_options':{'include_obfuscation':"
          "false}", NULL },
        { "'instructions':null,'tools':null,'text':null,'reasoning':null,"
          "'include':null,'metadata':null,'previous_response_id':null", NULL },
        { "'instructions':'s'", NULL },
        { "'temperature':1", NULL }, { "'temperature':1.5", "temperature" },
        { "'top_p':0.9", "top_p" },
        { "'max_output_tokens':1", "max_output_tokens" },
        { "'stop':'END'", NULL },
        { "'reasoning':{}", NULL },
        { "'reasoning':{'effort':'xhigh','summary':'auto'}",
          "reasoning.effort" },
        { "'reasoning':{'effort':null,'summary':'detailed','context':'auto'}",
          NULL },
        { "'reasoning':{'generate_summary':'concise'}", NULL },
        { "'include':['reasoning.encrypted_content','web_search_call.results']"
          , NULL },
        { "'metadata':{'a':'b'},'safety_identifier':'s','user':'u',"
          "'prompt_cache_key':'k','prompt_cache_retention':'24h',"
          "'client_metadata':{'a':'b'},'max_tool_calls':3", NULL },
        { "'truncation':'disabled'", NULL },
        { "'truncation':'auto'", "truncation" },
        { "'store':false,'background':false", NULL },
        { "'store':true", "store" },
        { "'service_tier':'auto'", NULL },
        { "'service_tier':'flex'", "service_tier" },
        { "'presence_penalty':0,'frequency_penalty':0,'top_logprobs':0", NULL },
        { "'presence_penalty':0.5", "presence_penalty" },
        { "'text':{}", NULL }, { "'text':{'verbosity':'medium'}", NULL },
        { "'text':{'verbosity':'low','format':{'type':'text'}}",
          "text.verbosity" },
        { "'tool_choice':'auto','parallel_tool_calls':true", NULL },
        { "'tools':[],'tool_choice':'none'", NULL },
        { "'tools':[" FUNCTION("f") "],'tool_choice':'required'",
          "tool_choice" },
        { "'tools':[{'type':'web_search'},{'type':'local_shell'},"
          FUNCTION("f") ",{'type':'mcp','server_label':'x'}]",
          "tools[0], tools[1], tools[3]" },
        { "'tools':[{'type':'namespace','name':'n','tools':["
          "{'type':'web_search'},{'type':'namespace'}," FUNCTION("f") "]}]",
          "tools[0].tools[0], tools[0].tools[1]" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        const clb_chat_t *chat = parse(body(fields[i].text));

        if (ok(chat != NULL, "%s", fields[i].text)) {
            is_str(clb_chat_ignored(chat, 0), fields[i].given,
                   "it asks for %s", fields[i].given == NULL ? "nothing"
                   : fields[i].given);
        }
        else {
            diag("%s", error.message);
        }
    }
}

static void refused(void)
{
    static const struct {
        const char *field;
        const char *param;
    } bad[] = {
        { "'model':7", "model" }, { "'instructions':[]", "instructions" },
        { "'temperature':2.1", "temperature" },
        { "'temperature':'1'", "temperature" },
        { "'max_output_tokens':0", "max_output_tokens" },
        { "'stream':1", "stream" }, { "'stream_options':1", "stream_options" },
        { "'reasoning':'low'", "reasoning" },
        { "'reasoning':{'effort':'much'}", "reasoning.effort" },
        { "'reasoning':{'summary':'yes'}", "reasoning.summary" },
        { "'reasoning':{'generate_summary':1}", "reasoning.generate_summary" },
        { "'include':'x'", "include" }, { "'include':[1]", "include" },
        { "'metadata':[]", "metadata" },
        { "'safety_identifier':1", "safety_identifier" },
        { "'prompt_cache_key':1", "prompt_cache_key" },
        { "'service_tier':1", "service_tier" },
        { "'presence_penalty':'1'", "presence_penalty" },
        { "'max_tool_calls':0", "max_tool_calls" },
        { "'truncation':'on'", "truncation" },
        { "'previous_response_id':1", "previous_response_id" },
        { "'background':true", "background" },
        { "'background':1", "background" }, { "'store':1", "store" },
        { "'text':'x'", "text" }, { "'text':{'format':'x'}", "text.format" },
        { "'text':{'format':{'type':'grammar'}}", "text.format" },
        { "'text':{'format':{'type':'json_schema','name':'n'}}",
          "text.format" },
        { "'text':{'verbosity':'chatty'}", "text.verbosity" },
        { "'tools':{}", "tools" }, { "'tools':['x']", "tools[0]" },
        { "'tools':[{'name':'f'}]", "tools[0]" },
        { "'tools':[{'type':'function'}]", "tools[0]" },
        { "'tools':[" FUNCTION("f") "," FUNCTION("f") "]", "tools[1]" },
        { "'tools':[{'type':'namespace','tools':[]}]", "tools[0]" },
        { "'tools':[{'type':'namespace','name':'n'}]", "tools[0].tools" },
        { "'tools':[{'type':'namespace','name':'n','tools':[{'type':"
          "'function'}]}]", "tools[0].tools[0]" },
        { "'tools':[{'type':'namespace','name':'n','tools':[" FUNCTION("f")
          "," FUNCTION("f") "]}]", "tools[0].tools[1]" },
        { "'tool_choice':'required'", "tool_choice" },
        { "'tool_choice':{'type':'web_search'},'tools':[{'type':"
          "'web_search'}]", "tool_choice" },
        { "'tools':[" FUNCTION("f") "],'tool_choice':{'type':'function',"
          "'name':'g'}", "tool_choice" },
        { "'parallel_tool_calls':1", "parallel_tool_calls" },
    };
    static const struct {
        const char *field;
        const char *param;
    } unsupported[] = {
        { "'conversation':'conv_1'", "conversation" },
        { "'prompt':{'id':'pmpt_1'}", "prompt" },
        { "'top_logprobs':3", "top_logprobs" },
        { "'include':['message.output_text.logprobs']", "include" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        is_refused(body(bad[i].field), CLB_BAD_REQUEST, bad[i].param);
    }
    for (i = 0; i < sizeof(unsupported) / sizeof(*unsupported); i++) {
        is_refused(body(unsupported[i].field), CLB_UNSUPPORTED,
                   unsupported[i].param);
    }
    is_refused("{}", CLB_BAD_REQUEST, "input");
    is_refused("{'input':[]}", CLB_BAD_REQUEST, "input");
    is_refused("{'input':7}", CLB_BAD_REQUEST, "input");
    is_refused("{'messages':[{'role':'user','content':'q'}]}",
               CLB_BAD_REQUEST, "input");
}

static void values(void)
{
    const clb_chat_t *chat = parse(body("'model':'m','temperature':0.5,"
        "'max_output_tokens':7,'reasoning':{'effort':'low','summary':'auto'},"
        "'include':['reasoning.encrypted_content'],'parallel_tool_calls':"
        "false,'text':{'format':{'type':'json_schema','name':'n','schema':"
        "{'type':'object'}}},'instructions':'s'"));

    if (!ok(chat != NULL, "many fields at once")) {
        return;
    }
    is_str(chat->asked, "m", "the model");
    is_int((long long)(chat->temperature * 10), 5, "temperature");
    is_int(chat->max_tokens, 7, "max_output_tokens");
    is_str(clb_effort_name(chat->effort), "low", "effort");
    is_str(chat->display, "summarized", "a summary is asked for");
    is_int(chat->signatures, 1, "encrypted_content");
    is_int(chat->one_call, 1, "one call");
    is_str(chat->schema, q("{'type':'object'}"), "a schema");
    is_str(chat->format_name, "text.format", "and who asked for it");
    is_str(chat->system, "s", "instructions");
    chat = parse(body("'text':{'format':{'type':'json_object'}}"));
    is_int(chat->format, CLB_FORMAT_JSON, "json_object");
    is_int(chat->signatures, 0, "no encrypted_content unless asked for");
    is_str(clb_chat_need_field(chat, CLB_NEED_IMAGES), "input",
           "what the conversation is called");
}

static const char *tools_of(const clb_chat_t *chat)
{
    const char *out = "";
    int i;

    if (chat == NULL) {
        return error.message;
    }
    for (i = 0; i < chat->tools->nelts; i++) {
        const clb_tool_t *tool = &APR_ARRAY_IDX(chat->tools, i, clb_tool_t);

        out = apr_pstrcat(pool, out, *out == '\0' ? "" : " ", tool->name,
                          tool->custom ? "*" : "", tool->space == NULL ? ""
                          : "@", tool->space == NULL ? "" : tool->space, "/",
                          tool->description == NULL ? "" : tool->description,
                          NULL);
    }
    return out;
}

static void tools(void)
{
    is_str(tools_of(parse(body("'tools':[" FUNCTION("f") ",{'type':'custom',"
           "'name':'patch','description':'d','format':{'type':'grammar'}},"
           "{'type':'namespace','name':'n','description':'x','tools':["
           "{'type':'function','name':'f','description':'e','strict':false,"
           "'parameters':{'type':'object'}},{'type':'custom','name':'g'}]}]"))),
           "f/ patch*/d n.f@n/e n.g*@n/", "functions, custom ones, groups");
    is_str(tools_of(parse(body("'tools':[{'type':'function','function':{"
           "'name':'f','description':'d'}}]"))), "f/d", "as in chat "
           "completions");
    is_str(tools_of(parse("{'tools':[" FUNCTION("f") "],'input':[{'type':"
           "'additional_tools','role':'developer','tools':[" FUNCTION("g")
           "]},{'role':'user','content':'q'}],'tool_choice':{'type':"
           "'function','name':'g'}}")), "g/ f/", "tools inside of the input");
    is_refused("{'input':[{'type':'additional_tools'}]}", CLB_BAD_REQUEST,
               "input[0].tools");
    is_str(tools_of(parse(body("'tools':[" FUNCTION("f") "," FUNCTION("g")
           "],'tool_choice':{'type':'allowed_tools','mode':'auto','tools':["
           "{'type':'function','name':'g'}]}"))), "g/", "allowed_tools");
}

/* --- input --- */

static const char *parts_told(const apr_array_header_t *parts);

static const char *part_told(const clb_part_t *part)
{
    switch (part->kind) {
    case CLB_PART_TEXT:
        return part->text;
    case CLB_PART_REASONING:
        return apr_pstrcat(pool, "<", part->text, "/", part->signature == NULL
                           ? "" : part->signature, "/", part->data == NULL
                           ? "" : part->data, ">", NULL);
    case CLB_PART_CALL:
        return apr_pstrcat(pool, part->name, "#", part->id, part->text, NULL);
    case CLB_PART_RESULT:
        return apr_pstrcat(pool, "#", part->id, "=(",
                           parts_told(part->parts), ")", NULL);
    default:
        return apr_pstrcat(pool, part->media == NULL ? "link" : part->media,
                           ":", part->url != NULL ? part->url : "data", NULL);
    }
}

static const char *parts_told(const apr_array_header_t *parts)
{
    const char *out = "";
    int i;

    for (i = 0; i < parts->nelts; i++) {
        out = apr_pstrcat(pool, out, i > 0 ? "," : "",
                          part_told(&APR_ARRAY_IDX(parts, i, clb_part_t)),
                          NULL);
    }
    return out;
}

/* The conversation: S:… U:… A:… */
static const char *told(const clb_chat_t *chat)
{
    const char *out;
    int i;

    if (chat == NULL) {
        return error.message;
    }
    out = chat->system == NULL ? ""
        : apr_pstrcat(pool, "S:", chat->system, " ", NULL);
    for (i = 0; i < chat->messages->nelts; i++) {
        const clb_message_t *message = &APR_ARRAY_IDX(chat->messages, i,
                                                      clb_message_t);

        out = apr_pstrcat(pool, out, i > 0 ? " " : "",
                          message->role == CLB_ROLE_USER ? "U:" : "A:",
                          parts_told(message->parts), NULL);
    }
    return out;
}

#define PNG "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA"
#define IN(role, content) "{'type':'message','role':'" role "','content':" \
    content "}"
#define USER(content) "{'role':'user','content':" content "}"
#define TEXT(text) "{'type':'input_text','text':'" text "'}"
#define SAID(text) IN("assistant", "[{'type':'output_text','text':'" text \
    "','annotations':[]}]")
#define CALL(id, name, arguments) "{'type':'function_call','id':'fc_" id \
    "','call_id':'" id "','name':'" name "','arguments':'" arguments "'}"
#define OUTPUT(id, output) "{'type':'function_call_output','call_id':'" id \
    "','output':" output "}"
#define THOUGHT(text, sealed) "{'type':'reasoning','id':'rs_1','summary':[" \
    text "],'encrypted_content':" sealed "}"
#define SUMMARY(text) "{'type':'summary_text','text':'" text "'}"

static void conversations(void)
{
    static const struct {
        const char *items;
        const char *want;
    } cases[] = {
        { USER("'a'"), "U:a" }, { USER("[" TEXT("a") "," TEXT("b") "]"),
          "U:a,b" },
        { USER("[]"), "U:" },
        { IN("user", "'a'") "," IN("system", "'s'") "," IN("developer", "["
          TEXT("t") "]") "," IN("user", "'b'"), "S:s\n\nt U:a U:b" },
        { USER("[" TEXT("a") ",{'type':'input_image','image_url':'" PNG "',"
          "'detail':'auto'},{'type':'input_image','image_url':"
          "'https://a/b.png'},{'type':'input_file','filename':'x','file_data':"
          "'data:application/pdf;base64,JVBERi0='},{'type':'input_file',"
          "'file_url':'https://a/b.pdf'}]"), "U:a,image/png:data,"
          "link:https://a/b.png,application/pdf:data,link:https://a/b.pdf" },
        { USER("'a'") "," SAID("b") "," SAID("c") "," USER("'d'"),
          "U:a A:b,c U:d" },
        { USER("'a'") "," IN("assistant", "[{'type':'refusal','refusal':"
          "'no'}]") "," USER("'b'"), "U:a A:no U:b" },
        { USER("'a'") "," THOUGHT(SUMMARY("hm"), "'clb-signed.c2ln'") ","
          THOUGHT("", "'clb-hidden.eHg='") "," SAID("b") "," CALL("1", "f",
          "{}") "," CALL("2", "g", "") "," OUTPUT("2", "'two'") ","
          OUTPUT("1", "[" TEXT("o") ",{'type':'input_image','image_url':'" PNG
          "'}]") "," USER("'go on'"), "U:a A:<hm/c2ln/>,<//eHg=>,b,f#1{},g#2{} "
          "U:#2=(two) U:#1=(o,image/png:data) U:go on" },
        { CALL("1", "f", "{}") "," OUTPUT("1", "null") "," CALL("1", "f", "no")
          "," OUTPUT("1", "''"), "A:f#1{} U:#1=() A:f#1{\"arguments\":\"no\"} "
          "U:#1=()" },
        { USER("'a'") "," THOUGHT(SUMMARY("one") "," SUMMARY("two"),
          "'b3BhcXVl'") "," THOUGHT("", "null") "," THOUGHT("",
          "'clb-signed.'") "," SAID("b") "," USER("'c'"),
          "U:a A:<one\n\ntwo//>,<//>,<//>,b U:c" },
        { "{'type':'custom_tool_call','call_id':'1','name':'p','input':'x'},"
          "{'type':'custom_tool_call_output','call_id':'1','output':'done'}",
          "A:p#1{\"input\":\"x\"} U:#1=(done)" },
        { "{'type':'function_call','call_id':'1','namespace':'n','name':'f',"
          "'arguments':'{}'}," OUTPUT("1", "'r'"), "A:n.f#1{} U:#1=(r)" },
        { "{'type':'local_shell_call','call_id':'1','action':{'command':"
          "['ls']}}," OUTPUT("1", "'r'"),
          "A:local_shell#1{\"command\":[\"ls\"]} U:#1=(r)" },
        { USER("'a'") ",{'type':'web_search_call','id':'ws_1','status':"
          "'completed'}," SAID("b") "," USER("'c'"), "U:a A:b U:c" },
    };
    const clb_chat_t *chat;
    apr_size_t i;

    is_str(told(parse("{'input':'hi'}")), "U:hi", "a text");
    is_str(told(parse("{'input':'hi','instructions':'s'}")), "S:s U:hi",
           "with instructions");
    is_str(told(parse("{'instructions':'s','input':[" IN("developer", "'t'")
                      "," USER("'a'") "]}")), "S:s\n\nt U:a",
           "which come first");
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        is_str(told(parse(input(cases[i].items))), cases[i].want, "%.300s",
               cases[i].items);
    }
    chat = parse(input(USER("'a'") ",{'type':'web_search_call'},"
                       "{'type':'mcp_call'}," USER("'b'")));
    is_str(chat == NULL ? NULL : clb_chat_ignored(chat, 0),
           "input[1], input[2]", "what only the vendor knows is told");
}

static void bad_conversations(void)
{
    static const struct {
        const char *items;
        const char *param;
    } bad[] = {
        { "'x'", "input[0]" }, { USER("'a'") ",7", "input[1]" },
        { "{'content':'a'}", "input[0].role" },
        { IN("tool", "'a'"), "input[0].role" },
        { USER("7"), "input[0].content" },
        { USER("[{'text':'a'}]"), "input[0].content[0]" },
        { USER("[{'type':'input_text'}]"), "input[0].content[0]" },
        { USER("[{'type':'input_image','image_url':'data:x'}]"),
          "input[0].content[0]" },
        { USER("[{'type':'input_image','file_id':'f'}]"),
          "input[0].content[0]" },
        { IN("system", "[{'type':'input_image','image_url':'" PNG "'}]"),
          "input[0].content[0]" },
        { "{'type':'function_call','name':'f','arguments':'{}'}", "input[0]" },
        { "{'type':'function_call','call_id':'1','arguments':'{}'}",
          "input[0]" },
        { CALL("1", "f", "{}") "," CALL("1", "f", "{}"), "input[1]" },
        { CALL("1", "f", "{}"), "input" },
        { CALL("1", "f", "{}") "," USER("'a'") "," OUTPUT("1", "'r'"),
          "input[2].call_id" },
        { OUTPUT("1", "'r'"), "input[0].call_id" },
        { CALL("1", "f", "{}") "," OUTPUT("1", "7"), "input[1].output" },
        { CALL("1", "f", "{}") "," OUTPUT("1", "[7]"),
          "input[1].output[0]" },
    };
    static const struct {
        const char *items;
        const char *param;
    } unsupported[] = {
        { USER("'a'") ",{'type':'item_reference','id':'msg_1'}", "input[1]" },
        { "{'type':'computer_call','call_id':'1'}", "input[0]" },
        { USER("[{'type':'input_file','file_id':'f'}]"),
          "input[0].content[0]" },
        { USER("[{'type':'input_audio','input_audio':{}}]"),
          "input[0].content[0]" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        is_refused(input(bad[i].items), CLB_BAD_REQUEST, bad[i].param);
    }
    for (i = 0; i < sizeof(unsupported) / sizeof(*unsupported); i++) {
        is_refused(input(unsupported[i].items), CLB_UNSUPPORTED,
                   unsupported[i].param);
    }
}

/* So many of @a item, in which every %d is a number. */
static const char *times(int n, const char *item)
{
    clb_buf_t all;
    const char *rest, *d;
    int i;

    clb_buf_init(&all, pool, 65536);
    for (i = 1; i <= n; i++) {
        clb_buf_puts(&all, i > 1 ? "," : "");
        for (rest = item; (d = strstr(rest, "%d")) != NULL; rest = d + 2) {
            clb_buf_add(&all, rest, (apr_size_t)(d - rest));
            clb_buf_puts(&all, apr_itoa(pool, i));
        }
        clb_buf_puts(&all, rest);
    }
    return all.data;
}

static void limits(void)
{
    const char *calls = times(1024, CALL("c%d", "f", "{}"));

    ok(parse(input(apr_pstrcat(pool, calls, ",", times(1024,
             OUTPUT("c%d", "'r'")), NULL))) != NULL, "1024 calls in a row");
    is_refused(input(apr_pstrcat(pool, calls, "," CALL("x", "f", "{}"), NULL)),
               CLB_BAD_REQUEST, "input[1024]");
    ok(parse(body(apr_pstrcat(pool, "'tools':[", times(512,
             FUNCTION("f%d")), "]", NULL))) != NULL, "512 tools");
    is_refused(body(apr_pstrcat(pool, "'tools':[", times(513,
               FUNCTION("f%d")), "]", NULL)), CLB_BAD_REQUEST, "tools");
    is_refused(body(apr_pstrcat(pool, "'tools':[", times(256, FUNCTION("f%d")),
               ",{'type':'namespace','name':'n','tools':[", times(257,
               FUNCTION("g%d")), "]}]", NULL)), CLB_BAD_REQUEST,
               "tools[256].tools");
}

/* --- what answers repeat --- */

static const char *echo(const char *text)
{
    const clb_chat_t *chat = parse(text);

    return chat == NULL ? error.message
         : clb_json_text(pool, (const clb_json_t *)chat->echo);
}

static void echoes(void)
{
    is_str(echo("{'input':'q'}"), q("{'frequency_penalty':0,'instructions':"
           "null,'max_output_tokens':null,'max_tool_calls':null,'metadata':{},"
           "'parallel_tool_calls':true,'presence_penalty':0,"
           "'prompt_cache_key':null,'reasoning':{'effort':null,'summary':null}"
           ",'safety_identifier':null,'temperature':1,'text':{'format':{"
           "'type':'text'},'verbosity':'medium'},'tool_choice':'auto','tools':"
           "[],'top_logprobs':0,'top_p':1,'truncation':'disabled'}"),
           "defaults");
    is_str(echo("{'input':'q','frequency_penalty':0.5,'instructions':'s',"
           "'max_output_tokens':7,'max_tool_calls':3,'metadata':{'a':'b'},"
           "'parallel_tool_calls':false,'presence_penalty':0.25,"
           "'prompt_cache_key':'k','reasoning':{'effort':'low','summary':"
           "'auto'},'safety_identifier':'s','temperature':0.5,'text':{"
           "'format':{'type':'json_schema','name':'n','schema':{}},"
           "'verbosity':'low'},'tools':[" FUNCTION("f") ",{'type':"
           "'web_search'}],'tool_choice':{'type':'function','name':'f'},"
           "'top_p':0.9,'truncation':'auto','user':'u','store':true}"),
           q("{'frequency_penalty':0.5,'instructions':'s','max_output_tokens':"
           "7,'max_tool_calls':3,'metadata':{'a':'b'},'parallel_tool_calls':"
           "false,'presence_penalty':0.25,'prompt_cache_key':'k','reasoning':{"
           "'effort':'low','summary':'auto'},'safety_identifier':'s',"
           "'temperature':0.5,'text':{'format':{'type':'json_schema','name':"
           "'n','description':null,'schema':{},'strict':false},'verbosity':"
           "'low'},'tool_choice':{'type':'function','name':'f'},'tools':[{"
           "'type':'function','name':'f','description':null,'parameters':null,"
           "'strict':null},{'type':'web_search'}],'top_logprobs':0,'top_p':0.9"
           ",'truncation':'auto'}"), "what was given");
}

/* --- what is kept of an answer --- */

/* The chat in a body to a server that keeps answers. */
static clb_chat_t *keeps(const char *more)
{
    clb_chat_t *chat = clb_chat_create(pool);
    clb_json_t *json;
    const char *why, *text = q(body(more));

    memset(&error, 0, sizeof(error));
    chat->keeps = 1;
    clb_json_parse(&json, text, strlen(text), CLB_JSON_STRICT, &why, pool);
    return clb_openai_responses.parse(chat, json, &error) == APR_SUCCESS
         ? chat : NULL;
}

static void kept(void)
{
    const clb_chat_t *chat = keeps("");

    ok(chat->stored && !chat->background && chat->previous == NULL
       && clb_chat_ignored(chat, 0) == NULL, "an answer is kept");
    chat = keeps("'store':true,'background':true,'previous_response_id':"
                 "'resp_1'");
    ok(chat->stored && chat->background && clb_chat_ignored(chat, 0) == NULL,
       "also if nobody waits");
    is_str(chat->previous, "resp_1", "from what it goes on");
    chat = keeps("'store':false");
    ok(!chat->stored && clb_chat_ignored(chat, 0) == NULL,
       "not if the client does not want it");
    ok(keeps("'background':true,'store':false") == NULL
       && strcmp(error.param, "background") == 0
       && strstr(error.message, "CLIBridgeStore") == NULL,
       "then somebody must wait");
    chat = parse(body("'store':true,'previous_response_id':'resp_1'"));
    ok(!chat->stored, "not where the server keeps none");
    ok(parse(body("'background':true")) == NULL
       && strstr(error.message, "CLIBridgeStore") != NULL, "which it says");
}

#define COMPACTION(text) "{'type':'compaction','encrypted_content':" text "}"

static void compaction(void)
{
    clb_chat_t *chat = parse(input(COMPACTION("'clb-summary.short'") ","
                                   USER("'a'")));

    ok(strstr(clb_chat_plain(chat), "User: A summary of our conversation so "
              "far:\n\nshort\n\nUser: a") != NULL, "a summary is told");
    ok(clb_chat_ignored(chat, 0) == NULL, "nothing is ignored");
    chat = parse(input(USER("'a'") "," COMPACTION("'clb-summary.'") ","
                       COMPACTION("'gAAAA'") "," COMPACTION("7")));
    is_str(clb_chat_ignored(chat, 0), "input[1], input[2], input[3]",
           "what another server made is not");
}

/* The model is asked for a summary, and can do nothing else. */
static void compact(void)
{
    clb_chat_t *chat = parse_as(&clb_openai_compact, "{'input':'q',"
        "'store':true,'background':false,'stream':true,'tools':["
        FUNCTION("f") "],'tool_choice':'required','text':{'format':{'type':"
        "'json_schema','name':'n','schema':{}}}}");

    ok(!chat->stored && !chat->stream && chat->tools->nelts == 0
       && chat->choice == CLB_CHOICE_NONE
       && chat->format == CLB_FORMAT_TEXT, "a request for a summary");
    ok(strstr(clb_chat_plain(chat), "Write a summary of our conversation")
       != NULL, "says so");
    ok(parse_as(&clb_openai_compact, "{'model':'m'}") == NULL
       && strcmp(error.param, "input") == 0, "of something");
}

/* --- bodies of it where chat completions are --- */

static void in_chat(void)
{
    clb_chat_t *chat = parse_as(&clb_openai_chat, "{'input':[" USER("'a'") ","
        SAID("b") "," CALL("1", "f", "{}") "," OUTPUT("1", "'r'")
        "],'instructions':'s','max_output_tokens':7,'tools':[" FUNCTION("f")
        ",{'type':'custom','name':'ApplyPatch','format':{'type':'grammar'}}],"
        "'stream_options':{'include_usage':true},'text':{'format':{'type':"
        "'json_object'}},'reasoning':{'effort':'low','summary':'auto'}}");

    is_str(told(chat), "S:s U:a A:b,f#1{} U:#1=(r)", "the conversation");
    is_str(tools_of(chat), "f/ ApplyPatch*/", "tools");
    if (chat != NULL) {
        is_int(chat->max_tokens, 7, "a limit");
        is_int(chat->include_usage, 1, "what only chat completions have");
        is_int(chat->format, CLB_FORMAT_JSON, "a form");
        is_str(clb_effort_name(chat->effort), "low", "effort");
    }
    is_str(told(parse_as(&clb_openai_chat, "{'input':'a'}")), "U:a", "a text");
    is_str(told(parse_as(&clb_openai_chat, "{'input':'a','messages':["
           USER("'b'") "]}")), "U:b", "messages count more");
    ok(parse_as(&clb_openai_chat, "{}") == NULL, "neither of them");
    is_str(error.param, "messages", "are missing by their own name");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    taken();
    refused();
    values();
    tools();
    conversations();
    bad_conversations();
    limits();
    echoes();
    kept();
    compaction();
    compact();
    in_chat();
    return tap_done();
}
