/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper's loop: one thread, one poll over the doorbell, the leases and
 * the pipes of all CLIs, and signals as one more descriptor. It ends when no
 * process of its generation is left.
 */
#include "keeper.h"

#include "cgroup.h"
#include "spawn.h"

#include <apr_strings.h>
#include <errno.h>
#include <http_log.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

APLOG_USE_MODULE(clibridge);

#define SWEEP_INTERVAL apr_time_from_sec(5)

/* Between two starts ahead when no process says that it is ready. */
#define FILL_INTERVAL apr_time_from_msec(50)

/* What a descriptor in the poll set belongs to. */
typedef struct watch_t {
    clb_hold_t *hold;
    clb_process_t *process;
} watch_t;

static int alive(apr_int32_t pid, apr_uint64_t born)
{
    apr_uint64_t now = clb_born(pid);

    /* 0: /proc may hide other users' processes (hidepid) */
    return (kill(pid, 0) == 0 || errno != ESRCH)
        && (born == 0 || now == 0 || now == born);
}

static void measure(clb_keeper_t *keeper)
{
    clb_process_t *p;
    apr_off_t sum = 0;

    if (keeper->global->memory == 0) {
        return;
    }
    /* what one took is what the next may take, for a while */
    keeper->largest -= keeper->largest / 8;
    APR_RING_FOREACH(p, &keeper->processes, clb_process_t, link) {
        apr_off_t size = clb_memory_of(p->pid);

        sum += size;
        keeper->largest = size > keeper->largest ? size : keeper->largest;
    }
    keeper->tight = sum + keeper->largest > keeper->global->memory;
    if (!keeper->crowded && sum > keeper->global->memory) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, keeper->server,
                     "keeper: CLIs use %" APR_OFF_T_FMT " MB, more than "
                     "CLIBridgeMemory allows", sum >> 20);
    }
    keeper->crowded = sum > keeper->global->memory;
    keeper->excess = keeper->crowded ? sum - keeper->global->memory : 0;
}

static void sweep(clb_keeper_t *keeper)
{
    apr_time_t now = apr_time_now();
    int freed;

    if (now < keeper->next_sweep) {
        return;
    }
    keeper->next_sweep = now + SWEEP_INTERVAL;
    freed = clb_slot_sweep(keeper->table, alive);
    if (freed > 0) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, keeper->server,
                     "keeper: freed %d slots of workers that are gone", freed);
    }
    measure(keeper);
}

/* What a process said on stderr, when it failed. What it said after it saw a
 * request may quote it, so that is for trace only. */
static void log_stderr(clb_keeper_t *keeper, const clb_process_t *process)
{
    int level = process->turns > 0 ? APLOG_TRACE8 : APLOG_ERR;

    if (process->ring_len > 0) {
        ap_log_error(APLOG_MARK, level, 0, keeper->server,
                     "process %u (%s): stderr ends with: %s", process->id,
                     process->backend->name,
                     clb_process_tail(process, CLB_RING, keeper->tmp));
    }
}

static const char *how(const clb_keeper_t *keeper,
                       const clb_process_t *process)
{
    const char *tail = clb_process_tail(process, 200, keeper->tmp);

    return apr_psprintf(keeper->tmp, "%s %s (%s %d)%s%s",
                        process->backend->name,
                        process->state == CLB_IDLE ? "ended while idle"
                        : "ended before it was ready",
                        process->status < 0 ? "signal" : "status",
                        abs(process->status),
                        process->turns == 0 && *tail != '\0' ? ": " : "",
                        process->turns == 0 ? tail : "");
}

static void gone(clb_keeper_t *keeper, clb_process_t *process)
{
    clb_process_drain(process);
    if (process->state <= CLB_IDLE && !keeper->quit) {
        clb_warm_failed(keeper, process, how(keeper, process));
    }
    else if (process->state == CLB_LEASED && process->status == 0) {
        clb_warm_worked(keeper, process->home);
    }
    if (process->failed || (process->state == CLB_LEASED
                            && process->status != 0)) {
        log_stderr(keeper, process);
    }
    clb_hold_exited(keeper, process);
    ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, keeper->server,
                 "process %u (%s): gone, status %d, %u turns", process->id,
                 process->backend->name, process->status, process->turns);
    APR_RING_REMOVE(process, link);
    clb_process_destroy(process);
}

