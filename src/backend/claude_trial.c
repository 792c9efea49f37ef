/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the driver claude's CLI is tested before it serves: the variables that
 * put our stub in the place of its model, and what that says.
 */
#include "claude.h"

/* Nobody listens there. */
#define NOWHERE "http://127.0.0.1:9"

/* The key wins over every login, but with an expired one in its HOME the CLI
 * would still try to refresh that, unless it has a token, too. What an operator
 * may have set on purpose to change requests is left out. */
static const clb_setting_t trial_env[] = {
    { "ANTHROPIC_BASE_URL", NULL },
    { "ANTHROPIC_API_KEY", "sk-ant-canary" },
    { "CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-canary" },
    { "ANTHROPIC_AUTH_TOKEN", "" }, { "ANTHROPIC_CUSTOM_HEADERS", "" },
    { "ANTHROPIC_UNIX_SOCKET", "" }, { "ANTHROPIC_BETAS", "" },
    { "CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR", "" },
    { "CLAUDE_CODE_OAUTH_TOKEN_FILE_DESCRIPTOR", "" },
    { "CLAUDE_CODE_CLIENT_CERT", "" }, { "CLAUDE_CODE_CLIENT_KEY", "" },
    { "CLAUDE_CODE_USE_BEDROCK", "" }, { "CLAUDE_CODE_USE_VERTEX", "" },
    { "CLAUDE_CODE_USE_FOUNDRY", "" }, { "CLAUDE_CODE_USE_MANTLE", "" },
    { "CLAUDE_CODE_USE_ANTHROPIC_AWS", "" },
    { "CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD", "" },
    { "CLAUDE_CODE_USE_GATEWAY", "" },
    { "HTTP_PROXY", NOWHERE }, { "http_proxy", NOWHERE },
    { "HTTPS_PROXY", NOWHERE }, { "https_proxy", NOWHERE },
    { "ALL_PROXY", NOWHERE }, { "all_proxy", NOWHERE },
    { "NO_PROXY", "127.0.0.1" }, { "no_proxy", "127.0.0.1" },
    { "MAX_THINKING_TOKENS", "" }, { "CLAUDE_CODE_MAX_OUTPUT_TOKENS", "" },
    { "CLAUDE_CODE_EXTRA_BODY", "" }, { "CLAUDE_CODE_EXTRA_METADATA", "" },
    { "CLAUDE_CODE_ATTRIBUTION_HEADER", "" }, { "CLAUDE_CODE_SIMPLE", "" },
    { "DISABLE_PROMPT_CACHING", "" }, { "SHELL", "" }, { NULL, NULL }
};

/* Of its own tools a version's description is the vendor's business. */
static void adapt(const clb_backend_t *backend, clb_json_t *pattern,
                  apr_pool_t *pool)
{
    clb_json_t *tools = clb_json_pack(pool, "[]");
    int i;

    for (i = 0; i < backend->tools->nelts; i++) {
        clb_json_append(tools, clb_json_pack(pool, "{s:s, s:{s:b}, s:{s:b}}",
            "name", APR_ARRAY_IDX(backend->tools, i, const char *),
            "description?", "$any", 1, "input_schema?", "$any", 1));
    }
    clb_json_set(pattern, "tools", tools);
}

#define SSE(type, members) "event: " type "\ndata: {\"type\":\"" type "\"" \
    members "}\n\n"

const clb_trial_t clb_claude_trial = {
    .env = trial_env,
    .path = "/v1/messages?beta=true",
    .answer =
        SSE("message_start", ",\"message\":{\"id\":\"msg_1\",\"type\":"
            "\"message\",\"role\":\"assistant\",\"model\":\"canary\","
            "\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
            "\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}")
        SSE("content_block_start", ",\"index\":0,\"content_block\":{"
            "\"type\":\"text\",\"text\":\"\"}")
        SSE("content_block_delta", ",\"index\":0,\"delta\":{\"type\":"
            "\"text_delta\",\"text\":\"ok\"}")
        SSE("content_block_stop", ",\"index\":0")
        SSE("message_delta", ",\"delta\":{\"stop_reason\":\"end_turn\","
            "\"stop_sequence\":null},\"usage\":{\"output_tokens\":1}")
        SSE("message_stop", ""),
    .adapt = adapt,
};
