/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the driver codex writes: requests of the CLI's app-server protocol, and
 * the conversation as items of the Responses API, which reach the model
 * verbatim (thread/inject_items). Measured with 0.169.0 and 0.171.0.
 */
#include "codex.h"
#include "tools.h"

#include <apr_strings.h>
#include <string.h>

/* The CLI takes 128; models' APIs take 64. */
#define NAME_LEN 64

/* Of a schema of more than 5,000 bytes, when it has written types into it, the
 * CLI leaves out descriptions, then definitions and what is nested deeply. */
#define SCHEMA_LEN 4000

/* A thread must have a model, although each turn names its own. */
#define ANY_MODEL "x"

/* The protocol knows schemas, but no way to ask for any object. */
#define JSON_ONLY "Answer with one JSON object and nothing else: no " \
    "explanation, no code fence."

static void put(clb_step_t *out, const clb_json_t *json)
{
    clb_json_write(&out->lines, json);
    clb_buf_puts(&out->lines, "\n");
}

static void request(clb_step_t *out, const char *id, const char *method,
                    const clb_json_t *params)
{
    put(out, clb_json_pack(out->pool, "{s:s, s:s, s:O}", "id", id, "method",
                           method, "params", params));
}

/* What it would say that nobody needs; it costs time to read. */
static clb_json_t *unwanted(apr_pool_t *pool)
{
    static const char *const methods[] = {
        "thread/started", "thread/status/changed", "thread/closed",
        "thread/settings/updated", "turn/started", "item/started",
        "item/completed", "serverRequest/resolved", "configWarning",
        "warning", "deprecationNotice", "skills/changed", "app/list/updated",
        "mcpServer/startupStatus/updated", "remoteControl/status/changed",
        NULL
    };
    clb_json_t *list = clb_json_pack(pool, "[]");
    int i;

    for (i = 0; methods[i] != NULL; i++) {
        clb_json_append(list, clb_json_pack(pool, "s", methods[i]));
    }
    return list;
}

void clb_codex_hello(clb_step_t *out)
{
    request(out, CLB_CODEX_HELLO, "initialize", clb_json_pack(out->pool,
        "{s:{s:s, s:s}, s:{s:b, s:O}}", "clientInfo", "name", "clibridge",
        "version", "1", "capabilities", "experimentalApi", 1,
        "optOutNotificationMethods", unwanted(out->pool)));
}

void clb_codex_ready(clb_step_t *out)
{
    put(out, clb_json_pack(out->pool, "{s:s}", "method", "initialized"));
}

/* --- tools --- */

/* Tools of these names the CLI takes for its own, and drops them. */
static int fits(const clb_chat_t *chat, const char *name)
{
    return clb_tool_plain(name, NAME_LEN) && strcmp(name, "exec_command") != 0
        && strcmp(name, "shell_command") != 0
        && strncmp(name, "mcp__", 5) != 0;
}

int clb_codex_offers(const clb_chat_t *chat)
{
    return chat->tools->nelts > 0 && chat->choice != CLB_CHOICE_NONE;
}

const char *clb_codex_asked(const clb_chat_t *chat, const char *name,
                            apr_pool_t *pool)
{
    return clb_tool_asked(chat, name, fits, pool);
}

/* What of a schema the CLI does not pass on, though it means something: it
 * leaves out annotations, too. */
static const char *const dropped[] = {
    "format", "pattern", "minLength", "maxLength", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "maxItems",
    "uniqueItems", "not", "patternProperties", "definitions"
};

#define DROPPED (sizeof(dropped) / sizeof(*dropped))

/* Members of "properties" and its like are names, not keywords. */
static int is_map(const char *keyword)
{
    return strcmp(keyword, "properties") == 0 || strcmp(keyword, "$defs") == 0
        || strcmp(keyword, "definitions") == 0;
}

/* What it holds is no schema. */
static int is_value(const char *keyword)
{
    return strcmp(keyword, "default") == 0 || strcmp(keyword, "const") == 0
        || strcmp(keyword, "enum") == 0 || strcmp(keyword, "examples") == 0;
}

