/* SPDX-License-Identifier: Apache-2.0 */
/* A message as another process might send it: it is received just when the
 * check takes it, and then nothing in it leads out of it. */
#include "fuzz.h"

#include "../../src/proc/wire.h"

#include <string.h>
#include <sys/socket.h>

static void check_content(const clb_msg_t *msg)
{
    switch (msg->kind) {
    case CLB_MSG_LEASE:
        FUZZ_CHECK(msg->u.lease.extra.count <= CLB_ARGS_MAX, "too many");
        break;
    case CLB_MSG_GRANT:
        FUZZ_CHECK(msg->u.grant.files <= CLB_FILES_MAX, "too many files");
        break;
    case CLB_MSG_REFUSED:
        FUZZ_CHECK(strnlen(msg->u.refused.message,
                           sizeof(msg->u.refused.message))
                   < sizeof(msg->u.refused.message), "no end");
        FUZZ_CHECK(msg->u.refused.kind < CLB_ERRORS, "no error");
        break;
    case CLB_MSG_EXITED:
        FUZZ_CHECK(strnlen(msg->u.exited.tail, sizeof(msg->u.exited.tail))
                   < sizeof(msg->u.exited.tail), "no end");
        break;
    case CLB_MSG_RELEASE:
        FUZZ_CHECK(msg->u.release.fate <= CLB_FATE_KILL, "no fate");
        break;
    default:
        FUZZ_CHECK(0, "kind %d", msg->kind);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int pair[2] = { -1, -1 };
    int fds[CLB_WIRE_FDS], n;
    clb_msg_t *msg, got;
    apr_status_t rv;

    if (size == 0 || size > 2 * sizeof(got)) {
        return 0;
    }
    if (pair[0] < 0) {
        FUZZ_CHECK(clb_wire_pair(pair) == APR_SUCCESS, "no pair");
    }
    msg = malloc(size);              /* for ASan, no byte more */
    memcpy(msg, data, size);
    FUZZ_CHECK(send(pair[0], data, size, 0) == (ssize_t)size, "not sent");
    rv = clb_wire_recv(pair[1], &got, fds, &n);
    FUZZ_CHECK(rv == clb_wire_check(msg, size), "received %d", rv);
    FUZZ_CHECK(n == 0, "%d descriptors from nowhere", n);
    if (rv == APR_SUCCESS) {
        FUZZ_CHECK(memcmp(&got, data, size) == 0, "changed on the way");
        check_content(msg);
    }
    free(msg);
    return 0;
}
