/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's tools in the CLI: it takes us for an MCP server that has them,
 * and asks before it uses one; the answer "defer" ends the turn after one
 * request to the model. No tool is ever run, neither by the CLI nor by us.
 */
#include "claude.h"
#include "tools.h"

#include <apr_strings.h>
#include <string.h>

/* The CLI takes 128, but not every cloud that serves the model does. */
#define NAME_LEN 64

/* A tool of this name makes the CLI hide all others behind it. */
#define HIDES "ToolSearch"

/* Tools that an error names, and dots. */
#define LOST_MAX 6

/* The CLI cuts longer descriptions. */
#define DESCRIPTION_LEN 2000

int clb_claude_own(const clb_chat_t *chat, const char *name)
{
    int i;

    for (i = 0; name != NULL && chat != NULL && chat->own != NULL
                && i < chat->own->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(chat->own, i, const char *), name) == 0) {
            return 1;
        }
    }
    return 0;
}

static int fits(const clb_chat_t *chat, const char *name)
{
    return clb_tool_plain(name, NAME_LEN) && strcmp(name, HIDES) != 0
        && !clb_claude_own(chat, name);
}

static const char *name_of(const clb_chat_t *chat, int i, apr_pool_t *pool)
{
    return clb_tool_at(chat, i, fits, pool);
}

const char *clb_claude_tool(const clb_chat_t *chat, const char *name,
                            apr_pool_t *pool)
{
    return clb_tool_name(chat, name, fits, pool);
}

const char *clb_claude_asked(const clb_chat_t *chat, const char *name,
                             apr_pool_t *pool)
{
    return clb_tool_asked(chat, name, fits, pool);
}

/* Tools that must not be called now are offered only if the history has
 * calls: the vendor's API wants to know what those were of. */
int clb_claude_offers(const clb_chat_t *chat)
{
    return chat->tools->nelts > 0
        && (chat->choice != CLB_CHOICE_NONE
            || clb_chat_has(chat, CLB_PART_CALL));
}

static int is_long(const clb_tool_t *tool)
{
    return tool->description != NULL
        && strlen(tool->description) > DESCRIPTION_LEN;
}

const char *clb_claude_manual(const clb_chat_t *chat, apr_pool_t *pool)
{
    const char *text = NULL;
    int i;

    for (i = 0; i < chat->tools->nelts && clb_claude_offers(chat); i++) {
        const clb_tool_t *tool = &APR_ARRAY_IDX(chat->tools, i, clb_tool_t);

        if (is_long(tool)) {
            text = apr_pstrcat(pool, text == NULL ? "" : text,
                               text == NULL ? "" : "\n\n", "The tool ",
                               name_of(chat, i, pool), ": ",
                               tool->description, NULL);
        }
    }
    return text;
}

/* Take the place of a member that is null, or else would be as good as none. */
static void tidy(clb_json_t *schema, const char *key, const clb_json_t *value)
{
    if (clb_json_member(schema, key) != NULL) {
        clb_json_set(schema, key, value);
    }
}

/* The CLI wants a schema to say that it is of an object and nothing else, and
 * members of the right type or none: else it takes no tool at all. */
static const clb_json_t *schema_of(const clb_tool_t *tool, apr_pool_t *pool)
{
    const char *why;
    clb_json_t *schema;

    clb_json_parse(&schema, tool->schema, strlen(tool->schema),
                   CLB_JSON_LENIENT, &why, pool);
    clb_json_set(schema, "type", clb_json_pack(pool, "s", "object"));
    if (clb_json_size(clb_json_get(schema, "properties")) == 0) {
        tidy(schema, "properties", clb_json_pack(pool, "{}"));
    }
    if (clb_json_get(schema, "required") == NULL) {
        tidy(schema, "required", clb_json_pack(pool, "[]"));
    }
    return schema;
}

static int names(const clb_json_t *list, const char *name)
{
    apr_size_t i;

    for (i = 0; i < clb_json_size(list); i++) {
        const char *item = clb_json_string(clb_json_at(list, i));

        if (item != NULL && strcmp(item, name) == 0) {
            return 1;
        }
    }
    return 0;
}

