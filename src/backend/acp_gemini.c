/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gemini CLI: how it is started and tested, and what is its own. All that it
 * writes, conversations too, lies in the process's private directory, and its
 * settings are ours. It has no request for a history, but loads sessions that
 * it finds in a file. Measured with 0.61.0.
 */
#include "acp.h"

#include <apr_strings.h>
#include <string.h>

enum { SYSTEM, HISTORY, TOOLS };

/* Of the client's tools. */
#define PREFIX "mcp_" CLB_ACP_SERVER "_"

static const clb_scratch_t files[] = {
    { "system.md", "GEMINI_SYSTEM_MD", NULL },
    /* where the CLI looks for the sessions of a directory called w: the end of
     * the name is how their ids begin */
    { ".gemini/tmp/w/chats/session-2026-01-01T00-00-00000000.jsonl", NULL,
      NULL },
    { "tools.json", NULL, NULL },
    { NULL, NULL, NULL }
};

static const char *const models[] = { "gemini-*", "models/gemini-*", NULL };

/* Before a "/" at the beginning, which would make a command of the words: the
 * model sees it, and nobody else. */
#define JOINER "\xe2\x81\xa0"

/* --- how it is started --- */

#define SETTINGS(login) \
    "{\"security\":{\"auth\":{\"selectedType\":\"" login "\"}," \
    "\"folderTrust\":{\"enabled\":false}}," \
    "\"privacy\":{\"usageStatisticsEnabled\":false}," \
    "\"telemetry\":{\"enabled\":false}," \
    "\"general\":{\"enableAutoUpdate\":false," \
    "\"enableAutoUpdateNotification\":false,\"plan\":{\"enabled\":false}," \
    "\"sessionRetention\":{\"enabled\":false},\"maxAttempts\":1," \
    "\"retryFetchErrors\":false,\"topicUpdateNarration\":false}," \
    "\"tools\":{\"core\":[\"mcp_*\"],\"confirmationRequired\":[\"mcp_*\"]," \
    "\"useRipgrep\":false}," \
    "\"skills\":{\"enabled\":false}," \
    "\"experimental\":{\"enableAgents\":false}," \
    "\"hooksConfig\":{\"enabled\":false}," \
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
    return has(start, "GEMINI_API_KEY") ? SETTINGS("gemini-api-key")
         : has(start, "GOOGLE_GENAI_USE_VERTEXAI") ? SETTINGS("vertex-ai")
         : SETTINGS("oauth-personal");
}

static const clb_gift_t gifts[] = {
    { ".gemini/settings.json", NULL, NULL, settings },
    { ".gemini/oauth_creds.json", NULL, ".gemini/oauth_creds.json", NULL },
    { ".gemini/google_accounts.json", NULL, ".gemini/google_accounts.json",
      NULL },
    { "tools.sh", clb_acp_script, NULL, NULL },
    { NULL, NULL, NULL, NULL }
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
        "--acp", "-e", "none", "-m", "gemini-2.5-flash", NULL
    };

    clb_args_add(argv, fixed);
}

/* --- the conversation, as the CLI records it --- */

/* What has a meaning for the CLI at the beginning of a text. */
static int commands(const clb_message_t *turn)
{
    int i;

    for (i = 0; i < turn->parts->nelts; i++) {
        const clb_part_t *part = &APR_ARRAY_IDX(turn->parts, i, clb_part_t);

        if (part->kind == CLB_PART_TEXT) {
            return strchr("/?$", part->text[clb_blanks(part->text)]) != NULL;
        }
    }
    return 0;
}

