/* SPDX-License-Identifier: Apache-2.0 */
/* The driver for Codex, fed with what 0.169.0 was seen to print: a process
 * becomes ready, answers, and forgets what nobody wants. */
#include "tap.h"

#include "codex.h"

#include <apr_general.h>

/* As many letters as an id can have. */
#define XS "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

/* What one user message gives when the CLI prints these lines. */
static const char *answer(const char *lines)
{
    turn_t turn;

    begin(&turn, chat_new(1));
    turn_print(&turn, q(lines));
    return turn_said(&turn);
}

/* Lines that come when nothing is known of what became of the turn. */
static clb_fate_e hear(turn_t *turn, const char *lines)
{
    turn->fate = CLB_FATE_NONE;
    turn_print(turn, q(lines));
    return turn->fate;
}

/* --- a process becomes ready --- */

static void warming(void)
{
    turn_t turn;

    turn_init(&turn, pool, &clb_driver_codex, CLB_REUSE_UNSET);
    turn_input(&turn, CLB_IN_WARM, NULL, 0, 0);
    is_str(asked(&turn), "hello", "it is greeted");
    is_str(at(&turn, 0, "params.capabilities.experimentalApi"), "true",
           "and asked for all that it can");
    turn_print(&turn, q("noise\n{}\n{'id':'hello'\n"));
    is_str(asked(&turn), "hello", "noise is no answer");
    turn_print(&turn, q(HELLO));
    is_str(asked(&turn), "hello initialized spare",
           "then it makes a thread ahead");
    ok(!turn.ready, "without which it is not ready");
    turn_print(&turn, q(SPARE("t0")));
    ok(turn.ready, "but with it");
    is_str(turn_said(&turn), "-> -", "not a word of it");
}

/* What a process that prints these lines instead says while it warms up. */
static const char *cold(const char *lines)
{
    turn_t turn;

    turn_init(&turn, pool, &clb_driver_codex, CLB_REUSE_UNSET);
    turn_input(&turn, CLB_IN_WARM, NULL, 0, 0);
    turn_print(&turn, q(lines));
    if (turn.fate == CLB_FATE_NONE) {
        turn_input(&turn, CLB_IN_EXIT, "Error: no such file\n", 20, 1);
    }
    return turn.ready ? "ready" : turn_said(&turn);
}

static void refusals(void)
{
    is_str(cold(REFUSED("hello", "Not initialized")), "cli_failed: the CLI "
           "refused the request 'hello': Not initialized -> kill",
           "it does not shake hands");
    is_str(cold(HELLO REFUSED("spare", "failed to load configuration")),
           "cli_failed: the CLI refused the request 'spare': failed to load "
           "configuration -> kill", "or makes no thread");
    is_str(cold(HELLO "{'id':'spare','error':7}\n"), "cli_failed: the CLI "
           "refused the request 'spare': without a reason -> kill",
           "and does not say why");
    is_str(cold(HELLO), "cli_failed: codex exited with status 1: Error: no "
           "such file -> end", "or ends");
}

/* A hundred letters. */
#define LONG "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define NO_NAME "cli_failed: the CLI names no thread -> kill"

static void odd_threads(void)
{
    turn_t turn;

    is_str(cold(HELLO SPARE(LONG)), NO_NAME, "a thread of too long a name");
    is_str(cold(HELLO SPARE("")), NO_NAME, "or none");
    is_str(cold(HELLO "{'id':'spare','result':{'thread':{'id':7}}}\n"),
           NO_NAME, "or an odd one");
    is_str(cold(HELLO SPARE(XS)), "ready", "is not just a long one");
    warm(&turn);
    ask(&turn, tool_chat(), 0);
    turn_print(&turn, q(THREAD(LONG)));
    is_str(turn_said(&turn), NO_NAME, "nobody is asked there");
    begin(&turn, chat_new(1));
    turn_print(&turn, q(BEGUN THREAD("t9") SPARE(LONG) TEXT("x")
               ITEMS TURN(LONG) COUNTED DONE));
    is_str(turn_said(&turn), "start [x] " USAGE " stop end -> clean",
           "and a turn that runs does not care");
}

