/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent's side of the keeper: shared memory, mutex, the doorbell, fork,
 * and what happens when a keeper dies. The doorbell is a socket pair all
 * processes of a generation inherit: a worker sends its wish and one end of a
 * lease socket through it. It needs no name in the file system, nobody else
 * can knock, what is in it survives the keeper, and its end of file is the
 * sign that no process of the generation is left.
 */
#include "supervise.h"

#include "keeper.h"
#include "spawn.h"

#include <ap_mpm.h>
#include <apr_shm.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <errno.h>
#include <fcntl.h>
#include <http_core.h>
#include <http_log.h>
#include <mpm_common.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unixd.h>
#include <unistd.h>
#include <util_mutex.h>

APLOG_USE_MODULE(clibridge);

#define RETAINED "mod_clibridge"
#define MUTEX_NAME "clibridge-slots"
#define OLD_MAX 32

/* Descriptors of a worker that are not a request's. */
#define OTHER_FILES 32

/* A keeper writes its heartbeat every second. */
#define SILENT apr_time_from_sec(10)
#define HUNG apr_time_from_sec(20)

/* Kept over restarts: plain data and APR objects of the process pool, never a
 * pointer into this module, which is unloaded in between. */
typedef struct retained_t {
    apr_size_t size;             /* another build may have made another one */
    apr_shm_t *shm;
    apr_global_mutex_t *mutex;
    apr_uint32_t generation;
    int nold;
    pid_t old[OLD_MAX];          /* keepers of earlier generations */
} retained_t;

/* The keeper of this generation, as the parent sees it. */
typedef struct ward_t {
    server_rec *server;
    apr_pool_t *pool;
    apr_proc_t proc;
    int doorbell[2];             /* workers' end, keeper's end */
    int alive;                   /* not reaped yet */
    int retry;                   /* it could not be forked */
    apr_time_t started;
    int failures;
} ward_t;

static clb_run_t *the_run;
static ward_t *the_ward;

clb_run_t *clb_run(void)
{
    return the_run;
}

static retained_t *retained(void)
{
    retained_t *kept = ap_retained_data_get(RETAINED);

    if (kept == NULL || kept->size != sizeof(*kept)) {
        kept = ap_retained_data_create(RETAINED, sizeof(*kept));
        kept->size = sizeof(*kept);
    }
    return kept;
}

static apr_status_t make_table(retained_t *kept, server_rec *server)
{
    apr_pool_t *pool = server->process->pool;
    apr_status_t rv;

    if (kept->shm != NULL
        && apr_shm_size_get(kept->shm) >= sizeof(clb_shared_t)
        && clb_table_fits(apr_shm_baseaddr_get(kept->shm))) {
        return APR_SUCCESS;
    }
    /* anonymous: nothing to name, to remove or to protect; an old table of
     * another layout stays with those who use it */
    rv = apr_shm_create(&kept->shm, sizeof(clb_shared_t), NULL, pool);
    if (rv == APR_SUCCESS) {
        memset(apr_shm_baseaddr_get(kept->shm), 0, sizeof(clb_shared_t));
        clb_table_format(apr_shm_baseaddr_get(kept->shm));
    }
    return rv;
}

static apr_status_t make_mutex(retained_t *kept, server_rec *server)
{
    if (kept->mutex != NULL) {
        return APR_SUCCESS;
    }
    return ap_global_mutex_create(&kept->mutex, NULL, MUTEX_NAME, NULL,
                                  server, server->process->pool, 0);
}

static apr_status_t configure(clb_run_t *run)
{
    const clb_global_t *global = run->global;
    apr_status_t rv;
    int i;

    rv = clb_table_configure(&run->table, global->slots, global->queue,
                             run->generation);
    for (i = 0; i < global->backends->nelts && rv == APR_SUCCESS; i++) {
        clb_backend_t *b = APR_ARRAY_IDX(global->backends, i,
                                         clb_backend_t *);

        rv = clb_table_backend(&run->table, b->name, b->driver->name,
                               b->slots < 0 ? global->slots : b->slots,
                               run->generation, &b->id);
    }
    return rv;
}

