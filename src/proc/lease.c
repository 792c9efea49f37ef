/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases as httpd's workers see them. The worker frees its own row: a keeper
 * that dies between two messages must not keep a slot.
 */
#include "lease.h"

#include <apr_strings.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* How long the doorbell may be full before the keeper counts as stuck. */
#define KNOCK_MS 2000

/* A keeper without descriptors loses what comes with a knock. */
#define KNOCKS 20

static void shut(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static apr_status_t cut(void *data)
{
    clb_lease_release(data, CLB_FATE_END, 0, NULL);
    return APR_SUCCESS;
}

/* Send the wish through the doorbell, with the keeper's end of a new lease
 * socket. */
static apr_status_t knock(clb_lease_t *lease)
{
    clb_msg_t msg = { .kind = CLB_MSG_LEASE };
    struct pollfd door = { lease->run->doorbell, POLLOUT, 0 };
    apr_status_t rv;
    int pair[2];

    if ((rv = clb_wire_pair(pair)) != APR_SUCCESS) {
        return rv;
    }
    msg.u.lease.row = lease->claim.row;
    msg.u.lease.nonce = lease->claim.nonce;
    msg.u.lease.backend = (apr_uint32_t)lease->backend->index;
    msg.u.lease.talk = lease->talk;
    msg.u.lease.extra = lease->extra;
    while ((rv = clb_wire_send(lease->run->doorbell, &msg, &pair[1], 1))
           != APR_SUCCESS && APR_STATUS_IS_EAGAIN(rv)) {
        if (poll(&door, 1, KNOCK_MS) <= 0) {
            break;
        }
    }
    close(pair[1]);
    if (rv != APR_SUCCESS) {
        close(pair[0]);
        return rv;
    }
    lease->fd = pair[0];
    return APR_SUCCESS;
}

apr_status_t clb_lease_ask(clb_lease_t **out, clb_run_t *run,
                           const clb_backend_t *backend, apr_uint64_t key,
                           apr_interval_time_t wait, const clb_talk_t *talk,
                           const clb_extra_t *extra, clb_error_t *error,
                           apr_pool_t *pool)
{
    clb_lease_t *lease = apr_pcalloc(pool, sizeof(*lease));
    apr_status_t rv;
    char why[120];

    lease->run = run;
    lease->pool = pool;
    lease->backend = backend;
    lease->talk = *talk;
    lease->extra = *extra;
    lease->fd = lease->in = lease->out = -1;
    if (clb_slot_enter(&run->table, backend->id, key, run->generation, wait,
                       &lease->claim) != APR_SUCCESS) {
        clb_error_set(error, pool, CLB_QUEUE_FULL, NULL,
                      "the queue of this server is full");
        error->retry_after = apr_time_from_sec(5);
        return APR_EGENERAL;
    }
    if ((rv = knock(lease)) != APR_SUCCESS) {
        clb_slot_leave(&run->table, &lease->claim);
        return clb_error_set(error, pool, CLB_OVERLOADED, NULL,
                             "the process keeper cannot be asked: %s",
                             apr_strerror(rv, why, sizeof(why)));
    }
    apr_pool_cleanup_register(pool, lease, cut, apr_pool_cleanup_null);
    *out = lease;
    return APR_SUCCESS;
}

static void granted(clb_lease_t *lease, const clb_msg_grant_t *grant,
                    const int *fds, int nfds)
{
    int i;

    lease->in = fds[0];
    lease->out = fds[1];
    for (i = 2; i < nfds; i++) {
        lease->files[lease->nfiles++] = fds[i];
    }
    lease->process = grant->process;
    lease->parked = grant->parked != 0;
    memcpy(lease->state, grant->state, sizeof(lease->state));
}

apr_status_t clb_lease_answer(clb_lease_t *lease, clb_error_t *error)
{
    int fds[CLB_WIRE_FDS], nfds;
    clb_msg_t msg;
    apr_status_t rv = clb_wire_recv(lease->fd, &msg, fds, &nfds);

    if (APR_STATUS_IS_EAGAIN(rv)) {
        return APR_EAGAIN;
    }
    if (rv == APR_SUCCESS && msg.kind == CLB_MSG_GRANT
        && nfds == 2 + (int)msg.u.grant.files) {
        granted(lease, &msg.u.grant, fds, nfds);
        return APR_SUCCESS;
    }
    if (rv == APR_SUCCESS && msg.kind == CLB_MSG_REFUSED) {
        clb_error_set(error, lease->pool, msg.u.refused.kind, NULL, "%s",
                      msg.u.refused.message);
        error->retry_after = msg.u.refused.retry_after;
        return APR_EGENERAL;
    }
    while (nfds > 0) {
        close(fds[--nfds]);
    }
    shut(&lease->fd);
    if (rv == APR_EINVAL) {
        return clb_error_set(error, lease->pool, CLB_OVERLOADED, NULL,
                             "httpd's worker has no descriptors left");
    }
    /* a keeper in trouble is not helped by knocks without pause */
    apr_sleep(apr_time_from_msec(20));
    if (lease->knocks++ < KNOCKS
        && clb_slot_state(&lease->run->table, &lease->claim)
           != CLB_ROW_FREE && knock(lease) == APR_SUCCESS) {
        return APR_EAGAIN;
    }
    return clb_error_set(error, lease->pool, CLB_OVERLOADED, NULL,
                         "the process keeper does not take the turn");
}

apr_status_t clb_lease_news(clb_lease_t *lease, clb_msg_exited_t *exited)
{
    int fds[CLB_WIRE_FDS], nfds;
    clb_msg_t msg;
    apr_status_t rv = clb_wire_recv(lease->fd, &msg, fds, &nfds);

    if (APR_STATUS_IS_EAGAIN(rv)) {
        return APR_EAGAIN;
    }
    if (rv == APR_SUCCESS && msg.kind == CLB_MSG_EXITED) {
        *exited = msg.u.exited;
        return APR_SUCCESS;
    }
    return APR_EOF;
}

void clb_lease_release(clb_lease_t *lease, clb_fate_e fate, int midline,
                       const clb_talk_t *talk)
{
    clb_msg_t msg = { .kind = CLB_MSG_RELEASE };

    apr_pool_cleanup_kill(lease->pool, lease, cut);
    clb_slot_leave(&lease->run->table, &lease->claim);
    if (lease->fd >= 0) {
        msg.u.release.fate = fate;
        msg.u.release.midline = midline != 0;
        msg.u.release.login = lease->login;
        if (talk != NULL) {
            msg.u.release.talk = *talk;
        }
        memcpy(msg.u.release.state, lease->state, sizeof(lease->state));
        clb_wire_send(lease->fd, &msg, NULL, 0);
    }
    shut(&lease->fd);
    shut(&lease->in);
    shut(&lease->out);
    while (lease->nfiles > 0) {
        close(lease->files[--lease->nfiles]);
    }
}
