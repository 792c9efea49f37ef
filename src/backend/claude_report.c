/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the driver claude's CLI says of itself. It is asked as a process that
 * serves would be: `claude auth status` also counts logins in settings, which
 * such a process does not read. Measured with 2.1.197 and 2.1.329.
 */
#include "claude.h"

#include <apr_strings.h>
#include <string.h>

#define ID "report"

static int is_none(const char *source)
{
    return source == NULL || strcmp(source, "none") == 0;
}

/* A key or token from the environment has a source, a login of HOME the kind of
 * its subscription, another vendor's cloud only its name. */
static clb_login_e login(const clb_json_t *account)
{
    const char *token = clb_json_get_string(account, "tokenSource");

    if (!clb_json_is_object(account)) {
        return CLB_LOGIN_UNKNOWN;
    }
    return token != NULL && is_none(token)
           && is_none(clb_json_get_string(account, "apiKeySource"))
         ? CLB_LOGIN_OUT : CLB_LOGIN_IN;
}

static void add(apr_array_header_t *models, const char *name)
{
    if (name != NULL) {
        APR_ARRAY_PUSH(models, const char *) = apr_pstrdup(models->pool, name);
    }
}

/* "default" is no model's name: it is one of the others. */
static apr_array_header_t *models(const clb_json_t *list, apr_pool_t *pool)
{
    apr_array_header_t *names = apr_array_make(pool, 16, sizeof(const char *));
    apr_size_t i;

    for (i = 0; i < clb_json_size(list); i++) {
        const clb_json_t *model = clb_json_at(list, i);
        const char *value = clb_json_get_string(model, "value");

        if (value != NULL && strcmp(value, "default") != 0) {
            add(names, value);
        }
        add(names, clb_json_get_string(model, "resolvedModel"));
    }
    return names;
}

static void hear(clb_report_t *report, const clb_json_t *line,
                 apr_pool_t *pool)
{
    const char *type = clb_json_get_string(line, "type");
    const clb_json_t *response = clb_json_get(line, "response"), *said;
    const char *id = clb_json_get_string(response, "request_id");

    if (type == NULL || strcmp(type, "control_response") != 0 || id == NULL
        || strcmp(id, ID) != 0) {
        return;
    }
    report->complete = 1;
    said = clb_json_get(response, "response");
    report->login = login(clb_json_get(said, "account"));
    if (clb_json_is_array(clb_json_get(said, "models"))) {
        report->models = models(clb_json_get(said, "models"), pool);
    }
}

const clb_question_t clb_claude_question = {
    .args = clb_claude_args,
    .lines = "{\"type\":\"control_request\",\"request_id\":\"" ID "\","
             "\"request\":{\"subtype\":\"initialize\"}}\n",
    .hear = hear,
};
