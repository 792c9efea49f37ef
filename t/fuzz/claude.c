/* SPDX-License-Identifier: Apache-2.0 */
/* Claude Code's driver fed with lines: while warming, with one question, with
 * a history, and with a state that came from somewhere else. */
#include "fuzz.h"

#include "turn.h"

static clb_chat_t *chat_new(apr_pool_t *pool, int turns)
{
    clb_chat_t *chat = clb_chat_create(pool);
    int i;

    chat->model = "claude-x";
    for (i = 0; i < turns; i++) {
        clb_chat_part(clb_chat_message(chat, i % 2 ? CLB_ROLE_ASSISTANT
                                             : CLB_ROLE_USER),
                      CLB_PART_TEXT, "text");
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
    FUZZ_CHECK(turn->fate == CLB_FATE_END || turn->fate == CLB_FATE_KILL,
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
