/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper's side of the leases. A lease is a socket: as long as it is open
 * the worker lives; its end without RELEASE means that the turn was cut, so
 * the process is dirty and the slot is freed here. Keeper only.
 */
#include "keeper.h"

#include "spawn.h"

#include <apr_strings.h>
#include <http_log.h>
#include <string.h>
#include <unistd.h>

APLOG_USE_MODULE(clibridge);

/* A process that was told to stop its answer has this long to do so, if its
 * driver does not know better. */
#define SETTLE_LIMIT apr_time_from_msec(200)

/* One that has given its answer has this long to be ready for the next turn;
 * 10 ms were measured, on a machine with nothing else to do. */
#define PARK_LIMIT apr_time_from_sec(2)

static clb_hold_t *new_hold(clb_keeper_t *keeper)
{
    clb_hold_t *hold;

    if (APR_RING_EMPTY(&keeper->spare, clb_hold_t, link)) {
        hold = apr_palloc(keeper->pool, sizeof(*hold));
    }
    else {
        hold = APR_RING_FIRST(&keeper->spare);
        APR_RING_REMOVE(hold, link);
    }
    memset(hold, 0, sizeof(*hold));
    APR_RING_INSERT_TAIL(&keeper->holds, hold, clb_hold_t, link);
    return hold;
}

static void drop(clb_keeper_t *keeper, clb_hold_t *hold)
{
    close(hold->fd);
    hold->fd = -1;      /* the poll set of this round may still name it */
    APR_RING_REMOVE(hold, link);
    APR_RING_INSERT_TAIL(&keeper->spare, hold, clb_hold_t, link);
}

static void refuse(clb_keeper_t *keeper, clb_hold_t *hold, clb_error_e kind,
                   const char *message, apr_interval_time_t retry_after)
{
    clb_msg_t msg = { .kind = CLB_MSG_REFUSED };

    msg.u.refused.kind = kind;
    msg.u.refused.retry_after = retry_after > 0 ? retry_after : 0;
    apr_cpystrn(msg.u.refused.message, message,
                sizeof(msg.u.refused.message));
    clb_wire_send(hold->fd, &msg, NULL, 0);
    clb_slot_leave(keeper->table, &hold->claim);
    drop(keeper, hold);
}

/* 1 if @a process holds the conversation @a hold goes on with. */
static int holds(const clb_process_t *process, const clb_hold_t *hold)
{
    return hold->talk.held && process->talk.held
        && clb_process_serves(process, &hold->extra)
        && memcmp(process->talk.digest, hold->talk.digest, CLB_SHA256_SIZE)
           == 0;
}

/* The process in @a state that holds the conversation @a hold goes on with. */
static clb_process_t *holder(const clb_keeper_t *keeper,
                             const clb_hold_t *hold, clb_state_e state)
{
    clb_process_t *p;

    APR_RING_FOREACH(p, &keeper->processes, clb_process_t, link) {
        if (p->state == state && p->out >= 0 && holds(p, hold)) {
            return p;
        }
    }
    return NULL;
}

/* One that is about to be ready for the next turn is worth the wait. */
static int awaits(const clb_keeper_t *keeper, const clb_hold_t *hold)
{
    return holder(keeper, hold, CLB_PARKED) == NULL
        && holder(keeper, hold, CLB_SETTLING) != NULL;
}

static void admitted(clb_keeper_t *keeper, clb_hold_t *hold)
{
    hold->admitted = 1;
    hold->pool = clb_warm_choose(keeper, hold->backend);
    if (!holder(keeper, hold, CLB_PARKED) && !awaits(keeper, hold)) {
        clb_warm_demand(keeper, hold->pool);
    }
}

