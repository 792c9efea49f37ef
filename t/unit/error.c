/* SPDX-License-Identifier: Apache-2.0 */
/* The table of failures. */
#include "tap.h"

#include "../../src/core/error.h"

#include <apr_general.h>
#include <stdlib.h>

static int one_of(const char *name, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (name != NULL && strcmp(name, *list) == 0) {
            return 1;
        }
    }
    return 0;
}

/* What the vendors' clients know: a name of another spelling would become an
 * exception of the wrong class there. */
static void table(void)
{
    static const char *const anthropic[] = { "invalid_request_error",
        "authentication_error", "permission_error", "not_found_error",
        "request_too_large", "rate_limit_error", "api_error",
        "overloaded_error", "timeout_error", "billing_error", NULL };
    static const char *const google[] = { "INVALID_ARGUMENT",
        "FAILED_PRECONDITION", "UNAUTHENTICATED", "PERMISSION_DENIED",
        "NOT_FOUND", "RESOURCE_EXHAUSTED", "CANCELLED", "INTERNAL",
        "UNAVAILABLE", "DEADLINE_EXCEEDED", NULL };
    int kind, other;

    for (kind = CLB_OK + 1; kind < CLB_ERRORS; kind++) {
        const clb_error_info_t *info = clb_error_info(kind);

        if (!ok(info->name != NULL, "kind %d has a row", kind)) {
            continue;
        }
        ok(info->status >= 400 && info->status <= 599, "%s: status %d",
           info->name, info->status);
        ok(info->openai_type != NULL, "%s: OpenAI's type", info->name);
        ok(one_of(info->anthropic_type, anthropic),
           "%s: Anthropic's type %s", info->name, info->anthropic_type);
        ok(one_of(info->gemini_status, google), "%s: Google's status %s",
           info->name, info->gemini_status);
        ok(!info->retryable || info->status == 408 || info->status == 429
           || info->status >= 500,
           "%s: who may try again did nothing wrong", info->name);
        for (other = CLB_OK; other < kind; other++) {
            if (strcmp(clb_error_info(other)->name, info->name) == 0) {
                ok(0, "%s: the name is taken", info->name);
            }
        }
    }
    ok(clb_error_info(CLB_ERRORS) == clb_error_info(CLB_INTERNAL)
       && clb_error_info((clb_error_e)-1) == clb_error_info(CLB_INTERNAL),
       "kinds out of range are internal errors");
    is_int(clb_error_info(CLB_AUTH_MISSING)->status, 401, "no key: 401");
    is_int(clb_error_info(CLB_QUEUE_FULL)->status, 429, "queue full: 429");
    is_int(clb_error_info(CLB_CLIENT_GONE)->status, 499, "client gone: 499");
    is_int(clb_error_info(CLB_LOGIN_REQUIRED)->status, 503,
           "the operator's login is not the client's key");
}

static void of_status(void)
{
    static const int statuses[] = { 401, 403, 404, 405, 413, 429, 500, 502,
                                    503, 504 };
    apr_size_t i;

    for (i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
        is_int(clb_error_info(clb_error_of_status(statuses[i]))->status,
               statuses[i], "status %d stays what it is", statuses[i]);
    }
    is_int(clb_error_of_status(418), CLB_BAD_REQUEST, "other 4xx");
    is_int(clb_error_of_status(505), CLB_INTERNAL, "other 5xx");
}

static void of_upstream(void)
{
    static const struct {
        apr_int64_t status;
        clb_error_e kind;
    } cases[] = {
        { 400, CLB_BAD_REQUEST }, { 401, CLB_LOGIN_REQUIRED },
        { 402, CLB_QUOTA_EXHAUSTED }, { 403, CLB_LOGIN_REQUIRED },
        { 404, CLB_MODEL_NOT_FOUND }, { 413, CLB_TOO_LARGE },
        { 422, CLB_BAD_REQUEST }, { 429, CLB_RATE_LIMITED },
        { 500, CLB_UPSTREAM }, { 503, CLB_OVERLOADED },
        { 529, CLB_OVERLOADED }, { 0, CLB_UPSTREAM }, { -1, CLB_UPSTREAM },
        { 4294967696, CLB_UPSTREAM },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        is_int(clb_error_of_upstream(cases[i].status), cases[i].kind,
               "the model's API said %ld", (long)cases[i].status);
    }
}

static void set(apr_pool_t *pool)
{
    clb_error_t error = { CLB_OK, NULL, "old", 5 };

    is_int(clb_error_set(&error, pool, CLB_UNSUPPORTED, "seed", "no %s: %d",
                         "seed", 7), APR_EGENERAL, "set is a failure");
    is_int(error.kind, CLB_UNSUPPORTED, "of the kind");
    is_str(error.message, "no seed: 7", "with the message");
    is_str(error.param, "seed", "and the field");
    is_int(error.retry_after, 0, "and no time left over");
}

int main(void)
{
    apr_pool_t *pool;

    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    table();
    of_status();
    of_upstream();
    set(pool);
    return tap_done();
}
