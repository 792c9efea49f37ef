/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens as Claude Code tells them: those of a message as the vendor's API has
 * them, and those of all requests of a process, by model. Only the latter have
 * what its own tools ask a model for. Measured with 2.1.197 and 2.1.329.
 */
#include "claude.h"

void clb_claude_count(clb_usage_t *usage, const clb_json_t *json)
{
    if (json == NULL) {
        return;
    }
    usage->input = clb_json_get_integer(json, "input_tokens", usage->input);
    usage->output = clb_json_get_integer(json, "output_tokens",
                                         usage->output);
    usage->cache_read = clb_json_get_integer(json, "cache_read_input_tokens",
                                             usage->cache_read);
    usage->cache_write = clb_json_get_integer(json,
        "cache_creation_input_tokens", usage->cache_write);
    usage->reasoning = clb_json_integer(clb_json_find(json,
        "output_tokens_details.thinking_tokens"), usage->reasoning);
}

void clb_claude_count_all(clb_usage_t *usage, const clb_json_t *models)
{
    clb_json_t *json;
    const char *name;
    void *iter = NULL;

    while ((iter = clb_json_next(models, iter, &name, &json)) != NULL) {
        clb_usage_t model = {
            .input = clb_json_get_integer(json, "inputTokens", 0),
            .output = clb_json_get_integer(json, "outputTokens", 0),
            .cache_read = clb_json_get_integer(json, "cacheReadInputTokens",
                                               0),
            .cache_write = clb_json_get_integer(json,
                "cacheCreationInputTokens", 0)
        };

        clb_usage_add(usage, &model);
    }
}
