/* SPDX-License-Identifier: Apache-2.0 */
/* What CLIs sent for the canary's chat (t/data/DRIVER/canary-*.json) against
 * what they are known to send, and what they must not. */
#include "tap.h"

#include "../../src/backend/canary.h"
#include "../../src/core/match.h"

#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

#define OLD "2.1.197"
#define NEW "2.1.329"

/* Parts of the JSON text; a reminder is a part of a message of its own. */
#define PART(text) "{\"type\":\"text\",\"text\":\"" text "\"}"
#define REMINDER(text) PART("<system-reminder>\\n" text "</system-reminder>\\n")
#define FIRST PART("first question")
#define EMAIL "# userEmail\\nThe user's email address is me@example.com.\\n"
#define PLATFORM " - Platform: linux\\n"

static apr_pool_t *pool;

typedef struct change_t {
    const char *name;         /* NULL ends a list */
    const char *version;      /* NULL = any */
    const char *from;
    const char *to;
    const char *where;        /* the mismatch; NULL = still as known */
} change_t;

static const change_t claude[] = {
    { "nothing", NULL, "", "", NULL },
    { "another day", NULL, "date is 2026-11-21", "date is 2027-01-02", NULL },
    { "another installation", NULL, "\\\"device_id\\\":\\\"",
      "\\\"device_id\\\":\\\"00ff", NULL },
    { "another session", NULL, "\\\"session_id\\\":\\\"",
      "\\\"session_id\\\":\\\"00ff-", NULL },
    { "another build", NULL, "; cc_entrypoint", "0; cc_entrypoint", NULL },
    { "another directory", NEW, "/run/4711/1/w", "/run/4712/20/w", NULL },
    { "another kernel", NEW, "6.1.0-18-amd64", "5.15.146.1-x-WSL2+", NULL },
    { "another shell", NEW, "Shell: bash", "Shell: zsh", NULL },
    { "a home in a repository", NEW, "repository: false",
      "repository: true", NULL },

    { "a tool", NULL, "\"tools\":[]", "\"tools\":[{\"name\":\"Bash\"}]",
      "tools[0]: " },
    { "no list of tools", NULL, "\"tools\":[],", "", "tools is missing" },
    { "one more system prompt", NULL, "\"system\":[",
      "\"system\":[" PART("You are helpful.") ",", "system[0].text: " },
    { "one more at the end", NULL, "],\"tools\"",
      "," PART("You are helpful.") "],\"tools\"", "system[3]: " },
    { "another system prompt", NULL, "You are a canary.", "You are a bird.",
      "system[2].text: " },
    { "more of the identity", NULL, "Agent SDK.", "Agent SDK. Host: vm.",
      "system[1].text: " },
    { "another entry point", NULL, "sdk-cli", "cli", "system[0].text: " },

    { "memory files", NULL, FIRST, REMINDER("# claudeMd\\nremember\\n") ","
      FIRST, "messages[0].content[" },
    { "memory files in the reminder", OLD, "# currentDate",
      "# claudeMd\\nremember\\n# currentDate", "messages[0].content[0].text:" },
    { "an e-mail address", OLD, "# currentDate", EMAIL "# currentDate",
      "messages[0].content[0].text:" },
    { "an e-mail address", NEW, FIRST, FIRST "," REMINDER(EMAIL),
      "messages[0].content[3]: " },
    { "an e-mail address by the date", NEW, "Today's date", EMAIL
      "Today's date", "messages[2].content[0].text: " },
    { "an e-mail address instead of the date", NULL, "2026-11-21",
      "me@example.com", "messages[" },
    { "the host's name", NEW, PLATFORM, " - Host: vm\\n" PLATFORM,
      "messages[0].content[0].text: " },
    { "the host's name at the kernel's", NEW, "amd64", "amd64 vm",
      "messages[0].content[0].text: " },
    { "the host's name at the end", NEW, "not `-F`.\\n",
      "not `-F`.\\n - Host: vm\\n", "messages[0].content[0].text: " },
    { "the login shell", NEW, "Shell: bash", "Shell: bash (login shell: zsh)",
      "messages[0].content[0].text: " },
    { "another reminder", NEW, REMINDER("Today's date is 2026-11-21.\\n") ",",
      REMINDER("Today's date is 2026-11-21.\\n") ","
      REMINDER("9 tokens left\\n") ",", "messages[2].content[1]" },

    { "a file", NULL, PART("first answer"), PART("first answer") ","
      PART("Result of calling the Read tool:\\n1\\tvm\\n"),
      "messages[1].content[1]: " },
    { "a file's text", NULL, "file:///etc/hostname", "vm", "messages[2]." },
    { "a file left out", NULL, "@/etc/hostname ", "", "messages[2]." },
    { "the host's name in a question", NULL, "first question",
      "first question vm", "messages[0].content[" },
    { "a command that ran", NULL, "!ls", "!ls\\nCLAUDE.md", "messages[2]." },
    { "another answer", NULL, "first answer", "No.",
      "messages[1].content[0].text: " },
    { "one more message", NULL, "{\"role\":\"assistant\"",
      "{\"role\":\"user\",\"content\":[]},{\"role\":\"assistant\"",
      "messages[1]." },
    { "one message less", NULL, "{\"role\":\"assistant\",\"content\":["
      PART("first answer") "]},", "", "messages[1]." },
    { "other roles", NULL, "\"role\":\"assistant\"", "\"role\":\"system\"",
      "messages[1].role: " },

    { "another model", NULL, "\"model\":\"claude-sonnet-4-5\"",
      "\"model\":\"claude-opus-4-8\"", "model: " },
    { "an unknown member", NULL, "\"stream\":true",
      "\"stream\":true,\"diagnostics\":{}", "(top): member \"diagnostics\"" },
    { "a parameter", NULL, "\"stream\":true",
      "\"stream\":true,\"temperature\":1", "(top): member \"temperature\"" },
    { "a member missing", NULL, ",\"stream\":true", "", "stream is missing" },
    { "another limit", NULL, "\"max_tokens\":32000", "\"max_tokens\":64000",
      "max_tokens: " },
    { "the user", NULL, "\"metadata\":{", "\"metadata\":{\"user\":\"alice\",",
      "metadata: member \"user\"" },
    { "an account", NULL, "\\\"account_uuid\\\":\\\"",
      "\\\"account_uuid\\\":\\\"1234", "metadata.user_id: " },
    { "an e-mail address among ids", NULL, "\\\"device_id\\\":\\\"",
      "\\\"device_id\\\":\\\"0\\\",\\\"email\\\":\\\"me@example.com\\\","
      "\\\"x\\\":\\\"", "metadata.user_id: " },
    { NULL }
};

