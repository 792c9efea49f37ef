/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sections <CLIBridgeBackend> and <CLIBridgeAccount> and what stands in
 * them.
 */
#include "cmds.h"

#include "../backend/driver.h"
#include "../http/config.h"
#include "../shm/table.h"
#include "values.h"

#include <apr_strings.h>
#include <errno.h>
#include <http_core.h>
#include <string.h>

static const char *only_backend(cmd_parms *cmd)
{
    return clb_reading.backend == NULL
         ? clb_wrong(cmd, "belongs into a <CLIBridgeBackend> section") : NULL;
}

/* --- sections --- */

/* The one argument of "<Name argument>", or NULL. */
static const char *section_name(cmd_parms *cmd, const char *arg)
{
    const char *end = strrchr(arg, '>'), *rest, *name;

    if (end == NULL) {
        return NULL;
    }
    rest = apr_pstrndup(cmd->pool, arg, (apr_size_t)(end - arg));
    name = ap_getword_conf(cmd->pool, &rest);
    return *name != '\0' && *rest == '\0' && strlen(name) < CLB_NAME_MAX
           && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
                     "XYZ0123456789._-") == strlen(name) ? name : NULL;
}

/* 1 if @a name is one of @a words, which blanks separate. */
static int is_one_of(const char *name, const char *words)
{
    apr_size_t len;

    for (; *words != '\0'; words += len + (words[len] == ' ')) {
        len = strcspn(words, " ");
        if (len == strlen(name) && strncasecmp(words, name, len) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Read what a section holds: nothing but @a known directives. Any other would
 * take effect outside of it, where nobody looks for it. */
static const char *walk(cmd_parms *cmd, const char *known)
{
    ap_directive_t *d;

    for (d = cmd->directive->first_child; d != NULL; d = d->next) {
        const char *name = *d->directive != '<' ? d->directive
                         : apr_pstrcat(cmd->pool, d->directive, ">", NULL);

        if (!is_one_of(name, known)) {
            cmd->err_directive = d;
            return clb_wrong(cmd, "%s does not belong into this section; what "
                             "does: %s", name, known);
        }
    }
    return ap_walk_config(cmd->directive->first_child, cmd, cmd->context);
}

clb_backend_t *clb_global_backend(apr_pool_t *pool, const char *name)
{
    clb_backend_t *backend = apr_pcalloc(pool, sizeof(*backend));

    backend->name = name;
    backend->index = clb_reading.global->backends->nelts;
    backend->slots = backend->warm.min = backend->warm.max = CLB_UNSET;
    backend->park = CLB_UNSET;
    backend->park_time = apr_time_from_sec(300);
    backend->args = apr_array_make(pool, 4, sizeof(const char *));
    backend->runs = apr_array_make(pool, 4, sizeof(const char *const *));
    backend->env = apr_array_make(pool, 4, sizeof(clb_var_t));
    backend->models = apr_array_make(pool, 4, sizeof(const char *));
    backend->tools = apr_array_make(pool, 2, sizeof(const char *));
    backend->accounts = apr_array_make(pool, 1, sizeof(clb_account_t));
    APR_ARRAY_PUSH(clb_reading.global->backends, clb_backend_t *) = backend;
    return backend;
}

const char *clb_cmd_backend(cmd_parms *cmd, void *dir, const char *arg)
{
    apr_array_header_t *backends = clb_reading.global->backends;
    const char *name = section_name(cmd, arg), *err;
    int i;

    if (name == NULL) {
        return clb_wrong(cmd, "write <CLIBridgeBackend NAME>, NAME of "
                         "letters, digits and ._-");
    }
    for (i = 0; i < backends->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(backends, i, clb_backend_t *)->name, name)
            == 0) {
            return clb_wrong(cmd, "there is a backend '%s' already", name);
        }
    }
    clb_reading.backend = clb_global_backend(cmd->pool, name);
    err = walk(cmd, "CLIBridgeDriver CLIBridgeProgram CLIBridgeArg "
               "CLIBridgeRunArg CLIBridgeEnv CLIBridgeEnvFile CLIBridgeModels "
               "CLIBridgeHome CLIBridgeTools CLIBridgeSlots CLIBridgeReuse "
               "CLIBridgeWarm CLIBridgePark CLIBridgeUntested "
               "<CLIBridgeAccount>");
    clb_reading.backend = NULL;
    return err;
}

const char *clb_cmd_account(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *name = section_name(cmd, arg), *err = only_backend(cmd);
    clb_account_t account = { 0 };
    int i;

    if (err != NULL) {
        return err;
    }
    if (name == NULL) {
        return clb_wrong(cmd, "write <CLIBridgeAccount NAME>, NAME of "
                         "letters, digits and ._-");
    }
    for (i = 0; i < clb_reading.backend->accounts->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(clb_reading.backend->accounts, i,
                                 clb_account_t).name, name) == 0) {
            return clb_wrong(cmd, "there is an account '%s' already", name);
        }
    }
    if (i == CLB_ACCOUNTS_MAX) {
        return clb_wrong(cmd, "there can be %d accounts at most",
                         CLB_ACCOUNTS_MAX);
    }
    account.name = name;
    account.env = apr_array_make(cmd->pool, 4, sizeof(clb_var_t));
    clb_reading.account = &account;
    err = walk(cmd, "CLIBridgeHome CLIBridgeEnv CLIBridgeEnvFile");
    clb_reading.account = NULL;
    APR_ARRAY_PUSH(clb_reading.backend->accounts, clb_account_t) = account;
    return err;
}

