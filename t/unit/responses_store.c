/* SPDX-License-Identifier: Apache-2.0 */
/* Responses that are kept: what a record has, how a request goes on from one,
 * what its client is shown of it, and records that are none. */
#include "tap.h"

#include "../../src/api/dialect.h"
#include "../../src/api/responses_kept.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

static apr_pool_t *pool;
static clb_error_t error;

/* JSON written with single quotes, to spare the backslashes. */
static clb_json_t *json(const char *text)
{
    char *copy = apr_pstrdup(pool, text), *c;
    clb_json_t *value = NULL;
    const char *why;

    for (c = copy; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    if (clb_json_parse(&value, copy, strlen(copy), CLB_JSON_LENIENT, &why,
                       pool) != APR_SUCCESS) {
        diag("%s: %s", text, why);
    }
    return value;
}

static const char *text_of(const clb_json_t *value)
{
    return clb_json_canonical(pool, value);
}

static void is_json(const clb_json_t *got, const char *want, const char *name)
{
    is_str(text_of(got), text_of(json(want)), "%s", name);
}

/* --- a store: records by id, and how often it was asked --- */

static const char *(*stored)[2];
static int asked;

static clb_json_t *find(void *baton, const char *id, clb_error_t *why)
{
    int i;

    asked++;
    if (strcmp(id, "resp_long") == 0) {
        clb_error_set(why, pool, CLB_TOO_LARGE, NULL, "too long");
        return NULL;
    }
    for (i = 0; stored[i][0] != NULL; i++) {
        if (strcmp(stored[i][0], id) == 0) {
            return json(stored[i][1]);
        }
    }
    return NULL;
}

/* The body that @a text becomes; NULL, and `error` set, if it is refused. */
static clb_json_t *recall(const char *text)
{
    clb_kept_t kept = { find, NULL };
    clb_json_t *body = json(text);

    asked = 0;
    memset(&error, 0, sizeof(error));
    return clb_openai_responses.recall(body, &kept, &error, pool)
           == APR_SUCCESS ? body : NULL;
}

static void is_input(const char *text, const char *want, const char *name)
{
    clb_json_t *body = recall(text);

    if (!ok(body != NULL, "%s", name)) {
        diag("%s", error.message);
        return;
    }
    is_json(clb_json_get(body, "input"), want, "becomes its input");
}

static void is_unknown(const char *text, clb_error_e kind, const char *param,
                       const char *word)
{
    if (!ok(recall(text) == NULL && error.message != NULL, "not %s", text)) {
        return;
    }
    is_str(clb_error_info(error.kind)->name, clb_error_info(kind)->name,
           "it is the right error");
    is_str(error.param, param, "with its parameter");
    ok(strstr(error.message, word) != NULL, "which says: %s", error.message);
}

/* --- going on --- */

#define Q(text) "{'role':'user','content':'" text "'}"
#define RECORD(status, items, inputs) "{'response':{'status':'" status \
    "'},'items':[" items "],'inputs':" inputs "}"
#define ITEM(id) "{'id':'" id "','type':'message'}"
#define REF(id) "{'type':'item_reference','id':'" id "'}"

static const char *good[][2] = {
    { "resp_a", RECORD("completed", ITEM("msg_a_i0") "," ITEM("msg_a_0"),
                       "1") },
    { "resp_b", RECORD("incomplete", ITEM("msg_b_i0") "," ITEM("mine"),
                       "1") },
    { "resp_queued", RECORD("queued", ITEM("msg_queued_i0"), "1") },
    { "resp_runs", RECORD("in_progress", ITEM("msg_runs_i0"), "1") },
    { "resp_failed", RECORD("failed", ITEM("msg_failed_i0"), "1") },
    { "resp_over", RECORD("cancelled", ITEM("msg_over_i0"), "1") },
    { NULL, NULL }
};

static void goes_on(void)
{
    stored = good;
    is_input("{'input':'q'}", "'q'", "who refers to nothing");
    is_input("{'input':[" Q("q") "]}", "[" Q("q") "]", "in items, either");
    is_int(asked, 0, "asks for nothing");
    is_input("{'input':'q','previous_response_id':'resp_a'}",
             "[" ITEM("msg_a_i0") "," ITEM("msg_a_0") "," Q("q") "]",
             "a text behind an answer");
    is_int(asked, 1, "looks once");
    is_input("{'input':[" Q("q") "],'previous_response_id':'resp_b'}",
             "[" ITEM("msg_b_i0") "," ITEM("mine") "," Q("q") "]",
             "items behind one that was cut off");
    is_input("{'previous_response_id':'resp_a'}",
             "[" ITEM("msg_a_i0") "," ITEM("msg_a_0") "]", "nothing behind");
    is_input("{'input':[" REF("msg_a_0") "," Q("q") "," REF("msg_b_i0") ","
             REF("msg_a_i0") "]}", "[" ITEM("msg_a_0") "," Q("q") ","
             ITEM("msg_b_i0") "," ITEM("msg_a_i0") "]", "references");
    is_int(asked, 2, "look once for each answer");
    is_input("{'input':[" REF("msg_a_0") "],'previous_response_id':'resp_b'}",
             "[" ITEM("msg_b_i0") "," ITEM("mine") "," ITEM("msg_a_0") "]",
             "both");
    is_input("{'input':[" REF("msg_runs_i0") "]}", "[" ITEM("msg_runs_i0")
             "]", "an item of what is not complete");
    is_input("{'input':[" REF("mine") "," REF("msg_b_i0") "]}", "["
             ITEM("mine") "," ITEM("msg_b_i0") "]",
             "an item with an id of its client's beside another");
}

static void refused(void)
{
    static const char *const states[][2] = {
        { "resp_queued", "is queued" }, { "resp_runs", "is in_progress" },
        { "resp_failed", "is failed" }, { "resp_over", "is cancelled" },
    };
    apr_size_t i;

    stored = good;
    for (i = 0; i < sizeof(states) / sizeof(*states); i++) {
        is_unknown(apr_psprintf(pool, "{'input':'q','previous_response_id':"
                   "'%s'}", states[i][0]), CLB_BAD_REQUEST,
                   "previous_response_id", states[i][1]);
    }
    is_unknown("{'previous_response_id':'resp_no'}", CLB_PREVIOUS_NOT_FOUND,
               "previous_response_id", "'resp_no'");
    is_unknown("{'previous_response_id':''}", CLB_PREVIOUS_NOT_FOUND,
               "previous_response_id", "''");
    is_unknown("{'previous_response_id':'resp_long'}", CLB_TOO_LARGE, NULL,
               "too long");
    is_unknown("{'input':[" Q("q") "," REF("msg_no_0") "]}", CLB_BAD_REQUEST,
               "input[1]", "'msg_no_0'");
    is_unknown("{'input':[" REF("msg_a_1") "]}", CLB_BAD_REQUEST, "input[0]",
               "'msg_a_1'");
    is_unknown("{'input':[" REF("msg_long_0") "]}", CLB_TOO_LARGE, NULL,
               "too long");
    is_unknown("{'input':[" REF("") "]}", CLB_BAD_REQUEST, "input[0]", "''");
    is_unknown("{'input':[" REF("_") "]}", CLB_BAD_REQUEST, "input[0]",
               "'_'");
    is_unknown("{'input':[" REF("__") "]}", CLB_BAD_REQUEST, "input[0]",
               "'__'");
    /* what else is wrong the parser says */
    is_input("{'input':7,'previous_response_id':'resp_a'}", "7", "a number");
    is_input("{'input':[{'type':'item_reference'},7,null],"
             "'previous_response_id':7}",
             "[{'type':'item_reference'},7,null]", "no references");
}

/* --- records --- */

static clb_reply_t *reply_to(const char *body, const char *id)
{
    clb_chat_t *chat = clb_chat_create(pool);
    clb_error_t why;
    clb_reply_t *reply;

    chat->keeps = 1;
    if (clb_openai_responses.parse(chat, json(body), &why) != APR_SUCCESS) {
        diag("%s: %s", body, why.message);
    }
    chat->asked = "m";
    reply = clb_reply_create(&clb_openai_responses, chat, id, pool);
    reply->created = 8;
    return reply;
}

static void say(clb_reply_t *reply, clb_event_e kind, const char *text)
{
    clb_event_t event = { .kind = kind };

    event.u.text.data = text;
    event.u.text.len = strlen(text);
    clb_reply_note(reply, &event);
    if (kind != CLB_EV_SIGNATURE && kind != CLB_EV_HIDDEN) {
        clb_buf_puts(kind == CLB_EV_TEXT ? &reply->text : &reply->reasoning,
                     text);
    }
}

#define PART(type, text) "{'type':'" type "','text':'" text "'}"
#define NOTES ",'annotations':[],'logprobs':[]"

static void items(void)
{
    clb_reply_t *reply = reply_to("{'input':[" Q("q") ",{'role':'assistant',"
        "'content':[" PART("output_text", "a") "]},{'type':'message','id':"
        "'mine','role':'user','content':[" PART("input_text", "r") "]},"
        "{'type':'reasoning'},{'type':'function_call','call_id':'c','name':"
        "'f','arguments':'{}'},{'type':'function_call_output','call_id':'c',"
        "'output':'x'}]}", "1");

    is_json(clb_json_get(clb_openai_responses.record(reply, CLB_QUEUED, NULL),
                         "items"),
        "[{'type':'message','id':'msg_1_i0','role':'user','status':"
        "'completed','content':[" PART("input_text", "q") "]},"
        "{'type':'message','id':'msg_1_i1','role':'assistant','status':"
        "'completed','content':[{'type':'output_text','text':'a'" NOTES "}]},"
        "{'type':'message','id':'mine','role':'user','status':'completed',"
        "'content':[" PART("input_text", "r") "]},"
        "{'type':'reasoning','id':'item_1_i3','summary':[]},"
        "{'type':'function_call','id':'item_1_i4','call_id':'c','name':'f',"
        "'arguments':'{}','status':'completed'},"
        "{'type':'function_call_output','id':'item_1_i5','call_id':'c',"
        "'output':'x','status':'completed'}]", "items as clients know them");
}

/* The record of an answer as far as it has come. */
static clb_json_t *record_of(clb_progress_e progress, const char **status)
{
    clb_reply_t *reply = reply_to("{'input':'q','background':true}", "1");
    clb_json_t *record;

    say(reply, CLB_EV_REASONING, "hm");
    say(reply, CLB_EV_SIGNATURE, "c2ln");
    say(reply, CLB_EV_TEXT, "a");
    error.kind = CLB_RATE_LIMITED;
    error.message = "no";
    error.param = NULL;
    record = clb_openai_responses.record(reply, progress, &error);
    *status = clb_json_get_string(clb_kept_response(record), "status");
    return record;
}

static void records(void)
{
    const char *status;
    clb_json_t *record = record_of(CLB_QUEUED, &status);
    const clb_json_t *list;

    is_str(status, "queued", "an answer that waits");
    ok(clb_kept_runs(record) && clb_kept_background(record), "is to come");
    is_int(clb_json_size(clb_json_get(record, "items")), 1, "has its input");
    record = record_of(CLB_RUNNING, &status);
    is_str(status, "in_progress", "one that is made");
    ok(clb_kept_runs(record), "is to come");
    is_int(clb_json_size(clb_json_get(record, "items")), 1, "has no more");
    record = record_of(CLB_FAILED, &status);
    is_str(status, "failed", "one that failed");
    ok(!clb_kept_runs(record), "is not to come");
    is_json(clb_json_find(record, "response.error"), "{'code':"
            "'rate_limit_exceeded','message':'no'}", "and why");

    record = record_of(CLB_ENDED, &status);
    is_str(status, "completed", "one that is complete");
    ok(!clb_kept_runs(record), "has come");
    is_int(clb_json_get_integer(record, "inputs", 0), 1, "to one item");
    list = clb_json_get(record, "items");
    is_int(clb_json_size(list), 3, "and has two");
    is_str(clb_json_get_string(clb_json_at(list, 1), "encrypted_content"),
           "clb-signed.c2ln", "what proves its thoughts is kept");
    ok(clb_json_get(clb_json_at(clb_json_find(record, "response.output"), 0),
                    "encrypted_content") == NULL,
       "though its client did not ask for it");
    ok(clb_json_get(clb_json_at(clb_json_find(record, "response.output"), 0),
                    "summary") != NULL, "and has the thoughts");
}

static void ends(void)
{
    const char *status;
    clb_json_t *record = record_of(CLB_RUNNING, &status);

    clb_kept_end(record, "cancelled", NULL, pool);
    ok(!clb_kept_runs(record), "what was cancelled is not to come");
    is_str(clb_json_string(clb_json_find(record, "response.status")),
           "cancelled", "and says so");
    ok(clb_json_find(record, "response.error") == NULL, "it is no error");
    error.kind = CLB_SHUTTING_DOWN;
    error.message = "gone";
    clb_kept_end(record, "failed", &error, pool);
    is_json(clb_json_find(record, "response.error"), "{'code':"
            "'server_error','message':'gone'}", "what failed has one");
}

/* Each turn's record is all that the next one needs. */
static void chain(void)
{
    const char *one[][2] = { { "resp_1", NULL }, { NULL, NULL } };
    clb_reply_t *reply = reply_to("{'input':'q'}", "1");
    const clb_json_t *record, *list;

    say(reply, CLB_EV_TEXT, "a");
    record = clb_openai_responses.record(reply, CLB_ENDED, NULL);
    one[0][1] = clb_json_text(pool, record);
    stored = one;
    reply = reply_to(clb_json_text(pool, recall("{'input':'r',"
                     "'previous_response_id':'resp_1'}")), "2");
    say(reply, CLB_EV_TEXT, "b");
    record = clb_openai_responses.record(reply, CLB_ENDED, NULL);
    list = clb_json_get(record, "items");
    is_str(clb_json_get_string(clb_json_at(list, 0), "id"), "msg_1_i0",
           "the first question");
    is_str(clb_json_get_string(clb_json_at(list, 1), "id"), "msg_1_0",
           "its answer");
    is_str(clb_json_get_string(clb_json_at(list, 2), "id"), "msg_2_i2",
           "the second");
    is_str(clb_json_get_string(clb_json_at(list, 3), "id"), "msg_2_0",
           "its answer");
    is_int(clb_json_size(list), 4, "are all");
    is_int(clb_json_get_integer(record, "inputs", 0), 3, "three came before");
    is_str(clb_json_string(clb_json_find(record,
           "response.previous_response_id")), "resp_1", "from the first");
}

/* --- pages --- */

static clb_json_t *five(void)
{
    return json("{'items':[{'id':'a'},{'id':'b'},{'id':'c'},{'id':'d'},"
                "{'id':'e'},{'id':'answer'}],'inputs':5}");
}

/* The ids of a page, and whether there are more. */
static const char *page(const clb_json_t *record, const char *args)
{
    const clb_json_t *list, *data;
    const char *all = "";
    apr_size_t i;

    memset(&error, 0, sizeof(error));
    list = clb_kept_page(record, args, &error, pool);
    data = clb_json_get(list, "data");
    for (i = 0; i < clb_json_size(data); i++) {
        const char *id = clb_json_get_string(clb_json_at(data, i), "id");

        all = apr_pstrcat(pool, all, id == NULL ? "?" : id, NULL);
    }
    if (list == NULL) {
        return apr_pstrcat(pool, "bad ", error.param, NULL);
    }
    if (i > 0 && (strncmp(all, clb_json_get_string(list, "first_id"), 1) != 0
        || strcmp(all + strlen(all) - 1, clb_json_get_string(list, "last_id"))
           != 0)) {
        return "other ends";
    }
    return apr_pstrcat(pool, all, clb_json_true(clb_json_get(list,
                       "has_more")) ? "+" : "", NULL);
}

static void pages(void)
{
    static const char *const all[][2] = {
        { NULL, "edcba" }, { "", "edcba" }, { "x=y&&=&", "edcba" },
        { "order=asc", "abcde" }, { "order=desc", "edcba" },
        { "limit=2", "ed+" }, { "limit=5", "edcba" }, { "limit=4", "edcb+" },
        { "limit=100&order=asc", "abcde" }, { "after=d", "cba" },
        { "after=d&limit=1", "c+" }, { "after=a", "" },
        { "order=asc&after=a&limit=2", "bc+" }, { "before=c", "ed" },
        { "before=e", "" }, { "after=e&before=b", "dc" },
        { "after=b&before=e", "" }, { "after=e&before=a&limit=2", "dc+" },
        { "order=up", "bad order" }, { "limit=0", "bad limit" },
        { "limit=101", "bad limit" }, { "limit=x", "bad limit" },
        { "limit=", "bad limit" }, { "after=x", "bad after" },
        { "after=answer", "bad after" }, { "before=x", "bad before" },
        { "before=", "bad before" }, { "afterx=x", "edcba" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(all) / sizeof(*all); i++) {
        is_str(page(five(), all[i][0]), all[i][1], "a page: %s",
               all[i][0] == NULL ? "none" : all[i][0]);
    }
}

/* --- what is no record --- */

static void hostile(void)
{
    static const char *const values[] = {
        "null", "7", "'x'", "[]", "{}", "[[]]", "{'status':'completed'}",
        "{'status':7}", "[7,null,'x',[],{}]", "[{'id':7,'type':7}]",
        "{'0':{'id':'a'}}", "-1", "99999999999999999999", "true",
        "[{'type':'item_reference','id':'msg_a_0'}]",
        "[{'id':'msg_a_0','type':'message','content':{'a':7}}]",
    };
    static const char *one[][2] = { { "resp_a", NULL }, { NULL, NULL } };
    const apr_size_t n = sizeof(values) / sizeof(*values);
    apr_size_t i, j;
    int bad = 0;

    stored = one;
    for (i = 0; i < n * 3; i++) {
        for (j = 0; j < n; j++) {
            const char *text = i < n ? values[i] : apr_psprintf(pool,
                "{'response':%s,'items':%s,'inputs':%s}",
                i < 2 * n ? values[i - n] : "{'status':'completed'}",
                values[j], i < 2 * n ? values[j] : values[i - 2 * n]);
            clb_json_t *record = json(text);

            one[0][1] = text;
            bad += recall("{'input':[" REF("msg_a_0") "],"
                          "'previous_response_id':'resp_a'}") == NULL
                && error.kind == CLB_OK;
            bad += recall("{'input':[" REF("msg_a_0") "]}") == NULL
                && error.kind == CLB_OK;
            bad += recall("{'previous_response_id':'resp_a'}") == NULL
                && error.kind == CLB_OK;
            clb_kept_runs(record);
            clb_kept_background(record);
            page(record, NULL);
            page(record, "after=a&limit=1");
        }
    }
    is_int(bad, 0, "what is refused of records that are none has a reason");
    one[0][1] = "{'response':{'status':'completed'},'items':{'a':1}}";
    is_unknown("{'previous_response_id':'resp_a'}", CLB_PREVIOUS_NOT_FOUND,
               "previous_response_id", "not known");
    one[0][1] = "{'response':{'status':'in_progress'}}";
    is_unknown("{'previous_response_id':'resp_a'}", CLB_PREVIOUS_NOT_FOUND,
               "previous_response_id", "not known");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    goes_on();
    refused();
    items();
    records();
    ends();
    chain();
    pages();
    hostile();
    return tap_done();
}
