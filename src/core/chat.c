/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chat: built by a dialect, read by a driver.
 */
#include "chat.h"

#include "json.h"

#include <apr_strings.h>
#include <string.h>

/* Where a vendor's API demands a user message and the client sent none. */
#define CONTINUE "Continue."

static const char *const efforts[] = {
    [CLB_EFFORT_NONE] = "none", [CLB_EFFORT_MINIMAL] = "minimal",
    [CLB_EFFORT_LOW] = "low", [CLB_EFFORT_MEDIUM] = "medium",
    [CLB_EFFORT_HIGH] = "high", [CLB_EFFORT_XHIGH] = "xhigh",
    [CLB_EFFORT_MAX] = "max",
};

clb_chat_t *clb_chat_create(apr_pool_t *pool)
{
    clb_chat_t *chat = apr_pcalloc(pool, sizeof(*chat));

    chat->pool = pool;
    chat->messages = apr_array_make(pool, 8, sizeof(clb_message_t));
    chat->messages_name = "messages";
    chat->stop = apr_array_make(pool, 1, sizeof(const char *));
    chat->args = apr_array_make(pool, 1, sizeof(const char *));
    chat->given = apr_array_make(pool, 4, sizeof(clb_given_t));
    chat->tools = apr_array_make(pool, 4, sizeof(clb_tool_t));
    return chat;
}

static clb_message_t *push(apr_array_header_t *messages, clb_role_e role)
{
    clb_message_t *message = apr_array_push(messages);

    message->role = role;
    message->parts = apr_array_make(messages->pool, 2, sizeof(clb_part_t));
    return message;
}

clb_message_t *clb_chat_message(clb_chat_t *chat, clb_role_e role)
{
    return push(chat->messages, role);
}

clb_part_t *clb_chat_part(clb_message_t *message, clb_part_e kind,
                          const char *text)
{
    clb_part_t *part = apr_array_push(message->parts);

    memset(part, 0, sizeof(*part));
    part->kind = kind;
    part->text = text;
    return part;
}

const clb_tool_t *clb_chat_tool(const clb_chat_t *chat, const char *name)
{
    int i;

    for (i = 0; i < chat->tools->nelts; i++) {
        const clb_tool_t *tool = &APR_ARRAY_IDX(chat->tools, i, clb_tool_t);

        if (strcmp(tool->name, name) == 0) {
            return tool;
        }
    }
    return NULL;
}

void clb_chat_system(clb_chat_t *chat, const char *text)
{
    if (*text == '\0') {
        return;
    }
    chat->system = chat->system == NULL ? text
                 : apr_pstrcat(chat->pool, chat->system, "\n\n", text, NULL);
}

static const char *without_thoughts(const char *text, apr_pool_t *pool)
{
    const char *from, *to;
    clb_buf_t rest;

    if (text == NULL || strstr(text, CLB_THINK) == NULL) {
        return text;
    }
    clb_buf_init(&rest, pool, strlen(text));
    while ((from = strstr(text, CLB_THINK)) != NULL
           && (to = strstr(from, CLB_THOUGHT)) != NULL) {
        clb_buf_add(&rest, text, (apr_size_t)(from - text));
        text = to + sizeof(CLB_THOUGHT) - 1;
    }
    clb_buf_puts(&rest, text);
    return rest.data;
}

void clb_chat_forget_thoughts(clb_chat_t *chat)
{
    int i, j;

    for (i = 0; i < chat->messages->nelts; i++) {
        clb_message_t *message = &APR_ARRAY_IDX(chat->messages, i,
                                                clb_message_t);

        for (j = 0; message->role == CLB_ROLE_ASSISTANT
                    && j < message->parts->nelts; j++) {
            clb_part_t *part = &APR_ARRAY_IDX(message->parts, j, clb_part_t);

            if (part->kind == CLB_PART_TEXT) {
                part->text = without_thoughts(part->text, chat->pool);
            }
        }
    }
}

void clb_chat_give(clb_chat_t *chat, clb_field_e field, const char *name)
{
    clb_given_t *given = apr_array_push(chat->given);

    given->field = field;
    given->name = name;
}

