/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a fork of httpd's parent to a keeper: what it must let go of, the user
 * it becomes, its signals (a descriptor, no handlers) and its directory. The
 * order matters: first what only root may do.
 */
#include "keeper.h"

#include "cgroup.h"
#include "spawn.h"

#include <ap_listen.h>
#include <apr_strings.h>
#include <errno.h>
#include <grp.h>
#include <http_log.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

APLOG_USE_MODULE(clibridge);

static void die(const clb_keeper_t *keeper, apr_status_t rv, const char *what)
{
    ap_log_error(APLOG_MARK, APLOG_CRIT, rv, keeper->server, "keeper: %s",
                 what);
    _exit(CLB_KEEPER_GAVE_UP);
}

/* What the keeper has to do is little and must be done at once: ending a CLI
 * before it asks its model again, above all. Only root can ask for that. */
#define NICE (-10)

/* Descriptors beside those of CLIs and leases: logs, the start of a process. */
#define OTHER_FILES 32

static const char *enter_cgroup(const clb_keeper_t *keeper)
{
    int root = geteuid() == 0;

    return clb_cgroup_enter(root ? keeper->global->uid : geteuid(),
                            root ? keeper->global->gid : getegid(),
                            keeper->pool);
}

/* initgroups first: setuid alone keeps root's supplementary groups. */
static void drop_privileges(clb_keeper_t *keeper)
{
    const clb_global_t *global = keeper->global;

    if (geteuid() != 0) {
        return;
    }
    setpriority(PRIO_PROCESS, 0, NICE);
    if (initgroups(global->user, global->gid) != 0
        || setgid(global->gid) != 0 || setuid(global->uid) != 0) {
        die(keeper, errno, "cannot become CLIBridgeUser");
    }
}

static void load_variables(clb_keeper_t *keeper)
{
    const apr_array_header_t *backends = keeper->global->backends;
    int i, j;

    for (i = 0; i < backends->nelts; i++) {
        const clb_backend_t *b = APR_ARRAY_IDX(backends, i, clb_backend_t *);
        const char *bad = clb_vars_load(b->env, keeper->pool);

        for (j = 0; j < b->accounts->nelts && bad == NULL; j++) {
            bad = clb_vars_load(APR_ARRAY_IDX(b->accounts, j,
                                              clb_account_t).env,
                                keeper->pool);
        }
        if (bad != NULL) {
            ap_log_error(APLOG_MARK, APLOG_ERR, 0, keeper->server,
                         "backend %s: CLIBridgeEnvFile cannot be read: %s",
                         b->name, bad);
        }
    }
}

/* Each CLI takes three descriptors and its scratch files, each lease one. */
static void raise_files(const clb_keeper_t *keeper)
{
    const clb_global_t *global = keeper->global;
    int each = 3 + CLB_FILES_MAX, leases = global->slots + global->queue;
    rlim_t needed = (rlim_t)(global->processes * each + leases + OTHER_FILES);
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= needed) {
        return;
    }
    if (files.rlim_max < needed) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, keeper->server, "keeper: needs "
                     "%d descriptors (CLIBridgeProcesses %d x %d, leases %d, "
                     "others %d), but may have %d: raise LimitNOFILE or "
                     "ulimit -n", (int)needed, global->processes, each,
                     leases, OTHER_FILES, (int)files.rlim_max);
        needed = files.rlim_max;
    }
    files.rlim_cur = needed;
    setrlimit(RLIMIT_NOFILE, &files);
}

/* Conversations and logins do not belong into core files, those of CLIs
 * included, which inherit this. Not 0: a pipe as kernel.core_pattern gets its
 * core whatever the limit is, unless it is 1. */
static void no_core(void)
{
    struct rlimit one = { 1, 1 };

    setrlimit(RLIMIT_CORE, &one);
}

/* PR_SET_PDEATHSIG is cleared by setuid, so it comes after; a parent that died
 * before it would never be noticed, so ask. CLIs of the same user must not look
 * into this process: what is not dumpable is root's. */
static void tie_to_parent(pid_t parent)
{
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        _exit(0);
    }
}

