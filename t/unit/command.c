/* SPDX-License-Identifier: Apache-2.0 */
/* The driver for any program, one per request and persistent. */
#include "tap.h"

#include "../fuzz/turn.h"

#include <apr_general.h>
#include <sysexits.h>

static apr_pool_t *pool;

static clb_chat_t *chat_new(void)
{
    clb_chat_t *chat = clb_chat_create(pool);

    chat->model = "echo";
    clb_chat_part(clb_chat_message(chat, CLB_ROLE_USER), CLB_PART_TEXT, "hi");
    return chat;
}

static void begin(turn_t *turn, clb_reuse_e reuse)
{
    turn_init(turn, pool, &clb_driver_command, reuse);
    turn->chat = chat_new();
    turn_input(turn, CLB_IN_CHAT, NULL, 0, 0);
}

static void give(turn_t *turn, const char *data)
{
    turn_input(turn, CLB_IN_DATA, data, strlen(data), 0);
}

/* A program that prints these reads (up to NULL) and exits so. */
static const char *run(const char *const *reads, int status,
                       const char *diagnostics)
{
    turn_t turn;

    begin(&turn, CLB_REUSE_NONE);
    for (; *reads != NULL; reads++) {
        give(&turn, *reads);
    }
    turn_input(&turn, CLB_IN_EXIT, diagnostics, strlen(diagnostics), status);
    return turn_said(&turn);
}

#define READS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define NO_READS ((const char *const[]){ NULL })

static void once_request(void)
{
    turn_t turn;
    clb_chat_t *chat = chat_new();
    const clb_file_t *file;

    begin(&turn, CLB_REUSE_NONE);
    is_str(turn.lines.data, "hi", "the prompt goes to stdin as it is");
    is_int(turn.step->close_stdin, 1, "which is closed behind it");
    is_int(turn.step->files->nelts, 1, "the request goes to a file");
    file = &APR_ARRAY_IDX(turn.step->files, 0, clb_file_t);
    is_str(clb_driver_command.files[file->index].variable,
           "CLIBRIDGE_REQUEST", "which the program is told");
    is_str(file->data, "{\"model\":\"echo\",\"messages\":[{\"role\":\"user\","
           "\"content\":\"hi\"}],\"stop\":[]}", "as JSON");
    is_int((long long)file->len, (long long)strlen(file->data),
           "of that length");

    chat->system = "sys";
    clb_chat_part(clb_chat_message(chat, CLB_ROLE_ASSISTANT),
                  CLB_PART_REASONING, "hm");
    clb_chat_part(&APR_ARRAY_IDX(chat->messages, 1, clb_message_t),
                  CLB_PART_TEXT, "one ");
    clb_chat_part(&APR_ARRAY_IDX(chat->messages, 1, clb_message_t),
                  CLB_PART_TEXT, "two");
    clb_chat_part(clb_chat_message(chat, CLB_ROLE_USER), CLB_PART_TEXT,
                  "\xc3\xa9\n");
    clb_chat_give(chat, CLB_TEMPERATURE, "temperature");
    chat->temperature = 0.7;
    clb_chat_give(chat, CLB_TOP_P, "top_p");
    chat->top_p = 0.9;
    clb_chat_give(chat, CLB_TOP_K, "top_k");
    chat->top_k = 5;
    clb_chat_give(chat, CLB_MAX_TOKENS, "max_tokens");
    chat->max_tokens = 100;
    clb_chat_give(chat, CLB_BUDGET, "thinking");
    chat->budget = 0;
    chat->effort = CLB_EFFORT_LOW;
    APR_ARRAY_PUSH(chat->stop, const char *) = "END";
    turn_init(&turn, pool, &clb_driver_command, CLB_REUSE_NONE);
    turn.chat = chat;
    turn_input(&turn, CLB_IN_CHAT, NULL, 0, 0);
    is_str(turn.lines.data, "System: sys\n\nUser: hi\n\nAssistant: one two"
           "\n\nUser: \xc3\xa9\n", "a conversation has names");
    is_str(APR_ARRAY_IDX(turn.step->files, 0, clb_file_t).data,
           "{\"model\":\"echo\",\"system\":\"sys\",\"messages\":[{\"role\":"
           "\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":"
           "\"one two\"},{\"role\":\"user\",\"content\":\"\xc3\xa9\\n\"}],"
           "\"stop\":[\"END\"],\"temperature\":0.7,\"top_p\":0.9,\"top_k\":5,"
           "\"max_tokens\":100,\"reasoning_budget\":0,\"reasoning_effort\":"
           "\"low\"}", "the file has all that was given");
    is_int(clb_driver_command.traits(&turn.backend), CLB_RAW, "stdout is text");
    is_int(clb_driver_command.honours(&turn.backend), 0,
           "and no parameter is sure to be honoured");
}

