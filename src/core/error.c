/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table that says what a failure is called in each dialect and which
 * HTTP status it has. Sources: OpenAI "Error codes", Anthropic "Errors",
 * google.rpc.Code.
 */
#include "error.h"

#include <apr_strings.h>

#define INVALID "invalid_request_error"

static const clb_error_info_t table[CLB_ERRORS] = {
    [CLB_OK] = { "ok", 200, NULL, NULL, NULL, "OK", 0 },
    [CLB_BAD_REQUEST] = { "bad_request", 400, INVALID, NULL,
        INVALID, "INVALID_ARGUMENT", 0 },
    [CLB_UNSUPPORTED] = { "unsupported", 400, INVALID,
        "unsupported_parameter", INVALID, "INVALID_ARGUMENT", 0 },
    [CLB_AUTH_MISSING] = { "auth_missing", 401, INVALID, "missing_api_key",
        "authentication_error", "UNAUTHENTICATED", 0 },
    [CLB_AUTH_INVALID] = { "auth_invalid", 401, INVALID, "invalid_api_key",
        "authentication_error", "UNAUTHENTICATED", 0 },
    [CLB_FORBIDDEN] = { "forbidden", 403, "permission_error",
        "insufficient_permissions", "permission_error",
        "PERMISSION_DENIED", 0 },
    [CLB_NOT_FOUND] = { "not_found", 404, INVALID, "not_found",
        "not_found_error", "NOT_FOUND", 0 },
    [CLB_METHOD] = { "method", 405, INVALID, "method_not_allowed",
        INVALID, "INVALID_ARGUMENT", 0 },
    [CLB_MODEL_NOT_FOUND] = { "model_not_found", 404, INVALID,
        "model_not_found", "not_found_error", "NOT_FOUND", 0 },
    [CLB_PREVIOUS_NOT_FOUND] = { "previous_not_found", 400, INVALID,
        "previous_response_not_found", INVALID, "INVALID_ARGUMENT", 0 },
    [CLB_SOCKET_LIMIT] = { "socket_limit", 400, INVALID,
        "websocket_connection_limit_reached", INVALID, "INVALID_ARGUMENT", 0 },
    [CLB_TOO_LARGE] = { "too_large", 413, INVALID, "request_too_large",
        "request_too_large", "INVALID_ARGUMENT", 0 },
    [CLB_TIMEOUT_BODY] = { "timeout_body", 408, INVALID, "request_timeout",
        INVALID, "DEADLINE_EXCEEDED", 1 },
    [CLB_RATE_LIMITED] = { "rate_limited", 429, "rate_limit_error",
        "rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED", 1 },
    [CLB_QUOTA_EXHAUSTED] = { "quota_exhausted", 429, "rate_limit_error",
        "insufficient_quota", "rate_limit_error", "RESOURCE_EXHAUSTED", 1 },
    [CLB_QUEUE_FULL] = { "queue_full", 429, "rate_limit_error",
        "queue_full", "rate_limit_error", "RESOURCE_EXHAUSTED", 1 },
    [CLB_CONTEXT_LENGTH] = { "context_length", 400, INVALID,
        "context_length_exceeded", INVALID, "INVALID_ARGUMENT", 0 },
    [CLB_CONTENT_FILTER] = { "content_filter", 400, INVALID,
        "content_filter", INVALID, "INVALID_ARGUMENT", 0 },
    [CLB_LOGIN_REQUIRED] = { "login_required", 503, "server_error",
        "login_required", "api_error", "UNAVAILABLE", 0 },
    [CLB_CLI_MISSING] = { "cli_missing", 503, "server_error",
        "cli_missing", "api_error", "UNAVAILABLE", 0 },
    [CLB_CLI_UNTRUSTED] = { "cli_untrusted", 503, "server_error",
        "cli_untrusted", "api_error", "UNAVAILABLE", 0 },
    [CLB_CLI_FAILED] = { "cli_failed", 502, "server_error",
        "cli_failed", "api_error", "UNAVAILABLE", 1 },
    [CLB_UPSTREAM] = { "upstream_error", 502, "server_error",
        "upstream_error", "api_error", "UNAVAILABLE", 1 },
    [CLB_OVERLOADED] = { "overloaded", 503, "server_error",
        "overloaded", "overloaded_error", "UNAVAILABLE", 1 },
    [CLB_TIMEOUT_QUEUE] = { "timeout_queue", 429, "rate_limit_error",
        "queue_timeout", "rate_limit_error", "RESOURCE_EXHAUSTED", 1 },
    [CLB_TIMEOUT_FIRST] = { "timeout_first", 504, "server_error",
        "timeout", "timeout_error", "DEADLINE_EXCEEDED", 1 },
    [CLB_TIMEOUT_IDLE] = { "timeout_idle", 504, "server_error",
        "timeout", "timeout_error", "DEADLINE_EXCEEDED", 1 },
    [CLB_TIMEOUT_TURN] = { "timeout_turn", 504, "server_error",
        "timeout", "timeout_error", "DEADLINE_EXCEEDED", 0 },
    [CLB_CLIENT_GONE] = { "client_gone", 499, INVALID,
        "client_gone", INVALID, "CANCELLED", 0 },
    [CLB_SHUTTING_DOWN] = { "shutting_down", 503, "server_error",
        "shutting_down", "overloaded_error", "UNAVAILABLE", 1 },
    [CLB_INTERNAL] = { "internal", 500, "server_error", "internal_error",
        "api_error", "INTERNAL", 0 },
};

const clb_error_info_t *clb_error_info(clb_error_e kind)
{
    return &table[(unsigned)kind < CLB_ERRORS ? kind : CLB_INTERNAL];
}

clb_error_e clb_error_of_status(int status)
{
    switch (status) {
    case 401: return CLB_AUTH_MISSING;
    case 403: return CLB_FORBIDDEN;
    case 404: return CLB_NOT_FOUND;
    case 405: return CLB_METHOD;
    case 408: return CLB_TIMEOUT_BODY;
    case 413: return CLB_TOO_LARGE;
    case 429: return CLB_RATE_LIMITED;
    case 503: return CLB_OVERLOADED;
    case 502: return CLB_UPSTREAM;
    case 504: return CLB_TIMEOUT_TURN;
    default: return status >= 500 ? CLB_INTERNAL : CLB_BAD_REQUEST;
    }
}

clb_error_e clb_error_of_upstream(apr_int64_t status)
{
    switch (status) {
    case 400: case 422: return CLB_BAD_REQUEST;
    case 401: case 403: return CLB_LOGIN_REQUIRED;
    case 402: return CLB_QUOTA_EXHAUSTED;
    case 404: return CLB_MODEL_NOT_FOUND;
    case 413: return CLB_TOO_LARGE;
    case 429: return CLB_RATE_LIMITED;
    case 503: case 529: return CLB_OVERLOADED;
    default: return CLB_UPSTREAM;
    }
}

apr_status_t clb_error_set(clb_error_t *error, apr_pool_t *pool,
                           clb_error_e kind, const char *param,
                           const char *format, ...)
{
    va_list args;

    va_start(args, format);
    error->message = apr_pvsprintf(pool, format, args);
    va_end(args);
    error->kind = kind;
    error->param = param;
    error->retry_after = 0;
    return APR_EGENERAL;
}
