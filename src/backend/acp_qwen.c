/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Qwen Code: how it is started and tested, and what is its own. Each session
 * reads the settings of its directory, which are a scratch file: the model and
 * its parameters are a request's. Histories have a request of their own.
 * Measured with 0.15.10.
 */
#include "acp.h"

#include <apr_strings.h>
#include <string.h>

enum { SYSTEM, SETTINGS, TOOLS };

/* Of the client's tools. */
#define PREFIX "mcp__" CLB_ACP_SERVER "__"

/* Another version would be brought up to date, by replacing the file. */
#define VERSION "\"$version\":4"

static const clb_scratch_t files[] = {
    { "system.md", "QWEN_SYSTEM_MD", NULL },
    { "w/.qwen/settings.json", NULL, "{" VERSION "}" },
    { "tools.json", NULL, NULL },
    { NULL, NULL, NULL }
};

/* "qwen-auto" is whatever the CLI takes by itself. */
static const char *const models[] = { "qwen*", "coder-*", NULL };

/* --- how it is started --- */

/* It always asks for no more than so much: with a number of its own it would
 * ask again and again for what an answer that was cut off lacks. */
#define MAX_TOKENS 32000

/* Whether a conversation is too long is for the model's API to say: the CLI
 * would sum it up. */
#define WINDOW 100000000

static const char settings_text[] =
    "{" VERSION ",\"privacy\":{\"usageStatisticsEnabled\":false},"
    "\"telemetry\":{\"enabled\":false},"
    "\"general\":{\"enableAutoUpdate\":false,\"chatRecording\":false},"
    "\"disableAllHooks\":true,"
    "\"memory\":{\"enableManagedAutoMemory\":false,"
    "\"enableManagedAutoDream\":false},"
    "\"context\":{\"fileName\":\"no-such-file\"},"
    "\"tools\":{\"core\":[\"none\"],\"approvalMode\":\"default\","
    "\"toolSearch\":{\"enabled\":false}},"
    "\"skills\":{\"disabledLevels\":[\"project\",\"user\",\"extension\","
    "\"bundled\"]},"
    "\"ui\":{\"enableFollowupSuggestions\":false},"
    "\"permissions\":{\"deny\":[\"tool_search\",\"agent\",\"task_stop\","
    "\"send_message\",\"skill\",\"ask_user_question\",\"exit_plan_mode\","
    "\"enter_plan_mode\",\"enter_worktree\",\"exit_worktree\",\"get_goal\","
    "\"update_goal\",\"list_agents\",\"tool_call\",\"record_artifact\","
    "\"report_findings\"]},"
    "\"model\":{\"skipStartupContext\":true,"
    "\"generationConfig\":{\"maxRetries\":0,\"modalities\":{\"image\":true,"
    "\"pdf\":true},"
    "\"samplingParams\":{\"max_tokens\":32000}}}}";

static const clb_gift_t gifts[] = {
    { .name = "settings.json", .text = settings_text },
    { .name = "oauth_creds.json", .target = ".qwen/oauth_creds.json" },
    /* an empty one, or the model is told which language to speak */
    { .name = "w/.qwen/output-language.md", .text = "" },
    { .name = "tools.sh", .text = clb_acp_script },
    { .name = NULL }
};

/* It records no conversation, but for what a failure was about. */
static const char *const swept[] = { "tmp", NULL };

static const char *const env[] = {
    "QWEN_CODE_NO_RELAUNCH=1",
    "QWEN_DEBUG_LOG_FILE=0",
    "QWEN_CODE_LEGACY_MCP_BLOCKING=1",
    "NO_COLOR=1",
    NULL
};

static const char *const login_command[] = { "auth", NULL };

static const clb_setup_t setup = {
    "@qwen-code/qwen-code", login_command, "QWEN_HOME"
};