static int foreign(const char *dir, uid_t uid)
{
    struct stat st;

    return lstat(dir, &st) == 0 && st.st_uid != uid;
}

/* Give a directory to a user, with those bits of its mode that are in @a keep,
 * and those in @a more. Only its owner may change the mode, be it root who
 * wants to. */
static apr_status_t give(const char *dir, uid_t uid, gid_t gid, mode_t keep,
                         mode_t more)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    apr_status_t rv = fd >= 0 && fstat(fd, &st) == 0
        && ((st.st_mode & 07777) == ((st.st_mode & keep) | more)
            || (fchown(fd, geteuid(), -1) == 0
                && fchmod(fd, (st.st_mode & keep) | more) == 0))
        && fchown(fd, uid, gid) == 0 ? APR_SUCCESS : errno;

    if (fd >= 0) {
        close(fd);
    }
    return rv;
}

/* Answers are kept by the workers, and no CLI may read what others asked. */
static void make_answers_dir(server_rec *server, const clb_global_t *global)
{
    int root = geteuid() == 0;
    apr_status_t rv = mkdir(global->answers_dir, 0700) == 0
                      || errno == EEXIST ? APR_SUCCESS : errno;

    if (rv == APR_SUCCESS) {
        rv = give(global->answers_dir, root ? ap_unixd_config.user_id
                  : geteuid(), root ? ap_unixd_config.group_id : getegid(), 0,
                  0700);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, server, "CLIBridgeStore: %s "
                     "cannot be made: no answer is kept",
                     global->answers_dir);
    }
}

/* The state directory belongs to whoever runs the CLIs. What another user left
 * of requests goes; the homes hold logins, so they are for the operator. */
static apr_status_t make_state_dir(server_rec *server,
                                   const clb_global_t *global,
                                   apr_pool_t *pool)
{
    const char *run = apr_pstrcat(pool, global->state_dir, "/run", NULL);
    const char *home = apr_pstrcat(pool, global->state_dir, "/home", NULL);
    apr_status_t rv = apr_dir_make_recursive(global->state_dir,
        APR_FPROT_UREAD | APR_FPROT_UWRITE | APR_FPROT_UEXECUTE, pool);

    if (rv == APR_SUCCESS && global->answers > 0) {
        make_answers_dir(server, global);
    }
    if (rv != APR_SUCCESS || geteuid() != 0) {
        return rv;
    }
    if (foreign(run, global->uid)) {
        /* not removed by root: its owner could lead root elsewhere meanwhile */
        const char *away = apr_psprintf(pool, "%s.%" APR_TIME_T_FMT, run,
                                        apr_time_sec(apr_time_now()));

        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server, "CLIBridgeStateDir:"
                     " %s was another user's; type: rm -r %s", run, away);
        rename(run, away);
    }
    if (foreign(home, global->uid)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, server, "CLIBridgeStateDir: %s "
                     "is another user's; type: chown -R %s %s", home,
                     global->user, home);
    }
    /* the workers go through it to what they keep */
    return give(global->state_dir, global->uid, global->gid, 07777, 0011);
}

static void shut_doorbell(ward_t *ward)
{
    int i;

    for (i = 0; i < 2; i++) {
        if (ward->doorbell[i] >= 0) {
            close(ward->doorbell[i]);
            ward->doorbell[i] = -1;
        }
    }
}

static apr_status_t shut(void *data)
{
    shut_doorbell(data);
    the_ward = NULL;
    the_run = NULL;
    return APR_SUCCESS;
}

static void maintain(int reason, void *data, apr_wait_t status);

