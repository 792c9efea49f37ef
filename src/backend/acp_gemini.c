/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gemini CLI: how it is started and tested, and what is its own. All that it
 * writes, conversations too, lies in the process's private directory, and its
 * settings are ours. It has no request for a history, but loads sessions that
 * it finds in a file. A new session reads the settings of its directory, which
 * are a request's; one that is loaded does not, and has some of them from hooks
 * of an extension. Measured with 0.61.0.
 */
#include "acp.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

enum { SYSTEM, HISTORY, TOOLS, SETTINGS, HOOKS };

/* Of the client's tools. */
#define PREFIX "mcp_" CLB_ACP_SERVER "_"

/* Below which it writes conversations down; w is where it runs. */
#define CHATS ".gemini/tmp"

/* Our extension, and what each session reads of its hooks. */
#define NAME "fn"
#define EXTENSION ".gemini/extensions/" NAME
#define HOOKS_FILE EXTENSION "/hooks/hooks.json"
#define NO_HOOKS "{\"hooks\":{}}"

static const clb_scratch_t files[] = {
    { "system.md", "GEMINI_SYSTEM_MD", NULL },
    { "history.jsonl", NULL, NULL },
    { "tools.json", NULL, NULL },
    { "w/.gemini/settings.json", NULL, "{}" },
    { HOOKS_FILE, NULL, NO_HOOKS },
    { NULL, NULL, NULL }
};

static const char *const swept[] = { CHATS, "tmp", NULL };

static const char *const models[] = { "gemini-*", "models/gemini-*", NULL };

/* Before a "/" at the beginning, which would make a command of the words, in
 * variables, and in the place of words where there must be some: the model sees
 * it, and nobody else. */
#define JOINER "\xe2\x81\xa0"

/* --- how it is started --- */

#define SETTINGS_TEXT(login) \
    "{\"security\":{\"auth\":{\"selectedType\":\"" login "\"}," \
    "\"folderTrust\":{\"enabled\":false}}," \
    "\"privacy\":{\"usageStatisticsEnabled\":false}," \
    "\"telemetry\":{\"enabled\":false}," \
    "\"general\":{\"enableAutoUpdate\":false," \
    "\"enableAutoUpdateNotification\":false,\"plan\":{\"enabled\":false}," \
    "\"sessionRetention\":{\"enabled\":false},\"maxAttempts\":1," \
    "\"retryFetchErrors\":false,\"topicUpdateNarration\":false}," \
    "\"tools\":{\"core\":[\"mcp_*\"],\"useRipgrep\":false}," \
    "\"skills\":{\"enabled\":false}," \
    "\"experimental\":{\"enableAgents\":false}," \
    "\"hooksConfig\":{\"enabled\":true,\"notifications\":false}," \
    "\"context\":{\"fileName\":\"no-such-file\"," \
    "\"includeDirectoryTree\":false,\"discoveryMaxDirs\":0}," \
    "\"model\":{\"disableLoopDetection\":true," \
    "\"skipNextSpeakerCheck\":true,\"maxSessionTurns\":1}," \
    "\"ide\":{\"enabled\":false}," \
    "\"advanced\":{\"autoConfigureMemory\":false,\"ignoreLocalEnv\":true}," \
    "\"ui\":{\"showCompatibilityWarnings\":false}}"

static int has(const clb_start_t *start, const char *name)
{
    const char *value = clb_start_var(start, name);

    return value != NULL && *value != '\0';
}

/* A turn ends after one request to the model, with whatever it asks for. */
static const char *settings(const clb_start_t *start, apr_pool_t *pool)
{
    return has(start, "GEMINI_API_KEY") ? SETTINGS_TEXT("gemini-api-key")
         : has(start, "GOOGLE_GENAI_USE_VERTEXAI") ? SETTINGS_TEXT("vertex-ai")
         : SETTINGS_TEXT("oauth-personal");
}

