/* SPDX-License-Identifier: Apache-2.0 */
/* Claude Code's driver fed with lines: while warming, with one question, with
 * tools and a history of calls, and with a state that came from somewhere
 * else. */
#include "fuzz.h"

#include "turn.h"

static void add_tool(clb_chat_t *chat, const char *name)
{
    clb_tool_t *tool = apr_array_push(chat->tools);

    memset(tool, 0, sizeof(*tool));
    tool->name = name;
    tool->schema = "{\"type\":\"object\"}";
}

/* A call, or the result of the one in the message before. */
static void add_call(clb_message_t *message, int is_call, apr_pool_t *pool)
{
    clb_part_t *part = clb_chat_part(message, is_call ? CLB_PART_CALL
                                     : CLB_PART_RESULT, "{\"a\":1}");

    part->id = "1";
    part->name = "a.b";
    part->parts = apr_array_make(pool, 1, sizeof(clb_part_t));
}

static clb_chat_t *chat_new(apr_pool_t *pool, int turns)
{
    clb_chat_t *chat = clb_chat_create(pool);
    int i;

    chat->model = "claude-x";
    for (i = 0; i < turns; i++) {
        clb_message_t *message = clb_chat_message(chat, i % 2
            ? CLB_ROLE_ASSISTANT : CLB_ROLE_USER);

        if (i % 4 == 1 || i % 4 == 2) {
            add_call(message, i % 2, pool);
        }
        clb_chat_part(message, CLB_PART_TEXT, "text");
    }
    if (turns > 1) {
        add_tool(chat, "f");
        add_tool(chat, "a.b");
    }
    return chat;
}

static void check(const turn_t *turn)
{
    FUZZ_CHECK(turn->wrong == NULL, "%s: %s", turn->wrong, turn->said.data);
}

/* All lines, then the end of the process. */
static void feed(turn_t *turn, const uint8_t *data, size_t size)
{
    turn_lines(turn, (const char *)data, (const char *)data + size);
    if (turn->fate == CLB_FATE_NONE) {
        turn_input(turn, CLB_IN_EXIT, "stderr", 6, 1);
    }
    check(turn);
    FUZZ_CHECK(turn->fate != CLB_FATE_NONE && turn->fate != CLB_FATE_SETTLE,
               "fate %d", turn->fate);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();
    turn_t turn;
    int turns;

    for (turns = 0; turns <= 5; turns = turns * 4 + 1) {
        turn_init(&turn, pool, &clb_driver_claude, CLB_REUSE_UNSET);
        turn.chat = turns > 0 ? chat_new(pool, turns) : NULL;
        turn_input(&turn, turns > 0 ? CLB_IN_CHAT : CLB_IN_WARM, NULL, 0, 0);
        feed(&turn, data, size);
    }
    /* without the rule on START: a strange state may be in mid-turn */
    turn_init(&turn, pool, &clb_driver_claude, CLB_REUSE_UNSET);
    turn.chat = chat_new(pool, 3);
    memcpy(turn.state.bytes, data, size < sizeof(turn.state.bytes) ? size
           : sizeof(turn.state.bytes));
    turn.started = 1;
    turn_lines(&turn, (const char *)data, (const char *)data + size);
    apr_pool_clear(pool);
    return 0;
}
