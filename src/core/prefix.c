/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The normal form of a conversation's beginning. Numbers have a fixed size,
 * texts end with a NUL, which none contains, and a letter says what follows,
 * so that no two beginnings are written the same.
 */
#include "prefix.h"

#include "json.h"

#include <string.h>

static void add(clb_prefix_t *prefix, const void *data, apr_size_t len)
{
    clb_sha256_add(&prefix->sum, data, len);
}

static void add_text(clb_prefix_t *prefix, const char *text)
{
    add(prefix, text == NULL ? "" : text, text == NULL ? 1 : strlen(text) + 1);
}

static void add_tools(clb_prefix_t *prefix, const clb_chat_t *chat)
{
    int i, choice = chat->choice, format = chat->format;

    add(prefix, &chat->tools->nelts, sizeof(chat->tools->nelts));
    for (i = 0; i < chat->tools->nelts; i++) {
        const clb_tool_t *tool = &APR_ARRAY_IDX(chat->tools, i, clb_tool_t);

        add_text(prefix, tool->name);
        add_text(prefix, tool->description);
        add_text(prefix, tool->schema);
    }
    add(prefix, &choice, sizeof(choice));
    add_text(prefix, chat->chosen);
    add(prefix, &chat->one_call, sizeof(chat->one_call));
    add(prefix, &format, sizeof(format));
    add_text(prefix, chat->schema);
}

static void add_parameters(clb_prefix_t *prefix, const clb_chat_t *chat)
{
    clb_field_e field;
    int i, effort = chat->effort;

    for (field = 0; field < CLB_OTHER; field++) {
        int given = clb_chat_given(chat, field);

        add(prefix, &given, sizeof(given));
    }
    add(prefix, &chat->temperature, sizeof(chat->temperature));
    add(prefix, &chat->top_p, sizeof(chat->top_p));
    add(prefix, &chat->top_k, sizeof(chat->top_k));
    add(prefix, &chat->max_tokens, sizeof(chat->max_tokens));
    add(prefix, &chat->budget, sizeof(chat->budget));
    add(prefix, &effort, sizeof(effort));
    add(prefix, &chat->model_thinks, sizeof(chat->model_thinks));
    add_text(prefix, chat->display);
    add(prefix, &chat->stop->nelts, sizeof(chat->stop->nelts));
    for (i = 0; i < chat->stop->nelts; i++) {
        add_text(prefix, APR_ARRAY_IDX(chat->stop, i, const char *));
    }
}

void clb_prefix_begin(clb_prefix_t *prefix, const clb_chat_t *chat,
                      const char *owner, const char *backend)
{
    memset(prefix, 0, sizeof(*prefix));
    prefix->pool = chat->pool;
    clb_buf_init(&prefix->blanks, chat->pool, 16);
    clb_buf_init(&prefix->arguments, chat->pool, 64);
    clb_buf_init(&prefix->ids, chat->pool, 64);
    clb_sha256_begin(&prefix->sum);
    add_text(prefix, owner);
    add_text(prefix, backend);
    add_text(prefix, chat->model);
    add_text(prefix, chat->system);
    add_tools(prefix, chat);
    add_parameters(prefix, chat);
}

/* A text of blanks alone is none. */
static void piece(clb_prefix_t *prefix, const char *text, apr_size_t len)
{
    if (!prefix->in_text && clb_blanks(text) == len) {
        clb_buf_add(&prefix->blanks, text, len);
        return;
    }
    if (!prefix->in_text) {
        add(prefix, "T", 1);
        add(prefix, prefix->blanks.data, prefix->blanks.len);
        prefix->in_text = 1;
    }
    add(prefix, text, len);
}

static void add_arguments(clb_prefix_t *prefix, const char *arguments)
{
    const char *text = clb_chat_arguments(arguments, prefix->pool), *why;
    clb_json_t *json;

    if (clb_json_parse(&json, text, strlen(text), CLB_JSON_LENIENT, &why,
                       prefix->pool) == APR_SUCCESS) {
        text = clb_json_canonical(prefix->pool, json);
    }
    add_text(prefix, text);
}

/* End the member that may still grow. */
static void close_member(clb_prefix_t *prefix)
{
    if (prefix->in_text) {
        add(prefix, "", 1);
        prefix->in_text = 0;
    }
    clb_buf_reset(&prefix->blanks);
    if (prefix->in_call) {
        add_arguments(prefix, prefix->arguments.data);
        clb_buf_reset(&prefix->arguments);
        prefix->in_call = 0;
    }
}