static const clb_gift_t gifts[] = {
    { .name = ".gemini/settings.json", .write = settings },
    { .name = ".gemini/oauth_creds.json",
      .target = ".gemini/oauth_creds.json" },
    { .name = ".gemini/google_accounts.json",
      .target = ".gemini/google_accounts.json" },
    { .name = "tools.sh", .text = clb_acp_script },
    { .name = EXTENSION "/gemini-extension.json",
      .text = "{\"name\":\"" NAME "\",\"version\":\"1.0.0\"}" },
    /* where it looks for a session whose id begins with these zeros */
    { .name = CHATS "/w/chats/session-2026-01-01T00-00-00000000.jsonl",
      .link = "../../../../history.jsonl" },
    /* the other names of its directory */
    { .name = "w/0", .link = "." },
    { .name = "w/1", .link = "." },
    { .name = NULL }
};

static const char *const env[] = {
    "GEMINI_CLI_NO_RELAUNCH=1",
    "GEMINI_CLI_TRUST_WORKSPACE=true",
    "NO_COLOR=1",
    "NO_BROWSER=true",
    NULL
};

/* It asks for the login when it starts, and has no command for that. */
static const char *const login[] = { NULL };

static const clb_setup_t setup = {
    "@google/gemini-cli", login, "GEMINI_CLI_HOME"
};

/* Without a model it would ask another one which to take. */
void clb_acp_gemini_args(const clb_start_t *start, apr_array_header_t *argv)
{
    static const char *const fixed[] = {
        "--acp", "-e", NAME, "-m", "gemini-2.5-flash", NULL
    };

    clb_args_add(argv, fixed);
}

/* --- the settings of a session --- */

/* No hook has these. */
#define HOOKLESS (CLB_FIELD(CLB_EFFORT) | CLB_FIELD(CLB_BUDGET))

#define HONOURED (CLB_FIELD(CLB_TEMPERATURE) | CLB_FIELD(CLB_TOP_P) \
                  | CLB_FIELD(CLB_TOP_K) | CLB_FIELD(CLB_MAX_TOKENS) \
                  | CLB_FIELD(CLB_FORCED) | HOOKLESS)

/* What only a history can have, or needs one. */
static int loads(const clb_chat_t *chat)
{
    int i;

    for (i = 0; i < chat->messages->nelts; i++) {
        if (APR_ARRAY_IDX(chat->messages, i, clb_message_t).role
            == CLB_ROLE_ASSISTANT) {
            return 1;
        }
    }
    return clb_chat_needs(chat) & CLB_NEED_URLS;
}

/* Models are told how much to think by a number of tokens, and newer ones by a
 * word, of which these three are known to all. Not both. */
static clb_json_t *thinking(const clb_chat_t *chat, apr_pool_t *pool)
{
    static const int budgets[] = { 0, 0, 1024, 1024, 8192, 24576, 24576,
                                   24576 };
    static const char *const levels[] = { NULL, "LOW", "LOW", "LOW", "MEDIUM",
                                          "HIGH", "HIGH", "HIGH" };
    int by_number = strstr(chat->model, "gemini-2") != NULL;

    if (clb_chat_given(chat, CLB_BUDGET)) {
        return clb_json_pack(pool, by_number ? "{s:I}" : "{s:I, s:n}",
                             "thinkingBudget", (long long)chat->budget,
                             "thinkingLevel");
    }
    return chat->effort == CLB_EFFORT_UNSET ? NULL
         : by_number ? clb_json_pack(pool, "{s:i}", "thinkingBudget",
                                     budgets[chat->effort])
         : clb_json_pack(pool, "{s:s}", "thinkingLevel",
                         levels[chat->effort]);
}

static void set_format(clb_json_t *config, const clb_chat_t *chat,
                       apr_pool_t *pool)
{
    clb_json_t *schema = clb_acp_schema(chat, pool);

    if (chat->format != CLB_FORMAT_TEXT) {
        clb_json_set(config, "responseMimeType",
                     clb_json_pack(pool, "s", "application/json"));
    }
    if (schema != NULL) {
        clb_json_set(config, "responseJsonSchema", schema);
    }
}