/* An item of Codex's input, and the beginning of one that is there. */
#define ITEM(role, text) "{\"type\":\"message\",\"id\":\"msg_1\",\"role\":\"" \
    role "\",\"content\":[{\"type\":\"input_text\",\"text\":\"" text "\"}]}"
#define INPUT "\"input\":["
#define DEVELOPER "\"role\":\"developer\""
#define META(name) "\\\"" name "\\\":"
#define FUNCTION "{\"type\":\"function\",\"name\":\"exec_command\"}"

static const change_t codex[] = {
    { "nothing", NULL, "", "", NULL },
    { "another installation", NULL, META("installation_id") "\\\"",
      META("installation_id") "\\\"00ff-", NULL },
    { "another thread", NULL, "\"prompt_cache_key\":\"",
      "\"prompt_cache_key\":\"00ff-", NULL },
    { "another time", NULL, META("turn_started_at_unix_ms") "1",
      META("turn_started_at_unix_ms") "2", NULL },
    { "another kernel", NULL, META("sandbox") "\\\"seccomp\\\"",
      META("sandbox") "\\\"none\\\"", NULL },

    { "a tool", NULL, "\"tools\":[]", "\"tools\":[" FUNCTION "]",
      "tools[0]: " },
    { "a search of the web", NULL, "\"tools\":[]",
      "\"tools\":[{\"type\":\"web_search\"}]", "tools[0]: " },
    { "tools as an item", NULL, INPUT, INPUT "{\"type\":\"additional_tools\","
      "\"role\":\"developer\",\"tools\":[" FUNCTION "]},", "input[0]." },
    { "no list of tools", NULL, "\"tools\":[],", "", "tools is missing" },
    { "another choice", NULL, "\"tool_choice\":\"auto\"",
      "\"tool_choice\":\"required\"", "tool_choice: " },
    { "one call at a time", NULL, "\"parallel_tool_calls\":true",
      "\"parallel_tool_calls\":false", "parallel_tool_calls: " },

    { "instructions", NULL, "\"stream\":true", "\"stream\":true,"
      "\"instructions\":\"You are Codex.\"", "(top): member "
      "\"instructions\"" },
    { "instructions as an item", NULL, INPUT, INPUT ITEM("developer",
      "You are Codex.") ",", "input[0].content[0].text: " },
    { "more in the system prompt", NULL, "You are a canary.",
      "You are a canary. Be brief.", "input[0].content[0].text: " },
    { "another system prompt", NULL, "You are a canary.", "You are a bird.",
      "input[0].content[0].text: " },
    { "a second part of it", NULL, "\"You are a canary.\"}",
      "\"You are a canary.\"},{\"type\":\"input_text\",\"text\":\"x\"}",
      "input[0].content[1]: " },
    { "the system prompt as the user's", NULL, DEVELOPER, "\"role\":\"user\"",
      "input[0].role: " },

    { "memory files", NULL, INPUT, INPUT ITEM("user", "# AGENTS.md "
      "instructions\\n\\n<INSTRUCTIONS>\\nremember\\n</INSTRUCTIONS>") ",",
      "input[0].role: " },
    { "memory files in the system prompt", NULL, "You are a canary.",
      "You are a canary.\\n\\n--- project-doc ---\\n\\nremember",
      "input[0].content[0].text: " },
    { "where it runs", NULL, INPUT, INPUT ITEM("user",
      "<environment_context>\\n  <cwd>/run/1/w</cwd>\\n"
      "</environment_context>") ",", "input[0].role: " },
    { "where it runs, behind", NULL, "}],\"tools\"", "}," ITEM("user",
      "<environment_context>\\n</environment_context>") "],\"tools\"",
      "input[4]: " },
    { "what it may do", NULL, INPUT, INPUT ITEM("developer",
      "<permissions instructions>") ",", "input[0].content[0].text: " },
    { "an interruption", NULL, "}],\"tools\"", "}," ITEM("user",
      "<turn_aborted>") "],\"tools\"", "input[4]: " },
    { "a directory", NULL, "\"client_metadata\":{",
      "\"client_metadata\":{\"cwd\":\"/home/alice\",",
      "client_metadata: member \"cwd\"" },
    { "a directory among ids", NULL, META("window_number"),
      META("workspaces") "{\\\"/home/alice\\\":{}}," META("window_number"),
      "client_metadata.x-codex-turn-metadata: " },
    { "an address among ids", NULL, META("session_id") "\\\"",
      META("session_id") "\\\"me@example.com", "client_metadata.x-codex-turn-"
      "metadata: " },
    { "another kind of request", NULL, META("request_kind") "\\\"turn",
      META("request_kind") "\\\"compact", "client_metadata.x-codex-turn-"
      "metadata: " },
    { "a window that was summed up", NULL, META("window_number") "0",
      META("window_number") "1", "client_metadata.x-codex-turn-metadata: " },
    { "a sandbox that lets it write", NULL, "read-only",
      "workspace-write", "client_metadata.x-codex-turn-metadata: " },
    { "analytics", NULL, META("analytics_enabled") "false",
      META("analytics_enabled") "true", "client_metadata.x-codex-turn-"
      "metadata: " },

    { "a summary of what was said", NULL, "\"first answer\"",
      "\"Summary: the user asked\"", "input[2].content[0].text: " },
    { "a summary in its place", NULL, INPUT, INPUT
      "{\"type\":\"compaction\",\"encrypted_content\":\"x\"},", "input[0]." },
    { "a file's text", NULL, "file:///etc/hostname", "vm", "input[3]." },
    { "a file left out", NULL, "@/etc/hostname ", "", "input[3]." },
    { "a command that ran", NULL, "!ls", "!ls\\nAGENTS.md", "input[3]." },
    { "the host's name in a question", NULL, "first question",
      "first question vm", "input[1].content[0].text: " },
    { "an image", NULL, "\"first question\"}", "\"first question\"},{\"type\":"
      "\"input_image\",\"image_url\":\"data:\"}", "input[1].content[1]: " },

    { "another model", NULL, "\"model\":\"claude-sonnet-4-5\"",
      "\"model\":\"gpt-5.5\"", "model: " },
    { "another model among ids", NULL, META("model") "\\\"claude-sonnet-4-5",
      META("model") "\\\"gpt-5.5", "client_metadata.x-codex-turn-metadata: " },
    { "an effort", NULL, "\"reasoning\":{", "\"reasoning\":{\"effort\":"
      "\"medium\",", "reasoning: member \"effort\"" },
    { "another summary", NULL, "\"summary\":\"auto\"",
      "\"summary\":\"detailed\"", "reasoning.summary: " },
    { "verbosity", NULL, "\"stream\":true", "\"stream\":true,\"text\":"
      "{\"verbosity\":\"low\"}", "(top): member \"text\"" },
    { "a parameter", NULL, "\"stream\":true",
      "\"stream\":true,\"temperature\":1", "(top): member \"temperature\"" },
    { "an answer before", NULL, "\"stream\":true", "\"stream\":true,"
      "\"previous_response_id\":\"resp_1\"", "(top): member "
      "\"previous_response_id\"" },
    { "a faster lane", NULL, "\"stream\":true",
      "\"stream\":true,\"service_tier\":\"priority\"", "(top): member "
      "\"service_tier\"" },
    { "an answer that is kept", NULL, "\"store\":false", "\"store\":true",
      "store: " },
    { "more than the reasoning", NULL, "\"include\":[",
      "\"include\":[\"web_search_call.action.sources\",", "include[0]: " },
    { "a member missing", NULL, ",\"store\":false", "", "store is missing" },
    { NULL }
};

