/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of Messages: every field, every kind of block, both versions. */
#include "tap.h"

#include "../../src/api/dialect.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

static apr_pool_t *pool;
static clb_error_t error;
static const char *version;

#define OLDER "2023-06-01"
#define NEWER "2026-10-21"

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

    chat->version = version;
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
    return parse_as(&clb_anthropic, text);
}

#define QUESTION "{'role':'user','content':'q'}"

/* A body with the fields @a more. */
static const char *body(const char *more)
{
    return apr_pstrcat(pool, "{'max_tokens':9,'messages':[" QUESTION "]",
                       *more == '\0' ? "" : ",", more, "}", NULL);
}

static const char *messages(const char *list)
{
    return apr_pstrcat(pool, "{'max_tokens':9,'messages':[", list, "]}",
                       NULL);
}

static void is_refused(const char *text, clb_error_e kind, const char *param)
{
    clb_chat_t *chat = parse(text);

    if (!ok(chat == NULL && error.message != NULL, "not %s", text)) {
        return;
    }
    is_str(clb_error_info(error.kind)->name, clb_error_info(kind)->name,
           "it is the right error");
    is_str(error.param, param, "with its parameter");
    ok(strstr(error.message, param) != NULL, "named in: %s", error.message);
}

/* --- fields --- */

/* What is taken, and what is asked by it, as CLIBridgeUnsupported would tell;
 * max_tokens, which all must give, is left out. */