static void open_member(clb_prefix_t *prefix, const char *letter)
{
    close_member(prefix);
    add(prefix, letter, 1);
}

static void begin_call(clb_prefix_t *prefix, const char *id, const char *name)
{
    open_member(prefix, "C");
    add_text(prefix, name);
    clb_buf_add(&prefix->ids, id, strlen(id) + 1);
}

static void begin_turn(clb_prefix_t *prefix, clb_role_e role)
{
    if (role == CLB_ROLE_ASSISTANT) {
        clb_buf_reset(&prefix->ids);
    }
    add(prefix, role == CLB_ROLE_USER ? "U" : "A", 1);
}

/* Which call of the last answer has the id @a id, counted in bytes. */
static int call_of(const clb_prefix_t *prefix, const char *id)
{
    const char *at = prefix->ids.data, *end = at + prefix->ids.len;

    while (at < end && strcmp(at, id) != 0) {
        at += strlen(at) + 1;
    }
    return (int)(at - prefix->ids.data);
}

static void end_turn(clb_prefix_t *prefix)
{
    close_member(prefix);
    add(prefix, ".", 1);
}

static void add_media(clb_prefix_t *prefix, const clb_part_t *part)
{
    open_member(prefix, "M");
    add_text(prefix, part->media);
    add_text(prefix, part->name);
    add_text(prefix, part->data);
    add_text(prefix, part->url);
    add_text(prefix, part->text);
}

static void add_parts(clb_prefix_t *prefix, const apr_array_header_t *parts,
                      clb_role_e role);

static void add_result(clb_prefix_t *prefix, const clb_part_t *part)
{
    int call = call_of(prefix, part->id);

    open_member(prefix, "R");
    add(prefix, &call, sizeof(call));
    add(prefix, &part->failed, sizeof(part->failed));
    add_parts(prefix, part->parts, CLB_ROLE_USER);
    end_turn(prefix);
}

/* Only an answer's text comes in pieces that mean nothing. */
static void add_part(clb_prefix_t *prefix, const clb_part_t *part,
                     clb_role_e role)
{
    switch (part->kind) {
    case CLB_PART_TEXT:
        piece(prefix, part->text, strlen(part->text));
        if (role == CLB_ROLE_USER) {
            close_member(prefix);
        }
        break;
    case CLB_PART_IMAGE:
    case CLB_PART_DOCUMENT:
        add_media(prefix, part);
        break;
    case CLB_PART_CALL:
        begin_call(prefix, part->id, part->name);
        add_arguments(prefix, part->text);
        break;
    case CLB_PART_RESULT:
        add_result(prefix, part);
        break;
    case CLB_PART_REASONING:
        break;
    }
}

static void add_parts(clb_prefix_t *prefix, const apr_array_header_t *parts,
                      clb_role_e role)
{
    int i;

    for (i = 0; i < parts->nelts; i++) {
        add_part(prefix, &APR_ARRAY_IDX(parts, i, clb_part_t), role);
    }
}

void clb_prefix_turns(clb_prefix_t *prefix, clb_chat_t *chat, int from, int to)
{
    const apr_array_header_t *turns = clb_chat_turns(chat);
    int i;

    for (i = from; i < to; i++) {
        const clb_message_t *turn = &APR_ARRAY_IDX(turns, i, clb_message_t);

        begin_turn(prefix, turn->role);
        add_parts(prefix, turn->parts, turn->role);
        end_turn(prefix);
    }
}

void clb_prefix_answer(clb_prefix_t *prefix)
{
    begin_turn(prefix, CLB_ROLE_ASSISTANT);
}

void clb_prefix_event(clb_prefix_t *prefix, const clb_event_t *event)
{
    switch (event->kind) {
    case CLB_EV_TEXT:
        piece(prefix, event->u.text.data, event->u.text.len);
        break;
    case CLB_EV_CALL:
        begin_call(prefix, event->u.call.id, event->u.call.name);
        prefix->in_call = 1;
        break;
    case CLB_EV_ARGUMENTS:
        clb_buf_add(&prefix->arguments, event->u.text.data,
                    event->u.text.len);
        break;
    default:
        break;
    }
}

void clb_prefix_answered(clb_prefix_t *prefix)
{
    end_turn(prefix);
}

void clb_prefix_digest(const clb_prefix_t *prefix,
                       unsigned char digest[CLB_SHA256_SIZE])
{
    clb_sha256_t sum = prefix->sum;

    clb_sha256_add(&sum, prefix->ids.data, prefix->ids.len);
    clb_sha256_end(&sum, digest);
}