static const change_t gemini[] = {
    { "as it is", NULL, "{", "{", NULL },
    { "a tool that runs programs", NULL, "\"functionDeclarations\":[]",
      "\"functionDeclarations\":[{\"name\":\"run_shell_command\"}]",
      "tools[0].functionDeclarations[0]: " },
    { "a search of its own", NULL, "\"tools\":[",
      "\"tools\":[{\"googleSearch\":{}},", "tools[0]." },
    { "what is in a directory", NULL, ".gemini/tmp/w\\n", ".gemini/tmp/w\\n"
      "- **Directory Structure:**", "contents[0].parts[0].text: " },
    { "another system", NULL, "is: linux", "is: linux, host vm",
      "contents[0].parts[0].text: " },
    { "memory files", NULL, "{\"text\":\"first question\"}",
      "{\"text\":\"--- Context from: GEMINI.md ---\"},"
      "{\"text\":\"first question\"}", "contents[0].parts[1].text: " },
    { "more in the system prompt", NULL, "You are a canary.",
      "You are a canary. Be brief.", "systemInstruction.parts[0].text: " },
    { "a file's text", NULL, "file:///etc/hostname", "vm", "contents[2]." },
    { "a limit", NULL, "\"topK\":64", "\"topK\":64,\"maxOutputTokens\":1",
      "generationConfig: member \"maxOutputTokens\"" },
    { "a kept context", NULL, "{\"contents\"",
      "{\"cachedContent\":\"x\",\"contents\"", "(top): member "
      "\"cachedContent\"" },
    { NULL }
};

