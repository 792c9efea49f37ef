/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Gemini CLI and Qwen Code say of themselves: a new session tells its
 * models, or that there is no login. Measured with 0.61.0 and 0.15.10.
 */
#include "acp.h"

#include <apr_strings.h>
#include <string.h>

#define SESSION "session"

/* The protocol's own. */
#define AUTH_REQUIRED (-32000)

static void hear(clb_report_t *report, const clb_json_t *line,
                 const char *member, apr_pool_t *pool)
{
    const clb_json_t *list = clb_json_find(line,
                                           "result.models.availableModels");
    const char *id = clb_json_get_string(line, "id");
    apr_size_t i;

    if (id == NULL || strcmp(id, SESSION) != 0
        || clb_json_get(line, "method") != NULL) {
        return;
    }
    report->complete = 1;
    if (clb_json_get(line, "error") != NULL) {
        report->login = clb_json_integer(clb_json_find(line, "error.code"), 0)
                        == AUTH_REQUIRED ? CLB_LOGIN_OUT : CLB_LOGIN_UNKNOWN;
        return;
    }
    report->login = CLB_LOGIN_IN;
    report->models = apr_array_make(pool, 8, sizeof(const char *));
    for (i = 0; i < clb_json_size(list); i++) {
        const char *name = clb_json_get_string(clb_json_at(list, i), member);

        if (name != NULL) {
            APR_ARRAY_PUSH(report->models, const char *) = apr_pstrdup(pool,
                                                                       name);
        }
    }
}

static void hear_gemini(clb_report_t *report, const clb_json_t *line,
                        apr_pool_t *pool)
{
    hear(report, line, "modelId", pool);
}

/* Its ids have the kind of login in them. */
static void hear_qwen(clb_report_t *report, const clb_json_t *line,
                      apr_pool_t *pool)
{
    hear(report, line, "name", pool);
}

#define LINES \
    "{\"jsonrpc\":\"2.0\",\"id\":\"hello\",\"method\":\"initialize\"," \
        "\"params\":{\"protocolVersion\":1,\"clientCapabilities\":{}}}\n" \
    "{\"jsonrpc\":\"2.0\",\"id\":\"" SESSION "\",\"method\":" \
        "\"session/new\",\"params\":{\"cwd\":\".\",\"mcpServers\":[]}}\n"

const clb_question_t clb_acp_gemini_question = {
    .args = clb_acp_gemini_args,
    .lines = LINES,
    .hear = hear_gemini,
};

const clb_question_t clb_acp_qwen_question = {
    .args = clb_acp_qwen_args,
    .lines = LINES,
    .hear = hear_qwen,
};
