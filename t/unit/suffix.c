/* SPDX-License-Identifier: Apache-2.0 */
/* Reasoning that the name of a model asks for, and who serves such a name. */
#include "tap.h"

#include "../../src/backend/backend.h"
#include "../../src/core/suffix.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

static apr_pool_t *pool;

/* "base effort budget" of a name, "-" where it has no suffix. */
static const char *split(const char *model)
{
    clb_suffix_t suffix;
    const char *base = clb_suffix_split(model, &suffix, pool);
    const char *effort = clb_effort_name(suffix.effort);

    return base == NULL ? "-" : apr_psprintf(pool, "%s %s %" APR_INT64_T_FMT,
        base, effort == NULL ? "unset" : effort, suffix.budget);
}

static void names(void)
{
    is_str(split("claude-thinking"), "claude unset 30000", "-thinking");
    is_str(split("opus(high)"), "opus high -1", "an effort");
    is_str(split("opus(XHigh)"), "opus xhigh -1", "in any case");
    is_str(split("opus(8192)"), "opus unset 8192", "a number of tokens");
    is_str(split("opus(0)"), "opus unset 0", "0 is off");
    is_str(split("opus(none)"), "opus none -1", "so is none");
    is_str(split("opus(auto)"), "opus unset -1", "auto is the model's own");
    is_str(split("opus(-1)"), "opus unset -1", "-1, too");
    is_str(split("a(b)(low)"), "a(b) low -1", "the last parenthesis counts");
    is_str(split("opus(medium)-thinking"), "opus(medium) unset 30000",
           "the outer suffix counts");
    is_str(split("opus"), "-", "no suffix");
    is_str(split("opus()"), "-", "nothing in it");
    is_str(split("opus(fast)"), "-", "no such effort");
    is_str(split("opus(high"), "-", "not closed");
    is_str(split("opus(high)x"), "-", "not at the end");
    is_str(split("(high)"), "-", "nothing before it");
    is_str(split("-thinking"), "-", "nor before -thinking");
    is_str(split("opus(99999999999)"), "-", "too many tokens");
    is_str(split("opus(-2)"), "-", "less than none");
    is_str(split(""), "-", "no name");
    is_str(split(")"), "-", "a parenthesis alone");
}

static clb_chat_t *chat_new(void)
{
    clb_chat_t *chat = clb_chat_create(pool);

    chat->effort = CLB_EFFORT_LOW;
    chat->budget = 77;
    clb_chat_give(chat, CLB_EFFORT, "reasoning_effort");
    clb_chat_give(chat, CLB_BUDGET, "thinking.budget_tokens");
    clb_chat_give(chat, CLB_TEMPERATURE, "temperature");
    clb_chat_give(chat, CLB_MAX_TOKENS, "max_tokens");
    return chat;
}

static void application(void)
{
    const unsigned all = ~CLB_FIELD(CLB_OTHER);
    clb_chat_t *chat = chat_new();
    clb_suffix_t suffix = { CLB_EFFORT_HIGH, -1 };

    clb_suffix_apply(&suffix, chat);
    is_int(chat->effort, CLB_EFFORT_HIGH, "the suffix wins over the body");
    ok(!clb_chat_given(chat, CLB_BUDGET), "no budget is left");
    is_str(clb_chat_ignored(chat, all), "temperature",
           "sampling is ignored, and told");
    ok(clb_chat_given(chat, CLB_MAX_TOKENS), "what else is given stays");
    is_str(clb_chat_ignored(chat, all & ~CLB_FIELD(CLB_EFFORT)),
           "temperature, model", "a CLI without efforts ignores the model's");

    chat = chat_new();
    suffix.effort = CLB_EFFORT_UNSET;
    suffix.budget = 0;
    clb_suffix_apply(&suffix, chat);
    ok(clb_chat_given(chat, CLB_BUDGET) && chat->budget == 0
       && chat->effort == CLB_EFFORT_UNSET, "off");
    ok(clb_chat_given(chat, CLB_TEMPERATURE), "and sampling stays");

    chat = chat_new();
    suffix.budget = -1;
    clb_suffix_apply(&suffix, chat);
    ok(!clb_chat_given(chat, CLB_BUDGET) && !clb_chat_given(chat, CLB_EFFORT)
       && chat->effort == CLB_EFFORT_UNSET, "auto asks for nothing");
}

