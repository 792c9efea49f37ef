/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between workers and keeper, and the descriptors beside them. */
#include "tap.h"

#include "../../src/proc/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const int kinds[] = {
    CLB_MSG_LEASE, CLB_MSG_GRANT, CLB_MSG_REFUSED, CLB_MSG_EXITED,
    CLB_MSG_RELEASE
};

#define KINDS (sizeof(kinds) / sizeof(*kinds))

static int end[2];

/* The lowest descriptor that is free: as long as it stays the same, none was
 * left open. */
static int lowest(void)
{
    int fd = dup(0);

    close(fd);
    return fd;
}

/* A valid message with something in every byte that may be anything. */
static clb_msg_t message(int kind)
{
    clb_msg_t msg;

    memset(&msg, 0x55, sizeof(msg));
    msg.kind = (apr_uint16_t)kind;
    switch (kind) {
    case CLB_MSG_LEASE:
        msg.u.lease.extra.count = CLB_ARGS_MAX;
        break;
    case CLB_MSG_GRANT:
        msg.u.grant.files = CLB_FILES_MAX;
        break;
    case CLB_MSG_REFUSED:
        msg.u.refused.kind = CLB_OVERLOADED;
        strcpy(msg.u.refused.message, "come again");
        break;
    case CLB_MSG_EXITED:
        strcpy(msg.u.exited.tail, "Segmentation fault");
        break;
    case CLB_MSG_RELEASE:
        msg.u.release.fate = CLB_FATE_KILL;
        break;
    default:
        break;
    }
    return msg;
}

/* How many bytes a message of that kind has, as a peer sees it. */
static ssize_t size_of(int kind)
{
    clb_msg_t msg = message(kind), got;

    clb_wire_send(end[0], &msg, NULL, 0);
    return recv(end[1], &got, sizeof(got), 0);
}

static void all_kinds(void)
{
    apr_size_t i;
    int fds[CLB_WIRE_FDS], n;

    for (i = 0; i < KINDS; i++) {
        clb_msg_t msg = message(kinds[i]), got;
        ssize_t size = size_of(kinds[i]);

        memset(&got, 0, sizeof(got));
        is_int(clb_wire_send(end[0], &msg, NULL, 0), APR_SUCCESS,
               "kind %d is sent", kinds[i]);
        is_int(clb_wire_recv(end[1], &got, fds, &n), APR_SUCCESS,
               "and received");
        ok(memcmp(&got, &msg, (size_t)size) == 0, "as it was");
        is_int(n, 0, "without descriptors");
        is_int(clb_wire_check(&got, (apr_size_t)size), APR_SUCCESS,
               "it passes the check");
    }
    is_int(clb_wire_send(end[1], &(clb_msg_t){ .kind = CLB_MSG_LEASE }, NULL,
                         0), APR_SUCCESS, "the pair works both ways");
    is_int(clb_wire_recv(end[0], &(clb_msg_t){ 0 }, fds, &n), APR_SUCCESS,
           "back");
}

static void order(void)
{
    int fds[CLB_WIRE_FDS], n, i;
    clb_msg_t msg;

    for (i = 0; i < 3; i++) {
        msg = message(CLB_MSG_LEASE);
        msg.u.lease.row = (apr_uint32_t)i;
        clb_wire_send(end[0], &msg, NULL, 0);
    }
    for (i = 0; i < 3; i++) {
        clb_wire_recv(end[1], &msg, fds, &n);
        is_int(msg.u.lease.row, i, "message %d keeps its place", i);
    }
    is_int(clb_wire_recv(end[1], &msg, fds, &n), APR_EAGAIN, "then none");
}

