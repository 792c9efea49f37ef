/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values in directives: each reader refuses what is wrong with a sentence that
 * names the directive and says what to write instead.
 */
#include "values.h"

#include "../core/text.h"

#include <apr_strings.h>
#include <string.h>

/* Seconds in a directive: at most ten days. */
#define SECONDS_MAX 864000

const char *clb_wrong(cmd_parms *cmd, const char *format, ...)
{
    const char *name = cmd->cmd->name;
    va_list args;
    char *need;

    va_start(args, format);
    need = apr_pvsprintf(cmd->pool, format, args);
    va_end(args);
    return apr_pstrcat(cmd->pool, name, *name == '<' ? ">: " : ": ", need,
                       NULL);
}

const char *clb_cfg_count(cmd_parms *cmd, const char *text, int min,
                              int max, int *out)
{
    apr_int64_t n;

    if (clb_parse_int(&n, text, min, max) != APR_SUCCESS) {
        return clb_wrong(cmd, "write a number from %d to %d, not '%s'", min,
                         max, text);
    }
    *out = (int)n;
    return NULL;
}

const char *clb_cfg_seconds(cmd_parms *cmd, const char *text,
                                apr_interval_time_t *out)
{
    apr_int64_t n;

    if (clb_parse_int(&n, text, 1, SECONDS_MAX) != APR_SUCCESS) {
        return clb_wrong(cmd, "write seconds from 1 to %d, not '%s'",
                         SECONDS_MAX, text);
    }
    *out = apr_time_from_sec(n);
    return NULL;
}

const char *clb_cfg_size(cmd_parms *cmd, const char *text,
                             apr_off_t min, apr_off_t *out)
{
    if (clb_parse_size(out, text) != APR_SUCCESS || *out < min
        || *out > (apr_off_t)1 << 40) {
        return clb_wrong(cmd, "write a size such as 32M or 4G, not '%s'",
                         text);
    }
    return NULL;
}

const char *clb_cfg_option(const char *text, const char *name)
{
    apr_size_t len = strlen(name);

    return strncmp(text, name, len) == 0 && text[len] == '='
         ? text + len + 1 : NULL;
}

const char *clb_cfg_choice(cmd_parms *cmd, const char *text,
                               const char *const *names, int *out)
{
    const char *list = "";
    int i;

    for (i = 0; names[i] != NULL; i++) {
        if (strcasecmp(names[i], text) == 0) {
            *out = i;
            return NULL;
        }
        list = apr_pstrcat(cmd->pool, list, i > 0 ? ", " : "", names[i],
                           NULL);
    }
    return clb_wrong(cmd, "write one of %s, not '%s'", list, text);
}
