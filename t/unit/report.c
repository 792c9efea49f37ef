/* SPDX-License-Identifier: Apache-2.0 */
/* What CLIs say of themselves, as their drivers understand it. The files are
 * what the real ones said without a login. */
#include "tap.h"

#include "../../src/backend/driver.h"

#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

static apr_pool_t *pool;

static void hear(clb_report_t *report, const char *driver, const char *text)
{
    char *lines = apr_pstrdup(pool, text), *line, *last;
    const char *why;
    clb_json_t *json;

    for (line = apr_strtok(lines, "\n", &last); line != NULL;
         line = apr_strtok(NULL, "\n", &last)) {
        if (clb_json_parse(&json, line, strlen(line), CLB_JSON_LENIENT, &why,
                           pool) == APR_SUCCESS) {
            clb_driver_find(driver)->question->hear(report, json, pool);
        }
    }
}

/* JSON written with single quotes, to spare the backslashes. */
static const char *q(const char *text)
{
    char *copy = apr_pstrdup(pool, text), *c;

    for (c = copy; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    return copy;
}

/* "in|out|? models", with "..." behind it if more is to come. */
static const char *said(const char *driver, const char *text)
{
    clb_report_t report = { 0 };

    hear(&report, driver, text);
    return apr_pstrcat(pool, report.login == CLB_LOGIN_IN ? "in"
                       : report.login == CLB_LOGIN_OUT ? "out" : "?", " ",
                       report.models == NULL ? "-"
                       : apr_array_pstrcat(pool, report.models, ' '),
                       report.complete ? "" : " ...", NULL);
}

static const char *file(const char *name)
{
    char *text = apr_pcalloc(pool, 65536);
    apr_size_t len = 0;
    apr_file_t *in;

    if (apr_file_open(&in, name, APR_READ, 0, pool) == APR_SUCCESS) {
        apr_file_read_full(in, text, 65535, &len);
        apr_file_close(in);
    }
    return text;
}

#define CLAUDE(response) "{'type':'control_response','response':" \
    "{'subtype':'success','request_id':'report','response':" response "}}"
#define ACCOUNT(members) CLAUDE("{'models':[],'account':{" members "}}")

static void claude(void)
{
    static const char *const all[][2] = {
        { ACCOUNT("'tokenSource':'none','apiProvider':'firstParty'"), "out " },
        { ACCOUNT("'tokenSource':'none','apiKeySource':'ANTHROPIC_API_KEY'"),
          "in " },
        { ACCOUNT("'tokenSource':'none','apiKeySource':'none'"), "out " },
        { ACCOUNT("'tokenSource':'ANTHROPIC_AUTH_TOKEN'"), "in " },
        { ACCOUNT("'subscriptionType':'Claude Max'"), "in " },
        { ACCOUNT("'apiProvider':'bedrock'"), "in " },
        { ACCOUNT("'tokenSource':7"), "in " },
        { CLAUDE("{'account':[]}"), "? -" },
        { CLAUDE("{'account':null}"), "? -" },
        { CLAUDE("{'models':{'value':'a'}}"), "? -" },
        { CLAUDE("{'models':[1,'a',null,{},{'value':{}},{'value':'default'},"
          "{'value':'default','resolvedModel':'c'},{'resolvedModel':'b'},"
          "{'value':'','resolvedModel':''}]}"), "? c b  " },
        { CLAUDE("'later'"), "? -" },
        { "{'type':'control_response','response':{'subtype':'error',"
          "'request_id':'report','error':'not today'}}", "? -" },
        { "{'type':'control_response','response':{'request_id':'other'}}",
          "? - ..." },
        { "{'type':'system','response':{'request_id':'report'}}",
          "? - ..." },
        { "[]\n7\nno JSON\n{}\n{'type':{}}\n{'type':'control_response'}",
          "? - ..." },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(all) / sizeof(*all); i++) {
        is_str(said("claude", q(all[i][0])), all[i][1], "claude: %d", (int)i);
    }
    is_str(said("claude", file("t/data/report/claude-2.1.197.jsonl")),
           "out claude-opus-4-8[1m] opus[1m] claude-opus-4-8[1m] sonnet "
           "claude-sonnet-5 haiku claude-haiku-4-5-20251001", "2.1.197");
    is_str(said("claude", file("t/data/report/claude-2.1.329.jsonl")),
           "out claude-opus-5-5 opus claude-opus-5-5 fable claude-fable-5-2 "
           "sonnet claude-sonnet-5-5 haiku claude-haiku-5-5", "2.1.329");
}

#define MODELS "{'id':'models','result':{'data':[{'id':'a'},{'id':'b'}]}}\n"
#define LOGIN(members) "{'id':'login','result':{" members "}}\n"
#define OUT LOGIN("'authMethod':null,'requiresOpenaiAuth':true")

static void codex(void)
{
    static const char *const all[][2] = {
        { MODELS OUT, "out a b" },
        { OUT MODELS, "out a b" },
        { OUT, "out - ..." },
        { MODELS, "? a b ..." },
        { MODELS MODELS, "? a b ..." },
        { MODELS LOGIN("'authMethod':'apikey','requiresOpenaiAuth':true"),
          "in a b" },
        { MODELS LOGIN("'authMethod':'chatgpt','requiresOpenaiAuth':true"),
          "in a b" },
        { MODELS LOGIN("'authMethod':null,'requiresOpenaiAuth':false"),
          "in a b" },
        { MODELS LOGIN(""), "? a b" },
        { MODELS LOGIN("'requiresOpenaiAuth':'no'"), "? a b" },
        { OUT "{'id':'models','error':{'message':'no'}}", "out " },
        { OUT "{'id':'models','result':{'data':[7,[],{},{'id':3},null,"
          "{'id':'x'}]}}", "out x" },
        { MODELS "{'id':'login','method':'x','result':{}}", "? a b ..." },
        { "{'id':1}\n{}\n[]\nno JSON\n{'id':'other','result':{}}",
          "? - ..." },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(all) / sizeof(*all); i++) {
        is_str(said("codex", q(all[i][0])), all[i][1], "codex: %d", (int)i);
    }
    is_str(said("codex", file("t/data/report/codex-0.169.0.jsonl")),
           "out gpt-6.1-sol gpt-6-astra gpt-6-sol gpt-6-luna gpt-5.6-sol "
           "gpt-6.1-terra gpt-5.6-terra gpt-5.6-luna gpt-5.5", "0.169.0");
    is_str(said("codex", file("t/data/report/codex-0.171.0.jsonl")),
           "out gpt-6.2-sol gpt-6.2-astra gpt-6.1-terra gpt-6.1-sol "
           "gpt-6-astra gpt-6-sol gpt-6-luna gpt-5.6-sol gpt-5.6-terra "
           "gpt-5.6-luna gpt-5.5", "0.171.0");
}

static void names(void)
{
    static const char *const good[] = {
        "a", "claude-opus-4-8[1m]", "vendor/model:free", "gpt-6.1-sol",
        "mod\xc3\xa8le", "a23456789.123456789.123456789.123456789.123456789."
        "123456789.123", NULL
    };
    static const char *const bad[] = {
        "", "two words", "a\tb", "a\nb", "a\x1b[31m", "a*", "?", "a\x7f",
        "\xff", "a\xc3", "\xc0\x80", "\xed\xa0\x80", "a23456789.123456789."
        "123456789.123456789.123456789.123456789.1234", NULL
    };
    int i;

    for (i = 0; good[i] != NULL; i++) {
        ok(clb_model_is_name(good[i]), "a name: %d", i);
    }
    for (i = 0; bad[i] != NULL; i++) {
        ok(!clb_model_is_name(bad[i]), "no name: %d", i);
    }
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    claude();
    codex();
    names();
    return tap_done();
}
