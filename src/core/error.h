/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_ERROR_H
#define CLB_ERROR_H

#include <apr_pools.h>
#include <apr_time.h>

/** Everything that can go wrong for a client. */
typedef enum clb_error_e {
    CLB_OK,
    CLB_BAD_REQUEST,
    CLB_UNSUPPORTED,
    CLB_AUTH_MISSING,
    CLB_AUTH_INVALID,
    CLB_FORBIDDEN,
    CLB_NOT_FOUND,
    CLB_METHOD,
    CLB_MODEL_NOT_FOUND,
    CLB_PREVIOUS_NOT_FOUND,
    CLB_SOCKET_LIMIT,
    CLB_TOO_LARGE,
    CLB_TIMEOUT_BODY,
    CLB_RATE_LIMITED,
    CLB_QUOTA_EXHAUSTED,
    CLB_QUEUE_FULL,
    CLB_CONTEXT_LENGTH,
    CLB_CONTENT_FILTER,
    CLB_LOGIN_REQUIRED,
    CLB_CLI_MISSING,
    CLB_CLI_UNTRUSTED,
    CLB_CLI_FAILED,
    CLB_UPSTREAM,
    CLB_OVERLOADED,
    CLB_TIMEOUT_QUEUE,
    CLB_TIMEOUT_FIRST,
    CLB_TIMEOUT_IDLE,
    CLB_TIMEOUT_TURN,
    CLB_CLIENT_GONE,
    CLB_SHUTTING_DOWN,
    CLB_INTERNAL,
    CLB_ERRORS
} clb_error_e;

/** One failure. Strings live in the pool of whoever made it, or are static. */
typedef struct clb_error_t {
    clb_error_e kind;
    const char *message;             /**< one sentence for the client */
    const char *param;               /**< the request field, or NULL */
    apr_interval_time_t retry_after; /**< 0 = not known */
} clb_error_t;

/** What a kind is called on the wire. */
typedef struct clb_error_info_t {
    const char *name;
    int status;
    const char *openai_type;
    const char *openai_code;    /**< NULL = null */
    const char *anthropic_type;
    const char *gemini_status;
    int retryable;
} clb_error_info_t;

/** The row of @a kind; never NULL, also for values out of range. */
const clb_error_info_t *clb_error_info(clb_error_e kind);

/** The kind that stands for an HTTP status set by somebody else (core, an
 *  authorization module). */
clb_error_e clb_error_of_status(int status);

/** The kind that stands for the status a model's API answered the CLI. */
clb_error_e clb_error_of_upstream(apr_int64_t status);

/** Fill @a error; @a format as in apr_psprintf, the message in @a pool.
 *  @return APR_EGENERAL, so that a parser can return the call */
apr_status_t clb_error_set(clb_error_t *error, apr_pool_t *pool,
                           clb_error_e kind, const char *param,
                           const char *format, ...)
                           __attribute__((format(printf, 5, 6)));

#endif
