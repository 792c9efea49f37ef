/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the driver codex starts its CLI: as a server of JSON lines, with a
 * provider of ours, so that nothing is tried again silently, and with
 * everything off that is not asked for. How it is tested before it serves.
 */
#include "codex.h"

#include <apr_strings.h>

#define CATALOG "catalog.json"

/* What the CLI knows of models, in place of its own list: an empty slug is the
 * beginning of every name. No tools, no text of its own, nothing cut, and as
 * long as no size of a context is given, nothing summed up behind our back. */
const clb_gift_t clb_codex_gifts[] = {
    { .name = CATALOG, .text =
      "{\"models\":[{\"slug\":\"\",\"display_name\":\"\","
      "\"supported_reasoning_levels\":[],\"shell_type\":\"disabled\","
      "\"visibility\":\"list\",\"supported_in_api\":true,\"priority\":1,"
      "\"support_verbosity\":false,\"truncation_policy\":{\"mode\":\"tokens\","
      "\"limit\":100000000},\"experimental_supported_tools\":[],"
      "\"base_instructions\":\"\",\"default_reasoning_summary\":\"auto\"}]}" },
    /* of the CLI's own directory nothing but the login: its settings would
     * start MCP servers and other programs, its memory files be sent */
    { .name = "auth.json", .target = ".codex/auth.json" },
    { .name = "installation_id", .target = ".codex/installation_id" },
    { .name = NULL }
};

#define BIN(platform, target) "codex-linux-" platform "/vendor/" target \
    "-unknown-linux-musl/bin/codex"

/* npm's program is a script that starts the binary of its platform's package,
 * which npm puts beside the package or into it. */
const char *const clb_codex_natives[] = {
    "../node_modules/@openai/" BIN("x64", "x86_64"),
    "../../" BIN("x64", "x86_64"),
    "../node_modules/@openai/" BIN("arm64", "aarch64"),
    "../../" BIN("arm64", "aarch64"),
    NULL
};

const char *const clb_codex_env[] = { NULL };

static const char *const login[] = { "login", NULL };

const clb_setup_t clb_codex_setup = { "@openai/codex", login, "CODEX_HOME" };

#define SET(value) "-c", value
#define PROVIDER "model_providers.clibridge"

static const char *const fixed[] = {
    "app-server",
    SET("model_provider=\"clibridge\""),
    SET(PROVIDER "={name=\"clibridge\",wire_api=\"responses\","
        "requires_openai_auth=true,supports_websockets=false,"
        "request_max_retries=0,stream_max_retries=0,"
        "stream_idle_timeout_ms=3600000}"),
    SET("features.unbounded_connection_retries=false"),
    SET("thread_unload_delay_secs=0"),
    SET("include_environment_context=false"),
    SET("include_permissions_instructions=false"),
    SET("include_apps_instructions=false"),
    SET("include_collaboration_mode_instructions=false"),
    SET("skills.include_instructions=false"),
    SET("skills.bundled.enabled=false"),
    SET("project_doc_max_bytes=0"),
    SET("web_search=\"disabled\""),
    SET("tools.experimental_request_user_input.enabled=false"),
    SET("agents.enabled=false"),
    SET("analytics.enabled=false"),
    "--disable", "shell_tool", "--disable", "unified_exec",
    "--disable", "view_image", "--disable", "goals",
    "--disable", "multi_agent", "--disable", "apps",
    "--disable", "plugins", "--disable", "tool_suggest",
    "--disable", "image_generation", "--disable", "sleep_tool",
    "--disable", "skill_search", "--disable", "hooks",
    "--disable", "shell_snapshot",
    NULL
};

/* A value as TOML writes it, whose strings are JSON's. */
static void set(apr_array_header_t *argv, const char *key, const char *value)
{
    clb_buf_t text;

    clb_buf_init(&text, argv->pool, 128);
    clb_buf_puts(&text, key);
    clb_buf_puts(&text, "=");
    value = clb_utf8_clean(argv->pool, value, strlen(value), NULL);
    clb_json_quote(&text, value, strlen(value));
    APR_ARRAY_PUSH(argv, const char *) = "-c";
    APR_ARRAY_PUSH(argv, const char *) = text.data;
}

void clb_codex_args(const clb_start_t *start, apr_array_header_t *argv)
{
    const char *url = clb_start_var(start, "OPENAI_BASE_URL");
    const char *key = clb_start_var(start, "OPENAI_API_KEY");

    clb_args_add(argv, fixed);
    /* its databases, of which the log grows with each turn */
    set(argv, "sqlite_home", apr_pstrcat(argv->pool, start->dir, "/tmp",
                                         NULL));
    if (url != NULL && *url != '\0') {
        set(argv, PROVIDER ".base_url", url);
    }
    if (key != NULL && *key != '\0') {
        set(argv, PROVIDER ".env_key", "OPENAI_API_KEY");
        APR_ARRAY_PUSH(argv, const char *) = "-c";
        APR_ARRAY_PUSH(argv, const char *) = PROVIDER
            ".requires_openai_auth=false";
    }
}

/* Another list might have tools for models that the test does not ask. */
void clb_codex_last_args(const clb_start_t *start, apr_array_header_t *argv)
{
    set(argv, "model_catalog_json", apr_pstrcat(argv->pool, start->dir, "/",
                                                CATALOG, NULL));
}

/* Nobody listens there. */
#define NOWHERE "http://127.0.0.1:9"

static const clb_setting_t trial_env[] = {
    { "OPENAI_BASE_URL", NULL },
    { "OPENAI_API_KEY", "sk-canary" },
    { "HTTP_PROXY", NOWHERE }, { "http_proxy", NOWHERE },
    { "HTTPS_PROXY", NOWHERE }, { "https_proxy", NOWHERE },
    { "ALL_PROXY", NOWHERE }, { "all_proxy", NOWHERE },
    { "NO_PROXY", "127.0.0.1" }, { "no_proxy", "127.0.0.1" },
    { NULL, NULL }
};

#define SSE(type, members) "event: " type "\ndata: {\"type\":\"" type "\"" \
    members "}\n\n"
#define MESSAGE(text) "{\"type\":\"message\",\"id\":\"msg_1\",\"role\":" \
    "\"assistant\",\"status\":\"completed\",\"content\":[{\"type\":" \
    "\"output_text\",\"text\":\"" text "\",\"annotations\":[]}]}"

static void adapt(const clb_backend_t *backend, clb_json_t *pattern,
                  apr_pool_t *pool)
{
}

const clb_trial_t clb_codex_trial = {
    .env = trial_env,
    .path = "/responses",
    .answer =
        SSE("response.created", ",\"response\":{\"id\":\"resp_1\"}")
        SSE("response.output_item.added", ",\"output_index\":0,\"item\":"
            "{\"type\":\"message\",\"id\":\"msg_1\",\"role\":\"assistant\","
            "\"status\":\"in_progress\",\"content\":[]}")
        SSE("response.output_text.delta", ",\"item_id\":\"msg_1\","
            "\"output_index\":0,\"content_index\":0,\"delta\":\"ok\"")
        SSE("response.output_item.done", ",\"output_index\":0,\"item\":"
            MESSAGE("ok"))
        SSE("response.completed", ",\"response\":{\"id\":\"resp_1\","
            "\"usage\":{\"input_tokens\":1,\"input_tokens_details\":"
            "{\"cached_tokens\":0},\"output_tokens\":1,"
            "\"output_tokens_details\":{\"reasoning_tokens\":0},"
            "\"total_tokens\":2}}"),
    .adapt = adapt,
};