/* The claim must be a live row: only httpd's children can make one. */
static void announced(clb_keeper_t *keeper, const clb_msg_t *msg, int fd)
{
    clb_claim_t claim = { msg->u.lease.row, msg->u.lease.nonce };
    clb_row_e state = clb_slot_state(keeper->table, &claim);
    const apr_array_header_t *backends = keeper->global->backends;
    clb_hold_t *hold;

    if (msg->kind != CLB_MSG_LEASE || state == CLB_ROW_FREE
        || msg->u.lease.backend >= (apr_uint32_t)backends->nelts
        || !clb_extra_valid(&msg->u.lease.extra, APR_ARRAY_IDX(backends,
                            (int)msg->u.lease.backend,
                            clb_backend_t *)->runs)) {
        close(fd);
        return;
    }
    hold = new_hold(keeper);
    hold->fd = fd;
    hold->claim = claim;
    hold->backend = (int)msg->u.lease.backend;
    hold->talk = msg->u.lease.talk;
    hold->extra = msg->u.lease.extra;
    if (state == CLB_ROW_ACTIVE) {
        /* it was next before its announcement came */
        admitted(keeper, hold);
    }
}

int clb_hold_accept(clb_keeper_t *keeper)
{
    int fds[CLB_WIRE_FDS], nfds;
    int rounds = 256;   /* others want the keeper, too */
    apr_status_t rv;
    clb_msg_t msg;

    while (rounds-- > 0) {
        rv = clb_wire_recv(keeper->doorbell, &msg, fds, &nfds);
        if (rv == APR_SUCCESS && nfds == 1) {
            announced(keeper, &msg, fds[0]);
            continue;
        }
        while (nfds > 0) {
            close(fds[--nfds]);
        }
        if (rv == APR_EOF) {
            return 0;
        }
        if (rv != APR_SUCCESS && rv != APR_EINVAL) {
            return 1;
        }
    }
    return 1;
}

static void admit(clb_keeper_t *keeper)
{
    clb_claim_t claim;
    clb_hold_t *hold;

    while (clb_slot_admit(keeper->table, keeper->generation, &claim)
           == APR_SUCCESS) {
        APR_RING_FOREACH(hold, &keeper->holds, clb_hold_t, link) {
            if (hold->claim.row == claim.row
                && hold->claim.nonce == claim.nonce) {
                admitted(keeper, hold);
                break;
            }
        }
    }
}

static clb_process_t *choose(clb_keeper_t *keeper, const clb_hold_t *hold)
{
    clb_process_t *process = holder(keeper, hold, CLB_PARKED);

    if (process != NULL) {
        return process;
    }
    if (awaits(keeper, hold) || !clb_canary_passed(hold->pool)) {
        return NULL;
    }
    process = clb_warm_idle(keeper, hold->pool, &hold->extra);
    return process != NULL ? process
         : clb_warm_spared(keeper, hold->pool, &hold->extra);
}

static void count_talk(clb_keeper_t *keeper, const clb_hold_t *hold,
                       const clb_process_t *process, int hit)
{
    clb_table_backend_t *shared = &keeper->table->shared
                                   ->backends[process->backend->id];

    shared->hits += (apr_uint32_t)hit;
    shared->misses += hold->talk.held && !hit;
}

static int grant(clb_keeper_t *keeper, clb_hold_t *hold,
                 clb_process_t *process)
{
    int fds[CLB_WIRE_FDS], nfds = 2, i;
    int hit = process->state == CLB_PARKED && holds(process, hold);
    const clb_backend_t *backend = process->backend;
    clb_msg_t msg = { .kind = CLB_MSG_GRANT };

    fds[0] = process->in;
    fds[1] = process->out;
    for (i = 0; i < process->nfiles; i++) {
        fds[nfds++] = process->files[i];
    }
    msg.u.grant.process = process->id;
    msg.u.grant.files = (apr_uint32_t)process->nfiles;
    msg.u.grant.parked = (apr_uint32_t)hit;
    memcpy(msg.u.grant.state, process->driver_state, CLB_STATE_MAX);
    if (clb_wire_send(hold->fd, &msg, fds, nfds) != APR_SUCCESS) {
        return 0;
    }
    count_talk(keeper, hold, process, hit);
    hold->process = process;
    hold->home = process->home;
    process->hold = hold;
    process->turns++;
    /* a line that it began between two turns is the worker's to skip */
    clb_line_reset(&process->lines);
    clb_process_enter(process, CLB_LEASED, 0);
    if (!(backend->driver->traits(backend) & (CLB_REUSE | CLB_PARKS))) {
        /* the worker's close of stdin must be the last one */
        close(process->in);
        close(process->out);
        process->in = process->out = -1;
    }
    return 1;
}

