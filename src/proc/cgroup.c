/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cgroup (version 2) for each keeper and all that it starts. While a keeper
 * lives, process groups and the subreaper end what a CLI leaves behind; this is
 * for keepers that are killed. Nothing in <own>/clibridge-<uid>/<pid>.XXXXXX
 * gets out of it by fork or setsid, and the next keeper ends it. Whether its
 * keeper lives is told by the lock on the directory: a pid may be another
 * process's by now, or that of another namespace.
 */
#include "cgroup.h"

#include "spawn.h"

#include <apr_file_io.h>
#include <apr_strings.h>
#include <apr_time.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Processes that were killed are gone within this, in steps. */
#define STEP apr_time_from_msec(2)
#define STEPS 500

static const char *mount_point(apr_pool_t *pool)
{
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    const char *found = NULL;
    struct mntent *mount;

    while (mounts != NULL && found == NULL
           && (mount = getmntent(mounts)) != NULL) {
        if (strcmp(mount->mnt_type, "cgroup2") == 0) {
            found = apr_pstrdup(pool, mount->mnt_dir);
        }
    }
    if (mounts != NULL) {
        endmntent(mounts);
    }
    return found;
}

/* The path of this process below the mount point: the line "0::/path". */
static const char *own_path(apr_pool_t *pool)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    const char *found = NULL;
    char line[4096];

    while (file != NULL && found == NULL
           && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "0::/", 4) == 0) {
            found = apr_pstrndup(pool, line + 3, strcspn(line + 3, "\n"));
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return found;
}

static int put(const char *cgroup, const char *name, const char *text,
               apr_pool_t *pool)
{
    int fd = open(apr_pstrcat(pool, cgroup, "/", name, NULL),
                  O_WRONLY | O_CLOEXEC);
    int done = fd >= 0 && write(fd, text, strlen(text)) > 0;

    if (fd >= 0) {
        close(fd);
    }
    return done;
}

/* A killed process leaves its cgroup a moment later. */
static void end_all(const char *cgroup, apr_pool_t *pool)
{
    int steps = STEPS;

    put(cgroup, "cgroup.kill", "1", pool);
    while (steps-- > 0) {
        clb_remove_tree(cgroup);
        if (access(cgroup, F_OK) != 0) {
            return;
        }
        apr_sleep(STEP);
    }
}

static void end_left(const char *base, apr_pool_t *pool)
{
    apr_finfo_t entry;
    apr_dir_t *dir;

    if (apr_dir_open(&dir, base, pool) != APR_SUCCESS) {
        return;
    }
    while (apr_dir_read(&entry, APR_FINFO_NAME, dir) == APR_SUCCESS) {
        const char *cgroup = apr_pstrcat(pool, base, "/", entry.name, NULL);
        int lock = atoi(entry.name) > 0 ? clb_lock_dir(cgroup) : -1;

        if (lock >= 0) {
            end_all(cgroup, pool);
            close(lock);
        }
    }
    apr_dir_close(dir);
}

/* The lock stays as long as this process does. */
static const char *enter(const char *base, uid_t uid, gid_t gid,
                         apr_pool_t *pool)
{
    char *cgroup = apr_psprintf(pool, "%s/%d.XXXXXX", base, (int)getpid());
    int lock;

    if (mkdtemp(cgroup) == NULL) {
        return NULL;
    }
    lock = clb_lock_dir(cgroup);
    if (lock >= 0 && fchown(lock, uid, gid) == 0
        && fchownat(lock, "cgroup.kill", uid, gid, 0) == 0
        && put(cgroup, "cgroup.procs", "0", pool)) {
        return cgroup;
    }
    rmdir(cgroup);
    if (lock >= 0) {
        close(lock);
    }
    return NULL;
}

const char *clb_cgroup_enter(uid_t uid, gid_t gid, apr_pool_t *pool)
{
    const char *mount = mount_point(pool), *own = own_path(pool), *base;

    if (mount == NULL || own == NULL) {
        return NULL;
    }
    base = apr_psprintf(pool, "%s%s/clibridge-%d", mount, own, (int)uid);
    mkdir(base, 0755);
    /* whoever may write both may go from one cgroup below it to another */
    if (chown(base, uid, gid) != 0
        || chown(apr_pstrcat(pool, base, "/cgroup.procs", NULL), uid, gid)
           != 0) {
        return NULL;
    }
    end_left(base, pool);
    return enter(base, uid, gid, pool);
}

void clb_cgroup_leave(const char *cgroup, apr_pool_t *pool)
{
    if (cgroup != NULL
        && put(apr_pstrcat(pool, cgroup, "/..", NULL), "cgroup.procs", "0",
               pool)) {
        end_all(cgroup, pool);
    }
}
