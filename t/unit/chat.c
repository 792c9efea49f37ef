/* SPDX-License-Identifier: Apache-2.0 */
/* How a conversation is put for APIs and for plain programs. */
#include "tap.h"

#include "../../src/core/chat.h"
#include "../../src/core/text.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

static apr_pool_t *pool;

/* A chat written down: each string is a message, its first letter the role
 * (u, a), then parts separated by '|'; a part that begins with '~' is
 * reasoning, with '!' such with a signature, and with '#' such that is hidden.
 * "s..." is a system text. */
static void add_part(clb_message_t *message, const char *text)
{
    clb_part_t *part = clb_chat_part(message, strchr("~!#", *text) != NULL
        && *text != '\0' ? CLB_PART_REASONING : CLB_PART_TEXT, text);

    if (part->kind == CLB_PART_REASONING) {
        part->signature = *text == '!' ? "s" : NULL;
        part->data = *text == '#' ? text + 1 : NULL;
        part->text = *text == '#' ? "" : text + 1;
    }
}

static clb_chat_t *chat_of(const char *const *script)
{
    clb_chat_t *chat = clb_chat_create(pool);

    for (; *script != NULL; script++) {
        clb_message_t *message;
        char *text = apr_pstrdup(pool, *script + 1), *end;

        if (**script == 's') {
            clb_chat_system(chat, text);
            continue;
        }
        message = clb_chat_message(chat, **script == 'u' ? CLB_ROLE_USER
                                         : CLB_ROLE_ASSISTANT);
        for (; text != NULL; text = end) {
            if ((end = strchr(text, '|')) != NULL) {
                *end++ = '\0';
            }
            add_part(message, text);
        }
    }
    return chat;
}

#define CHAT(...) chat_of((const char *const[]){ __VA_ARGS__, NULL })

/* Turns in the same notation, separated by blanks. */
static const char *turns(clb_chat_t *chat)
{
    const apr_array_header_t *list = clb_chat_turns(chat);
    clb_buf_t buf;
    int i, j;

    clb_buf_init(&buf, pool, 0);
    for (i = 0; i < list->nelts; i++) {
        const clb_message_t *turn = &APR_ARRAY_IDX(list, i, clb_message_t);

        clb_buf_puts(&buf, i > 0 ? " " : "");
        clb_buf_puts(&buf, turn->role == CLB_ROLE_USER ? "u" : "a");
        for (j = 0; j < turn->parts->nelts; j++) {
            const clb_part_t *part = &APR_ARRAY_IDX(turn->parts, j,
                                                    clb_part_t);

            clb_buf_puts(&buf, j > 0 ? "|" : "");
            clb_buf_puts(&buf, part->kind == CLB_PART_TEXT ? ""
                         : part->signature != NULL ? "!"
                         : part->data != NULL ? "#" : "~");
            clb_buf_puts(&buf, part->data != NULL ? part->data : part->text);
        }
    }
    return buf.data;
}

static void turn_rules(void)
{
    clb_chat_t *chat;

    is_str(turns(CHAT("uhi")), "uhi", "one message");
    is_str(turns(CHAT("uq", "aa", "ur")), "uq aa ur", "roles alternate");
    is_str(turns(CHAT("u1", "u2", "aa", "ab", "u3|4")),
           "u1|2 aa|b u3|4", "neighbours are merged");
    is_str(turns(CHAT("ahello", "uq")), "uContinue. ahello uq",
           "the first turn is the user's");
    is_str(turns(CHAT("uq", "aa")), "uq aa uContinue.",
           "and so is the last");
    is_str(turns(CHAT("aa")), "uContinue. aa uContinue.", "or both");
    is_str(turns(clb_chat_create(pool)), "uContinue.", "or the only one");
    is_str(turns(CHAT("uq", "a", "ur")), "uq|r",
           "an empty message is none, its neighbours meet");
    is_str(turns(CHAT("uq|", "a~think|a|~more", "u|r")), "uq aa ur",
           "empty parts and reasoning are left out");
    is_str(turns(CHAT("u \n|q| a ", "a\n\n", "u\t")), "uq| a ",
           "blanks alone are nothing");
    is_str(turns(CHAT("uq", "a~only", "ur")), "uq|r",
           "a message of reasoning alone is none");
    is_str(turns(CHAT("u", "a", "u")), "uContinue.",
           "nothing but empty messages");
    is_str(turns(CHAT("ssys", "uq")), "uq", "the system text is no turn");
    chat = CHAT("uq", "aa");
    ok(clb_chat_turns(chat) == clb_chat_turns(chat), "computed once");
    is_int(chat->messages->nelts, 2, "the messages are as they were");
}

