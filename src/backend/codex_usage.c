/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens as Codex counts them: for a response, or for a thread in all, of
 * which a turn is what was not told before. Only the latter has those of an
 * answer that was cut off.
 */
#include "codex.h"

static apr_int64_t tokens(const clb_json_t *json, const char *name)
{
    return clb_usage_bound(clb_json_get_integer(json, name, 0));
}

void clb_codex_count(clb_usage_t *usage, const clb_json_t *json)
{
    usage->cache_read = tokens(json, "cachedInputTokens");
    usage->cache_write = tokens(json, "cacheWriteInputTokens");
    usage->input = clb_usage_bound(tokens(json, "inputTokens")
                                   - usage->cache_read - usage->cache_write);
    usage->output = tokens(json, "outputTokens");
    usage->reasoning = tokens(json, "reasoningOutputTokens");
}

void clb_codex_count_since(clb_usage_t *usage, const clb_json_t *total,
                           const clb_usage_t *told)
{
    clb_codex_count(usage, total);
    clb_usage_take(usage, told);
}
