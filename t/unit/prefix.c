/* SPDX-License-Identifier: Apache-2.0 */
/* The normal form: what is the same conversation, and what is not. */
#include "tap.h"

#include "../../src/core/prefix.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

static apr_pool_t *pool;

/* A chat written down as in chat.c: "uTEXT|TEXT", "aTEXT", "sTEXT", a part
 * that begins with '~' is reasoning. */
static clb_chat_t *chat_of(const char *const *script)
{
    clb_chat_t *chat = clb_chat_create(pool);

    chat->model = "m";
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
            clb_chat_part(message, *text == '~' ? CLB_PART_REASONING
                          : CLB_PART_TEXT, *text == '~' ? text + 1 : text);
        }
    }
    return chat;
}

#define CHAT(...) chat_of((const char *const[]){ __VA_ARGS__, NULL })

/* The digest of all turns but the last @a but, in hex. */
static const char *known(clb_chat_t *chat, int but)
{
    unsigned char digest[CLB_SHA256_SIZE];
    clb_prefix_t prefix;
    char *hex = "";
    int i;

    clb_prefix_begin(&prefix, chat, "me", "b");
    clb_prefix_turns(&prefix, chat, 0, clb_chat_turns(chat)->nelts - but);
    clb_prefix_digest(&prefix, digest);
    for (i = 0; i < CLB_SHA256_SIZE; i++) {
        hex = apr_psprintf(pool, "%s%02x", hex, digest[i]);
    }
    return hex;
}

/* What is known after @a chat was answered in these pieces. */
static const char *answered(clb_chat_t *chat, const char *const *pieces)
{
    unsigned char digest[CLB_SHA256_SIZE];
    clb_prefix_t prefix;
    char *hex = "";
    int i;

    clb_prefix_begin(&prefix, chat, "me", "b");
    clb_prefix_turns(&prefix, chat, 0, clb_chat_turns(chat)->nelts);
    clb_prefix_answer(&prefix);
    for (; *pieces != NULL; pieces++) {
        clb_event_t event = { .kind = CLB_EV_TEXT };

        event.u.text.data = *pieces;
        event.u.text.len = strlen(*pieces);
        clb_prefix_event(&prefix, &event);
    }
    clb_prefix_answered(&prefix);
    clb_prefix_digest(&prefix, digest);
    for (i = 0; i < CLB_SHA256_SIZE; i++) {
        hex = apr_psprintf(pool, "%s%02x", hex, digest[i]);
    }
    return hex;
}

#define ANSWERED(chat, ...) \
    answered(chat, (const char *const[]){ __VA_ARGS__, NULL })

static void same(clb_chat_t *a, clb_chat_t *b, const char *what)
{
    is_str(known(a, 1), known(b, 1), "%s", what);
}

static void other(clb_chat_t *a, clb_chat_t *b, const char *what)
{
    ok(strcmp(known(a, 1), known(b, 1)) != 0, "%s", what);
}

static void answers(void)
{
    const char *next = known(CHAT("sS", "uhi", "ahello you", "umore"), 1);

    is_str(ANSWERED(CHAT("sS", "uhi"), "hello", " you"), next,
           "the next request begins where the answer ended");
    is_str(ANSWERED(CHAT("sS", "uhi"), "hello you"), next,
           "however it came");
    ok(strcmp(ANSWERED(CHAT("sS", "uhi"), "hello yo"), next) != 0,
       "an answer that was cut off is another one");
    ok(strcmp(ANSWERED(CHAT("sS", "uhi"), "hello you", "a"), next) != 0,
       "and so is one that was longer");
    ok(strcmp(ANSWERED(CHAT("sS", "uhi", "ahello you", "u1"), "2"),
              known(CHAT("sS", "uhi", "ahello you", "u12", "ax", "uy"), 1))
       != 0, "question and answer keep apart");
}

static void forms(void)
{
    clb_chat_t *plain = CHAT("uab", "ac", "ud");

    same(plain, CHAT("uab", "ac", "uother"), "the question does not matter");
    same(CHAT("ua", "ub", "ac", "ud"), CHAT("ua|b", "ac", "ud"),
         "messages of one role are one");
    other(plain, CHAT("ua|b", "ac", "ud"), "of several texts");
    same(CHAT("ua", "abc", "ud"), CHAT("ua", "ab|c", "ud"),
         "an answer's text is one");
    same(CHAT("ua", "ab", "ac", "ud"), CHAT("ua", "ab|c", "ud"),
         "also over messages");
    other(plain, CHAT("uab", "a ", "ac", "ud"), "blanks before it count");
    same(plain, CHAT("uab", "a~hm|c", "ud"), "reasoning is left out");
    same(plain, CHAT("uab", "a", "ac", "ud"), "so is what is empty");
    other(plain, CHAT("uab", "ac ", "ud"), "a blank is something");
    other(plain, CHAT("uab", "ad", "ud"), "another answer");
    other(plain, CHAT("uabc", "a", "ud"), "a text in another message");
    other(plain, CHAT("ua", "abc", "ud"), "or of another role");
    other(plain, CHAT("sx", "uab", "ac", "ud"), "a system prompt");
    other(CHAT("sx", "uy", "ac", "ud"), CHAT("sxy", "u", "ac", "ud"),
          "is no message");
    other(plain, CHAT("uab", "ac", "ux", "ay", "ud"), "a longer one");
    is_str(known(CHAT("uab", "ac", "ux", "ay", "ud"), 3), known(plain, 1),
           "which began the same");
}

static void givens(void)
{
    clb_chat_t *plain = CHAT("ua", "ab", "uc"), *chat;

    chat = CHAT("ua", "ab", "uc");
    chat->model = "n";
    other(plain, chat, "another model");
    chat = CHAT("ua", "ab", "uc");
    clb_chat_give(chat, CLB_TEMPERATURE, "temperature");
    other(plain, chat, "a temperature of 0 is not none");
    chat = CHAT("ua", "ab", "uc");
    chat->effort = CLB_EFFORT_LOW;
    other(plain, chat, "an effort");
    chat = CHAT("ua", "ab", "uc");
    APR_ARRAY_PUSH(chat->stop, const char *) = "x";
    other(plain, chat, "a stop");
    chat = CHAT("ua", "ab", "uc");
    chat->stream = chat->include_usage = 1;
    same(plain, chat, "how the answer is sent does not matter");
}

static void owners(void)
{
    unsigned char one[CLB_SHA256_SIZE], two[CLB_SHA256_SIZE];
    static const char *const pairs[][2] = {
        { "key a", "b" }, { "key b", "b" }, { "key a", "c" }, { "key", "ab" }
    };
    clb_prefix_t prefix;
    int i;

    clb_prefix_begin(&prefix, CHAT("ua"), "key a", "b");
    clb_prefix_digest(&prefix, one);
    for (i = 0; i < 4; i++) {
        clb_prefix_begin(&prefix, CHAT("ua"), pairs[i][0], pairs[i][1]);
        clb_prefix_digest(&prefix, two);
        is_int(memcmp(one, two, sizeof(one)) == 0, i == 0,
               "whose it is, and where: %s, %s", pairs[i][0], pairs[i][1]);
    }
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    answers();
    forms();
    givens();
    owners();
    return tap_done();
}
