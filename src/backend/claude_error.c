/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the driver claude makes of its CLI's errors.
 */
#include "claude.h"

#include <apr_strings.h>
#include <string.h>

clb_error_e clb_claude_kind(const char *name)
{
    static const struct {
        const char *name;
        clb_error_e kind;
    } names[] = {
        { "authentication_failed", CLB_LOGIN_REQUIRED },
        { "billing_error", CLB_QUOTA_EXHAUSTED },
        { "rate_limit", CLB_RATE_LIMITED },
        { "model_not_found", CLB_MODEL_NOT_FOUND },
        { "invalid_request", CLB_BAD_REQUEST },
        { "overloaded", CLB_OVERLOADED },
        { "server_error", CLB_UPSTREAM },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(names[i].name, name) == 0) {
            return names[i].kind;
        }
    }
    return CLB_OK;
}

/* What an error result means; the CLI says it in three places. */
static clb_error_e kind_of_result(clb_error_e kind, apr_int64_t resets_at,
                                  const clb_json_t *json, const char *text)
{
    apr_int64_t status = clb_json_get_integer(json, "api_error_status", 0);
    const char *reason = clb_json_get_string(json, "terminal_reason");
    const char *stop = clb_json_get_string(json, "stop_reason");

    if (stop != NULL && strcmp(stop, "refusal") == 0) {
        return CLB_CONTENT_FILTER;
    }
    if ((reason != NULL && strcmp(reason, "prompt_too_long") == 0)
        || strncmp(text, "Prompt is too long", 18) == 0) {
        return CLB_CONTEXT_LENGTH;
    }
    if (kind == CLB_RATE_LIMITED && resets_at > 0) {
        return CLB_QUOTA_EXHAUSTED;
    }
    if (kind != CLB_BAD_REQUEST && strstr(text, "Overloaded") != NULL) {
        return CLB_OVERLOADED;
    }
    if (kind == CLB_OK || kind == CLB_UPSTREAM
        || (kind == CLB_BAD_REQUEST && status == 413)) {
        return clb_error_of_upstream(status);
    }
    return kind;
}

/* The vendor's own words, less the address of an operator's gateway, which is
 * no business of a client. */
static const char *reason_of(const clb_json_t *json, apr_pool_t *pool)
{
    const char *text = clb_json_get_string(json, "result"), *end;

    if (text == NULL) {
        text = clb_json_string(clb_json_at(clb_json_get(json, "errors"), 0));
    }
    if (text == NULL || *text == '\0') {
        return "the CLI reported an error without a reason";
    }
    end = strstr(text, " If it persists, check your inference gateway");
    return end != NULL ? apr_pstrndup(pool, text, (apr_size_t)(end - text))
                       : text;
}

void clb_claude_fail(clb_error_e kind, apr_int64_t resets_at,
                     const clb_json_t *json, clb_step_t *out)
{
    const char *text = reason_of(json, out->pool);
    apr_interval_time_t retry = 0;

    kind = kind_of_result(kind, resets_at, json, text);
    if (kind == CLB_QUOTA_EXHAUSTED && resets_at > 0) {
        retry = clb_step_wait(resets_at - apr_time_sec(apr_time_now()),
                              APR_USEC_PER_SEC);
    }
    clb_step_error(out, kind, text, retry, CLB_FATE_END);
}

/* On a rate limit the client knows better what to do with the time that the CLI
 * would sleep. 2.1.329 tries a stream again that broke, too, and would say
 * everything twice. */
void clb_claude_retry(int started, const clb_json_t *json, clb_step_t *out)
{
    const char *name = clb_json_get_string(json, "error");
    apr_int64_t ms = clb_json_get_integer(json, "retry_delay_ms", 0);
    apr_int64_t status = clb_json_get_integer(json, "error_status", 0);
    clb_event_t *note;

    if (name != NULL && clb_claude_kind(name) == CLB_RATE_LIMITED) {
        clb_step_error(out, CLB_RATE_LIMITED, apr_psprintf(out->pool,
            "the model's API refused the request (%" APR_INT64_T_FMT ")",
            status), clb_step_wait(ms, 1000), CLB_FATE_END);
        return;
    }
    if (started) {
        clb_step_error(out, CLB_UPSTREAM, "the model's API broke off its "
                       "answer", 0, CLB_FATE_KILL);
        return;
    }
    note = clb_step_event(out, CLB_EV_NOTE);
    note->u.note.kind = CLB_NOTE_RETRY;
    note->u.note.text = apr_psprintf(out->pool, "status %" APR_INT64_T_FMT
                                     ", again in %" APR_INT64_T_FMT " ms",
                                     status, ms);
}

apr_int64_t clb_claude_limit(apr_int64_t resets_at, const clb_json_t *json,
                             clb_step_t *out)
{
    const clb_json_t *info = clb_json_get(json, "rate_limit_info");
    const char *status = clb_json_get_string(info, "status");
    const char *type = clb_json_get_string(info, "rateLimitType");
    clb_event_t *note = clb_step_event(out, CLB_EV_NOTE);

    note->u.note.kind = CLB_NOTE_LIMIT;
    note->u.note.text = apr_psprintf(out->pool, "%s: %s",
                                     type == NULL ? "limit" : type,
                                     status == NULL ? "unknown" : status);
    return status != NULL && strcmp(status, "rejected") == 0
         ? clb_json_get_integer(info, "resetsAt", 0) : resets_at;
}