static clb_process_t *find(const clb_keeper_t *keeper, pid_t pid)
{
    clb_process_t *p;

    APR_RING_FOREACH(p, &keeper->processes, clb_process_t, link) {
        if (p->pid == pid) {
            return p;
        }
    }
    return NULL;
}

static int known(void *keeper, pid_t pid)
{
    return find(keeper, pid) != NULL;
}

/*
 * Reap what ended. Children are CLIs, and their descendants that the kernel
 * gave us. While a leader is not reaped its number is not given to another
 * process, so that is when the rest of its group is killed.
 */
static void reap(clb_keeper_t *keeper)
{
    clb_process_t *process;
    siginfo_t info;
    int status, died = 0;

    for (;;) {
        memset(&info, 0, sizeof(info));
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0
            || info.si_pid == 0) {
            break;
        }
        process = find(keeper, info.si_pid);
        if (process != NULL) {
            clb_kill_group(process->pid, SIGKILL);
        }
        died = 1;
        if (waitpid(info.si_pid, &status, 0) == info.si_pid
            && process != NULL) {
            process->exited = 1;
            process->status = WIFSIGNALED(status) ? -WTERMSIG(status)
                                                  : WEXITSTATUS(status);
            gone(keeper, process);
        }
    }
    if (died) {
        clb_kill_orphans(known, keeper);
    }
}

static void handle_signals(clb_keeper_t *keeper)
{
    struct signalfd_siginfo info;

    while (read(keeper->signals, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGCHLD) {
            reap(keeper);
        }
        else if (info.ssi_signo == SIGUSR1) {
            keeper->draining = 1;
        }
        else {
            keeper->quit = 1;
        }
    }
}

static int is_chatty(const clb_process_t *process)
{
    return (process->backend->driver->traits(process->backend) & CLB_CHATTY)
           != 0;
}

/* It said that its turn is over. What it said beyond that would be taken for
 * the next client's answer. */
static void settled(clb_keeper_t *keeper, clb_process_t *process,
                    apr_status_t rv, const clb_step_t *step)
{
    if (rv != APR_SUCCESS) {
        clb_process_end(process, 1);
    }
    else if (step != NULL && step->fate == CLB_FATE_CLEAN) {
        if (clb_line_pending(&process->lines) > 0 && !is_chatty(process)) {
            clb_process_end(process, 0);
        }
        else if (process->talk.held) {
            clb_warm_park(keeper, process);
        }
        else {
            clb_process_enter(process, CLB_IDLE, 0);
        }
    }
    else if (step != NULL && step->fate != CLB_FATE_NONE) {
        clb_process_end(process, step->fate == CLB_FATE_KILL);
    }
}

/* What it says between two turns changes nothing, unless it is the end. */
static void spoke(clb_process_t *process, apr_status_t rv,
                  const clb_step_t *step)
{
    if (rv != APR_SUCCESS || (step != NULL && step->fate != CLB_FATE_NONE)) {
        clb_process_end(process, 0);
    }
}

/* A line came, or the end, on the stdout of a process nobody leases. */
static void hear(clb_keeper_t *keeper, clb_process_t *process)
{
    clb_state_e was = process->state;
    clb_step_t *step = NULL;
    apr_status_t rv;

    if (process->question != NULL) {
        clb_ask_hear(keeper, process);
        return;
    }
    rv = clb_process_read(process, &step);
    if (was == CLB_STARTING && process->state == was) {
        process->state = CLB_WARMING;
    }
    if (rv == APR_EOF) {
        /* most likely its exit is on its way and will say more */
        clb_process_hang_up(process);
    }
    else if (was == CLB_SETTLING) {
        settled(keeper, process, rv, step);
    }
    else if (was == CLB_PARKED || (was == CLB_IDLE && is_chatty(process)
                                   && rv == APR_SUCCESS)) {
        spoke(process, rv, step);
    }
    else if (process->canary) {
        clb_canary_hear(keeper, process, rv, step);
    }
    else if (rv != APR_SUCCESS || was == CLB_IDLE) {
        clb_warm_failed(keeper, process, apr_pstrcat(keeper->tmp,
                        process->backend->name, was == CLB_IDLE
                        ? " spoke while idle" : " sent an endless line",
                        NULL));
    }
    else if (step != NULL && step->ready) {
        clb_warm_ready(keeper, process);
    }
    else if (step != NULL && step->fate != CLB_FATE_NONE) {
        clb_warm_failed(keeper, process, apr_pstrcat(keeper->tmp,
                        process->backend->name, " refused to warm up",
                        NULL));
    }
}