/* Bits of the dropped keywords that @a schema has. */
static unsigned drops_of(const clb_json_t *schema, int names)
{
    unsigned found = 0, i;
    clb_json_t *value;
    const char *key;
    void *at = NULL;
    apr_size_t n;

    for (n = 0; n < clb_json_size(schema) && clb_json_is_array(schema); n++) {
        found |= drops_of(clb_json_at(schema, n), 0);
    }
    while (clb_json_is_object(schema)
           && (at = clb_json_next(schema, at, &key, &value)) != NULL) {
        for (i = 0; i < DROPPED && !names; i++) {
            found |= strcmp(key, dropped[i]) == 0 ? 1u << i : 0;
        }
        found |= !names && is_value(key) ? 0
               : drops_of(value, !names && is_map(key));
    }
    return found;
}

const char *clb_codex_drops(const clb_chat_t *chat, apr_pool_t *pool)
{
    const char *list = NULL, *why;
    clb_json_t *schema;
    unsigned found = 0, i;
    int n;

    for (n = 0; n < chat->tools->nelts && clb_codex_offers(chat); n++) {
        const char *text = APR_ARRAY_IDX(chat->tools, n, clb_tool_t).schema;

        if (clb_json_parse(&schema, text, strlen(text), CLB_JSON_LENIENT,
                           &why, pool) == APR_SUCCESS) {
            found |= drops_of(schema, 0);
        }
    }
    for (i = 0; i < DROPPED; i++) {
        if (found & 1u << i) {
            list = apr_pstrcat(pool, list == NULL ? "tools (" : list,
                               list == NULL ? "" : ", ", dropped[i], NULL);
        }
    }
    return list == NULL ? NULL : apr_pstrcat(pool, list, ")", NULL);
}

/* A tool that must be called is the only one that is offered: the protocol has
 * no choice. */
int clb_codex_has(const clb_chat_t *chat, const char *name)
{
    return clb_codex_offers(chat) && clb_chat_tool(chat, name) != NULL
        && (chat->choice != CLB_CHOICE_NAMED
            || strcmp(name, chat->chosen) == 0);
}

static const char *description(const clb_tool_t *tool, apr_pool_t *pool)
{
    const char *text = tool->description == NULL ? "" : tool->description;

    return strlen(tool->schema) <= SCHEMA_LEN ? text
         : apr_pstrcat(pool, text, *text == '\0' ? "" : "\n\n",
                       "The JSON schema of its arguments: ", tool->schema,
                       NULL);
}

static clb_json_t *tools(const clb_chat_t *chat, apr_pool_t *pool)
{
    clb_json_t *list = clb_json_pack(pool, "[]"), *schema;
    const char *why;
    int i;

    for (i = 0; i < chat->tools->nelts; i++) {
        const clb_tool_t *tool = &APR_ARRAY_IDX(chat->tools, i, clb_tool_t);

        if (!clb_codex_has(chat, tool->name)
            || clb_json_parse(&schema, tool->schema, strlen(tool->schema),
                              CLB_JSON_LENIENT, &why, pool) != APR_SUCCESS) {
            continue;
        }
        clb_json_append(list, clb_json_pack(pool, "{s:s, s:s, s:s, s:O}",
            "type", "function", "name", clb_tool_at(chat, i, fits, pool),
            "description", description(tool, pool), "inputSchema", schema));
    }
    return list;
}

/* Calls are seen in raw events alone, and those repeat the whole history. */
void clb_codex_thread(const clb_chat_t *chat, clb_step_t *out)
{
    int offers = chat != NULL && clb_codex_offers(chat);
    clb_json_t *params = clb_json_pack(out->pool,
        "{s:s, s:b, s:s, s:[], s:b}", "model", ANY_MODEL, "ephemeral", 1,
        "baseInstructions", "", "environments", "experimentalRawEvents",
        offers);

    if (offers) {
        clb_json_set(params, "dynamicTools", tools(chat, out->pool));
    }
    request(out, chat == NULL ? CLB_CODEX_SPARE : CLB_CODEX_THREAD,
            "thread/start", params);
}

/* --- the conversation --- */

static clb_json_t *message(const char *role, const clb_json_t *content,
                           apr_pool_t *pool)
{
    return clb_json_pack(pool, "{s:s, s:s, s:O}", "type", "message", "role",
                         role, "content", content);
}

static clb_json_t *text(const char *type, const char *words, apr_pool_t *pool)
{
    return clb_json_pack(pool, "{s:s, s:s}", "type", type, "text", words);
}