int clb_chat_given(const clb_chat_t *chat, clb_field_e field)
{
    int i;

    for (i = 0; i < chat->given->nelts; i++) {
        if (APR_ARRAY_IDX(chat->given, i, clb_given_t).field == field) {
            return 1;
        }
    }
    return 0;
}

const char *clb_chat_ignored(const clb_chat_t *chat, unsigned honoured)
{
    const char *names = NULL;
    int i;

    for (i = 0; i < chat->given->nelts; i++) {
        const clb_given_t *given = &APR_ARRAY_IDX(chat->given, i,
                                                  clb_given_t);

        if (!(honoured & CLB_FIELD(given->field))) {
            names = names == NULL ? given->name
                  : apr_pstrcat(chat->pool, names, ", ", given->name, NULL);
        }
    }
    return names;
}

static int is_for_model(const clb_part_t *part)
{
    switch (part->kind) {
    case CLB_PART_REASONING:
        return part->signature != NULL || part->data != NULL;
    case CLB_PART_TEXT:
        return part->text[clb_blanks(part->text)] != '\0';
    default:
        return 1;
    }
}

/* Add what a model is to see of @a from. @return 1 if that is more than
 * reasoning */
static int add_parts(apr_array_header_t *parts, const clb_message_t *from)
{
    int i, more = 0;

    for (i = 0; i < from->parts->nelts; i++) {
        const clb_part_t *part = &APR_ARRAY_IDX(from->parts, i, clb_part_t);

        if (is_for_model(part)) {
            APR_ARRAY_PUSH(parts, clb_part_t) = *part;
            more = more || part->kind != CLB_PART_REASONING;
        }
    }
    return more;
}

/* The last of @a turns if it is of @a role, else a new one. */
static clb_message_t *turn_of(apr_array_header_t *turns, clb_role_e role)
{
    clb_message_t *last = turns->nelts == 0 ? NULL
        : &APR_ARRAY_IDX(turns, turns->nelts - 1, clb_message_t);

    if (last != NULL && last->role == role) {
        return last;
    }
    if (last == NULL && role == CLB_ROLE_ASSISTANT) {
        clb_chat_part(push(turns, CLB_ROLE_USER), CLB_PART_TEXT, CONTINUE);
    }
    return push(turns, role);
}

/* Reasoning alone is no message: it waits in @a thoughts for more of the same
 * message, which clients may send as one of its own. */
static void add_message(apr_array_header_t *turns,
                        apr_array_header_t *thoughts,
                        const clb_message_t *message)
{
    apr_array_header_t *seen = apr_array_make(turns->pool, 2,
                                              sizeof(clb_part_t)), *parts;

    if (!add_parts(seen, message)) {
        apr_array_cat(thoughts, seen);
        return;
    }
    parts = turn_of(turns, message->role)->parts;
    if (message->role == CLB_ROLE_ASSISTANT) {
        apr_array_cat(parts, thoughts);
    }
    apr_array_clear(thoughts);
    apr_array_cat(parts, seen);
}

const apr_array_header_t *clb_chat_turns(clb_chat_t *chat)
{
    apr_array_header_t *turns, *thoughts;
    clb_message_t *last;
    int i;

    if (chat->turns != NULL) {
        return chat->turns;
    }
    turns = apr_array_make(chat->pool, chat->messages->nelts + 2,
                           sizeof(clb_message_t));
    thoughts = apr_array_make(chat->pool, 1, sizeof(clb_part_t));
    for (i = 0; i < chat->messages->nelts; i++) {
        add_message(turns, thoughts, &APR_ARRAY_IDX(chat->messages, i,
                                                    clb_message_t));
    }
    last = turn_of(turns, CLB_ROLE_USER);
    if (last->parts->nelts == 0) {
        clb_chat_part(last, CLB_PART_TEXT, CONTINUE);
    }
    return chat->turns = turns;
}

const char *clb_chat_arguments(const char *text, apr_pool_t *pool)
{
    const char *why;
    clb_json_t *json;

    if (text == NULL || text[clb_blanks(text)] == '\0') {
        return "{}";
    }
    if (clb_json_parse(&json, text, strlen(text), CLB_JSON_LENIENT, &why,
                       pool) == APR_SUCCESS && clb_json_is_object(json)) {
        return text;
    }
    return clb_json_text(pool, clb_json_pack(pool, "{s:s}", "arguments",
                                             text));
}

