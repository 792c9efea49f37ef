/* SPDX-License-Identifier: Apache-2.0 */
/* The client's tools with Codex: what calls become, how a process holds them
 * open until their results come, and how conversations go on. */
#include "tap.h"

#include "codex.h"

#include "../../src/backend/codex.h"

#include <apr_general.h>

/* What one user message gives when the CLI prints these lines. */
static const char *answer(const char *lines)
{
    turn_t turn;

    begin(&turn, tool_chat());
    turn_print(&turn, q(lines));
    return turn_said(&turn);
}

#define CALLED "call c1 f {{}} "

static void calls(void)
{
    is_str(answer(BEGUN TEXT("hm") CALL("c1", "f", "{\\'a\\':1}")
                       OPEN("0", "c1") CALL("c2", "a_b_1", "{}")
                       OPEN("1", "c2") COUNTED),
           "start [hm] call c1 f {{\"a\":1}} call c2 a.b {{}} " USAGE
           " stop calls -> clean", "calls are the client's, by its names");
    is_str(answer(BEGUN CALL("c1", "f", "{}") COUNTED),
           "start " CALLED USAGE " stop calls -> park",
           "an answer does not wait until they are open");
    is_str(answer(BEGUN CALL("c1", "f", "{}") COUNTED OPEN("0", "c1")),
           "start " CALLED USAGE " stop calls -> clean", "the process does");
    is_str(answer(BEGUN CALL("c1", "f", "{}") COUNTED
           NEWS("rawResponse/completed", "'usage':{}") TEXT("more")
           "{'method':'item/tool/call','id':0,'params':{'threadId':'t9',"
           "'turnId':'u0','callId':'c1'}}\n"
           "{'method':'item/tool/call','id':0,'params':{'threadId':'t0',"
           "'turnId':'u0'}}\n"),
           "start " CALLED USAGE " stop calls -> park",
           "for those, and nothing else");
}

/* Twelve calls, and one more. */
static void many_calls(void)
{
    const char *lines = BEGUN, *open = "";
    clb_codex_open_t open_calls = { 0 };
    turn_t turn;
    int i;

    for (i = 0; i < 12; i++) {
        lines = apr_psprintf(pool, "%s" CALL("c%d", "f", "{}"), lines, i);
        open = apr_psprintf(pool, "%s" OPEN("%d", "c%d"), open, i, i);
    }
    begin(&turn, tool_chat());
    turn_print(&turn, q(apr_pstrcat(pool, lines, open, COUNTED, NULL)));
    is_int(turn.fate, CLB_FATE_CLEAN, "twelve calls can stay open");
    for (i = 0; i < 20; i++) {
        clb_codex_opened(&open_calls, "c", i);
    }
    is_int(open_calls.n, CLB_CODEX_CALLS, "as many as there is room for");
    begin(&turn, tool_chat());
    turn_print(&turn, q(apr_pstrcat(pool, lines, open, CALL("c12", "f", "{}")
               OPEN("12", "c12") COUNTED, NULL)));
    turn_print(&turn, q(TEXT("more") COUNTED));
    is_int(turn.fate, CLB_FATE_SETTLE, "more cannot");
    is_str(turn.wrong, NULL, "without another word");
    cancel(&turn);
    is_str(asked(&turn), "stop", "so they are dropped");
}

/* The same for a chat that offers none. */
static const char *toolless(const char *lines)
{
    turn_t turn;

    begin(&turn, chat_new(1));
    turn_print(&turn, q(lines));
    return turn_said(&turn);
}

#define ANSWER_TO(id) RAW("{'type':'function_call_output','id':'fco_1'," \
    "'call_id':'" id "','output':'unsupported call'}")

/* The CLI answers calls itself that it cannot pass on: it is about to ask its
 * model again, or did. */
static void answered_calls(void)
{
    turn_t turn;

    is_str(answer(BEGUN CALL("c1", "f", "{}") COUNTED ANSWER_TO("c1")),
           "start " CALLED USAGE " stop calls -> kill",
           "when it answers a call itself");
    is_str(answer(BEGUN CALL("c1", "f", "{}") ANSWER_TO("c1") COUNTED),
           "start " CALLED "usage 0+0+0/0/0 stop calls -> kill",
           "it must not go on");
    is_str(answer(BEGUN CALL("c1", "f", "{}") COUNTED TEXT("more") COUNTED
           DONE), "start " CALLED USAGE " stop calls -> settle",
           "a turn that ends without the results");
    begin(&turn, tool_chat());
    turn_print(&turn, q(BEGUN CALL("c1", "f", "{}") COUNTED OPEN("0", "c1")));
    turn.fate = CLB_FATE_NONE;
    turn_print(&turn, q(FAILED("x", "'other'")));
    is_str(turn_said(&turn), "start " CALLED USAGE " stop calls -> settle",
           "is not one to go on with");
    cancel(&turn);
    is_str(asked(&turn), "leave", "but over");
}