/* --- it answers --- */

static void answers(void)
{
    is_str(answer(BEGUN TEXT("one") TEXT(" two") COUNTED DONE),
           "start [one] [ two] " USAGE " stop end -> clean",
           "an answer is what it says");
    is_str(answer(TEXT("one") TURN("u0") TEXT(" two") COUNTED DONE ITEMS),
           "start [one] [ two] " USAGE " stop end -> clean",
           "whenever it answers our requests");
    is_str(answer(BEGUN DONE), "start usage 0+0+0/0/0 stop end -> clean",
           "an answer may be empty");
    is_str(answer(BEGUN TEXT("\\ud800 \\u0000 \xff")),
           "start [\xef\xbf\xbd \xef\xbf\xbd \xef\xbf\xbd] -> -",
           "and odd");
    is_str(answer(BEGUN BROKEN_OFF),
           "cli_failed: the CLI gave up its answer -> settle",
           "or broken off by itself");
    is_str(answer(BEGUN ENDED("t0", "nonsense", "null")),
           "cli_failed: the CLI gave up its answer -> settle",
           "or end in a way that we do not know");
}

#define PART NEWS("item/reasoning/summaryPartAdded", "'summaryIndex':0")
#define THINK(text) NEWS("item/reasoning/summaryTextDelta", \
    "'delta':'" text "','summaryIndex':0")

static void reasoning(void)
{
    turn_t turn;

    is_str(answer(BEGUN PART THINK("hm") THINK(" yes") PART THINK("so")
                  TEXT("x") COUNTED DONE),
           "start <hm> < yes> <\n\n> <so> [x] " USAGE " stop end -> clean",
           "parts of its reasoning stand apart");
    is_str(answer(BEGUN NEWS("item/reasoning/textDelta", "'delta':'raw'")
                  PART THINK("") TEXT("x") COUNTED DONE),
           "start <raw> <\n\n> [x] " USAGE " stop end -> clean",
           "its own words are reasoning, too");

    begin(&turn, chat_new(1));
    turn_print(&turn, q(BEGUN PART THINK("hm") TEXT("x") COUNTED DONE));
    ask(&turn, chat_new(3), 2);
    turn_print(&turn, q(BEGUN PART THINK("hm") TEXT("x") DONE));
    is_str(turn_said(&turn), "start <hm> [x] usage 0+0+0/0/0 stop end -> "
           "clean", "what was said before does not count");
}

#define USED(numbers) NEWS("rawResponse/completed", "'usage':{" numbers "}")

static void usage(void)
{
    is_str(answer(BEGUN USED("'inputTokens':5,'outputTokens':2") DONE),
           "start usage 5+0+0/2/0 stop end -> clean", "what it counts");
    is_str(answer(BEGUN USED("'inputTokens':5,'cachedInputTokens':9") DONE),
           "start usage 0+9+0/0/0 stop end -> clean",
           "input is never below zero");
    is_str(answer(BEGUN USED("'inputTokens':'5','outputTokens':null") DONE),
           "start usage 0+0+0/0/0 stop end -> clean", "nor a guess");
    is_str(answer(BEGUN USED("'inputTokens':-5,'cachedInputTokens':-1,"
                  "'outputTokens':-2,'reasoningOutputTokens':-3") DONE),
           "start usage 0+0+0/0/0 stop end -> clean",
           "nothing else is, either");
    is_str(answer(BEGUN USED("'inputTokens':9223372036854775807,"
                  "'cachedInputTokens':9223372036854775807,"
                  "'cacheWriteInputTokens':9223372036854775807,"
                  "'outputTokens':9223372036854775807") DONE),
           "start usage 0+1000000000000+1000000000000/1000000000000/0 "
           "stop end -> clean", "or so much that sums overflow");
}