/* What calls are demanded, as the API has it; NULL if none is. */
static clb_json_t *calling(const clb_chat_t *chat, apr_pool_t *pool)
{
    clb_json_t *config;

    if (!clb_acp_offers(chat) || chat->choice == CLB_CHOICE_AUTO) {
        return NULL;
    }
    config = clb_json_pack(pool, "{s:s}", "mode", "ANY");
    if (chat->choice == CLB_CHOICE_NAMED) {
        clb_json_set(config, "allowedFunctionNames", clb_json_pack(pool,
            "[s]", apr_pstrcat(pool, PREFIX, clb_acp_tool_name(chat,
                               chat->chosen, pool), NULL)));
    }
    return config;
}

static const char *const sampling_names[] = {
    "temperature", "topP", "topK", "maxOutputTokens"
};

/* What the model is asked with, as its API has it. */
static clb_json_t *config_of(const clb_chat_t *chat, apr_pool_t *pool)
{
    clb_json_t *config = clb_json_pack(pool, "{}");
    clb_json_t *thoughts = thinking(chat, pool), *calls = calling(chat, pool);

    clb_acp_sampling(config, chat, sampling_names, pool);
    if (thoughts != NULL) {
        clb_json_set(config, "thinkingConfig", thoughts);
    }
    set_format(config, chat, pool);
    if (calls != NULL) {
        clb_json_set(config, "toolConfig", clb_json_pack(pool, "{s:O}",
                     "functionCallingConfig", calls));
    }
    return config;
}

/* A hook is a command: this one says what stands in a line of the file that it
 * stands in itself. */
#define HOOK(event, line) "\"" event "\":[{\"hooks\":[{\"type\":\"command\"," \
    "\"command\":\"sed -n " line "p ../" HOOKS_FILE "\"}]}]"

static int samples(const clb_chat_t *chat)
{
    return clb_chat_given(chat, CLB_TEMPERATURE)
        || clb_chat_given(chat, CLB_TOP_P) || clb_chat_given(chat, CLB_TOP_K)
        || clb_chat_given(chat, CLB_MAX_TOKENS);
}

/* What a hook does not say of sampling is left out of the request, so it says
 * what the CLI would. */
static const char *hooks(const clb_chat_t *chat, apr_pool_t *pool)
{
    clb_json_t *config = clb_json_pack(pool, "{s:i, s:f, s:i}", "temperature",
                                       1, "topP", 0.95, "topK", 64);
    clb_json_t *calls = calling(chat, pool);
    int both = samples(chat) && calls != NULL;

    if (!samples(chat) && calls == NULL) {
        return NO_HOOKS;
    }
    clb_acp_sampling(config, chat, sampling_names, pool);
    return apr_pstrcat(pool, "{\"hooks\":{",
        samples(chat) ? HOOK("BeforeModel", "2") : "", both ? "," : "",
        calls != NULL ? HOOK("BeforeToolSelection", "4") : "",
        "},\"data\":[\n",
        clb_json_text(pool, clb_json_pack(pool, "{s:{s:{s:O}}}",
            "hookSpecificOutput", "llm_request", "config", config)), "\n,\n",
        clb_json_text(pool, clb_json_pack(pool, "{s:{s:O?}}",
            "hookSpecificOutput", "toolConfig", calls)), "\n]}\n", NULL);
}

/* The CLI remembers the settings of a directory for a while by the name that it
 * was given: to each its own. */
