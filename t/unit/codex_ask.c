/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of Codex, and what its driver writes to it: the
 * conversation as items, tools, and what the turn is asked for. */
#include "tap.h"

#include "codex.h"

#include <apr_general.h>

/* --- the command line --- */

static apr_array_header_t *arguments(const char *dir, const char *const *env)
{
    apr_array_header_t *argv = apr_array_make(pool, 16, sizeof(char *));
    clb_start_t start = { .dir = dir, .env = env };

    clb_driver_codex.args(&start, argv);
    APR_ARRAY_PUSH(argv, const char *) = "OPERATOR";
    clb_driver_codex.last_args(&start, argv);
    return argv;
}

#define ARGV(...) arguments("/s/7", (const char *const[]){ __VA_ARGS__, NULL })

/* 1 if @a second follows @a first. */
static int has(const apr_array_header_t *argv, const char *first,
               const char *second)
{
    int i;

    for (i = 0; i < argv->nelts - 1; i++) {
        if (strcmp(APR_ARRAY_IDX(argv, i, const char *), first) == 0
            && strcmp(APR_ARRAY_IDX(argv, i + 1, const char *), second) == 0) {
            return 1;
        }
    }
    return 0;
}

static int mentions(const apr_array_header_t *argv, const char *text)
{
    int i;

    for (i = 0; i < argv->nelts; i++) {
        if (strstr(APR_ARRAY_IDX(argv, i, const char *), text) != NULL) {
            return 1;
        }
    }
    return 0;
}

static void command_line(void)
{
    static const char *const off[] = {
        "shell_tool", "unified_exec", "view_image", "goals", "multi_agent",
        "apps", "plugins", "tool_suggest", "image_generation", "sleep_tool",
        "skill_search", "hooks"
    };
    const apr_array_header_t *argv = ARGV("HOME=/h", "OPENAI_BASE_URLS=x",
                                          "XOPENAI_API_KEY=y");
    apr_size_t i;

    is_str(APR_ARRAY_IDX(argv, 0, const char *), "app-server",
           "it is a server");
    for (i = 0; i < sizeof(off) / sizeof(*off); i++) {
        ok(has(argv, "--disable", off[i]), "without %s", off[i]);
    }
    ok(has(argv, "-c", "project_doc_max_bytes=0"), "nor memory files");
    ok(has(argv, "-c", "include_environment_context=false"),
       "nor a word on where it runs");
    ok(mentions(argv, "request_max_retries=0,stream_max_retries=0"),
       "it tries nothing twice");
    ok(has(argv, "-c", "thread_unload_delay_secs=0"),
       "and forgets threads at once");
    ok(has(argv, "OPERATOR", "-c")
       && has(argv, "-c", "model_catalog_json=\"/s/7/catalog.json\""),
       "what it knows of models is ours in any case");
    ok(has(argv, "-c", "sqlite_home=\"/s/7/tmp\""),
       "its databases are of the process");
    ok(!mentions(argv, "base_url") && !mentions(argv, "env_key"),
       "without variables it uses its own login");
    is_int(clb_driver_codex.traits(NULL), CLB_PROBE | CLB_REUSE | CLB_PARKS
           | CLB_CHATTY, "it is probed, serves again, and may hold a "
           "conversation");
}

static void variables(void)
{
    const apr_array_header_t *argv = ARGV(
        "OPENAI_BASE_URL=http://127.0.0.1:1/v1", "OPENAI_API_KEY=sk-1");

    ok(has(argv, "-c", "model_providers.clibridge.base_url="
           "\"http://127.0.0.1:1/v1\""), "a gateway's address");
    ok(has(argv, "-c", "model_providers.clibridge.env_key="
           "\"OPENAI_API_KEY\"")
       && has(argv, "-c", "model_providers.clibridge.requires_openai_auth="
              "false"), "a key instead of a login");
    ok(!mentions(argv, "sk-1"), "which nobody reads off the command line");
    argv = ARGV("OPENAI_BASE_URL=");
    ok(!mentions(argv, "base_url"), "an empty address is none");
    argv = ARGV("OPENAI_API_KEY=");
    ok(!mentions(argv, "env_key"), "nor is an empty key");
    argv = ARGV("OPENAI_BASE_URL=a\"b\\c\n\td\xc3\xa9\xff,x={y=1}'#");
    ok(has(argv, "-c", "model_providers.clibridge.base_url="
           "\"a\\\"b\\\\c\\n\\td\xc3\xa9\xef\xbf\xbd,x={y=1}'#\""),
       "whatever it is, it is one string");
    argv = arguments("/a \"b\"/7", (const char *const[]){ NULL });
    ok(has(argv, "-c", "model_catalog_json=\"/a \\\"b\\\"/7/catalog.json\""),
       "so is a path");
}