void clb_acp_qwen_args(const clb_start_t *start, apr_array_header_t *argv)
{
    static const char *const key[] = {
        "--acp", "--auth-type", "openai", NULL
    };
    static const char *const login[] = {
        "--acp", "--auth-type", "qwen-oauth", NULL
    };

    clb_args_add(argv, clb_start_var(start, "OPENAI_API_KEY") != NULL ? key
                                                                      : login);
}

/* --- the settings of a session --- */

static clb_json_t *sampling(const clb_chat_t *chat, apr_pool_t *pool)
{
    static const char *const names[] = {
        "temperature", "top_p", "top_k", "max_tokens"
    };
    clb_json_t *params = clb_json_pack(pool, "{s:i}", "max_tokens",
                                       MAX_TOKENS);

    clb_acp_sampling(params, chat, names, pool);
    return params;
}

/* As OpenAI's models are told, and as Qwen's are. */
static void set_reasoning(clb_json_t *body, const clb_chat_t *chat,
                          apr_pool_t *pool)
{
    int budget = clb_chat_given(chat, CLB_BUDGET);

    if (chat->effort == CLB_EFFORT_NONE || (budget && chat->budget == 0)) {
        clb_json_set(body, "enable_thinking", clb_json_pack(pool, "b", 0));
    }
    else if (budget) {
        clb_json_set(body, "enable_thinking", clb_json_pack(pool, "b", 1));
        clb_json_set(body, "thinking_budget", clb_json_pack(pool, "I",
                     (long long)chat->budget));
    }
    else if (chat->effort != CLB_EFFORT_UNSET) {
        clb_json_set(body, "reasoning_effort", clb_json_pack(pool, "s",
            chat->effort >= CLB_EFFORT_XHIGH ? "high"
            : clb_effort_name(chat->effort)));
    }
}

static void set_tools(clb_json_t *body, const clb_chat_t *chat,
                      apr_pool_t *pool)
{
    if (!clb_acp_offers(chat)) {
        return;
    }
    if (chat->one_call) {
        clb_json_set(body, "parallel_tool_calls", clb_json_pack(pool, "b", 0));
    }
    if (chat->choice == CLB_CHOICE_REQUIRED) {
        clb_json_set(body, "tool_choice", clb_json_pack(pool, "s",
                                                        "required"));
    }
    else if (chat->choice == CLB_CHOICE_NAMED) {
        clb_json_set(body, "tool_choice", clb_json_pack(pool,
            "{s:s, s:{s:s}}", "type", "function", "function", "name",
            apr_pstrcat(pool, PREFIX, clb_acp_tool_name(chat,
                        chat->chosen, pool), NULL)));
    }
}

static void set_format(clb_json_t *body, const clb_chat_t *chat,
                       apr_pool_t *pool)
{
    clb_json_t *schema = clb_acp_schema(chat, pool);

    if (chat->format == CLB_FORMAT_JSON) {
        clb_json_set(body, "response_format", clb_json_pack(pool, "{s:s}",
                     "type", "json_object"));
    }
    else if (schema != NULL) {
        clb_json_set(body, "response_format", clb_json_pack(pool,
            "{s:s, s:{s:s, s:O, s:b}}", "type", "json_schema", "json_schema",
            "name", "answer", "schema", schema, "strict", 1));
    }
}

/* Some clients put the vendor before the names of all models. */
static const char *model_of(const clb_chat_t *chat)
{
    const char *rest = chat->model + 5;

    if (strncmp(chat->model, "qwen-", 5) != 0) {
        return chat->model;
    }
    return strcmp(rest, "auto") == 0 ? NULL
         : strncmp(rest, "qwen", 4) == 0
           || strncmp(rest, "coder-model", 11) == 0 ? rest : chat->model;
}

static clb_json_t *settings(const clb_chat_t *chat, apr_pool_t *pool)
{
    clb_json_t *body = clb_json_pack(pool, "{}"), *config, *model;

    set_reasoning(body, chat, pool);
    set_tools(body, chat, pool);
    set_format(body, chat, pool);
    config = clb_json_pack(pool, "{s:O, s:O, s:i}", "samplingParams",
                           sampling(chat, pool), "extra_body", body,
                           "contextWindowSize", WINDOW);
    model = clb_json_pack(pool, "{s:s*, s:O}", "name", model_of(chat),
                          "generationConfig", config);
    return clb_json_pack(pool, "{s:i, s:O}", "$version", 4, "model", model);
}