static const char *image_url(const clb_part_t *part, apr_pool_t *pool)
{
    return part->url != NULL ? part->url
         : apr_pstrcat(pool, "data:", part->media, ";base64,", part->data,
                       NULL);
}

static clb_json_t *input(const clb_part_t *part, apr_pool_t *pool)
{
    return part->kind != CLB_PART_IMAGE
         ? text("input_text", part->text, pool)
         : clb_json_pack(pool, "{s:s, s:s}", "type", "input_image",
                         "image_url", image_url(part, pool));
}

/* What a tool said: a text if that is all. */
static clb_json_t *output(const clb_part_t *part, apr_pool_t *pool)
{
    const apr_array_header_t *parts = part->parts;
    clb_json_t *list = clb_json_pack(pool, "[]");
    int i;

    if (parts->nelts == 0 || (parts->nelts == 1
        && APR_ARRAY_IDX(parts, 0, clb_part_t).kind == CLB_PART_TEXT)) {
        return clb_json_pack(pool, "s", parts->nelts == 0 ? ""
                             : APR_ARRAY_IDX(parts, 0, clb_part_t).text);
    }
    for (i = 0; i < parts->nelts; i++) {
        clb_json_append(list, input(&APR_ARRAY_IDX(parts, i, clb_part_t),
                                    pool));
    }
    return list;
}

/* The items of a conversation as they are made; parts of one role are one
 * message as long as no call stands between them. */
typedef struct items_t {
    clb_chat_t *chat;
    int turn;
    int results;              /* they are items, too */
    clb_json_t *list;
    clb_json_t *content;      /* of the message that may still grow, or NULL */
    apr_pool_t *pool;
} items_t;

static void add_content(items_t *items, clb_role_e role,
                        const clb_json_t *part)
{
    if (items->content == NULL) {
        items->content = clb_json_pack(items->pool, "[]");
        clb_json_append(items->list, message(role == CLB_ROLE_USER ? "user"
                            : "assistant", items->content, items->pool));
    }
    clb_json_append(items->content, part);
}

static void add_item(items_t *items, const clb_json_t *item)
{
    items->content = NULL;
    clb_json_append(items->list, item);
}

static const char *id_of(const items_t *items, const clb_part_t *part)
{
    return clb_chat_call_id(items->chat, items->turn, part, 0, "call_h",
                            items->pool);
}

static void add_part(items_t *items, clb_role_e role, const clb_part_t *part)
{
    apr_pool_t *pool = items->pool;

    switch (part->kind) {
    case CLB_PART_CALL:
        add_item(items, clb_json_pack(pool, "{s:s, s:s, s:s, s:s}", "type",
            "function_call", "name", clb_tool_name(items->chat, part->name,
            fits, pool), "arguments", clb_chat_arguments(part->text, pool),
            "call_id", id_of(items, part)));
        break;
    case CLB_PART_RESULT:
        if (!items->results) {
            break;
        }
        add_item(items, clb_json_pack(pool, "{s:s, s:s, s:O}", "type",
            "function_call_output", "call_id", id_of(items, part), "output",
            output(part, pool)));
        break;
    case CLB_PART_IMAGE:
        add_content(items, role, input(part, pool));
        break;
    case CLB_PART_REASONING:
        break;      /* signed by another vendor */
    default:
        if (part->text != NULL && *part->text != '\0') {
            add_content(items, role, text(role == CLB_ROLE_USER ? "input_text"
                                          : "output_text", part->text, pool));
        }
        break;
    }
}

/* What only a sentence can ask for. */
static const char *demand(const clb_chat_t *chat, apr_pool_t *pool)
{
    if (!clb_codex_offers(chat)) {
        return NULL;
    }
    return chat->choice == CLB_CHOICE_NAMED
         ? apr_pstrcat(pool, "Call the tool ", clb_tool_name(chat,
                       chat->chosen, fits, pool), " now.", NULL)
         : chat->choice == CLB_CHOICE_REQUIRED
         ? "Call at least one of your tools now." : NULL;
}

/* The CLI drops items of the role system. */
static void add_system(items_t *items)
{
    const clb_chat_t *chat = items->chat;
    const char *texts[] = {
        chat->system, chat->format == CLB_FORMAT_JSON ? JSON_ONLY : NULL,
        demand(chat, items->pool)
    };
    clb_json_t *content = clb_json_pack(items->pool, "[]");
    int i;

    for (i = 0; i < 3; i++) {
        if (texts[i] != NULL) {
            clb_json_append(content, text("input_text", texts[i],
                                          items->pool));
        }
    }
    if (clb_json_size(content) > 0) {
        clb_json_append(items->list, message("developer", content,
                                             items->pool));
    }
}