void clb_hold_serve(clb_keeper_t *keeper)
{
    clb_hold_t *hold, *next;
    clb_process_t *process;

    admit(keeper);
    APR_RING_FOREACH_SAFE(hold, next, &keeper->holds, clb_hold_t, link) {
        if (!hold->admitted || hold->process != NULL || hold->pool == NULL
            || (process = choose(keeper, hold)) == NULL) {
            continue;
        }
        if (!grant(keeper, hold, process)) {
            clb_slot_leave(keeper->table, &hold->claim);
            drop(keeper, hold);
        }
    }
}

int clb_hold_unserved(const clb_keeper_t *keeper, const clb_pool_t *pool,
                      const clb_extra_t *extra)
{
    const clb_hold_t *hold;
    int n = 0;

    APR_RING_FOREACH(hold, &keeper->holds, clb_hold_t, link) {
        n += hold->admitted && hold->process == NULL && hold->pool == pool
             && (extra == NULL || clb_extra_same(&hold->extra, extra))
             && !awaits(keeper, hold);
    }
    return n;
}

static int lacks(const clb_keeper_t *keeper, const clb_pool_t *pool,
                 const clb_extra_t *extra)
{
    return clb_hold_unserved(keeper, pool, extra)
         > clb_warm_at_hand(keeper, pool, extra);
}

const clb_extra_t *clb_hold_lacks(const clb_keeper_t *keeper,
                                  const clb_pool_t *pool)
{
    const clb_hold_t *hold;

    if (lacks(keeper, pool, &clb_no_extra)) {
        return &clb_no_extra;
    }
    APR_RING_FOREACH(hold, &keeper->holds, clb_hold_t, link) {
        if (hold->pool == pool && hold->extra.count > 0
            && lacks(keeper, pool, &hold->extra)) {
            return &hold->extra;
        }
    }
    return NULL;
}

void clb_hold_refuse(clb_keeper_t *keeper, const clb_pool_t *pool)
{
    clb_hold_t *hold, *next;

    APR_RING_FOREACH_SAFE(hold, next, &keeper->holds, clb_hold_t, link) {
        clb_pool_t *other;

        if (!hold->admitted || hold->process != NULL || hold->pool != pool) {
            continue;
        }
        other = clb_warm_choose(keeper, hold->backend);
        if (other != pool && clb_warm_healthy(other)) {
            hold->pool = other;
        }
        else {
            refuse(keeper, hold, pool->why_kind, pool->why, pool->blocked ? 0
                   : pool->next_start - apr_time_now());
        }
    }
}

void clb_hold_fail(clb_keeper_t *keeper, const clb_process_t *process,
                   const char *why)
{
    clb_hold_t *hold;

    APR_RING_FOREACH(hold, &keeper->holds, clb_hold_t, link) {
        if (hold->admitted && hold->process == NULL
            && hold->pool == process->home
            && clb_extra_same(&hold->extra, &process->extra)) {
            refuse(keeper, hold, CLB_CLI_FAILED, why, 0);
            return;
        }
    }
}

