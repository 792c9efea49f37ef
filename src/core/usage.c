/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums of tokens. The numbers are a program's, or come from another process:
 * whatever they are, nothing overflows.
 */
#include "usage.h"

#define TOKENS_MAX 1000000000000

apr_int64_t clb_usage_bound(apr_int64_t n)
{
    return n < 0 ? 0 : n > TOKENS_MAX ? TOKENS_MAX : n;
}

static void add(apr_int64_t *sum, apr_int64_t n)
{
    *sum = clb_usage_bound(clb_usage_bound(*sum) + clb_usage_bound(n));
}

void clb_usage_add(clb_usage_t *sum, const clb_usage_t *usage)
{
    add(&sum->input, usage->input);
    add(&sum->cache_read, usage->cache_read);
    add(&sum->cache_write, usage->cache_write);
    add(&sum->output, usage->output);
    add(&sum->reasoning, usage->reasoning);
}

static void take(apr_int64_t *sum, apr_int64_t n)
{
    *sum = clb_usage_bound(clb_usage_bound(*sum) - clb_usage_bound(n));
}

void clb_usage_take(clb_usage_t *sum, const clb_usage_t *part)
{
    take(&sum->input, part->input);
    take(&sum->cache_read, part->cache_read);
    take(&sum->cache_write, part->cache_write);
    take(&sum->output, part->output);
    take(&sum->reasoning, part->reasoning);
}
