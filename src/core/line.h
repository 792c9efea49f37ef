/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_LINE_H
#define CLB_LINE_H

#include "text.h"

/**
 * Splits a byte stream into lines, zero-copy: the reader asks for space, reads
 * into it, says how much came, and takes lines until there are none.
 */
typedef struct clb_line_t {
    clb_buf_t buf;
    apr_size_t start;
    apr_size_t scanned;
    apr_size_t max;
} clb_line_t;

/** Start a splitter whose lines are at most @a max bytes, in @a pool. */
void clb_line_init(clb_line_t *line, apr_pool_t *pool, apr_size_t max);

/**
 * Where the next bytes go, and how many fit (at least 1).
 * @return APR_SUCCESS, or APR_ENOSPC when the line is longer than max
 */
apr_status_t clb_line_space(clb_line_t *line, char **data, apr_size_t *len);

/** Tell that @a len bytes were read into the space. */
void clb_line_fill(clb_line_t *line, apr_size_t len);

/**
 * The next complete line without its line feed, NUL-terminated; it may be
 * changed in place and is valid until the next call of clb_line_space().
 * @return APR_SUCCESS, or APR_EAGAIN when no complete line is left
 */
apr_status_t clb_line_next(clb_line_t *line, char **data, apr_size_t *len);

/** Forget what was read. */
void clb_line_reset(clb_line_t *line);

/** Bytes read that are not part of a line yet. */
apr_size_t clb_line_pending(const clb_line_t *line);

#endif
