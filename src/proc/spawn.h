/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_SPAWN_H
#define CLB_SPAWN_H

#include <apr_errno.h>
#include <apr_pools.h>

/** What to start. The environment is complete: nothing is inherited. */
typedef struct clb_spawn_t {
    const char *program;       /**< absolute path */
    const char *const *argv;   /**< argv[0] included, NULL-terminated */
    const char *const *env;    /**< NAME=value, NULL-terminated */
    const char *cwd;
    int background;            /**< yield to processes that serve a turn */
    pid_t keeper;              /**< who starts it */
} clb_spawn_t;

/** What was started: leader of its own process group. */
typedef struct clb_child_t {
    pid_t pid;
    int in;                    /**< to its stdin */
    int out;                   /**< from its stdout */
    int err;                   /**< from its stderr */
} clb_child_t;

/**
 * Start a program. Only the keeper calls this: its one thread is what makes
 * pipes safe and PR_SET_PDEATHSIG meaningful. The descriptors are non-blocking,
 * close-on-exec and the caller's to close.
 * @return APR_SUCCESS, or why not (APR_ENOENT, APR_EACCES, EAGAIN, ...)
 */
apr_status_t clb_spawn(const clb_spawn_t *what, clb_child_t *child,
                       apr_pool_t *pool);

/** How much sooner than others the kernel ends CLIs when memory runs out. */
#define CLB_OOM_SCORE 500

/**
 * Open this process's own score for that. It must be done before privileges
 * are dropped: after that the file is root's.
 * @param score set to what it is now
 * @return a descriptor for clb_oom_set(), -1 when there is none
 */
int clb_oom_open(int *score);

/** Set the score of this process; what it starts inherits it. */
void clb_oom_set(int fd, int score);

/** Send @a signal to the whole process group led by @a pid. */
void clb_kill_group(pid_t pid, int signal);

/** Lift what clb_spawn_t.background lowered, for all threads of @a pid. */
void clb_foreground(pid_t pid);

/** Kill children of this process that are not @a known: descendants of CLIs
 *  that left their group and were handed to us by the kernel. */
void clb_kill_orphans(int (*known)(void *baton, pid_t pid), void *baton);

/** Resident memory of @a pid that it does not share with files, in bytes. */
apr_off_t clb_memory_of(pid_t pid);

/** Start time of @a pid in clock ticks since boot, 0 when it is not there. */
apr_uint64_t clb_born(pid_t pid);

/** Lock a directory, as long as the descriptor that is returned is open or the
 *  process lives. @return -1 when another process has locked it */
int clb_lock_dir(const char *path);

/** Remove a directory and all below it, following no links. */
void clb_remove_tree(const char *path);

/** Remove the files below a directory whose names do not begin with a dot, and
 *  nothing that is no file. */
void clb_remove_files(const char *path);

#endif
