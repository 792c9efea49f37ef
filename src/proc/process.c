/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One CLI process: its life from spawn to reaping, its pipes, its driver. The
 * keeper's single thread owns all of it; each process has a pool that goes with
 * it.
 */
#include "process.h"

#include "fill.h"
#include "scratch.h"
#include "spawn.h"

#include <apr_env.h>
#include <apr_file_io.h>
#include <apr_strings.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A line longer than this does not come from a healthy CLI that warms or
 * settles. */
#define MAX_LINE (1024 * 1024)

/* The longest answer to a question; 14 KB were measured. */
#define MAX_ANSWER (4 * 1024 * 1024)

/* From SIGTERM to SIGKILL. */
#define GRACE apr_time_from_msec(100)

/* From the end of stdout to SIGKILL. */
#define HANG_UP apr_time_from_msec(200)

const char *const clb_passed[] = {
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy",
    "no_proxy", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR", NULL
};

static void set(apr_array_header_t *env, const char *name, const char *value)
{
    APR_ARRAY_PUSH(env, const char *) = apr_pstrcat(env->pool, name, "=",
                                                    value, NULL);
}

/* The first line of a file a variable is read from; NULL if there is none. */
static const char *content(const char *path, apr_pool_t *pool)
{
    char text[8192];
    apr_size_t len = 0;
    apr_file_t *file;

    if (apr_file_open(&file, path, APR_READ, 0, pool) != APR_SUCCESS) {
        return NULL;
    }
    apr_file_read_full(file, text, sizeof(text) - 1, &len);
    apr_file_close(file);
    text[len] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    return *text != '\0' ? apr_pstrdup(pool, text) : NULL;
}

const char *clb_vars_load(const apr_array_header_t *vars, apr_pool_t *pool)
{
    int i;

    for (i = 0; i < vars->nelts; i++) {
        clb_var_t *var = &APR_ARRAY_IDX(vars, i, clb_var_t);

        if (var->file != NULL
            && (var->value = content(var->file, pool)) == NULL) {
            return var->file;
        }
    }
    return NULL;
}

static void set_vars(apr_array_header_t *env, const apr_array_header_t *vars)
{
    int i;

    for (i = 0; i < vars->nelts; i++) {
        const clb_var_t *var = &APR_ARRAY_IDX(vars, i, clb_var_t);

        if (var->value != NULL) {
            set(env, var->name, var->value);
        }
    }
}

/* npm programs begin with "#!/usr/bin/env node", and node is often beside. */
const char *clb_path_for(const char *program, apr_pool_t *pool)
{
    return apr_pstrcat(pool, apr_pstrndup(pool, program,
                       (apr_size_t)(strrchr(program, '/') - program)),
                       ":/usr/local/bin:/usr/bin:/bin", NULL);
}

/* Earlier entries win (unique()), so an operator's variable replaces ours. */
static const char *const *environment(const clb_process_t *process,
                                      const clb_account_t *account,
                                      const char *home,
                                      const char *const *first)
{
    const clb_backend_t *backend = process->backend;
    apr_array_header_t *env = apr_array_make(process->pool, 32,
                                             sizeof(const char *));
    char *value;
    int i;

    for (i = 0; first != NULL && first[i] != NULL; i++) {
        APR_ARRAY_PUSH(env, const char *) = first[i];
    }
    set_vars(env, account->env);
    set_vars(env, backend->env);
    for (i = 0; i < process->nfiles; i++) {
        const clb_scratch_t *file = &backend->driver->files[i];

        if (file->variable != NULL) {
            set(env, file->variable, apr_pstrcat(env->pool, process->dir, "/",
                                                 file->name, NULL));
        }
    }
    for (i = 0; backend->driver->env[i] != NULL; i++) {
        APR_ARRAY_PUSH(env, const char *) = backend->driver->env[i];
    }
    if (backend->driver->dir_variable != NULL) {
        set(env, backend->driver->dir_variable, process->dir);
    }
    set(env, "HOME", home);
    set(env, "PATH", clb_path_for(backend->program, env->pool));
    set(env, "TMPDIR", apr_pstrcat(env->pool, process->dir, "/tmp", NULL));
    set(env, "LC_ALL", "C.UTF-8");
    set(env, "TZ", "UTC");
    for (i = 0; clb_passed[i] != NULL; i++) {
        if (apr_env_get(&value, clb_passed[i], env->pool) == APR_SUCCESS) {
            set(env, clb_passed[i], value);
        }
    }
    APR_ARRAY_PUSH(env, const char *) = NULL;
    return (const char *const *)env->elts;
}

/* The first of several entries of one name is the one getenv() finds, but a
 * program may keep the last: leave only the first. */