static void invented(void)
{
    is_str(answer(BEGUN CALL("c1", "zzz", "{}")),
           "start call c1 zzz {{}} usage 0+0+0/0/0 stop calls -> kill",
           "what it calls, but has not, it would answer itself");
    is_str(answer(BEGUN CALL("c1", "a.b", "{}")),
           "start call c1 a.b {{}} usage 0+0+0/0/0 stop calls -> kill",
           "also by the client's name");
    is_str(toolless(BEGUN CALL("c1", "f", "{}")),
           "start call c1 f {{}} usage 0+0+0/0/0 stop calls -> kill",
           "also when it has none at all");
    is_str(answer(BEGUN CALL("c1", "f", "nonsense")),
           "start call c1 f {nonsense} usage 0+0+0/0/0 stop calls -> kill",
           "and what it calls with something odd");
    is_str(answer(BEGUN CALL("c1", "f", "")),
           "start call c1 f usage 0+0+0/0/0 stop calls -> kill",
           "or nothing");
}

/* Of all tools it has only the one that it must call. */
static void others(void)
{
    clb_chat_t *chat = tool_chat();
    turn_t turn;

    chat->choice = CLB_CHOICE_NAMED;
    chat->chosen = "f";
    begin(&turn, chat);
    turn_print(&turn, q(BEGUN CALL("c1", "f", "{}") COUNTED));
    is_int(turn.fate, CLB_FATE_PARK, "the tool that it has");
    begin(&turn, chat);
    turn_print(&turn, q(BEGUN CALL("c1", "a_b_1", "{}")));
    is_str(turn_said(&turn), "start call c1 a.b {{}} usage 0+0+0/0/0 stop "
           "calls -> kill", "is not another, however it came to know it");
}

/* --- tools that the CLI does not take --- */

static void refused_tools(void)
{
    turn_t turn;

    warm(&turn);
    ask(&turn, tool_chat(), 0);
    turn_print(&turn, q(REFUSED("thread", "dynamic tool name is reserved")));
    is_str(turn_said(&turn), "bad_request: the CLI does not take the tools: "
           "dynamic tool name is reserved -> settle", "tools that it refuses");
    cancel(&turn);
    is_int(turn.fate, CLB_FATE_CLEAN, "cost no process");

    begin(&turn, chat_new(1));
    turn_print(&turn, q(BEGUN DONE));
    ask(&turn, chat_new(1), 0);
    is_str(asked(&turn), "leave thread", "who needs a thread at once");
    turn_print(&turn, q(REFUSED("thread", "failed to load configuration")));
    is_str(turn_said(&turn), "cli_failed: the CLI refused the request "
           "'thread': failed to load configuration -> kill",
           "and has no tools is not to blame");
}

/* --- the conversation goes on --- */

static void next_turns(void)
{
    clb_chat_t *chat = chat_new(3);
    turn_t turn;

    begin(&turn, chat_new(1));
    turn_print(&turn, q(BEGUN TEXT("a") COUNTED OPEN("0", "c9") DONE));
    is_str(asked(&turn), "items turn spare",
           "when it has answered, it makes another thread");
    chat->system = "be brief";
    ask(&turn, chat, 2);
    is_str(asked(&turn), "items turn", "the next question");
    is_str(at(&turn, 0, "params"), q("{'threadId':'t0','items':[{'type':"
           "'message','role':'user','content':[{'type':'input_text','text':"
           "'text 3'}]}]}"), "is all that its thread needs");
    turn_print(&turn, q(SPARE("t1") BEGUN TEXT("b") COUNTED DONE));
    is_str(turn_said(&turn), "start [b] " USAGE " stop end -> clean",
           "to go on");
    is_str(asked(&turn), "items turn", "once is enough");
    ask(&turn, chat_new(1), 0);
    is_str(asked(&turn), "leave items turn", "what has another beginning");
    is_str(at(&turn, 0, "params.threadId"), "\"t0\"", "leaves that thread");
    is_str(at(&turn, 2, "params.threadId"), "\"t1\"", "for another");

    warm(&turn);
    ask(&turn, chat_new(3), 2);
    is_str(at(&turn, 0, "params.threadId"), "\"t0\"",
           "what is to go on in no thread");
    is_int((long long)clb_json_size(clb_json_find(written(&turn, 0),
                                                  "params.items")), 3,
           "begins anew");
}

/* A chat whose two calls were given, the process that has them open, and the
 * results in this order. */