static void thoughts(void)
{
    is_str(turns(CHAT("uq", "a!hm|a|~no|#x", "ur")), "uq a!hm|a|#x ur",
           "reasoning that the vendor knows again stays where it is");
    is_str(turns(CHAT("uq", "a!hm", "aa", "ur")), "uq a!hm|a ur",
           "also in a message of its own before the text");
    is_str(turns(CHAT("uq", "aa", "a!hm|#x", "ab", "ur")),
           "uq aa|!hm|#x|b ur", "or in between");
    is_str(turns(CHAT("uq", "a!hm", "ur", "aa", "us")), "uq|r aa us",
           "but not without anything of that message");
    is_str(turns(CHAT("uq", "aa", "a!hm")), "uq aa uContinue.",
           "nor at the end");
    is_str(turns(CHAT("a!hm|a")), "uContinue. a!hm|a uContinue.",
           "it needs no turn of its own");
}

static void expected(void)
{
    clb_chat_t *chat = CHAT("uq");
    clb_message_t *message = clb_chat_message(chat, CLB_ROLE_ASSISTANT);

    clb_chat_part(message, CLB_PART_CALL, "{}")->id = "1";
    clb_chat_part(message, CLB_PART_CALL, "{}")->id = "2";
    ok(clb_chat_expects(chat, "1") && clb_chat_expects(chat, "2")
       && !clb_chat_expects(chat, "3"), "results of calls are expected");
    message = clb_chat_message(chat, CLB_ROLE_USER);
    clb_chat_part(message, CLB_PART_RESULT, NULL)->id = "2";
    ok(clb_chat_expects(chat, "1") && !clb_chat_expects(chat, "2"),
       "once, in one message");
    message = clb_chat_message(chat, CLB_ROLE_USER);
    ok(clb_chat_expects(chat, "1"), "or in several");
    clb_chat_part(message, CLB_PART_TEXT, "t");
    ok(!clb_chat_expects(chat, "1"), "but not behind anything else");
    ok(!clb_chat_expects(clb_chat_create(pool), "1"), "nothing at first");
}

static void many_turns(void)
{
    clb_chat_t *chat = clb_chat_create(pool);
    const apr_array_header_t *list;
    int i, wrong = 0;

    for (i = 0; i < 1001; i++) {
        clb_chat_part(clb_chat_message(chat, i % 2 ? CLB_ROLE_ASSISTANT
                                             : CLB_ROLE_USER),
                      CLB_PART_TEXT, apr_itoa(pool, i));
    }
    list = clb_chat_turns(chat);
    for (i = 0; i < list->nelts; i++) {
        const clb_message_t *turn = &APR_ARRAY_IDX(list, i, clb_message_t);

        wrong += turn->role != (i % 2 ? CLB_ROLE_ASSISTANT : CLB_ROLE_USER)
              || atoi(APR_ARRAY_IDX(turn->parts, 0, clb_part_t).text) != i;
    }
    ok(list->nelts == 1001 && wrong == 0, "a thousand turns in order");
}

static void plain(void)
{
    is_str(clb_chat_plain(CHAT("uhi")), "hi", "one message is its text");
    is_str(clb_chat_plain(CHAT("uhi| there")), "hi there",
           "parts are joined as they are");
    is_str(clb_chat_plain(CHAT("ssys", "uhi")), "System: sys\n\nUser: hi",
           "with a system text it has a name");
    is_str(clb_chat_plain(CHAT("uq", "a~think|a", "ur")),
           "User: q\n\nAssistant: a\n\nUser: r",
           "several have names, without reasoning");
    is_str(clb_chat_plain(CHAT("aso")), "Assistant: so",
           "one of the assistant's has a name");
    is_str(clb_chat_plain(CHAT("ssys")), "System: sys", "no message");
    is_str(clb_chat_plain(clb_chat_create(pool)), "", "nothing at all");
}