static void plan(clb_chat_t *chat, clb_acp_plan_t *plan, apr_pool_t *pool)
{
    const clb_json_t *session = settings(chat, pool);
    apr_uint64_t key;

    plan->tools = clb_acp_offers(chat);
    plan->files[SYSTEM] = chat->system == NULL ? "" : chat->system;
    plan->files[SETTINGS] = clb_json_text(pool, session);
    plan->files[TOOLS] = clb_acp_tools(chat, pool);
    key = clb_acp_hash(0, plan->files[SYSTEM]);
    key = clb_acp_hash(key, plan->files[SETTINGS]);
    plan->key = clb_acp_hash(key, plan->files[TOOLS]);
    plan->limit = clb_chat_given(chat, CLB_MAX_TOKENS) ? chat->max_tokens : 0;
    plan->refusal = clb_acp_refusal(session);
}

/* --- the conversation --- */

static clb_json_t *content(clb_chat_t *chat, int turn, apr_pool_t *pool)
{
    clb_json_t *list = clb_json_pack(pool, "[]");

    clb_acp_parts(list, chat, turn, CLB_ACP_RESULTS_WHOLE, PREFIX, pool);
    clb_acp_parts(list, chat, turn, CLB_ACP_WORDS, PREFIX, pool);
    return clb_json_pack(pool, "{s:s, s:O}", "role",
        APR_ARRAY_IDX(clb_chat_turns(chat), turn, clb_message_t).role
        == CLB_ROLE_USER ? "user" : "model", "parts", list);
}

/* What is asked now, too: a history may have what a prompt cannot, and nothing
 * of it is taken for a command. */
static int history(clb_chat_t *chat, const char *session, clb_step_t *out)
{
    clb_json_t *list = clb_json_pack(out->pool, "[]");
    int i;

    for (i = 0; i < clb_chat_turns(chat)->nelts; i++) {
        clb_json_append(list, content(chat, i, out->pool));
    }
    clb_acp_request(out, CLB_ACP_HISTORY, "restoreSessionHistory",
        clb_json_pack(out->pool, "{s:s, s:O}", "sessionId", session,
                      "history", list));
    return 1;
}

static void prompt(clb_chat_t *chat, const clb_input_t *in,
                   const char *session, clb_step_t *out)
{
    clb_acp_prompt(session, NULL, NULL, out);
}

static const char *arguments_of(const clb_json_t *call, apr_pool_t *pool)
{
    const clb_json_t *arguments = clb_json_get(call, "rawInput");

    return arguments == NULL ? "{}" : clb_json_text(pool, arguments);
}

/* "Always Allow in project: look_up" */
static int call(const clb_chat_t *chat, const clb_json_t *params,
                clb_acp_call_t *found, apr_pool_t *pool)
{
    const clb_json_t *call = clb_json_get(params, "toolCall");
    const char *label = clb_json_get_string(clb_json_at(clb_json_get(params,
                                            "options"), 0), "name");
    const char *name = label == NULL ? NULL : strrchr(label, ' ');

    found->id = clb_json_get_string(call, "toolCallId");
    if (found->id == NULL || name == NULL) {
        return 0;
    }
    found->name = clb_acp_asked(chat, name + 1, pool);
    found->arguments = arguments_of(call, pool);
    return 1;
}

/* Newer versions announce all calls of an answer, and ask for permission of
 * the first one alone; the others are skipped, with a word on each. */