#define TOTAL(input, output) NEWS("thread/tokenUsage/updated", \
    "'tokenUsage':{'total':{'inputTokens':" input ",'cachedInputTokens':1," \
    "'outputTokens':" output "},'last':{'inputTokens':0,'outputTokens':0}}")

/* What a thread has used up in all, of which a turn is the last part. */
static void totals(void)
{
    turn_t turn;

    is_str(answer(BEGUN TEXT("x") TOTAL("8", "2") FAILED("Incomplete response "
           "returned, reason: max_output_tokens", "'other'")),
           "start [x] usage 7+1+0/2/0 stop length -> settle",
           "an answer that is cut off counts");
    is_str(answer(BEGUN TOTAL("8", "2") TEXT("x") TOTAL("20", "3") DONE),
           "start [x] usage 19+1+0/3/0 stop end -> clean",
           "so does what the CLI asked more than once");
    begin(&turn, chat_new(1));
    turn_print(&turn, q(BEGUN TEXT("x") TOTAL("8", "2") DONE));
    ask(&turn, chat_new(3), 2);
    turn_print(&turn, q(BEGUN TEXT("x") TOTAL("20", "5") DONE));
    is_str(turn_said(&turn), "start [x] usage 12+0+0/3/0 stop end -> clean",
           "but not what was told before");
    turn_input(&turn, CLB_IN_LINE, q(SPARE("t0")), strlen(SPARE("t0")) - 1, 0);
    ask(&turn, chat_new(1), 0);
    turn_print(&turn, q(BEGUN TEXT("x") TOTAL("3", "1") DONE));
    is_str(turn_said(&turn), "start [x] usage 2+1+0/1/0 stop end -> clean",
           "and not of another thread");
    is_str(answer(BEGUN TOTAL("-9223372036854775807", "9223372036854775807")
                  DONE), "start usage 0+1+0/1000000000000/0 stop end -> clean",
           "nor what nobody believes");
}

static void noise(void)
{
    static const char *const lines[] = {
        "", "Warning: x", "[]", "7", "null", "{'method':7}",
        "{'method':'item/agentMessage/delta'}",
        "{'method':'item/agentMessage/delta','params':7}",
        "{'method':'item/agentMessage/delta','params':{'threadId':7}}",
        "{'method':'turn/completed','params':{'threadId':''}}",
        "{'method':'turn/completed','params':{'turn':{'id':'u0'}}}",
        "{'id':7,'result':{}}", "{'id':null,'error':{'message':'x'}}",
        "{'id':'zzz','result':{'thread':{'id':'t9'}}}",
        "{'method':'account/rateLimits/updated','params':[]}",
        "{'method':'thread/settings/updated','params':{'threadId':'t0'}}",
        "{'method':'error','params':{'threadId':'t0','turnId':'u0',"
        "'willRetry':true,'error':{'message':'x'}}}",
    };
    apr_size_t i;

    for (i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        is_str(answer(apr_pstrcat(pool, BEGUN, lines[i], "\n" TEXT("x"),
                                  NULL)), "start [x] -> -", "noise: %s",
               lines[i]);
    }
    is_str(answer(BEGUN RAW("7") RAW("{'type':'function_call'}")
                  RAW("{'type':7,'call_id':'c','name':'f'}")
                  RAW("{'type':'message','call_id':'c','name':'f'}")
                  NEWS("rawResponse/completed", "'usage':[]")
                  NEWS("item/agentMessage/delta", "'delta':7")
                  NEWS("item/reasoning/summaryTextDelta", "'delta':{}") DONE),
           "start usage 0+0+0/0/0 stop end -> clean",
           "members of other types are none");
}

static void strangers(void)
{
    is_str(answer(BEGUN
        NEWS_OF("t9", "u0", "item/agentMessage/delta", "'delta':'no'")
        NEWS_OF("t0", "auto-compact-0", "item/agentMessage/delta",
                "'delta':'no'")
        NEWS_OF("t0", "auto-compact-0", "rawResponseItem/completed",
                "'item':{'type':'function_call','call_id':'c','name':'f'}")
        ENDED("t9", "failed", "{'message':'no'}") TEXT("yes")),
        "start [yes] -> -", "of other threads, and of what we put into ours, "
        "nothing is heard");
}

