/* SPDX-License-Identifier: Apache-2.0 */
/* The line splitter against memchr. The first byte is the longest line
 * allowed (255 = 20000), the rest is the stream, read in pieces whose sizes
 * follow from the bytes. */
#include "fuzz.h"

#include "../../src/core/line.h"

#include <string.h>

typedef struct stream_t {
    const char *data;
    const char *end;
    apr_size_t max;
} stream_t;

/* Takes the lines that are there; each must be the next of the stream. */
static void take(clb_line_t *line, stream_t *stream)
{
    char *data;
    apr_size_t len;

    while (clb_line_next(line, &data, &len) == APR_SUCCESS) {
        const char *lf = memchr(stream->data, '\n',
                                (size_t)(stream->end - stream->data));

        FUZZ_CHECK(lf != NULL, "a line without line feed");
        FUZZ_CHECK(len == (apr_size_t)(lf - stream->data), "a wrong length");
        FUZZ_CHECK(len <= stream->max, "a line above the limit");
        FUZZ_CHECK(memcmp(data, stream->data, len) == 0, "wrong bytes");
        FUZZ_CHECK(data[len] == '\0', "no NUL behind a line");
        memset(data, '#', len);
        stream->data = lf + 1;
    }
}

static void run(const uint8_t *data, size_t size, apr_pool_t *pool)
{
    uint32_t seed = fuzz_seed(data, size);
    stream_t stream;
    clb_line_t line;
    apr_size_t len;
    const char *given;
    char *space;

    if (size < 1) {
        return;
    }
    stream.max = data[0] == 255 ? 20000 : data[0];
    stream.data = given = (const char *)data + 1;
    stream.end = (const char *)data + size;
    clb_line_init(&line, pool, stream.max);
    while (given < stream.end) {
        apr_size_t left = (apr_size_t)(stream.end - given);

        if (clb_line_space(&line, &space, &len) != APR_SUCCESS) {
            FUZZ_CHECK((apr_size_t)(given - stream.data) > stream.max,
                       "refused below the limit");
            return;
        }
        FUZZ_CHECK(len > 0, "no space");
        len = len < left ? len : left;
        len = 1 + fuzz_next(&seed, (unsigned)len);
        memcpy(space, given, len);
        clb_line_fill(&line, len);
        given += len;
        take(&line, &stream);
        FUZZ_CHECK(clb_line_pending(&line)
                   == (apr_size_t)(given - stream.data), "wrong pending");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();

    run(data, size, pool);
    apr_pool_clear(pool);
    return 0;
}