static void plan_settings(const clb_chat_t *chat, clb_acp_plan_t *plan,
                          apr_pool_t *pool)
{
    clb_json_t *config = config_of(chat, pool);

    plan->files[SETTINGS] = "{}";
    plan->files[HOOKS] = plan->loads ? hooks(chat, pool) : NO_HOOKS;
    plan->limit = clb_chat_given(chat, CLB_MAX_TOKENS) ? chat->max_tokens : 0;
    if (plan->loads || clb_json_size(config) == 0) {
        return;
    }
    plan->files[SETTINGS] = clb_json_text(pool, clb_json_pack(pool,
        "{s:{s:[{s:{s:s}, s:{s:O}}]}}", "modelConfigs", "customOverrides",
        "match", "overrideScope", "core", "modelConfig",
        "generateContentConfig", config));
    plan->key = clb_acp_hash(plan->key, plan->files[SETTINGS]);
    plan->alias = (apr_uint32_t)clb_acp_hash(0, plan->files[SETTINGS]);
    plan->refusal = clb_acp_refusal(config);
}

static const char *drops(const clb_chat_t *chat, apr_pool_t *pool)
{
    return loads(chat) ? clb_chat_ignored(chat, ~HOOKLESS) : NULL;
}

/* --- the conversation, as the CLI records it --- */

typedef struct log_t {
    clb_chat_t *chat;
    clb_buf_t text;
    int lines;
    apr_pool_t *pool;
} log_t;

#define WHEN "2026-01-01T00:00:00.000Z"

static void add_line(log_t *log, const clb_json_t *json)
{
    clb_json_write(&log->text, json);
    clb_buf_puts(&log->text, "\n");
    log->lines++;
}

static void add(log_t *log, const char *type, const clb_json_t *parts)
{
    if (clb_json_size(parts) > 0) {
        add_line(log, clb_json_pack(log->pool,
            "{s:s, s:s, s:s, s:s, s:O}", "id", apr_psprintf(log->pool, "m%d",
            log->lines), "timestamp", WHEN, "type", type, "model", "m",
            "content", parts));
    }
}

/* What begins like this has a meaning for the CLI, whatever it takes for blanks
 * before it. */
static int commands(const clb_json_t *words)
{
    const char *text = clb_json_get_string(clb_json_at(words, 0), "text");

    while (text != NULL && *text != '\0' && !apr_isgraph(*text)) {
        text++;
    }
    return text != NULL && *text != '\0' && strchr("/?$<", *text) != NULL;
}

static clb_json_t *words_of(clb_chat_t *chat, int turn, const char *first,
                            apr_pool_t *pool)
{
    clb_json_t *words = first == NULL ? clb_json_pack(pool, "[]")
                      : clb_json_pack(pool, "[{s:s}]", "text", first);

    clb_acp_parts(words, chat, turn, CLB_ACP_WORDS, PREFIX, pool);
    return words;
}

/* Results stand apart: behind words that follow them the CLI does not say that
 * the model's answer to them is missing. */
static void add_user(log_t *log, int turn, int last)
{
    clb_json_t *results = clb_json_pack(log->pool, "[]");
    clb_json_t *words = words_of(log->chat, turn, NULL, log->pool);

    clb_acp_parts(results, log->chat, turn, CLB_ACP_RESULTS, PREFIX,
                  log->pool);
    if (commands(words) || (last && clb_json_size(words) == 0)) {
        words = words_of(log->chat, turn, JOINER, log->pool);
    }
    add(log, "user", results);
    add(log, "user", words);
}

/* Each line of it is sent to us again, but the first. */
static const char *history(clb_chat_t *chat, clb_acp_plan_t *plan,
                           apr_pool_t *pool)
{
    const apr_array_header_t *turns = clb_chat_turns(chat);
    log_t log = { chat, { 0 }, 0, pool };
    int i;

    clb_buf_init(&log.text, pool, 4096);
    add_line(&log, clb_json_pack(pool, "{s:s, s:s, s:s, s:s, s:s}",
        "sessionId", plan->session, "projectHash", "x", "startTime", WHEN,
        "lastUpdated", WHEN, "kind", "main"));
    for (i = 0; i < turns->nelts; i++) {
        if (APR_ARRAY_IDX(turns, i, clb_message_t).role == CLB_ROLE_USER) {
            add_user(&log, i, i == turns->nelts - 1);
        }
        else {
            add(&log, "gemini", words_of(chat, i, NULL, pool));
        }
    }
    plan->replays = log.lines - 1;
    return log.text.data;
}