/* --- a backend --- */

const char *clb_cmd_driver(cmd_parms *cmd, void *dir, const char *name)
{
    const char *err = only_backend(cmd);

    if (err == NULL
        && (clb_reading.backend->driver = clb_driver_find(name)) == NULL) {
        err = clb_wrong(cmd, "there is no driver '%s'; there are: %s", name,
                        clb_driver_names(cmd->pool));
    }
    return err;
}

const char *clb_cmd_program(cmd_parms *cmd, void *dir, const char *path)
{
    const char *err = only_backend(cmd);

    if (err == NULL && *path != '/') {
        err = clb_wrong(cmd, "write an absolute path, not '%s'", path);
    }
    if (err == NULL) {
        clb_reading.backend->program = path;
    }
    return err;
}

const char *clb_cmd_arg(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = only_backend(cmd);

    if (err == NULL) {
        APR_ARRAY_PUSH(clb_reading.backend->args, const char *) = arg;
    }
    return err;
}

/* The words as they are: one may be empty. */
const char *clb_cmd_run_arg(cmd_parms *cmd, void *dir, const char *args)
{
    const char *err = only_backend(cmd);
    apr_array_header_t *words = apr_array_make(cmd->pool, 4,
                                               sizeof(const char *));

    if (err != NULL) {
        return err;
    }
    while (*args != '\0') {
        APR_ARRAY_PUSH(words, const char *) = ap_getword_conf(cmd->pool,
                                                              &args);
    }
    if (words->nelts < 1 || words->nelts > CLB_ARGS_MAX) {
        return clb_wrong(cmd, "write 1 to %d words", CLB_ARGS_MAX);
    }
    if (clb_reading.backend->runs->nelts == CLB_RUNS_MAX) {
        return clb_wrong(cmd, "there can be %d in a backend at most",
                         CLB_RUNS_MAX);
    }
    APR_ARRAY_PUSH(words, const char *) = NULL;
    APR_ARRAY_PUSH(clb_reading.backend->runs, const char *const *)
        = (const char *const *)words->elts;
    return NULL;
}

static const char *add_var(cmd_parms *cmd, const char *name,
                           const char *value, const char *file)
{
    const char *err = only_backend(cmd);
    clb_var_t *var;

    if (err != NULL) {
        return err;
    }
    if (*name == '\0' || strpbrk(name, "= \t") != NULL) {
        return clb_wrong(cmd, "write a variable's name, then its value, as "
                         "two words");
    }
    var = apr_array_push(clb_reading.account != NULL ? clb_reading.account->env
                                                 : clb_reading.backend->env);
    var->name = name;
    var->value = value;
    var->file = file;
    return NULL;
}

const char *clb_cmd_env(cmd_parms *cmd, void *dir, const char *name,
                           const char *value)
{
    return add_var(cmd, name, value, NULL);
}

/* The file is root's: an ordinary user's configtest may not even see it. */
const char *clb_cmd_env_file(cmd_parms *cmd, void *dir, const char *name,
                                const char *file)
{
    const char *path = ap_server_root_relative(cmd->pool, file);

    if (path == NULL || (access(path, F_OK) != 0 && errno != EACCES)) {
        return clb_wrong(cmd, "there is no file %s", file);
    }
    return add_var(cmd, name, NULL, path);
}

const char *clb_cmd_models(cmd_parms *cmd, void *dir, const char *model)
{
    const char *err = only_backend(cmd), *star = strchr(model, '*');

    if (err == NULL && star != NULL && strchr(star + 1, '*') != NULL) {
        err = clb_wrong(cmd, "write at most one * in a pattern");
    }
    if (err == NULL) {
        APR_ARRAY_PUSH(clb_reading.backend->models, const char *) = model;
    }
    return err;
}

