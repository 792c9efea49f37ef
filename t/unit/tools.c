/* SPDX-License-Identifier: Apache-2.0 */
/* The names by which CLIs know the client's tools. */
#include "tap.h"

#include "../../src/backend/tools.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

static apr_pool_t *pool;

/* A CLI that has the tool "own", and what begins with "own__". */
static int fits(const clb_chat_t *chat, const char *name)
{
    return clb_tool_plain(name, 64) && strcmp(name, "own") != 0
        && strncmp(name, "own__", 5) != 0;
}

static clb_chat_t *chat_new(const char *const *names)
{
    clb_chat_t *chat = clb_chat_create(pool);

    for (; *names != NULL; names++) {
        clb_tool_t *one = apr_array_push(chat->tools);

        memset(one, 0, sizeof(*one));
        one->name = *names;
    }
    return chat;
}

#define CHAT(...) chat_new((const char *const[]){ __VA_ARGS__, NULL })

static void plain(void)
{
    is_int(clb_tool_plain("aZ09_-", 6), 1, "letters, digits, _ and -");
    is_int(clb_tool_plain("aZ09_-", 5), 0, "not too many");
    is_int(clb_tool_plain("", 5), 0, "nor none");
    is_int(clb_tool_plain("a.b", 5), 0, "and nothing else");
    is_int(clb_tool_plain("a\xc3\xa9", 5), 0, "in any script");
}

/* Each tool of @a chat has a name of its own that the CLI takes, and by which
 * it is found again. */
static void both_ways(const clb_chat_t *chat, const char *what)
{
    int i, j, wrong = 0;

    for (i = 0; i < chat->tools->nelts; i++) {
        const char *given = APR_ARRAY_IDX(chat->tools, i, clb_tool_t).name;
        const char *name = clb_tool_at(chat, i, fits, pool);
        const char *back = clb_tool_asked(chat, name, fits, pool);

        wrong += !fits(chat, name) || back == NULL || strcmp(back, given) != 0
              || strcmp(clb_tool_name(chat, given, fits, pool), name) != 0;
        for (j = 0; j < i; j++) {
            wrong += strcmp(clb_tool_at(chat, j, fits, pool), name) == 0;
        }
    }
    is_int(wrong, 0, "%s", what);
}

static void names(void)
{
    clb_chat_t *chat = CHAT("a.b", "a b", "a_b_0", "a_b_1", "f", "own");

    both_ways(chat, "names are told from each other");
    is_str(clb_tool_at(chat, 4, fits, pool), "f", "a plain one stays");
    ok(clb_tool_asked(chat, "a.b", fits, pool) == NULL
       && clb_tool_asked(chat, "own", fits, pool) == NULL
       && clb_tool_asked(chat, "zzz", fits, pool) == NULL,
       "what the CLI was not told is none");
    is_str(clb_tool_name(chat, "gone", fits, pool), "gone",
           "a tool of the past");
    ok(fits(chat, clb_tool_name(chat, "go.ne", fits, pool))
       && fits(CHAT("f"), clb_tool_name(CHAT("f"), "own", fits, pool)),
       "also with an odd name");
}

/* However a client names its tools, there is a name, and not a long one. */
static void crowds(void)
{
    const char *longest = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn_0";
    clb_chat_t *chat = CHAT("nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn.",
                            "own__x", "own__x.y", longest);
    int i;

    for (i = 0; i < 40; i++) {
        clb_tool_t *one = apr_array_push(chat->tools);

        memset(one, 0, sizeof(*one));
        longest = apr_pstrcat(pool, longest, "_", NULL);
        one->name = longest;
    }
    both_ways(chat, "names are found in a crowd");
    ok(fits(chat, clb_tool_name(CHAT("f"), "own__x", fits, pool)),
       "also for a tool of the past");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    plain();
    names();
    crowds();
    return tap_done();
}