static clb_backend_t *backend_new(apr_array_header_t *list, const char *name,
                                  const char *model, const char *other)
{
    clb_backend_t *backend = apr_pcalloc(pool, sizeof(*backend));

    backend->name = name;
    backend->slots = 1;
    backend->models = apr_array_make(pool, 2, sizeof(char *));
    APR_ARRAY_PUSH(backend->models, const char *) = model;
    APR_ARRAY_PUSH(backend->models, const char *) = other;
    APR_ARRAY_PUSH(list, clb_backend_t *) = backend;
    return backend;
}

/* "backend model effort budget" that a name stands for, where @a otherwise
 * serves what nobody lists. */
static const char *find_or(apr_array_header_t *list, apr_hash_t *aliases,
                           const clb_backend_t *otherwise, const char *name)
{
    clb_model_t model;
    const char *effort;

    if (clb_model_find(&model, list, aliases, otherwise, name, pool)
        != APR_SUCCESS) {
        return apr_pstrcat(pool, "none ", model.name, NULL);
    }
    effort = model.suffixed ? clb_effort_name(model.suffix.effort) : NULL;
    return apr_psprintf(pool, "%s %s %s %" APR_INT64_T_FMT,
                        model.backend->name, model.name,
                        effort == NULL ? "-" : effort, model.suffixed
                        ? model.suffix.budget : -2);
}

static const char *find(apr_array_header_t *list, apr_hash_t *aliases,
                        const char *name)
{
    return find_or(list, aliases, NULL, name);
}

static void finding(void)
{
    apr_array_header_t *list = apr_array_make(pool, 2, sizeof(void *));
    apr_hash_t *aliases = apr_hash_make(pool);
    int i;
    static const char *const pairs[][2] = {
        { "gpt", "claude-x(high)" }, { "loop", "loop(low)" },
        { "gpt-5", "named" }, { "far", "nowhere(low)" },
    };

    backend_new(list, "wide", "claude-*", "kimi-*");
    backend_new(list, "narrow", "named", "kimi-k2-thinking");
    for (i = 0; i < 4; i++) {
        apr_hash_set(aliases, pairs[i][0], APR_HASH_KEY_STRING, pairs[i][1]);
    }
    is_str(find(list, NULL, "claude-x"), "wide claude-x - -2", "no suffix");
    is_str(find(list, NULL, "claude-x(low)"), "wide claude-x low -1",
           "the name without it is looked up");
    is_str(find(list, NULL, "kimi-k2-thinking"),
           "narrow kimi-k2-thinking - -2", "a name that is listed is no suffix");
    is_str(find(list, NULL, "kimi-k3-thinking"), "wide kimi-k3 - 30000",
           "one that is not may be");
    is_str(find(list, NULL, "claude-x(odd)"), "wide claude-x(odd) - -2",
           "what is no suffix is part of the name");
    is_str(find(list, aliases, "gpt"), "wide claude-x high -1",
           "an alias with a suffix");
    is_str(find(list, aliases, "gpt(low)"), "wide claude-x low -1",
           "and another one on top of it");
    is_str(find(list, aliases, "gpt-5-thinking"), "narrow named - 30000",
           "an alias before a suffix");
    is_str(find(list, aliases, "loop"), "none loop(low)",
           "an alias that leads to itself");
    is_str(find(list, aliases, "far"), "none nowhere(low)",
           "and one that leads nowhere");
    is_str(find(list, aliases, "claude-*(low)"), "none claude-*(low)",
           "a pattern is no model's name");
}

static void falling_back(void)
{
    apr_array_header_t *list = apr_array_make(pool, 2, sizeof(void *));
    apr_hash_t *aliases = apr_hash_make(pool);
    const clb_backend_t *rest;

    backend_new(list, "wide", "claude-*", "*-thinking");
    rest = backend_new(list, "rest", "own", "own-*");
    apr_hash_set(aliases, "far", APR_HASH_KEY_STRING, "vendor/model");
    is_str(find_or(list, aliases, rest, "vendor/model"),
           "rest vendor/model - -2", "what nobody lists, by its own name");
    is_str(find_or(list, aliases, rest, "far"), "rest vendor/model - -2",
           "also behind an alias");
    is_str(find_or(list, aliases, rest, "vendor/model(low)"),
           "rest vendor/model low -1", "a suffix is one there, too");
    is_str(find_or(list, aliases, rest, "claude-x"), "wide claude-x - -2",
           "what somebody lists is not its");
    is_str(find_or(list, aliases, rest, "new-thinking"),
           "wide new-thinking - -2", "nor what somebody lists with a suffix");
    is_str(find_or(list, aliases, rest, "new-*"), "none new-*",
           "a pattern is no model's name");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    names();
    application();
    finding();
    falling_back();
    return tap_done();
}