/* As many as there can be; each must be the file it was. */
static void descriptors(void)
{
    int sent[CLB_WIRE_FDS], fds[CLB_WIRE_FDS], n, i, before = lowest();
    int same = 0, closed = 0;
    clb_msg_t msg = message(CLB_MSG_GRANT);

    for (i = 0; i < CLB_WIRE_FDS; i++) {
        int pair[2];

        if (pipe(pair) != 0) {
            break;
        }
        sent[i] = pair[0];
        same += write(pair[1], &i, sizeof(i)) == sizeof(i);
        close(pair[1]);
    }
    is_int(same, CLB_WIRE_FDS, "%d pipes", CLB_WIRE_FDS);
    is_int(clb_wire_send(end[0], &msg, sent, CLB_WIRE_FDS), APR_SUCCESS,
           "go with a message");
    for (same = 0, i = 0; i < CLB_WIRE_FDS; i++) {
        same += fcntl(sent[i], F_GETFD) >= 0;
        close(sent[i]);
    }
    is_int(same, CLB_WIRE_FDS, "and stay open here");
    is_int(clb_wire_recv(end[1], &msg, fds, &n), APR_SUCCESS, "they come");
    is_int(n, CLB_WIRE_FDS, "all");
    for (same = 0, i = 0; i < n; i++) {
        int number = -1;

        same += read(fds[i], &number, sizeof(number)) == sizeof(number)
                && number == i;
        closed += fcntl(fds[i], F_GETFD) == FD_CLOEXEC;
        close(fds[i]);
    }
    is_int(same, CLB_WIRE_FDS, "in their order");
    is_int(closed, CLB_WIRE_FDS, "close-on-exec");
    is_int(lowest(), before, "none is left over");
}

/* Sends @a len bytes as they are, with @a nfds copies of a descriptor. */
static void put(const void *data, size_t len, int nfds)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(2 * CLB_WIRE_FDS * sizeof(int))];
    } control = { { 0 } };
    struct iovec iov = { (void *)data, len };
    struct msghdr head = { .msg_iov = &iov, .msg_iovlen = 1 };
    int i;

    if (nfds > 0) {
        struct cmsghdr *c;

        head.msg_control = control.room;
        head.msg_controllen = CMSG_SPACE((size_t)nfds * sizeof(int));
        c = CMSG_FIRSTHDR(&head);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)nfds * sizeof(int));
        for (i = 0; i < nfds; i++) {
            memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &end[0],
                   sizeof(int));
        }
    }
    if (sendmsg(end[0], &head, 0) != (ssize_t)len) {
        ok(0, "%d bytes cannot be sent", (int)len);
    }
}

static void is_refused(const void *data, size_t len, int nfds,
                       const char *what)
{
    int fds[CLB_WIRE_FDS], n = -1, before = lowest();
    clb_msg_t got;

    put(data, len, nfds);
    is_int(clb_wire_recv(end[1], &got, fds, &n), APR_EINVAL, "%s", what);
    ok(n == 0 && lowest() == before, "its descriptors are closed");
}

/* A message of ours as bytes, after @a change has been at it. */
static void is_bad(int kind, void (*change)(clb_msg_t *msg), const char *what)
{
    size_t len = (size_t)size_of(kind);
    clb_msg_t msg = message(kind);

    msg.magic = CLB_WIRE_MAGIC;
    msg.version = CLB_WIRE_VERSION;
    is_int(clb_wire_check(&msg, len), APR_SUCCESS, "kind %d is good", kind);
    change(&msg);
    is_int(clb_wire_check(&msg, len), APR_EINVAL, "%s", what);
    is_refused(&msg, len, 2, "also when received");
}

static void no_magic(clb_msg_t *msg) { msg->magic++; }
static void other_version(clb_msg_t *msg) { msg->version++; }
static void no_kind(clb_msg_t *msg) { msg->kind = 0; }
static void next_kind(clb_msg_t *msg) { msg->kind = CLB_MSG_RELEASE + 1; }
static void other_kind(clb_msg_t *msg) { msg->kind = CLB_MSG_LEASE; }

static void more_files(clb_msg_t *msg)
{
    msg->u.grant.files = CLB_FILES_MAX + 1;
}

static void more_args(clb_msg_t *msg)
{
    msg->u.lease.extra.count = CLB_ARGS_MAX + 1;
}

static void no_error(clb_msg_t *msg) { msg->u.refused.kind = CLB_ERRORS; }
static void no_fate(clb_msg_t *msg) { msg->u.release.fate = CLB_FATE_KILL + 1; }

static void endless_message(clb_msg_t *msg)
{
    memset(msg->u.refused.message, 'x', sizeof(msg->u.refused.message));
}

static void endless_tail(clb_msg_t *msg)
{
    memset(msg->u.exited.tail, 'x', sizeof(msg->u.exited.tail));
}

