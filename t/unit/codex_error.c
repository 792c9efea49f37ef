/* SPDX-License-Identifier: Apache-2.0 */
/* What a failed turn of Codex means, by what 0.169.0 and 0.171.0 were seen to
 * say, and how long to wait after it. */
#include "tap.h"

#include "codex.h"

#include <apr_general.h>

static void run(turn_t *turn, const char *lines)
{
    begin(turn, chat_new(1));
    turn_print(turn, q(lines));
}

static const char *said(const char *lines)
{
    turn_t turn;

    run(&turn, lines);
    return turn_said(&turn);
}

#define HTTP(status) "{'httpConnectionFailed':{'httpStatusCode':" status "}}"
#define WHERE ", url: http://10.0.0.1:8080/v1/responses, request id: req_1"
#define CUT_OFF "stream disconnected before completion: "

static const struct {
    const char *message;
    const char *info;
    const char *said;
} rows[] = {
    { "{\\'error\\':{\\'message\\':\\'no such field\\',\\'type\\':"
      "\\'invalid_request_error\\',\\'param\\':null,\\'code\\':null}}",
      "'other'", "bad_request: no such field" },
    { "{\\'detail\\':\\'The \\\\\\'foo\\\\\\' model is not supported\\'}",
      "'other'", "bad_request: The \"foo\" model is not supported" },
    { "{\\'error\\':7}", "'other'", "bad_request: {\"error\":7}" },
    { "{nonsense", "'other'", "bad_request: {nonsense" },
    { "Invalid image in your last message.", "'badRequest'",
      "bad_request: Invalid image in your last message." },
    { "Codex ran out of room.",
      "'contextWindowExceeded'", "context_length: Codex ran out of room." },
    { "unexpected status 401 Unauthorized: no" WHERE, HTTP("401"),
      "login_required: unexpected status 401 Unauthorized: no" },
    { "unexpected status 403 Forbidden: no" WHERE, HTTP("403"),
      "login_required: unexpected status 403 Forbidden: no" },
    { "expired", "'unauthorized'", "login_required: expired" },
    { "unexpected status 413 Payload Too Large: no" WHERE, HTTP("413"),
      "too_large: unexpected status 413 Payload Too Large: no" },
    { "unexpected status 502 Bad Gateway: no" WHERE, HTTP("502"),
      "upstream_error: unexpected status 502 Bad Gateway: no" },
    { "unexpected status 503 Service Unavailable: no" WHERE, HTTP("503"),
      "overloaded: unexpected status 503 Service Unavailable: no" },
    { "unexpected status 529 <unknown status code>: no" WHERE, HTTP("529"),
      "overloaded: unexpected status 529 <unknown status code>: no" },
    { "no such model", "'modelNotFound'", "model_not_found: no such model" },
    { "exceeded retry limit, last status: 429 Too Many Requests",
      "{'responseTooManyFailedAttempts':{'httpStatusCode':429}}",
      "rate_limited: exceeded retry limit, last status: 429 Too Many "
      "Requests" },
    { "rate limit exceeded: slow down", "'rateLimitExceeded'",
      "rate_limited: rate limit exceeded: slow down" },
    { "You have hit your usage limit.", "'usageLimitExceeded'",
      "quota_exhausted: You have hit your usage limit." },
    { "high demand", "'internalServerError'", "upstream_error: high demand" },
    { "Selected model is at capacity.", "'serverOverloaded'",
      "overloaded: Selected model is at capacity." },
    { "policy", "'cyberPolicy'", "content_filter: policy" },
    { "Connection failed: error sending request", HTTP("null"),
      "upstream_error: Connection failed: error sending request" },
    { CUT_OFF "stream closed before response.completed", "'other'",
      "upstream_error: " CUT_OFF "stream closed before response.completed" },
    { CUT_OFF "Incomplete response returned, reason: boredom", "'other'",
      "upstream_error: " CUT_OFF "Incomplete response returned, reason: "
      "boredom" },
    { "x", "'somethingNew'", "upstream_error: x" },
    { "x", "null", "upstream_error: x" },
    { "x", "7", "upstream_error: x" },
    { "x", "[]", "upstream_error: x" },
    { "x", "{}", "upstream_error: x" },
    { "x", "{'somethingNew':7}", "upstream_error: x" },
    { "x", "{'serverOverloaded':{}}", "overloaded: x" },
};

static void kinds(void)
{
    apr_size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        is_str(said(apr_psprintf(pool, BEGUN FAILED("%s", "%s"),
                                 rows[i].message, rows[i].info)),
               apr_pstrcat(pool, rows[i].said, " -> settle", NULL),
               "%s", rows[i].said);
    }
    is_str(said(BEGUN ENDED("t0", "failed", "null")), "upstream_error: the "
           "CLI reported an error without a reason -> settle",
           "an error without a word");
    is_str(said(BEGUN ENDED("t0", "failed", "{'message':7}")),
           "upstream_error: the CLI reported an error without a reason -> "
           "settle", "or a word of another type");
    is_str(said(BEGUN TEXT("x") FAILED("gone", "'other'")),
           "start [x] upstream_error: gone -> settle",
           "an error in the middle of an answer");
}

