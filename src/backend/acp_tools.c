/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's tools for agents, which take tools from MCP servers alone. The
 * server is a script of ours: it says what a scratch file says, and to a call
 * only what it was called with. Whoever asks for permission before a call does
 * not get it. The client makes the call; nothing here runs anything.
 */
#include "acp.h"
#include "tools.h"

#include <apr_strings.h>
#include <string.h>

/* The agents put up to nine characters before it, and take no more than 63. */
#define NAME_LEN 54

/* sh alone is there on every machine. A program of our own would have to be
 * built and found; an endpoint of the server's to be reached and guarded.
 * Sessions are not closed, so each script ends the one before; the kernel is
 * asked first who has its number by now. A line of JSON is a string of JSON
 * once quotes and backslashes have a backslash. */
const char clb_acp_script[] =
    "{ IFS= read -r last <../tools.pid\n"
    "IFS= read -r who <\"/proc/$last/cmdline\"; } 2>/dev/null\n"
    "case $who in *../tools.sh*) kill \"$last\" ;; esac\n"
    "echo $$ >../tools.pid\n"
    "while IFS= read -r line; do\n"
    "    id=${line##*\\\"id\\\":}\n"
    "    id=${id%%[!0-9]*}\n"
    "    case $line in\n"
    "    '{\"method\":\"tools/call\"'*)\n"
    "        line=$(printf %s \"$line\" | sed 's/[\\\"]/\\\\&/g')\n"
    "        result='{\"content\":[{\"type\":\"text\",\"text\":\"'$line"
    "'\"}]}'\n"
    "        ;;\n"
    "    *'\"method\":\"initialize\"'*)\n"
    "        result='{\"protocolVersion\":\"2025-06-18\",\"capabilities\":"
    "{\"tools\":{}},\"serverInfo\":{\"name\":\"" CLB_ACP_SERVER "\","
    "\"version\":\"1\"}}'\n"
    "        ;;\n"
    "    *'\"method\":\"tools/list\"'*)\n"
    "        result=$(cat ../tools.json)\n"
    "        ;;\n"
    "    *'\"method\":\"notifications/'*)\n"
    "        continue\n"
    "        ;;\n"
    "    *)\n"
    "        result='{}'\n"
    "        ;;\n"
    "    esac\n"
    "    printf '{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":%s}\\n'"
    " \"$id\" \"$result\"\n"
    "done\n";

/* Sessions may share a server that was started by the same words, and with it
 * the tools of another client. */
clb_json_t *clb_acp_servers(apr_uint64_t tools, apr_pool_t *pool)
{
    clb_json_t *list = clb_json_pack(pool, "[]");

    if (tools > 0) {
        clb_json_append(list, clb_json_pack(pool, "{s:s, s:s, s:[s,s], s:[]}",
            "name", CLB_ACP_SERVER, "command", "/bin/sh", "args",
            "../tools.sh", apr_psprintf(pool, "%" APR_UINT64_T_FMT, tools),
            "env"));
    }
    return list;
}

static int fits(const clb_chat_t *chat, const char *name)
{
    return clb_tool_plain(name, NAME_LEN);
}

int clb_acp_offers(const clb_chat_t *chat)
{
    return chat->tools->nelts > 0 && chat->choice != CLB_CHOICE_NONE;
}

/* Qwen Code drops tools without a word on them. */
static const char *describe(const clb_tool_t *tool)
{
    return tool->description != NULL && *tool->description != '\0'
         ? tool->description : tool->name;
}

const char *clb_acp_tools(const clb_chat_t *chat, apr_pool_t *pool)
{
    clb_json_t *list = clb_json_pack(pool, "[]"), *schema;
    const char *why;
    int i;

    for (i = 0; i < chat->tools->nelts && clb_acp_offers(chat); i++) {
        const clb_tool_t *tool = &APR_ARRAY_IDX(chat->tools, i, clb_tool_t);

        if (clb_json_parse(&schema, tool->schema, strlen(tool->schema),
                           CLB_JSON_LENIENT, &why, pool) != APR_SUCCESS) {
            continue;
        }
        clb_json_append(list, clb_json_pack(pool, "{s:s, s:s, s:O}", "name",
            clb_tool_at(chat, i, fits, pool), "description",
            describe(tool), "inputSchema", schema));
    }
    return clb_json_text(pool, clb_json_pack(pool, "{s:O}", "tools", list));
}

const char *clb_acp_tool_name(const clb_chat_t *chat, const char *name,
                              apr_pool_t *pool)
{
    return clb_tool_name(chat, name, fits, pool);
}

const char *clb_acp_asked(const clb_chat_t *chat, const char *name,
                          apr_pool_t *pool)
{
    return clb_acp_offers(chat) ? clb_tool_asked(chat, name, fits, pool)
                                : NULL;
}