static void once_answer(void)
{
    turn_t turn;

    is_str(run(READS("one", " two\n"), 0, ""),
           "start [one] [ two\n] stop end -> end", "stdout is the answer");
    is_str(run(NO_READS, 0, "noise"), "start stop end -> end",
           "also an empty one; what is on stderr does not matter");
    is_str(run(READS("a\xc3", "\xa9z"), 0, ""),
           "start [a] [\xc3\xa9z] stop end -> end",
           "a character cut by a read is put together");
    is_str(run(READS("\xf0", "\x9f", "\x98", "\x80"), 0, ""),
           "start [\xf0\x9f\x98\x80] stop end -> end", "in four reads");
    is_str(run(READS("a\xe2\x82"), 0, ""),
           "start [a] [\xef\xbf\xbd] stop end -> end",
           "cut by the end it is replaced");
    is_str(run(READS("a\xe2\x82", "b"), 0, ""),
           "start [a] [\xef\xbf\xbd" "b] stop end -> end",
           "as what did not go on is");
    is_str(run(READS("a\xff\xfe" "b"), 0, ""),
           "start [a\xef\xbf\xbd\xef\xbf\xbd" "b] stop end -> end",
           "and what is no UTF-8");
    begin(&turn, CLB_REUSE_NONE);
    turn_input(&turn, CLB_IN_DATA, "a\0b", 3, 0);
    is_str(turn_said(&turn), "start [ab] -> -", "NUL is dropped");
    begin(&turn, CLB_REUSE_NONE);
    turn_input(&turn, CLB_IN_CANCEL, NULL, 0, 0);
    is_str(turn_said(&turn), "-> end", "a cancelled program is ended");
    is_str(turn.lines.data, "hi", "without a word");
}

