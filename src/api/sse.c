/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing of server-sent events.
 */
#include "sse.h"

void clb_sse_begin(clb_buf_t *out)
{
    clb_buf_puts(out, "data: ");
}

void clb_sse_begin_named(clb_buf_t *out, const char *name)
{
    clb_buf_puts(out, "event: ");
    clb_buf_puts(out, name);
    clb_buf_puts(out, "\n");
    clb_sse_begin(out);
}

void clb_sse_end(clb_buf_t *out)
{
    clb_buf_puts(out, "\n\n");
}

void clb_sse_comment(clb_buf_t *out, const char *text)
{
    clb_buf_puts(out, ": ");
    clb_buf_puts(out, text);
    clb_buf_puts(out, "\n");
}