static void bad_content(void)
{
    is_bad(CLB_MSG_LEASE, no_magic, "not our magic");
    is_bad(CLB_MSG_LEASE, other_version, "another version");
    is_bad(CLB_MSG_LEASE, no_kind, "no kind");
    is_bad(CLB_MSG_LEASE, next_kind, "a kind that is not known");
    is_bad(CLB_MSG_GRANT, other_kind, "a kind of another length");
    is_bad(CLB_MSG_GRANT, more_files, "more files than there can be");
    is_bad(CLB_MSG_LEASE, more_args, "more arguments than there can be");
    is_bad(CLB_MSG_REFUSED, no_error, "an error that is none");
    is_bad(CLB_MSG_REFUSED, endless_message, "a message without end");
    is_bad(CLB_MSG_EXITED, endless_tail, "a tail without end");
    is_bad(CLB_MSG_RELEASE, no_fate, "a fate that is none");
}

static void bad_lengths(void)
{
    char bytes[sizeof(clb_msg_t) + 64];
    apr_size_t i, len;

    for (i = 0; i < KINDS; i++) {
        apr_size_t size = (apr_size_t)size_of(kinds[i]);
        clb_msg_t msg = message(kinds[i]);
        int wrong = 0;

        msg.magic = CLB_WIRE_MAGIC;
        msg.version = CLB_WIRE_VERSION;
        for (len = 0; len <= sizeof(msg); len++) {
            wrong += (clb_wire_check(&msg, len) == APR_SUCCESS)
                     != (len == size);
        }
        is_int(wrong, 0, "kind %d has one length only", kinds[i]);
        memset(bytes, 0, sizeof(bytes));
        memcpy(bytes, &msg, sizeof(msg));
        is_refused(bytes, size - 1, 1, "a byte less");
        is_refused(bytes, size + 1, 1, "a byte more");
        is_refused(bytes, sizeof(bytes), 1, "more than any message has");
    }
    is_refused("x", 1, 3, "one byte");
    memset(bytes, 0xff, sizeof(bytes));
    is_refused(bytes, sizeof(bytes), 2 * CLB_WIRE_FDS,
               "garbage with more descriptors than there is room for");
    is_refused(bytes, 0, 2, "an empty message is no end");
    is_refused(bytes, 0, 0, "nor is one without descriptors");
}

static void too_many_descriptors(void)
{
    clb_msg_t msg = message(CLB_MSG_GRANT);

    msg.magic = CLB_WIRE_MAGIC;
    msg.version = CLB_WIRE_VERSION;
    is_refused(&msg, (size_t)size_of(CLB_MSG_GRANT), CLB_WIRE_FDS + 1,
               "a good message with one descriptor too many");
}

static void full_socket(void)
{
    clb_msg_t msg = message(CLB_MSG_EXITED);
    int fds[CLB_WIRE_FDS], n, sent = 0, got = 0;
    apr_status_t rv;

    while ((rv = clb_wire_send(end[0], &msg, NULL, 0)) == APR_SUCCESS
           && sent < 100000) {
        sent++;
    }
    ok(APR_STATUS_IS_EAGAIN(rv), "a reader that is behind is told, not waited"
       " for");
    while (clb_wire_recv(end[1], &msg, fds, &n) == APR_SUCCESS) {
        got++;
    }
    is_int(got, sent, "what was sent comes");
}

static void ends(void)
{
    clb_msg_t msg = message(CLB_MSG_LEASE);
    int fds[CLB_WIRE_FDS], n;

    clb_wire_send(end[0], &msg, NULL, 0);
    close(end[0]);
    is_int(clb_wire_recv(end[1], &msg, fds, &n), APR_SUCCESS,
           "a last message comes");
    is_int(clb_wire_recv(end[1], &msg, fds, &n), APR_EOF, "then the end");
    is_int(clb_wire_send(end[1], &msg, NULL, 0), EPIPE,
           "who writes then is not killed");
    close(end[1]);
}

static void pair(void)
{
    int i;

    is_int(clb_wire_pair(end), APR_SUCCESS, "a pair");
    for (i = 0; i < 2; i++) {
        ok(fcntl(end[i], F_GETFD) == FD_CLOEXEC, "close-on-exec");
        ok(fcntl(end[i], F_GETFL) & O_NONBLOCK, "non-blocking");
    }
}

int main(void)
{
    pair();
    all_kinds();
    order();
    descriptors();
    bad_content();
    bad_lengths();
    too_many_descriptors();
    full_socket();
    ends();
    return tap_done();
}
