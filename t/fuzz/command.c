/* SPDX-License-Identifier: Apache-2.0 */
/* The driver for programs. As stdout of a program per request: whatever the
 * reads, the text is that of the whole output. As lines of a persistent one:
 * turn after turn, some of them cancelled. */
#include "fuzz.h"

#include "turn.h"

static clb_chat_t *chat_new(apr_pool_t *pool)
{
    clb_chat_t *chat = clb_chat_create(pool);

    chat->model = "x";
    clb_chat_part(clb_chat_message(chat, CLB_ROLE_USER), CLB_PART_TEXT, "x");
    return chat;
}

static void check(const turn_t *turn)
{
    FUZZ_CHECK(turn->wrong == NULL, "%s: %s", turn->wrong, turn->said.data);
}

static void once(const uint8_t *data, size_t size, uint32_t seed,
                 apr_pool_t *pool)
{
    apr_size_t given = 0, len;
    turn_t turn;

    turn_init(&turn, pool, &clb_driver_command, CLB_REUSE_NONE);
    turn.chat = chat_new(pool);
    turn_input(&turn, CLB_IN_CHAT, NULL, 0, 0);
    for (; given < size; given += len) {
        len = 1 + fuzz_next(&seed, fuzz_next(&seed, 2) ? 3 : 300);
        len = len < size - given ? len : size - given;
        turn_input(&turn, CLB_IN_DATA, (const char *)data + given, len, 0);
    }
    turn_input(&turn, CLB_IN_EXIT, (const char *)data, 0, 0);
    check(&turn);
    FUZZ_CHECK(turn.fate == CLB_FATE_END, "fate %d", turn.fate);
    FUZZ_CHECK(strcmp(turn.text.data,
                      clb_utf8_clean(pool, (const char *)data, size, NULL))
               == 0, "reads changed the text: %s", turn.text.data);
}

/* The diagnostics of a program that failed. */
static void failed(const uint8_t *data, size_t size, uint32_t seed,
                   apr_pool_t *pool)
{
    const char *text = clb_utf8_clean(pool, (const char *)data, size, NULL);
    turn_t turn;

    turn_init(&turn, pool, &clb_driver_command, CLB_REUSE_NONE);
    turn.chat = chat_new(pool);
    turn_input(&turn, CLB_IN_CHAT, NULL, 0, 0);
    turn_input(&turn, CLB_IN_EXIT, text, strlen(text),
               1 + (int)fuzz_next(&seed, 255));
    check(&turn);
    FUZZ_CHECK(turn.ended && turn.fate == CLB_FATE_END, "no end");
}

static void persistent(const uint8_t *data, size_t size, uint32_t seed,
                       apr_pool_t *pool)
{
    const char *at = (const char *)data, *end = at + size;
    turn_t turn;

    turn_init(&turn, pool, &clb_driver_command, CLB_REUSE_LINES);
    turn_input(&turn, CLB_IN_WARM, NULL, 0, 0);
    turn.chat = chat_new(pool);
    while (at < end) {
        turn_next(&turn);
        turn_input(&turn, CLB_IN_CHAT, NULL, 0, 0);
        if (fuzz_next(&seed, 4) == 0) {
            turn_input(&turn, CLB_IN_CANCEL, NULL, 0, 0);
            FUZZ_CHECK(turn.fate == CLB_FATE_SETTLE, "not settling");
        }
        at = turn_lines(&turn, at, end);
        check(&turn);
        FUZZ_CHECK(turn.fate == CLB_FATE_CLEAN || at == end, "fate %d",
                   turn.fate);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();
    uint32_t seed = fuzz_seed(data, size);

    once(data, size, seed, pool);
    failed(data, size, seed, pool);
    persistent(data, size, seed, pool);
    apr_pool_clear(pool);
    return 0;
}
