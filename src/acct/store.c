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
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Hex digits of the owner's digest in a name. */
#define OWNER 32

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

        if (info.filetype != APR_REG) {
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

/* Bytes by owner. */
static apr_hash_t *shares(const apr_array_header_t *list, apr_pool_t *pool)
{
    apr_hash_t *all = apr_hash_make(pool);
    int i;

    for (i = 0; i < list->nelts; i++) {
        const found_t *one = &APR_ARRAY_IDX(list, i, found_t);
        apr_off_t *share = apr_hash_get(all, one->name, OWNER);

        if (share == NULL) {
            share = apr_pcalloc(pool, sizeof(*share));
            apr_hash_set(all, one->name, OWNER, share);
        }
        *share += one->size;
    }
    return all;
}

/* Whoever has most. */
static const char *richest(apr_hash_t *all, apr_pool_t *pool)
{
    apr_hash_index_t *hi;
    const char *owner = NULL;
    apr_off_t most = -1;

    for (hi = apr_hash_first(pool, all); hi != NULL; hi = apr_hash_next(hi)) {
        const apr_off_t *share = apr_hash_this_val(hi);

        if (*share > most) {
            most = *share;
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
    int i;

    for (i = 0; i < list->nelts; i++) {
        found_t *one = &APR_ARRAY_IDX(list, i, found_t);

        if (one->name != NULL && memcmp(one->name, owner, OWNER) == 0) {
            apr_off_t *share = apr_hash_get(all, owner, OWNER);

            discard(store, one->name, pool);
            one->name = NULL;
            /* who has nothing left is not the richest, be all texts empty */
            *share = *share > one->size ? *share - one->size : -1;
            return one->size;
        }
    }
    return 0;
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

static apr_status_t write_file(const char *path, const char *data,
                               apr_size_t len, clb_version_t *version,
                               apr_pool_t *pool)
{
    apr_file_t *file;
    apr_finfo_t info;
    apr_status_t rv, closed;
    const char *slash = strrchr(path, '/');
    char *temp = apr_psprintf(pool, "%.*s/.XXXXXX", (int)(slash - path), path);

    rv = apr_file_mktemp(&file, temp, APR_FOPEN_CREATE | APR_FOPEN_WRITE
                         | APR_FOPEN_EXCL, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = apr_file_write_full(file, data, len, NULL);
    if (rv == APR_SUCCESS) {
        rv = apr_file_info_get(&info, APR_FINFO_INODE, file);
    }
    closed = apr_file_close(file);
    rv = rv != APR_SUCCESS ? rv : closed;
    if (rv == APR_SUCCESS) {
        rv = apr_file_rename(temp, path, pool);
    }
    if (rv != APR_SUCCESS) {
        apr_file_remove(temp, pool);
    }
    else if (version != NULL) {
        *version = (clb_version_t)info.inode;
    }
    return rv;
}

apr_status_t clb_store_put(const clb_store_t *store, const char *owner,
                           const char *id, const char *data, apr_size_t len,
                           clb_version_t *version, apr_pool_t *pool)
{
    static apr_uint32_t puts;
    const char *path = path_of(store, owner, id, pool);

    if (path == NULL) {
        return APR_EACCES;
    }
    if (apr_atomic_inc32(&puts) % SWEEP_EACH == 0) {
        clb_store_sweep(store, pool);
    }
    return write_file(path, data, len, version, pool);
}

static apr_status_t look(const clb_store_t *store, const char *path,
                         apr_finfo_t *info, apr_pool_t *pool)
{
    return path == NULL
        || apr_stat(info, path, APR_FINFO_INODE | APR_FINFO_MTIME
                    | APR_FINFO_SIZE | APR_FINFO_TYPE | APR_FINFO_LINK, pool)
           != APR_SUCCESS
        || info->filetype != APR_REG
        || info->mtime + store->age < apr_time_now() ? APR_ENOENT
                                                     : APR_SUCCESS;
}

apr_status_t clb_store_get(const clb_store_t *store, const char *owner,
                           const char *id, clb_buf_t *data, apr_pool_t *pool)
{
    const char *path = path_of(store, owner, id, pool);
    apr_finfo_t info;
    apr_file_t *file;
    apr_size_t len;
    apr_status_t rv;

    if (look(store, path, &info, pool) != APR_SUCCESS
        || apr_file_open(&file, path, APR_FOPEN_READ, APR_FPROT_OS_DEFAULT,
                         pool) != APR_SUCCESS) {
        return APR_ENOENT;
    }
    len = (apr_size_t)info.size;
    if (info.size > store->longest) {
        rv = APR_ENOSPC;
    }
    else {
        rv = apr_file_read_full(file, clb_buf_room(data, len), len, &len);
        data->len += rv == APR_SUCCESS ? len : 0;
    }
    apr_file_close(file);
    return rv == APR_SUCCESS || rv == APR_ENOSPC ? rv : APR_ENOENT;
}

apr_status_t clb_store_remove(const clb_store_t *store, const char *owner,
                              const char *id, apr_pool_t *pool)
{
    const char *path = path_of(store, owner, id, pool);
    apr_finfo_t info;

    return look(store, path, &info, pool) == APR_SUCCESS
           && apr_file_remove(path, pool) == APR_SUCCESS ? APR_SUCCESS
                                                         : APR_ENOENT;
}

apr_status_t clb_store_look(const clb_store_t *store, const char *owner,
                            const char *id, clb_version_t *version,
                            apr_time_t *when, apr_pool_t *pool)
{
    apr_finfo_t info;
    apr_status_t rv = look(store, path_of(store, owner, id, pool), &info,
                           pool);

    if (rv == APR_SUCCESS && version != NULL) {
        *version = (clb_version_t)info.inode;
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
