/* SPDX-License-Identifier: Apache-2.0 */
/* Which backend serves a model, and which driver a name means. */
#include "tap.h"

#include "../../src/backend/backend.h"
#include "../../src/backend/driver.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

static apr_pool_t *pool;

static clb_backend_t *add(apr_array_header_t *backends, const char *name,
                          int slots, const char *models)
{
    clb_backend_t *backend = apr_pcalloc(pool, sizeof(*backend));
    char *last, *text = apr_pstrdup(pool, models), *model;

    backend->name = name;
    backend->slots = slots;
    backend->models = apr_array_make(pool, 4, sizeof(char *));
    for (model = apr_strtok(text, " ", &last); model != NULL;
         model = apr_strtok(NULL, " ", &last)) {
        APR_ARRAY_PUSH(backend->models, const char *) = model;
    }
    APR_ARRAY_PUSH(backends, clb_backend_t *) = backend;
    return backend;
}

static const char *route(const apr_array_header_t *backends,
                         const char *model)
{
    const clb_backend_t *backend = clb_backend_route(backends, model);

    return backend == NULL ? "none" : backend->name;
}

static void routes(void)
{
    apr_array_header_t *list = apr_array_make(pool, 4,
                                              sizeof(clb_backend_t *));
    clb_backend_t *off;

    is_str(route(list, "x"), "none", "no backends");
    off = add(list, "off", 0, "claude-* special");
    add(list, "wide", 4, "claude-* gpt-?");
    add(list, "narrow", -1, "claude-opus sonnet");
    add(list, "late", 4, "claude-opus sonnet gpt-5 vendor/*");
    add(list, "empty", 4, "");
    is_str(route(list, "claude-haiku"), "wide", "a pattern");
    is_str(route(list, "claude-opus"), "narrow",
           "the very name counts more than an earlier pattern");
    is_str(route(list, "gpt-5"), "late", "also a later one");
    is_str(route(list, "gpt-6"), "wide", "one letter");
    is_str(route(list, "gpt-"), "none", "not no letter");
    is_str(route(list, "gpt-55"), "none", "nor two");
    is_str(route(list, "claude-"), "wide", "a star is also nothing");
    is_str(route(list, "sonnet"), "narrow", "of two the first");
    is_str(route(list, "vendor/a/b"), "late", "a star passes slashes");
    is_str(route(list, ".claude-x"), "none", "a pattern is the whole name");
    is_str(route(list, "Sonnet"), "none", "case counts");
    is_str(route(list, "special"), "none", "what is switched off is not used");
    is_str(route(list, ""), "none", "no name");
    off->slots = 1;
    is_str(route(list, "special"), "off", "until it is switched on");
    is_str(route(list, "claude-x"), "off", "then it comes first");
}

static void serves(void)
{
    apr_array_header_t *list = apr_array_make(pool, 1,
                                              sizeof(clb_backend_t *));
    clb_backend_t *backend = add(list, "one", -1, "claude-* sonnet");

    ok(clb_backend_route(list, "claude-*") == NULL,
       "a pattern is no model's name");
    backend->slots = 0;
    ok(clb_backend_route(list, "sonnet") == NULL, "nothing without slots");
    ok(clb_model_is_pattern("a*") && clb_model_is_pattern("?"), "patterns");
    ok(!clb_model_is_pattern("claude-3.5[1m]") && !clb_model_is_pattern(""),
       "names");
}

static void named(void)
{
    apr_array_header_t *list = apr_array_make(pool, 2,
                                              sizeof(clb_backend_t *));
    clb_backend_t *one = add(list, "one", 4, ""), *off = add(list, "off", 0,
                                                             "");

    ok(clb_backend_named(list, "one") == one, "a backend by its name");
    ok(clb_backend_named(list, "off") == NULL, "not one without slots");
    off->slots = -1;
    ok(clb_backend_named(list, "off") == off, "until it has some");
    ok(clb_backend_named(list, "On") == NULL
       && clb_backend_named(list, NULL) == NULL, "no other");
}

/* The backends of all drivers, with the models that these know. */
static void defaults(void)
{
    apr_array_header_t *list = apr_array_make(pool, 4,
                                              sizeof(clb_backend_t *));
    static const char *const known[][2] = {
        { "claude-sonnet-5", "claude" }, { "haiku", "claude" },
        { "sonnet", "claude" }, { "opus", "claude" },
        { "gpt-6.1-sol", "codex" }, { "codex-mini-latest", "codex" },
        { "o1", "codex" }, { "o1-mini", "codex" }, { "o3", "codex" },
        { "o3-pro", "codex" }, { "o4-mini", "codex" },
        { "gemini-3-pro", "none" }, { "sonnets", "none" },
    };
    static const char *const names[] = { "claude", "codex" };
    apr_size_t i;

    for (i = 0; i < 2; i++) {
        const clb_driver_t *driver = clb_driver_find(names[i]);
        clb_backend_t *backend = add(list, driver->name, 4, "");
        const char *const *model;

        for (model = driver->models; *model != NULL; model++) {
            APR_ARRAY_PUSH(backend->models, const char *) = *model;
        }
    }
    for (i = 0; i < sizeof(known) / sizeof(*known); i++) {
        is_str(route(list, known[i][0]), known[i][1], "%s", known[i][0]);
    }
}

static void drivers(void)
{
    char *names = apr_pstrdup(pool, clb_driver_names(pool)), *name, *last;

    is_str(clb_driver_find("claude")->name, "claude", "claude");
    is_str(clb_driver_find("command")->name, "command", "command");
    ok(clb_driver_find("cat") == NULL && clb_driver_find("") == NULL,
       "no other");
    for (name = apr_strtok(names, " ", &last); name != NULL;
         name = apr_strtok(NULL, " ", &last)) {
        const clb_driver_t *driver = clb_driver_find(name);
        int files = 0;

        if (!ok(driver != NULL, "%s is found by its name", name)) {
            continue;
        }
        ok(driver->state_size <= CLB_STATE_MAX, "its state fits");
        while (driver->files[files].name != NULL) {
            files++;
        }
        ok(files <= CLB_FILES_MAX, "and its files");
    }
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    routes();
    serves();
    named();
    defaults();
    drivers();
    return tap_done();
}
