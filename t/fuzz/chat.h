/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHAT_H
#define CHAT_H

/* What must be so of any chat, whatever dialect it was read from, and how
 * events are given to a dialect. */

#include "fuzz.h"

#include "../../src/api/dialect.h"
#include "../../src/core/media.h"
#include "../../src/core/prefix.h"
#include "../../src/core/tokens.h"
#include "turn.h"

#include <string.h>

static inline void check_text(const char *text, apr_pool_t *pool)
{
    FUZZ_CHECK(strcmp(text, clb_utf8_clean(pool, text, strlen(text), NULL))
               == 0, "not UTF-8: %s", text);
}

static inline void check_tools(const clb_chat_t *chat, apr_pool_t *pool)
{
    clb_json_t *json;
    const char *why;
    int i;

    for (i = 0; i < chat->tools->nelts; i++) {
        const clb_tool_t *tool = &APR_ARRAY_IDX(chat->tools, i, clb_tool_t);

        FUZZ_CHECK(clb_chat_tool(chat, tool->name) == tool, "two are %s",
                   tool->name);
        FUZZ_CHECK(clb_json_parse(&json, tool->schema, strlen(tool->schema),
                   CLB_JSON_STRICT, &why, pool) == APR_SUCCESS
                   && clb_json_is_object(json), "schema: %s", tool->schema);
    }
    FUZZ_CHECK(chat->tools->nelts > 0 || chat->choice == CLB_CHOICE_AUTO
               || chat->choice == CLB_CHOICE_NONE, "a choice of nothing");
    FUZZ_CHECK(chat->choice != CLB_CHOICE_NAMED
               || clb_chat_tool(chat, chat->chosen) != NULL, "%s",
               chat->chosen);
    FUZZ_CHECK((chat->schema != NULL) == (chat->format == CLB_FORMAT_SCHEMA),
               "a schema");
}

static inline void check_parts(const apr_array_header_t *parts,
                               apr_pool_t *pool)
{
    clb_json_t *json;
    const char *why;
    int i;

    for (i = 0; i < parts->nelts; i++) {
        const clb_part_t *part = &APR_ARRAY_IDX(parts, i, clb_part_t);

        switch (part->kind) {
        case CLB_PART_CALL:
            FUZZ_CHECK(part->id != NULL && part->name != NULL
                       && clb_json_parse(&json, part->text,
                              strlen(part->text), CLB_JSON_LENIENT, &why,
                              pool) == APR_SUCCESS
                       && clb_json_is_object(json), "a call: %s",
                       part->text);
            break;
        case CLB_PART_RESULT:
            FUZZ_CHECK(part->id != NULL, "a result of nothing");
            check_parts(part->parts, pool);
            break;
        case CLB_PART_IMAGE:
        case CLB_PART_DOCUMENT:
            FUZZ_CHECK((part->url != NULL) + (part->data != NULL)
                       + (part->text != NULL) == 1
                       && (part->url != NULL || part->media != NULL),
                       "an image of nothing");
            break;
        default:
            check_text(part->text, pool);
        }
    }
}

/* All that is written for Claude Code, whose history is acknowledged. */
static inline void write_all(clb_chat_t *chat, apr_pool_t *pool)
{
    static const char ack[] = "{\"type\":\"result\",\"is_error\":false}";
    clb_prefix_t prefix;
    turn_t turn;
    int i;

    chat->model = "m";
    clb_prefix_begin(&prefix, chat, "me", "b");
    clb_prefix_turns(&prefix, chat, 0, clb_chat_turns(chat)->nelts);
    turn_init(&turn, pool, &clb_driver_claude, CLB_REUSE_UNSET);
    turn.chat = chat;
    turn_input(&turn, CLB_IN_CHAT, NULL, 0, 0);
    for (i = 2; i < clb_chat_turns(chat)->nelts; i += 2) {
        turn_input(&turn, CLB_IN_LINE, ack, sizeof(ack) - 1, 0);
    }
    FUZZ_CHECK(turn.wrong == NULL && turn.fate == CLB_FATE_NONE, "%s",
               turn_said(&turn));
    turn_input(&turn, CLB_IN_LINE, ack, sizeof(ack) - 1, 0);
    FUZZ_CHECK(turn.fate == CLB_FATE_END, "there was more to write");
}

static inline void check_chat(const clb_chat_t *chat, apr_pool_t *pool)
{
    int i;

    for (i = 0; i < chat->messages->nelts; i++) {
        check_parts(APR_ARRAY_IDX(chat->messages, i, clb_message_t).parts,
                    pool);
    }
    FUZZ_CHECK(clb_chat_unanswered(chat) == NULL, "a call without a result");
    check_tools(chat, pool);

    FUZZ_CHECK(chat->temperature >= 0 && chat->temperature <= 2, "%g",
               chat->temperature);
    FUZZ_CHECK(chat->top_p >= 0 && chat->top_p <= 1, "%g", chat->top_p);
    FUZZ_CHECK(!clb_chat_given(chat, CLB_MAX_TOKENS) || chat->max_tokens > 0,
               "no tokens");
    FUZZ_CHECK(chat->budget >= 0 && chat->top_k >= 0, "less than nothing");
    FUZZ_CHECK(chat->asked == NULL || *chat->asked != '\0', "no name");
    for (i = 0; i < chat->stop->nelts; i++) {
        FUZZ_CHECK(*APR_ARRAY_IDX(chat->stop, i, const char *) != '\0',
                   "an empty stop sequence");
    }
}

/* The chat in a body, which can be written in every form; NULL if it is no
 * body, or refused with a reason. */
static inline clb_chat_t *read_chat(const clb_dialect_t *dialect,
                                    const char *version, const uint8_t *data,
                                    size_t size, apr_pool_t *pool)
{
    clb_chat_t *chat = clb_chat_create(pool);
    clb_error_t error = { CLB_OK, NULL, NULL, 0 };
    clb_json_t *body;
    const char *why;

    if (clb_json_parse(&body, (const char *)data, size, CLB_JSON_STRICT, &why,
                       pool) != APR_SUCCESS || !clb_json_is_object(body)) {
        return NULL;
    }
    chat->version = version;
    if (dialect->parse(chat, body, &error) != APR_SUCCESS) {
        FUZZ_CHECK(error.kind != CLB_OK && error.message != NULL
                   && error.param != NULL, "no reason");
        check_text(error.message, pool);
        return NULL;
    }
    check_chat(chat, pool);
    check_text(clb_chat_plain(chat), pool);
    FUZZ_CHECK(clb_tokens_chat(chat) > 0, "no tokens");
    write_all(chat, pool);
    if (chat->asked == NULL) {
        chat->asked = "m";
    }
    return chat;
}

static inline void send_text(const clb_dialect_t *dialect, clb_reply_t *reply,
                             clb_event_e kind, const char *text)
{
    clb_event_t event = { .kind = kind };

    event.u.text.data = text;
    event.u.text.len = strlen(text);
    clb_reply_note(reply, &event);
    dialect->event(reply, &event);
}

static inline void send_call(const clb_dialect_t *dialect, clb_reply_t *reply,
                             const char *id, const char *name)
{
    clb_event_t event = { .kind = CLB_EV_CALL };

    event.u.call.id = id;
    event.u.call.name = name;
    clb_reply_note(reply, &event);
    dialect->event(reply, &event);
}

#endif