static const char *const *unique(const char *const *env)
{
    const char **out = (const char **)env;
    int i, j, n = 0;

    for (i = 0; env[i] != NULL; i++) {
        apr_size_t len = (apr_size_t)(strchr(env[i], '=') - env[i]) + 1;

        for (j = 0; j < n && strncmp(out[j], env[i], len) != 0; j++) {
        }
        if (j == n) {
            out[n++] = env[i];
        }
    }
    out[n] = NULL;
    return env;
}

const char *clb_program(const clb_backend_t *backend, apr_pool_t *pool)
{
    const char *const *native = backend->driver->natives;
    char real[PATH_MAX];

    if (native == NULL || realpath(backend->program, real) == NULL) {
        return backend->program;
    }
    *strrchr(real, '/') = '\0';
    for (; *native != NULL; native++) {
        const char *path = apr_pstrcat(pool, real, "/", *native, NULL);

        if (access(path, X_OK) == 0) {
            return path;
        }
    }
    return backend->program;
}

static const char *const *arguments(const clb_process_t *process,
                                    const char *program,
                                    const char *const *env)
{
    const clb_backend_t *backend = process->backend;
    const clb_start_t start = { backend, process->dir, env };
    apr_array_header_t *argv = apr_array_make(process->pool, 32,
                                              sizeof(const char *));

    APR_ARRAY_PUSH(argv, const char *) = program;
    (process->question != NULL ? process->question->args
                               : backend->driver->args)(&start, argv);
    apr_array_cat(argv, backend->args);
    clb_args_extra(argv, backend->runs, &process->extra);
    if (backend->driver->last_args != NULL && process->question == NULL) {
        backend->driver->last_args(&start, argv);
    }
    APR_ARRAY_PUSH(argv, const char *) = NULL;
    return (const char *const *)argv->elts;
}

apr_status_t clb_process_start(clb_process_t **out,
                               const clb_backend_t *backend,
                               const char *program,
                               const clb_account_t *account, const char *home,
                               const clb_purpose_t *purpose,
                               const char *dir, apr_uint32_t id,
                               int background, apr_pool_t *parent)
{
    clb_process_t *process;
    clb_spawn_t what = { 0 };
    clb_child_t child;
    apr_pool_t *pool;
    apr_status_t rv;

    apr_pool_create(&pool, parent);
    process = apr_pcalloc(pool, sizeof(*process));
    process->pool = pool;
    process->backend = backend;
    process->canary = purpose->env != NULL;
    process->question = purpose->question;
    process->extra = purpose->extra;
    process->id = id;
    process->in = process->out = process->err = -1;
    process->dir = apr_pstrdup(pool, dir);
    apr_pool_create(&process->step_pool, pool);
    if ((rv = clb_scratch_make(process)) == APR_SUCCESS) {
        what.env = unique(environment(process, account, home, purpose->env));
        rv = clb_scratch_gifts(process, what.env);
    }
    if (rv != APR_SUCCESS) {
        rv += CLB_SCRATCH;
    }
    else {
        what.program = program;
        what.argv = arguments(process, program, what.env);
        what.cwd = process->cwd;
        what.background = background;
        what.keeper = getpid();
        rv = clb_spawn(&what, &child, pool);
    }
    if (rv != APR_SUCCESS) {
        clb_process_destroy(process);
        return rv;
    }
    process->pid = child.pid;
    process->in = child.in;
    process->out = child.out;
    process->err = child.err;
    process->born = apr_time_now();
    clb_line_init(&process->lines, pool, MAX_LINE);
    clb_buf_init(&process->unsent, pool, 256);
    *out = process;
    return APR_SUCCESS;
}

int clb_process_serves(const clb_process_t *process, const clb_extra_t *extra)
{
    return !process->canary && process->question == NULL
        && (extra == NULL || clb_extra_same(&process->extra, extra));
}

void clb_process_enter(clb_process_t *process, clb_state_e state,
                       apr_interval_time_t limit)
{
    if (state == CLB_IDLE) {
        clb_scratch_sweep(process);
    }
    process->state = state;
    process->since = apr_time_now();
    process->deadline = limit > 0 ? process->since + limit : 0;
}

static void shut(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

void clb_process_end(clb_process_t *process, int hard)
{
    if (process->state == CLB_DYING && !hard) {
        return;
    }
    if (!process->exited) {
        clb_kill_group(process->pid, hard ? SIGKILL : SIGTERM);
    }
    shut(&process->in);
    shut(&process->out);
    clb_process_enter(process, CLB_DYING, hard ? 0 : GRACE);
}

void clb_process_hang_up(clb_process_t *process)
{
    shut(&process->out);
    process->deadline = apr_time_now() + HANG_UP;
}

void clb_process_drain(clb_process_t *process)
{
    char data[4096];
    ssize_t n;
    int rounds = 64;    /* a flood must not keep the keeper from others */

    while (process->err >= 0 && rounds-- > 0) {
        n = read(process->err, data, sizeof(data));
        if (n > 0) {
            ssize_t i;

            if (process->ring == NULL) {
                process->ring = apr_palloc(process->pool, CLB_RING);
            }
            for (i = 0; i < n; i++) {
                process->ring[process->ring_len++ % CLB_RING] = data[i];
            }
        }
        else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            shut(&process->err);
        }
        else if (errno == EAGAIN) {
            return;
        }
    }
}

