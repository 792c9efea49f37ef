/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a failed turn of Codex means. The CLI says it by a name
 * (codexErrorInfo), by a status inside of one, or by its message alone.
 */
#include "codex.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

/* In microseconds; who tells of more cannot be believed. */
#define WAIT_MAX 1e12

static clb_error_e kind_of_name(const char *name)
{
    static const struct {
        const char *name;
        clb_error_e kind;
    } names[] = {
        { "unauthorized", CLB_LOGIN_REQUIRED },
        { "usageLimitExceeded", CLB_QUOTA_EXHAUSTED },
        { "rateLimitExceeded", CLB_RATE_LIMITED },
        { "contextWindowExceeded", CLB_CONTEXT_LENGTH },
        { "modelNotFound", CLB_MODEL_NOT_FOUND },
        { "badRequest", CLB_BAD_REQUEST },
        { "cyberPolicy", CLB_CONTENT_FILTER },
        { "serverOverloaded", CLB_OVERLOADED },
        { "internalServerError", CLB_UPSTREAM },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(names[i].name, name) == 0) {
            return names[i].kind;
        }
    }
    return CLB_OK;
}

static int begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* "other": the body of a 400 as it came, or a stream that broke off. */
static clb_error_e kind_of_message(const char *message)
{
    return *message == '{' ? CLB_BAD_REQUEST : CLB_UPSTREAM;
}

static clb_error_e kind_of(const clb_json_t *info, const char *message)
{
    const char *name = clb_json_string(info);
    clb_json_t *detail = NULL;
    apr_int64_t status = 0;
    clb_error_e kind;

    if (name != NULL) {
        kind = kind_of_name(name);
        return kind != CLB_OK ? kind : kind_of_message(message);
    }
    clb_json_next(info, NULL, &name, &detail);
    status = clb_json_get_integer(detail, "httpStatusCode", 0);
    kind = name == NULL ? CLB_OK : kind_of_name(name);
    return kind != CLB_OK ? kind : clb_error_of_upstream(status);
}

/* A body's own message, less the address of an operator's gateway, which is no
 * business of a client. */
static const char *reason_of(const char *message, apr_pool_t *pool)
{
    const char *end = strstr(message, ", url: "), *text = NULL, *why;
    clb_json_t *body;

    if (*message == '{'
        && clb_json_parse(&body, message, strlen(message), CLB_JSON_LENIENT,
                          &why, pool) == APR_SUCCESS) {
        text = clb_json_string(clb_json_find(body, "error.message"));
        text = text != NULL ? text : clb_json_get_string(body, "detail");
    }
    return text != NULL ? text
         : end != NULL ? apr_pstrmemdup(pool, message,
                                        (apr_size_t)(end - message))
         : message;
}

/* Microseconds of the unit at *@a at, which is passed; 0 if it is none. */
static double unit(const char **at)
{
    static const struct {
        const char *name;
        double usec;
    } units[] = { { "ms", 1e3 }, { "s", 1e6 }, { "m", 6e7 }, { "h", 3.6e9 } };
    apr_size_t i;

    for (i = 0; i < sizeof(units) / sizeof(*units); i++) {
        if (begins(*at, units[i].name)) {
            *at += strlen(units[i].name);
            return units[i].usec;
        }
    }
    return 0;
}

/* "... Please try again in 1m11.5s." */
static apr_interval_time_t wait_in(const char *message)
{
    static const char before[] = "try again in ";
    const char *at = strstr(message, before);
    double sum = 0, n, usec = 1;
    char *end;

    at = at == NULL ? "" : at + strlen(before);
    while (apr_isdigit(*at) && usec > 0) {
        n = strtod(at, &end);
        at = end;
        usec = unit(&at);
        sum += n * usec;
    }
    return usec > 0 && sum < WAIT_MAX ? (apr_interval_time_t)sum : 0;
}

static apr_interval_time_t wait_of(clb_error_e kind, const char *message,
                                   apr_int64_t resets_at)
{
    return kind == CLB_QUOTA_EXHAUSTED && resets_at > 0
         ? clb_step_wait(resets_at - apr_time_sec(apr_time_now()),
                         APR_USEC_PER_SEC)
         : kind == CLB_RATE_LIMITED ? wait_in(message) : 0;
}

apr_int64_t clb_codex_resets_at(const clb_json_t *params)
{
    static const char *const windows[] = { "primary", "secondary" };
    const clb_json_t *all = clb_json_get(params, "rateLimits");
    apr_int64_t last = 0, at;
    int i;

    for (i = 0; i < 2; i++) {
        const clb_json_t *window = clb_json_get(all, windows[i]);

        at = clb_json_get_integer(window, "resetsAt", 0);
        if (clb_json_number(clb_json_get(window, "usedPercent"), 0) >= 100
            && at > last) {
            last = at;
        }
    }
    return last;
}

int clb_codex_cut(const clb_json_t *turn, clb_stop_e *reason)
{
    static const char broken[] = "stream disconnected before completion: ";
    static const char incomplete[] = "Incomplete response returned, reason: ";
    const char *why = clb_json_string(clb_json_find(turn, "error.message"));

    if (why == NULL) {
        return 0;
    }
    why += begins(why, broken) ? strlen(broken) : 0;
    if (!begins(why, incomplete)) {
        return 0;
    }
    why += strlen(incomplete);
    *reason = begins(why, "max_output_tokens") ? CLB_STOP_LENGTH
                                               : CLB_STOP_FILTER;
    return *reason == CLB_STOP_LENGTH || begins(why, "content_filter");
}

void clb_codex_fail(const clb_json_t *turn, apr_int64_t resets_at,
                    clb_step_t *out)
{
    const clb_json_t *error = clb_json_get(turn, "error");
    const char *message = clb_json_get_string(error, "message");
    clb_error_e kind;

    if (message == NULL) {
        message = "the CLI reported an error without a reason";
    }
    kind = kind_of(clb_json_get(error, "codexErrorInfo"), message);
    clb_step_error(out, kind, reason_of(message, out->pool),
                   wait_of(kind, message, resets_at), CLB_FATE_SETTLE);
}