int clb_chat_count(const clb_message_t *message, clb_part_e kind)
{
    int i, n = 0;

    for (i = 0; i < message->parts->nelts; i++) {
        n += APR_ARRAY_IDX(message->parts, i, clb_part_t).kind == kind;
    }
    return n;
}

int clb_chat_has(const clb_chat_t *chat, clb_part_e kind)
{
    int i;

    for (i = 0; i < chat->messages->nelts; i++) {
        if (clb_chat_count(&APR_ARRAY_IDX(chat->messages, i, clb_message_t),
                           kind) > 0) {
            return 1;
        }
    }
    return 0;
}

static unsigned needs_of(const apr_array_header_t *parts)
{
    unsigned needs = 0;
    int i;

    for (i = 0; i < parts->nelts; i++) {
        const clb_part_t *part = &APR_ARRAY_IDX(parts, i, clb_part_t);

        switch (part->kind) {
        case CLB_PART_IMAGE:
            needs |= CLB_NEED_IMAGES | (part->url != NULL ? CLB_NEED_URLS : 0);
            break;
        case CLB_PART_DOCUMENT:
            needs |= CLB_NEED_DOCUMENTS
                   | (part->url != NULL ? CLB_NEED_URLS : 0);
            break;
        case CLB_PART_RESULT:
            needs |= CLB_NEED_TOOLS | needs_of(part->parts);
            break;
        case CLB_PART_CALL:
            needs |= CLB_NEED_TOOLS;
            break;
        default:
            break;
        }
    }
    return needs;
}

unsigned clb_chat_needs(const clb_chat_t *chat)
{
    unsigned needs = chat->tools->nelts > 0 ? CLB_NEED_TOOLS : 0;
    int i;

    for (i = 0; i < chat->messages->nelts; i++) {
        needs |= needs_of(APR_ARRAY_IDX(chat->messages, i,
                                        clb_message_t).parts);
    }
    return needs | (chat->format == CLB_FORMAT_JSON ? CLB_NEED_JSON : 0)
         | (chat->format == CLB_FORMAT_SCHEMA ? CLB_NEED_SCHEMA : 0)
         | (chat->prefill ? CLB_NEED_PREFILL : 0);
}

const char *clb_chat_need_names(unsigned needs, apr_pool_t *pool)
{
    static const char *const names[] = {
        "tools", "images", "URLs (send the data itself)", "files",
        "json_object", "json_schema", "assistant message prefill (the "
        "conversation must end with a user message)"
    };
    const char *list = "";
    apr_size_t i;

    for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (needs & (1u << i)) {
            list = apr_pstrcat(pool, list, *list != '\0' ? ", " : "", names[i],
                               NULL);
        }
    }
    return list;
}

const char *clb_chat_need_field(const clb_chat_t *chat, unsigned needs)
{
    if (needs & CLB_NEED_TOOLS && chat->tools->nelts > 0) {
        return chat->functions ? "functions" : "tools";
    }
    return needs & ~(CLB_NEED_JSON | CLB_NEED_SCHEMA) ? chat->messages_name
                                                      : chat->format_name;
}

int clb_chat_expects(const clb_chat_t *chat, const char *id)
{
    int i, j;

    for (i = chat->messages->nelts - 1; i >= 0; i--) {
        const clb_message_t *message = &APR_ARRAY_IDX(chat->messages, i,
                                                      clb_message_t);

        if (message->role == CLB_ROLE_ASSISTANT) {
            return clb_chat_find(message, CLB_PART_CALL, id) >= 0;
        }
        for (j = 0; j < message->parts->nelts; j++) {
            const clb_part_t *part = &APR_ARRAY_IDX(message->parts, j,
                                                    clb_part_t);

            if (part->kind != CLB_PART_RESULT
                || strcmp(part->id, id) == 0) {
                return 0;
            }
        }
    }
    return 0;
}

