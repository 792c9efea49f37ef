/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_STORE_H
#define CLB_STORE_H

#include "../core/text.h"

#include <apr_time.h>

/**
 * What clients leave with the server: texts, each a file in one directory that
 * belongs to whoever httpd's workers are. A text has an owner, and for nobody
 * else does it exist. Files are made whole and renamed, so who reads needs no
 * lock, and a restart changes nothing.
 */
typedef struct clb_store_t {
    const char *dir;               /**< of this process's user, or nothing is
                                        stored */
    apr_size_t max;                /**< texts, in all */
    apr_off_t size;                /**< bytes of them */
    apr_interval_time_t age;       /**< until one expires */
    apr_off_t longest;             /**< bytes of one that is read */
} clb_store_t;

/** Longest id. */
#define CLB_STORE_ID 64

/** Which text a file holds: another one has another number, never 0. */
typedef apr_uint64_t clb_version_t;

/**
 * Put @a data under @a id, in the place of what is there. Now and then that
 * removes what has expired and, while there is too much, the oldest texts of
 * whoever has most.
 * @param version the text that must still be there, 0 = any or none; set to
 *        the one of @a data
 * @return APR_ENOENT if the text @a version is not there any more
 */
apr_status_t clb_store_put(const clb_store_t *store, const char *owner,
                           const char *id, const char *data, apr_size_t len,
                           clb_version_t *version, apr_pool_t *pool);

/** Read the text @a id, which @a version is set to.
 *  @return APR_ENOENT: there is none; APR_ENOSPC: it is too long */
apr_status_t clb_store_get(const clb_store_t *store, const char *owner,
                           const char *id, clb_buf_t *data,
                           clb_version_t *version, apr_pool_t *pool);

/** Remove it. @return APR_ENOENT if there is none */
apr_status_t clb_store_remove(const clb_store_t *store, const char *owner,
                              const char *id, apr_pool_t *pool);

/** Which text stands under @a id, and when it was put or touched. Both may be
 *  NULL. @return APR_ENOENT if there is none */
apr_status_t clb_store_look(const clb_store_t *store, const char *owner,
                            const char *id, clb_version_t *version,
                            apr_time_t *when, apr_pool_t *pool);

/** Say that it is still worked on. */
void clb_store_touch(const clb_store_t *store, const char *owner,
                     const char *id, apr_pool_t *pool);

/** Remove what has expired and what is too much. */
void clb_store_sweep(const clb_store_t *store, apr_pool_t *pool);

#endif