static clb_acp_told_e told(const clb_chat_t *chat, const clb_json_t *update,
                           clb_acp_call_t *found, apr_pool_t *pool)
{
    const char *kind = clb_json_get_string(update, "sessionUpdate");
    const char *name = clb_json_string(clb_json_find(update,
                                                     "_meta.toolName"));
    const char *status = clb_json_get_string(update, "status");

    found->id = clb_json_get_string(update, "toolCallId");
    if (kind == NULL || name == NULL || found->id == NULL
        || strncmp(name, PREFIX, strlen(PREFIX)) != 0) {
        return CLB_ACP_NOTHING;
    }
    if (strcmp(kind, "tool_call") == 0) {
        return CLB_ACP_ANNOUNCED;
    }
    if (strcmp(kind, "tool_call_update") != 0 || status == NULL
        || strcmp(status, "pending") != 0) {
        return CLB_ACP_NOTHING;
    }
    found->name = clb_acp_asked(chat, name + strlen(PREFIX), pool);
    found->arguments = arguments_of(update, pool);
    return CLB_ACP_CALL;
}

const clb_acp_kind_t clb_acp_qwen = {
    .plan = plan,
    .history = history,
    .prompt = prompt,
    .call = call,
    .told = told,
    .cancels = 1,
};

/* --- how it is tested --- */

static const clb_setting_t trial_env[] = {
    { "OPENAI_BASE_URL", NULL },
    { "OPENAI_API_KEY", "sk-canary" },
    /* it would ask a proxy for the stub, too */
    { "HTTP_PROXY", "" }, { "http_proxy", "" },
    { "HTTPS_PROXY", "" }, { "https_proxy", "" },
    { "ALL_PROXY", "" }, { "all_proxy", "" },
    { NULL, NULL }
};

static void adapt(const clb_backend_t *backend, clb_json_t *pattern,
                  apr_pool_t *pool)
{
}

#define CHUNK(rest) "data: {\"id\":\"c1\",\"object\":" \
    "\"chat.completion.chunk\",\"created\":1,\"model\":\"m\"," rest "}\n\n"

static const clb_trial_t trial = {
    .env = trial_env,
    .path = "/chat/completions",
    .answer =
        CHUNK("\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","
              "\"content\":\"ok\"},\"finish_reason\":null}]")
        CHUNK("\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":"
              "\"stop\"}]")
        CHUNK("\"choices\":[],\"usage\":{\"prompt_tokens\":1,"
              "\"completion_tokens\":1,\"total_tokens\":2}")
        "data: [DONE]\n\n",
    .adapt = adapt,
};

static unsigned traits(const clb_backend_t *backend)
{
    return CLB_PROBE | CLB_REUSE | CLB_CHATTY | CLB_REFILL;
}

static unsigned can(const clb_backend_t *backend)
{
    return CLB_NEED_TOOLS | CLB_NEED_IMAGES | CLB_NEED_URLS
         | CLB_NEED_DOCUMENTS | CLB_NEED_JSON | CLB_NEED_SCHEMA;
}

static unsigned honours(const clb_backend_t *backend)
{
    return CLB_FIELD(CLB_TEMPERATURE) | CLB_FIELD(CLB_TOP_P)
         | CLB_FIELD(CLB_TOP_K) | CLB_FIELD(CLB_MAX_TOKENS)
         | CLB_FIELD(CLB_EFFORT) | CLB_FIELD(CLB_BUDGET)
         | CLB_FIELD(CLB_FORCED);
}

const clb_driver_t clb_driver_qwen = {
    .name = "qwen",
    .args = clb_acp_qwen_args,
    .env = env,
    .models = models,
    .files = files,
    .gifts = gifts,
    .swept = swept,
    .dir_variable = "QWEN_HOME",
    /* sessions are not closed, and hold 0.35 MB each */
    .turns = 200,
    .settle = 2 * APR_USEC_PER_SEC,
    .trial = &trial,
    .question = &clb_acp_qwen_question,
    .setup = &setup,
    .warm = { CLB_WARM_ADAPTIVE, 1, 0, 0 },
    .state_size = CLB_STATE_MAX,
    .traits = traits,
    .can = can,
    .honours = honours,
    .step = clb_acp_step,
};
