/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_TEXT_H
#define CLB_TEXT_H

#include <apr_pools.h>

/**
 * A growing byte buffer in a pool. It doubles, so a buffer of n bytes costs at
 * most 2n of its pool; reset keeps the memory. Always NUL-terminated.
 */
typedef struct clb_buf_t {
    apr_pool_t *pool;
    char *data;
    apr_size_t len;
    apr_size_t size;
} clb_buf_t;

/** Start an empty buffer with room for @a hint bytes in @a pool. */
void clb_buf_init(clb_buf_t *buf, apr_pool_t *pool, apr_size_t hint);

/** Append bytes; the buffer keeps a copy. */
void clb_buf_add(clb_buf_t *buf, const char *data, apr_size_t len);

/** Append a C string. */
void clb_buf_puts(clb_buf_t *buf, const char *text);

/** Make room for @a len more bytes and return where they go. The caller adds
 *  what it wrote to buf->len. */
char *clb_buf_room(clb_buf_t *buf, apr_size_t len);

/** Drop the first @a len bytes. */
void clb_buf_drop(clb_buf_t *buf, apr_size_t len);

/** Empty the buffer; the memory stays. */
void clb_buf_reset(clb_buf_t *buf);

/**
 * A copy of @a data in @a pool with every byte that is not part of valid UTF-8
 * replaced by U+FFFD and every NUL dropped. @a out_len may be NULL.
 */
const char *clb_utf8_clean(apr_pool_t *pool, const char *data,
                           apr_size_t len, apr_size_t *out_len);

/**
 * How many bytes at the end of @a data begin a UTF-8 sequence that is not
 * complete yet (0..3): the part a streaming reader keeps for the next chunk.
 */
apr_size_t clb_utf8_tail(const char *data, apr_size_t len);

/** Length of the valid UTF-8 sequence at @a s (1..4), 0 if there is none. */
apr_size_t clb_utf8_len(const unsigned char *s, apr_size_t len);

/** How many blanks @a text begins with. */
apr_size_t clb_blanks(const char *text);

/** Parse a decimal integer in [min, max] that is all of @a text.
 *  @return APR_SUCCESS or APR_EINVAL */
apr_status_t clb_parse_int(apr_int64_t *value, const char *text,
                           apr_int64_t min, apr_int64_t max);

/** Parse a size in bytes with an optional K, M or G (powers of 1024).
 *  @return APR_SUCCESS or APR_EINVAL */
apr_status_t clb_parse_size(apr_off_t *value, const char *text);

#endif
