/* SPDX-License-Identifier: Apache-2.0 */
/* Thinking with Claude Code: what its blocks become, how they go back into its
 * history, and what it is told to think; and the other things that only
 * Anthropic's own clients ask for. */
#include "tap.h"

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

#define EVENT(event) "{'type':'stream_event','event':{'type':" event "}}\n"
#define START EVENT("'message_start','message':{'usage':{'input_tokens':9," \
    "'output_tokens':1}}")
#define BLOCK(block) EVENT("'content_block_start','content_block':{" block "}")
#define DELTA(delta) EVENT("'content_block_delta','delta':{" delta "}")
#define TEXT(text) DELTA("'type':'text_delta','text':'" text "'")
#define END(delta, usage) EVENT("'message_delta','delta':{" delta \
    "},'usage':{'output_tokens':7" usage "}") EVENT("'message_stop'")
#define ACK "{'type':'result','is_error':false}\n"

static clb_chat_t *chat_new(void)
{
    clb_chat_t *chat = clb_chat_create(pool);

    chat->model = "claude-sonnet-4-6";
    clb_chat_part(clb_chat_message(chat, CLB_ROLE_USER), CLB_PART_TEXT, "q");
    return chat;
}

static void begin(turn_t *turn, clb_chat_t *chat)
{
    turn_init(turn, pool, &clb_driver_claude, CLB_REUSE_UNSET);
    turn->chat = chat;
    turn_input(turn, CLB_IN_CHAT, NULL, 0, 0);
}

static const char *answer(clb_chat_t *chat, const char *lines)
{
    turn_t turn;

    begin(&turn, chat);
    turn_print(&turn, q(lines));
    return turn_said(&turn);
}

/* What is written to stdin for @a chat, whose history is acknowledged. */
static const char *written(clb_chat_t *chat)
{
    turn_t turn;
    int i;

    begin(&turn, chat);
    for (i = 2; i < clb_chat_turns(chat)->nelts; i += 2) {
        turn_print(&turn, q(ACK));
    }
    return turn.lines.data;
}

static void has(const char *lines, const char *part, const char *what)
{
    if (!ok(strstr(lines, q(part)) != NULL, "%s", what)) {
        diag("%s", lines);
    }
}

static void has_no(const char *lines, const char *part, const char *what)
{
    if (!ok(strstr(lines, part) == NULL, "%s", what)) {
        diag("%s", lines);
    }
}

/* --- answers --- */

static void blocks(void)
{
    is_str(answer(chat_new(), START
                  BLOCK("'type':'thinking','thinking':'','signature':''")
                  DELTA("'type':'thinking_delta','thinking':'hm'")
                  DELTA("'type':'signature_delta','signature':'c2ln'")
                  BLOCK("'type':'redacted_thinking','data':'eHg='")
                  BLOCK("'type':'text','text':''") TEXT("x")
                  END("'stop_reason':'end_turn'", "")),
           "start <hm> signed c2ln hidden eHg= [x] usage 9+0+0/7/0 stop end "
           "-> park", "reasoning, its signature, and what is hidden");
    is_str(answer(chat_new(), START
                  DELTA("'type':'signature_delta','signature':'c2ln'")
                  TEXT("x") END("'stop_reason':'end_turn'", "")),
           "start signed c2ln [x] usage 9+0+0/7/0 stop end -> park",
           "a signature of what is not shown");
    is_str(answer(chat_new(), START BLOCK("'type':'redacted_thinking'")
                  BLOCK("'type':7") TEXT("x")
                  END("'stop_reason':'end_turn'", "")),
           "start [x] usage 9+0+0/7/0 stop end -> park",
           "nothing of a block without its data");
    is_str(answer(chat_new(), START TEXT("x") END("'stop_reason':'end_turn'",
                  ",'output_tokens_details':{'thinking_tokens':5}")),
           "start [x] usage 9+0+0/7/5 stop end -> park",
           "tokens of reasoning are counted");
}

static void usage_at_start(void)
{
    turn_t turn;

    begin(&turn, chat_new());
    turn_print(&turn, q(START));
    is_int(APR_ARRAY_IDX(turn.step->events, 0, clb_event_t).u.usage.input, 9,
           "what the question takes is known when the answer begins");
}

static void sequences(void)
{
    clb_chat_t *chat = chat_new();

    APR_ARRAY_PUSH(chat->stop, const char *) = "A";
    APR_ARRAY_PUSH(chat->stop, const char *) = "B";
    is_str(answer(chat, START TEXT("x") END("'stop_reason':'stop_sequence',"
                  "'stop_sequence':'B'", "")),
           "start [x] usage 9+0+0/7/0 stop sequence at B -> park",
           "the stop sequence that the model came to");
    is_str(answer(chat, START EVENT("'message_delta','delta':{'stop_reason':"
                  "'stop_sequence','stop_sequence':'A'}")),
           "start usage 9+0+0/1/0 stop sequence at A -> kill",
           "also at once");
    is_str(answer(chat, START TEXT("x") END("'stop_reason':'stop_sequence',"
                  "'stop_sequence':'C'", "")),
           "start [x] usage 9+0+0/7/0 stop sequence -> park",
           "none that was not asked for");
}

