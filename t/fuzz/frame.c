/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket frames: the first byte is the longest message allowed (255 =
 * 20000), the rest is what a client sends. It is read at once and again in
 * pieces: both ways the same comes out, and nothing is too long. */
#include "fuzz.h"

#include "../../src/core/frame.h"

#include <string.h>

/* What is read of it, as text. */
static void read_all(clb_buf_t *out, const char *data, size_t size,
                     apr_size_t max, uint32_t *seed, apr_pool_t *pool)
{
    clb_frames_t frames;
    clb_frame_e kind = CLB_FRAME_NONE;
    const char *said;
    apr_size_t len;
    size_t at = 0;

    clb_frames_init(&frames, pool, max);
    while (at < size && kind != CLB_FRAME_BAD) {
        size_t step = seed == NULL ? size : 1 + fuzz_next(seed, 50);

        step = step < size - at ? step : size - at;
        clb_buf_add(&frames.in, data + at, step);
        at += step;
        while ((kind = clb_frames_next(&frames, &said, &len))
               != CLB_FRAME_NONE && kind != CLB_FRAME_BAD) {
            FUZZ_CHECK(len <= (kind == CLB_FRAME_TEXT ? max : 125),
                       "too long");
            FUZZ_CHECK(said[len] == '\0', "no NUL behind it");
            clb_buf_add(out, (const char *)&kind, sizeof(kind));
            clb_buf_add(out, said, len);
        }
    }
    if (kind == CLB_FRAME_BAD) {
        FUZZ_CHECK(frames.why >= 1002 && frames.why <= 1009, "no reason");
        clb_buf_add(out, (const char *)&frames.why, sizeof(frames.why));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();
    uint32_t seed = fuzz_seed(data, size);
    clb_buf_t whole, pieces;
    apr_size_t max;

    if (size > 0) {
        max = data[0] == 255 ? 20000 : data[0];
        clb_buf_init(&whole, pool, 64);
        clb_buf_init(&pieces, pool, 64);
        read_all(&whole, (const char *)data + 1, size - 1, max, NULL, pool);
        read_all(&pieces, (const char *)data + 1, size - 1, max, &seed, pool);
        FUZZ_CHECK(whole.len == pieces.len && memcmp(whole.data, pieces.data,
                   whole.len) == 0, "pieces read otherwise");
    }
    return 0;
}
