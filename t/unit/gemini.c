/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the Gemini API: every field, every kind of part, both spellings,
 * and the vendor's form of schemas. */
#include "tap.h"

#include "../../src/api/gemini.h"

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

static clb_json_t *json_of(const char *text)
{
    clb_json_t *json = NULL;
    const char *why;

    if (clb_json_parse(&json, q(text), strlen(text), CLB_JSON_STRICT, &why,
                       pool) != APR_SUCCESS) {
        diag("%s: %s", text, why);
    }
    return json;
}

/* The chat in a body; NULL, and `error` set, if it is refused. */
static clb_chat_t *parse_as(const clb_dialect_t *dialect, const char *text)
{
    clb_chat_t *chat = clb_chat_create(pool);
    clb_json_t *body = json_of(text);

    memset(&error, 0, sizeof(error));
    return body != NULL && dialect->parse(chat, body, &error) == APR_SUCCESS
         ? chat : NULL;
}

static clb_chat_t *parse(const char *text)
{
    return parse_as(&clb_gemini, text);
}

#define QUESTION "{'role':'user','parts':[{'text':'q'}]}"

/* A body with the fields @a more. */
static const char *body(const char *more)
{
    return apr_pstrcat(pool, "{'contents':[" QUESTION "]",
                       *more == '\0' ? "" : ",", more, "}", NULL);
}

static const char *config(const char *more)
{
    return body(apr_pstrcat(pool, "'generationConfig':{", more, "}", NULL));
}