static void catalog(void)
{
    const clb_gift_t *gift = clb_driver_codex.gifts;
    const clb_json_t *model;
    clb_json_t *json;
    const char *why;

    is_str(gift[0].name, "catalog.json", "it finds a catalog");
    ok(gift[1].text == NULL && gift[2].text == NULL && gift[3].name == NULL,
       "and links, nothing else");
    is_str(gift[1].target, ".codex/auth.json", "to the login");
    is_str(gift[2].target, ".codex/installation_id", "and to an id");
    clb_json_parse(&json, gift[0].text, strlen(gift[0].text), CLB_JSON_STRICT,
                   &why, pool);
    is_int((long long)clb_json_size(clb_json_get(json, "models")), 1,
           "of one entry");
    model = clb_json_at(clb_json_get(json, "models"), 0);
    is_str(clb_json_get_string(model, "slug"), "", "for every model");
    is_str(clb_json_get_string(model, "base_instructions"), "",
           "with no text");
    is_str(clb_json_get_string(model, "shell_type"), "disabled", "no shell");
    ok(clb_json_get(model, "context_window") == NULL
       && clb_json_get(model, "auto_compact_token_limit") == NULL,
       "and no size that would make it sum up");
}

/* --- the conversation --- */

/* The items that are injected for @a chat. */
static const char *items(clb_chat_t *chat)
{
    turn_t turn;

    begin(&turn, chat);
    is_str(turn.wrong, NULL, "by the rules");
    return at(&turn, chat->tools->nelts > 0 ? 1 : 0, "params.items");
}

#define MESSAGE(role, content) "{'type':'message','role':'" role \
    "','content':[" content "]}"
#define IN(text) "{'type':'input_text','text':'" text "'}"
#define OUT(text) "{'type':'output_text','text':'" text "'}"
#define CALLED(name, arguments, id) "{'type':'function_call','name':'" name \
    "','arguments':'" arguments "','call_id':'" id "'}"
#define GOT(id, output) "{'type':'function_call_output','call_id':'" id \
    "','output':" output "}"

static clb_part_t *image(clb_message_t *message)
{
    clb_part_t *part = clb_chat_part(message, CLB_PART_IMAGE, NULL);

    part->media = "image/png";
    part->data = "aWc=";
    return part;
}

#define IMAGE "{'type':'input_image','image_url':'data:image/png;base64,aWc='}"

static void plain(void)
{
    clb_chat_t *chat = chat_new(1);
    turn_t turn;

    begin(&turn, chat);
    is_str(asked(&turn), "items turn", "a chat is two requests");
    is_str(at(&turn, 0, "method"), "\"thread/inject_items\"", "what was said");
    is_str(at(&turn, 0, "params"), q("{'threadId':'t0','items':["
           MESSAGE("user", IN("text 1")) "]}"), "is put into the thread");
    is_str(at(&turn, 1, "method"), "\"turn/start\"", "then it is asked");
    is_str(at(&turn, 1, "params"), q("{'threadId':'t0','input':[],"
           "'model':'gpt-5.5'}"), "with nothing but the model");

    chat->system = "Be \"brief\".\n\xc3\xa9";
    is_str(items(chat), apr_pstrcat(pool, q("[{'type':'message','role':"
           "'developer','content':[{'type':'input_text','text':"),
           "\"Be \\\"brief\\\".\\n\xc3\xa9\"", q("}]}," MESSAGE("user",
           IN("text 1")) "]"), NULL), "the system prompt is the developer's");
}

static void history(void)
{
    clb_chat_t *chat = chat_new(3);

    is_str(items(chat), q("[" MESSAGE("user", IN("text 1")) ","
           MESSAGE("assistant", OUT("text 2")) ","
           MESSAGE("user", IN("text 3")) "]"), "messages are messages");

    chat = chat_new(0);
    say(chat, CLB_ROLE_USER, "a");
    image(&APR_ARRAY_IDX(chat->messages, 0, clb_message_t));
    say(chat, CLB_ROLE_USER, " \n");
    say(chat, CLB_ROLE_USER, "b");
    clb_chat_part(clb_chat_message(chat, CLB_ROLE_ASSISTANT),
                  CLB_PART_REASONING, "hm");
    say(chat, CLB_ROLE_ASSISTANT, "c");
    is_str(items(chat), q("[" MESSAGE("user", IN("a") "," IMAGE "," IN("b"))
           "," MESSAGE("assistant", OUT("c")) ","
           MESSAGE("user", IN("Continue.")) "]"),
           "of one role one, with images, without blanks and reasoning");
}

