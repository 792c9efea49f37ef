/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_JOB_H
#define CLB_JOB_H

#include "stream.h"

/** A request that a model answers. */
typedef struct clb_job_t {
    request_rec *r;
    clb_dir_conf_t conf;
    clb_route_t route;
    clb_stored_t *stored;        /**< answers that are kept, this one too */
    clb_chat_t *chat;
    const clb_backend_t *backend;
    clb_extra_t extra;           /**< arguments for this turn alone */
    clb_error_t error;
} clb_job_t;

/** Begin one for @a r, in @a dialect. */
void clb_job_begin(clb_job_t *job, request_rec *r,
                   const clb_dialect_t *dialect);

/** Make a chat of @a body, and find who serves it.
 *  @return APR_SUCCESS, or APR_EGENERAL with job->error set */
apr_status_t clb_job_prepare(clb_job_t *job, clb_json_t *body);

/** Have it answered. */
void clb_job_run(clb_job_t *job, clb_stream_t *stream);

#endif