static void requests(void)
{
    turn_t turn;

    begin(&turn, chat_new(1));
    clb_buf_reset(&turn.lines);
    turn_print(&turn, q("{'method':'item/commandExecution/requestApproval',"
               "'id':'r-1','params':{'threadId':'t0','turnId':'u0'}}\n"
               "{'method':'currentTime/read','id':[1],'params':{}}\n"));
    is_str(at(&turn, 0, "error.code"), "-32601", "what it asks for");
    is_str(at(&turn, 0, "id"), "\"r-1\"", "is refused by name");
    is_str(at(&turn, 1, "id"), "[1]", "whatever that is");
    is_str(turn_said(&turn), "-> -", "and the answer goes on");
    turn_print(&turn, q(BEGUN TEXT("x") COUNTED DONE));
    is_str(turn_said(&turn), "start [x] " USAGE " stop end -> clean",
           "to its end");
}

static void refused_turns(void)
{
    is_str(answer(ITEMS REFUSED("turn", "no")), "cli_failed: the CLI refused "
           "the request 'turn': no -> kill", "a turn that it does not begin");
    is_str(answer(REFUSED("items", "no") TURN("u0")), "cli_failed: the CLI "
           "refused the request 'items': no -> kill",
           "or would begin without what was said");
    is_str(answer(ITEMS), "-> -", "it has time");
    is_str(answer("{'id':'zzz','error':{'message':'no'}}\n" BEGUN TEXT("x")),
           "start [x] -> -", "what nobody asked for may be refused");
}

static void exits(void)
{
    turn_t turn;

    begin(&turn, chat_new(1));
    turn_print(&turn, q(BEGUN TEXT("x")));
    turn_input(&turn, CLB_IN_EXIT, "thread panicked\n", 16, -9);
    is_str(turn_said(&turn), "start [x] cli_failed: codex was ended by signal "
           "9: thread panicked -> end", "it ends too early");
}

/* --- nobody wants the answer any more --- */

static void cancelled(void)
{
    turn_t turn;

    begin(&turn, chat_new(1));
    turn_print(&turn, q(BEGUN TEXT("x")));
    cancel(&turn);
    is_str(asked(&turn), "stop", "a turn that runs is stopped");
    is_str(at(&turn, 0, "params"), q("{'threadId':'t0','turnId':'u0'}"),
           "by its name");
    is_int(hear(&turn, STOPPED TEXT("late") COUNTED), CLB_FATE_NONE,
           "whatever it says then");
    is_int(hear(&turn, BROKEN_OFF), CLB_FATE_NONE, "when it has ended");
    is_str(asked(&turn), "stop leave spare", "its thread is left for another");
    is_int(hear(&turn, LEFT), CLB_FATE_NONE, "both");
    is_int(hear(&turn, SPARE("t1")), CLB_FATE_CLEAN, "make it clean");
    is_str(turn_said(&turn), "start [x] -> clean", "without a word");
    ask(&turn, chat_new(1), 0);
    is_str(at(&turn, 0, "params.threadId"), "\"t1\"", "for the next");
    turn_print(&turn, q(STOPPED BROKEN_OFF TEXT("late") TURN("u1")));
    is_str(turn_said(&turn), "-> -", "who does not hear of it");
}

