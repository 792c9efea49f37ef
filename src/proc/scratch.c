/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The private directory of a process: where it runs, room for temporary files,
 * the driver's scratch files and what else it finds there; and what it leaves.
 * Keeper only.
 */
#include "scratch.h"

#include "spawn.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* A path below the private directory; the directories on its way are made. */
static const char *path_in(const clb_process_t *process, const char *name)
{
    const char *slash = name;

    while ((slash = strchr(slash, '/')) != NULL) {
        mkdir(apr_pstrcat(process->pool, process->dir, "/",
                          apr_pstrmemdup(process->pool, name,
                                         (apr_size_t)(slash - name)), NULL),
              0700);
        slash++;
    }
    return apr_pstrcat(process->pool, process->dir, "/", name, NULL);
}

/* @return a descriptor of the new file, or -1 */
static int make_file(const char *path, const char *text)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ssize_t len = text == NULL ? 0 : (ssize_t)strlen(text);

    if (fd >= 0 && len > 0 && write(fd, text, (size_t)len) != len) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The link need lead nowhere, but must lead to where a file can be made. */
static int make_link(const char *path, const char *home, const char *target,
                     apr_pool_t *pool)
{
    const char *file = apr_pstrcat(pool, home, "/", target, NULL);

    mkdir(apr_pstrmemdup(pool, file, (apr_size_t)(strrchr(file, '/') - file)),
          0700);
    return symlink(file, path) == 0;
}

static int make_gift(const clb_start_t *start, const clb_gift_t *gift,
                     const char *path, apr_pool_t *pool)
{
    int fd;

    if (gift->link != NULL) {
        return symlink(gift->link, path) == 0;
    }
    if (gift->target != NULL) {
        return make_link(path, clb_start_var(start, "HOME"), gift->target,
                         pool);
    }
    fd = make_file(path, gift->write == NULL ? gift->text
                         : gift->write(start, pool));
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

apr_status_t clb_scratch_gifts(const clb_process_t *process,
                               const char *const *env)
{
    const clb_start_t start = { process->backend, process->dir, env };
    const clb_gift_t *gift = process->backend->driver->gifts;

    for (; gift != NULL && gift->name != NULL; gift++) {
        if (!make_gift(&start, gift, path_in(process, gift->name),
                       process->pool)) {
            return errno;
        }
    }
    return APR_SUCCESS;
}

static int make_dir(const char *path)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

/* Better told now than by the worker that fills a file, or by the CLI. */
static int full(const char *dir)
{
    struct statvfs fs;

    return statvfs(dir, &fs) == 0 && fs.f_blocks > 0 && fs.f_bavail == 0;
}

/* Where it runs: an empty directory with a name that means nothing to a model.
 * A CLI that tells its model the name shares one with its like, so that a
 * request that is sent again by another process is the same for the vendor's
 * prompt cache. */
static const char *make_cwd(const clb_process_t *process)
{
    const clb_backend_t *backend = process->backend;
    int shared = backend->driver->traits(backend) & CLB_PARKS;
    const char *end = strrchr(process->dir, '/');
    const char *cwd = apr_pstrcat(process->pool, shared
        ? apr_pstrndup(process->pool, process->dir,
                       (apr_size_t)(end - process->dir)) : process->dir,
        "/w", NULL);

    return mkdir(cwd, shared ? 0500 : 0700) == 0 || errno == EEXIST ? cwd
         : NULL;
}

apr_status_t clb_scratch_make(clb_process_t *process)
{
    const clb_backend_t *backend = process->backend;
    const clb_scratch_t *file = backend->driver->files;
    unsigned traits = backend->driver->traits(backend);

    if (!make_dir(process->dir) || (process->cwd = make_cwd(process)) == NULL
        || !make_dir(apr_pstrcat(process->pool, process->dir, "/tmp", NULL))) {
        return errno;
    }
    if ((traits & (CLB_REUSE | CLB_REFILL)) == CLB_REUSE) {
        return APR_SUCCESS;
    }
    for (; file->name != NULL && process->nfiles < CLB_FILES_MAX; file++) {
        int fd = make_file(path_in(process, file->name), file->text);

        if (fd < 0) {
            return errno;
        }
        process->files[process->nfiles++] = fd;
    }
    return full(process->dir) ? ENOSPC : APR_SUCCESS;
}

void clb_scratch_sweep(const clb_process_t *process)
{
    const char *const *name = process->backend->driver->swept;

    for (; name != NULL && *name != NULL; name++) {
        clb_remove_files(apr_pstrcat(process->step_pool, process->dir, "/",
                                     *name, NULL));
    }
}

void clb_scratch_remove(const clb_process_t *process)
{
    /* an empty one takes no descriptor: its start may have lacked some */
    rmdir(apr_pstrcat(process->pool, process->dir, "/w", NULL));
    rmdir(apr_pstrcat(process->pool, process->dir, "/tmp", NULL));
    if (rmdir(process->dir) != 0) {
        clb_remove_tree(process->dir);
    }
}