static void taken(void)
{
    static const struct {
        const char *text;
        const char *given;
    } fields[] = {
        { "", NULL }, { "'no_such_field':{'a':[1]}", NULL },
        { "'model':'m','stream':true", NULL },
        { "'system':null,'tools':null,'thinking':null,'stop_sequences':null",
          NULL },
        { "'temperature':1", NULL }, { "'temperature':0.5", "temperature" },
        { "'temperature':0", "temperature" }, { "'top_p':1.0", NULL },
        { "'top_p':0.9", "top_p" }, { "'top_k':40", "top_k" },
        { "'stop_sequences':[]", NULL },
        { "'stop_sequences':['A','B']", NULL },
        { "'system':'s'", NULL }, { "'system':[]", NULL },
        { "'thinking':{'type':'adaptive'}", NULL },
        { "'thinking':{'type':'adaptive','display':'omitted'}", NULL },
        { "'thinking':{'type':'disabled'}", "thinking" },
        { "'thinking':{'type':'enabled','budget_tokens':1024}",
          "thinking.budget_tokens" },
        { "'thinking':{'type':'between_tools'}", "thinking.type" },
        { "'output_config':{}", NULL },
        { "'output_config':{'effort':'low'}", "output_config.effort" },
        { "'output_config':{'effort':null,'task_budget':{'total':1}}",
          "output_config.task_budget" },
        { "'output_config':{'format':{'type':'json_schema','schema':{}}}",
          NULL },
        { "'output_format':{'type':'json_schema','schema':{}}", NULL },
        { "'container':null,'mcp_servers':[]", NULL },
        { "'context_management':{}", NULL },
        { "'context_management':{'edits':[]}", "context_management" },
        { "'service_tier':'auto'", NULL },
        { "'service_tier':'standard_only'", "service_tier" },
        { "'speed':'standard'", NULL }, { "'speed':'fast'", "speed" },
        { "'inference_geo':'us'", "inference_geo" },
        { "'fallbacks':[{'model':'m'}]", "fallbacks" },
        { "'metadata':{'user_id':'u'},'cache_control':{'type':'ephemeral'},"
          "'diagnostics':{'previous_message_id':'m'}", NULL },
        { "'tool_choice':{'type':'auto'}", NULL },
        { "'tool_choice':{'type':'none'}", NULL },
        { "'tools':[{'type':'web_search_20250305','name':'web_search'},"
          "{'name':'f','input_schema':{}},{'type':'mcp_toolset'}]",
          "tools[0], tools[2]" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        const clb_chat_t *chat = parse(body(fields[i].text));

        if (ok(chat != NULL, "%s", fields[i].text)) {
            is_str(clb_chat_ignored(chat, CLB_FIELD(CLB_MAX_TOKENS)),
                   fields[i].given, "it asks for %s", fields[i].given == NULL
                   ? "nothing" : fields[i].given);
        }
        else {
            diag("%s", error.message);
        }
    }
}

static void refused(void)
{
    static const struct {
        const char *text;
        clb_error_e kind;
        const char *param;
    } fields[] = {
        { "'model':7", CLB_BAD_REQUEST, "model" },
        { "'temperature':1.1", CLB_BAD_REQUEST, "temperature" },
        { "'temperature':'hot'", CLB_BAD_REQUEST, "temperature" },
        { "'top_p':-1", CLB_BAD_REQUEST, "top_p" },
        { "'top_k':0", CLB_BAD_REQUEST, "top_k" },
        { "'stop_sequences':'A'", CLB_BAD_REQUEST, "stop_sequences" },
        { "'stop_sequences':[7]", CLB_BAD_REQUEST, "stop_sequences" },
        { "'stream':'yes'", CLB_BAD_REQUEST, "stream" },
        { "'system':7", CLB_BAD_REQUEST, "system" },
        { "'system':[{'type':'text','text':'a'},{'type':'image'}]",
          CLB_BAD_REQUEST, "system[1]" },
        { "'system':['a']", CLB_BAD_REQUEST, "system[0]" },
        { "'thinking':true", CLB_BAD_REQUEST, "thinking" },
        { "'thinking':{'type':'on'}", CLB_BAD_REQUEST, "thinking" },
        { "'thinking':{'type':'enabled'}", CLB_BAD_REQUEST,
          "thinking.budget_tokens" },
        { "'thinking':{'type':'enabled','budget_tokens':1023}",
          CLB_BAD_REQUEST, "thinking.budget_tokens" },
        { "'thinking':{'type':'adaptive','display':'all'}", CLB_BAD_REQUEST,
          "thinking.display" },
        { "'output_config':[]", CLB_BAD_REQUEST, "output_config" },
        { "'output_config':{'effort':'huge'}", CLB_BAD_REQUEST,
          "output_config.effort" },
        { "'output_config':{'format':{'type':'text'}}", CLB_BAD_REQUEST,
          "output_config.format" },
        { "'output_format':{'type':'json_schema'}", CLB_BAD_REQUEST,
          "output_format" },
        { "'container':'c'", CLB_UNSUPPORTED, "container" },
        { "'mcp_servers':[{}]", CLB_UNSUPPORTED, "mcp_servers" },
        { "'thread':{'id':'t'}", CLB_UNSUPPORTED, "thread" },
        { "'tools':{}", CLB_BAD_REQUEST, "tools" },
        { "'tools':[7]", CLB_BAD_REQUEST, "tools[0]" },
        { "'tools':[{'name':'f'}]", CLB_BAD_REQUEST, "tools[0]" },
        { "'tools':[{'name':'','input_schema':{}}]", CLB_BAD_REQUEST,
          "tools[0]" },
        { "'tools':[{'type':7,'name':'f','input_schema':{}}]",
          CLB_BAD_REQUEST, "tools[0]" },
        { "'tools':[{'name':'f','input_schema':{'type':'array'}}]",
          CLB_BAD_REQUEST, "tools[0]" },
        { "'tools':[{'name':'f','input_schema':{}},{'name':'f',"
          "'input_schema':{}}]", CLB_BAD_REQUEST, "tools[1]" },
        { "'tools':[{'type':'bash_20250124','name':'bash'}]",
          CLB_UNSUPPORTED, "tools[0]" },
        { "'tools':[{'type':'text_editor_20250728','name':'e'}]",
          CLB_UNSUPPORTED, "tools[0]" },
        { "'tool_choice':'auto'", CLB_BAD_REQUEST, "tool_choice" },
        { "'tool_choice':{'type':'any'}", CLB_BAD_REQUEST, "tool_choice" },
        { "'tool_choice':{'type':'tool','name':'f'}", CLB_BAD_REQUEST,
          "tool_choice" },
        { "'tools':[{'type':'web_search_20250305','name':'web_search'}],"
          "'tool_choice':{'type':'tool','name':'web_search'}",
          CLB_BAD_REQUEST, "tool_choice" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        is_refused(body(fields[i].text), fields[i].kind, fields[i].param);
    }
    is_refused("{'messages':[" QUESTION "]}", CLB_BAD_REQUEST, "max_tokens");
    is_refused("{'max_tokens':0,'messages':[" QUESTION "]}", CLB_BAD_REQUEST,
               "max_tokens");
}

static void values(void)
{
    const clb_chat_t *chat = parse(body("'model':'m','temperature':0.5,"
        "'top_p':0.25,'top_k':40,'stop_sequences':['a','b'],'stream':true,"
        "'system':[{'type':'text','text':'be','cache_control':{'type':"
        "'ephemeral'}},{'type':'text','text':'kind'}],'output_config':"
        "{'effort':'max','format':{'type':'json_schema','schema':{'type':"
        "'object'}}}"));

    is_str(chat->asked, "m", "the model");
    is_int(chat->max_tokens, 9, "the limit");
    ok(chat->temperature == 0.5 && chat->top_p == 0.25 && chat->top_k == 40,
       "sampling");
    is_int(chat->stop->nelts, 2, "stop sequences");
    is_str(chat->system, "be\n\nkind", "blocks of the system prompt");
    is_int(chat->effort, CLB_EFFORT_MAX, "effort");
    is_int(chat->format, CLB_FORMAT_SCHEMA, "a form of the answer");
    is_str(chat->schema, "{\"type\":\"object\"}", "by its schema");
    is_str(chat->format_name, "output_config.format", "and its field");
    ok(chat->stream && chat->model_thinks, "a stream, thoughts as it is used "
       "to");

    chat = parse(body("'thinking':{'type':'enabled','budget_tokens':2048,"
                      "'display':'summarized'}"));
    ok(chat->budget == 2048 && !chat->model_thinks, "a budget");
    is_str(chat->display, "summarized", "and what is shown of it");
    chat = parse(body("'thinking':{'type':'disabled'}"));
    ok(clb_chat_given(chat, CLB_BUDGET) && chat->budget == 0, "no thoughts");
    chat = parse(body("'thinking':{'type':'adaptive'}"));
    ok(!clb_chat_given(chat, CLB_BUDGET) && !chat->model_thinks,
       "thoughts as the CLI asks for them");
}

static void tools(void)
{
    static const char two[] = "'tools':[{'name':'f','description':'d',"
        "'input_schema':{'type':'object'},'strict':true,'cache_control':{},"
        "'defer_loading':false},{'type':'custom','name':'g','input_schema':"
        "{}}],'tool_choice':";
    const clb_chat_t *chat = parse(body(apr_pstrcat(pool, two,
        "{'type':'any','disable_parallel_tool_use':true}", NULL)));
    const clb_tool_t *tool = clb_chat_tool(chat, "f");

    is_int(chat->tools->nelts, 2, "two tools");
    is_str(tool->description, "d", "with a description");
    is_str(tool->schema, "{\"type\":\"object\"}", "and a schema");
    is_str(clb_chat_tool(chat, "g")->schema,
           "{\"type\":\"object\",\"properties\":{}}", "or an empty one");
    ok(chat->choice == CLB_CHOICE_REQUIRED && chat->one_call,
       "one call, of any");
    chat = parse(body(apr_pstrcat(pool, two, "{'type':'tool','name':'g'}",
                                  NULL)));
    ok(chat->choice == CLB_CHOICE_NAMED && strcmp(chat->chosen, "g") == 0
       && !chat->one_call, "of one");
    chat = parse(body(apr_pstrcat(pool, two, "{'type':'none'}", NULL)));
    is_int(chat->choice, CLB_CHOICE_NONE, "of none");
}

/* --- versions --- */

static void versions(void)
{
    static const char *const wrong[] = { NULL, "", "2023-01-01", "v1",
                                         "2026-10-21 " };
    static const char *const sampling[] = {
        "'temperature':1", "'top_p':0.5", "'top_k':1"
    };
    apr_size_t i;

    for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        version = wrong[i];
        is_refused(body(""), CLB_BAD_REQUEST, "anthropic-version");
    }
    version = NEWER;
    ok(parse(body("'temperature':null")) != NULL, "the newer version");
    for (i = 0; i < sizeof(sampling) / sizeof(*sampling); i++) {
        char *name = apr_pstrdup(pool, sampling[i] + 1);

        *strchr(name, '\'') = '\0';
        is_refused(body(sampling[i]), CLB_BAD_REQUEST, name);
    }
    is_refused(messages(QUESTION ",{'role':'assistant','content':[{'type':"
               "'document','source':{'type':'text','media_type':'text/plain',"
               "'data':'d'}}]}," QUESTION), CLB_BAD_REQUEST,
               "messages[1].content[0]");
    is_refused(messages("{'role':'user','content':[{'type':'text','text':'q',"
               "'citations':[{}]}]}"), CLB_BAD_REQUEST,
               "messages[0].content[0]");
    is_refused(messages("{'role':'user','content':[{'type':'search_result',"
               "'title':'t','source':'s','content':[{'type':'text','text':"
               "'x','citations':[{}]}]}]}"), CLB_BAD_REQUEST,
               "messages[0].content[0].content[0]");
    ok(parse(messages(QUESTION ",{'role':'assistant','content':[{'type':"
             "'text','text':'a','citations':[{}]}]}," QUESTION)) != NULL,
       "the assistant may cite");
    version = OLDER;
}

/* --- messages --- */

static const char *part_told(const clb_part_t *part);

static const char *parts_told(const apr_array_header_t *parts)
{
    const char *out = "";
    int i;

    for (i = 0; i < parts->nelts; i++) {
        out = apr_pstrcat(pool, out, i > 0 ? "," : "", part_told(
                          &APR_ARRAY_IDX(parts, i, clb_part_t)), NULL);
    }
    return out;
}

static const char *part_told(const clb_part_t *part)
{
    switch (part->kind) {
    case CLB_PART_TEXT:
        return part->text;
    case CLB_PART_REASONING:
        return apr_pstrcat(pool, "<", part->text, "/", part->signature == NULL
            ? "" : part->signature, "/", part->data == NULL ? "" : part->data,
            ">", NULL);
    case CLB_PART_CALL:
        return apr_pstrcat(pool, part->name, "#", part->id, part->text, NULL);
    case CLB_PART_RESULT:
        return apr_pstrcat(pool, "#", part->id, part->failed ? "!" : "=", "(",
                           parts_told(part->parts), ")", NULL);
    default:
        return apr_pstrcat(pool, part->media == NULL ? "link" : part->media,
            ":", part->url != NULL ? part->url : part->data != NULL
            ? "data" : part->text, part->name == NULL ? "" : " ",
            part->name == NULL ? "" : part->name, NULL);
    }
}

/* The conversation: S:…, U:…, A:…, parts with commas between. */
static const char *told(const clb_chat_t *chat)
{
    const char *out = chat->system == NULL ? ""
                    : apr_pstrcat(pool, "S:", chat->system, " ", NULL);
    int i;

    for (i = 0; i < chat->messages->nelts; i++) {
        const clb_message_t *message = &APR_ARRAY_IDX(chat->messages, i,
                                                      clb_message_t);

        out = apr_pstrcat(pool, out, i > 0 ? " " : "",
                          message->role == CLB_ROLE_USER ? "U:" : "A:",
                          parts_told(message->parts), NULL);
    }
    return out;
}

#define USER(content) "{'role':'user','content':" content "}"
#define ASSISTANT(content) "{'role':'assistant','content':" content "}"
#define TEXT(text) "{'type':'text','text':'" text "','cache_control':" \
    "{'type':'ephemeral'}}"
#define PNG "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Q" \
    "DwADhgGAWjR9awAAAABJRU5ErkJggg=="
#define IMAGE "{'type':'image','source':{'type':'base64','media_type':" \
    "'image/png','data':'" PNG "'}}"
#define USE(id, name, input) "{'type':'tool_use','id':'" id "','name':'" name \
    "','input':" input ",'caller':{'type':'direct'}}"
#define RESULT(id, more) "{'type':'tool_result','tool_use_id':'" id "'" more "}"
#define DOCUMENT(source) "{'type':'document','title':'T','source':" source "}"

static void conversations(void)
{
    static const struct {
        const char *list;
        const char *want;
    } cases[] = {
        { USER("'hi'"), "U:hi" },
        { USER("[" TEXT("a") "," TEXT("b") "]"), "U:a,b" },
        { USER("[]"), "U:" }, { USER("''"), "U:" },
        { USER("'a'") "," USER("'b'") "," ASSISTANT("'c'") ","
          ASSISTANT("[" TEXT("d") "]") "," USER("'e'"),
          "U:a U:b A:c A:d U:e" },
        { ASSISTANT("'a'") "," USER("'b'"), "A:a U:b" },
        { USER("'a'") ",{'role':'system','content':'s'},{'role':'system',"
          "'content':[" TEXT("t") "]}," USER("'b'"), "S:s\n\nt U:a U:b" },
        { USER("[" IMAGE ",{'type':'image','source':{'type':'url','url':"
          "'https://a/b.png'}}]"), "U:image/png:data,link:https://a/b.png" },
        { USER("[" DOCUMENT("{'type':'base64','media_type':'application/pdf',"
          "'data':'JVBERi0='}") "," DOCUMENT("{'type':'text','media_type':"
          "'text/plain','data':'words'}") "," DOCUMENT("{'type':'url','url':"
          "'https://a/b.pdf'}") "]"), "U:application/pdf:data T,"
          "text/plain:words T,link:https://a/b.pdf T" },
        { USER("[" DOCUMENT("{'type':'content','content':[" TEXT("a") ","
          TEXT("b") "]}") "," DOCUMENT("{'type':'content','content':'c'}")
          "]"), "U:text/plain:a\n\nb T,text/plain:c T" },
        { USER("[{'type':'search_result','title':'T','source':'S','content':["
          TEXT("x") "," TEXT("y") "],'citations':{'enabled':false}}]"),
          "U:T\nS\n\nx\n\ny" },
        { USER("'q'") "," ASSISTANT("[{'type':'thinking','thinking':'hm',"
          "'signature':'c2ln'},{'type':'redacted_thinking','data':'eHg='},"
          "{'type':'thinking','thinking':'no','signature':''},{'type':"
          "'thinking','thinking':''},{'type':'thinking','thinking':'ours',"
          "'signature':'clb-unsigned'}," TEXT("a") "]") "," USER("'r'"),
          "U:q A:<hm/c2ln/>,<//eHg=>,<no//>,<//>,<ours//>,a U:r" },
        { USER("'q'") "," ASSISTANT("[" TEXT("a") "," USE("1", "f",
          "{'b':2}") "," USE("2", "g", "{}") "]") "," USER("["
          RESULT("2", ",'content':'two','is_error':true") ","
          RESULT("1", ",'content':[" TEXT("one") "," IMAGE "],'is_error':"
          "false") "," TEXT("go on") "]"), "U:q A:a,f#1{\"b\":2},g#2{} "
          "U:#2!(two),#1=(one,image/png:data),go on" },
        { USER("'q'") "," ASSISTANT("[" USE("1", "f", "{}") "," USE("2", "f",
          "{}") "]") "," USER("[" RESULT("1", "") "]") "," USER("["
          RESULT("2", ",'content':null") "]"),
          "U:q A:f#1{},f#2{} U:#1=() U:#2=()" },
        { USER("[" TEXT("a") ",{'type':'text','text':'b','citations':[{}]}]"),
          "U:a,b" },
        { USER("'q'") "," ASSISTANT("[" DOCUMENT("{'type':'text',"
          "'media_type':'text/plain','data':'d'}") "]") "," USER("'r'"),
          "U:q A:text/plain:d T U:r" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        clb_chat_t *chat = parse(messages(cases[i].list));

        is_str(chat == NULL ? error.message : told(chat), cases[i].want,
               "%s", cases[i].list);
    }
}

static void bad_conversations(void)
{
    static const struct {
        const char *list;
        clb_error_e kind;
        const char *param;
    } cases[] = {
        { "7", CLB_BAD_REQUEST, "messages[0].role" },
        { "{'role':'tool','content':'x'}", CLB_BAD_REQUEST,
          "messages[0].role" },
        { "{'role':'user'}", CLB_BAD_REQUEST, "messages[0].content" },
        { USER("7"), CLB_BAD_REQUEST, "messages[0].content" },
        { USER("['a']"), CLB_BAD_REQUEST, "messages[0].content[0]" },
        { USER("[{'type':'text'}]"), CLB_BAD_REQUEST,
          "messages[0].content[0]" },
        { USER("[" TEXT("a") ",{'type':'server_tool_use'}]"),
          CLB_UNSUPPORTED, "messages[0].content[1]" },
        { USER("[{'type':'container_upload','file_id':'f'}]"),
          CLB_UNSUPPORTED, "messages[0].content[0]" },
        { USER("[{'type':'thinking','thinking':'x'}]"), CLB_BAD_REQUEST,
          "messages[0].content[0]" },
        { USER("[" USE("1", "f", "{}") "]"), CLB_BAD_REQUEST,
          "messages[0].content[0]" },
        { USER("'q'") "," ASSISTANT("[" IMAGE "]"), CLB_BAD_REQUEST,
          "messages[1].content[0]" },
        { USER("'q'") "," ASSISTANT("[" RESULT("1", "") "]"),
          CLB_BAD_REQUEST, "messages[1].content[0]" },
        { "{'role':'system','content':[" IMAGE "]}", CLB_BAD_REQUEST,
          "messages[0].content[0]" },
        { USER("[{'type':'image'}]"), CLB_BAD_REQUEST,
          "messages[0].content[0]" },
        { USER("[{'type':'image','source':{'type':'base64','media_type':"
          "'image/png'}}]"), CLB_BAD_REQUEST, "messages[0].content[0]" },
        { USER("[{'type':'image','source':{'type':'base64','media_type':"
          "'image/png','data':'AAAA'}}]"), CLB_BAD_REQUEST,
          "messages[0].content[0]" },
        { USER("[{'type':'image','source':{'type':'url','url':'file:///x'}}]"),
          CLB_BAD_REQUEST, "messages[0].content[0]" },
        { USER("[{'type':'image','source':{'type':'url'}}]"),
          CLB_BAD_REQUEST, "messages[0].content[0]" },
        { USER("[{'type':'image','source':{'type':'file','file_id':'f'}}]"),
          CLB_UNSUPPORTED, "messages[0].content[0]" },
        { USER("[" DOCUMENT("{'type':'file','file_id':'f'}") "]"),
          CLB_UNSUPPORTED, "messages[0].content[0]" },
        { USER("[" DOCUMENT("{'type':'content','content':[" IMAGE "]}") "]"),
          CLB_BAD_REQUEST, "messages[0].content[0].source.content[0]" },
        { USER("[" DOCUMENT("{'type':'text','data':7}") "]"),
          CLB_BAD_REQUEST, "messages[0].content[0].source.data" },
        { USER("[{'type':'search_result','title':'t','content':[]}]"),
          CLB_BAD_REQUEST, "messages[0].content[0]" },
        { USER("'q'") "," ASSISTANT("[{'type':'thinking'}]"),
          CLB_BAD_REQUEST, "messages[1].content[0]" },
        { USER("'q'") "," ASSISTANT("[{'type':'redacted_thinking'}]"),
          CLB_BAD_REQUEST, "messages[1].content[0]" },
        { USER("'q'") "," ASSISTANT("[" USE("", "f", "{}") "]"),
          CLB_BAD_REQUEST, "messages[1].content[0]" },
        { USER("'q'") "," ASSISTANT("[" USE("1", "f", "[]") "]"),
          CLB_BAD_REQUEST, "messages[1].content[0]" },
        { USER("'q'") "," ASSISTANT("[" USE("1", "f", "{}") ","
          USE("1", "f", "{}") "]"), CLB_BAD_REQUEST,
          "messages[1].content[1]" },
        { USER("'q'") "," ASSISTANT("[" USE("1", "f", "{}") "]"),
          CLB_BAD_REQUEST, "messages" },
        { USER("'q'") "," ASSISTANT("[" USE("1", "f", "{}") "]") ","
          USER("'r'"), CLB_BAD_REQUEST, "messages" },
        { USER("[" RESULT("1", "") "]"), CLB_BAD_REQUEST,
          "messages[0].content[0]" },
        { USER("'q'") "," ASSISTANT("[" USE("1", "f", "{}") "]") ","
          USER("[" TEXT("t") "," RESULT("1", "") "]"), CLB_BAD_REQUEST,
          "messages[2].content[1]" },
        { USER("'q'") "," ASSISTANT("[" USE("1", "f", "{}") "]") ","
          USER("[" RESULT("1", "") "," RESULT("1", "") "]"),
          CLB_BAD_REQUEST, "messages[2].content[1]" },
        { USER("'q'") "," ASSISTANT("[" USE("1", "f", "{}") "]") ","
          USER("[" RESULT("1", ",'content':[{'type':'tool_reference'}]") "]"),
          CLB_UNSUPPORTED, "messages[2].content[0].content[0]" },
    };
    apr_size_t i;

    is_refused("{'max_tokens':9}", CLB_BAD_REQUEST, "messages");
    is_refused(messages(""), CLB_BAD_REQUEST, "messages");
    is_refused("{'max_tokens':9,'messages':'q'}", CLB_BAD_REQUEST,
               "messages");
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        is_refused(messages(cases[i].list), cases[i].kind, cases[i].param);
    }
}

static void media_count(void)
{
    const char *images = IMAGE;
    int i;

    for (i = 1; i < 100; i++) {
        images = apr_pstrcat(pool, images, "," IMAGE, NULL);
    }
    ok(parse(messages(apr_pstrcat(pool, "{'role':'user','content':[", images,
                                  "]}", NULL))) != NULL, "100 images");
    is_refused(messages(apr_pstrcat(pool, "{'role':'user','content':[",
               images, "," DOCUMENT("{'type':'text','data':'d'}") "]}", NULL)),
               CLB_BAD_REQUEST, "messages[0].content[100]");
}

static void prefill(void)
{
    static const struct {
        const char *list;
        int prefill;
    } cases[] = {
        { USER("'q'"), 0 },
        { USER("'q'") "," ASSISTANT("'The answer is ('"), 1 },
        { USER("'q'") "," ASSISTANT("[" TEXT("{") "]"), 1 },
        { USER("'q'") "," ASSISTANT("' '"), 0 },
        { USER("'q'") "," ASSISTANT("[{'type':'thinking','thinking':'t',"
          "'signature':'s'}]"), 0 },
        { USER("'q'") "," ASSISTANT("'a'") "," USER("'r'"), 0 },
        { "{'role':'system','content':'s'}", 0 },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const clb_chat_t *chat = parse(messages(cases[i].list));

        ok(chat->prefill == cases[i].prefill
           && clb_chat_needs(chat) == (cases[i].prefill ? CLB_NEED_PREFILL
                                                        : 0),
           "%s: %d", cases[i].list, cases[i].prefill);
    }
    is_str(clb_chat_need_field(clb_chat_create(pool), CLB_NEED_PREFILL),
           "messages", "it is due to the messages");
}

static void told_apart(void)
{
    const clb_chat_t *chat = parse(messages(USER("[{'type':'document',"
        "'context':'c','citations':{'enabled':true},'source':{'type':'text',"
        "'data':'d'}}]")));

    is_str(clb_chat_ignored(chat, CLB_FIELD(CLB_MAX_TOKENS)),
           "citations, context", "what no CLI is told of a document");
    is_int(clb_chat_needs(parse(messages(USER("[" DOCUMENT("{'type':'url',"
           "'url':'http://a'}") "]")))), CLB_NEED_DOCUMENTS | CLB_NEED_URLS,
           "what an address needs");
}

static void counting(void)
{
    ok(parse_as(&clb_anthropic_count, "{'messages':[" QUESTION "]}") != NULL,
       "counting needs no limit");
    ok(parse_as(&clb_anthropic_count, "{'messages':[]}") == NULL,
       "but messages");
    version = NEWER;
    ok(parse_as(&clb_anthropic_count, "{'messages':[" QUESTION "],"
                "'temperature':1}") == NULL, "of the same version");
    version = OLDER;
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    version = OLDER;
    taken();
    refused();
    values();
    tools();
    versions();
    conversations();
    bad_conversations();
    media_count();
    prefill();
    told_apart();
    counting();
    return tap_done();
}
