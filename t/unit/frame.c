/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket frames. */
#include "tap.h"

#include "../../src/core/frame.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

#define MASK "\x11\x22\x33\x44"

static apr_pool_t *pool;

/* A client's frame: @a head is its two first bytes and what else of its length
 * there is. */
static void add(clb_buf_t *out, const char *head, apr_size_t head_len,
                const char *data, apr_size_t len)
{
    apr_size_t i;

    clb_buf_add(out, head, head_len);
    clb_buf_add(out, MASK, 4);
    for (i = 0; i < len; i++) {
        char byte = (char)(data[i] ^ MASK[i & 3]);

        clb_buf_add(out, &byte, 1);
    }
}

#define ADD(out, head, data) \
    add(out, head, sizeof(head) - 1, data, sizeof(data) - 1)

/* What is read of @a bytes that come in pieces of @a step. */
static const char *read_all(const clb_buf_t *bytes, apr_size_t step,
                            apr_size_t max)
{
    static const char *const names[] = {
        "none", "text", "ping", "pong", "close", "bad"
    };
    clb_frames_t frames;
    clb_frame_e kind = CLB_FRAME_NONE;
    const char *data;
    apr_size_t at, len;
    clb_buf_t out;

    clb_frames_init(&frames, pool, max);
    clb_buf_init(&out, pool, 64);
    for (at = 0; at < bytes->len && kind != CLB_FRAME_BAD; at += step) {
        clb_buf_add(&frames.in, bytes->data + at, step < bytes->len - at
                    ? step : bytes->len - at);
        while ((kind = clb_frames_next(&frames, &data, &len))
               != CLB_FRAME_NONE && kind != CLB_FRAME_BAD) {
            clb_buf_puts(&out, apr_psprintf(pool, "%s(%.*s)%s ", names[kind],
                (int)(len < 9 ? len : 9), data, data[len] == '\0' ? "" : "!"));
        }
    }
    if (kind == CLB_FRAME_BAD) {
        clb_buf_puts(&out, apr_psprintf(pool, "bad %d", frames.why));
    }
    return out.data;
}

static void reads(const clb_buf_t *bytes, const char *wanted,
                  const char *name)
{
    is_str(read_all(bytes, bytes->len, 1000), wanted, "%s", name);
    is_str(read_all(bytes, 1, 1000), wanted, "the same byte by byte");
}

static clb_buf_t *empty(void)
{
    static clb_buf_t buf;

    clb_buf_init(&buf, pool, 64);
    return &buf;
}

static void good(void)
{
    clb_buf_t *in = empty();
    char *big = apr_pcalloc(pool, 70000);

    ADD(in, "\x81\x85", "Hello");
    ADD(in, "\x89\x82", "hi");
    ADD(in, "\x01\x82", "on");
    ADD(in, "\x8a\x80", "");
    ADD(in, "\x00\x81", "e");
    ADD(in, "\x80\x81", "!");
    ADD(in, "\x81\x80", "");
    ADD(in, "\x88\x82", "\x03\xe8");
    reads(in, "text(Hello) ping(hi) pong() text(one!) text() close(\x03\xe8) ",
          "messages, whole and in pieces, and what stands between");

    memset(big, 'x', 70000);
    in = empty();
    add(in, "\x81\xfe\x01\x00", 4, big, 256);
    add(in, "\x81\xff\0\0\0\0\0\1\x11\x70", 10, big, 70000);
    is_str(read_all(in, 4000, 70000), "text(xxxxxxxxx) text(xxxxxxxxx) ",
           "longer lengths");
    is_str(read_all(in, 4000, 69999), "text(xxxxxxxxx) bad 1009",
           "but not too long");
}

