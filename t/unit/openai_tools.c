/* SPDX-License-Identifier: Apache-2.0 */
/* Chat completions with tools, images, files and forms of the answer: what is
 * taken, what is refused and how that is said, what calls are written as. */
#include "tap.h"

#include "../../src/api/dialect.h"
#include "../../src/core/media.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

#define CHAT (&clb_openai_chat)

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
static clb_chat_t *parse(const char *text)
{
    clb_chat_t *chat = clb_chat_create(pool);
    clb_json_t *body;
    const char *why;

    memset(&error, 0, sizeof(error));
    text = q(text);
    if (clb_json_parse(&body, text, strlen(text), CLB_JSON_STRICT, &why, pool)
        != APR_SUCCESS) {
        diag("%s: %s", text, why);
        return NULL;
    }
    return CHAT->parse(chat, body, &error) == APR_SUCCESS ? chat : NULL;
}

static clb_chat_t *with(const char *fields)
{
    return parse(apr_pstrcat(pool, "{'messages':[{'role':'user','content':"
                             "'q'}],", fields, "}", NULL));
}

static clb_chat_t *messages(const char *list)
{
    return parse(apr_pstrcat(pool, "{'messages':[", list, "]}", NULL));
}

static void refused(const clb_chat_t *chat, const char *text,
                    clb_error_e kind, const char *param)
{
    if (ok(chat == NULL && error.message != NULL, "not %.300s", text)) {
        is_str(clb_error_info(error.kind)->name, clb_error_info(kind)->name,
               "it is the right error");
        is_str(error.param, param, "with its parameter");
        ok(strstr(error.message, param) != NULL, "named in: %s",
           error.message);
    }
}

/* --- tools --- */

/* The tools, the choice and the form of the answer in a line. */
static const char *told(const clb_chat_t *chat)
{
    static const char *const choices[] = { "auto", "none", "required", "" };
    static const char *const formats[] = { "", " json", " schema" };
    const char *out = "";
    int i;

    if (chat == NULL) {
        return error.message;
    }
    for (i = 0; i < chat->tools->nelts; i++) {
        const clb_tool_t *tool = &APR_ARRAY_IDX(chat->tools, i, clb_tool_t);

        out = apr_psprintf(pool, "%s%s%s(%s) %s; ", out, tool->name,
                           tool->custom ? "!" : "", tool->description == NULL
                           ? "" : tool->description, tool->schema);
    }
    return apr_pstrcat(pool, out, chat->choice == CLB_CHOICE_NAMED
                       ? chat->chosen : choices[chat->choice],
                       chat->one_call ? " one" : "",
                       chat->functions ? " legacy" : "",
                       formats[chat->format], chat->schema == NULL ? ""
                       : " ", chat->schema, NULL);
}

#define OBJECT "{'type':'object','properties':{}}"
#define INPUT "{'type':'object','properties':{'input':{'type':'string'}}," \
    "'required':['input']}"
#define FN(name) "{'type':'function','function':{'name':'" name "'}}"
#define AB "'tools':[" FN("a") "," FN("b") "]"
#define A_IS "a() " OBJECT "; "
#define AB_IS A_IS "b() " OBJECT "; "
#define NAMED(type) "{'type':'" type "','" type "':{'name':'a'}}"
#define ALLOW(more) "{'type':'allowed_tools','allowed_tools':{" more "}}"