static void add(apr_array_header_t *set, apr_array_header_t *watches, int fd,
                int events, clb_hold_t *hold, clb_process_t *process)
{
    struct pollfd *p = apr_array_push(set);
    watch_t *watch = apr_array_push(watches);

    p->fd = fd;
    p->events = (short)events;
    p->revents = 0;
    watch->hold = hold;
    watch->process = process;
}

static void fill_set(clb_keeper_t *keeper, apr_array_header_t *set,
                     apr_array_header_t *watches)
{
    clb_process_t *p;
    clb_hold_t *hold;

    add(set, watches, keeper->signals, POLLIN, NULL, NULL);
    add(set, watches, keeper->doorbell, POLLIN, NULL, NULL);
    APR_RING_FOREACH(hold, &keeper->holds, clb_hold_t, link) {
        add(set, watches, hold->fd, POLLIN, hold, NULL);
    }
    APR_RING_FOREACH(p, &keeper->processes, clb_process_t, link) {
        if (p->err >= 0) {
            add(set, watches, p->err, POLLIN, NULL, p);
        }
        if (p->state == CLB_LEASED || p->state == CLB_DYING) {
            continue;
        }
        if (p->out >= 0) {
            add(set, watches, p->out, POLLIN, NULL, p);
        }
        if (p->in >= 0 && p->unsent.len > 0) {
            add(set, watches, p->in, POLLOUT, NULL, p);
        }
    }
    clb_canary_watch(keeper, set);
    while (watches->nelts < set->nelts) {
        memset(apr_array_push(watches), 0, sizeof(watch_t));
    }
}

static void dispatch(clb_keeper_t *keeper, const struct pollfd *p,
                     const watch_t *watch)
{
    clb_process_t *process = watch->process;

    if (watch->hold != NULL) {
        if (watch->hold->fd == p->fd) {
            clb_hold_read(keeper, watch->hold);
        }
    }
    else if (process == NULL) {
        return;     /* signals, doorbell and tests come after all others */
    }
    else if (p->fd == process->err) {
        clb_process_drain(process);
    }
    else if (process->state == CLB_LEASED || process->state == CLB_DYING) {
        return;     /* changed hands in this very round */
    }
    else if (p->fd == process->out) {
        hear(keeper, process);
    }
    else if (p->fd == process->in
             && clb_process_write(process) != APR_SUCCESS) {
        clb_buf_reset(&process->unsent);
    }
}

static void expire(clb_keeper_t *keeper)
{
    apr_time_t now = apr_time_now();
    clb_process_t *p;

    APR_RING_FOREACH(p, &keeper->processes, clb_process_t, link) {
        if (p->deadline == 0 || p->deadline > now) {
            continue;
        }
        if (p->state <= CLB_IDLE) {
            clb_warm_failed(keeper, p, apr_psprintf(keeper->tmp, "%s %s: %s",
                p->backend->name, p->out < 0 ? "closed its stdout"
                : "was not ready in time",
                p->turns > 0 ? "" : clb_process_tail(p, 200, keeper->tmp)));
        }
        else {
            clb_process_end(p, p->state != CLB_PARKED);
        }
    }
}

