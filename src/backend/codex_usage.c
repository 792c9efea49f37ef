/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens as Codex counts them: for a response, or for a thread in all, of
 * which a turn is what was not told before. Only the latter has those of an
 * answer that was cut off.
 */
#include "codex.h"

/* As many as can be added up. */
#define TOKENS_MAX 1000000000000

static apr_int64_t bounded(apr_int64_t n)
{
    return n < 0 ? 0 : n > TOKENS_MAX ? TOKENS_MAX : n;
}

static apr_int64_t tokens(const clb_json_t *json, const char *name)
{
    return bounded(clb_json_get_integer(json, name, 0));
}

void clb_codex_count(clb_usage_t *usage, const clb_json_t *json)
{
    usage->cache_read = tokens(json, "cachedInputTokens");
    usage->cache_write = tokens(json, "cacheWriteInputTokens");
    usage->input = bounded(tokens(json, "inputTokens") - usage->cache_read
                           - usage->cache_write);
    usage->output = tokens(json, "outputTokens");
    usage->reasoning = tokens(json, "reasoningOutputTokens");
}

static void take(apr_int64_t *total, apr_int64_t told)
{
    *total = bounded(*total - bounded(told));
}

void clb_codex_count_since(clb_usage_t *usage, const clb_json_t *total,
                           const clb_usage_t *told)
{
    clb_codex_count(usage, total);
    take(&usage->input, told->input);
    take(&usage->cache_read, told->cache_read);
    take(&usage->cache_write, told->cache_write);
    take(&usage->output, told->output);
    take(&usage->reasoning, told->reasoning);
}

static void add(apr_int64_t *told, apr_int64_t n)
{
    *told = bounded(bounded(*told) + bounded(n));
}

void clb_codex_told(clb_usage_t *told, const clb_usage_t *usage)
{
    add(&told->input, usage->input);
    add(&told->cache_read, usage->cache_read);
    add(&told->cache_write, usage->cache_write);
    add(&told->output, usage->output);
    add(&told->reasoning, usage->reasoning);
}
