/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_STORED_H
#define CLB_STORED_H

#include "../acct/store.h"
#include "request.h"

/** The last answer on a WebSocket, which can go on from it even if nothing is
 *  kept on disk. */
typedef struct clb_recent_t {
    const char *id;              /**< NULL = none */
    clb_buf_t record;            /**< its pool is cleared for the next one */
} clb_recent_t;

/** The answers that are kept for whoever asks, and the one under way. */
typedef struct clb_stored_t {
    request_rec *r;
    clb_store_t store;
    int enabled;                 /**< the server keeps answers */
    clb_recent_t *recent;        /**< of a WebSocket, or NULL */
    const char *owner;
    apr_pool_t *scratch;
    apr_off_t read;              /**< bytes of records so far */
    clb_version_t found;         /**< the last record that was read */
    const char *id;              /**< of the answer under way */
    clb_version_t version;       /**< of its record, 0 = none yet */
    apr_time_t touched;
} clb_stored_t;

/** Open it for @a r, in r->pool. */
clb_stored_t *clb_stored_open(request_rec *r);

/** A clb_kept_t's find(). */
clb_json_t *clb_stored_find(void *stored, const char *id, clb_error_t *error);

/** Keep how far @a reply has come.
 *  @return the record; NULL if it is not kept, or not any more */
clb_json_t *clb_stored_keep(clb_stored_t *stored, const clb_dialect_t *dialect,
                            const clb_reply_t *reply, clb_progress_e progress,
                            const clb_error_t *error);

/** 1 if the answer under way was cancelled or removed. Who asks works on it,
 *  and asks each few seconds at least: otherwise it is taken for given up. */
int clb_stored_gone(void *stored);

#endif
