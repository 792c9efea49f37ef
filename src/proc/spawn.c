/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting and killing processes, and asking the kernel about them. Linux.
 */
#include "spawn.h"

#include <apr_file_io.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Slack for a reader that is slow: a CLI that blocks on stdout stops reading
 * from its upstream. Only there: a user may have 64 MiB in all pipes. */
#define PIPE_SIZE (1024 * 1024)

/*
 * Runs in the child between fork and exec, as the pool cleanup APR calls
 * there: its own process group; death with the keeper; nothing of httpd's
 * signal state or descriptors.
 */
static apr_status_t child_setup(void *data)
{
    const clb_spawn_t *what = data;
    struct sched_param param = { 0 };
    sigset_t none;
    int i;

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != what->keeper) {
        _exit(1);       /* it died before it could be heard of */
    }
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (i = 1; i < NSIG; i++) {
        signal(i, SIG_DFL);
    }
    setpriority(PRIO_PROCESS, 0, 0);
    if (what->background) {
        sched_setscheduler(0, SCHED_BATCH, &param);
    }
    syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
    return APR_SUCCESS;
}

static void exec_failed(apr_pool_t *pool, apr_status_t rv, const char *text)
{
    char why[128];

    dprintf(STDERR_FILENO, "%s: %s\n", text,
            apr_strerror(rv, why, sizeof(why)));
}

/* The descriptor as the caller's own: APR would close its copy again when the
 * pool goes, whoever has the number by then. */
static int take(apr_file_t *file, int pipe_size)
{
    apr_os_file_t of;
    int fd;

    apr_os_file_get(&of, file);
    fd = fcntl(of, F_DUPFD_CLOEXEC, 3);
    apr_file_close(file);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    if (pipe_size > 0) {
        fcntl(fd, F_SETPIPE_SZ, pipe_size);
    }
    return fd;
}

static apr_status_t attributes(apr_procattr_t **attr, const clb_spawn_t *what,
                               apr_pool_t *pool)
{
    apr_status_t rv;

    if ((rv = apr_procattr_create(attr, pool)) != APR_SUCCESS
        || (rv = apr_procattr_io_set(*attr, APR_CHILD_BLOCK, APR_CHILD_BLOCK,
                                     APR_CHILD_BLOCK)) != APR_SUCCESS
        || (rv = apr_procattr_cmdtype_set(*attr, APR_PROGRAM)) != APR_SUCCESS
        || (rv = apr_procattr_dir_set(*attr, what->cwd)) != APR_SUCCESS
        || (rv = apr_procattr_error_check_set(*attr, 1)) != APR_SUCCESS) {
        return rv;
    }
    return apr_procattr_child_errfn_set(*attr, exec_failed);
}

/* What APR opened and the caller did not take is closed with @a pool. */
static apr_status_t create(const clb_spawn_t *what, clb_child_t *child,
                           apr_pool_t *pool)
{
    apr_procattr_t *attr;
    apr_proc_t proc;
    apr_status_t rv;

    if ((rv = attributes(&attr, what, pool)) != APR_SUCCESS) {
        return rv;
    }
    apr_pool_cleanup_register(pool, what, apr_pool_cleanup_null, child_setup);
    rv = apr_proc_create(&proc, what->program, what->argv, what->env, attr,
                         pool);
    apr_pool_cleanup_kill(pool, what, apr_pool_cleanup_null);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    child->pid = proc.pid;
    child->in = take(proc.in, 0);
    child->out = take(proc.out, PIPE_SIZE);
    child->err = take(proc.err, 0);
    if (child->in < 0 || child->out < 0 || child->err < 0) {
        clb_kill_group(proc.pid, SIGKILL);
        close(child->in);
        close(child->out);
        close(child->err);
        return APR_EMFILE;
    }
    return APR_SUCCESS;
}

apr_status_t clb_spawn(const clb_spawn_t *what, clb_child_t *child,
                       apr_pool_t *pool)
{
    apr_pool_t *tmp;
    apr_status_t rv;

    if (access(what->program, X_OK) != 0) {
        return errno;
    }
    apr_pool_create(&tmp, pool);
    rv = create(what, child, tmp);
    apr_pool_destroy(tmp);
    return rv;
}

int clb_oom_open(int *score)
{
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    char text[16] = "";

    if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0) {
        text[0] = '\0';
    }
    *score = atoi(text);
    return fd;
}

void clb_oom_set(int fd, int score)
{
    char text[16];
    int len = apr_snprintf(text, sizeof(text), "%d", score);

    if (fd >= 0 && pwrite(fd, text, (size_t)len, 0) < 0) {
        /* a wish, not a need */
    }
}

void clb_kill_group(pid_t pid, int signal)
{
    if (pid > 1) {
        kill(-pid, signal);
    }
}

void clb_foreground(pid_t pid)
{
    struct sched_param param = { 0 };
    char path[64];
    struct dirent *entry;
    DIR *dir;

    apr_snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            sched_setscheduler(atoi(entry->d_name), SCHED_OTHER, &param);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

/* Read a small file of /proc whole; empty on failure. */
static void slurp(const char *path, char *text, apr_size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

    text[n < 0 ? 0 : n] = '\0';
    if (fd >= 0) {
        close(fd);
    }
}

void clb_kill_orphans(int (*known)(void *baton, pid_t pid), void *baton)
{
    char path[64], text[4096], *at = text, *end;
    long pid;

    apr_snprintf(path, sizeof(path), "/proc/self/task/%d/children",
                 (int)getpid());
    slurp(path, text, sizeof(text));
    while ((pid = strtol(at, &end, 10)) > 1 && end != at) {
        at = end;
        if (!known(baton, (pid_t)pid)) {
            kill((pid_t)pid, SIGKILL);
        }
    }
}

apr_off_t clb_memory_of(pid_t pid)
{
    long long size = 0, resident = 0, shared = 0;
    char path[64], text[256];

    apr_snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    slurp(path, text, sizeof(text));
    if (sscanf(text, "%lld %lld %lld", &size, &resident, &shared) != 3) {
        return 0;
    }
    return (apr_off_t)(resident - shared) * sysconf(_SC_PAGESIZE);
}

apr_uint64_t clb_born(pid_t pid)
{
    char path[64], text[1024], *at;
    int field;

    apr_snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    slurp(path, text, sizeof(text));
    /* the name in field 2 may contain blanks and parentheses */
    at = strrchr(text, ')');
    for (field = 2; at != NULL && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    return at == NULL ? 0 : strtoull(at, NULL, 10);
}

int clb_lock_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int remove_one(const char *path, const struct stat *st, int kind,
                      struct FTW *ftw)
{
    remove(path);
    return 0;
}

/* What is in a directory can be removed only by who may write to it; some
 * tools make theirs read-only. */
static int open_one(const char *path, const struct stat *st, int kind,
                    struct FTW *ftw)
{
    if (kind == FTW_D || kind == FTW_DNR) {
        chmod(path, 0700);
    }
    return 0;
}

static int remove_file(const char *path, const struct stat *st, int kind,
                       struct FTW *ftw)
{
    if (kind == FTW_F && path[ftw->base] != '.') {
        remove(path);
    }
    return 0;
}

void clb_remove_files(const char *path)
{
    nftw(path, remove_file, 1, FTW_PHYS);
}

void clb_remove_tree(const char *path)
{
    /* one descriptor is enough, and may be all there is */
    nftw(path, open_one, 1, FTW_PHYS);
    nftw(path, remove_one, 1, FTW_DEPTH | FTW_PHYS);
}