static const char *contents(const char *list)
{
    return apr_pstrcat(pool, "{'contents':[", list, "]}", NULL);
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

#define C "generationConfig."
#define F "'tools':[{'functionDeclarations':[{'name':'f'}]}]"

/* What is taken, and what is asked by it, as CLIBridgeUnsupported would tell;
 * those with "*" in generationConfig. */
static void taken(void)
{
    static const struct {
        const char *text;
        const char *given;
    } fields[] = {
        { "", NULL }, { "'noSuchField':{'a':[1]}", NULL },
        { "'model':'models/m','labels':{'a':'b'}", NULL },
        { "'systemInstruction':null,'tools':null,'generationConfig':null",
          NULL },
        { "'systemInstruction':{'parts':[]}", NULL },
        { "*'temperature':1,'topP':1.0", NULL },
        { "*'temperature':0", C "temperature" },
        { "*'temperature':2", C "temperature" },
        { "*'topP':0.9", C "topP" }, { "*'top_p':0.9", C "topP" },
        { "*'topK':64", C "topK" }, { "*'top_k':40.0", C "topK" },
        { "*'maxOutputTokens':9", C "maxOutputTokens" },
        { "*'max_output_tokens':9", C "maxOutputTokens" },
        { "*'stopSequences':[]", NULL }, { "*'stopSequences':['A']", NULL },
        { "*'candidateCount':1", NULL },
        { "*'responseMimeType':'text/plain'", NULL },
        { "*'responseMimeType':'application/json'", NULL },
        { "*'responseSchema':{'type':'OBJECT'}", NULL },
        { "*'thinkingConfig':{}", NULL },
        { "*'thinkingConfig':{'thinkingBudget':-1}", NULL },
        { "*'thinkingConfig':{'thinkingBudget':0}",
          C "thinkingConfig.thinkingBudget" },
        { "*'thinking_config':{'thinking_budget':8192}",
          C "thinkingConfig.thinkingBudget" },
        { "*'thinkingConfig':{'thinkingLevel':'HIGH'}",
          C "thinkingConfig.thinkingLevel" },
        { "*'thinkingConfig':{'thinkingLevel':'THINKING_LEVEL_UNSPECIFIED'}",
          NULL },
        { "*'thinkingConfig':{'includeThoughts':true}", NULL },
        { "*'seed':0", C "seed" },
        { "*'presencePenalty':0,'frequencyPenalty':0.0", NULL },
        { "*'presencePenalty':0.5", C "presencePenalty" },
        { "*'responseLogprobs':false", NULL },
        { "*'responseModalities':['TEXT']", NULL },
        { "*'mediaResolution':'MEDIA_RESOLUTION_LOW'", C "mediaResolution" },
        { "'safetySettings':[]", NULL },
        { "'safetySettings':[{'category':'HARM_CATEGORY_HARASSMENT',"
          "'threshold':'BLOCK_NONE'}]", "safetySettings" },
        { "'cachedContent':''", NULL }, { "'store':false", NULL },
        { "'serviceTier':'standard'", NULL },
        { "'serviceTier':'flex'", "serviceTier" },
        { "'tools':[]", NULL }, { "'tools':[{}]", NULL },
        { "'tools':[{'functionDeclarations':[]}]", NULL },
        { "'tools':[{'functionDeclarations':null},{'googleSearch':{}},"
          "{'url_context':{},'codeExecution':{}}]",
          "tools[1].googleSearch, tools[2].url_context, "
          "tools[2].codeExecution" },
        { "'tools':[{'functionDeclarations':[{'name':'f','response':"
          "{'type':'STRING'}}]}]", "tools[0].functionDeclarations[0]."
          "response" },
        { "'toolConfig':{}", NULL },
        { "'toolConfig':{'functionCallingConfig':{}}", NULL },
        { "'toolConfig':{'functionCallingConfig':{'mode':'AUTO'}}", NULL },
        { "'toolConfig':{'functionCallingConfig':{'mode':'NONE'}}", NULL },
        { "'toolConfig':{'retrievalConfig':{'languageCode':'de'}}",
          "toolConfig.retrievalConfig" },
        { F ",'tool_config':{'function_calling_config':{'mode':'any'}}",
          "toolConfig.functionCallingConfig" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        const char *text = fields[i].text;
        const clb_chat_t *chat = parse(*text == '*' ? config(text + 1)
                                                    : body(text));

        if (ok(chat != NULL, "%s", text)) {
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
        const char *text;
        clb_error_e kind;
        const char *param;
    } fields[] = {
        { "'generationConfig':[]", CLB_BAD_REQUEST, "generationConfig" },
        { "*'temperature':2.1", CLB_BAD_REQUEST, C "temperature" },
        { "*'temperature':'hot'", CLB_BAD_REQUEST, C "temperature" },
        { "*'topP':-1", CLB_BAD_REQUEST, C "topP" },
        { "*'topK':0.5", CLB_BAD_REQUEST, C "topK" },
        { "*'maxOutputTokens':0", CLB_BAD_REQUEST, C "maxOutputTokens" },
        { "*'stopSequences':'A'", CLB_BAD_REQUEST, C "stopSequences" },
        { "*'stop_sequences':[7]", CLB_BAD_REQUEST, C "stopSequences" },
        { "*'candidateCount':2", CLB_UNSUPPORTED, C "candidateCount" },
        { "*'responseMimeType':'text/x.enum'", CLB_UNSUPPORTED,
          C "responseMimeType" },
        { "*'responseSchema':'x'", CLB_BAD_REQUEST, C "responseSchema" },
        { "*'responseJsonSchema':[]", CLB_BAD_REQUEST,
          C "responseJsonSchema" },
        { "*'responseFormat':[{}]", CLB_UNSUPPORTED, C "responseFormat" },
        { "*'thinkingConfig':7", CLB_BAD_REQUEST, C "thinkingConfig" },
        { "*'thinkingConfig':{'thinkingBudget':-2}", CLB_BAD_REQUEST,
          C "thinkingConfig.thinkingBudget" },
        { "*'thinkingConfig':{'thinkingLevel':'HUGE'}", CLB_BAD_REQUEST,
          C "thinkingConfig.thinkingLevel" },
        { "*'thinkingConfig':{'thinkingLevel':7}", CLB_BAD_REQUEST,
          C "thinkingConfig.thinkingLevel" },
        { "*'thinkingConfig':{'includeThoughts':'yes'}", CLB_BAD_REQUEST,
          C "thinkingConfig.includeThoughts" },
        { "*'responseLogprobs':true", CLB_UNSUPPORTED,
          C "responseLogprobs" },
        { "*'logprobs':3", CLB_UNSUPPORTED, C "logprobs" },
        { "*'responseModalities':['TEXT','IMAGE']", CLB_UNSUPPORTED,
          C "responseModalities" },
        { "*'speechConfig':{'languageCode':'de'}", CLB_UNSUPPORTED,
          C "speechConfig" },
        { "*'imageConfig':{'aspectRatio':'1:1'}", CLB_UNSUPPORTED,
          C "imageConfig" },
        { "'cachedContent':'cachedContents/1'", CLB_UNSUPPORTED,
          "cachedContent" },
        { "'systemInstruction':'s'", CLB_BAD_REQUEST, "systemInstruction" },
        { "'systemInstruction':{'parts':[{'text':'a'},{'inlineData':{}}]}",
          CLB_BAD_REQUEST, "systemInstruction.parts[1]" },
        { "'tools':[7]", CLB_BAD_REQUEST, "tools[0]" },
        { "'tools':[{'computerUse':{}}]", CLB_UNSUPPORTED,
          "tools[0].computerUse" },
        { "'tools':[{'fileSearch':{}}]", CLB_UNSUPPORTED,
          "tools[0].fileSearch" },
        { "'tools':[{'noSuchTool':{}}]", CLB_UNSUPPORTED,
          "tools[0].noSuchTool" },
        { "'tools':[{'functionDeclarations':[{}]}]", CLB_BAD_REQUEST,
          "tools[0].functionDeclarations[0]" },
        { "'tools':[{'functionDeclarations':['f']}]", CLB_BAD_REQUEST,
          "tools[0].functionDeclarations[0]" },
        { "'tools':[{'functionDeclarations':[{'name':'f','parameters':"
          "{'type':'ARRAY'}}]}]", CLB_BAD_REQUEST,
          "tools[0].functionDeclarations[0]" },
        { "'tools':[{'functionDeclarations':[{'name':'f',"
          "'parametersJsonSchema':[]}]}]", CLB_BAD_REQUEST,
          "tools[0].functionDeclarations[0]" },
        { "'tools':[{'functionDeclarations':[{'name':'f'}]},"
          "{'functionDeclarations':[{'name':'f'}]}]", CLB_BAD_REQUEST,
          "tools[1].functionDeclarations[0]" },
        { "'toolConfig':7", CLB_BAD_REQUEST, "toolConfig" },
        { "'toolConfig':{'functionCallingConfig':7}", CLB_BAD_REQUEST,
          "toolConfig.functionCallingConfig" },
        { "'toolConfig':{'functionCallingConfig':{'mode':'SOME'}}",
          CLB_BAD_REQUEST, "toolConfig.functionCallingConfig" },
        { "'toolConfig':{'functionCallingConfig':{'mode':1}}",
          CLB_BAD_REQUEST, "toolConfig.functionCallingConfig" },
        { "'toolConfig':{'functionCallingConfig':{'mode':'ANY'}}",
          CLB_BAD_REQUEST, "toolConfig.functionCallingConfig" },
        { F ",'toolConfig':{'functionCallingConfig':{'mode':'AUTO',"
          "'allowedFunctionNames':['f']}}", CLB_BAD_REQUEST,
          "toolConfig.functionCallingConfig" },
        { F ",'toolConfig':{'functionCallingConfig':{'mode':'ANY',"
          "'allowedFunctionNames':['g']}}", CLB_BAD_REQUEST,
          "toolConfig.functionCallingConfig.allowedFunctionNames" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        const char *text = fields[i].text;

        is_refused(*text == '*' ? config(text + 1) : body(text),
                   fields[i].kind, fields[i].param);
    }
}

static void values(void)
{
    const clb_chat_t *chat = parse(body("'system_instruction':{'role':'user',"
        "'parts':[{'text':'be'},{'text':'kind'}]},'generation_config':{"
        "'temperature':0.5,'top_p':0.25,'top_k':40,'max_output_tokens':9,"
        "'stop_sequences':['a','b'],'thinking_config':{'thinking_level':"
        "'low','thinking_budget':5,'include_thoughts':true},"
        "'response_mime_type':'application/json'}"));

    ok(chat->temperature == 0.5 && chat->top_p == 0.25 && chat->top_k == 40
       && chat->max_tokens == 9, "sampling and limit");
    is_int(chat->stop->nelts, 2, "stop sequences");
    is_str(chat->system, "be\n\nkind", "parts of the system prompt");
    ok(chat->effort == CLB_EFFORT_LOW && chat->budget == 5 && !chat->quiet,
       "thoughts");
    is_int(chat->format, CLB_FORMAT_JSON, "any JSON");
    is_str(chat->format_name, C "responseMimeType", "by its field");
    ok(!chat->stream, "no stream");
    ok(parse(body(""))->quiet, "no thoughts are shown unless asked for");
    ok(parse_as(&clb_gemini_stream, body(""))->stream
       && parse_as(&clb_gemini_array, body(""))->stream, "streams");
    is_str(parse(body("'systemInstruction':{'parts':{'text':'s'}}"))->system,
           "s", "a list of one without brackets");

    chat = parse(config("'responseSchema':{'type':'OBJECT'},"
                        "'responseMimeType':'application/json'"));
    is_int(chat->format, CLB_FORMAT_SCHEMA, "JSON by a schema");
    is_str(chat->schema, q("{'type':'object'}"), "in JSON Schema");
    is_str(chat->format_name, C "responseSchema", "by its field");
    chat = parse(config("'responseJsonSchema':{'type':'object','nullable':1}"));
    is_str(chat->schema, q("{'type':'object','nullable':1}"),
           "which may be given as such");
    is_str(clb_chat_need_field(parse(contents("{'parts':[{'inlineData':"
           "{'mimeType':'application/pdf','data':'JVBERi0='}}]}")),
           CLB_NEED_DOCUMENTS), "contents", "what documents are due to");
}

static void tools(void)
{
    static const char three[] = "'tools':[{'functionDeclarations':[{'name':"
        "'f','description':'d','parameters':{'type':'OBJECT','properties':"
        "{'a':{'type':'STRING'}}}},{'name':'g','parameters_json_schema':"
        "{'type':'object','x':1},'behavior':'BLOCKING'}]},"
        "{'function_declarations':{'name':'h'}}]";
    static const struct {
        const char *config;
        clb_choice_e choice;
        int tools;
        const char *chosen;
    } choices[] = {
        { "'mode':'AUTO'", CLB_CHOICE_AUTO, 3, NULL },
        { "'mode':'MODE_UNSPECIFIED'", CLB_CHOICE_AUTO, 3, NULL },
        { "'mode':'VALIDATED'", CLB_CHOICE_AUTO, 3, NULL },
        { "'mode':'VALIDATED','allowedFunctionNames':['f','h']",
          CLB_CHOICE_AUTO, 2, NULL },
        { "'mode':'NONE','allowedFunctionNames':['f']", CLB_CHOICE_NONE, 3,
          NULL },
        { "'mode':'ANY'", CLB_CHOICE_REQUIRED, 3, NULL },
        { "'mode':'ANY','allowedFunctionNames':[]", CLB_CHOICE_REQUIRED, 3,
          NULL },
        { "'mode':'ANY','allowed_function_names':['h','g']",
          CLB_CHOICE_REQUIRED, 2, NULL },
        { "'mode':'ANY','allowedFunctionNames':['g']", CLB_CHOICE_NAMED, 1,
          "g" },
        { "'mode':'ANY','allowedFunctionNames':'g'", CLB_CHOICE_NAMED, 1,
          "g" },
    };
    const clb_chat_t *chat = parse(body(three));
    apr_size_t i;

    is_int(chat->tools->nelts, 3, "three functions");
    is_str(clb_chat_tool(chat, "f")->description, "d", "a description");
    is_str(clb_chat_tool(chat, "f")->schema, q("{'type':'object',"
           "'properties':{'a':{'type':'string'}}}"), "and a schema");
    is_str(clb_chat_tool(chat, "g")->schema, q("{'type':'object','x':1}"),
           "or JSON Schema");
    is_str(clb_chat_tool(chat, "h")->schema, q("{'type':'object',"
           "'properties':{}}"), "or none");
    for (i = 0; i < sizeof(choices) / sizeof(*choices); i++) {
        chat = parse(body(apr_pstrcat(pool, three, ",'toolConfig':{"
            "'functionCallingConfig':{", choices[i].config, "}}", NULL)));
        ok(chat != NULL && chat->choice == choices[i].choice
           && chat->tools->nelts == choices[i].tools, "%s",
           choices[i].config);
        is_str(chat->chosen, choices[i].chosen, "the one");
    }
}

static void schemas(void)
{
    static const struct {
        const char *given;
        const char *want;
    } cases[] = {
        { "{}", "{}" }, { "true", "true" }, { "'x'", "'x'" },
        { "{'type':'STRING','format':'date-time'}",
          "{'type':'string','format':'date-time'}" },
        { "{'type':'INTEGER','format':'int32'}", "{'type':'integer'}" },
        { "{'type':'STRING','format':'enum','enum':['A','B']}",
          "{'type':'string','enum':['A','B']}" },
        { "{'type':'TYPE_UNSPECIFIED'}", "{}" },
        { "{'type':['STRING','null']}", "{'type':['STRING','null']}" },
        { "{'type':'STRING','nullable':true}", "{'type':['string','null']}" },
        { "{'type':'STRING','nullable':false}", "{'type':'string'}" },
        { "{'type':'STRING','enum':['A'],'nullable':true}",
          "{'type':['string','null'],'enum':['A',null]}" },
        { "{'anyOf':[{'type':'STRING'},{'type':'NUMBER'}],'nullable':true}",
          "{'anyOf':[{'type':'string'},{'type':'number'},{'type':'null'}]}" },
        { "{'any_of':[{'type':'NULL'}]}", "{'anyOf':[{'type':'null'}]}" },
        { "{'type':'ARRAY','items':{'type':'BOOLEAN'},'minItems':'1',"
          "'max_items':3}", "{'type':'array','items':{'type':'boolean'},"
          "'minItems':1,'maxItems':3}" },
        { "{'minItems':'many'}", "{'minItems':'many'}" },
        { "{'type':'OBJECT','properties':{'type':{'type':'STRING'},"
          "'any_of':{'type':'OBJECT','properties':{}}},'required':['type'],"
          "'propertyOrdering':['type'],'title':'T','minProperties':'1'}",
          "{'type':'object','properties':{'type':{'type':'string'},"
          "'any_of':{'type':'object','properties':{}}},'required':['type'],"
          "'title':'T','minProperties':1}" },
        { "{'type':'STRING','example':'x','default':{'type':'STRING'},"
          "'pattern':'A+','description':'D'}",
          "{'type':'string','examples':['x'],'default':{'type':'STRING'},"
          "'pattern':'A+','description':'D'}" },
        { "{'additionalProperties':{'type':'STRING'}}",
          "{'additionalProperties':{'type':'string'}}" },
        { "{'additionalProperties':false,'properties':7,'anyOf':{}}",
          "{'additionalProperties':false,'properties':7,'anyOf':{}}" },
        { "{'$ref':'#/$defs/a','$defs':{'a':{'type':'STRING'}}}",
          "{'$ref':'#/$defs/a','$defs':{'a':{'type':'string'}}}" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        clb_buf_t out;
        const clb_json_t *list = json_of(apr_pstrcat(pool, "[",
                                         cases[i].given, "]", NULL));

        clb_buf_init(&out, pool, 64);
        clb_json_write(&out, clb_json_pack(pool, "[O]", clb_gemini_schema(
                       clb_json_at(list, 0), pool)));
        is_str(out.data, q(apr_pstrcat(pool, "[", cases[i].want, "]", NULL)),
               "%s", cases[i].given);
    }
}

/* --- contents --- */

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
        return apr_pstrcat(pool, "<", part->text, part->signature == NULL
                           ? ">" : "!", NULL);
    case CLB_PART_CALL:
        return apr_pstrcat(pool, part->name, "#", part->id, part->text, NULL);
    case CLB_PART_RESULT:
        return apr_pstrcat(pool, "#", part->id, part->failed ? "!" : "=", "(",
                           parts_told(part->parts), ")", NULL);
    default:
        return apr_pstrcat(pool, part->media, ":", part->data != NULL
            ? part->data : part->text, part->name == NULL ? "" : " ",
            part->name, NULL);
    }
}

/* The conversation: U:…, A:…, parts with commas between. */
static const char *told(const clb_chat_t *chat)
{
    const char *out = "";
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

#define USER(parts) "{'role':'user','parts':[" parts "]}"
#define MODEL(parts) "{'role':'model','parts':[" parts "]}"
#define TEXT(text) "{'text':'" text "'}"
#define CALL(name, more) "{'functionCall':{'name':'" name "'" more "}}"
#define RESULT(name, more) "{'functionResponse':{'name':'" name "'" more "}}"
#define GIF "'mimeType':'image/gif','data':'R0lGODdhAQABAIAAAAAAAP___yw'"

static void conversations(void)
{
    static const struct {
        const char *list;
        const char *want;
    } cases[] = {
        { USER(TEXT("hi")), "U:hi" },
        { "{'parts':{'text':'hi'}}", "U:hi" },
        { "{'role':'','parts':[" TEXT("a") "," TEXT("b") "]}", "U:a,b" },
        { USER(""), "U:" }, { "{'role':'user'}", "U:" },
        { USER(TEXT("q")) "," MODEL(TEXT("a")) "," MODEL(TEXT("b")) ","
          MODEL(TEXT("")) "," USER(TEXT("r")), "U:q A:a,b, U:r" },
        { USER(TEXT("q")) "," MODEL("{'text':'hm','thought':true},"
          "{'text':'a','thoughtSignature':'c2ln'},{'thought_signature':"
          "'c2ln'},{'text':'','thought':false}") "," USER(TEXT("r")),
          "U:q A:<hm>,a, U:r" },
        { USER("{'inlineData':{" GIF ",'displayName':'N'}}"),
          "U:image/gif:R0lGODdhAQABAIAAAAAAAP///yw= N" },
        { USER("{'inline_data':{'mime_type':'text/plain; charset=utf-8',"
          "'data':'d29yZHM'}}"), "U:text/plain:words" },
        { USER("{'inlineData':{'mimeType':'application/pdf','data':"
          "'JVBERi0='},'videoMetadata':{}}"), "U:application/pdf:JVBERi0=" },
        { USER(TEXT("q")) "," MODEL(TEXT("so") "," CALL("f", ",'id':'1',"
          "'args':{'b':2}") "," CALL("g", ",'args':null")) ","
          USER(RESULT("g", ",'response':{'x':1}") "," RESULT("f", ",'id':'1',"
          "'response':{'output':'o'}") "," TEXT("go on")),
          "U:q A:so,f#1{\"b\":2},g#g-1-2{} U:#g-1-2=({\"x\":1}),#1=(o),"
          "go on" },
        { USER(TEXT("q")) "," MODEL(CALL("f", "")) "," MODEL(CALL("f", ""))
          "," MODEL(TEXT("")) ",{'role':'function','parts':[" TEXT("t") ","
          RESULT("f", ",'response':{'output':1}") "]}",
          NULL },
        { USER(TEXT("q")) "," MODEL(CALL("f", "")) "," MODEL(CALL("f", ""))
          "," MODEL(TEXT("")) ",{'role':'function','parts':[" TEXT("t") ","
          RESULT("f", ",'response':{'output':1}") ","
          RESULT("f", ",'response':{'output':[2]}") "]}",
          "U:q A:f#f-1-0{},f#f-2-1{}, U:#f-1-0=(1),#f-2-1=([2]),t" },
        { USER(TEXT("q")) "," MODEL(CALL("f", "") "," CALL("f", ",'id':''"))
          "," USER(RESULT("f", ",'id':'made up','response':{'error':'no'}"))
          "," USER(RESULT("f", ",'response':{'error':{'a':1},'output':0}")),
          "U:q A:f#f-1-0{},f#f-1-1{} U:#f-1-0!(no) "
          "U:#f-1-1!({\"error\":{\"a\":1},\"output\":0})" },
        { USER(TEXT("q")) "," MODEL("{'function_call':{'name':'f'},"
          "'thoughtSignature':'c2ln'}") "," USER("{'function_response':"
          "{'name':'f','response':null,'parts':[{'inlineData':{" GIF "}}],"
          "'willContinue':false}}"), "U:q A:f#f-1-0{} U:#f-1-0=("
          "image/gif:R0lGODdhAQABAIAAAAAAAP///yw=)" },
        { USER(TEXT("q")) "," MODEL(CALL("f", ",'id':'1'") ","
          CALL("f", ",'id':'2'")) "," USER(RESULT("f", ",'id':'2'") ","
          RESULT("f", "")), "U:q A:f#1{},f#2{} U:#2=(),#1=()" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        clb_chat_t *chat = parse(contents(cases[i].list));

        if (cases[i].want == NULL) {
            ok(chat == NULL && strstr(error.message, "must be followed by its "
               "result") != NULL, "a call without a result");
            continue;
        }
        is_str(chat == NULL ? error.message : told(chat), cases[i].want,
               "%s", cases[i].list);
    }
    is_str(told(parse("{'contents':{'parts':{'text':'x'}}}")), "U:x",
           "one content without brackets");
}

static void bad_conversations(void)
{
#define P(n, m) "contents[" #n "].parts[" #m "]"
    static const struct {
        const char *list;
        clb_error_e kind;
        const char *param;
    } cases[] = {
        { "7", CLB_BAD_REQUEST, "contents[0]" },
        { "'text'", CLB_BAD_REQUEST, "contents[0]" },
        { "{'role':'assistant','parts':[]}", CLB_BAD_REQUEST,
          "contents[0].role" },
        { "{'role':7,'parts':[]}", CLB_BAD_REQUEST, "contents[0].role" },
        { USER("{}"), CLB_BAD_REQUEST, P(0, 0) },
        { USER("7"), CLB_BAD_REQUEST, P(0, 0) },
        { USER(TEXT("a") ",{'text':7}"), CLB_BAD_REQUEST, P(0, 1) },
        { USER("{'text':7,'thought':true}"), CLB_BAD_REQUEST, P(0, 0) },
        { USER("{'fileData':{'fileUri':'https://a/b.png'}}"),
          CLB_UNSUPPORTED, P(0, 0) },
        { USER("{'file_data':{'file_uri':'gs://a/b'}}"), CLB_UNSUPPORTED,
          P(0, 0) },
        { USER("{'inlineData':{'data':'AAAA'}}"), CLB_BAD_REQUEST, P(0, 0) },
        { USER("{'inlineData':{'mimeType':'image/png','data':'AAAA'}}"),
          CLB_BAD_REQUEST, P(0, 0) },
        { USER("{'inlineData':{'mimeType':'image/png','data':'!'}}"),
          CLB_BAD_REQUEST, P(0, 0) },
        { USER("{'inlineData':{'mimeType':'audio/wav','data':'AAAA'}}"),
          CLB_BAD_REQUEST, P(0, 0) },
        { USER(CALL("f", "")), CLB_BAD_REQUEST, P(0, 0) },
        { USER(RESULT("f", "")), CLB_BAD_REQUEST, P(0, 0) },
        { MODEL("{'executableCode':{}}"), CLB_UNSUPPORTED, P(0, 0) },
        { MODEL("{'code_execution_result':{}}"), CLB_UNSUPPORTED, P(0, 0) },
        { MODEL(CALL("", "")), CLB_BAD_REQUEST, P(0, 0) },
        { MODEL("{'functionCall':{'args':{}}}"), CLB_BAD_REQUEST, P(0, 0) },
        { MODEL(CALL("f", ",'args':[]")), CLB_BAD_REQUEST, P(0, 0) },
        { MODEL(CALL("f", ",'id':'1'") "," CALL("g", ",'id':'1'")),
          CLB_BAD_REQUEST, P(0, 1) },
        { MODEL(CALL("f", "") "," RESULT("f", "")), CLB_BAD_REQUEST,
          P(0, 1) },
        { MODEL(CALL("f", "")), CLB_BAD_REQUEST, "contents" },
        { MODEL(CALL("f", "")) "," USER(TEXT("x")), CLB_BAD_REQUEST,
          "contents" },
        { MODEL(CALL("f", "")) "," USER(RESULT("g", "")), CLB_BAD_REQUEST,
          P(1, 0) },
        { MODEL(CALL("f", "")) "," USER(RESULT("f", "") "," RESULT("f", "")),
          CLB_BAD_REQUEST, P(1, 1) },
        { MODEL(CALL("f", "") "," CALL("f", "")) "," USER(RESULT("f", "") ","
          TEXT("x")) "," USER(RESULT("f", "")), CLB_BAD_REQUEST, P(2, 0) },
        { MODEL(CALL("f", "")) "," USER(TEXT("x")) "," MODEL(TEXT("y")) ","
          USER(RESULT("f", "")), CLB_BAD_REQUEST, P(3, 0) },
        { MODEL(CALL("f", "")) "," USER(RESULT("f", ",'response':'x'")),
          CLB_BAD_REQUEST, P(1, 0) },
        { MODEL(CALL("f", "")) "," USER(RESULT("f", ",'parts':[{}]")),
          CLB_BAD_REQUEST, P(1, 0) ".functionResponse.parts[0]" },
        { MODEL(CALL("f", "")) "," USER(RESULT("f", ",'parts':[{'fileData':"
          "{'fileUri':'x'}}]")), CLB_UNSUPPORTED,
          P(1, 0) ".functionResponse.parts[0]" },
    };
    const char *calls = CALL("f", "");
    apr_size_t i;

    is_refused("{}", CLB_BAD_REQUEST, "contents");
    is_refused(contents(""), CLB_BAD_REQUEST, "contents");
    is_refused("{'contents':'q'}", CLB_BAD_REQUEST, "contents");
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        is_refused(contents(cases[i].list), cases[i].kind, cases[i].param);
    }
    for (i = 0; i < 512; i++) {
        calls = apr_pstrcat(pool, calls, "," CALL("f", ""), NULL);
    }
    is_refused(contents(apr_pstrcat(pool, "{'role':'model','parts':[", calls,
               "]}", NULL)), CLB_BAD_REQUEST, P(0, 512));
}

static void prefill(void)
{
    ok(parse(contents(USER(TEXT("q")) "," MODEL(TEXT("The"))))->prefill,
       "an answer that is begun");
    ok(!parse(contents(USER(TEXT("q")) "," MODEL("{'text':'t','thought':true}"
       )))->prefill, "not by thoughts");
    ok(!parse(body(""))->prefill, "and a question");
}

static void counting(void)
{
    const clb_chat_t *chat = parse_as(&clb_gemini_count, apr_pstrcat(pool,
        "{'generateContentRequest':{'model':'models/m','systemInstruction':"
        "{'parts':[" TEXT("s") "]},'contents':[" QUESTION "]}}", NULL));

    is_str(chat == NULL ? error.message : chat->system, "s",
           "a whole request is counted");
    ok(parse_as(&clb_gemini_count, body("")) != NULL, "or contents alone");
    ok(parse_as(&clb_gemini_count, "{}") == NULL, "but not nothing");
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
    schemas();
    conversations();
    bad_conversations();
    prefill();
    counting();
    return tap_done();
}