/* --- requests --- */

static clb_part_t *thought(clb_message_t *message, const char *text,
                           const char *signature, const char *data)
{
    clb_part_t *part = clb_chat_part(message, CLB_PART_REASONING, text);

    part->signature = signature;
    part->data = data;
    return part;
}

static void history(void)
{
    clb_chat_t *chat = chat_new();
    clb_message_t *message = clb_chat_message(chat, CLB_ROLE_ASSISTANT);
    clb_part_t *part;
    const char *lines;

    thought(message, "hm", "c2ln", NULL);
    thought(message, "", NULL, "eHg=");
    thought(message, "lost", NULL, NULL);
    part = clb_chat_part(message, CLB_PART_CALL, "{\"a\":1}");
    part->id = "1";
    part->name = "f";
    part = clb_chat_part(clb_chat_message(chat, CLB_ROLE_USER),
                         CLB_PART_RESULT, NULL);
    part->id = "1";
    part->failed = 1;
    part->parts = apr_array_make(pool, 1, sizeof(clb_part_t));
    lines = written(chat);
    has(lines, "'content':[{'type':'thinking','thinking':'hm','signature':"
        "'c2ln'},{'type':'redacted_thinking','data':'eHg='},{'type':"
        "'tool_use',", "reasoning goes back before the call");
    has_no(lines, "lost", "none without a signature");
    has(lines, "'content':[],'is_error':true}", "a tool that failed");
    part->failed = 0;
    chat->turns = NULL;
    has_no(written(chat), "is_error", "and one that did not");
}

/* A message of the assistant's and one more of the user's. */
static clb_chat_t *chat_three(const char *model)
{
    clb_chat_t *chat = chat_new();
    clb_message_t *message = clb_chat_message(chat, CLB_ROLE_ASSISTANT);

    chat->model = model;
    thought(message, "hm", "c2ln", NULL);
    clb_chat_part(message, CLB_PART_TEXT, "a");
    clb_chat_part(clb_chat_message(chat, CLB_ROLE_USER), CLB_PART_TEXT, "r");
    return chat;
}

static void models(void)
{
    static const struct {
        const char *init;
        const char *want;
        const char *what;
    } cases[] = {
        { "'model':'claude-sonnet-5'", "'model':'claude-sonnet-5'",
          "an answer is of the model that the CLI asks" },
        { "'model':'claude-opus-5[1m]'", "'model':'claude-opus-5'",
          "by the name the model has itself" },
        { "'model':7", "'model':'sonnet'", "or else of the one it was told" },
        { "'model':'mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm"
          "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm"
          "mmmmmmmmmmmmmmmmmmmm'", "'model':'sonnet'", "also where that is "
          "too long to be one" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        turn_t turn;

        begin(&turn, chat_three("sonnet"));
        clb_buf_reset(&turn.lines);
        turn_print(&turn, q(apr_pstrcat(pool, "{'type':'system','subtype':"
            "'init','tools':[],", cases[i].init, "}\n" ACK, NULL)));
        has(turn.lines.data, cases[i].want, cases[i].what);
    }
}

static void documents(void)
{
    clb_chat_t *chat = chat_new();

    clb_chat_part(&APR_ARRAY_IDX(chat->messages, 0, clb_message_t),
                  CLB_PART_DOCUMENT, NULL)->url = "https://a/b.pdf";
    has(written(chat), "{'type':'document','source':{'type':'url','url':"
        "'https://a/b.pdf'}}", "a document by its address");
}

static void what_to_think(void)
{
    clb_chat_t *chat = chat_new();

    has_no(written(chat), "THINKING", "nothing is said by itself");
    chat->model_thinks = 1;
    has(written(chat), "'settings':{'env':{'CLAUDE_CODE_DISABLE_THINKING':"
        "'1'}}", "the CLI does not ask for thoughts");
    has_no(written(chat), "max_thinking_tokens", "nor against them");
    clb_chat_give(chat, CLB_TEMPERATURE, "temperature");
    has_no(written(chat), "DISABLE_THINKING",
           "where they must not be, that is told");
    chat = chat_new();
    chat->display = "summarized";
    has(written(chat), "'max_thinking_tokens':null,'thinking_display':"
        "'summarized'", "how thoughts are shown");
    clb_chat_give(chat, CLB_BUDGET, "thinking");
    chat->budget = 2000;
    has(written(chat), "'max_thinking_tokens':2000,'thinking_display':"
        "'summarized'", "with a budget, too");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    blocks();
    usage_at_start();
    sequences();
    history();
    models();
    documents();
    what_to_think();
    return tap_done();
}
