/* SPDX-License-Identifier: Apache-2.0 */
/* The line splitter. */
#include "tap.h"

#include "../../src/core/line.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

static apr_pool_t *pool;

/* Takes all complete lines; each is written to @a out as [length:bytes]. */
static void take(clb_line_t *line, clb_buf_t *out)
{
    char *data;
    apr_size_t len;

    while (clb_line_next(line, &data, &len) == APR_SUCCESS) {
        clb_buf_puts(out, apr_psprintf(out->pool, "[%d:", (int)len));
        clb_buf_add(out, data, len);
        clb_buf_puts(out, data[len] == '\0' ? "]" : "?");
        memset(data, '#', len);     /* lines may be changed in place */
    }
}

/* Gives @a data to the splitter as reads of at most @a chunk bytes. */
static apr_status_t feed(clb_line_t *line, const char *data, apr_size_t size,
                         apr_size_t chunk, clb_buf_t *out)
{
    apr_status_t rv;
    apr_size_t len;
    char *space;

    while (size > 0) {
        if ((rv = clb_line_space(line, &space, &len)) != APR_SUCCESS) {
            return rv;
        }
        len = len < chunk ? len : chunk;
        len = len < size ? len : size;
        memcpy(space, data, len);
        clb_line_fill(line, len);
        data += len;
        size -= len;
        take(line, out);
    }
    return APR_SUCCESS;
}

static const char sample[] = "one\n\n\ntwo\r\nf\xc3\xbcnf\n\0nul\nrest";
#define SAMPLE_LEN (sizeof(sample) - 1)
#define SAMPLE_SEEN "[3:one][0:][0:][4:two\r][5:f\xc3\xbcnf][4:"

static void splits(void)
{
    apr_size_t i, j, wrong = 0;

    for (i = 0; i <= SAMPLE_LEN; i++) {
        for (j = i; j <= SAMPLE_LEN; j++) {
            static const char end[] = SAMPLE_SEEN "\0nul]";
            apr_pool_t *sub;
            clb_line_t line;
            clb_buf_t out;

            apr_pool_create(&sub, pool);
            clb_line_init(&line, sub, 100);
            clb_buf_init(&out, sub, 0);
            feed(&line, sample, i, 100, &out);
            feed(&line, sample + i, j - i, 100, &out);
            feed(&line, sample + j, SAMPLE_LEN - j, 100, &out);
            wrong += out.len != sizeof(end) - 1
                  || memcmp(out.data, end, sizeof(end)) != 0
                  || clb_line_pending(&line) != 4;
            apr_pool_destroy(sub);
        }
    }
    is_int((long long)wrong, 0, "every split into three reads gives the same"
           " lines: empty ones, CR kept, NUL kept, the rest pending");
}

static void limit(void)
{
    static const apr_size_t chunks[] = { 1, 7, 100, 1 << 20 };
    apr_size_t c;
    int max;

    for (max = 1; max <= 20000; max = max < 3 ? max + 1 : max * 3) {
        char *text = apr_palloc(pool, (apr_size_t)max + 2);

        memset(text, 'x', (apr_size_t)max + 2);
        for (c = 0; c < sizeof(chunks) / sizeof(*chunks); c++) {
            clb_line_t line;
            clb_buf_t out;
            char *space;
            apr_size_t len;

            clb_buf_init(&out, pool, 0);
            clb_line_init(&line, pool, (apr_size_t)max);
            text[max] = '\n';
            is_int(feed(&line, "a\n", 2, chunks[c], &out), APR_SUCCESS,
                   "max %d, reads of %d: a short line", max, (int)chunks[c]);
            is_int(feed(&line, text, (apr_size_t)max + 1, chunks[c], &out),
                   APR_SUCCESS, "a line of max is taken");
            is_int((long long)clb_line_pending(&line), 0, "whole");
            text[max] = 'x';
            text[max + 1] = '\n';
            clb_buf_reset(&out);
            feed(&line, text, (apr_size_t)max + 2, chunks[c], &out);
            ok(out.len == 0, "a line of max + 1 is not");
            is_int(clb_line_space(&line, &space, &len), APR_ENOSPC,
                   "and ends the reading");
            is_int(clb_line_space(&line, &space, &len), APR_ENOSPC,
                   "for good");
        }
    }
}

static void no_line_feed(void)
{
    clb_line_t line;
    clb_buf_t out;
    char *data;
    apr_size_t len;

    clb_line_init(&line, pool, 100);
    clb_buf_init(&out, pool, 0);
    is_int(clb_line_next(&line, &data, &len), APR_EAGAIN, "no line at first");
    is_int((long long)clb_line_pending(&line), 0, "and nothing pending");
    feed(&line, "abc", 3, 1, &out);
    is_int(clb_line_next(&line, &data, &len), APR_EAGAIN,
           "no line without line feed");
    is_int((long long)clb_line_pending(&line), 3, "its bytes are pending");
    feed(&line, "\n", 1, 1, &out);
    is_str(out.data, "[3:abc]", "the line feed completes it");
    is_int((long long)clb_line_pending(&line), 0, "then nothing is pending");
}

static void long_lines(void)
{
    apr_size_t size = 3000000, i;
    char *text = apr_palloc(pool, size);
    clb_line_t line;
    clb_buf_t out;

    for (i = 0; i < size; i++) {
        text[i] = (char)('a' + i % 25);
    }
    text[size - 1] = '\n';
    clb_line_init(&line, pool, size);
    clb_buf_init(&out, pool, 0);
    for (i = 0; i < 2; i++) {
        clb_buf_reset(&out);
        feed(&line, text, size, 65536, &out);
        ok(out.len == size - 1 + strlen("[2999999:]")
           && memcmp(out.data + strlen("[2999999:"), text, size - 1) == 0,
           "a line of three megabytes came whole");
    }
}

static void reset(void)
{
    static const struct {
        const char *before;
        const char *what;
    } cases[] = {
        { "", "nothing" },
        { "abc", "half a line" },
        { "abc\nde\nf", "lines that nobody took" },
        { "abc\n", "a whole one" },
    };
    apr_size_t i, len;
    clb_line_t line;
    clb_buf_t out;
    char *data;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        clb_line_init(&line, pool, 100);
        clb_buf_init(&out, pool, 0);
        clb_line_space(&line, &data, &len);
        memcpy(data, cases[i].before, strlen(cases[i].before));
        clb_line_fill(&line, strlen(cases[i].before));
        clb_line_next(&line, &data, &len);
        clb_line_reset(&line);
        is_int((long long)clb_line_pending(&line), 0, "forgotten: %s",
               cases[i].what);
        is_int(clb_line_next(&line, &data, &len), APR_EAGAIN,
               "no line is left of it");
        feed(&line, "g\nh", 3, 1, &out);
        is_str(out.data, "[1:g]", "the next is what comes next");
        is_int((long long)clb_line_pending(&line), 1, "and so on");
    }
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    splits();
    limit();
    no_line_feed();
    long_lines();
    reset();
    return tap_done();
}