static void calls(void)
{
    clb_chat_t *chat = chat_new(1);
    clb_message_t *content;

    say(chat, CLB_ROLE_ASSISTANT, "I look");
    call(chat, "x", "f", "{'a':1}");
    call(chat, "odd id\xc3\xa9", "f", "");
    say(chat, CLB_ROLE_ASSISTANT, "both");
    content = result(chat, "odd id\xc3\xa9", "r2");
    image(content);
    result(chat, "x", "r1");
    say(chat, CLB_ROLE_USER, "so?");
    call(chat, "x", "f", "nonsense");
    result(chat, "x", NULL);
    is_str(items(chat), q("[" MESSAGE("user", IN("text 1")) ","
           MESSAGE("assistant", OUT("I look")) ","
           CALLED("f", "{\\'a\\':1}", "call_h1_0") ","
           CALLED("f", "{}", "call_h1_1") ","
           MESSAGE("assistant", OUT("both")) ","
           GOT("call_h1_1", "[" IN("r2") "," IMAGE "]") ","
           GOT("call_h1_0", "'r1'") "," MESSAGE("user", IN("so?")) ","
           CALLED("f", "{\\'arguments\\':\\'nonsense\\'}", "call_h3_0") ","
           GOT("call_h3_0", "''") "]"),
           "calls and results stay where they were, with ids of ours");
}

/* --- tools --- */

static const char *tools(clb_chat_t *chat)
{
    turn_t turn;

    warm(&turn);
    ask(&turn, chat, 0);
    is_str(asked(&turn), "thread", "tools need a thread of their own");
    return at(&turn, 0, "params.dynamicTools");
}

#define TOOL(name, description, schema) "{'type':'function','name':'" name \
    "','description':'" description "','inputSchema':" schema "}"

static void declarations(void)
{
    clb_chat_t *chat = chat_new(1);
    clb_tool_t *one = tool(chat, "f");
    turn_t turn;

    one->description = "does f";
    one->schema = q("{'type':'object','$defs':{'b':1,'a':2}}");
    tool(chat, "a.b");
    is_str(tools(chat), q("[" TOOL("f", "does f",
           "{'type':'object','$defs':{'b':1,'a':2}}") ","
           TOOL("a_b_1", "", "{'type':'object'}") "]"),
           "as the client describes them");

    begin(&turn, chat);
    is_str(asked(&turn), "thread items turn", "then it is asked there");
    is_str(at(&turn, 0, "params"), apr_pstrcat(pool, q("{'model':'x',"
           "'ephemeral':true,'baseInstructions':'','environments':[],"
           "'experimentalRawEvents':true,'dynamicTools':"), tools(chat), "}",
           NULL), "a thread that has no more");
    warm(&turn);
    ask(&turn, chat_new(1), 0);
    turn_print(&turn, q(BEGUN DONE));
    is_str(at(&turn, 2, "params"), q("{'model':'x','ephemeral':true,"
           "'baseInstructions':'','environments':[],"
           "'experimentalRawEvents':false}"), "one made ahead has none");
}

/* What the CLI would cut stands where it does not. */
static void large_schemas(void)
{
    clb_chat_t *chat = chat_new(1);
    clb_tool_t *one = tool(chat, "f");
    char *words = apr_pcalloc(pool, 5000);

    memset(words, 'x', 4000 - strlen("{\"a\":\"\"}"));
    one->schema = apr_pstrcat(pool, "{\"a\":\"", words, "\"}", NULL);
    one->description = "does f";
    ok(strstr(tools(chat), "\"does f\"") != NULL, "a schema of 4,000 bytes is "
       "told once");
    words[strlen(words)] = 'x';
    one->schema = apr_pstrcat(pool, "{\"a\":\"", words, "\"}", NULL);
    ok(strstr(tools(chat), apr_pstrcat(pool, "\"does f\\n\\nThe JSON schema of "
       "its arguments: {\\\"a\\\":\\\"", words, "\\\"}\",\"inputSchema\":",
       one->schema, NULL)) != NULL, "a larger one in the description, too");
    one->description = NULL;
    ok(strstr(tools(chat), "\"description\":\"The JSON") != NULL,
       "also in one of its own");
}

/* Names that the CLI would refuse, or drop without a word. */
static void names(void)
{
    clb_chat_t *chat = chat_new(1);

    tool(chat, "exec_command");
    tool(chat, "shell_command");
    tool(chat, "mcp__c__x");
    tool(chat, "shell");
    is_str(tools(chat), q("[" TOOL("exec_command_0", "", "{'type':'object'}")
           "," TOOL("shell_command_1", "", "{'type':'object'}")
           "," TOOL("t0_mcp__c__x_2", "", "{'type':'object'}")
           "," TOOL("shell", "", "{'type':'object'}") "]"),
           "the CLI's own names are given others");
}

