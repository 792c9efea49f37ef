/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_FRAME_H
#define CLB_FRAME_H

#include "text.h"

/** The frames of a WebSocket as its server reads and writes them (RFC 6455,
 *  section 5). */
typedef enum clb_frame_e {
    CLB_FRAME_NONE,              /**< more bytes are needed */
    CLB_FRAME_TEXT,              /**< a whole message */
    CLB_FRAME_PING,
    CLB_FRAME_PONG,
    CLB_FRAME_CLOSE,
    CLB_FRAME_BAD                /**< nothing can follow */
} clb_frame_e;

/** Why a connection ends (RFC 6455, section 7.4.1). */
#define CLB_CLOSE_NORMAL   1000
#define CLB_CLOSE_AWAY     1001
#define CLB_CLOSE_PROTOCOL 1002
#define CLB_CLOSE_KIND     1003
#define CLB_CLOSE_DATA     1007
#define CLB_CLOSE_TOO_BIG  1009

typedef struct clb_frames_t {
    clb_buf_t in;                /**< what came; add to it */
    clb_buf_t message;           /**< the frames so far of one that goes on */
    apr_size_t max;              /**< bytes of a message */
    char control[126];           /**< what a frame says that is no message */
    int goes_on;                 /**< there are such */
    int why;                     /**< BAD: what to close with */
} clb_frames_t;

/** Begin, in @a pool. */
void clb_frames_init(clb_frames_t *frames, apr_pool_t *pool, apr_size_t max);

/**
 * The next frame that is complete, unmasked.
 * @param data its bytes, which are followed by a NUL: valid UTF-8 for a TEXT;
 *        valid until the next call
 */
clb_frame_e clb_frames_next(clb_frames_t *frames, const char **data,
                            apr_size_t *len);

/** Give back what a long message took, which nobody needs any more: between its
 *  end and the next call. */
void clb_frames_forget(clb_frames_t *frames);

/** Append a frame; PING, PONG and CLOSE have at most 125 bytes. */
void clb_frame_write(clb_buf_t *out, clb_frame_e kind, const char *data,
                     apr_size_t len);

/** Append a CLOSE that says @a why. */
void clb_frame_close(clb_buf_t *out, int why);

#endif