static void take_signals(clb_keeper_t *keeper)
{
    static const int taken[] = { SIGCHLD, SIGTERM, SIGHUP, SIGUSR1 };
    sigset_t set;
    apr_size_t i;

    sigemptyset(&set);
    for (i = 0; i < sizeof(taken) / sizeof(*taken); i++) {
        signal(taken[i], SIG_DFL);
        sigaddset(&set, taken[i]);
    }
    /* a terminal's interrupt is for the parent, which then ends us */
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGWINCH, SIG_IGN);
    sigprocmask(SIG_SETMASK, &set, NULL);
    keeper->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (keeper->signals < 0) {
        die(keeper, errno, "signalfd");
    }
}

/* Directories of keepers that are gone hold requests. A living keeper has its
 * own locked, where the file system can do that; its pid alone may be another
 * process's by now. */
static void sweep_run_dirs(const char *base, apr_pool_t *pool)
{
    apr_finfo_t entry;
    apr_dir_t *dir;

    if (apr_dir_open(&dir, base, pool) != APR_SUCCESS) {
        return;
    }
    while (apr_dir_read(&entry, APR_FINFO_NAME, dir) == APR_SUCCESS) {
        const char *path = apr_pstrcat(pool, base, "/", entry.name, NULL);
        int pid = atoi(entry.name);
        int lock = pid > 0 ? clb_lock_dir(path) : -1;

        if (lock >= 0
            || (pid > 0 && kill(pid, 0) != 0 && errno == ESRCH)) {
            clb_remove_tree(path);
        }
        if (lock >= 0) {
            close(lock);
        }
    }
    apr_dir_close(dir);
}

apr_status_t clb_keeper_run_dir(clb_keeper_t *keeper)
{
    int tries = 3;      /* another keeper may sweep it before it is locked */

    if (keeper->run_lock >= 0 && access(keeper->run_dir, F_OK) == 0) {
        return APR_SUCCESS;
    }
    if (keeper->run_lock >= 0) {
        close(keeper->run_lock);
    }
    do {
        if (mkdir(keeper->run_dir, 0700) != 0 && errno != EEXIST) {
            keeper->run_lock = -1;
            return errno;
        }
        keeper->run_lock = clb_lock_dir(keeper->run_dir);
    } while (keeper->run_lock < 0 && --tries > 0);
    return access(keeper->run_dir, F_OK) == 0 ? APR_SUCCESS : errno;
}

static void make_run_dir(clb_keeper_t *keeper)
{
    const char *base = apr_pstrcat(keeper->pool, keeper->global->state_dir,
                                   "/run", NULL);
    apr_status_t rv;

    apr_dir_make_recursive(base, APR_FPROT_UREAD | APR_FPROT_UWRITE
                           | APR_FPROT_UEXECUTE, keeper->pool);
    sweep_run_dirs(base, keeper->pool);
    keeper->run_dir = apr_psprintf(keeper->pool, "%s/%d", base,
                                   (int)getpid());
    keeper->run_lock = -1;
    if ((rv = clb_keeper_run_dir(keeper)) != APR_SUCCESS) {
        /* there may be room later: each start of a CLI tries again */
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, keeper->server, "keeper: "
                     "CLIBridgeStateDir: cannot make %s", keeper->run_dir);
    }
}

/* After a keeper that died soon. Any signal ends it, and is still there. */
static void pause_before(const clb_keeper_t *keeper, int delay)
{
    struct pollfd set = { keeper->signals, POLLIN, 0 };

    poll(&set, 1, delay * 1000);
}

void clb_keeper_enter(clb_keeper_t *keeper, int delay)
{
    pid_t parent = getppid();

    prctl(PR_SET_NAME, "clb-keeper");
    ap_close_listeners();
    load_variables(keeper);
    raise_files(keeper);
    no_core();
    keeper->oom = clb_oom_open(&keeper->oom_score);
    keeper->cgroup = enter_cgroup(keeper);
    drop_privileges(keeper);
    tie_to_parent(parent);
    take_signals(keeper);
    pause_before(keeper, delay);
    umask(077);
    make_run_dir(keeper);
}
