/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Qwen Code: how it is started and tested, and what is its own. Each session
 * reads the settings of its directory, which are a scratch file: the model and
 * its parameters are a request's. Histories have a request of their own.
 * Measured with 0.15.10.
 */
#include "acp.h"

#include <apr_lib.h>
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
    "\"generationConfig\":{\"maxRetries\":0,\"modalities\":{\"image\":true},"
    "\"samplingParams\":{\"max_tokens\":32000}}}}";

static const clb_gift_t gifts[] = {
    { "settings.json", settings_text, NULL, NULL },
    { "oauth_creds.json", NULL, ".qwen/oauth_creds.json", NULL },
    /* an empty one, or the model is told which language to speak */
    { "w/.qwen/output-language.md", "", NULL, NULL },
    { "tools.sh", clb_acp_script, NULL, NULL },
    { NULL, NULL, NULL, NULL }
};

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

static void set_number(clb_json_t *to, const char *name, double value,
                       apr_pool_t *pool)
{
    clb_json_set(to, name, clb_json_pack(pool, "f", value));
}

static void set_integer(clb_json_t *to, const char *name, apr_int64_t value,
                        apr_pool_t *pool)
{
    clb_json_set(to, name, clb_json_pack(pool, "I", (long long)value));
}

static clb_json_t *sampling(const clb_chat_t *chat, apr_pool_t *pool)
{
    clb_json_t *params = clb_json_pack(pool, "{}");

    set_integer(params, "max_tokens", clb_chat_given(chat, CLB_MAX_TOKENS)
                ? chat->max_tokens : MAX_TOKENS, pool);
    if (clb_chat_given(chat, CLB_TEMPERATURE)) {
        set_number(params, "temperature", chat->temperature, pool);
    }
    if (clb_chat_given(chat, CLB_TOP_P)) {
        set_number(params, "top_p", chat->top_p, pool);
    }
    if (clb_chat_given(chat, CLB_TOP_K)) {
        set_integer(params, "top_k", chat->top_k, pool);
    }
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
        set_integer(body, "thinking_budget", chat->budget, pool);
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
    clb_json_t *schema;
    const char *why;

    if (chat->format == CLB_FORMAT_JSON) {
        clb_json_set(body, "response_format", clb_json_pack(pool, "{s:s}",
                     "type", "json_object"));
    }
    else if (chat->format == CLB_FORMAT_SCHEMA
             && clb_json_parse(&schema, chat->schema, strlen(chat->schema),
                               CLB_JSON_LENIENT, &why, pool) == APR_SUCCESS) {
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

/* The CLI puts variables of its environment, keys among them, in the place of
 * their names in the texts of its settings. "#/$defs/..." is where schemas
 * refer to. */
static int names_variable(const char *text)
{
    while ((text = strchr(text, '$')) != NULL) {
        text++;
        if (strncmp(text, "defs/", 5) != 0
            && (*text == '{' || *text == '_' || apr_isalnum(*text))) {
            return 1;
        }
    }
    return 0;
}

static int has_variable(const clb_json_t *json)
{
    const char *text = clb_json_string(json), *key;
    int found = text != NULL && names_variable(text);
    clb_json_t *value;
    void *at = NULL;
    apr_size_t i;

    for (i = 0; clb_json_is_array(json) && i < clb_json_size(json); i++) {
        found = found || has_variable(clb_json_at(json, i));
    }
    while (clb_json_is_object(json)
           && (at = clb_json_next(json, at, &key, &value)) != NULL) {
        found = found || has_variable(value);
    }
    return found;
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
    if (has_variable(session)) {
        plan->refusal = "the CLI would take a '$' of the schema or of the "
            "model's name for a variable's";
    }
}

/* --- the conversation --- */

static clb_json_t *call_part(clb_chat_t *chat, int turn,
                             const clb_part_t *part, apr_pool_t *pool)
{
    const char *text = clb_chat_arguments(part->text, pool), *why;
    clb_json_t *arguments;

    if (clb_json_parse(&arguments, text, strlen(text), CLB_JSON_LENIENT, &why,
                       pool) != APR_SUCCESS) {
        arguments = clb_json_pack(pool, "{}");
    }
    return clb_json_pack(pool, "{s:{s:s, s:s, s:O}}", "functionCall", "id",
        clb_chat_call_id(chat, turn, part, 0, "call_h", pool), "name",
        apr_pstrcat(pool, PREFIX, clb_acp_tool_name(chat, part->name,
        pool), NULL), "args", arguments);
}

static void add_result(clb_json_t *list, clb_chat_t *chat, int turn,
                       const clb_part_t *part, apr_pool_t *pool)
{
    const clb_part_t *call = clb_acp_call_of(chat, turn, part);
    int i;

    clb_json_append(list, clb_acp_result(part, clb_chat_call_id(chat, turn,
        part, 0, "call_h", pool), apr_pstrcat(pool, PREFIX,
        clb_acp_tool_name(chat, call == NULL ? "unknown" : call->name, pool),
        NULL), pool));
    for (i = 0; i < part->parts->nelts; i++) {
        const clb_part_t *one = &APR_ARRAY_IDX(part->parts, i, clb_part_t);

        if (one->kind == CLB_PART_IMAGE && one->data != NULL) {
            clb_json_append(list, clb_acp_part(one, pool));
        }
    }
}

/* @param results of the last turn only these are history */
static clb_json_t *content(clb_chat_t *chat, int turn, int results,
                           apr_pool_t *pool)
{
    const clb_message_t *said = &APR_ARRAY_IDX(clb_chat_turns(chat), turn,
                                               clb_message_t);
    clb_json_t *list = clb_json_pack(pool, "[]");
    int i;

    for (i = 0; i < said->parts->nelts; i++) {
        const clb_part_t *part = &APR_ARRAY_IDX(said->parts, i, clb_part_t);

        if (part->kind == CLB_PART_CALL) {
            clb_json_append(list, call_part(chat, turn, part, pool));
        }
        else if (part->kind == CLB_PART_RESULT) {
            add_result(list, chat, turn, part, pool);
        }
        else if (!results && (part->kind == CLB_PART_TEXT
                              || part->data != NULL)) {
            clb_json_append(list, clb_acp_part(part, pool));
        }
    }
    return clb_json_pack(pool, "{s:s, s:O}", "role", said->role
                         == CLB_ROLE_USER ? "user" : "model", "parts", list);
}

/* Without a history newer versions add a word on their skills. */
static int history(clb_chat_t *chat, const char *session, clb_step_t *out)
{
    int last = clb_chat_turns(chat)->nelts - 1, i;
    clb_json_t *list = clb_json_pack(out->pool, "[]"), *end;

    for (i = 0; i < last; i++) {
        clb_json_append(list, content(chat, i, 0, out->pool));
    }
    end = content(chat, last, 1, out->pool);
    if (clb_json_size(clb_json_get(end, "parts")) > 0) {
        clb_json_append(list, end);
    }
    clb_acp_request(out, CLB_ACP_HISTORY, "restoreSessionHistory",
        clb_json_pack(out->pool, "{s:s, s:O}", "sessionId", session,
                      "history", list));
    return 1;
}

/* The empty text keeps the CLI from taking what follows for a command. */
static void prompt(clb_chat_t *chat, const clb_input_t *in,
                   const char *session, clb_step_t *out)
{
    const apr_array_header_t *turns = clb_chat_turns(chat);

    clb_acp_prompt(session, "", &APR_ARRAY_IDX(turns, turns->nelts - 1,
                                               clb_message_t), NULL, out);
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
    return CLB_NEED_TOOLS | CLB_NEED_IMAGES | CLB_NEED_JSON | CLB_NEED_SCHEMA;
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
