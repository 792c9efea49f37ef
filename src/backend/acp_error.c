/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an agent's error means. Gemini CLI puts the status of its model's API
 * into the code of the JSON-RPC error, Qwen Code at the head of its details;
 * others say what the protocol says.
 */
#include "acp.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

/* The protocol's own. */
#define AUTH_REQUIRED (-32000)

/* "401 Incorrect API key", "error 404", "... (HTTP 413) ..." */
static apr_int64_t status_in(const char *text)
{
    const char *http = strstr(text, "(HTTP ");
    const char *at = strncmp(text, "error ", 6) == 0 ? text + 6
                   : http != NULL ? http + 6 : text;
    char *end;
    long n = apr_isdigit(*at) ? strtol(at, &end, 10) : 0;

    return n >= 400 && n < 600 && strchr(" )", *end) != NULL ? n : 0;
}

/* A text that is an API's error as JSON says it inside. */
static const char *inner(const char *text, apr_int64_t *status,
                         apr_pool_t *pool)
{
    const char *why, *message;
    clb_json_t *body;

    if (*text != '{'
        || clb_json_parse(&body, text, strlen(text), CLB_JSON_LENIENT, &why,
                          pool) != APR_SUCCESS) {
        return text;
    }
    message = clb_json_string(clb_json_find(body, "error.message"));
    *status = clb_json_integer(clb_json_find(body, "error.code"), *status);
    return message != NULL ? message : text;
}

static int says(const char *text, const char *words)
{
    return strstr(text, words) != NULL;
}

static clb_error_e kind_of(apr_int64_t status, const char *text)
{
    clb_error_e kind = clb_error_of_upstream(status);

    if (status == AUTH_REQUIRED) {
        return CLB_LOGIN_REQUIRED;
    }
    if (kind == CLB_RATE_LIMITED && (says(text, "quota")
                                     || says(text, "Quota"))) {
        return CLB_QUOTA_EXHAUSTED;
    }
    /* Gemini CLI calls it a failure of the server */
    if (kind == CLB_UPSTREAM && says(text, "is not found for API version")) {
        return CLB_MODEL_NOT_FOUND;
    }
    return kind == CLB_BAD_REQUEST && says(text, "API key not valid")
         ? CLB_LOGIN_REQUIRED : kind;
}

void clb_acp_fail(const char *id, const clb_json_t *error, clb_step_t *out)
{
    const clb_json_t *data = clb_json_get(error, "data");
    const char *text = clb_json_get_string(data, "details");
    apr_int64_t status = clb_json_get_integer(error, "code", 0), told;

    if (text == NULL) {
        text = clb_json_string(data);
    }
    if (text == NULL || *text == '\0') {
        text = clb_json_get_string(error, "message");
    }
    if (text == NULL || *text == '\0') {
        text = "the CLI reported an error without a reason";
    }
    text = inner(text, &status, out->pool);
    if ((told = status_in(text)) != 0) {
        status = told;
    }
    if (strcmp(id, CLB_ACP_MODEL) == 0 && status != AUTH_REQUIRED) {
        status = 404;
    }
    clb_step_error(out, kind_of(status, text), text, 0, CLB_FATE_SETTLE);
}
