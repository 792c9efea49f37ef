/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_VALUES_H
#define CLB_VALUES_H

#include <apr_time.h>
#include <httpd.h>

#include <http_config.h>

/**
 * Readers of values in directives. Each returns NULL, or a sentence in
 * cmd->pool that names the directive and says what to write instead.
 */

/** A sentence about the directive being read; @a format as apr_psprintf's. */
const char *clb_wrong(cmd_parms *cmd, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** A number in [min, max]. */
const char *clb_cfg_count(cmd_parms *cmd, const char *text, int min, int max,
                          int *out);

/** Seconds, from 1 to ten days. */
const char *clb_cfg_seconds(cmd_parms *cmd, const char *text,
                            apr_interval_time_t *out);

/** A size in bytes of at least @a min, with K, M or G. */
const char *clb_cfg_size(cmd_parms *cmd, const char *text, apr_off_t min,
                         apr_off_t *out);

/** The value of "name=value", or NULL if @a text is not of that name. */
const char *clb_cfg_option(const char *text, const char *name);

/** One of @a names (ends with NULL), in any case; @a out is its index. */
const char *clb_cfg_choice(cmd_parms *cmd, const char *text,
                           const char *const *names, int *out);

#endif