static void cancelled_early(void)
{
    turn_t turn;

    begin(&turn, chat_new(1));
    cancel(&turn);
    is_str(asked(&turn), "", "a turn that is about to begin");
    hear(&turn, ITEMS TURN("u0"));
    is_str(asked(&turn), "stop", "is stopped when it has a name");
    is_int(hear(&turn, STOPPED BROKEN_OFF SPARE("t1") LEFT), CLB_FATE_CLEAN,
           "and left, in whatever order");

    begin(&turn, chat_new(1));
    cancel(&turn);
    is_int(hear(&turn, DONE TURN("u0")), CLB_FATE_NONE, "or it ends by itself");
    is_str(asked(&turn), "leave spare", "which is as good");

    begin(&turn, chat_new(1));
    turn_print(&turn, q(ITEMS DONE));
    hear(&turn, TURN("u0"));
    ask(&turn, chat_new(3), 2);
    cancel(&turn);
    is_str(asked(&turn), "", "the name of the turn before is none");

    warm(&turn);
    ask(&turn, tool_chat(), 0);
    cancel(&turn);
    is_str(asked(&turn), "", "a thread that is asked for");
    hear(&turn, THREAD("t1"));
    is_str(asked(&turn), "leave", "is left when it is there");
    is_str(at(&turn, 0, "params.threadId"), "\"t1\"", "by its name");
    is_int(hear(&turn, LEFT), CLB_FATE_CLEAN,
           "and the one that was made ahead is still good");
    ask(&turn, chat_new(1), 0);
    is_str(at(&turn, 0, "params.threadId"), "\"t0\"", "for the next");

    begin(&turn, tool_chat());
    turn_print(&turn, q(BEGUN CALL("c1", "f", "{}") COUNTED OPEN("0", "c1")));
    ask(&turn, tool_chat(), 2);
    cancel(&turn);
    is_str(asked(&turn), "", "of a turn that is gone nothing is stopped");
    hear(&turn, BROKEN_OFF LEFT THREAD("t1"));
    is_str(asked(&turn), "leave", "but its thread is left");

    warm(&turn);
    ask(&turn, tool_chat(), 0);
    cancel(&turn);
    is_int(hear(&turn, REFUSED("thread", "no")), CLB_FATE_CLEAN,
           "so it is if the other is refused");
}

static void cancelled_late(void)
{
    turn_t turn;

    begin(&turn, tool_chat());
    turn_print(&turn, q(BEGUN CALL("c1", "f", "{}") COUNTED OPEN("0", "c1")));
    cancel(&turn);
    is_str(asked(&turn), "stop", "calls that nobody will answer");
    is_int(hear(&turn, STOPPED BROKEN_OFF), CLB_FATE_NONE, "end");
    is_str(asked(&turn), "stop leave", "with their thread");
    is_int(hear(&turn, "{'id':'leave','error':{'message':'no'}}\n"),
           CLB_FATE_CLEAN, "even if it knows nothing of it any more");

    begin(&turn, chat_new(1));
    turn_print(&turn, q(BEGUN FAILED("x", "'other'")));
    is_int(turn.fate, CLB_FATE_SETTLE, "after an error");
    cancel(&turn);
    is_str(asked(&turn), "leave spare", "its thread holds a question");
    is_int(hear(&turn, LEFT SPARE("t1")), CLB_FATE_CLEAN, "that is gone then");

    begin(&turn, chat_new(1));
    turn_print(&turn, q(BEGUN TEXT("x")));
    cancel(&turn);
    turn_input(&turn, CLB_IN_EXIT, "", 0, 0);
    is_int(turn.fate, CLB_FATE_END, "it may also end");
    begin(&turn, chat_new(1));
    turn_print(&turn, q(BEGUN));
    cancel(&turn);
    cancel(&turn);
    is_str(asked(&turn), "", "once is enough");
}

/* What comes when nothing is asked. */
static void late(void)
{
    turn_t turn;

    begin(&turn, chat_new(1));
    turn_print(&turn, q(BEGUN TEXT("a") COUNTED DONE));
    is_int(hear(&turn, DONE TEXT("b") COUNTED FAILED("x", "'other'") LEFT
                ITEMS STOPPED), CLB_FATE_NONE, "what comes late");
    is_str(turn_said(&turn), "start [a] " USAGE " stop end -> -",
           "changes nothing");
    warm(&turn);
    is_int(hear(&turn, "{'method':'account/updated','params':{}}\n" DONE),
           CLB_FATE_NONE, "nor what comes before a turn");
    is_str(turn_said(&turn), "-> -", "which nobody hears");
}

