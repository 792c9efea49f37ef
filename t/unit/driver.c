/* SPDX-License-Identifier: Apache-2.0 */
/* The table of drivers, and what all of them are built with. */
#include "tap.h"

#include "../../src/backend/driver.h"

#include <apr_general.h>
#include <stdlib.h>

static apr_pool_t *pool;

static void table(void)
{
    static const clb_driver_t *const all[] = {
        &clb_driver_claude, &clb_driver_codex, &clb_driver_gemini,
        &clb_driver_qwen, &clb_driver_acp, &clb_driver_command
    };
    apr_size_t i;

    is_str(clb_driver_names(pool), "claude codex gemini qwen acp command",
           "all drivers by their names");
    for (i = 0; i < sizeof(all) / sizeof(*all); i++) {
        ok(clb_driver_find(all[i]->name) == all[i], "%s is found",
           all[i]->name);
        ok(all[i]->state_size <= CLB_STATE_MAX, "its state has room");
    }
    ok(clb_driver_find("Codex") == NULL && clb_driver_find("") == NULL,
       "no other is");
}

static void variables(void)
{
    static const char *const env[] = {
        "AB=1", "A=2", "EMPTY=", "A=3", "B=x=y", NULL
    };
    static const char *const none[] = { NULL };
    clb_start_t start = { .env = env };

    is_str(clb_start_var(&start, "A"), "2", "a variable, the first");
    is_str(clb_start_var(&start, "AB"), "1", "by its whole name");
    is_str(clb_start_var(&start, "EMPTY"), "", "it may be empty");
    is_str(clb_start_var(&start, "B"), "x=y", "or have a sign of equality");
    ok(clb_start_var(&start, "EMPT") == NULL, "part of a name is none");
    ok(clb_start_var(&start, "C") == NULL, "nor is what is not there");
    start.env = none;
    ok(clb_start_var(&start, "A") == NULL, "there may be none at all");
}

static void waits(void)
{
    is_int(clb_step_wait(5, APR_USEC_PER_SEC), 5000000, "a wait");
    is_int(clb_step_wait(0, APR_USEC_PER_SEC), 0, "none");
    is_int(clb_step_wait(-5, APR_USEC_PER_SEC), 0, "nor before now");
    is_int(clb_step_wait(APR_INT64_MAX, APR_USEC_PER_SEC),
           apr_time_from_sec(366 * 86400), "at most a year");
}

static const char *reason(int status, const char *tail)
{
    clb_backend_t backend = { .name = "b" };
    clb_input_t in = { .kind = CLB_IN_EXIT, .backend = &backend,
                       .data = (char *)tail, .status = status };

    return clb_exit_reason(&in, pool);
}

static void exits(void)
{
    is_str(reason(1, NULL), "b exited with status 1", "an exit");
    is_str(reason(-9, ""), "b was ended by signal 9", "a signal");
    is_str(reason(-999, "x"), "b went away: x", "nobody knows");
    is_str(reason(0, "one\ntwo \r\n\n"), "b exited with status 0: two",
           "with the last line that it said");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    table();
    variables();
    waits();
    exits();
    return tap_done();
}
