/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bounded line splitter every reader of a CLI uses. Bounded, because one
 * JSON line can be tens of megabytes and a CLI may never send a line feed.
 */
#include "line.h"

#include <string.h>

#define STEP 16384

void clb_line_init(clb_line_t *line, apr_pool_t *pool, apr_size_t max)
{
    clb_buf_init(&line->buf, pool, STEP);
    line->start = line->scanned = 0;
    line->max = max;
}

apr_status_t clb_line_space(clb_line_t *line, char **data, apr_size_t *len)
{
    if (line->start > 0) {
        clb_buf_drop(&line->buf, line->start);
        line->scanned -= line->start;
        line->start = 0;
    }
    if (line->buf.len > line->max) {
        return APR_ENOSPC;
    }
    if (line->buf.size - line->buf.len < STEP / 4) {
        clb_buf_room(&line->buf, STEP);
    }
    /* one byte more than a line, so that its line feed fits */
    *len = line->max - line->buf.len + 1;
    if (*len > line->buf.size - line->buf.len - 1) {
        *len = line->buf.size - line->buf.len - 1;
    }
    *data = line->buf.data + line->buf.len;
    return APR_SUCCESS;
}

void clb_line_fill(clb_line_t *line, apr_size_t len)
{
    line->buf.len += len;
}

apr_status_t clb_line_next(clb_line_t *line, char **data, apr_size_t *len)
{
    char *from = line->buf.data + line->scanned;
    char *lf = memchr(from, '\n', line->buf.len - line->scanned);

    if (lf == NULL) {
        line->scanned = line->buf.len;
        return APR_EAGAIN;
    }
    *lf = '\0';
    *data = line->buf.data + line->start;
    *len = (apr_size_t)(lf - *data);
    line->start = line->scanned = (apr_size_t)(lf - line->buf.data) + 1;
    return APR_SUCCESS;
}

void clb_line_reset(clb_line_t *line)
{
    clb_buf_reset(&line->buf);
    line->start = line->scanned = 0;
}

apr_size_t clb_line_pending(const clb_line_t *line)
{
    return line->buf.len - line->start;
}