/* A thread that is asked for twice stays for ever. */
static void threads_ahead(void)
{
    turn_t turn;

    begin(&turn, chat_new(1));
    turn_print(&turn, q(BEGUN TEXT("a") COUNTED DONE));
    is_str(asked(&turn), "items turn spare", "a thread is asked for ahead");
    cancel(&turn);
    is_str(asked(&turn), "leave", "which need not be asked for again");
    is_int(hear(&turn, LEFT), CLB_FATE_NONE, "before it is there");
    is_int(hear(&turn, SPARE("t1")), CLB_FATE_CLEAN, "it is not clean");

    begin(&turn, chat_new(1));
    turn_print(&turn, q(BEGUN DONE));
    ask(&turn, chat_new(3), 2);
    turn_print(&turn, q(BEGUN DONE));
    is_str(asked(&turn), "items turn", "nor is it by the next turn");
    turn_input(&turn, CLB_IN_LINE, q(SPARE("t1")), strlen(SPARE("t1")) - 1, 0);
    ask(&turn, chat_new(1), 0);
    turn_print(&turn, q(BEGUN NEWS_OF("t1", "u1", "item/agentMessage/delta",
               "'delta':'x'") ENDED("t1", "completed", "null")));
    is_str(asked(&turn), "leave items turn spare", "once it is used it is");
}

/* It may be refused, which is nobody's business but the next one's. */
static void refused_ahead(void)
{
    turn_t turn;

    begin(&turn, chat_new(1));
    turn_print(&turn, q(BEGUN DONE));
    ask(&turn, chat_new(3), 2);
    turn_print(&turn, q(BEGUN REFUSED("spare", "no") TEXT("x") COUNTED DONE));
    is_str(turn_said(&turn), "start [x] " USAGE " stop end -> clean",
           "a turn goes on without a thread for later");
    is_str(asked(&turn), "items turn spare", "which is asked for again");
    cancel(&turn);
    is_int(hear(&turn, LEFT REFUSED("spare", "no")), CLB_FATE_KILL,
           "without one it does not become clean");
    is_str(turn.wrong, NULL, "of which nobody is told");
}

/* A state that came over a socket is believed as far as it does no harm. */
static void strange_state(void)
{
    const char *lines = q(BEGUN HELLO SPARE("t1") THREAD("t0") STOPPED LEFT
        PART THINK("x") TEXT("x") CALL("c1", "f", "{}") OPEN("0", "c1")
        COUNTED DONE);
    int byte, kind, strange = 0;
    turn_t turn;

    for (byte = 0; byte < 256; byte++) {
        for (kind = CLB_IN_WARM; kind <= CLB_IN_CANCEL; kind++) {
            turn_init(&turn, pool, &clb_driver_codex, CLB_REUSE_UNSET);
            memset(turn.state.bytes, byte, sizeof(turn.state.bytes));
            turn.chat = chat_new(5);
            turn.known = byte % 5;
            turn_input(&turn, kind, "{}", 2, 0);
            turn_print(&turn, lines);
            strange += turn.fate > CLB_FATE_KILL;
        }
    }
    is_int(strange, 0, "no state leads astray");
    memset(turn.state.bytes, 'x', sizeof(turn.state.bytes));
    ask(&turn, chat_new(3), 2);
    is_str(at(&turn, 0, "params.threadId"), apr_pstrcat(pool, "\"", XS,
           "\"", NULL), "nor beyond the end of an id");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    warming();
    refusals();
    odd_threads();
    answers();
    reasoning();
    usage();
    totals();
    noise();
    strangers();
    requests();
    refused_turns();
    exits();
    cancelled();
    cancelled_early();
    cancelled_late();
    late();
    threads_ahead();
    refused_ahead();
    strange_state();
    return tap_done();
}