static clb_chat_t *results(turn_t *turn, const char *first, const char *second)
{
    clb_chat_t *chat = tool_chat();

    begin(turn, chat);
    turn_print(turn, q(BEGUN CALL("c1", "f", "{}") CALL("c2", "f", "{}")
               OPEN("7", "c2") OPEN("8", "c1") COUNTED));
    chat = tool_chat();
    call(chat, "c1", "f", "{}");
    call(chat, "c2", "f", "{}");
    result(chat, first, "one");
    if (second != NULL) {
        result(chat, second, "two");
    }
    return chat;
}

static void live_results(void)
{
    clb_chat_t *chat;
    turn_t turn;

    chat = results(&turn, "c1", "c2");
    ask(&turn, chat, 2);
    is_str(asked(&turn), "answer answer", "open calls get their results");
    is_str(clb_json_text(pool, written(&turn, 0)), q("{'id':8,'result':"
           "{'contentItems':[{'type':'inputText','text':'one'}],'success':"
           "true}}"), "the first");
    is_str(at(&turn, 1, "id"), "7", "and the second");
    turn_print(&turn, q(ANSWER_TO("c1") ANSWER_TO("c2") TEXT("so") COUNTED
               DONE));
    is_str(turn_said(&turn), "start [so] " USAGE " stop end -> clean",
           "and the turn goes on");

    chat = results(&turn, "c2", "c1");
    ask(&turn, chat, 2);
    is_str(at(&turn, 0, "id"), "7", "in any order");
    is_str(at(&turn, 1, "result.contentItems"), q("[{'type':'inputText',"
           "'text':'two'}]"), "each its own");
    turn_print(&turn, q(CALL("c3", "f", "{}") COUNTED OPEN("9", "c3")));
    is_str(turn_said(&turn), "start call c3 f {{}} " USAGE " stop calls -> "
           "clean", "to another call");
    clb_chat_part(clb_chat_message(chat, CLB_ROLE_ASSISTANT), CLB_PART_CALL,
                  "{}")->id = "c3";
    result(chat, "c3", NULL);
    chat->turns = NULL;
    ask(&turn, chat, 4);
    is_str(clb_json_text(pool, written(&turn, 0)), q("{'id':9,'result':"
           "{'contentItems':[{'type':'inputText','text':''}],'success':true"
           "}}"), "whose result may be empty");
}

#define TOTAL(input, cached, written, output, reasoned) NEWS( \
    "thread/tokenUsage/updated", "'tokenUsage':{'total':{'inputTokens':" \
    input ",'cachedInputTokens':" cached ",'cacheWriteInputTokens':" written \
    ",'outputTokens':" output ",'reasoningOutputTokens':" reasoned "}}")

/* What a thread used up for the calls is told with its next answer. */
static void used_before(void)
{
    clb_chat_t *chat;
    turn_t turn;

    chat = results(&turn, "c1", "c2");
    ask(&turn, chat, 2);
    turn_print(&turn, q(TOTAL("111", "22", "3", "33", "7") TEXT("so")
        NEWS("rawResponse/completed", "'usage':{'inputTokens':150,"
             "'cachedInputTokens':111,'outputTokens':4}")
        TOTAL("261", "133", "3", "37", "7") DONE));
    is_str(turn_said(&turn), "start [so] usage 39+111+0/4/0 stop end -> "
           "clean", "but counts once");
}

static void image_results(void)
{
    clb_chat_t *chat;
    clb_part_t *part;
    turn_t turn;

    chat = results(&turn, "c1", NULL);
    part = clb_chat_part(result(chat, "c2", "see"), CLB_PART_IMAGE, NULL);
    part->media = "image/png";
    part->data = "aWc=";
    ask(&turn, chat, 2);
    is_str(at(&turn, 1, "result.contentItems"), q("[{'type':'inputText',"
           "'text':'see'},{'type':'inputImage','imageUrl':"
           "'data:image/png;base64,aWc='}]"), "a result may have an image");
}

