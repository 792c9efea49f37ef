/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator types to make a CLI serve. In all but odd paths there is
 * nothing that the error log would write with a backslash: what is printed can
 * be pasted from there, too.
 */
#include "mend.h"

#include "../backend/canary.h"
#include "../backend/driver.h"
#include "process.h"

#include <apr_env.h>
#include <apr_strings.h>
#include <string.h>

#define BIN "/bin/"

const char *clb_home(const clb_global_t *global, const clb_backend_t *backend,
                     const clb_account_t *account, apr_pool_t *pool)
{
    const char *home = account->home != NULL ? account->home : backend->home;

    return home != NULL ? home
         : apr_pstrcat(pool, global->state_dir, "/home/", backend->name, "-",
                       account->name, NULL);
}

const char *clb_shell_word(const char *text, apr_pool_t *pool)
{
    clb_buf_t word;
    apr_size_t plain = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN"
                              "OPQRSTUVWXYZ0123456789_./:=@%+,-");

    if (plain > 0 && text[plain] == '\0') {
        return text;
    }
    clb_buf_init(&word, pool, strlen(text) + 16);
    clb_buf_puts(&word, "'");
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            clb_buf_puts(&word, "'\\''");
        }
        else {
            clb_buf_add(&word, text, 1);
        }
    }
    clb_buf_puts(&word, "'");
    return word.data;
}

static void add(clb_buf_t *line, const char *word)
{
    clb_buf_puts(line, " ");
    clb_buf_puts(line, clb_shell_word(word, line->pool));
}

static void set(clb_buf_t *line, const char *name, const char *value)
{
    add(line, apr_pstrcat(line->pool, name, "=", value, NULL));
}

static const char *value_in(const apr_array_header_t *vars, const char *name)
{
    int i;

    for (i = 0; i < vars->nelts; i++) {
        const clb_var_t *var = &APR_ARRAY_IDX(vars, i, clb_var_t);

        if (var->file == NULL && strcmp(var->name, name) == 0) {
            return var->value;
        }
    }
    return NULL;
}

/* A variable as the CLI has it when it serves; not one with a password, which
 * has no business in a log. */
static void set_same(clb_buf_t *line, const clb_backend_t *backend,
                     const clb_account_t *account, const char *name,
                     int from_httpd)
{
    const char *value = value_in(account->env, name);
    char *own;

    if (value == NULL) {
        value = value_in(backend->env, name);
    }
    if (value == NULL && from_httpd
        && apr_env_get(&own, name, line->pool) == APR_SUCCESS) {
        value = own;
    }
    if (value != NULL && strchr(value, '@') == NULL) {
        set(line, name, value);
    }
}

const char *clb_mend_login(const clb_global_t *global,
                           const clb_backend_t *backend,
                           const clb_account_t *account, apr_pool_t *pool)
{
    const clb_setup_t *setup = backend->driver->setup;
    const char *const *word;
    clb_buf_t line;

    if (setup == NULL) {
        return NULL;
    }
    clb_buf_init(&line, pool, 512);
    /* who is that user already may not, and need not, become it */
    clb_buf_puts(&line, "cd / && $([ $(id -u) != 0 ] || echo /sbin/runuser "
                 "-u");
    add(&line, global->runner);
    clb_buf_puts(&line, " --) /usr/bin/env -i TERM=$TERM LC_ALL=C.UTF-8");
    set(&line, "HOME", clb_home(global, backend, account, pool));
    set(&line, "PATH", clb_path_for(backend->program, pool));
    set_same(&line, backend, account, setup->place, 0);
    for (word = clb_passed; *word != NULL; word++) {
        set_same(&line, backend, account, *word, 1);
    }
    add(&line, backend->program);
    for (word = setup->login; *word != NULL; word++) {
        add(&line, *word);
    }
    return line.data;
}

/* The newest version that is known; NULL if there is none. */
static const char *known_version(const char *driver)
{
    const char *version = NULL;
    const clb_canary_t *known;

    for (known = clb_canaries; known->driver != NULL; known++) {
        if (strcmp(known->driver, driver) == 0) {
            version = known->version;
        }
    }
    return version;
}

/* npm's directory for which the program is DIRECTORY/bin/NAME, or NULL. */
static const char *prefix_of(const clb_backend_t *backend, apr_pool_t *pool)
{
    const char *end = apr_pstrcat(pool, BIN, backend->driver->name, NULL);
    apr_size_t have = strlen(backend->program), want = strlen(end);

    if (have < want || strcmp(backend->program + have - want, end) != 0) {
        return NULL;
    }
    return have == want ? "/" : apr_pstrndup(pool, backend->program,
                                             have - want);
}

/* A program that npm did not put there is in its way, unless it is forced. */
static const char *install(const clb_backend_t *backend, const char *version,
                           apr_pool_t *pool)
{
    const clb_setup_t *setup = backend->driver->setup;
    const char *prefix;
    clb_buf_t line;

    if (setup == NULL) {
        return NULL;
    }
    prefix = prefix_of(backend, pool);
    clb_buf_init(&line, pool, 256);
    clb_buf_puts(&line, "npm install -g");
    clb_buf_puts(&line, version != NULL ? " --force" : "");
    add(&line, "--prefix");
    add(&line, prefix != NULL ? prefix : "/usr/local");
    add(&line, apr_pstrcat(pool, setup->package, version != NULL ? "@" : NULL,
                           version, NULL));
    if (prefix == NULL) {
        clb_buf_puts(&line, " && ln -sf");
        add(&line, apr_pstrcat(pool, "/usr/local" BIN, backend->driver->name,
                               NULL));
        add(&line, backend->program);
    }
    return line.data;
}

const char *clb_mend(const clb_global_t *global, const clb_backend_t *backend,
                     const clb_account_t *account, clb_mend_e mend,
                     apr_pool_t *pool)
{
    switch (mend) {
    case CLB_MEND_LOGIN:
        return clb_mend_login(global, backend, account, pool);
    case CLB_MEND_INSTALL:
        return install(backend, NULL, pool);
    case CLB_MEND_KNOWN:
        return install(backend, known_version(backend->driver->name), pool);
    default:
        return NULL;
    }
}