static const change_t qwen[] = {
    { "as it is", NULL, "{", "{", NULL },
    { "a tool that runs programs", NULL, "\"tools\":[]", "\"tools\":"
      "[{\"type\":\"function\",\"function\":{\"name\":"
      "\"run_shell_command\"}}]", "tools[0]: " },
    { "a language", NULL, "You are a canary.", "You are a canary.\\n\\nYou "
      "MUST always respond in **English**", "messages[0].content: " },
    { "skills", NULL, "{\"type\":\"text\",\"text\":\"first question\"}",
      "{\"type\":\"text\",\"text\":\"<system-reminder>\"},{\"type\":"
      "\"text\",\"text\":\"first question\"}",
      "messages[1].content[0].text: " },
    { "where it runs", NULL, "\"messages\":[", "\"messages\":[{\"role\":"
      "\"user\",\"content\":\"I'm in /home/alice\"},",
      "messages[0]." },
    { "a file's text", NULL, "file:///etc/hostname", "vm", "messages[3]." },
    { "another model", NULL, "claude-sonnet-4-5", "qwen-plus", "model: " },
    { "another limit", NULL, "32000", "8000", "max_tokens: " },
    { "a parameter", NULL, "\"stream\":true", "\"stream\":true,"
      "\"temperature\":1", "(top): member \"temperature\"" },
    { NULL }
};