static void cuts(void)
{
    is_str(said(BEGUN TEXT("x") FAILED("Incomplete response returned, reason: "
           "max_output_tokens", "'other'")),
           "start [x] usage 0+0+0/0/0 stop length -> settle",
           "an answer that was too long");
    is_str(said(BEGUN TEXT("x") FAILED(CUT_OFF "Incomplete response returned, "
           "reason: content_filter", "'other'")),
           "start [x] usage 0+0+0/0/0 stop filter -> settle",
           "or not allowed to go on");
    is_str(said(BEGUN TEXT("x") FAILED("{\\'detail\\':\\'bad prompt: "
           "Incomplete response returned, reason: max_output_tokens\\'}",
           "'other'")), "start [x] bad_request: bad prompt: Incomplete "
           "response returned, reason: max_output_tokens -> settle",
           "but not what only speaks of that");
}

/* --- when to come again --- */

static apr_interval_time_t wait_told(const char *lines)
{
    turn_t turn;
    int i;

    run(&turn, lines);
    for (i = 0; i < turn.step->events->nelts; i++) {
        const clb_event_t *event = &APR_ARRAY_IDX(turn.step->events, i,
                                                  clb_event_t);

        if (event->kind == CLB_EV_ERROR) {
            return event->u.error.retry_after;
        }
    }
    return -1;
}

#define LIMITS(primary, secondary) "{'method':'account/rateLimits/updated'," \
    "'params':{'rateLimits':{'primary':" primary ",'secondary':" secondary \
    "}}}\n"
#define WINDOW "{'usedPercent':%s,'windowDurationMins':300,'resetsAt':%ld}"
#define USED_UP FAILED("limit", "'usageLimitExceeded'")

/* The minutes to wait when two windows are used up as far, and open again in
 * so many minutes. */
static long minutes(const char *used, long opens, const char *used2,
                    long opens2)
{
    long now = (long)apr_time_sec(apr_time_now());

    return (long)((apr_time_sec(wait_told(apr_psprintf(pool,
        BEGUN LIMITS(WINDOW, WINDOW) USED_UP, used, now + 60 * opens,
        used2, now + 60 * opens2))) + 30) / 60);
}

static void windows(void)
{
    is_int(minutes("100", 10, "40", 90), 10, "when the window opens again");
    is_int(minutes("100.0", 10, "100", 90), 90, "the last one");
    is_int(minutes("100", 90, "100", 10), 90, "whichever that is");
    is_int(minutes("40", 10, "107", 90), 90, "that is used up");
    is_int(minutes("99", 10, "40", 90), 0, "none is");
    is_int(minutes("100", -10, "40", 90), 0, "it is open by now");
    is_int(minutes("'100'", 10, "null", 90), 0, "nobody knows");
    is_int(wait_told(BEGUN USED_UP), 0, "nor without a word of windows");
    ok(wait_told(BEGUN LIMITS("{'usedPercent':100,'resetsAt':"
       "9223372036854775807}", "7") USED_UP) > apr_time_from_sec(86400),
       "an absurd time is a long one");
    is_int(wait_told(apr_psprintf(pool, BEGUN LIMITS(WINDOW, "null")
           LIMITS("null", "null") USED_UP, "100", 9999999999L)), 0,
           "what was said last counts");
    is_int(wait_told(apr_psprintf(pool, BEGUN LIMITS(WINDOW, "null")
           FAILED("x", "'serverOverloaded'"), "100", 9999999999L)), 0,
           "for that error alone");
}

#define SLOW(text) BEGUN FAILED("rate limit exceeded: " text, \
    "'rateLimitExceeded'")

static void seconds(void)
{
    is_int(wait_told(SLOW("Please try again in 11.5s. Visit")), 11500000,
           "seconds");
    is_int(wait_told(SLOW("Please try again in 20ms.")), 20000,
           "milliseconds");
    is_int(wait_told(SLOW("Please try again in 1m26.4s.")), 86400000,
           "minutes and seconds");
    is_int(wait_told(SLOW("Please try again in 2h0m3s.")), 7203000000,
           "hours, too");
    is_int(wait_told(SLOW("Please try again in 1m.")), 60000000,
           "or one unit alone");
    is_int(wait_told(SLOW("slow down")), 0, "no time");
    is_int(wait_told(SLOW("try again in a while")), 0, "in words");
    is_int(wait_told(SLOW("try again in -5s")), 0, "before now");
    is_int(wait_told(SLOW("try again in nans")), 0, "no number");
    is_int(wait_told(SLOW("try again in infs")), 0, "never");
    is_int(wait_told(SLOW("try again in 1e300s")), 0, "an absurd time");
    is_int(wait_told(SLOW("try again in 5 apples")), 0, "of what");
    is_int(wait_told(BEGUN FAILED("try again in 5s", "'serverOverloaded'")),
           0, "for that error alone");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    kinds();
    cuts();
    windows();
    seconds();
    return tap_done();
}