static void exits(void)
{
    static const struct {
        int status;
        const char *said;
    } cases[] = {
        { 1, "cli_failed: command exited with status 1: last -> end" },
        { EX_USAGE, "bad_request: command exited with status 64: last"
                    " -> end" },
        { EX_DATAERR, "bad_request: command exited with status 65: last"
                      " -> end" },
        { EX_UNAVAILABLE, "overloaded: command exited with status 69: last"
                          " -> end" },
        { EX_SOFTWARE, "cli_failed: command exited with status 70: last"
                       " -> end" },
        { EX_TEMPFAIL, "overloaded: command exited with status 75: last"
                       " -> end" },
        { EX_NOPERM, "login_required: command exited with status 77: last"
                     " -> end" },
        { 255, "cli_failed: command exited with status 255: last -> end" },
        { -9, "cli_failed: command was ended by signal 9: last -> end" },
        { -999, "cli_failed: command went away: last -> end" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        is_str(run(NO_READS, cases[i].status, "first\nlast\n\r\n \t"),
               cases[i].said, "exit %d", cases[i].status);
    }
    is_str(run(READS("text"), 1, ""),
           "start [text] cli_failed: command exited with status 1 -> end",
           "text and then a failure is a failure");
    is_str(run(NO_READS, 1, "\n\n"),
           "cli_failed: command exited with status 1 -> end",
           "empty diagnostics say nothing");
    is_str(run(NO_READS, 1, "only"),
           "cli_failed: command exited with status 1: only -> end",
           "one line without line feed");
}

/* How a program that exits so is said to have ended, with what it wrote to
 * stderr. */
static const char *ended(clb_reuse_e reuse, int status)
{
    const clb_event_t *event;
    turn_t turn;

    begin(&turn, reuse);
    turn_input(&turn, CLB_IN_EXIT, "a\nb\n", 4, status);
    event = &APR_ARRAY_IDX(turn.step->events, turn.step->events->nelts - 1,
                           clb_event_t);
    return event->exit == NULL ? NULL
         : apr_psprintf(pool, "%d %s", event->exit->status,
                        event->exit->said);
}

static void ends(void)
{
    is_str(ended(CLB_REUSE_NONE, 0), "0 a\nb\n", "a program that ends well");
    is_str(ended(CLB_REUSE_NONE, 3), "3 a\nb\n", "or not");
    is_str(ended(CLB_REUSE_LINES, 77), "77 a\nb\n", "or should have stayed");
    is_str(ended(CLB_REUSE_NONE, -9), "-9 a\nb\n", "or was ended");
    is_str(ended(CLB_REUSE_NONE, CLB_EXIT_UNKNOWN), NULL,
           "or nobody knows how");
}

/* What a turn of a persistent program that prints these lines gives. */
static const char *answer(const char *lines)
{
    turn_t turn;

    begin(&turn, CLB_REUSE_LINES);
    turn_print(&turn, lines);
    return turn_said(&turn);
}

static void lines_request(void)
{
    turn_t turn;

    turn_init(&turn, pool, &clb_driver_command, CLB_REUSE_LINES);
    turn_input(&turn, CLB_IN_WARM, NULL, 0, 0);
    is_int(turn.ready, 1, "it is ready at once");
    is_int((long long)turn.lines.len, 0, "without a word");
    begin(&turn, CLB_REUSE_LINES);
    is_str(turn.lines.data, "{\"model\":\"echo\",\"messages\":[{\"role\":"
           "\"user\",\"content\":\"hi\"}],\"stop\":[]}\n",
           "the request is one line");
    is_int(turn.step->close_stdin, 0, "and stdin stays open");
    is_int(turn.step->files->nelts, 0, "nothing is in files");
    is_int(clb_driver_command.traits(&turn.backend), CLB_REUSE,
           "it serves many turns");
    is_int(clb_driver_command.honours(&turn.backend) & CLB_FIELD(CLB_OTHER),
           0, "what has no member is not honoured");
    ok(clb_driver_command.honours(&turn.backend)
       & CLB_FIELD(CLB_TEMPERATURE), "what has one is");
}

static void lines_answer(void)
{
    is_str(answer("{\"text\":\"one\"}\n{\"text\":\" two\"}\n"
                  "{\"done\":true}\n"),
           "start [one] [ two] stop end -> clean", "an answer");
    is_str(answer("{\"reasoning\":\"hm\",\"text\":\"x\"}\n"
                  "{\"usage\":{\"input_tokens\":5,\"output_tokens\":6,"
                  "\"cache_read_tokens\":7,\"reasoning_tokens\":2},"
                  "\"done\":true,\"stop\":\"length\"}\n"),
           "start <hm> [x] usage 5+7+0/6/2 stop length -> clean",
           "with all it can have");
    is_str(answer("{\"text\":\"all\",\"done\":true,\"stop\":\"odd\"}\n"),
           "start [all] stop end -> clean", "in one line");
    is_str(answer("{\"error\":\"slow down\",\"status\":429,"
                  "\"retry_after\":7}\n"),
           "start rate_limited: slow down -> clean", "an error");
    is_str(answer("{\"text\":\"x\"}\n{\"error\":\"broken\"}\n"),
           "start [x] upstream_error: broken -> clean",
           "an error without status, after text");
    is_str(answer("{\"error\":\"x\",\"done\":true}\n"),
           "start upstream_error: x -> clean", "an error that is done");
    is_str(answer("Loading...\n\n[1]\n7\nnull\n\"x\"\n{\"text\"\n"
                  "{\"text\":7,\"done\":\"yes\",\"error\":null}\n"
                  "{\"text\":\"\",\"done\":false}\n{\"done\":true}\n"),
           "start stop end -> clean", "what means nothing is passed over");
    is_str(answer("{\"text\":\"a\\u0000b\\ud800\xff\"}\r\n{\"done\":true}\n"),
           "start [a\xef\xbf\xbd" "b\xef\xbf\xbd\xef\xbf\xbd] stop end"
           " -> clean", "what is no text is repaired");
}

static void lines_waits(void)
{
    static const struct {
        const char *line;
        apr_interval_time_t wait;   /* -1 = long */
    } cases[] = {
        { "{\"error\":\"x\",\"retry_after\":7}", 7000000 },
        { "{\"error\":\"x\",\"retry_after\":0}", 0 },
        { "{\"error\":\"x\",\"retry_after\":-7}", 0 },
        { "{\"error\":\"x\",\"retry_after\":\"7\"}", 0 },
        { "{\"error\":\"x\",\"retry_after\":9223372036854775807}", -1 },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        apr_interval_time_t wait;
        turn_t turn;

        begin(&turn, CLB_REUSE_LINES);
        turn_print(&turn, cases[i].line);
        wait = APR_ARRAY_IDX(turn.step->events, 1, clb_event_t)
               .u.error.retry_after;
        ok(cases[i].wait < 0 ? wait > apr_time_from_sec(86400)
                             : wait == cases[i].wait,
           "wait of %s", cases[i].line);
    }
}

static void lines_turns(void)
{
    turn_t turn;

    begin(&turn, CLB_REUSE_LINES);
    turn_print(&turn, "{\"text\":\"one\"}\n{\"done\":true}\n");
    turn_next(&turn);
    turn_input(&turn, CLB_IN_CHAT, NULL, 0, 0);
    turn_print(&turn, "{\"text\":\"two\"}\n{\"done\":true}\n");
    is_str(turn_said(&turn), "start [two] stop end -> clean",
           "the next turn is like the first");
    turn_next(&turn);
    turn_input(&turn, CLB_IN_CHAT, NULL, 0, 0);
    turn_print(&turn, "{\"error\":\"x\"}\n");
    turn_next(&turn);
    turn_input(&turn, CLB_IN_CHAT, NULL, 0, 0);
    turn_print(&turn, "{\"text\":\"three\"}\n{\"done\":true}\n");
    is_str(turn_said(&turn), "start [three] stop end -> clean",
           "also after an error");

    turn_next(&turn);
    turn_input(&turn, CLB_IN_CHAT, NULL, 0, 0);
    turn_print(&turn, "{\"text\":\"fo\"}\n");
    clb_buf_reset(&turn.lines);
    turn_input(&turn, CLB_IN_CANCEL, NULL, 0, 0);
    is_str(turn.lines.data, "{\"cancel\":true}\n", "cancelling is a line");
    is_int(turn.fate, CLB_FATE_SETTLE, "whose end is waited for");
    turn_print(&turn, "{\"text\":\"ur\"}\n");
    is_int(turn.fate, CLB_FATE_SETTLE, "while the program talks on");
    turn.chat = NULL;
    turn_print(&turn, "{\"done\":true}\n");
    is_int(turn.fate, CLB_FATE_CLEAN, "until it is done");
    turn.chat = chat_new();
    turn_next(&turn);
    turn_input(&turn, CLB_IN_CHAT, NULL, 0, 0);
    turn_print(&turn, "{\"text\":\"five\"}\n{\"done\":true}\n");
    is_str(turn_said(&turn), "start [five] stop end -> clean",
           "then the next turn is like the first");

    turn_next(&turn);
    turn_input(&turn, CLB_IN_CHAT, NULL, 0, 0);
    turn_input(&turn, CLB_IN_CANCEL, NULL, 0, 0);
    turn_print(&turn, "{\"done\":true}\n");
    turn_next(&turn);
    turn_input(&turn, CLB_IN_CHAT, NULL, 0, 0);
    turn_print(&turn, "{\"text\":\"six\"}\n{\"done\":true}\n");
    is_str(turn_said(&turn), "start [six] stop end -> clean",
           "also when it was cancelled before it began");

    begin(&turn, CLB_REUSE_LINES);
    turn_input(&turn, CLB_IN_EXIT, "oops", 4, 0);
    is_str(turn_said(&turn),
           "cli_failed: command exited with status 0: oops -> end",
           "a persistent program that exits has failed");
}

static void strange_state(void)
{
    int byte;

    for (byte = 1; byte < 256; byte += 127) {
        turn_t turn;

        begin(&turn, CLB_REUSE_NONE);
        memset(turn.state.bytes, byte, sizeof(turn.state.bytes));
        turn.started = 1;
        give(&turn, "x\n");
        turn_input(&turn, CLB_IN_EXIT, "", 0, 0);
        ok(turn.wrong == NULL && turn.fate == CLB_FATE_END,
           "a state of %02x does no harm", byte);
    }
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    once_request();
    once_answer();
    exits();
    ends();
    lines_request();
    lines_answer();
    lines_waits();
    lines_turns();
    strange_state();
    return tap_done();
}
