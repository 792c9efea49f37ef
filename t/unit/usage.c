/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of tokens, also of numbers that are none. */
#include "tap.h"

#include "../../src/core/usage.h"

#include <apr_general.h>
#include <stdlib.h>
#include <string.h>

#define MOST 1000000000000

static void bounds(void)
{
    is_int(clb_usage_bound(7), 7, "a number");
    is_int(clb_usage_bound(-1), 0, "not less than none");
    is_int(clb_usage_bound(APR_INT64_MAX), MOST, "nor more than can be added up");
}

static void sums(void)
{
    static const clb_usage_t usage = { 1, 2, 3, 4, 5 };
    static const clb_usage_t absurd = {
        APR_INT64_MAX, APR_INT64_MIN, APR_INT64_MAX, APR_INT64_MIN, -1
    };
    clb_usage_t sum = { 10, 20, 30, 40, 50 };

    clb_usage_add(&sum, &usage);
    ok(sum.input == 11 && sum.cache_read == 22 && sum.cache_write == 33
       && sum.output == 44 && sum.reasoning == 55, "each is added");
    clb_usage_take(&sum, &usage);
    ok(sum.input == 10 && sum.cache_read == 20 && sum.cache_write == 30
       && sum.output == 40 && sum.reasoning == 50, "and taken away again");
    clb_usage_add(&sum, &absurd);
    ok(sum.input == MOST && sum.cache_read == 20 && sum.cache_write == MOST
       && sum.output == 40 && sum.reasoning == 50, "nothing overflows");
    clb_usage_take(&sum, &absurd);
    ok(sum.input == 0 && sum.cache_read == 20 && sum.cache_write == 0
       && sum.output == 40 && sum.reasoning == 50, "nor falls below none");
    sum = absurd;
    clb_usage_add(&sum, &absurd);
    clb_usage_take(&sum, &usage);
    ok(sum.input == MOST - 1 && sum.cache_read == 0
       && sum.cache_write == MOST - 3 && sum.output == 0
       && sum.reasoning == 0, "whatever it began with");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    bounds();
    sums();
    return tap_done();
}