static void system_text(void)
{
    ok(CHAT("uq")->system == NULL, "no system text");
    ok(CHAT("s", "uq")->system == NULL, "an empty one is none");
    is_str(CHAT("sa", "uq", "s", "sb")->system, "a\n\nb",
           "several are joined, empty ones left out");
}

static void fields(void)
{
    clb_chat_t *chat = clb_chat_create(pool);

    ok(clb_chat_ignored(chat, 0) == NULL, "nothing given, nothing ignored");
    clb_chat_give(chat, CLB_TEMPERATURE, "temperature");
    clb_chat_give(chat, CLB_OTHER, "seed");
    clb_chat_give(chat, CLB_MAX_TOKENS, "max_completion_tokens");
    clb_chat_give(chat, CLB_OTHER, "logit_bias");
    ok(clb_chat_given(chat, CLB_TEMPERATURE), "given");
    ok(!clb_chat_given(chat, CLB_TOP_P), "not given");
    is_str(clb_chat_ignored(chat, 0),
           "temperature, seed, max_completion_tokens, logit_bias",
           "all ignored, by the client's names");
    is_str(clb_chat_ignored(chat, CLB_FIELD(CLB_TEMPERATURE)
                            | CLB_FIELD(CLB_TOP_P)),
           "seed, max_completion_tokens, logit_bias", "some honoured");
    is_str(clb_chat_ignored(chat, CLB_FIELD(CLB_TEMPERATURE)
                            | CLB_FIELD(CLB_MAX_TOKENS)),
           "seed, logit_bias", "what nobody honours is left");
    ok(clb_chat_ignored(chat, ~0u) == NULL, "all honoured");
}

static void forgotten_thoughts(void)
{
    clb_chat_t *chat = CHAT("u<think>\nx\n</think>\n\nwhat is this?",
        "a<think>\nhm\n</think>\n\nOne. <think>\nha\n</think>\n\nTwo.", "uy",
        "a<think> is a tag", "uz", "a<think>\nnever closed", "uq");

    clb_chat_forget_thoughts(chat);
    is_str(turns(chat), "u<think>\nx\n</think>\n\nwhat is this? aOne. Two. uy "
           "a<think> is a tag uz a<think>\nnever closed uq",
           "what we wrote into an answer is taken out of it, and no more");
}

static void efforts(void)
{
    static const char *const names[] = { "none", "minimal", "low", "medium",
                                         "high", "xhigh", "max" };
    clb_effort_e effort;
    apr_size_t i;

    for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
        effort = CLB_EFFORT_UNSET;
        is_int(clb_effort_parse(&effort, names[i]), APR_SUCCESS, "effort %s",
               names[i]);
        is_str(clb_effort_name(effort), names[i], "and back");
    }
    is_int(clb_effort_parse(&effort, "LOW"), APR_EINVAL, "not in capitals");
    is_int(clb_effort_parse(&effort, ""), APR_EINVAL, "not nothing");
    is_int(clb_effort_parse(&effort, "lowest"), APR_EINVAL, "not longer");
    ok(clb_effort_name(CLB_EFFORT_UNSET) == NULL, "unset has no name");
}

static void quiet(void)
{
    clb_chat_t *chat = clb_chat_create(pool);

    ok(!clb_chat_quiet(chat), "reasoning is seen where nothing is said");
    chat->quiet = 1;
    ok(clb_chat_quiet(chat), "not by who does not want to");
    chat->quiet = 0;
    chat->effort = CLB_EFFORT_MINIMAL;
    ok(!clb_chat_quiet(chat), "little of it");
    chat->effort = CLB_EFFORT_NONE;
    ok(clb_chat_quiet(chat), "not where there is to be none");
    chat->effort = CLB_EFFORT_UNSET;
    clb_chat_give(chat, CLB_BUDGET, "thinking");
    ok(clb_chat_quiet(chat), "nor by its budget");
    chat->budget = 1024;
    ok(!clb_chat_quiet(chat), "unless there is one");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    turn_rules();
    thoughts();
    expected();
    many_turns();
    plain();
    system_text();
    fields();
    efforts();
    quiet();
    forgotten_thoughts();
    return tap_done();
}
