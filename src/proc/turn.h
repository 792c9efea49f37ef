/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_TURN_H
#define CLB_TURN_H

#include "lease.h"

/** How long things may take. */
typedef struct clb_limits_t {
    apr_interval_time_t queue;   /**< until a process is granted */
    apr_interval_time_t first;   /**< from then to the first event */
    apr_interval_time_t idle;    /**< between signs of life of the CLI */
    apr_interval_time_t turn;    /**< from the grant to the end */
    apr_interval_time_t tick;    /**< silence towards the client; 0 = any */
} clb_limits_t;

/**
 * One turn: wait for a process, run the chat on it, pass events on. The caller
 * fills it; the sink gets exactly one STOP or ERROR unless the client leaves.
 */
typedef struct clb_turn_t {
    apr_pool_t *pool;            /**< lives as long as the turn */
    clb_run_t *run;
    const clb_backend_t *backend;
    apr_uint64_t key;            /**< whose turn: fairness */
    const char *owner;           /**< whose conversation, for nobody else */
    clb_chat_t *chat;
    clb_extra_t extra;           /**< arguments of a process for it alone */
    clb_limits_t limits;
    apr_size_t max_line;
    clb_sink_t sink;
    int client_fd;               /**< watched for its end; -1: ask gone() */
    int (*gone)(void *baton);    /**< 1 if nobody waits for the answer */
    apr_status_t (*tick)(void *baton);  /**< a sign of life to the client */
    apr_status_t (*flush)(void *baton); /**< no more events for now */
    void *baton;
    apr_time_t told;             /**< when the client got something last; who
                                      sends it says so */
    apr_time_t repeat;           /**< when the last tick is due again; 0 = not;
                                      the turn's own */
    /* results */
    apr_uint32_t process;        /**< which one served, 0 = none */
    apr_interval_time_t queued;  /**< time until the grant */
    int continued;               /**< a parked process went on */
    int tools;                   /**< uses of the CLI's own tools */
    int left;                    /**< the client went away */
} clb_turn_t;

/** Run it. When it returns, the slot is free and the process given back. */
void clb_turn_run(clb_turn_t *turn);

#endif