static clb_json_t *items_of(clb_chat_t *chat, int known, int results,
                            apr_pool_t *pool)
{
    const apr_array_header_t *turns = clb_chat_turns(chat);
    items_t items = { chat, known, results, clb_json_pack(pool, "[]"), NULL,
                      pool };
    int i;

    if (known == 0) {
        add_system(&items);
    }
    for (; items.turn < turns->nelts; items.turn++) {
        const clb_message_t *turn = &APR_ARRAY_IDX(turns, items.turn,
                                                   clb_message_t);

        items.content = NULL;
        for (i = 0; i < turn->parts->nelts; i++) {
            add_part(&items, turn->role, &APR_ARRAY_IDX(turn->parts, i,
                                                        clb_part_t));
        }
    }
    return items.list;
}

/* --- the turn --- */

static const char *effort_of(const clb_chat_t *chat)
{
    return chat->effort == CLB_EFFORT_MAX ? "xhigh"
         : clb_effort_name(chat->effort);
}

static void inject(const char *thread, const clb_json_t *items,
                   clb_step_t *out)
{
    request(out, CLB_CODEX_ITEMS, "thread/inject_items", clb_json_pack(
        out->pool, "{s:s, s:O}", "threadId", thread, "items", items));
}

int clb_codex_add(clb_chat_t *chat, int known, const char *thread,
                  clb_step_t *out)
{
    clb_json_t *items = items_of(chat, known, 0, out->pool);

    if (clb_json_size(items) == 0) {
        return 0;
    }
    inject(thread, items, out);
    return 1;
}

void clb_codex_ask(clb_chat_t *chat, int known, const char *thread,
                   clb_step_t *out)
{
    clb_json_t *turn = clb_json_pack(out->pool, "{s:s, s:[], s:s, s:s*}",
        "threadId", thread, "input", "model", chat->model, "effort",
        effort_of(chat)), *schema;
    const char *why;

    if (chat->format == CLB_FORMAT_SCHEMA
        && clb_json_parse(&schema, chat->schema, strlen(chat->schema),
                          CLB_JSON_LENIENT, &why, out->pool) == APR_SUCCESS) {
        clb_json_set(turn, "outputSchema", schema);
    }
    inject(thread, items_of(chat, known, 1, out->pool), out);
    request(out, CLB_CODEX_TURN, "turn/start", turn);
}

static clb_json_t *result_part(const clb_part_t *part, apr_pool_t *pool)
{
    return part->kind != CLB_PART_IMAGE ? text("inputText", part->text, pool)
         : clb_json_pack(pool, "{s:s, s:s}", "type", "inputImage",
                         "imageUrl", image_url(part, pool));
}

void clb_codex_result(const clb_part_t *part, apr_int64_t id,
                      clb_step_t *out)
{
    clb_json_t *list = clb_json_pack(out->pool, "[]");
    int i;

    for (i = 0; i < part->parts->nelts; i++) {
        clb_json_append(list, result_part(&APR_ARRAY_IDX(part->parts, i,
                                          clb_part_t), out->pool));
    }
    if (part->parts->nelts == 0) {
        clb_json_append(list, text("inputText", "", out->pool));
    }
    put(out, clb_json_pack(out->pool, "{s:I, s:{s:O, s:b}}", "id",
        (long long)id, "result", "contentItems", list, "success",
        !part->failed));
}

void clb_codex_stop(const char *thread, const char *turn, clb_step_t *out)
{
    request(out, CLB_CODEX_STOP, "turn/interrupt", clb_json_pack(out->pool,
        "{s:s, s:s}", "threadId", thread, "turnId", turn));
}

void clb_codex_decline(const clb_json_t *id, clb_step_t *out)
{
    put(out, clb_json_pack(out->pool, "{s:O, s:{s:i, s:s}}", "id", id,
        "error", "code", -32601, "message", "not available"));
}

void clb_codex_leave(const char *thread, clb_step_t *out)
{
    request(out, CLB_CODEX_LEAVE, "thread/unsubscribe", clb_json_pack(
        out->pool, "{s:s}", "threadId", thread));
}