/* What cannot be said to calls that are open is said in another thread. */
static void other_results(void)
{
    static const struct {
        const char *first;
        const char *second;
        const char *what;
    } cases[] = {
        { "c1", NULL, "one result of two" },
        { "c1", "c9", "a result of another call" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        clb_chat_t *chat;
        turn_t turn;

        chat = results(&turn, cases[i].first, cases[i].second);
        ask(&turn, chat, 2);
        is_str(asked(&turn), "stop leave thread", "%s", cases[i].what);
        is_str(at(&turn, 0, "params"), q("{'threadId':'t0','turnId':'u0'}"),
               "ends the turn");
        turn_print(&turn, q(STOPPED BROKEN_OFF LEFT));
        is_str(turn_said(&turn), "-> -", "whose end is no news");
        turn_print(&turn, q(THREAD("t2")));
        is_str(asked(&turn), "stop leave thread items turn",
               "and all is said again");
        is_str(at(&turn, 3, "params.threadId"), "\"t2\"", "elsewhere");
        turn_print(&turn, q(BROKEN_OFF BEGUN NEWS_OF("t2", "u1",
                   "item/agentMessage/delta", "'delta':'x'")
                   ENDED("t2", "completed", "null")));
        is_str(turn_said(&turn), "start [x] usage 0+0+0/0/0 stop end -> "
               "clean", "to be answered there");
    }
}

/* What stands beside the results is known before they let the model go on. */
static void more_than_results(void)
{
    clb_chat_t *chat;
    turn_t turn;

    chat = results(&turn, "c1", "c2");
    say(chat, CLB_ROLE_USER, "and?");
    ask(&turn, chat, 2);
    is_str(asked(&turn), "items", "a word beside the results goes before");
    is_str(at(&turn, 0, "params"), q("{'threadId':'t0','items':[{'type':"
           "'message','role':'user','content':[{'type':'input_text','text':"
           "'and?'}]}]}"), "as the only item");
    turn_print(&turn, q(ITEMS));
    is_str(asked(&turn), "items answer answer", "they come when it is there");
    turn_print(&turn, q(ITEMS TEXT("so") COUNTED DONE));
    is_str(turn_said(&turn), "start [so] " USAGE " stop end -> clean",
           "once");
}

/* The same, up to the word. */
static void half_said(turn_t *turn)
{
    clb_chat_t *chat = results(turn, "c1", "c2");

    say(chat, CLB_ROLE_USER, "and?");
    ask(turn, chat, 2);
}

static void less_than_results(void)
{
    turn_t turn;

    half_said(&turn);
    turn_print(&turn, q(REFUSED("items", "no")));
    is_str(turn_said(&turn), "cli_failed: the CLI refused the request "
           "'items': no -> kill", "a word that it does not take");
    is_str(asked(&turn), "items", "and no result");
    half_said(&turn);
    turn_print(&turn, q(FAILED("x", "'other'") ITEMS));
    is_str(turn_said(&turn), "upstream_error: x -> settle",
           "a turn that ends over the word");
    is_str(asked(&turn), "items", "needs no result");
    half_said(&turn);
    cancel(&turn);
    turn_print(&turn, q(ITEMS STOPPED BROKEN_OFF));
    is_str(asked(&turn), "stop leave", "nor one that nobody waits for");
}

/* Calls that nobody answers do not count among those of another thread. */
static void new_calls(void)
{
    clb_chat_t *chat;
    turn_t turn;

    chat = results(&turn, "c1", NULL);
    ask(&turn, chat, 2);
    turn_print(&turn, q(THREAD("t2") BEGUN NEWS_OF("t2", "u1",
               "rawResponseItem/completed", "'item':{'type':'function_call',"
               "'name':'f','arguments':'{}','call_id':'c5'}")
               NEWS_OF("t2", "u1", "rawResponse/completed", "'usage':{}")
               "{'method':'item/tool/call','id':9,'params':{'threadId':'t2',"
               "'turnId':'u1','callId':'c5'}}\n"));
    is_int(turn.fate, CLB_FATE_CLEAN, "only new calls are open");
}

/* Ids that stand twice do not leave a call without a result. */
static void twins(void)
{
    clb_chat_t *chat;
    turn_t turn;

    chat = results(&turn, "c1", "c1");
    ask(&turn, chat, 2);
    is_str(asked(&turn), "stop leave thread", "two results of one call");

    begin(&turn, tool_chat());
    turn_print(&turn, q(BEGUN CALL("c1", "f", "{}") CALL("c1", "f", "{}")
               OPEN("7", "c1") OPEN("8", "c1") COUNTED));
    chat = tool_chat();
    call(chat, "c1", "f", "{}");
    result(chat, "c1", "one");
    ask(&turn, chat, 2);
    is_str(asked(&turn), "stop leave thread", "a result of two calls");
    begin(&turn, tool_chat());
    turn_print(&turn, q(BEGUN CALL("c1", "f", "{}") CALL("c1", "f", "{}")
               OPEN("7", "c1") OPEN("8", "c1") COUNTED));
    result(chat, "c1", "two");
    chat->turns = NULL;
    ask(&turn, chat, 2);
    is_str(asked(&turn), "stop leave thread", "and two of two, which is whose");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    calls();
    many_calls();
    answered_calls();
    invented();
    others();
    refused_tools();
    next_turns();
    live_results();
    used_before();
    image_results();
    other_results();
    more_than_results();
    new_calls();
    less_than_results();
    twins();
    return tap_done();
}
