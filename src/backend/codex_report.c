/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the driver codex's CLI says of itself: a process that serves has our
 * list of models in the place of its own, so it is asked without that.
 * `codex login status` would not count a key from the environment. Measured
 * with 0.169.0 and 0.171.0.
 */
#include "codex.h"

#include <apr_strings.h>
#include <string.h>

#define MODELS "models"
#define LOGIN "login"

/* Which answers came. */
#define HEARD_MODELS 1u
#define HEARD_LOGIN 2u

static void models(clb_report_t *report, const clb_json_t *list,
                   apr_pool_t *pool)
{
    apr_size_t i;

    report->models = apr_array_make(pool, 16, sizeof(const char *));
    for (i = 0; i < clb_json_size(list); i++) {
        const char *name = clb_json_get_string(clb_json_at(list, i), "id");

        if (name != NULL) {
            APR_ARRAY_PUSH(report->models, const char *) = apr_pstrdup(pool,
                                                                       name);
        }
    }
}

/* With a key for its provider the CLI needs no login. */
static clb_login_e login(const clb_json_t *status)
{
    const clb_json_t *needed = clb_json_get(status, "requiresOpenaiAuth");

    if (!clb_json_is_bool(needed)) {
        return CLB_LOGIN_UNKNOWN;
    }
    return clb_json_true(needed)
           && clb_json_get_string(status, "authMethod") == NULL
         ? CLB_LOGIN_OUT : CLB_LOGIN_IN;
}

static void hear(clb_report_t *report, const clb_json_t *line,
                 apr_pool_t *pool)
{
    const char *id = clb_json_get_string(line, "id");
    const clb_json_t *result = clb_json_get(line, "result");

    if (id == NULL || clb_json_get(line, "method") != NULL) {
        return;
    }
    if (strcmp(id, MODELS) == 0) {
        models(report, clb_json_get(result, "data"), pool);
        report->heard |= HEARD_MODELS;
    }
    else if (strcmp(id, LOGIN) == 0) {
        report->login = login(result);
        report->heard |= HEARD_LOGIN;
    }
    report->complete = report->heard == (HEARD_MODELS | HEARD_LOGIN);
}

const clb_question_t clb_codex_question = {
    .args = clb_codex_args,
    .lines =
        "{\"id\":\"hello\",\"method\":\"initialize\",\"params\":"
            "{\"clientInfo\":{\"name\":\"clibridge\",\"version\":\"1\"}}}\n"
        "{\"method\":\"initialized\"}\n"
        "{\"id\":\"" LOGIN "\",\"method\":\"getAuthStatus\",\"params\":"
            "{\"includeToken\":false,\"refreshToken\":false}}\n"
        "{\"id\":\"" MODELS "\",\"method\":\"model/list\",\"params\":{}}\n",
    .hear = hear,
};
