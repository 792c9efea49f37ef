/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_WIRE_H
#define CLB_WIRE_H

#include "../backend/driver.h"
#include "../core/error.h"
#include "../core/sha256.h"

#include <apr_errno.h>
#include <apr_time.h>

/**
 * Messages between a worker and the keeper: fixed structs over SOCK_SEQPACKET,
 * descriptors beside them by SCM_RIGHTS. Both ends are of one generation, so
 * of one build; the version is checked all the same.
 */

#define CLB_WIRE_MAGIC 0x434c4257u
#define CLB_WIRE_VERSION 4u

/** stdin, stdout and the scratch files. */
#define CLB_WIRE_FDS (2 + CLB_FILES_MAX)

/** How much of a process's stderr travels. */
#define CLB_WIRE_TAIL 2048

/** A conversation that a process may hold: its digest (core/prefix.h). */
typedef struct clb_talk_t {
    apr_uint32_t held;         /**< 0 = none */
    unsigned char digest[CLB_SHA256_SIZE];
} clb_talk_t;

typedef enum clb_msg_e {
    CLB_MSG_LEASE = 1,   /**< worker: I hold a row; beside it, my socket */
    CLB_MSG_GRANT,       /**< keeper: here is a process */
    CLB_MSG_REFUSED,     /**< keeper: there is none to be had */
    CLB_MSG_EXITED,      /**< keeper: the process you hold is gone */
    CLB_MSG_RELEASE      /**< worker: done with it */
} clb_msg_e;

typedef struct clb_msg_lease_t {
    apr_uint32_t row;
    apr_uint32_t backend;      /**< index in the configuration */
    apr_uint64_t nonce;
    clb_talk_t talk;           /**< best a process that holds this one */
    clb_extra_t extra;         /**< one with these arguments, for it alone */
} clb_msg_lease_t;

typedef struct clb_msg_grant_t {
    apr_uint32_t process;      /**< its number, for logs */
    apr_uint32_t files;
    apr_uint32_t parked;       /**< it holds the conversation asked for */
    unsigned char state[CLB_STATE_MAX];
} clb_msg_grant_t;

typedef struct clb_msg_refused_t {
    apr_uint32_t kind;         /**< clb_error_e */
    apr_int64_t retry_after;
    char message[512];
} clb_msg_refused_t;

typedef struct clb_msg_exited_t {
    apr_int32_t status;        /**< as clb_input_t.status */
    char tail[CLB_WIRE_TAIL];  /**< end of stderr, NUL-terminated */
} clb_msg_exited_t;

typedef struct clb_msg_release_t {
    apr_uint32_t fate;         /**< clb_fate_e */
    apr_uint32_t midline;      /**< half a line was read */
    apr_uint32_t login;        /**< clb_login_e, as the turn showed it */
    clb_talk_t talk;           /**< PARK, CLEAN: what it holds now */
    unsigned char state[CLB_STATE_MAX];
} clb_msg_release_t;

typedef struct clb_msg_t {
    apr_uint32_t magic;
    apr_uint16_t version;
    apr_uint16_t kind;         /**< clb_msg_e */
    union {
        clb_msg_lease_t lease;
        clb_msg_grant_t grant;
        clb_msg_refused_t refused;
        clb_msg_exited_t exited;
        clb_msg_release_t release;
    } u;
} clb_msg_t;

/** A pair of connected sockets, close-on-exec, non-blocking. */
apr_status_t clb_wire_pair(int fd[2]);

/**
 * Send @a msg (its kind and body are set by the caller) with @a nfds
 * descriptors, which stay open here.
 * @return APR_SUCCESS, APR_EAGAIN when the other end is behind, or an errno
 */
apr_status_t clb_wire_send(int fd, clb_msg_t *msg, const int *fds, int nfds);

/**
 * Receive one message. Descriptors are close-on-exec and the caller's.
 * @param fds room for CLB_WIRE_FDS
 * @return APR_SUCCESS, APR_EAGAIN when there is none, APR_EOF at the end,
 *         APR_EINVAL for anything that is not a message of ours (descriptors
 *         that came with it are closed)
 */
apr_status_t clb_wire_recv(int fd, clb_msg_t *msg, int *fds, int *nfds);

/** Check an untrusted buffer as if it had been received. */
apr_status_t clb_wire_check(const clb_msg_t *msg, apr_size_t len);

#endif