static void start_keeper(ward_t *ward, int delay)
{
    apr_status_t rv = apr_proc_fork(&ward->proc, ward->pool);

    if (rv == APR_INCHILD) {
        close(ward->doorbell[0]);
        apr_global_mutex_child_init(&the_run->table.mutex, NULL, ward->pool);
        clb_keeper_main(ward->server, the_run->global, &the_run->table,
                        the_run->generation, ward->doorbell[1], delay,
                        ward->pool);
    }
    if (rv != APR_INPARENT) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, ward->server,
                     "keeper: cannot be forked");
        ward->retry = 1;
        return;
    }
    ward->retry = 0;
    ward->alive = 1;
    ward->started = apr_time_now();
    the_run->table.shared->heartbeat = ward->started
                                     + apr_time_from_sec(delay);
    apr_proc_other_child_register(&ward->proc, maintain, ward, NULL,
                                  ward->pool);
}

static void keeper_died(ward_t *ward, int status)
{
    int delay, lived = (int)apr_time_sec(apr_time_now() - ward->started);

    if (status == CLB_KEEPER_GAVE_UP) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, ward->server,
                     "keeper: gave up; correct the configuration and restart");
        the_run->table.shared->heartbeat = 0;
        return;
    }
    ward->failures = lived > 60 ? 0 : ward->failures + 1;
    delay = ward->failures < 2 ? 0
          : ward->failures < 6 ? 1 << (ward->failures - 2) : 30;
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, ward->server,
                 "keeper: pid %d ended (%d); starting another in %d s",
                 (int)ward->proc.pid, status, delay);
    start_keeper(ward, delay);
}

/*
 * What httpd tells of the keeper. When the configuration goes, so does the
 * keeper's work: it drops what is idle and serves running turns to their end.
 * On a stop or a hard restart it ends them first: httpd would wait ten seconds
 * for a worker in the middle of one. The doorbell goes too, so that nobody
 * waits for another keeper.
 */
static void maintain(int reason, void *data, apr_wait_t status)
{
    ward_t *ward = data;
    retained_t *kept = retained();
    int state = AP_MPMQ_RUNNING;

    switch (reason) {
    case APR_OC_REASON_DEATH:
        /* unregistering calls this function again: the pid is not ours now */
        ward->alive = 0;
        apr_proc_other_child_unregister(data);
        ap_mpm_query(AP_MPMQ_MPM_STATE, &state);
        if (state != AP_MPMQ_STOPPING && the_ward == ward) {
            keeper_died(ward, status);
        }
        break;
    case APR_OC_REASON_RESTART:
        kill(ward->proc.pid, SIGTERM);
        shut_doorbell(ward);
        apr_proc_other_child_unregister(data);
        break;
    case APR_OC_REASON_LOST:
        apr_proc_other_child_unregister(data);
        break;
    case APR_OC_REASON_UNREGISTER:
        if (ward->alive) {
            kill(ward->proc.pid, SIGUSR1);
        }
        if (ward->alive && kept->nold < OLD_MAX) {
            kept->old[kept->nold++] = ward->proc.pid;
        }
        break;
    default:
        break;
    }
}

static void forget_old(int reason, void *data, apr_wait_t status)
{
    apr_proc_t *proc = data;
    retained_t *kept = retained();
    int i;

    if (reason == APR_OC_REASON_RESTART) {
        kill(proc->pid, SIGTERM);
    }
    if (reason != APR_OC_REASON_DEATH) {
        return;
    }
    apr_proc_other_child_unregister(data);
    for (i = 0; i < kept->nold; i++) {
        if (kept->old[i] == proc->pid) {
            kept->old[i] = kept->old[--kept->nold];
            return;
        }
    }
}