static const change_t *changes(const char *driver)
{
    return strcmp(driver, "codex") == 0 ? codex
         : strcmp(driver, "gemini") == 0 ? gemini
         : strcmp(driver, "qwen") == 0 ? qwen : claude;
}

/* @a text with the first @a from made @a to, NULL if there is none. */
static const char *replaced(const char *text, const char *from,
                            const char *to)
{
    const char *at = strstr(text, from);

    return at == NULL ? NULL : apr_pstrcat(pool, apr_pstrmemdup(pool, text,
        (apr_size_t)(at - text)), to, at + strlen(from), NULL);
}

static clb_json_t *parse(const char *text)
{
    const char *why = "no text";
    clb_json_t *json = NULL;

    if (text == NULL || clb_json_parse(&json, text, strlen(text),
            CLB_JSON_STRICT, &why, pool) != APR_SUCCESS) {
        diag("%s", why);
    }
    return json;
}

static const char *recorded(const clb_canary_t *canary)
{
    const char *path = apr_psprintf(pool, "t/data/%s/canary-%s.json",
                                    canary->driver, canary->version);
    apr_file_t *file;
    char *text = apr_pcalloc(pool, 65536);
    apr_size_t len = 65535;

    if (apr_file_open(&file, path, APR_FOPEN_READ, 0, pool) != APR_SUCCESS) {
        return NULL;
    }
    apr_file_read(file, text, &len);
    apr_file_close(file);
    return text;
}

static void version(const clb_canary_t *canary)
{
    const change_t *change = changes(canary->driver);
    const char *text = recorded(canary);
    clb_json_t *pattern = parse(canary->text), *value;

    if (!ok(text != NULL && pattern != NULL, "%s %s was recorded",
            canary->driver, canary->version)) {
        return;
    }
    for (; change->name != NULL; change++) {
        const char *where = change->where, *why = NULL;

        if (change->version != NULL
            && strcmp(change->version, canary->version) != 0) {
            continue;
        }
        value = parse(replaced(text, change->from, change->to));
        if (value != NULL) {
            why = clb_json_mismatch(pattern, value, pool);
        }
        if (!ok(value != NULL && (where == NULL ? why == NULL : why != NULL
                && strncmp(why, where, strlen(where)) == 0),
                "%s %s: %s", canary->driver, canary->version,
                change->name)) {
            diag("got  %s\nwant %s", why, where);
        }
    }
}

/* The chat is in each pattern as it is asked. */
static void chat(const clb_canary_t *canary)
{
    static const char *const texts[] = {
        "\"" CLB_CANARY_MODEL "\"", "\"" CLB_CANARY_SYSTEM "\"",
        "\"" CLB_CANARY_FIRST "\"", "\"" CLB_CANARY_ANSWER "\"",
        "\"" CLB_CANARY_SECOND "\""
    };
    /* its model's API has the model in the path */
    apr_size_t i = strcmp(canary->driver, "gemini") == 0;

    for (; i < sizeof(texts) / sizeof(*texts); i++) {
        ok(strstr(canary->text, texts[i]) != NULL, "%s %s has %s",
           canary->driver, canary->version, texts[i]);
    }
}

int main(void)
{
    const clb_canary_t *canary;

    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    for (canary = clb_canaries; canary->driver != NULL; canary++) {
        version(canary);
        chat(canary);
    }
    is_int(canary - clb_canaries, 5, "versions");
    is_str(clb_canaries[0].version, OLD, "claude's oldest");
    is_str(clb_canaries[1].version, NEW, "and newest");
    is_str(clb_canaries[2].driver, "codex", "and codex");
    is_str(clb_canaries[3].driver, "gemini", "and gemini");
    is_str(clb_canaries[4].driver, "qwen", "and qwen");
    return tap_done();
}