static void tools(void)
{
    static const struct {
        const char *fields;
        const char *want;
    } cases[] = {
        { "'tools':[]", "auto" },
        { "'tools':null,'tool_choice':null,'parallel_tool_calls':null",
          "auto" },
        { "'tools':[" FN("a") "]", A_IS "auto" },
        { "'tools':[{'type':'function','function':{'name':'a',"
          "'description':'does a','strict':true,'parameters':{'$defs':{'x':"
          "{'type':'string'}},'type':'object','properties':{'p':{'$ref':"
          "'#/$defs/x'}},'required':['p'],'additionalProperties':false}}}]",
          "a(does a) {'$defs':{'x':{'type':'string'}},'type':'object',"
          "'properties':{'p':{'$ref':'#/$defs/x'}},'required':['p'],"
          "'additionalProperties':false}; auto" },
        { "'tools':[{'type':'function','name':'a','description':'flat',"
          "'parameters':{'type':'object'}}]",
          "a(flat) {'type':'object'}; auto" },
        { "'tools':[{'type':'function','function':{'name':'a','description':"
          "null,'parameters':null}}]", A_IS "auto" },
        { "'tools':[{'type':'function','function':{'name':'a','parameters':"
          "{}}}]", A_IS "auto" },
        { "'tools':[{'type':'function','function':{'name':'a','parameters':"
          "{'type':['object','null'],'properties':[],'required':null}}}]",
          "a() {'type':['object','null'],'properties':[],'required':null}; "
          "auto" },
        { "'tools':[{'type':'custom','custom':{'name':'a','description':'d',"
          "'format':{'type':'text'}}}]", "a!(d) " INPUT "; auto" },
        { "'tools':[{'type':'custom','name':'a','format':{'type':'grammar'}"
          "}]", "a!() " INPUT "; auto" },
        { "'tools':[" FN("wetter f\xc3\xbcr.morgen") "]",
          "wetter f\xc3\xbcr.morgen() " OBJECT "; auto" },
        { AB ",'tool_choice':'auto'", AB_IS "auto" },
        { AB ",'tool_choice':'none'", AB_IS "none" },
        { AB ",'tool_choice':'required'", AB_IS "required" },
        { AB ",'tool_choice':{'type':'auto'}", AB_IS "auto" },
        { AB ",'tool_choice':{'type':'any'}", AB_IS "required" },
        { AB ",'tool_choice':" NAMED("function"), AB_IS "a" },
        { AB ",'tool_choice':" NAMED("custom"), AB_IS "a" },
        { AB ",'tool_choice':{'type':'function','name':'b'}", AB_IS "b" },
        { AB ",'tool_choice':" ALLOW("'mode':'auto','tools':[" FN("a") "]"),
          A_IS "auto" },
        { AB ",'tool_choice':" ALLOW("'mode':'required','tools':[" FN("b")
          "," FN("a") "," FN("b") "]"), AB_IS "required" },
        { AB ",'tool_choice':{'type':'allowed_tools','mode':'auto','tools':"
          "[{'type':'function','name':'a'}]}", A_IS "auto" },
        { "'tool_choice':'none'", "auto" },
        { "'tool_choice':'auto','tools':[]", "auto" },
        { AB ",'parallel_tool_calls':true", AB_IS "auto" },
        { AB ",'parallel_tool_calls':false", AB_IS "auto one" },
        { "'functions':[{'name':'a','description':'d','parameters':"
          "{'type':'object'}}]", "a(d) {'type':'object'}; auto one legacy" },
        { "'functions':[{'name':'a'}],'function_call':{'name':'a'}",
          A_IS "a one legacy" },
        { "'functions':[{'name':'a'}],'function_call':'none'",
          A_IS "none one legacy" },
        { "'functions':[],'function_call':'auto'," AB, AB_IS "auto" },
        { AB ",'tool_choice':'required','function_call':'auto'",
          AB_IS "required" },
        { "'response_format':{'type':'text'}", "auto" },
        { "'response_format':{'type':'json_object'}", "auto json" },
        { "'response_format':{'type':'json_schema','json_schema':{'name':"
          "'n','strict':true,'schema':{'type':'object','$defs':{}}}}",
          "auto schema {'type':'object','$defs':{}}" },
        { "'response_format':{'type':'json_schema','name':'n','schema':"
          "{'type':'object'}}", "auto schema {'type':'object'}" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        is_str(told(with(cases[i].fields)), q(cases[i].want), "%s",
               cases[i].fields);
    }
}

#define SCHEMA(json) "'tools':[" FN("a") ",{'type':'function','function':" \
    "{'name':'b','parameters':" json "}}]"

static void bad_tools(void)
{
    static const struct {
        const char *fields;
        const char *param;
    } cases[] = {
        { "'tools':{}", "tools" },
        { "'tools':'a'", "tools" },
        { "'tools':[{'type':'function'}]", "tools[0]" },
        { "'tools':[" FN("") "]", "tools[0]" },
        { "'tools':[{'type':'function','function':{'name':7}}]", "tools[0]" },
        { "'tools':[" FN("a") "," FN("a") "]", "tools[1]" },
        { SCHEMA("7"), "tools[1]" },
        { SCHEMA("[]"), "tools[1]" },
        { SCHEMA("{'type':'string'}"), "tools[1]" },
        { SCHEMA("{'type':7}"), "tools[1]" },
        { SCHEMA("{'type':['null']}"), "tools[1]" },
        { SCHEMA("{'type':'object','properties':[1]}"), "tools[1]" },
        { SCHEMA("{'type':'object','properties':'x'}"), "tools[1]" },
        { SCHEMA("{'type':'object','required':'x'}"), "tools[1]" },
        { "'functions':7", "functions" },
        { "'functions':[{}]", "functions[0]" },
        { "'functions':[{'name':'a'},{'name':'a'}]", "functions[1]" },
        { "'functions':[{'name':'a'}],'function_call':{'name':'b'}",
          "function_call" },
        { "'functions':[{'name':'a'}],'function_call':'maybe'",
          "function_call" },
        { "'functions':[{'name':'a'}],'function_call':7", "function_call" },
        { "'function_call':{'name':'a'}", "function_call" },
        { AB ",'function_call':{'name':'a'}", "function_call" },
        { "'tool_choice':'required'", "tool_choice" },
        { "'tools':[],'tool_choice':" NAMED("function"), "tool_choice" },
        { AB ",'tool_choice':'maybe'", "tool_choice" },
        { AB ",'tool_choice':7", "tool_choice" },
        { AB ",'tool_choice':{}", "tool_choice" },
        { AB ",'tool_choice':{'type':'web_search'}", "tool_choice" },
        { AB ",'tool_choice':{'type':'function'}", "tool_choice" },
        { AB ",'tool_choice':{'type':'function','name':'c'}",
          "tool_choice" },
        { AB ",'tool_choice':" ALLOW("'mode':'auto'"), "tool_choice" },
        { AB ",'tool_choice':" ALLOW("'mode':'auto','tools':[]"),
          "tool_choice" },
        { AB ",'tool_choice':" ALLOW("'mode':'auto','tools':[" FN("c") "]"),
          "tool_choice" },
        { AB ",'tool_choice':" ALLOW("'mode':'auto','tools':[7]"),
          "tool_choice" },
        { AB ",'tool_choice':" ALLOW("'mode':'maybe','tools':[" FN("a") "]"),
          "tool_choice" },
        { "'parallel_tool_calls':'no'", "parallel_tool_calls" },
        { "'parallel_tool_calls':0", "parallel_tool_calls" },
        { "'response_format':'json_object'", "response_format" },
        { "'response_format':{}", "response_format" },
        { "'response_format':{'type':'xml'}", "response_format" },
        { "'response_format':{'type':'json_schema'}",
          "response_format.json_schema" },
        { "'response_format':{'type':'json_schema','json_schema':{'name':"
          "'n'}}", "response_format.json_schema" },
        { "'response_format':{'type':'json_schema','json_schema':{'schema':"
          "[]}}", "response_format.json_schema" },
    };
    static const char *const types[] = {
        "'tools':[{}]", "'tools':[7]", "'tools':[{'function':{'name':'a'}}]",
        "'tools':[{'type':'web_search'}]", "'tools':[{'type':'namespace'}]",
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        refused(with(cases[i].fields), cases[i].fields, CLB_BAD_REQUEST,
                cases[i].param);
    }
    for (i = 0; i < sizeof(types) / sizeof(*types); i++) {
        refused(with(types[i]), types[i], CLB_UNSUPPORTED, "tools[0]");
    }
}

/* @a n times @a item, whose one %d is 1, 2, ..., with commas. */
static const char *times(int n, const char *item)
{
    clb_buf_t buf;
    const char *d = strstr(item, "%d");
    int i;

    clb_buf_init(&buf, pool, 4096);
    for (i = 1; i <= n; i++) {
        clb_buf_puts(&buf, i > 1 ? "," : "");
        clb_buf_add(&buf, item, (apr_size_t)(d - item));
        clb_buf_puts(&buf, apr_itoa(pool, i));
        clb_buf_puts(&buf, d + 2);
    }
    return buf.data;
}

static const char *in(const char *before, const char *list, const char *after)
{
    return apr_pstrcat(pool, before, list, after, NULL);
}

#define USER(content) "{'role':'user','content':" content "}"
#define CALL(id, name, arguments) "{'id':'" id "','type':'function'," \
    "'function':{'name':'" name "','arguments':" arguments "}}"
#define CALLS(calls) "{'role':'assistant','content':null,'tool_calls':[" \
    calls "]}"
#define RESULT(id, content) "{'role':'tool','tool_call_id':'" id "'," \
    "'content':" content "}"

static void limits(void)
{
    char name[300] = "";
    const clb_chat_t *chat;

    chat = with(in("'tools':[", times(512, FN("t%d")), "]"));
    is_int(chat == NULL ? 0 : chat->tools->nelts, 512, "512 tools");
    refused(with(in("'tools':[", times(513, FN("t%d")), "]")), "513 tools",
            CLB_BAD_REQUEST, "tools");
    refused(with(in("'functions':[", times(513, "{'name':'t%d'}"), "]")),
            "513 functions", CLB_BAD_REQUEST, "functions");
    memset(name, 'n', 256);
    ok(with(in("'tools':[{'type':'function','name':'", name, "'}]")) != NULL,
       "a name of 256 bytes");
    name[256] = 'n';
    refused(with(in("'tools':[{'type':'function','name':'", name, "'}]")),
            "one more", CLB_BAD_REQUEST, "tools[0]");
    chat = messages(apr_pstrcat(pool, "{'role':'assistant','tool_calls':[",
        times(512, CALL("c%d", "f", "''")), "]},",
        times(512, RESULT("c%d", "'r'")), NULL));
    is_int(chat == NULL ? 0 : chat->messages->nelts, 513, "512 calls at once");
    refused(messages(in("{'role':'assistant','tool_calls':[",
                        times(513, CALL("c%d", "f", "''")), "]}")),
            "513 calls", CLB_BAD_REQUEST, "messages[0].tool_calls");
}

/* --- messages --- */

static const char *parts_of(const apr_array_header_t *parts);

static const char *part_of(const clb_part_t *part)
{
    const char *what = part->url != NULL ? part->url
                     : part->data != NULL ? part->data : part->text;

    switch (part->kind) {
    case CLB_PART_TEXT:
        return apr_pstrcat(pool, "[", part->text, "]", NULL);
    case CLB_PART_REASONING:
        return apr_pstrcat(pool, "<", part->text, ">", NULL);
    case CLB_PART_CALL:
        return apr_pstrcat(pool, "call ", part->id, " ", part->name,
                           part->text, NULL);
    case CLB_PART_RESULT:
        return apr_pstrcat(pool, "of ", part->id, parts_of(part->parts),
                           NULL);
    default:
        return apr_pstrcat(pool, part->kind == CLB_PART_IMAGE ? "image"
                           : "file", part->media == NULL ? "" : " ",
                           part->media == NULL ? "" : part->media,
                           part->name == NULL ? "" : " ", part->name == NULL
                           ? "" : part->name, "(", what, ")", NULL);
    }
}

static const char *parts_of(const apr_array_header_t *parts)
{
    const char *out = "";
    int i;

    for (i = 0; i < parts->nelts; i++) {
        out = apr_pstrcat(pool, out, part_of(&APR_ARRAY_IDX(parts, i,
                                                            clb_part_t)),
                          NULL);
    }
    return out;
}

/* The conversation as letters: U:…, A:… */
static const char *heard(const clb_chat_t *chat)
{
    const char *out = "";
    int i;

    if (chat == NULL) {
        return error.message;
    }
    for (i = 0; i < chat->messages->nelts; i++) {
        const clb_message_t *message = &APR_ARRAY_IDX(chat->messages, i,
                                                      clb_message_t);

        out = apr_pstrcat(pool, out, message->role == CLB_ROLE_USER ? "U:"
                          : "A:", parts_of(message->parts), NULL);
    }
    return out;
}

#define PNG "iVBORw0KGgoAAAANSUhEUgAA"
#define IMAGE "{'type':'image_url','image_url':{'url':'data:image/png;" \
    "base64," PNG "','detail':'high'}}"
#define IMAGE_IS "image image/png(" PNG ")"
#define FILE_OF(data) "{'type':'file','file':{'filename':'a.x'," \
    "'file_data':'data:" data "'}}"
#define PDF FILE_OF("application/pdf;base64,JVBERi0=")
#define PDF_IS "file application/pdf a.x(JVBERi0=)"

static void conversations(void)
{
    static const struct {
        const char *list;
        const char *want;
    } cases[] = {
        { CALLS(CALL("1", "f", "'{}'")) "," RESULT("1", "'r'"),
          "A:call 1 f{}U:of 1[r]" },
        { CALLS(CALL("1", "f", "'{\\'a\\': 1.0}'") ","
                CALL("2", "g", "''")) "," RESULT("2", "'two'") ","
          RESULT("1", "[{'type':'text','text':'a'},'b']") "," USER("'x'"),
          "A:call 1 f{\"a\": 1.0}call 2 g{}U:of 2[two]U:of 1[a][b]U:[x]" },
        { "{'role':'assistant','content':'so','reasoning_content':'hm',"
          "'tool_calls':[" CALL("1", "f", "'{}'") "]},"
          RESULT("1", "null"), "A:<hm>[so]call 1 f{}U:of 1" },
        { "{'role':'assistant','content':[],'tool_calls':["
          CALL("1", "f", "'{}'") "]}," RESULT("1", "[]"),
          "A:call 1 f{}U:of 1" },
        { CALLS(CALL("1", "f", "'not json'")) "," RESULT("1", "'r'"),
          "A:call 1 f{\"arguments\":\"not json\"}U:of 1[r]" },
        { CALLS(CALL("1", "f", "'[1]'")) "," RESULT("1", "'r'"),
          "A:call 1 f{\"arguments\":\"[1]\"}U:of 1[r]" },
        { CALLS(CALL("1", "f", "' \\n'")) "," RESULT("1", "'r'"),
          "A:call 1 f{}U:of 1[r]" },
        { CALLS(CALL("1", "f", "{'a':[2]}")) "," RESULT("1", "'r'"),
          "A:call 1 f{\"a\":[2]}U:of 1[r]" },
        { CALLS("{'id':'1','type':'function','name':'f','arguments':'{}'}")
          "," RESULT("1", "'r'"), "A:call 1 f{}U:of 1[r]" },
        { CALLS("{'id':'1','type':'custom','custom':{'name':'f','input':"
                "'say \\'x\\''}}") "," RESULT("1", "'r'"),
          "A:call 1 f{\"input\":\"say \\\"x\\\"\"}U:of 1[r]" },
        { CALLS("{'id':'1','type':'custom','custom':{'name':'f','input':"
                "' '}}") "," RESULT("1", "'r'"),
          "A:call 1 f{\"input\":\" \"}U:of 1[r]" },
        { CALLS("{'id':'1','type':'custom','custom':{'name':'f'}}") ","
          RESULT("1", "'r'"), "A:call 1 f{\"input\":\"\"}U:of 1[r]" },
        { "{'role':'assistant','content':null,'function_call':{'name':'f',"
          "'arguments':'{\\'a\\':1}'}},{'role':'function','name':'f',"
          "'content':'r'}", "A:call f f{\"a\":1}U:of f[r]" },
        { CALLS(CALL("1", "f", "'{}'")) "," RESULT("1", "'r'") ","
          CALLS(CALL("1", "f", "'{}'")) "," RESULT("1", "'s'"),
          "A:call 1 f{}U:of 1[r]A:call 1 f{}U:of 1[s]" },
        { CALLS(CALL("1", "f", "''") "," CALL("2", "f", "''")) ","
          RESULT("1", "'r'") ",{'role':'system','content':'be'},"
          RESULT("2", "'s'"), "A:call 1 f{}call 2 f{}U:of 1[r]U:of 2[s]" },
        { USER("[" IMAGE "]"), "U:" IMAGE_IS },
        { USER("[" IMAGE ",'t'," PDF "," IMAGE "]"),
          "U:" IMAGE_IS "[t]" PDF_IS IMAGE_IS },
        { USER("[{'type':'image_url','image_url':'data:image/png;base64,"
               PNG "'}]"), "U:" IMAGE_IS },
        { USER("[{'type':'input_image','image_url':'https://x.org/a'}]"),
          "U:image(https://x.org/a)" },
        { USER("[{'type':'image_url','image_url':{'url':'HTTP://x.org/a'}}]"),
          "U:image(HTTP://x.org/a)" },
        { USER("[{'type':'input_file','filename':'a.x','file_data':"
               "'data:application/pdf;base64,JVBERi0='}]"), "U:" PDF_IS },
        { USER("[{'type':'input_file','file_url':'https://x.org/a'}]"),
          "U:file(https://x.org/a)" },
        { USER("[" FILE_OF("text/plain;charset=utf-8;base64,aMOpCg==") "]"),
          "U:file text/plain a.x(h\xc3\xa9\n)" },
        { CALLS(CALL("1", "f", "''")) "," RESULT("1", "['a'," IMAGE "]"),
          "A:call 1 f{}U:of 1[a]" IMAGE_IS },
        { "{'role':'assistant','content':['a',{'type':'refusal','refusal':"
          "'no'},{'type':'thinking'}]}", "A:[a][no]" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        is_str(heard(messages(cases[i].list)), cases[i].want, "%s",
               cases[i].list);
    }
}

#define IMAGE_URL(url) "[{'type':'image_url','image_url':{'url':'" url "'}}]"

static void bad_conversations(void)
{
    static const struct {
        const char *list;
        const char *param;
    } cases[] = {
        { RESULT("1", "'r'"), "messages[0].tool_call_id" },
        { USER("'q'") "," RESULT("1", "'r'"), "messages[1].tool_call_id" },
        { CALLS(CALL("1", "f", "''")) "," RESULT("2", "'r'"),
          "messages[1].tool_call_id" },
        { CALLS(CALL("1", "f", "''")) ",{'role':'tool','content':'r'}",
          "messages[1].tool_call_id" },
        { CALLS(CALL("1", "f", "''")) "," USER("'q'") "," RESULT("1", "'r'"),
          "messages[2].tool_call_id" },
        { CALLS(CALL("1", "f", "''")) "," RESULT("1", "'r'") ","
          RESULT("1", "'again'"), "messages[2].tool_call_id" },
        { CALLS(CALL("1", "f", "''")) "," RESULT("1", "7"),
          "messages[1].content" },
        { CALLS(CALL("1", "f", "''")), "messages" },
        { CALLS(CALL("1", "f", "''")) "," USER("'q'"), "messages" },
        { CALLS(CALL("1", "f", "''") "," CALL("2", "f", "''")) ","
          RESULT("2", "'r'") "," USER("'q'"), "messages" },
        { CALLS(CALL("1", "f", "''")) "," CALLS(CALL("2", "f", "''")) ","
          RESULT("2", "'r'"), "messages" },
        { CALLS(CALL("1", "f", "''") "," CALL("1", "g", "''")),
          "messages[0].tool_calls[1]" },
        { CALLS("7"), "messages[0].tool_calls[0]" },
        { CALLS(CALL("", "f", "''")), "messages[0].tool_calls[0]" },
        { CALLS(CALL("1", "", "''")), "messages[0].tool_calls[0]" },
        { "{'role':'assistant','tool_calls':{'id':'1'}}",
          "messages[0].tool_calls[0]" },
        { "{'role':'assistant','function_call':{}}",
          "messages[0].function_call" },
        { "{'role':'assistant','function_call':{'name':'f'}}", "messages" },
        { "{'role':'function','name':'f','content':'r'}",
          "messages[0].name" },
        { USER("[{'type':'image_url'}]"), "messages[0].content[0]" },
        { USER("[{'type':'image_url','image_url':{'url':7}}]"),
          "messages[0].content[0]" },
        { USER(IMAGE_URL("file:///etc/passwd")), "messages[0].content[0]" },
        { USER(IMAGE_URL("/etc/passwd")), "messages[0].content[0]" },
        { USER(IMAGE_URL("data:image/png;base64,aGVsbG8gd29ybGQhIQ==")),
          "messages[0].content[0]" },
        { "{'role':'system','content':[" IMAGE "]}",
          "messages[0].content[0]" },
        { USER("['a'," FILE_OF("application/zip;base64,UEs=") "]"),
          "messages[0].content[1]" },
        { USER("[{'type':'file','file':{'file_data':7}}]"),
          "messages[0].content[0]" },
        { USER("[{'type':'input_file','file_url':'ftp://x.org'}]"),
          "messages[0].content[0]" },
    };
    static const char *const unsupported[] = {
        USER("[{'type':'file','file':{'file_id':'file-1'}}]"),
        USER("[{'type':'input_file','filename':'a.pdf'}]"),
        USER("[{'type':'input_audio','input_audio':{}}]"),
        USER("[{'type':'video_url'}]"),
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        refused(messages(cases[i].list), cases[i].list, CLB_BAD_REQUEST,
                cases[i].param);
    }
    for (i = 0; i < sizeof(unsupported) / sizeof(*unsupported); i++) {
        refused(messages(unsupported[i]), unsupported[i], CLB_UNSUPPORTED,
                "messages[0].content[0]");
    }
    ok(messages(in("{'role':'user','content':[", times(CLB_MEDIA_COUNT,
       "{'type':'image_url','image_url':'https://x.org/%d'}"), "]}")) != NULL,
       "100 images");
    refused(messages(in("{'role':'user','content':[",
                        times(CLB_MEDIA_COUNT + 1, "{'type':'image_url',"
                              "'image_url':'https://x.org/%d'}"), "]}")),
            "101 images", CLB_BAD_REQUEST, "messages[0].content[100]");
}

static void needs(void)
{
    static const struct {
        const char *body;
        unsigned needs;
        const char *field;
    } cases[] = {
        { "{'messages':[" USER("'q'") "]}", 0, NULL },
        { "{'messages':[" USER("'q'") "]," AB "}", CLB_NEED_TOOLS, "tools" },
        { "{'messages':[" USER("'q'") "],'functions':[{'name':'a'}]}",
          CLB_NEED_TOOLS, "functions" },
        { "{'messages':[" CALLS(CALL("1", "f", "''")) ","
          RESULT("1", "[" IMAGE "]") "]}", CLB_NEED_TOOLS | CLB_NEED_IMAGES,
          "messages" },
        { "{'messages':[" USER("[" PDF "]") "],'response_format':{'type':"
          "'json_object'}}", CLB_NEED_DOCUMENTS | CLB_NEED_JSON, "messages" },
        { "{'messages':[" USER(IMAGE_URL("https://x.org")) "]}",
          CLB_NEED_IMAGES | CLB_NEED_URLS, "messages" },
        { "{'messages':[" USER("'q'") "],'response_format':{'type':"
          "'json_schema','json_schema':{'schema':{}}}}", CLB_NEED_SCHEMA,
          "response_format" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        clb_chat_t *chat = parse(cases[i].body);

        if (ok(chat != NULL, "%s", cases[i].body)) {
            is_int(clb_chat_needs(chat), cases[i].needs, "needs that");
            is_str(clb_chat_need_field(chat, cases[i].needs), cases[i].field,
                   "because of %s", cases[i].field == NULL ? "nothing"
                   : cases[i].field);
        }
    }
    is_str(clb_chat_need_names(CLB_NEED_TOOLS | CLB_NEED_SCHEMA, pool),
           "tools, json_schema", "which has a name");
}

/* --- answers --- */

static clb_reply_t *reply_to(clb_chat_t *chat)
{
    clb_reply_t *reply;

    chat->asked = "m";
    reply = clb_reply_create(CHAT, chat, "1", pool);
    CHAT->begin(reply);
    return reply;
}

/* The deltas that an event becomes, each with its finish_reason if it has one,
 * as the stream of events is sent by http/stream.c. */
static const char *sent(clb_reply_t *reply, const clb_event_t *event)
{
    const char *bytes, *out = "", *why;

    clb_buf_reset(&reply->out);
    clb_reply_note(reply, event);
    CHAT->event(reply, event);
    for (bytes = reply->out.data; strncmp(bytes, "data: {", 7) == 0;
         bytes = strstr(bytes, "\n\n") + 2) {
        const char *finish;
        clb_json_t *json, *choice;

        if (clb_json_parse(&json, bytes + 6, strcspn(bytes, "\n") - 6,
                           CLB_JSON_STRICT, &why, pool) != APR_SUCCESS) {
            return why;
        }
        choice = clb_json_at(clb_json_get(json, "choices"), 0);
        finish = clb_json_get_string(choice, "finish_reason");
        out = apr_pstrcat(pool, out, *out == '\0' ? "" : " ",
                          clb_json_text(pool, clb_json_get(choice, "delta")),
                          finish == NULL ? "" : " ", finish, NULL);
    }
    return apr_pstrcat(pool, out, *bytes == '\0' ? "" : " ",
                       apr_pstrndup(pool, bytes, strcspn(bytes, "\n")), NULL);
}

static const char *call(clb_reply_t *reply, const char *id, const char *name)
{
    clb_event_t event = { .kind = CLB_EV_CALL };

    event.u.call.id = id;
    event.u.call.name = name;
    return sent(reply, &event);
}

static const char *piece(clb_reply_t *reply, const char *text)
{
    clb_event_t event = { .kind = CLB_EV_ARGUMENTS };

    event.u.text.data = text;
    event.u.text.len = strlen(text);
    return sent(reply, &event);
}

static const char *stop(clb_reply_t *reply, clb_stop_e reason)
{
    clb_event_t event = { .kind = CLB_EV_STOP };

    event.u.stop = reason;
    return sent(reply, &event);
}

#define DELTA(calls) "{'tool_calls':[" calls "]}"
#define ENDED "{} tool_calls data: [DONE]"

static void streams(void)
{
    clb_reply_t *reply = reply_to(with(AB));

    is_str(call(reply, "id1", "a"), q(DELTA("{'id':'id1','type':'function',"
           "'function':{'name':'a','arguments':''},'index':0}")),
           "a call begins with its id and name");
    is_str(piece(reply, "{\"x\":"), "{\"tool_calls\":[{\"index\":0,"
           "\"function\":{\"arguments\":\"{\\\"x\\\":\"}}]}",
           "then come its arguments, with the index alone");
    is_str(piece(reply, "1}"), q(DELTA("{'index':0,'function':{'arguments':"
           "'1}'}}")), "in pieces");
    is_str(call(reply, "id2", "b"), q(DELTA("{'id':'id2','type':'function',"
           "'function':{'name':'b','arguments':''},'index':1}")),
           "the next has the next index");
    is_str(call(reply, "id3", "a"),
           q(DELTA("{'index':1,'function':{'arguments':'{}'}}") " "
             DELTA("{'id':'id3','type':'function','function':{'name':'a',"
                   "'arguments':''},'index':2}")),
           "a call without arguments has empty ones, when the next comes");
    is_str(stop(reply, CLB_STOP_CALLS),
           q(DELTA("{'index':2,'function':{'arguments':'{}'}}") " " ENDED),
           "or the end");

    reply = reply_to(with("'tools':[{'type':'custom','name':'a'}]"));
    is_str(call(reply, "id1", "a"), q(DELTA("{'id':'id1','type':'custom',"
           "'custom':{'name':'a','input':''},'index':0}")), "a custom call");
    is_str(piece(reply, "{\"input\":\"say "), "", "waits for its end,");
    is_str(piece(reply, "\\\"x\\\"\"}"), "", "because its text is inside");
    is_str(call(reply, "id2", "zzz"),
           "{\"tool_calls\":[{\"index\":0,\"custom\":{\"input\":"
           "\"say \\\"x\\\"\"}}]} {\"tool_calls\":[{\"id\":\"id2\",\"type\":"
           "\"function\",\"function\":{\"name\":\"zzz\",\"arguments\":\"\"},"
           "\"index\":1}]}", "one of a tool nobody offered is a function's");
    is_str(piece(reply, "{}"), q(DELTA("{'index':1,'function':{'arguments':"
           "'{}'}}")), "with its own arguments");
    is_str(stop(reply, CLB_STOP_CALLS), ENDED, "and its end");

    reply = reply_to(with("'functions':[{'name':'a'}]"));
    is_str(call(reply, "id1", "a"), q("{'function_call':{'name':'a',"
           "'arguments':''}}"), "a function's call has no id and no index");
    is_str(piece(reply, "{}"), q("{'function_call':{'arguments':'{}'}}"),
           "nor have its arguments");
    is_str(stop(reply, CLB_STOP_CALLS), "{} function_call data: [DONE]",
           "and an end of its own name");
    reply = reply_to(with("'functions':[{'name':'a'}]"));
    is_str(stop(reply, CLB_STOP_END), "{} stop data: [DONE]",
           "which no other end has");
    reply = reply_to(with(AB));
    call(reply, "id1", "a");
    piece(reply, "{\"x");
    is_str(stop(reply, CLB_STOP_LENGTH), "{} length data: [DONE]",
           "an end in the middle of a call");
}

/* The message of a whole answer and why it ended. */
static const char *whole(clb_reply_t *reply, clb_stop_e reason)
{
    const clb_json_t *choice;
    clb_json_t *json;
    const char *why;

    clb_buf_reset(&reply->out);
    reply->stop = reason;
    CHAT->whole(reply);
    if (clb_json_parse(&json, reply->out.data, reply->out.len,
                       CLB_JSON_STRICT, &why, pool) != APR_SUCCESS) {
        return why;
    }
    choice = clb_json_at(clb_json_get(json, "choices"), 0);
    return apr_pstrcat(pool, clb_json_text(pool, clb_json_get(choice,
                       "message")), " ", clb_json_get_string(choice,
                       "finish_reason"), NULL);
}

static void whole_answers(void)
{
    clb_reply_t *reply = reply_to(with(
        "'tools':[" FN("a") ",{'type':'custom','name':'c'}]"));

    call(reply, "id1", "a");
    piece(reply, "{}");
    call(reply, "id2", "c");
    piece(reply, "{\"input\":\"x\"}");
    call(reply, "id3", "a");
    is_str(whole(reply, CLB_STOP_CALLS),
           q("{'role':'assistant','content':null,'refusal':null,"
             "'tool_calls':[{'id':'id1','type':'function','function':{'name':"
             "'a','arguments':'{}'}},{'id':'id2','type':'custom','custom':"
             "{'name':'c','input':'x'}},{'id':'id3','type':'function',"
             "'function':{'name':'a','arguments':'{}'}}]} tool_calls"),
           "calls of every kind, and null for no text");
    clb_buf_puts(&reply->text, "so");
    ok(strstr(whole(reply, CLB_STOP_CALLS), "\"content\":\"so\"") != NULL,
       "a text beside them");

    reply = reply_to(with("'functions':[{'name':'a'}]"));
    call(reply, "id1", "a");
    is_str(whole(reply, CLB_STOP_CALLS),
           q("{'role':'assistant','content':null,'refusal':null,"
             "'function_call':{'name':'a','arguments':'{}'}} function_call"),
           "a function's call");
    reply = reply_to(with("'tools':[{'type':'custom','name':'c'}]"));
    call(reply, "id1", "c");
    piece(reply, "{\"inp");
    ok(strstr(whole(reply, CLB_STOP_LENGTH), "\"input\":\"{\\\"inp\"")
       != NULL, "what is left of a custom call that was cut off");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    tools();
    bad_tools();
    limits();
    conversations();
    bad_conversations();
    needs();
    streams();
    whole_answers();
    return tap_done();
}
