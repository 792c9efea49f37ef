/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket frames. What a client sends is masked, and anything else is an
 * error; no extension is agreed on, so no reserved bit may be set.
 */
#include "frame.h"

#include <string.h>

/* The first two bytes of a frame. */
#define FINAL 0x80
#define MASKED 0x80
#define OPCODE 0x0f
#define LENGTH 0x7f

enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

/* Most bytes of a frame that is no message. */
#define CONTROL_MAX 125

/* Larger buffers are not worth keeping. */
#define LARGE (256 * 1024)

typedef struct head_t {
    int opcode;
    int final;
    apr_size_t size;             /* of the head, mask included */
    apr_uint64_t len;            /* of what follows */
    const char *mask;
} head_t;

static void init_buffers(clb_frames_t *frames, apr_pool_t *parent)
{
    apr_pool_t *pool;

    apr_pool_create(&pool, parent);
    clb_buf_init(&frames->in, pool, 1024);
    clb_buf_init(&frames->message, pool, 1024);
}

void clb_frames_init(clb_frames_t *frames, apr_pool_t *pool, apr_size_t max)
{
    memset(frames, 0, sizeof(*frames));
    init_buffers(frames, pool);
    frames->max = max;
}

void clb_frames_forget(clb_frames_t *frames)
{
    clb_buf_t in = frames->in;

    if (in.size > LARGE || frames->message.size > LARGE) {
        init_buffers(frames, apr_pool_parent_get(in.pool));
        clb_buf_add(&frames->in, in.data, in.len);
        apr_pool_destroy(in.pool);
    }
}

static clb_frame_e bad(clb_frames_t *frames, int why)
{
    frames->why = why;
    return CLB_FRAME_BAD;
}

/* @return 1 if the head is complete, 0 if not, -1 if it is none */
static int read_head(const clb_buf_t *in, head_t *head)
{
    const unsigned char *p = (const unsigned char *)in->data;
    int more, i;

    if (in->len < 2) {
        return 0;
    }
    head->opcode = p[0] & OPCODE;
    head->final = (p[0] & FINAL) != 0;
    head->len = p[1] & LENGTH;
    more = head->len == 126 ? 2 : head->len == 127 ? 8 : 0;
    head->size = 2 + (apr_size_t)more + 4;
    if ((p[0] & ~(FINAL | OPCODE)) != 0 || (p[1] & MASKED) == 0
        || (head->opcode >= CLOSE && (!head->final || more > 0))
        || (head->opcode > BINARY && head->opcode < CLOSE)
        || head->opcode > PONG) {
        return -1;
    }
    if (in->len < head->size) {
        return 0;
    }
    if (more > 0) {
        head->len = 0;
    }
    for (i = 0; i < more; i++) {
        head->len = head->len << 8 | p[2 + i];
    }
    head->mask = in->data + head->size - 4;
    return 1;
}

static void unmask(char *data, apr_size_t len, const char *mask)
{
    apr_size_t i;

    for (i = 0; i < len; i++) {
        data[i] = (char)(data[i] ^ mask[i & 3]);
    }
}

static int is_utf8(const char *data, apr_size_t len)
{
    apr_size_t i = 0, n = 1;

    while (i < len && n > 0) {
        n = clb_utf8_len((const unsigned char *)data + i, len - i);
        i += n;
    }
    return i == len;
}

/* One more frame of a message. */
static clb_frame_e add_data(clb_frames_t *frames, const head_t *head,
                            const char *bytes, const char **data,
                            apr_size_t *len)
{
    if (!frames->goes_on) {
        clb_buf_reset(&frames->message);
    }
    clb_buf_add(&frames->message, bytes, (apr_size_t)head->len);
    frames->goes_on = !head->final;
    *data = frames->message.data;
    *len = frames->message.len;
    if (!head->final) {
        return CLB_FRAME_NONE;
    }
    return is_utf8(*data, *len) ? CLB_FRAME_TEXT
                                : bad(frames, CLB_CLOSE_DATA);
}

static clb_frame_e control(const head_t *head)
{
    return head->opcode == PING ? CLB_FRAME_PING
         : head->opcode == PONG ? CLB_FRAME_PONG : CLB_FRAME_CLOSE;
}

/* What is wrong with it where it stands; 0 = nothing. */
static int refused(const clb_frames_t *frames, const head_t *head)
{
    if (head->opcode == BINARY) {
        return CLB_CLOSE_KIND;
    }
    if ((head->opcode == TEXT && frames->goes_on)
        || (head->opcode == CONTINUATION && !frames->goes_on)) {
        return CLB_CLOSE_PROTOCOL;
    }
    return head->opcode < CLOSE && head->len > frames->max
           - (frames->goes_on ? frames->message.len : 0)
         ? CLB_CLOSE_TOO_BIG : 0;
}

clb_frame_e clb_frames_next(clb_frames_t *frames, const char **data,
                            apr_size_t *len)
{
    clb_frame_e kind;
    char *bytes;
    head_t head;
    int rv, why;

    do {
        if ((rv = read_head(&frames->in, &head)) <= 0) {
            return rv == 0 ? CLB_FRAME_NONE : bad(frames, CLB_CLOSE_PROTOCOL);
        }
        if ((why = refused(frames, &head)) != 0) {
            return bad(frames, why);
        }
        if (frames->in.len - head.size < head.len) {
            return CLB_FRAME_NONE;
        }
        bytes = frames->in.data + head.size;
        unmask(bytes, (apr_size_t)head.len, head.mask);
        if (head.opcode >= CLOSE) {
            *len = (apr_size_t)head.len;
            memcpy(frames->control, bytes, *len);
            frames->control[*len] = '\0';
            *data = frames->control;
            kind = control(&head);
        }
        else {
            kind = add_data(frames, &head, bytes, data, len);
        }
        clb_buf_drop(&frames->in, head.size + (apr_size_t)head.len);
    } while (kind == CLB_FRAME_NONE);
    return kind;
}

void clb_frame_write(clb_buf_t *out, clb_frame_e kind, const char *data,
                     apr_size_t len)
{
    static const int opcodes[] = {
        [CLB_FRAME_TEXT] = TEXT, [CLB_FRAME_PING] = PING,
        [CLB_FRAME_PONG] = PONG, [CLB_FRAME_CLOSE] = CLOSE
    };
    int more = len <= CONTROL_MAX ? 0 : len <= 0xffff ? 2 : 8, i;
    char head[10];

    head[0] = (char)(FINAL | opcodes[kind]);
    head[1] = (char)(more == 0 ? len : more == 2 ? 126 : 127);
    for (i = 0; i < more; i++) {
        head[2 + i] = (char)((apr_uint64_t)len >> 8 * (more - 1 - i));
    }
    clb_buf_add(out, head, 2 + (apr_size_t)more);
    clb_buf_add(out, data, len);
}

void clb_frame_close(clb_buf_t *out, int why)
{
    char code[2] = { (char)(why >> 8), (char)why };

    clb_frame_write(out, CLB_FRAME_CLOSE, code, sizeof(code));
}