typedef struct log_t {
    clb_chat_t *chat;
    clb_acp_plan_t *plan;
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

static clb_json_t *message(log_t *log, const char *type,
                           const clb_json_t *content)
{
    return clb_json_pack(log->pool, "{s:s, s:s, s:s, s:O}", "id",
                         apr_psprintf(log->pool, "m%d", log->lines),
                         "timestamp", WHEN, "type", type, "content", content);
}

/* Whatever is shown of it is sent to us again. */
static void add_user(log_t *log, const clb_message_t *turn)
{
    clb_json_t *list = clb_json_pack(log->pool, "[]");
    int i, said = 0;

    if (commands(turn)) {
        clb_json_append(list, clb_json_pack(log->pool, "{s:s}", "text",
                                            JOINER));
    }
    for (i = 0; i < turn->parts->nelts; i++) {
        const clb_part_t *part = &APR_ARRAY_IDX(turn->parts, i, clb_part_t);

        if (part->kind == CLB_PART_TEXT
            || (part->kind == CLB_PART_IMAGE && part->data != NULL)) {
            clb_json_append(list, clb_acp_part(part, log->pool));
            said = 1;
        }
    }
    if (said) {
        add_line(log, message(log, "user", list));
        log->plan->replays++;
    }
}

/* The results of a call stand with the call; images that are part of them
 * follow. */
static clb_json_t *result_of(const log_t *log, int turn,
                             const clb_part_t *call, const char *id,
                             const char *name)
{
    const apr_array_header_t *turns = clb_chat_turns(log->chat);
    clb_json_t *list = clb_json_pack(log->pool, "[]");
    const clb_message_t *next = &APR_ARRAY_IDX(turns, turn + 1,
                                               clb_message_t);
    int i = clb_chat_find(next, CLB_PART_RESULT, call->id), n;
    const clb_part_t *part = NULL;

    for (n = 0; n < next->parts->nelts && i >= 0 && part == NULL; n++) {
        const clb_part_t *one = &APR_ARRAY_IDX(next->parts, n, clb_part_t);

        part = one->kind == CLB_PART_RESULT && strcmp(one->id, call->id) == 0
             ? one : NULL;
    }
    if (part == NULL) {
        return list;
    }
    clb_json_append(list, clb_acp_result(part, id, name, log->pool));
    for (i = 0; i < part->parts->nelts; i++) {
        const clb_part_t *one = &APR_ARRAY_IDX(part->parts, i, clb_part_t);

        if (one->kind == CLB_PART_IMAGE && one->data != NULL) {
            clb_json_append(list, clb_acp_part(one, log->pool));
        }
    }
    return list;
}

static clb_json_t *call_of(log_t *log, int turn, const clb_part_t *part)
{
    const char *id = clb_chat_call_id(log->chat, turn, part, 0, "call_h",
                                      log->pool);
    const char *name = apr_pstrcat(log->pool, PREFIX, clb_acp_tool_name(
        log->chat, part->name, log->pool), NULL), *why;
    const char *text = clb_chat_arguments(part->text, log->pool);
    clb_json_t *arguments;

    log->plan->replays++;
    if (clb_json_parse(&arguments, text, strlen(text), CLB_JSON_LENIENT, &why,
                       log->pool) != APR_SUCCESS) {
        arguments = clb_json_pack(log->pool, "{}");
    }
    return clb_json_pack(log->pool, "{s:s, s:s, s:O, s:s, s:O}", "id", id,
        "name", name, "args", arguments, "status", "success", "result",
        result_of(log, turn, part, id, name));
}

static void add_model(log_t *log, int turn, const clb_message_t *said)
{
    clb_json_t *calls = clb_json_pack(log->pool, "[]"), *line;
    clb_buf_t text;
    int i;

    clb_buf_init(&text, log->pool, 256);
    for (i = 0; i < said->parts->nelts; i++) {
        const clb_part_t *part = &APR_ARRAY_IDX(said->parts, i, clb_part_t);

        if (part->kind == CLB_PART_TEXT) {
            clb_buf_puts(&text, part->text);
        }
        else if (part->kind == CLB_PART_CALL) {
            clb_json_append(calls, call_of(log, turn, part));
        }
    }
    log->plan->replays += text.data[clb_blanks(text.data)] != '\0';
    line = message(log, "gemini", clb_json_pack(log->pool, "s", text.data));
    clb_json_set(line, "model", clb_json_pack(log->pool, "s", "m"));
    if (clb_json_size(calls) > 0) {
        clb_json_set(line, "toolCalls", calls);
    }
    add_line(log, line);
}

/* All turns but the last, of which the results belong to the calls before. */
static const char *history(clb_chat_t *chat, clb_acp_plan_t *plan,
                           apr_pool_t *pool)
{
    const apr_array_header_t *turns = clb_chat_turns(chat);
    log_t log = { chat, plan, { 0 }, 0, pool };
    int i;

    clb_buf_init(&log.text, pool, 4096);
    add_line(&log, clb_json_pack(pool, "{s:s, s:s, s:s, s:s, s:s}",
        "sessionId", plan->session, "projectHash", "x", "startTime", WHEN,
        "lastUpdated", WHEN, "kind", "main"));
    for (i = 0; i < turns->nelts - 1; i++) {
        const clb_message_t *turn = &APR_ARRAY_IDX(turns, i, clb_message_t);

        if (turn->role == CLB_ROLE_USER) {
            add_user(&log, turn);
        }
        else {
            add_model(&log, i, turn);
        }
    }
    return log.text.data;
}

static void plan(clb_chat_t *chat, clb_acp_plan_t *plan, apr_pool_t *pool)
{
    plan->tools = clb_acp_offers(chat);
    plan->loads = clb_chat_turns(chat)->nelts > 1;
    plan->fresh = plan->tools || plan->loads;
    plan->files[SYSTEM] = chat->system == NULL ? "" : chat->system;
    plan->key = clb_acp_hash(0, plan->files[SYSTEM]);
    if (plan->loads) {
        plan->files[HISTORY] = history(chat, plan, pool);
    }
    if (plan->tools) {
        plan->files[TOOLS] = clb_acp_tools(chat, pool);
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
    const apr_array_header_t *turns = clb_chat_turns(chat);
    const clb_message_t *last = &APR_ARRAY_IDX(turns, turns->nelts - 1,
                                               clb_message_t);

    clb_acp_model(session, model_of(chat), out);
    clb_acp_prompt(session, commands(last) ? JOINER : NULL, last, "Continue.",
                   out);
}

/* "look_up (fn MCP Server)", and an id behind the name */
static int call(const clb_chat_t *chat, const clb_json_t *params,
                clb_acp_call_t *found, apr_pool_t *pool)
{
    const clb_json_t *call = clb_json_get(params, "toolCall");
    const char *title = clb_json_get_string(call, "title"), *end;
    const char *id = clb_json_get_string(call, "toolCallId"), *at;

    if (title == NULL || id == NULL
        || (end = strstr(title, " (" CLB_ACP_SERVER " MCP Server)")) == NULL) {
        return 0;
    }
    found->id = (at = strstr(id, "__")) == NULL || at[2] == '\0' ? id
              : at + 2;
    found->name = clb_acp_asked(chat, apr_pstrmemdup(pool, title,
                                (apr_size_t)(end - title)), pool);
    found->arguments = clb_json_string(clb_json_find(clb_json_at(clb_json_get(
        call, "content"), 0), "content.text"));
    return 1;
}

const clb_acp_kind_t clb_acp_gemini = {
    .plan = plan,
    .prompt = prompt,
    .call = call,
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
    return CLB_NEED_TOOLS | CLB_NEED_IMAGES;
}

static unsigned honours(const clb_backend_t *backend)
{
    return 0;
}

const clb_driver_t clb_driver_gemini = {
    .name = "gemini",
    .args = clb_acp_gemini_args,
    .env = env,
    .models = models,
    .files = files,
    .gifts = gifts,
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
    .step = clb_acp_step,
};
