/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts of clients in files: OWNER-ID, where OWNER is a digest.
 */
#include "store.h"

#include "../core/sha256.h"

#include <apr_atomic.h>
#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_hash.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* Hex digits of the owner's digest in a name. */
#define OWNER 32

#define TEMPORARY ".XXXXXX"

/* The directory is looked through each so many times. */
#define SWEEP_EACH 16

/* What a worker that was killed began to write is no older than this while it
 * is still written. */
#define UNFINISHED apr_time_from_sec(3600)

/* Whoever else had the directory could read what is put there. */
static int is_ours(const clb_store_t *store, apr_pool_t *pool)
{
    apr_finfo_t dir;

    return apr_stat(&dir, store->dir, APR_FINFO_TYPE | APR_FINFO_USER
                    | APR_FINFO_LINK, pool) == APR_SUCCESS
        && dir.filetype == APR_DIR && dir.user == geteuid();
}

static int good_id(const char *id)
{
    apr_size_t len = strspn(id, "abcdefghijklmnopqrstuvwxyz"
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

    return len > 0 && len <= CLB_STORE_ID && id[len] == '\0';
}

/* @return NULL if there can be no such text */
static const char *path_of(const clb_store_t *store, const char *owner,
                           const char *id, apr_pool_t *pool)
{
    unsigned char digest[CLB_SHA256_SIZE];
    char hex[OWNER + 1];
    int i;

    if (!good_id(id) || !is_ours(store, pool)) {
        return NULL;
    }
    clb_sha256(digest, owner, strlen(owner));
    for (i = 0; i < OWNER / 2; i++) {
        apr_snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
    return apr_pstrcat(pool, store->dir, "/", hex, "-", id, NULL);
}

/* --- looking through the directory --- */

typedef struct found_t {
    const char *name;
    apr_time_t when;
    apr_off_t size;
} found_t;

static int older(const void *a, const void *b)
{
    apr_time_t x = ((const found_t *)a)->when, y = ((const found_t *)b)->when;

    return x < y ? -1 : x > y;
}

/* The name of a text, or of one that is being written. */
static int is_name(const char *name)
{
    return *name == '.' ? strlen(name) == sizeof(TEMPORARY) - 1
         : strspn(name, "0123456789abcdef") == OWNER && name[OWNER] == '-';
}

static void discard(const clb_store_t *store, const char *name,
                    apr_pool_t *pool)
{
    apr_file_remove(apr_pstrcat(pool, store->dir, "/", name, NULL), pool);
}

/* What has not expired, oldest first. */
static apr_array_header_t *gather(const clb_store_t *store, apr_pool_t *pool)
{
    apr_array_header_t *list = apr_array_make(pool, 64, sizeof(found_t));
    apr_time_t now = apr_time_now();
    apr_finfo_t info;
    apr_dir_t *dir;

    if (apr_dir_open(&dir, store->dir, pool) != APR_SUCCESS) {
        return list;
    }
    while (apr_dir_read(&info, APR_FINFO_NAME | APR_FINFO_TYPE
                        | APR_FINFO_MTIME | APR_FINFO_SIZE, dir)
           == APR_SUCCESS) {
        found_t one = { info.name, info.mtime, info.size };

        if (info.filetype != APR_REG || !is_name(info.name)) {
            continue;
        }
        if (info.mtime + (*info.name == '.' ? UNFINISHED : store->age) < now) {
            discard(store, info.name, pool);
        }
        else if (*info.name != '.') {
            one.name = apr_pstrdup(pool, info.name);
            APR_ARRAY_PUSH(list, found_t) = one;
        }
    }
    apr_dir_close(dir);
    if (list->nelts > 0) {
        qsort(list->elts, (size_t)list->nelts, sizeof(found_t), older);
    }
    return list;
}

typedef struct share_t {
    apr_off_t size;
    int next;                    /* no text of the owner comes before */
} share_t;

/* What a text counts: one that is empty must, too. */
static apr_off_t weight(const found_t *one)
{
    return one->size + 1;
}

/* What each owner has. */
static apr_hash_t *shares(const apr_array_header_t *list, apr_pool_t *pool)
{
    apr_hash_t *all = apr_hash_make(pool);
    int i;

    for (i = 0; i < list->nelts; i++) {
        const found_t *one = &APR_ARRAY_IDX(list, i, found_t);
        share_t *share = apr_hash_get(all, one->name, OWNER);

        if (share == NULL) {
            share = apr_pcalloc(pool, sizeof(*share));
            apr_hash_set(all, one->name, OWNER, share);
        }
        share->size += weight(one);
    }
    return all;
}

/* Whoever has most. */
static const char *richest(apr_hash_t *all, apr_pool_t *pool)
{
    apr_hash_index_t *hi;
    const char *owner = NULL;
    apr_off_t most = 0;

    for (hi = apr_hash_first(pool, all); hi != NULL; hi = apr_hash_next(hi)) {
        const share_t *share = apr_hash_this_val(hi);

        if (share->size > most) {
            most = share->size;
            owner = apr_hash_this_key(hi);
        }
    }
    return owner;
}

/* Remove the oldest text of whoever has most. @return its size */
static apr_off_t discard_one(const clb_store_t *store,
                             const apr_array_header_t *list, apr_hash_t *all,
                             apr_pool_t *pool)
{
    const char *owner = richest(all, pool);
    share_t *share = apr_hash_get(all, owner, OWNER);
    const found_t *one;

    do {
        one = &APR_ARRAY_IDX(list, share->next++, found_t);
    } while (memcmp(one->name, owner, OWNER) != 0);
    discard(store, one->name, pool);
    share->size -= weight(one);
    return one->size;
}

void clb_store_sweep(const clb_store_t *store, apr_pool_t *parent)
{
    apr_array_header_t *list;
    apr_hash_t *all;
    apr_pool_t *pool;
    apr_off_t size = 0;
    apr_size_t left;
    int i;

    apr_pool_create(&pool, parent);
    if (is_ours(store, pool)) {
        list = gather(store, pool);
        all = shares(list, pool);
        for (i = 0; i < list->nelts; i++) {
            size += APR_ARRAY_IDX(list, i, found_t).size;
        }
        for (left = (apr_size_t)list->nelts;
             left > store->max || (left > 0 && size > store->size); left--) {
            size -= discard_one(store, list, all, pool);
        }
    }
    apr_pool_destroy(pool);
}

/* --- one text --- */

/* An inode is used again when its file is gone, but hardly for a text that is
 * as long. */
#define VERSION (APR_FINFO_INODE | APR_FINFO_SIZE)

static clb_version_t version_of(const apr_finfo_t *info)
{
    return (clb_version_t)info->inode ^ (clb_version_t)info->size << 40;
}

static apr_status_t look(const clb_store_t *store, const char *path,
                         apr_finfo_t *info, apr_pool_t *pool)
{
    return path == NULL
        || apr_stat(info, path, VERSION | APR_FINFO_MTIME | APR_FINFO_TYPE
                    | APR_FINFO_LINK, pool) != APR_SUCCESS
        || info->filetype != APR_REG
        || info->mtime + store->age < apr_time_now() ? APR_ENOENT
                                                     : APR_SUCCESS;
}

/* What is there may not change while it is looked at and then replaced or
 * removed: threads count here as well as processes.
 * @return a descriptor to close */
static int lock(const clb_store_t *store)
{
    int fd = open(store->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    while (fd >= 0 && flock(fd, LOCK_EX) != 0 && errno == EINTR) {
    }
    return fd;
}

/* @param temp set to the name of the file */
static apr_status_t write_file(char *temp, const char *data, apr_size_t len,
                               clb_version_t *version, apr_pool_t *pool)
{
    apr_file_t *file;
    apr_finfo_t info;
    apr_status_t rv, closed;

    rv = apr_file_mktemp(&file, temp, APR_FOPEN_CREATE | APR_FOPEN_WRITE
                         | APR_FOPEN_EXCL, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = apr_file_write_full(file, data, len, NULL);
    if (rv == APR_SUCCESS) {
        rv = apr_file_info_get(&info, VERSION, file);
    }
    closed = apr_file_close(file);
    if (rv == APR_SUCCESS && closed == APR_SUCCESS) {
        *version = version_of(&info);
    }
    return rv != APR_SUCCESS ? rv : closed;
}

/* Let the file @a temp be @a path, where @a version must be, unless it is 0. */
static apr_status_t replace(const clb_store_t *store, const char *path,
                            const char *temp, clb_version_t version,
                            apr_pool_t *pool)
{
    apr_finfo_t info;
    int fd = lock(store);
    apr_status_t rv = fd < 0 ? APR_EACCES
        : version != 0 && (look(store, path, &info, pool) != APR_SUCCESS
                           || version_of(&info) != version) ? APR_ENOENT
        : apr_file_rename(temp, path, pool);

    if (fd >= 0) {
        close(fd);
    }
    return rv;
}

apr_status_t clb_store_put(const clb_store_t *store, const char *owner,
                           const char *id, const char *data, apr_size_t len,
                           clb_version_t *version, apr_pool_t *pool)
{
    static apr_uint32_t puts;
    const char *path = path_of(store, owner, id, pool);
    char *temp = apr_pstrcat(pool, store->dir, "/" TEMPORARY, NULL);
    clb_version_t mine = 0;
    apr_status_t rv;

    if (path == NULL) {
        return APR_EACCES;
    }
    if (apr_atomic_inc32(&puts) % SWEEP_EACH == 0) {
        clb_store_sweep(store, pool);
    }
    rv = write_file(temp, data, len, &mine, pool);
    if (rv == APR_SUCCESS) {
        rv = replace(store, path, temp, *version, pool);
    }
    if (rv == APR_SUCCESS) {
        *version = mine;
    }
    else {
        apr_file_remove(temp, pool);
    }
    return rv;
}

/* Read @a file, which others may have put there since its name was found. */
static apr_status_t read_file(apr_file_t *file, apr_off_t longest,
                              clb_buf_t *data, clb_version_t *version)
{
    apr_finfo_t info;
    apr_size_t len;

    if (apr_file_info_get(&info, VERSION, file) != APR_SUCCESS) {
        return APR_ENOENT;
    }
    if (info.size > longest) {
        return APR_ENOSPC;
    }
    len = (apr_size_t)info.size;
    if (apr_file_read_full(file, clb_buf_room(data, len), len, NULL)
        != APR_SUCCESS) {
        return APR_ENOENT;
    }
    data->len += len;
    data->data[data->len] = '\0';
    *version = version_of(&info);
    return APR_SUCCESS;
}

apr_status_t clb_store_get(const clb_store_t *store, const char *owner,
                           const char *id, clb_buf_t *data,
                           clb_version_t *version, apr_pool_t *pool)
{
    const char *path = path_of(store, owner, id, pool);
    apr_finfo_t info;
    apr_file_t *file;
    apr_status_t rv;

    if (look(store, path, &info, pool) != APR_SUCCESS
        || apr_file_open(&file, path, APR_FOPEN_READ, APR_FPROT_OS_DEFAULT,
                         pool) != APR_SUCCESS) {
        return APR_ENOENT;
    }
    rv = read_file(file, store->longest, data, version);
    apr_file_close(file);
    return rv;
}

apr_status_t clb_store_remove(const clb_store_t *store, const char *owner,
                              const char *id, apr_pool_t *pool)
{
    const char *path = path_of(store, owner, id, pool);
    apr_finfo_t info;
    int fd = lock(store);
    apr_status_t rv = fd >= 0 && look(store, path, &info, pool) == APR_SUCCESS
                      && apr_file_remove(path, pool) == APR_SUCCESS
                    ? APR_SUCCESS : APR_ENOENT;

    if (fd >= 0) {
        close(fd);
    }
    return rv;
}

apr_status_t clb_store_look(const clb_store_t *store, const char *owner,
                            const char *id, clb_version_t *version,
                            apr_time_t *when, apr_pool_t *pool)
{
    apr_finfo_t info;
    apr_status_t rv = look(store, path_of(store, owner, id, pool), &info,
                           pool);

    if (rv == APR_SUCCESS && version != NULL) {
        *version = version_of(&info);
    }
    if (rv == APR_SUCCESS && when != NULL) {
        *when = info.mtime;
    }
    return rv;
}

void clb_store_touch(const clb_store_t *store, const char *owner,
                     const char *id, apr_pool_t *pool)
{
    const char *path = path_of(store, owner, id, pool);

    if (path != NULL) {
        apr_file_mtime_set(path, apr_time_now(), pool);
    }
}
