/* SPDX-License-Identifier: Apache-2.0 */
/* The estimate of tokens: near what the vendor's published tokenizer says,
 * times 1.3, and of all that a request has. */
#include "tap.h"

#include "../../src/core/tokens.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

static apr_pool_t *pool;

/* What @anthropic-ai/tokenizer 0.0.4 counts. */
static void texts(void)
{
    static const struct {
        const char *what;
        int published;
        const char *text;
    } cases[] = {
        { "English", 69, "An Apache HTTP Server module that makes the AI "
          "command-line programs of a machine an HTTP API that OpenAI's "
          "clients speak. It runs the unmodified programs with their own "
          "logins, keeps some warm so that an answer starts at once, streams "
          "it, queues what is too much, and ends a program within a moment "
          "when its client leaves." },
        { "C", 79, "static void follow(clb_reply_t *reply)\n{\n    "
          "clb_block_t block;\n\n    if (reply->open == reply->blocks->nelts) "
          "{\n        return;\n    }\n    close_block(reply);\n    block = "
          "*clb_reply_block(reply);\n    block.signature = NULL;\n    "
          "reply->open++;\n}\n" },
        { "JSON", 50, "{\"type\":\"object\",\"properties\":{\"location\":{"
          "\"type\":\"string\",\"description\":\"The city and state, e.g. San "
          "Francisco, CA\"},\"unit\":{\"type\":\"string\",\"enum\":["
          "\"celsius\",\"fahrenheit\"]}},\"required\":[\"location\"]}" },
        { "German", 51, "Diese Einstellung legt fest, wie viele Anfragen "
          "gleichzeitig bearbeitet werden. Weitere Anfragen warten, bis ein "
          "Platz frei wird, oder werden nach einer Minute abgewiesen." },
        { "Russian", 57, "Этот параметр определяет, сколько запросов "
          "обрабатывается одновременно. Остальные запросы ждут, пока не "
          "освободится место." },
        { "Chinese", 29, "此设置决定同时处理多少个请求。其他请求等待空位，"
          "一分钟后被拒绝。" },
        { "Japanese", 41, "この設定は、同時に処理されるリクエストの数を決定し"
          "ます。他のリクエストは空きができるまで待ちます。" },
        { "numbers", 24, "1700000000 3.14159 2026-10-21 192.168.0.1 "
          "0x7fffffff" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        double got = (double)clb_tokens_text(cases[i].text);
        double ratio = got / (1.3 * cases[i].published);

        if (!ok(ratio > 0.7 && ratio < 1.5, "%s", cases[i].what)) {
            diag("%g, not %g", got, 1.3 * cases[i].published);
        }
    }
    is_int(clb_tokens_text(""), 0, "nothing");
    is_int(clb_tokens_text("\xf0\x9f\x98\x80"), 3, "an emoji");
    ok(clb_tokens_text("\xff\xfe\x80\x80\x80\x80\x80") > 0,
       "what is no UTF-8 has an end, too");
}

/* How many more tokens a chat has than one that says nothing. */
static apr_int64_t more(const clb_chat_t *chat)
{
    return clb_tokens_chat(chat) - clb_tokens_chat(clb_chat_create(pool));
}

static clb_part_t *part(clb_chat_t *chat, clb_part_e kind, const char *text)
{
    return clb_chat_part(clb_chat_message(chat, CLB_ROLE_USER), kind, text);
}

static void chats(void)
{
    clb_chat_t *chat = clb_chat_create(pool);
    clb_tool_t *tool;
    clb_part_t *p;
    apr_int64_t text, before;

    chat->system = "Be brief.";
    text = clb_tokens_text(chat->system);
    is_int(more(chat), text, "the system prompt");
    part(chat, CLB_PART_TEXT, "Be brief.");
    is_int(more(chat), 2 * text + 4, "a message");

    chat = clb_chat_create(pool);
    tool = apr_array_push(chat->tools);
    memset(tool, 0, sizeof(*tool));
    tool->name = "f";
    tool->schema = "{}";
    before = more(chat);
    ok(before > 350, "a tool, and what is said of tools");
    tool->description = "Be brief.";
    is_int(more(chat), before + text, "with its description");

    chat = clb_chat_create(pool);
    part(chat, CLB_PART_IMAGE, NULL)->data = "AAAA";
    is_int(more(chat), 1604, "an image");

    chat = clb_chat_create(pool);
    p = part(chat, CLB_PART_DOCUMENT, NULL);
    p->data = apr_psprintf(pool, "%0120000d", 0);
    is_int(more(chat), 4 + 1600 + 3000, "90 KB of PDF");
    p->data = NULL;
    p->text = "Be brief.";
    is_int(more(chat), 4 + text, "a document that is a text");

    chat = clb_chat_create(pool);
    p = part(chat, CLB_PART_CALL, "Be brief.");
    p->name = "f";
    before = more(chat);
    ok(before > text, "a call");
    p = part(chat, CLB_PART_RESULT, NULL);
    p->parts = apr_array_make(pool, 1, sizeof(clb_part_t));
    p = apr_array_push(p->parts);
    memset(p, 0, sizeof(*p));
    p->kind = CLB_PART_TEXT;
    p->text = "Be brief.";
    ok(more(chat) > before + text, "and its result");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    texts();
    chats();
    return tap_done();
}