/* What "web" stands for only the driver knows: see clb_check(). */
const char *clb_cmd_tools(cmd_parms *cmd, void *dir, const char *name)
{
    const char *err = only_backend(cmd);

    if (err == NULL && (*name == '\0' || strlen(name) >= CLB_NAME_MAX
        || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                  "0123456789_") != strlen(name))) {
        err = clb_wrong(cmd, "write none, web, or the name of a tool of the "
                        "program, not '%s'", name);
    }
    if (err == NULL && strcasecmp(name, "none") == 0) {
        clb_reading.backend->tools->nelts = 0;
    }
    else if (err == NULL) {
        APR_ARRAY_PUSH(clb_reading.backend->tools, const char *) = name;
    }
    return err;
}

const char *clb_cmd_home(cmd_parms *cmd, void *dir, const char *path)
{
    const char *err = only_backend(cmd);

    if (err == NULL && *path != '/') {
        err = clb_wrong(cmd, "write an absolute path");
    }
    if (err == NULL) {
        *(clb_reading.account != NULL ? &clb_reading.account->home
                                  : &clb_reading.backend->home) = path;
    }
    return err;
}

const char *clb_cmd_reuse(cmd_parms *cmd, void *dir, const char *text)
{
    static const char *const names[] = { "none", "lines", NULL };
    const char *err = only_backend(cmd);
    int reuse = 0;

    if (err == NULL) {
        err = clb_cfg_choice(cmd, text, names, &reuse);
        clb_reading.backend->reuse = CLB_REUSE_NONE + reuse;
    }
    return err;
}

const char *clb_cmd_untested(cmd_parms *cmd, void *dir, const char *text)
{
    static const char *const names[] = { "warn", "refuse", NULL };
    const char *err = only_backend(cmd);
    int refuse = 0;

    if (err == NULL) {
        err = clb_cfg_choice(cmd, text, names, &refuse);
        clb_reading.backend->lenient = !refuse;
    }
    return err;
}

static const char *warm_option(cmd_parms *cmd, clb_warm_t *warm,
                               const char *opt)
{
    const char *value;

    if ((value = clb_cfg_option(opt, "min")) != NULL) {
        return clb_cfg_count(cmd, value, 0, 1024, &warm->min);
    }
    if ((value = clb_cfg_option(opt, "max")) != NULL) {
        return clb_cfg_count(cmd, value, 0, 1024, &warm->max);
    }
    if ((value = clb_cfg_option(opt, "refresh")) != NULL) {
        return clb_cfg_seconds(cmd, value, &warm->refresh);
    }
    return clb_wrong(cmd, "write min=, max= or refresh= after the mode, not "
                     "'%s'", opt);
}

const char *clb_cmd_warm(cmd_parms *cmd, void *dir, int argc,
                            char *const argv[])
{
    static const char *const names[] = {
        "none", "periodic", "persistent", "adaptive", NULL
    };
    const char *err = only_backend(cmd);
    clb_warm_t *warm;
    int i, mode = 0;

    if (err != NULL) {
        return err;
    }
    if (argc < 1) {
        return clb_wrong(cmd, "write none, periodic, persistent or adaptive");
    }
    if ((err = clb_cfg_choice(cmd, argv[0], names, &mode)) != NULL) {
        return err;
    }
    warm = &clb_reading.backend->warm;
    warm->mode = CLB_WARM_NONE + mode;
    for (i = 1; i < argc && err == NULL; i++) {
        err = warm_option(cmd, warm, argv[i]);
    }
    if (err == NULL && warm->max != CLB_UNSET && warm->min > warm->max) {
        err = clb_wrong(cmd, "min= must not be more than max=");
    }
    return err;
}

const char *clb_cmd_park(cmd_parms *cmd, void *dir, const char *number,
                         const char *opt)
{
    const char *err = only_backend(cmd), *time;
    clb_backend_t *backend = clb_reading.backend;

    if (err != NULL) {
        return err;
    }
    if (strcasecmp(number, "off") == 0) {
        backend->park = 0;
    }
    else if ((err = clb_cfg_count(cmd, number, 1, 1024, &backend->park))
             != NULL) {
        return err;
    }
    if (opt == NULL) {
        return NULL;
    }
    time = clb_cfg_option(opt, "timeout");
    return time != NULL ? clb_cfg_seconds(cmd, time, &backend->park_time)
         : clb_wrong(cmd, "write a number or off, then timeout=SECONDS, not "
                     "'%s'", opt);
}