const char *clb_claude_lost(const clb_chat_t *chat, const clb_json_t *taken,
                            apr_pool_t *pool)
{
    const char *lost = NULL;
    int i, n = 0;

    /* the CLI has no others but its own, and writes "Agent" as "Task" */
    if (!clb_claude_offers(chat)
        || clb_json_size(taken) >= (apr_size_t)(chat->tools->nelts
            + (chat->own == NULL ? 0 : chat->own->nelts))) {
        return NULL;
    }
    for (i = 0; i < chat->tools->nelts; i++) {
        if (!names(taken, name_of(chat, i, pool)) && n++ < LOST_MAX) {
            lost = apr_pstrcat(pool, lost == NULL ? "" : lost, lost == NULL
                ? "" : ", ", n == LOST_MAX ? "..."
                : APR_ARRAY_IDX(chat->tools, i, clb_tool_t).name, NULL);
        }
    }
    return lost;
}

static clb_json_t *list(const clb_chat_t *chat, apr_pool_t *pool)
{
    clb_json_t *tools = clb_json_pack(pool, "[]");
    int i;

    for (i = 0; chat != NULL && i < chat->tools->nelts; i++) {
        const clb_tool_t *tool = &APR_ARRAY_IDX(chat->tools, i, clb_tool_t);

        clb_json_append(tools, clb_json_pack(pool, "{s:s, s:s*, s:O}",
            "name", name_of(chat, i, pool), "description", is_long(tool)
            ? "The system prompt describes this tool." : tool->description,
            "inputSchema", schema_of(tool, pool)));
    }
    return clb_json_pack(pool, "{s:O}", "tools", tools);
}

/* The result of an MCP request, NULL when it is one we do not know. */
static clb_json_t *result_of(const char *method, const clb_chat_t *chat,
                             const clb_json_t *message, apr_pool_t *pool)
{
    const char *version = clb_json_string(clb_json_find(message,
                                          "params.protocolVersion"));

    if (strcmp(method, "initialize") == 0) {
        return clb_json_pack(pool, "{s:s, s:{s:{}}, s:{s:s, s:s}}",
            "protocolVersion", version == NULL ? "2025-06-18" : version,
            "capabilities", "tools", "serverInfo", "name", "c",
            "version", "1");
    }
    if (strcmp(method, "tools/list") == 0) {
        return list(chat, pool);
    }
    return strncmp(method, "notifications/", 14) == 0
        || strcmp(method, "ping") == 0 ? clb_json_pack(pool, "{}") : NULL;
}

clb_json_t *clb_claude_mcp(const clb_chat_t *chat, const clb_json_t *message,
                           apr_pool_t *pool)
{
    const char *method = clb_json_get_string(message, "method");
    const clb_json_t *id = clb_json_get(message, "id");
    clb_json_t *result = method == NULL ? NULL
                       : result_of(method, chat, message, pool);
    clb_json_t *answer = clb_json_pack(pool, "{s:s}", "jsonrpc", "2.0");

    clb_json_set(answer, "id", id != NULL ? id : clb_json_pack(pool, "i", 0));
    if (result != NULL) {
        clb_json_set(answer, "result", result);
    }
    else {
        clb_json_set(answer, "error", clb_json_pack(pool, "{s:i, s:s}",
                     "code", -32601, "message", "not available"));
    }
    return clb_json_pack(pool, "{s:O}", "mcp_response", answer);
}

clb_json_t *clb_claude_choice(const clb_chat_t *chat, apr_pool_t *pool)
{
    static const char *const types[] = {
        [CLB_CHOICE_AUTO] = "auto", [CLB_CHOICE_NONE] = "none",
        [CLB_CHOICE_REQUIRED] = "any", [CLB_CHOICE_NAMED] = "tool"
    };
    clb_json_t *choice;

    if (!clb_claude_offers(chat)
        || (chat->choice == CLB_CHOICE_AUTO && !chat->one_call)) {
        return NULL;
    }
    choice = clb_json_pack(pool, "{s:s, s:s*}", "type", types[chat->choice],
        "name", chat->choice != CLB_CHOICE_NAMED ? NULL
        : clb_claude_tool(chat, chat->chosen, pool));
    if (chat->one_call && chat->choice != CLB_CHOICE_NONE) {
        clb_json_set(choice, "disable_parallel_tool_use",
                     clb_json_pack(pool, "b", 1));
    }
    return choice;
}
