/* SPDX-License-Identifier: Apache-2.0 */
/* The normal form: what is the same conversation, and what is not. */
#include "tap.h"

#include "../../src/core/prefix.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

static apr_pool_t *pool;

/* A chat written down as in chat.c: "uTEXT|TEXT", "aTEXT", "sTEXT", a part
 * that begins with '~' is reasoning, with '!' such with a signature. */
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
            int thought = *text == '~' || *text == '!';

            clb_chat_part(message, thought ? CLB_PART_REASONING
                          : CLB_PART_TEXT, thought ? text + 1 : text)
                ->signature = *text == '!' ? "s" : NULL;
        }
    }
    return chat;
}

#define CHAT(...) chat_of((const char *const[]){ __VA_ARGS__, NULL })

static const char *hex(const clb_prefix_t *prefix)
{
    unsigned char digest[CLB_SHA256_SIZE];
    char *out = "";
    int i;

    clb_prefix_digest(prefix, digest);
    for (i = 0; i < CLB_SHA256_SIZE; i++) {
        out = apr_psprintf(pool, "%s%02x", out, digest[i]);
    }
    return out;
}

/* The digest of all turns but the last @a but, in hex. */
static const char *known(clb_chat_t *chat, int but)
{
    clb_prefix_t prefix;

    clb_prefix_begin(&prefix, chat, "me", "b");
    clb_prefix_turns(&prefix, chat, 0, clb_chat_turns(chat)->nelts - but);
    return hex(&prefix);
}

/* What is known after @a chat was answered by these events: "c ID NAME",
 * "+ARGUMENTS", else text. */