/* So that httpd reaps the keepers of earlier generations. */
static void adopt_old(const retained_t *kept, apr_pool_t *pconf)
{
    int i;

    for (i = 0; i < kept->nold; i++) {
        apr_proc_t *proc = apr_pcalloc(pconf, sizeof(*proc));

        proc->pid = kept->old[i];
        apr_proc_other_child_register(proc, forget_old, proc, NULL, pconf);
    }
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* A thread that serves a turn has its client, its lease, two pipes and the
 * scratch files; one that waits has the first two. Without descriptors httpd
 * itself stops to accept. */
static void check_files(server_rec *server, const clb_global_t *global)
{
    int threads = 1, needed;
    struct rlimit files;

    if (ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads) != APR_SUCCESS
        || getrlimit(RLIMIT_NOFILE, &files) != 0) {
        return;
    }
    threads = threads < 1 ? 1 : threads;
    needed = threads + least(threads, global->slots + global->queue)
           + least(threads, global->slots) * CLB_WIRE_FDS + OTHER_FILES;
    if (files.rlim_cur < (rlim_t)needed) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server, "each worker of "
                     "httpd needs %d descriptors (ThreadsPerChild %d), but "
                     "may have %d: raise LimitNOFILE or ulimit -n", needed,
                     threads, (int)files.rlim_cur);
    }
}

static apr_status_t failed(server_rec *server, apr_status_t rv,
                           const char *what)
{
    ap_log_error(APLOG_MARK, APLOG_CRIT, rv, server, "%s", what);
    return rv;
}

apr_status_t clb_supervise(server_rec *server, clb_global_t *global,
                           apr_pool_t *pconf)
{
    retained_t *kept = retained();
    ward_t *ward = apr_pcalloc(pconf, sizeof(*ward));
    clb_run_t *run = apr_pcalloc(pconf, sizeof(*run));
    apr_status_t rv;

    if ((rv = make_table(kept, server)) != APR_SUCCESS) {
        return failed(server, rv, "the slot table cannot be made");
    }
    if ((rv = make_mutex(kept, server)) != APR_SUCCESS) {
        return failed(server, rv, "the mutex " MUTEX_NAME
                      " cannot be made");
    }
    if ((rv = make_state_dir(server, global, pconf)) != APR_SUCCESS) {
        return failed(server, rv, apr_pstrcat(pconf, "CLIBridgeStateDir ",
                      global->state_dir, " cannot be made", NULL));
    }
    if ((rv = clb_wire_pair(ward->doorbell)) != APR_SUCCESS) {
        return failed(server, rv, "the doorbell cannot be made");
    }
    run->global = global;
    run->table.shared = apr_shm_baseaddr_get(kept->shm);
    run->table.mutex = kept->mutex;
    run->generation = ++kept->generation;
    run->doorbell = ward->doorbell[0];
    ward->server = server;
    ward->pool = pconf;
    the_run = run;
    the_ward = ward;
    apr_pool_cleanup_register(pconf, ward, shut, apr_pool_cleanup_null);
    if ((rv = configure(run)) != APR_SUCCESS) {
        return failed(server, rv, "too many backends or slots");
    }
    check_files(server, global);
    adopt_old(kept, pconf);
    start_keeper(ward, 0);
    return APR_SUCCESS;
}

apr_status_t clb_supervise_child(apr_pool_t *pchild)
{
    if (the_run == NULL) {
        return APR_SUCCESS;
    }
    close(the_ward->doorbell[1]);
    the_ward->doorbell[1] = -1;
    the_run->table.pid = getpid();
    the_run->table.born = clb_born(getpid());
    return apr_global_mutex_child_init(&the_run->table.mutex,
                                       apr_global_mutex_lockfile(
                                           the_run->table.mutex), pchild);
}

int clb_keeper_silent(const clb_run_t *run)
{
    return apr_time_now() - run->table.shared->heartbeat > SILENT;
}

void clb_supervise_watch(server_rec *server)
{
    if (the_ward != NULL && the_ward->retry) {
        start_keeper(the_ward, 0);
    }
    else if (the_ward != NULL && the_ward->alive
        && apr_time_now() - the_ward->started > HUNG
        && apr_time_now() - the_run->table.shared->heartbeat > HUNG) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, server,
                     "keeper: pid %d hangs and is killed",
                     (int)the_ward->proc.pid);
        kill(the_ward->proc.pid, SIGKILL);
    }
}
