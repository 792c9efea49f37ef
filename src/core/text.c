/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte buffers, UTF-8 and number parsing: what every other part needs to
 * handle bytes of strangers. Pure functions; memory comes from the pool given.
 */
#include "text.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <errno.h>
#include <string.h>

void clb_buf_init(clb_buf_t *buf, apr_pool_t *pool, apr_size_t hint)
{
    buf->pool = pool;
    buf->size = hint < 64 ? 64 : hint;
    buf->data = apr_palloc(pool, buf->size);
    buf->data[0] = '\0';
    buf->len = 0;
}

char *clb_buf_room(clb_buf_t *buf, apr_size_t len)
{
    if (buf->len + len + 1 > buf->size) {
        apr_size_t size = buf->size;
        char *data;

        while (size < buf->len + len + 1) {
            size *= 2;
        }
        data = apr_palloc(buf->pool, size);
        memcpy(data, buf->data, buf->len + 1);
        buf->data = data;
        buf->size = size;
    }
    return buf->data + buf->len;
}

void clb_buf_add(clb_buf_t *buf, const char *data, apr_size_t len)
{
    if (len == 0) {
        return;
    }
    memcpy(clb_buf_room(buf, len), data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void clb_buf_puts(clb_buf_t *buf, const char *text)
{
    clb_buf_add(buf, text, strlen(text));
}

void clb_buf_drop(clb_buf_t *buf, apr_size_t len)
{
    memmove(buf->data, buf->data + len, buf->len - len);
    buf->len -= len;
    buf->data[buf->len] = '\0';
}

void clb_buf_reset(clb_buf_t *buf)
{
    buf->len = 0;
    buf->data[0] = '\0';
}

/* The shape of a sequence by its first byte: length and the range of its
 * second byte, which is where overlong forms, surrogates and values above
 * U+10FFFF are excluded (Unicode 15, table 3-7). */
static apr_size_t sequence(unsigned char c, unsigned char *lo,
                           unsigned char *hi)
{
    *lo = 0x80;
    *hi = 0xbf;
    if (c < 0x80) {
        return 1;
    }
    if (c >= 0xc2 && c <= 0xdf) {
        return 2;
    }
    if (c >= 0xe0 && c <= 0xef) {
        *lo = c == 0xe0 ? 0xa0 : 0x80;
        *hi = c == 0xed ? 0x9f : 0xbf;
        return 3;
    }
    if (c >= 0xf0 && c <= 0xf4) {
        *lo = c == 0xf0 ? 0x90 : 0x80;
        *hi = c == 0xf4 ? 0x8f : 0xbf;
        return 4;
    }
    return 0;
}

/* How many of the first @a len bytes fit the sequence that s[0] begins. */
static apr_size_t matching(const unsigned char *s, apr_size_t len,
                           apr_size_t *want)
{
    unsigned char lo, hi;
    apr_size_t i;

    *want = sequence(s[0], &lo, &hi);
    for (i = 1; i < *want && i < len; i++) {
        if (s[i] < (i == 1 ? lo : 0x80) || s[i] > (i == 1 ? hi : 0xbf)) {
            break;
        }
    }
    return i;
}

apr_size_t clb_utf8_len(const unsigned char *s, apr_size_t len)
{
    apr_size_t want, have;

    if (len == 0) {
        return 0;
    }
    have = matching(s, len, &want);
    return have == want ? want : 0;
}

apr_size_t clb_utf8_tail(const char *data, apr_size_t len)
{
    apr_size_t back, want;

    for (back = 1; back <= 3 && back <= len; back++) {
        const unsigned char *s = (const unsigned char *)data + len - back;

        if ((*s & 0xc0) != 0x80) {
            return matching(s, back, &want) == back && want > back ? back : 0;
        }
    }
    return 0;
}

const char *clb_utf8_clean(apr_pool_t *pool, const char *data,
                           apr_size_t len, apr_size_t *out_len)
{
    clb_buf_t buf;
    apr_size_t i = 0, start = 0;

    clb_buf_init(&buf, pool, len + 1);
    while (i < len) {
        const unsigned char *s = (const unsigned char *)data + i;
        apr_size_t n = clb_utf8_len(s, len - i);

        if (n != 0 && *s != '\0') {
            i += n;
            continue;
        }
        clb_buf_add(&buf, data + start, i - start);
        if (n == 0) {
            apr_size_t want;

            clb_buf_puts(&buf, "\xef\xbf\xbd");
            n = matching(s, len - i, &want);
        }
        i += n;
        start = i;
    }
    clb_buf_add(&buf, data + start, i - start);
    if (out_len != NULL) {
        *out_len = buf.len;
    }
    return buf.data;
}

apr_size_t clb_blanks(const char *text)
{
    return strspn(text, " \t\r\n\v\f");
}

apr_status_t clb_parse_int(apr_int64_t *value, const char *text,
                           apr_int64_t min, apr_int64_t max)
{
    char *end;
    apr_int64_t n;

    if (!apr_isdigit(*text) && *text != '-') {
        return APR_EINVAL;
    }
    errno = 0;
    n = apr_strtoi64(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || n < min || n > max) {
        return APR_EINVAL;
    }
    *value = n;
    return APR_SUCCESS;
}

apr_status_t clb_parse_size(apr_off_t *value, const char *text)
{
    apr_size_t len = strlen(text);
    char digits[24];
    apr_int64_t n;
    int shift = 0;

    if (len == 0 || len >= sizeof(digits)) {
        return APR_EINVAL;
    }
    switch (text[len - 1]) {
    case 'k': case 'K': shift = 10; break;
    case 'm': case 'M': shift = 20; break;
    case 'g': case 'G': shift = 30; break;
    default: break;
    }
    apr_cpystrn(digits, text, shift ? len : len + 1);
    if (clb_parse_int(&n, digits, 0, APR_INT64_MAX >> shift) != APR_SUCCESS) {
        return APR_EINVAL;
    }
    *value = (apr_off_t)(n << shift);
    return APR_SUCCESS;
}