/* Words of a system prompt in whose place the CLI would put words of its own:
 * ${AvailableTools} and the like. */
static int is_variable(const char *at)
{
    static const char *const names[] = {
        "AgentSkills", "SubAgents", "AvailableTools", NULL
    };
    static const char tool[] = "_ToolName";
    apr_size_t len = strcspn(at, "}"), i;

    if (strncmp(at, "${", 2) != 0 || at[len] == '\0') {
        return 0;
    }
    for (i = 0; names[i] != NULL; i++) {
        if (len == strlen(names[i]) + 2
            && strncmp(at + 2, names[i], len - 2) == 0) {
            return 1;
        }
    }
    return len > sizeof(tool)
        && strncmp(at + len - (sizeof(tool) - 1), tool, sizeof(tool) - 1) == 0;
}

static const char *system_of(const clb_chat_t *chat, apr_pool_t *pool)
{
    const char *text = chat->system, *at;
    clb_buf_t out;

    if (text == NULL) {
        return "";
    }
    clb_buf_init(&out, pool, strlen(text) + 1);
    while ((at = strchr(text, '$')) != NULL) {
        clb_buf_add(&out, text, (apr_size_t)(at + 1 - text));
        clb_buf_puts(&out, is_variable(at) ? JOINER : "");
        text = at + 1;
    }
    clb_buf_puts(&out, text);
    return out.data;
}

static void plan(clb_chat_t *chat, clb_acp_plan_t *plan, apr_pool_t *pool)
{
    plan->tools = clb_acp_offers(chat);
    plan->loads = loads(chat);
    plan->fresh = plan->tools || plan->loads;
    plan->files[SYSTEM] = system_of(chat, pool);
    plan->files[HISTORY] = plan->loads ? history(chat, plan, pool) : "";
    plan->files[TOOLS] = clb_acp_tools(chat, pool);
    plan->key = clb_acp_hash(0, plan->files[SYSTEM]);
    plan_settings(chat, plan, pool);
    if (plan->loads && chat->format != CLB_FORMAT_TEXT) {
        plan->refusal = "the CLI cannot demand JSON once the conversation has "
            "a history or an image by its URL";
    }
}

/* --- the turn --- */

static const char *model_of(const clb_chat_t *chat)
{
    return strncmp(chat->model, "models/", 7) == 0 ? chat->model + 7
                                                   : chat->model;
}

static void prompt(clb_chat_t *chat, const clb_input_t *in,
                   const char *session, clb_step_t *out)
{
    clb_acp_model(session, model_of(chat), out);
    if (loads(chat)) {
        clb_acp_prompt(session, NULL, NULL, out);
    }
    else {
        clb_acp_prompt(session, commands(words_of(chat, 0, NULL, out->pool))
                       ? JOINER : NULL, &APR_ARRAY_IDX(clb_chat_turns(chat), 0,
                       clb_message_t), out);
    }
}

/* The CLI adds a parameter of its own to each tool. */
static const char *arguments_of(const clb_json_t *asked, apr_pool_t *pool)
{
    clb_json_t *own = clb_json_pack(pool, "{}"), *value;
    const char *key;
    void *at = NULL;

    while (clb_json_is_object(asked)
           && (at = clb_json_next(asked, at, &key, &value)) != NULL) {
        if (strcmp(key, "wait_for_previous") != 0) {
            clb_json_set(own, key, value);
        }
    }
    return clb_json_text(pool, own);
}

/* "mcp_fn_look_up__" and the id that the model's API gave */
static const char *id_of(const char *id, const char *name, apr_pool_t *pool)
{
    const char *before = apr_pstrcat(pool, PREFIX, name, "__", NULL);
    apr_size_t len = strlen(before);

    return strncmp(id, before, len) == 0 && id[len] != '\0' ? id + len : id;
}

