/* SPDX-License-Identifier: Apache-2.0 */
/* What CLIs sent for the canary's chat (t/data/claude/canary-*.json) against
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

static const struct {
    const char *name;
    const char *version;      /* NULL = any */
    const char *from;
    const char *to;
    const char *where;        /* the mismatch; NULL = still as known */
} changes[] = {
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
};

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
    const char *text = recorded(canary);
    clb_json_t *pattern = parse(canary->text), *value;
    apr_size_t i;

    if (!ok(text != NULL && pattern != NULL, "%s %s was recorded",
            canary->driver, canary->version)) {
        return;
    }
    for (i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
        const char *where = changes[i].where, *why = NULL;

        if (changes[i].version != NULL
            && strcmp(changes[i].version, canary->version) != 0) {
            continue;
        }
        value = parse(replaced(text, changes[i].from, changes[i].to));
        if (value != NULL) {
            why = clb_json_mismatch(pattern, value, pool);
        }
        if (!ok(value != NULL && (where == NULL ? why == NULL : why != NULL
                && strncmp(why, where, strlen(where)) == 0),
                "%s %s: %s", canary->driver, canary->version,
                changes[i].name)) {
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
    apr_size_t i;

    for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
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
    is_int(canary - clb_canaries, 2, "versions");
    is_str(clb_canaries[0].version, OLD, "the oldest");
    is_str(clb_canaries[1].version, NEW, "and the newest");
    return tap_done();
}
