/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of drivers and the helpers all of them build their results with.
 */
#include "driver.h"

#include <apr_strings.h>
#include <string.h>

static const clb_driver_t *const drivers[] = {
    &clb_driver_claude,
    &clb_driver_codex,
    &clb_driver_gemini,
    &clb_driver_qwen,
    &clb_driver_acp,
    &clb_driver_command,
};

#define DRIVERS (sizeof(drivers) / sizeof(*drivers))

const clb_driver_t *clb_driver_find(const char *name)
{
    apr_size_t i;

    for (i = 0; i < DRIVERS; i++) {
        if (strcmp(drivers[i]->name, name) == 0) {
            return drivers[i];
        }
    }
    return NULL;
}

const char *clb_driver_names(apr_pool_t *pool)
{
    const char *names = "";
    apr_size_t i;

    for (i = 0; i < DRIVERS; i++) {
        names = apr_pstrcat(pool, names, i > 0 ? " " : "", drivers[i]->name,
                            NULL);
    }
    return names;
}

clb_step_t *clb_step_create(apr_pool_t *pool)
{
    clb_step_t *step = apr_pcalloc(pool, sizeof(*step));

    step->pool = pool;
    step->events = apr_array_make(pool, 4, sizeof(clb_event_t));
    step->files = apr_array_make(pool, 1, sizeof(clb_file_t));
    clb_buf_init(&step->lines, pool, 256);
    return step;
}

clb_event_t *clb_step_event(clb_step_t *step, clb_event_e kind)
{
    clb_event_t *event = apr_array_push(step->events);

    memset(event, 0, sizeof(*event));
    event->kind = kind;
    return event;
}

void clb_step_text(clb_step_t *step, clb_event_e kind, const char *text)
{
    clb_event_t *event;

    if (text != NULL && *text != '\0') {
        event = clb_step_event(step, kind);
        event->u.text.data = text;
        event->u.text.len = strlen(text);
    }
}

clb_event_t *clb_step_stop(clb_step_t *step, clb_stop_e reason,
                           clb_fate_e fate)
{
    clb_event_t *event = clb_step_event(step, CLB_EV_STOP);

    event->u.stop = reason;
    step->fate = fate;
    return event;
}

clb_event_t *clb_step_error(clb_step_t *step, clb_error_e kind,
                            const char *message,
                            apr_interval_time_t retry_after,
                            clb_fate_e fate)
{
    clb_event_t *event = clb_step_event(step, CLB_EV_ERROR);

    event->u.error.kind = kind;
    event->u.error.message = message;
    event->u.error.retry_after = retry_after;
    step->fate = fate;
    return event;
}

void clb_step_file(clb_step_t *step, int index, const char *data,
                   apr_size_t len)
{
    clb_file_t *file = apr_array_push(step->files);

    file->index = index;
    file->data = data;
    file->len = len;
}

apr_interval_time_t clb_step_wait(apr_int64_t count, apr_interval_time_t unit)
{
    const apr_interval_time_t most = apr_time_from_sec(366 * 86400);

    return count <= 0 ? 0 : count > most / unit ? most : count * unit;
}

void clb_args_add(apr_array_header_t *argv, const char *const *list)
{
    for (; *list != NULL; list++) {
        APR_ARRAY_PUSH(argv, const char *) = *list;
    }
}

void clb_args_extra(apr_array_header_t *argv, const apr_array_header_t *runs,
                    const clb_extra_t *extra)
{
    apr_uint32_t i;

    for (i = 0; i < extra->count; i++) {
        clb_args_add(argv, APR_ARRAY_IDX(runs, extra->which[i],
                                         const char *const *));
    }
}

const char *clb_start_var(const clb_start_t *start, const char *name)
{
    apr_size_t len = strlen(name);
    const char *const *var;

    for (var = start->env; *var != NULL; var++) {
        if (strncmp(*var, name, len) == 0 && (*var)[len] == '=') {
            return *var + len + 1;
        }
    }
    return NULL;
}

/* The last line of @a text, at most 200 bytes of its end. */
static const char *last_line(apr_pool_t *pool, const char *text)
{
    const char *end = text + strlen(text), *from;

    while (end > text && strchr("\r\n \t", end[-1]) != NULL) {
        end--;
    }
    for (from = end; from > text && from[-1] != '\n' && end - from < 200;
         from--) {
    }
    /* the cut may have been inside a character */
    return clb_utf8_clean(pool, from, (apr_size_t)(end - from), NULL);
}

const char *clb_exit_reason(const clb_input_t *in, apr_pool_t *pool)
{
    const char *why = last_line(pool, in->data == NULL ? "" : in->data);
    const char *how = in->status == CLB_EXIT_UNKNOWN ? "went away"
        : in->status < 0 ? apr_psprintf(pool, "was ended by signal %d",
                                        -in->status)
        : apr_psprintf(pool, "exited with status %d", in->status);

    return apr_pstrcat(pool, in->backend->name, " ", how,
                       *why != '\0' ? ": " : "", why, NULL);
}

const clb_exit_t *clb_step_ended(clb_step_t *step, const clb_input_t *in)
{
    clb_exit_t *ended = apr_palloc(step->pool, sizeof(*ended));

    ended->status = in->status;
    ended->said = in->data == NULL ? "" : apr_pstrdup(step->pool, in->data);
    return in->status == CLB_EXIT_UNKNOWN ? NULL : ended;
}

clb_event_t *clb_step_exit(clb_step_t *step, const clb_input_t *in)
{
    clb_event_t *event = clb_step_error(step, CLB_CLI_FAILED,
                                        clb_exit_reason(in, step->pool), 0,
                                        CLB_FATE_END);

    event->exit = clb_step_ended(step, in);
    return event;
}

clb_json_t *clb_step_json(clb_step_t *step, const clb_input_t *in)
{
    const char *why;
    clb_json_t *json;

    return clb_json_parse(&json, in->data, in->len, CLB_JSON_LENIENT, &why,
                          step->pool) == APR_SUCCESS ? json : NULL;
}