int clb_chat_find(const clb_message_t *message, clb_part_e kind,
                  const char *id)
{
    int i, n = 0;

    for (i = 0; i < message->parts->nelts; i++) {
        const clb_part_t *part = &APR_ARRAY_IDX(message->parts, i,
                                                clb_part_t);

        if (part->kind == kind) {
            if (strcmp(part->id, id) == 0) {
                return n;
            }
            n++;
        }
    }
    return -1;
}

const char *clb_chat_call_id(clb_chat_t *chat, int turn,
                             const clb_part_t *part, int known,
                             const char *prefix, apr_pool_t *pool)
{
    const apr_array_header_t *turns = clb_chat_turns(chat);

    turn -= part->kind == CLB_PART_RESULT;
    return turn < known || turn < 0 ? part->id
         : apr_psprintf(pool, "%s%d_%d", prefix, turn, clb_chat_find(
               &APR_ARRAY_IDX(turns, turn, clb_message_t), CLB_PART_CALL,
               part->id));
}

/* 1 if one of the messages from @a i on, which all must have results, has one
 * for the call @a id. */
static int answered(const clb_chat_t *chat, int i, const char *id)
{
    for (; i < chat->messages->nelts; i++) {
        const clb_message_t *message = &APR_ARRAY_IDX(chat->messages, i,
                                                      clb_message_t);

        if (clb_chat_find(message, CLB_PART_RESULT, id) >= 0) {
            return 1;
        }
        if (message->parts->nelts == 0
            || APR_ARRAY_IDX(message->parts, 0, clb_part_t).kind
               != CLB_PART_RESULT) {
            return 0;
        }
    }
    return 0;
}

const char *clb_chat_unanswered(const clb_chat_t *chat)
{
    int i, j;

    for (i = 0; i < chat->messages->nelts; i++) {
        const apr_array_header_t *parts = APR_ARRAY_IDX(chat->messages, i,
                                                        clb_message_t).parts;

        for (j = 0; j < parts->nelts; j++) {
            const clb_part_t *part = &APR_ARRAY_IDX(parts, j, clb_part_t);

            if (part->kind == CLB_PART_CALL
                && !answered(chat, i + 1, part->id)) {
                return part->id;
            }
        }
    }
    return NULL;
}

static void plain_block(clb_buf_t *buf, const char *who,
                        const clb_message_t *message)
{
    int i;

    if (buf->len > 0) {
        clb_buf_puts(buf, "\n\n");
    }
    clb_buf_puts(buf, who);
    for (i = 0; i < message->parts->nelts; i++) {
        const clb_part_t *part = &APR_ARRAY_IDX(message->parts, i,
                                                clb_part_t);

        if (part->kind == CLB_PART_TEXT) {
            clb_buf_puts(buf, part->text);
        }
    }
}

const char *clb_chat_plain(clb_chat_t *chat)
{
    int i, alone = chat->system == NULL && chat->messages->nelts == 1
        && APR_ARRAY_IDX(chat->messages, 0, clb_message_t).role
           == CLB_ROLE_USER;
    clb_buf_t buf;

    clb_buf_init(&buf, chat->pool, 1024);
    if (chat->system != NULL) {
        clb_buf_puts(&buf, "System: ");
        clb_buf_puts(&buf, chat->system);
    }
    for (i = 0; i < chat->messages->nelts; i++) {
        const clb_message_t *message = &APR_ARRAY_IDX(chat->messages, i,
                                                      clb_message_t);

        plain_block(&buf, alone ? ""
                    : message->role == CLB_ROLE_USER ? "User: "
                    : "Assistant: ", message);
    }
    return buf.data;
}

int clb_chat_quiet(const clb_chat_t *chat)
{
    return chat->quiet || chat->effort == CLB_EFFORT_NONE
        || (clb_chat_given(chat, CLB_BUDGET) && chat->budget == 0);
}

apr_status_t clb_effort_parse(clb_effort_e *effort, const char *name)
{
    clb_effort_e e;

    for (e = CLB_EFFORT_NONE; e <= CLB_EFFORT_MAX; e++) {
        if (strcmp(name, efforts[e]) == 0) {
            *effort = e;
            return APR_SUCCESS;
        }
    }
    return APR_EINVAL;
}

const char *clb_effort_name(clb_effort_e effort)
{
    return efforts[effort];
}
