/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_LEASE_H
#define CLB_LEASE_H

#include "supervise.h"
#include "wire.h"

/**
 * A worker's side of a lease: a row of the slot table, a socket to the keeper
 * and, once granted, a process's pipes. One thread uses it.
 */
typedef struct clb_lease_t {
    clb_run_t *run;
    apr_pool_t *pool;
    clb_claim_t claim;
    clb_talk_t talk;             /**< asked for */
    clb_extra_t extra;           /**< asked for */
    const clb_backend_t *backend;
    int fd;                      /**< to the keeper; -1 = released */
    int knocks;                  /**< how often it was asked anew */
    int in;                      /**< the process's stdin; -1 = closed */
    int out;                     /**< the process's stdout */
    int files[CLB_FILES_MAX];
    int nfiles;
    apr_uint32_t process;        /**< its number, for logs */
    int parked;                  /**< it holds the conversation asked for */
    clb_login_e login;           /**< as the turn shows it */
    /** a struct of the driver; pools align to 8 bytes */
    unsigned char state[CLB_STATE_MAX] __attribute__((aligned(8)));
} clb_lease_t;

/**
 * Take a row and ask the keeper for a process. When @a pool is cleared before
 * clb_lease_release(), the lease is released as cut.
 * @param key whose turn it is: the queue is fair between keys
 * @param wait how long the caller will wait at most
 * @param talk the conversation that the process best holds already
 * @param extra arguments it must have been started with, for this turn
 * @return APR_SUCCESS, or APR_EGENERAL with @a error set
 */
apr_status_t clb_lease_ask(clb_lease_t **lease, clb_run_t *run,
                           const clb_backend_t *backend, apr_uint64_t key,
                           apr_interval_time_t wait, const clb_talk_t *talk,
                           const clb_extra_t *extra, clb_error_t *error,
                           apr_pool_t *pool);

/**
 * The keeper's answer, if there is one. A keeper that died is asked anew.
 * @return APR_SUCCESS: granted; APR_EAGAIN: not yet; APR_EGENERAL: @a error
 */
apr_status_t clb_lease_answer(clb_lease_t *lease, clb_error_t *error);

/**
 * A message while the process is held.
 * @return APR_SUCCESS: it exited, @a exited is set; APR_EAGAIN: nothing;
 *         APR_EOF: the keeper is gone, and so is the process
 */
apr_status_t clb_lease_news(clb_lease_t *lease, clb_msg_exited_t *exited);

/** Free the slot and give the process back.
 *  @param talk what it holds with the fates PARK and CLEAN, or NULL */
void clb_lease_release(clb_lease_t *lease, clb_fate_e fate, int midline,
                       const clb_talk_t *talk);

#endif