static const char *answered(clb_chat_t *chat, const char *const *events)
{
    clb_prefix_t prefix;

    clb_prefix_begin(&prefix, chat, "me", "b");
    clb_prefix_turns(&prefix, chat, 0, clb_chat_turns(chat)->nelts);
    clb_prefix_answer(&prefix);
    for (; *events != NULL; events++) {
        clb_event_t event = { .kind = CLB_EV_TEXT };
        char *text = strdup(*events);

        event.u.text.data = text;
        event.u.text.len = strlen(text);
        if (strncmp(text, "c ", 2) == 0) {
            event.kind = CLB_EV_CALL;
            *strchr(text + 2, ' ') = '\0';
            event.u.call.id = text + 2;
            event.u.call.name = text + strlen(text) + 1;
        }
        else if (*text == '+') {
            event.kind = CLB_EV_ARGUMENTS;
            event.u.text.data++;
            event.u.text.len--;
        }
        clb_prefix_event(&prefix, &event);
        memset(text, '!', strlen(text));    /* it lives no longer than this */
        free(text);
    }
    clb_prefix_answered(&prefix);
    return hex(&prefix);
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
    same(plain, CHAT("uab", "a ", "ac", "ud"),
         "a message of blanks is none");
    same(plain, CHAT("uab", "a~hm|c", "ud"), "reasoning is left out");
    same(plain, CHAT("uab", "a!hm|c", "ud"), "also with a signature");
    same(plain, CHAT("uab", "a!hm", "ac", "ud"), "in a message of its own");
    same(CHAT("uab", "ac|e", "ud"), CHAT("uab", "ac|!hm|e", "ud"),
         "or in the middle");
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

/* --- calls, results, images --- */

/* A chat whose messages are written down with a letter and their parts:
 *   u a          a message
 *   t TEXT       a text
 *   c ID NAME{…} a call
 *   r ID         a result; what follows up to '.' is its content
 *   i DATA       an image
 *   w URL        one by its address
 *   d NAME DATA  a file */
static void add_part(apr_array_header_t *parts, const char *item)
{
    clb_part_t *part = apr_array_push(parts);
    char *text = apr_pstrdup(pool, item + 2), *blank = strchr(text, ' ');
    char *brace = strchr(text, '{');

    memset(part, 0, sizeof(*part));
    switch (*item) {
    case 't':
        part->kind = CLB_PART_TEXT;
        part->text = text;
        break;
    case 'c':
        part->kind = CLB_PART_CALL;
        part->text = apr_pstrdup(pool, brace);
        *brace = *blank = '\0';
        part->id = text;
        part->name = blank + 1;
        break;
    case 'r':
        part->kind = CLB_PART_RESULT;
        part->id = text;
        part->parts = apr_array_make(pool, 1, sizeof(clb_part_t));
        break;
    case 'i':
        part->kind = CLB_PART_IMAGE;
        part->media = "image/png";
        part->data = text;
        break;
    case 'w':
        part->kind = CLB_PART_IMAGE;
        part->url = text;
        break;
    default:
        *blank = '\0';
        part->kind = CLB_PART_DOCUMENT;
        part->media = "application/pdf";
        part->name = text;
        part->data = blank + 1;
    }
}

static clb_chat_t *parts_chat(const char *const *script)
{
    clb_chat_t *chat = clb_chat_create(pool);
    apr_array_header_t *outer = NULL, *parts = NULL;

    chat->model = "m";
    for (; *script != NULL; script++) {
        if ((*script)[1] == '\0' && **script != '.') {
            outer = parts = clb_chat_message(chat, **script == 'u'
                ? CLB_ROLE_USER : CLB_ROLE_ASSISTANT)->parts;
        }
        else if (**script == '.') {
            parts = outer;
        }
        else {
            add_part(parts, *script);
            if (**script == 'r') {
                parts = APR_ARRAY_IDX(outer, outer->nelts - 1,
                                      clb_part_t).parts;
            }
        }
    }
    return chat;
}

#define PARTS(...) parts_chat((const char *const[]){ __VA_ARGS__, NULL })

#define BEGIN "u", "t hi", "a"
#define CALL "c 1 f{\"a\":1,\"b\":[2.5,{\"c\":0}]}"
#define RESULT "u", "r 1", "t sun", "."
#define END "a", "t so", "u", "t next"

static void calls(void)
{
    clb_chat_t *plain = PARTS(BEGIN, CALL, RESULT, END);

    same(plain, PARTS(BEGIN, "c 1 f{ \"b\" : [2.50, {\"c\":0.0}],"
                      "\"a\":1.0}", RESULT, END),
         "arguments are values: order, blanks, 1 and 1.0 do not matter");
    same(plain, PARTS(BEGIN, "c x f{\"a\":1,\"b\":[2.5,{\"c\":0}]}", "u",
                      "r x", "t sun", ".", END),
         "nor do the ids of calls that went by");
    other(plain, PARTS(BEGIN, CALL, "u", "r 1", "t s", "t un", ".", END),
          "but how a result's text was cut does");
    other(plain, PARTS(BEGIN, "c 1 f{\"a\":2,\"b\":[2.5,{\"c\":0}]}",
                       RESULT, END), "another argument");
    other(plain, PARTS(BEGIN, "c 1 f{\"a\":1,\"b\":[{\"c\":0},2.5]}",
                       RESULT, END), "the order of a list");
    other(plain, PARTS(BEGIN, "c 1 g{\"a\":1,\"b\":[2.5,{\"c\":0}]}",
                       RESULT, END), "another tool");
    other(plain, PARTS(BEGIN, CALL, "u", "r 1", "t rain", ".", END),
          "another result");
    other(plain, PARTS(BEGIN, CALL, "u", "r 1", "t su", ".", "t n", END),
          "a text after a result is not of it");
    other(plain, PARTS(BEGIN, CALL, "u", "r 1", "t sun", "i AAAA", ".", END),
          "an image in a result");
    other(plain, PARTS(BEGIN, "t x", CALL, RESULT, END),
          "a text before a call");
    other(PARTS(BEGIN, "c 1 f{}", RESULT, END),
          PARTS(BEGIN, "c 1 f{", RESULT, END), "what is no JSON");
    same(PARTS(BEGIN, "c 1 f{\"a", RESULT, END),
         PARTS(BEGIN, "c 1 f{\"a", RESULT, END), "is compared as it is");
}

#define TWO BEGIN, "c 1 f{}", "c 2 f{}", "u"

static void results(void)
{
    clb_chat_t *plain = PARTS(TWO, "r 1", "t a", ".", "r 2", "t b", ".", END);

    other(plain, PARTS(TWO, "r 2", "t a", ".", "r 1", "t b", ".", END),
          "whose result it is");
    same(plain, PARTS(BEGIN, "c x f{}", "t ", "c y f{}", "u", "r x", "t a",
                      ".", "r y", "t b", ".", END), "by which call it was");
}

static void last_ids(void)
{
    other(PARTS(BEGIN, CALL, "u", "r 1", "t sun", "."),
          PARTS(BEGIN, "c x f{\"a\":1,\"b\":[2.5,{\"c\":0}]}", "u",
                "r x", "t sun", "."),
          "calls whose results come next have the model's own ids");
}

static void media(void)
{
    static const char *const others[] = {
        "t AAAA", "i AAAB", "w AAAA", "d AAAA AAAA"
    };
    clb_chat_t *plain = PARTS("u", "t a", "i AAAA", "t b", END);
    int i;

    same(plain, PARTS("u", "t a", "i AAAA", "t b", END), "an image");
    for (i = 0; i < 4; i++) {
        other(plain, PARTS("u", "t a", others[i], "t b", END), others[i]);
    }
    other(plain, PARTS("u", "t ab", "i AAAA", END), "stands somewhere");
    other(PARTS("u", "d a.pdf AAAA", END), PARTS("u", "d b.pdf AAAA", END),
          "a file has a name");
    other(PARTS("u", "w http://a", END), PARTS("u", "w http://b", END),
          "an address is another image than another address");
}

#define SAID(...) ANSWERED(CHAT("uhi"), __VA_ARGS__)

static void answered_calls(void)
{
    const char *next = known(PARTS(BEGIN, "t so", "c id1 f{\"a\":1}",
        "c id2 g{}", "u", "r id1", "."), 1);

    is_str(SAID("s", "o", "c id1 f", "+{\"a\"", "+: 1.0}", "c id2 g"), next,
           "calls as they streamed");
    is_str(SAID("so", "c id1 f", "+{\"a\":1}", "c id2 g", "+{}"), next,
           "however that was");
    is_str(SAID("so", "c id1 f", "+{\"a\":1}", "\n", "\n", "c id2 g"), next,
           "blanks between them are nothing");
    is_str(ANSWERED(CHAT("uhi"), "\n", " \nso", " "),
           known(CHAT("uhi", "a\n \nso ", "unext"), 1),
           "those at a text's ends are of it");
    ok(strcmp(SAID("so", "c id1 f", "+{\"a\":1}", "c id3 g"), next) != 0,
       "but with the model's ids");
    ok(strcmp(SAID("so", "c id1 f", "+{\"a\":1}"), next) != 0, "all of them");
    ok(strcmp(SAID("so", "c id1 f", "c id2 g", "+{\"a\":1}"), next) != 0,
       "each with its own arguments");
}

/* What a process is given once. */
static void tool(clb_chat_t *chat, const char *name, const char *description,
                 const char *schema)
{
    clb_tool_t *one = apr_array_push(chat->tools);

    memset(one, 0, sizeof(*one));
    one->name = name;
    one->description = description;
    one->schema = schema;
}

static clb_chat_t *tools_chat(void)
{
    clb_chat_t *chat = CHAT("ua", "ab", "uc");

    tool(chat, "f", "d", "{}");
    tool(chat, "g", NULL, "{}");
    return chat;
}

static void tools(void)
{
    static const char *const changes[][3] = {
        { "h", "d", "{}" }, { "f", "e", "{}" }, { "f", NULL, "{}" },
        { "f", "d", "{\"type\":\"object\"}" },
    };
    clb_chat_t *plain = tools_chat(), *chat;
    int i;

    same(plain, tools_chat(), "the same tools");
    other(plain, CHAT("ua", "ab", "uc"), "none");
    for (i = 0; i < 4; i++) {
        chat = tools_chat();
        APR_ARRAY_IDX(chat->tools, 0, clb_tool_t).name = changes[i][0];
        APR_ARRAY_IDX(chat->tools, 0, clb_tool_t).description = changes[i][1];
        APR_ARRAY_IDX(chat->tools, 0, clb_tool_t).schema = changes[i][2];
        other(plain, chat, "another tool");
    }
    chat = tools_chat();
    chat->choice = CLB_CHOICE_REQUIRED;
    other(plain, chat, "a choice");
    chat = tools_chat();
    chat->one_call = 1;
    other(plain, chat, "one call at most");
    chat = tools_chat();
    chat->format = CLB_FORMAT_JSON;
    other(plain, chat, "JSON");
    chat->format = CLB_FORMAT_SCHEMA;
    chat->schema = "{}";
    other(plain, chat, "by a schema");
    chat = tools_chat();
    chat->functions = 1;
    same(plain, chat, "how the client names calls does not matter");
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
    calls();
    results();
    last_ids();
    media();
    answered_calls();
    tools();
    return tap_done();
}