void clb_hold_settle(clb_process_t *process)
{
    clb_input_t in = { .kind = CLB_IN_CANCEL, .backend = process->backend };

    apr_interval_time_t limit = process->backend->driver->settle;

    clb_process_enter(process, CLB_SETTLING, limit > 0 ? limit
                                                       : SETTLE_LIMIT);
    /* a conversation that does not stay is forgotten */
    process->talk.held = 0;
    if (clb_process_step(process, &in)->fate == CLB_FATE_CLEAN) {
        clb_process_enter(process, CLB_IDLE, 0);
    }
}

static void release(clb_keeper_t *keeper, clb_process_t *process,
                    const clb_msg_release_t *msg)
{
    const clb_backend_t *backend = process->backend;
    int worn = process->extra.count > 0
            || (backend->driver->turns > 0
                && process->turns >= backend->driver->turns);
    int lives = !process->exited && !keeper->draining && !worn;
    int reuse = lives && backend->driver->traits(backend) & CLB_REUSE;
    int park = lives && backend->park > 0 && msg->talk.held && !msg->midline;

    process->hold = NULL;
    process->talk = msg->talk;
    if (park && msg->fate == CLB_FATE_CLEAN) {
        clb_process_return(process, msg->state, 0);
        clb_warm_park(keeper, process);
    }
    else if (park && msg->fate == CLB_FATE_PARK) {
        clb_process_return(process, msg->state, 0);
        clb_process_enter(process, CLB_SETTLING, PARK_LIMIT);
    }
    else if (reuse && msg->fate == CLB_FATE_CLEAN && !msg->midline
             && !(backend->driver->traits(backend) & CLB_PARKS)) {
        clb_process_return(process, msg->state, 0);
        clb_process_enter(process, CLB_IDLE, 0);
    }
    else if (reuse && (msg->fate == CLB_FATE_SETTLE
                       || msg->fate == CLB_FATE_PARK
                       || msg->fate == CLB_FATE_CLEAN)) {
        clb_process_return(process, msg->state, msg->midline != 0);
        clb_hold_settle(process);
    }
    else {
        clb_process_end(process, msg->fate == CLB_FATE_KILL);
    }
}

void clb_hold_read(clb_keeper_t *keeper, clb_hold_t *hold)
{
    static const clb_msg_release_t cut = { .fate = CLB_FATE_END };
    int fds[CLB_WIRE_FDS], nfds;
    clb_msg_t msg;
    apr_status_t rv = clb_wire_recv(hold->fd, &msg, fds, &nfds);

    if (APR_STATUS_IS_EAGAIN(rv)) {
        return;
    }
    while (rv == APR_SUCCESS && nfds > 0) {
        close(fds[--nfds]);
    }
    if (rv == APR_SUCCESS && msg.kind == CLB_MSG_RELEASE) {
        if (hold->home != NULL) {
            clb_ask_told(hold->home, (clb_login_e)msg.u.release.login);
        }
        if (hold->process != NULL) {
            release(keeper, hold->process, &msg.u.release);
        }
    }
    else if (hold->process != NULL) {
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, keeper->server,
                     "process %u (%s): its worker let go without a word",
                     hold->process->id, hold->process->backend->name);
        release(keeper, hold->process, &cut);
    }
    clb_slot_leave(keeper->table, &hold->claim);
    drop(keeper, hold);
}

void clb_hold_exited(clb_keeper_t *keeper, clb_process_t *process)
{
    clb_msg_t msg = { .kind = CLB_MSG_EXITED };
    clb_hold_t *hold = process->hold;

    if (hold != NULL) {
        msg.u.exited.status = process->status;
        /* a byte that is not UTF-8 becomes three */
        apr_cpystrn(msg.u.exited.tail,
                    clb_process_tail(process, sizeof(msg.u.exited.tail) / 3,
                                     keeper->tmp),
                    sizeof(msg.u.exited.tail));
        clb_wire_send(hold->fd, &msg, NULL, 0);
        hold->process = NULL;
        hold->pool = NULL;
        process->hold = NULL;
    }
}
