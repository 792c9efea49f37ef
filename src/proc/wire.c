/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire between workers and keeper. A message is as long as its kind says,
 * never longer or shorter.
 */
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static apr_size_t size_of(int kind)
{
    const clb_msg_t *m = NULL;
    apr_size_t head = offsetof(clb_msg_t, u);

    switch (kind) {
    case CLB_MSG_LEASE: return head + sizeof(m->u.lease);
    case CLB_MSG_GRANT: return head + sizeof(m->u.grant);
    case CLB_MSG_REFUSED: return head + sizeof(m->u.refused);
    case CLB_MSG_EXITED: return head + sizeof(m->u.exited);
    case CLB_MSG_RELEASE: return head + sizeof(m->u.release);
    default: return 0;
    }
}

apr_status_t clb_wire_pair(int fd[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
                      0, fd) == 0 ? APR_SUCCESS : errno;
}

apr_status_t clb_wire_send(int fd, clb_msg_t *msg, const int *fds, int nfds)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(CLB_WIRE_FDS * sizeof(int))];
    } control;
    struct iovec iov = { msg, size_of(msg->kind) };
    struct msghdr head = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t n;

    msg->magic = CLB_WIRE_MAGIC;
    msg->version = CLB_WIRE_VERSION;
    if (nfds > 0) {
        struct cmsghdr *c;

        memset(&control, 0, sizeof(control));
        head.msg_control = control.room;
        head.msg_controllen = CMSG_SPACE((size_t)nfds * sizeof(int));
        c = CMSG_FIRSTHDR(&head);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)nfds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, (size_t)nfds * sizeof(int));
    }
    do {
        n = sendmsg(fd, &head, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? errno : APR_SUCCESS;
}

static void take_fds(struct msghdr *head, int *fds, int *nfds)
{
    struct cmsghdr *c;

    *nfds = 0;
    for (c = CMSG_FIRSTHDR(head); c != NULL; c = CMSG_NXTHDR(head, c)) {
        int n, i;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + (size_t)i * sizeof(int), sizeof(fd));
            if (*nfds < CLB_WIRE_FDS) {
                fds[(*nfds)++] = fd;
            }
            else {
                /* what aligns the room for them may be room for one more */
                close(fd);
                head->msg_flags |= MSG_CTRUNC;
            }
        }
    }
}

apr_status_t clb_wire_check(const clb_msg_t *msg, apr_size_t len)
{
    if (len < offsetof(clb_msg_t, u) || msg->magic != CLB_WIRE_MAGIC
        || msg->version != CLB_WIRE_VERSION || size_of(msg->kind) != len) {
        return APR_EINVAL;
    }
    switch (msg->kind) {
    case CLB_MSG_LEASE:
        return msg->u.lease.extra.count <= CLB_ARGS_MAX ? APR_SUCCESS
                                                        : APR_EINVAL;
    case CLB_MSG_REFUSED:
        return memchr(msg->u.refused.message, 0,
                      sizeof(msg->u.refused.message)) != NULL
            && msg->u.refused.kind < CLB_ERRORS ? APR_SUCCESS : APR_EINVAL;
    case CLB_MSG_EXITED:
        return memchr(msg->u.exited.tail, 0, sizeof(msg->u.exited.tail))
            != NULL ? APR_SUCCESS : APR_EINVAL;
    case CLB_MSG_GRANT:
        return msg->u.grant.files <= CLB_FILES_MAX ? APR_SUCCESS : APR_EINVAL;
    case CLB_MSG_RELEASE:
        return msg->u.release.fate <= CLB_FATE_KILL ? APR_SUCCESS
                                                    : APR_EINVAL;
    default:
        return APR_SUCCESS;
    }
}

static int hung_up(int fd)
{
    struct pollfd p = { fd, POLLIN, 0 };

    return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP) != 0;
}

apr_status_t clb_wire_recv(int fd, clb_msg_t *msg, int *fds, int *nfds)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(CLB_WIRE_FDS * sizeof(int))];
    } control;
    struct iovec iov = { msg, sizeof(*msg) };
    struct msghdr head = {
        .msg_iov = &iov, .msg_iovlen = 1,
        .msg_control = control.room, .msg_controllen = sizeof(control.room)
    };
    ssize_t n;

    *nfds = 0;
    do {
        n = recvmsg(fd, &head, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno;
    }
    take_fds(&head, fds, nfds);
    if (n == 0 && *nfds == 0) {
        /* an empty message looks like the end, and must not end the keeper */
        return hung_up(fd) ? APR_EOF : APR_EINVAL;
    }
    if (head.msg_flags & (MSG_TRUNC | MSG_CTRUNC)
        || clb_wire_check(msg, (apr_size_t)n) != APR_SUCCESS) {
        while (*nfds > 0) {
            close(fds[--*nfds]);
        }
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}