/* A long message is forgotten, what came behind it is not. */
static void forgets(void)
{
    char *big = apr_pcalloc(pool, 1000000);
    clb_buf_t *in = empty();
    clb_frames_t frames;
    const char *data;
    apr_size_t len;

    memset(big, 'x', 1000000);
    add(in, "\x01\xff\0\0\0\0\0\x0f\x42\x40", 10, big, 1000000);
    ADD(in, "\x80\x80", "");
    ADD(in, "\x81\x82", "hi");
    clb_frames_init(&frames, pool, 1000000);
    clb_buf_add(&frames.in, in->data, in->len);
    is_int(clb_frames_next(&frames, &data, &len), CLB_FRAME_TEXT, "a message");
    clb_frames_forget(&frames);
    ok(frames.in.size + frames.message.size < 10000, "leaves no large room");
    is_int(clb_frames_next(&frames, &data, &len), CLB_FRAME_TEXT, "the next");
    is_str(data, "hi", "is there");
}

static void wrong(const char *head, apr_size_t head_len, const char *data,
                  apr_size_t len, const char *wanted, const char *name)
{
    clb_buf_t *in = empty();

    add(in, head, head_len, data, len);
    reads(in, wanted, name);
}

#define WRONG(head, data, wanted, name) \
    wrong(head, sizeof(head) - 1, data, sizeof(data) - 1, wanted, name)

static void bad(void)
{
    clb_buf_t *in = empty();

    clb_buf_add(in, "\x81\x05Hello", 7);
    reads(in, "bad 1002", "what is not masked");
    WRONG("\xc1\x81", "x", "bad 1002", "a bit that nothing was agreed on for");
    WRONG("\x83\x81", "x", "bad 1002", "an opcode that there is not");
    WRONG("\x8b\x81", "x", "bad 1002", "another one");
    WRONG("\x82\x81", "x", "bad 1003", "bytes that are no text");
    WRONG("\x80\x81", "x", "bad 1002", "what goes on from nothing");
    WRONG("\x09\x81", "x", "bad 1002", "a ping in pieces");
    WRONG("\x89\xfe\x00\x7e", "", "bad 1002", "a long ping");
    WRONG("\x81\x82", "\xc3(", "bad 1007", "no UTF-8");
    WRONG("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff", "", "bad 1009",
          "longer than memory");
    in = empty();
    ADD(in, "\x01\x81", "a");
    ADD(in, "\x81\x81", "b");
    reads(in, "bad 1002", "a message inside of another one");
    in = empty();
    add(in, "\x01\xfe\x02\x58", 4, apr_psprintf(pool, "%600s", ""), 600);
    add(in, "\x80\xfe\x02\x58", 4, apr_psprintf(pool, "%600s", ""), 600);
    reads(in, "bad 1009", "the sum of its pieces is too long");
}

static void writes(void)
{
    clb_buf_t *out = empty();
    char *big = apr_pcalloc(pool, 70000);

    clb_frame_write(out, CLB_FRAME_TEXT, "ab", 2);
    clb_frame_write(out, CLB_FRAME_PING, "", 0);
    clb_frame_write(out, CLB_FRAME_PONG, "x", 1);
    clb_frame_close(out, CLB_CLOSE_TOO_BIG);
    ok(out->len == 4 + 2 + 3 + 4 && memcmp(out->data, "\x81\x02" "ab\x89\0"
       "\x8a\x01x\x88\x02\x03\xf1", out->len) == 0, "frames of a server");
    clb_buf_reset(out);
    clb_frame_write(out, CLB_FRAME_TEXT, big, 126);
    ok(out->len == 130 && memcmp(out->data, "\x81\x7e\0\x7e", 4) == 0,
       "a length of two bytes");
    clb_buf_reset(out);
    clb_frame_write(out, CLB_FRAME_TEXT, big, 70000);
    ok(out->len == 70010 && memcmp(out->data, "\x81\x7f\0\0\0\0\0\1\x11\x70",
       10) == 0, "and of eight");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    good();
    forgets();
    bad();
    writes();
    return tap_done();
}
