/* SPDX-License-Identifier: Apache-2.0 */
/* The drivers for agents of the Agent Client Protocol fed with lines: while
 * warming, with one question, with tools and a history of calls, after the
 * client left, and with a state that came from somewhere else. */
#include "fuzz.h"

#include "turn.h"

#define SESSION(id) "{\"id\":\"" id "\",\"result\":{\"sessionId\":\"s1\"}}\n"
#define WARM "{\"id\":\"hello\",\"result\":{}}\n" \
    "{\"id\":\"spare\",\"result\":{\"sessionId\":\"s0\"}}\n"

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

static clb_chat_t *chat_new(apr_pool_t *pool, int turns, int tools)
{
    clb_chat_t *chat = clb_chat_create(pool);
    int i;

    chat->model = "some-model";
    for (i = 0; i < turns; i++) {
        clb_message_t *message = clb_chat_message(chat, i % 2
            ? CLB_ROLE_ASSISTANT : CLB_ROLE_USER);

        if (tools && (i % 4 == 1 || i % 4 == 2)) {
            add_call(message, i % 2, pool);
        }
        clb_chat_part(message, CLB_PART_TEXT, "text");
    }
    if (tools) {
        add_tool(chat, "look_up");
        add_tool(chat, "a.b");
    }
    return chat;
}

static void check(const turn_t *turn)
{
    FUZZ_CHECK(turn->wrong == NULL, "%s: %s", turn->wrong, turn->said.data);
}

static void feed(turn_t *turn, const uint8_t *data, size_t size)
{
    const char *from = (const char *)data, *end = from + size;

    while ((from = turn_lines(turn, from, end)) < end
           && turn->fate == CLB_FATE_CLEAN) {
        turn->fate = CLB_FATE_NONE;
    }
    check(turn);
}

static void converse(const clb_driver_t *driver, apr_pool_t *pool, int n,
                     int tools, int wanted, const uint8_t *data, size_t size)
{
    turn_t turn;

    turn_init(&turn, pool, driver, CLB_REUSE_UNSET);
    turn_input(&turn, CLB_IN_WARM, NULL, 0, 0);
    turn_print(&turn, WARM);
    FUZZ_CHECK(turn.ready, "not ready");
    turn_next(&turn);
    turn.chat = chat_new(pool, n, tools);
    turn_input(&turn, CLB_IN_CHAT, NULL, 0, 0);
    turn_print(&turn, SESSION("session"));
    feed(&turn, data, size);
    if (turn.fate >= CLB_FATE_END) {
        return;
    }
    if (!wanted) {
        turn.chat = NULL;
        turn.fate = CLB_FATE_NONE;
        turn_input(&turn, CLB_IN_CANCEL, NULL, 0, 0);
    }
    else if (turn.ended) {
        turn_next(&turn);
        turn.chat = chat_new(pool, n + 2, tools);
        turn_input(&turn, CLB_IN_CHAT, NULL, 0, 0);
    }
    feed(&turn, data, size);
}

static void drive(const clb_driver_t *driver, const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();
    turn_t turn;
    int i;

    turn_init(&turn, pool, driver, CLB_REUSE_UNSET);
    turn_input(&turn, CLB_IN_WARM, NULL, 0, 0);
    feed(&turn, data, size);
    for (i = 0; i < 8; i++) {
        converse(driver, pool, i & 4 ? 3 : 1, i & 2, i & 1, data, size);
    }
    /* without the rule on START: a strange state may be in mid-turn */
    turn_init(&turn, pool, driver, CLB_REUSE_UNSET);
    turn.chat = chat_new(pool, 3, 1);
    memcpy(turn.state.bytes, data, size < sizeof(turn.state.bytes) ? size
           : sizeof(turn.state.bytes));
    turn.started = 1;
    turn_lines(&turn, (const char *)data, (const char *)data + size);
    apr_pool_clear(pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    drive(&clb_driver_gemini, data, size);
    drive(&clb_driver_qwen, data, size);
    drive(&clb_driver_acp, data, size);
    return 0;
}