/* How long poll may sleep, in ms. */
static int patience(const clb_keeper_t *keeper)
{
    apr_time_t now = apr_time_now();
    apr_time_t next = now + (keeper->filling ? FILL_INTERVAL
                                             : apr_time_from_sec(1));
    const clb_process_t *p;
    const clb_hold_t *hold;
    int i;

    APR_RING_FOREACH(p, &keeper->processes, clb_process_t, link) {
        if (p->deadline != 0 && p->deadline < next) {
            next = p->deadline;
        }
    }
    for (i = 0; i < keeper->pools->nelts; i++) {
        const clb_pool_t *pool = &APR_ARRAY_IDX(keeper->pools, i, clb_pool_t);

        if (pool->next_start > now && pool->next_start < next) {
            next = pool->next_start;
        }
        if (pool->calm > now && pool->calm < next) {
            next = pool->calm;
        }
    }
    APR_RING_FOREACH(hold, &keeper->holds, clb_hold_t, link) {
        if (!hold->admitted) {
            /* another generation's keeper may free the slot we wait for */
            next = next < now + apr_time_from_msec(50) ? next
                 : now + apr_time_from_msec(50);
            break;
        }
    }
    return next <= now ? 0 : (int)((next - now + 999) / 1000);
}

static void turn_round(clb_keeper_t *keeper)
{
    apr_array_header_t *set, *watches;
    int i, n;

    apr_pool_clear(keeper->tmp);
    set = apr_array_make(keeper->tmp, 64, sizeof(struct pollfd));
    watches = apr_array_make(keeper->tmp, 64, sizeof(watch_t));
    fill_set(keeper, set, watches);
    n = poll((struct pollfd *)set->elts, (nfds_t)set->nelts,
             patience(keeper));
    for (i = 2; n > 0 && i < set->nelts; i++) {
        const struct pollfd *p = &APR_ARRAY_IDX(set, i, struct pollfd);

        if (p->revents != 0) {
            dispatch(keeper, p, &APR_ARRAY_IDX(watches, i, watch_t));
        }
    }
    /* these two free processes that the set may name */
    handle_signals(keeper);
    if (!clb_hold_accept(keeper)) {
        keeper->quit = 1;
    }
    clb_canary_work(keeper);
    expire(keeper);
    clb_hold_serve(keeper);
    clb_canary_tend(keeper);
    clb_ask_tend(keeper);
    clb_warm_tend(keeper);
    clb_hold_serve(keeper);
    sweep(keeper);
    clb_standing_tend(keeper);
    if (!keeper->draining) {
        keeper->table->shared->heartbeat = apr_time_now();
    }
}

static void shut_down(clb_keeper_t *keeper)
{
    apr_time_t until = apr_time_now() + apr_time_from_sec(2);
    clb_process_t *p;

    APR_RING_FOREACH(p, &keeper->processes, clb_process_t, link) {
        clb_process_end(p, 1);
    }
    while (!APR_RING_EMPTY(&keeper->processes, clb_process_t, link)
           && apr_time_now() < until) {
        struct pollfd set = { keeper->signals, POLLIN, 0 };

        poll(&set, 1, 50);
        handle_signals(keeper);
    }
    clb_remove_tree(keeper->run_dir);
    clb_cgroup_leave(keeper->cgroup, keeper->pool);
}

void clb_keeper_main(server_rec *server, const clb_global_t *global,
                     clb_table_t *table, apr_uint32_t generation,
                     int doorbell, int delay, apr_pool_t *pool)
{
    clb_keeper_t *keeper = apr_pcalloc(pool, sizeof(*keeper));

    keeper->server = server;
    keeper->global = global;
    keeper->table = table;
    keeper->generation = generation;
    keeper->pool = pool;
    keeper->doorbell = doorbell;
    apr_pool_create(&keeper->tmp, pool);
    APR_RING_INIT(&keeper->processes, clb_process_t, link);
    APR_RING_INIT(&keeper->holds, clb_hold_t, link);
    APR_RING_INIT(&keeper->spare, clb_hold_t, link);
    clb_keeper_enter(keeper, delay);
    clb_warm_init(keeper);
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, server,
                 "keeper: generation %u, pid %d", generation, (int)getpid());
    while (!keeper->quit) {
        turn_round(keeper);
    }
    shut_down(keeper);
    _exit(0);
}
