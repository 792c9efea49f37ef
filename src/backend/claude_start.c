/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the driver claude starts its CLI: with everything off that is not asked
 * for.
 */
#include "claude.h"

#include <apr_strings.h>
#include <string.h>

/* Requests of one turn, where the CLI has tools of its own. */
#define OWN_TURNS "16"

static const char *const first[] = {
    "-p", "--input-format", "stream-json", "--output-format", "stream-json",
    "--verbose", "--include-partial-messages",
    "--strict-mcp-config", "--setting-sources", "",
    "--no-session-persistence", "--disable-slash-commands",
    "--agent", "bridge", NULL
};

static const char *const no_tools[] = {
    "--tools", "", "--max-turns", "1", NULL
};

const char *const clb_claude_env[] = {
    /* each session would ask the model for a title, and write telemetry */
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
    "DISABLE_AUTOUPDATER=1",
    /* "@/etc/hostname" in a prompt would send that file to the model */
    "CLAUDE_CODE_DISABLE_ATTACHMENTS=1",
    /* so would what the home has of the working directory's projects */
    "CLAUDE_CODE_DISABLE_AUTO_MEMORY=1",
    /* a broken stream would be asked again silently and doubled */
    "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK=1",
    "CLAUDE_CODE_MAX_RETRIES=1",
    /* whether a prompt is too long is for the model's API to say */
    "CLAUDE_CODE_BLOCKING_LIMIT_OVERRIDE=100000000",
    "DISABLE_COMPACT=1",
    "DISABLE_AUTO_COMPACT=1",
    "CLAUDE_AGENT_SDK_MCP_NO_PREFIX=1",
    NULL
};

const char *const clb_claude_web[] = { "WebFetch", "WebSearch", NULL };

static const char *const login[] = { "auth", "login", NULL };

const clb_setup_t clb_claude_setup = {
    "@anthropic-ai/claude-code", login, "CLAUDE_CONFIG_DIR"
};

void clb_claude_args(const clb_start_t *start, apr_array_header_t *argv)
{
    const apr_array_header_t *own = start->backend->tools;
    const char *names = apr_array_pstrcat(argv->pool, own, ',');
    const char *const tools[] = {
        "--tools", names, "--allowedTools", names, "--max-turns", OWN_TURNS,
        NULL
    };

    clb_args_add(argv, first);
    clb_args_add(argv, own->nelts > 0 ? tools : no_tools);
}