/* What the CLI itself tells of a call is cut short: the script says what it was
 * called with. */
static clb_acp_told_e told(const clb_chat_t *chat, const clb_json_t *update,
                           clb_acp_call_t *found, apr_pool_t *pool)
{
    const char *kind = clb_json_get_string(update, "sessionUpdate"), *why;
    const char *text = clb_json_string(clb_json_find(clb_json_at(clb_json_get(
        update, "content"), 0), "content.text"));
    const char *id = clb_json_get_string(update, "toolCallId"), *name;
    clb_json_t *line;

    if (kind == NULL || strcmp(kind, "tool_call_update") != 0 || id == NULL
        || text == NULL || clb_json_parse(&line, text, strlen(text),
                               CLB_JSON_LENIENT, &why, pool) != APR_SUCCESS
        || (name = clb_json_string(clb_json_find(line, "params.name")))
           == NULL) {
        return CLB_ACP_NOTHING;
    }
    found->id = id_of(id, name, pool);
    found->name = clb_acp_asked(chat, name, pool);
    found->arguments = arguments_of(clb_json_find(line, "params.arguments"),
                                    pool);
    return CLB_ACP_CALL;
}

const clb_acp_kind_t clb_acp_gemini = {
    .plan = plan,
    .prompt = prompt,
    .told = told,
    .first = "",
    .shares = 1,
};

/* "**Subject**\nwords": the model's thoughts begin so; if one does not, the
 * CLI says it with a subject of nothing. */
const char *clb_acp_thought(const char *text)
{
    return strncmp(text, "****\n", 5) == 0 ? text + 5 : text;
}

/* --- how it is tested --- */

/* Nobody listens there. */
#define NOWHERE "http://127.0.0.1:9"

static const clb_setting_t trial_env[] = {
    { "GOOGLE_GEMINI_BASE_URL", NULL },
    { "GEMINI_API_KEY", "canary" },
    { "GOOGLE_API_KEY", "" },
    { "HTTP_PROXY", NOWHERE }, { "http_proxy", NOWHERE },
    { "HTTPS_PROXY", NOWHERE }, { "https_proxy", NOWHERE },
    { "ALL_PROXY", NOWHERE }, { "all_proxy", NOWHERE },
    { "NO_PROXY", "127.0.0.1" }, { "no_proxy", "127.0.0.1" },
    { NULL, NULL }
};

static void adapt(const clb_backend_t *backend, clb_json_t *pattern,
                  apr_pool_t *pool)
{
}

static const clb_trial_t trial = {
    .env = trial_env,
    .path = "/v1beta/models/claude-sonnet-4-5:streamGenerateContent?alt=sse",
    .answer =
        "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":"
        "[{\"text\":\"ok\"}]},\"finishReason\":\"STOP\",\"index\":0}],"
        "\"usageMetadata\":{\"promptTokenCount\":1,\"candidatesTokenCount\":1,"
        "\"totalTokenCount\":2}}\r\n\r\n",
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
    return HONOURED;
}

const clb_driver_t clb_driver_gemini = {
    .name = "gemini",
    .args = clb_acp_gemini_args,
    .env = env,
    .models = models,
    .files = files,
    .gifts = gifts,
    .swept = swept,
    .dir_variable = "GEMINI_CLI_HOME",
    /* sessions are not closed, and hold 0.4 MB each */
    .turns = 200,
    .settle = 2 * APR_USEC_PER_SEC,
    .trial = &trial,
    .question = &clb_acp_gemini_question,
    .setup = &setup,
    .warm = { CLB_WARM_ADAPTIVE, 1, 0, 0 },
    .state_size = CLB_STATE_MAX,
    .traits = traits,
    .can = can,
    .honours = honours,
    .drops = drops,
    .step = clb_acp_step,
};