static void choices(void)
{
    clb_chat_t *chat = chat_new(1);
    turn_t turn;

    tool(chat, "f");
    tool(chat, "a.b");
    chat->choice = CLB_CHOICE_REQUIRED;
    is_str(items(chat), q("[" MESSAGE("developer",
           IN("Call at least one of your tools now.")) ","
           MESSAGE("user", IN("text 1")) "]"), "it is asked for a call");
    chat->system = "s";
    chat->choice = CLB_CHOICE_NAMED;
    chat->chosen = "a.b";
    is_str(items(chat), q("[" MESSAGE("developer", IN("s") ","
           IN("Call the tool a_b_1 now.")) "," MESSAGE("user", IN("text 1"))
           "]"), "or for a certain one");
    is_str(tools(chat), q("[" TOOL("a_b_1", "", "{'type':'object'}") "]"),
           "which is all that it has then");

    chat->choice = CLB_CHOICE_NONE;
    warm(&turn);
    ask(&turn, chat, 0);
    is_str(asked(&turn), "items turn", "it gets none that it must not use");
    is_str(at(&turn, 0, "params.items"), q("[" MESSAGE("developer", IN("s"))
           "," MESSAGE("user", IN("text 1")) "]"), "without a word");
}

/* What the client is told that the CLI leaves out of a tool's schema. */
static const char *drops(const char *schema)
{
    clb_chat_t *chat = chat_new(1);

    tool(chat, "f");
    tool(chat, "g")->schema = q(schema);
    return clb_driver_codex.drops(chat, pool);
}

static void schemas(void)
{
    clb_chat_t *chat = chat_new(1);

    ok(drops("{'type':'object','properties':{'format':{},'not':"
             "{'type':'string','description':'pattern'}}}") == NULL,
       "names and words are no keywords");
    is_str(drops("{'properties':{'a':{'pattern':'x','format':'y'}}}"),
           "tools (format, pattern)", "keywords are");
    is_str(drops("{'properties':{'properties':{'minimum':1}}}"),
           "tools (minimum)", "also of what is named like one");
    is_str(drops("{'anyOf':[{'type':'null'},{'items':{'maxLength':1}}]}"),
           "tools (maxLength)", "wherever they stand");
    is_str(drops("{'definitions':{'format':{}}}"), "tools (definitions)",
           "also those that have names below");
    ok(drops("{'properties':{'a':{'default':{'format':1},'const':"
             "{'not':1},'enum':[{'minimum':1}],'examples':"
             "[{'pattern':1}]}}}") == NULL, "values are none");
    tool(chat, "f")->schema = q("{'format':'x'}");
    chat->choice = CLB_CHOICE_NONE;
    ok(clb_driver_codex.drops(chat, pool) == NULL,
       "nothing is lost of tools that it has not");
}

/* --- the turn --- */

static void structured(void)
{
    clb_chat_t *chat = chat_new(1);
    turn_t turn;

    chat->format = CLB_FORMAT_SCHEMA;
    chat->schema = "{\"type\":\"object\",\"title\":\"t\",\"b\":1,\"a\":2}";
    begin(&turn, chat);
    is_str(at(&turn, 1, "params.outputSchema"), chat->schema,
           "a schema as it is");
    is_str(at(&turn, 0, "params.items"), q("[" MESSAGE("user", IN("text 1"))
           "]"), "needs no words");

    chat->format = CLB_FORMAT_JSON;
    begin(&turn, chat);
    ok(at(&turn, 1, "params.outputSchema") == NULL, "for any object");
    ok(strstr(at(&turn, 0, "params.items"), q("[{'type':'message','role':"
       "'developer','content':[{'type':'input_text','text':'Answer with one "
       "JSON object")) != NULL, "there are only words");
}

static void efforts(void)
{
    static const struct {
        clb_effort_e effort;
        const char *want;
    } cases[] = {
        { CLB_EFFORT_UNSET, NULL },
        { CLB_EFFORT_NONE, "\"none\"" },
        { CLB_EFFORT_MINIMAL, "\"minimal\"" },
        { CLB_EFFORT_LOW, "\"low\"" },
        { CLB_EFFORT_MEDIUM, "\"medium\"" },
        { CLB_EFFORT_HIGH, "\"high\"" },
        { CLB_EFFORT_XHIGH, "\"xhigh\"" },
        { CLB_EFFORT_MAX, "\"xhigh\"" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        clb_chat_t *chat = chat_new(1);
        turn_t turn;

        chat->effort = cases[i].effort;
        begin(&turn, chat);
        is_str(at(&turn, 1, "params.effort"), cases[i].want, "effort: %s",
               cases[i].want == NULL ? "none given" : cases[i].want);
    }
    is_int(clb_driver_codex.honours(NULL), CLB_FIELD(CLB_EFFORT),
           "that is all of a client's parameters that it can be told");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    command_line();
    variables();
    catalog();
    plain();
    history();
    calls();
    declarations();
    large_schemas();
    names();
    choices();
    schemas();
    structured();
    efforts();
    return tap_done();
}
