/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of HTTP/1.1 (RFC 9112) from strangers: strict, because the only
 * clients that matter are the CLIs' HTTP libraries. The work does not grow with
 * the number of pieces in which a request comes.
 */
#include "stub.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#define METHOD_MAX 16

/* digits of a Content-Length, of a chunk's size in hex */
#define DIGITS_MAX 8

/* --- the head ------------------------------------------------------------ */

/* @return the length of the head up to @a end, 0 if it goes on */
static apr_size_t head_end(const char *data, apr_size_t from, apr_size_t len)
{
    for (; from + 4 <= len; from++) {
        const char *cr = memchr(data + from, '\r', len - 3 - from);

        if (cr == NULL) {
            return 0;
        }
        from = (apr_size_t)(cr - data);
        if (memcmp(cr, "\r\n\r\n", 4) == 0) {
            return from + 4;
        }
    }
    return 0;
}

/* METHOD SP target SP HTTP/1.x */
static apr_status_t request_line(clb_stub_parser_t *p, const char *line,
                                 apr_size_t len)
{
    apr_size_t i = 0;

    while (i < len && apr_isupper(line[i])) {
        i++;
    }
    if (i == 0 || i > METHOD_MAX || i == len || line[i] != ' ') {
        return APR_EINVAL;
    }
    p->method_len = i;
    p->path = ++i;
    while (i < len && line[i] > ' ' && line[i] < 0x7f) {
        i++;
    }
    p->path_len = i - p->path;
    if (p->path_len == 0 || len - i != strlen(" HTTP/1.1")
        || memcmp(line + i, " HTTP/1.", 8) != 0
        || (line[i + 8] != '0' && line[i + 8] != '1')) {
        return APR_EINVAL;
    }
    p->closes = line[i + 8] == '0';
    return APR_SUCCESS;
}

static int is(const char *word, const char *text, apr_size_t len)
{
    return strlen(word) == len && strncasecmp(word, text, len) == 0;
}

static apr_status_t content_length(clb_stub_parser_t *p, const char *value,
                                   apr_size_t len)
{
    apr_size_t i;

    if (p->sized || len == 0 || len > DIGITS_MAX) {
        return APR_EINVAL;
    }
    p->sized = 1;
    for (i = 0; i < len; i++) {
        if (!apr_isdigit(value[i])) {
            return APR_EINVAL;
        }
        p->length = p->length * 10 + (apr_size_t)(value[i] - '0');
    }
    return p->length <= CLB_STUB_MAX - p->head ? APR_SUCCESS : APR_EINVAL;
}

static apr_status_t field(clb_stub_parser_t *p, const char *line,
                          apr_size_t len)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    const char *value, *end = line + len, *c;
    apr_size_t name = 0;

    while (name < len && line[name] != '\0'
           && (apr_isalnum(line[name]) || strchr(marks, line[name]))) {
        name++;
    }
    if (name == 0 || name == len || line[name] != ':') {
        return APR_EINVAL;
    }
    value = line + name + 1;
    for (c = value; c < end; c++) {
        if ((unsigned char)*c < ' ' && *c != '\t') {
            return APR_EINVAL;
        }
    }
    while (value < end && (*value == ' ' || *value == '\t')) {
        value++;
    }
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    len = (apr_size_t)(end - value);
    if (is("Content-Length", line, name)) {
        return content_length(p, value, len);
    }
    if (is("Transfer-Encoding", line, name)) {
        if (p->chunked || !is("chunked", value, len)) {
            return APR_EINVAL;
        }
        p->chunked = 1;
    }
    else if (is("Expect", line, name)) {
        p->expects = is("100-continue", value, len);
    }
    else if (is("Connection", line, name)) {
        p->closes |= is("close", value, len);
    }
    return APR_SUCCESS;
}

static apr_status_t read_head(clb_stub_parser_t *p, const char *data)
{
    const char *line = data, *end = data + p->head - 2;
    apr_status_t rv = APR_SUCCESS;

    while (rv == APR_SUCCESS && line < end) {
        const char *lf = memchr(line, '\n', (apr_size_t)(end - line));
        apr_size_t len;

        if (lf == line || lf[-1] != '\r') {
            return APR_EINVAL;
        }
        len = (apr_size_t)(lf - line) - 1;
        rv = line == data ? request_line(p, line, len) : field(p, line, len);
        line = lf + 1;
    }
    return rv == APR_SUCCESS && p->chunked && p->sized ? APR_EINVAL : rv;
}

/* --- the body ------------------------------------------------------------ */

/* The size of a chunk, and the length of the line it stands in.
 * @return APR_EAGAIN when the line is not all there */
static apr_status_t chunk_size(apr_size_t *size, apr_size_t *line,
                               const char *data, apr_size_t len)
{
    apr_size_t i;

    *size = 0;
    for (i = 0; i < len && apr_isxdigit(data[i]); i++) {
        if (i == DIGITS_MAX) {
            return APR_EINVAL;
        }
        *size = *size << 4 | (apr_size_t)(apr_isdigit(data[i])
            ? data[i] - '0' : apr_tolower(data[i]) - 'a' + 10);
    }
    if ((i == 0 && len > 0) || (i < len && data[i] != '\r')
        || (i + 1 < len && data[i + 1] != '\n')) {
        return APR_EINVAL;
    }
    *line = i + 2;
    return *line <= len ? APR_SUCCESS : APR_EAGAIN;
}

/* No extensions, no trailers. */
static apr_status_t chunks(clb_stub_parser_t *p, char *data, apr_size_t len)
{
    for (;;) {
        char *chunk = data + p->seen;
        apr_size_t left = len - p->seen, size, line, all;
        apr_status_t rv = chunk_size(&size, &line, chunk, left);

        if (rv != APR_SUCCESS) {
            return rv;
        }
        all = line + size + 2;
        if (all > CLB_STUB_MAX - p->seen) {
            return APR_EINVAL;
        }
        if (left < all) {
            return APR_EAGAIN;
        }
        if (memcmp(chunk + line + size, "\r\n", 2) != 0) {
            return APR_EINVAL;
        }
        memmove(data + p->head + p->body_len, chunk + line, size);
        p->body_len += size;
        p->seen += all;
        if (size == 0) {
            return APR_SUCCESS;
        }
    }
}

apr_status_t clb_stub_parse(clb_stub_parser_t *p, char *data, apr_size_t len)
{
    apr_status_t rv;

    if (p->head == 0) {
        p->head = head_end(data, p->seen < 3 ? 0 : p->seen - 3,
                           len < CLB_STUB_HEAD_MAX ? len : CLB_STUB_HEAD_MAX);
        if (p->head == 0) {
            p->seen = len;
            return len < CLB_STUB_HEAD_MAX ? APR_EAGAIN : APR_EINVAL;
        }
        p->seen = p->head;
        if ((rv = read_head(p, data)) != APR_SUCCESS) {
            return rv;
        }
    }
    if (p->chunked) {
        return chunks(p, data, len);
    }
    if (len - p->head < p->length) {
        return APR_EAGAIN;
    }
    p->body_len = p->length;
    p->seen = p->head + p->length;
    return APR_SUCCESS;
}