const char *clb_process_tail(const clb_process_t *process, apr_size_t max,
                             apr_pool_t *pool)
{
    apr_size_t have = process->ring_len < CLB_RING ? process->ring_len
                                                   : CLB_RING;
    apr_size_t len = have < max ? have : max, i;
    char *text = apr_palloc(pool, len + 1);

    for (i = 0; i < len; i++) {
        text[i] = process->ring[(process->ring_len - len + i) % CLB_RING];
    }
    return clb_utf8_clean(pool, text, len, NULL);
}

apr_status_t clb_process_write(clb_process_t *process)
{
    while (process->in >= 0 && process->unsent.len > 0) {
        ssize_t n = write(process->in, process->unsent.data,
                          process->unsent.len);

        if (n >= 0) {
            clb_buf_drop(&process->unsent, (apr_size_t)n);
        }
        else if (errno == EAGAIN) {
            break;
        }
        else if (errno != EINTR) {
            return errno;
        }
    }
    return APR_SUCCESS;
}

clb_step_t *clb_process_step(clb_process_t *process, const clb_input_t *in)
{
    clb_step_t *step;

    apr_pool_clear(process->step_pool);
    step = clb_step_create(process->step_pool);
    process->backend->driver->step(process->driver_state, in, step);
    if (!clb_fill(step, process->files, process->nfiles)) {
        step->fate = CLB_FATE_KILL;
    }
    else if (step->lines.len > 0) {
        clb_buf_add(&process->unsent, step->lines.data, step->lines.len);
        clb_process_write(process);
    }
    return step;
}

/* @return 1 if the answer to its question is complete */
static int take_answer(clb_process_t *process, const char *data,
                       apr_size_t len)
{
    clb_json_t *line;
    const char *why;

    apr_pool_clear(process->step_pool);
    if (clb_json_parse(&line, data, len, CLB_JSON_LENIENT, &why,
                       process->step_pool) == APR_SUCCESS) {
        process->question->hear(&process->report, line, process->pool);
    }
    process->said += len;
    process->report.complete |= process->said > MAX_ANSWER;
    return process->report.complete;
}

/* Run the driver on the lines that are complete, up to one that matters. */
static int take_lines(clb_process_t *process, clb_step_t **step)
{
    clb_input_t in = { .kind = CLB_IN_LINE, .backend = process->backend,
                       .chat = process->chat };

    while (clb_line_next(&process->lines, &in.data, &in.len)
           == APR_SUCCESS) {
        if (process->skip_line) {
            process->skip_line = 0;
            continue;
        }
        if (process->question != NULL) {
            if (take_answer(process, in.data, in.len)) {
                return 1;
            }
            continue;
        }
        *step = clb_process_step(process, &in);
        if ((*step)->ready || (*step)->fate != CLB_FATE_NONE) {
            return 1;
        }
    }
    return 0;
}

apr_status_t clb_process_read(clb_process_t *process, clb_step_t **step)
{
    apr_status_t rv;
    apr_size_t room;
    char *data;
    ssize_t n;
    int rounds = 64;    /* whoever never stops must not keep the keeper */

    *step = NULL;
    while (rounds-- > 0) {
        if ((rv = clb_line_space(&process->lines, &data, &room))
            != APR_SUCCESS) {
            return rv;
        }
        n = read(process->out, data, room);
        if (n == 0) {
            return APR_EOF;
        }
        if (n < 0) {
            return errno == EAGAIN || errno == EINTR ? APR_SUCCESS : errno;
        }
        clb_line_fill(&process->lines, (apr_size_t)n);
        if (take_lines(process, step)) {
            return APR_SUCCESS;
        }
    }
    return APR_SUCCESS;
}

void clb_process_return(clb_process_t *process, const unsigned char *state,
                        int midline)
{
    memcpy(process->driver_state, state, sizeof(process->driver_state));
    process->skip_line = midline;
}

void clb_process_destroy(clb_process_t *process)
{
    int i;

    shut(&process->in);
    shut(&process->out);
    shut(&process->err);
    for (i = 0; i < process->nfiles; i++) {
        shut(&process->files[i]);
    }
    clb_scratch_remove(process);
    apr_pool_destroy(process->pool);
}
