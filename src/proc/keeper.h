/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_KEEPER_H
#define CLB_KEEPER_H

#include "../shm/table.h"
#include "config.h"
#include "process.h"
#include "wire.h"

#include <httpd.h>
#include <sys/stat.h>

/** The exit status of a keeper that says: trying again will not help. */
#define CLB_KEEPER_GAVE_UP 254

/**
 * The keeper: the one process that starts, warms, hands out, settles and ends
 * CLIs. Single-threaded; one per configuration generation. What follows is
 * shared by its files: enter.c (how it comes to be), keeper.c (the loop),
 * warm.c (pools), canary.c (tests of programs), ask.c (questions to them),
 * standing.c (how they stand) and hold.c (its side of the leases).
 */

/** A test of a program: canary.c. */
typedef struct clb_test_t clb_test_t;

/** Processes of one backend under one account, ready before they are asked
 *  for. Counts are read off the processes, never stored. */
typedef struct clb_pool_t {
    const clb_backend_t *backend;
    const clb_account_t *account;
    int index;                   /**< of the backend in the configuration */
    const char *home;
    const char *program;         /**< the file that is run */
    int blocked;                 /**< must not be started at all */
    int failures;                /**< starts failed in a row */
    int starved;                 /**< the last one for want of resources */
    apr_time_t next_start;       /**< not before: back-off */
    apr_time_t calm;             /**< nor ahead before: a turn begins */
    clb_error_e why_kind;        /**< of the last failure */
    char why[400];
    clb_trust_e trust;
    struct stat file;            /**< the program's, as it was last seen */
    apr_uint32_t edition;        /**< how many different ones were seen */
    clb_test_t *canary;          /**< the test that runs, or NULL */
    apr_uint32_t asked;          /**< the edition that was asked last */
    apr_uint32_t answered;       /**< the one that answered last */
    apr_time_t next_ask;         /**< when it is asked again */
    apr_time_t asked_at;
    int mute;                    /**< questions in a row without an answer */
    clb_login_e login;           /**< by its own word, or that of a turn */
    int refused;                 /**< a turn was, for want of a login */
    apr_status_t absent;         /**< why its program cannot be started */
    clb_standing_t standing;     /**< as in the table */
    int stands;                  /**< it is in the table */
    apr_uint32_t told;           /**< the state that was logged last */
    apr_time_t told_at;
    double demand;               /**< recent peak of turns at once */
    apr_time_t demand_at;
} clb_pool_t;

/** A lease: a worker's wish for a process, then its use of one. */
typedef struct clb_hold_t clb_hold_t;
struct clb_hold_t {
    APR_RING_ENTRY(clb_hold_t) link;
    int fd;                      /**< the worker's lease socket */
    clb_claim_t claim;
    int backend;                 /**< index in the configuration */
    int admitted;                /**< has its slot */
    clb_talk_t talk;             /**< what its process best holds already */
    clb_extra_t extra;           /**< what its process must have been given */
    clb_pool_t *pool;            /**< once admitted, until its process ends */
    clb_process_t *process;      /**< once granted */
    clb_pool_t *home;            /**< of the process that was granted */
};

APR_RING_HEAD(clb_hold_ring_t, clb_hold_t);

typedef struct clb_keeper_t {
    server_rec *server;
    const clb_global_t *global;
    clb_table_t *table;
    apr_uint32_t generation;
    apr_pool_t *pool;
    apr_pool_t *tmp;             /**< cleared each loop */
    int doorbell;                /**< where workers announce leases */
    int signals;
    int oom;                     /**< clb_oom_open() */
    int oom_score;               /**< the keeper's own */
    const char *run_dir;
    int run_lock;                /**< on it; -1 = it is not there */
    const char *cgroup;          /**< clb_cgroup_enter() */
    apr_uint32_t next_id;
    struct clb_process_ring_t processes;
    struct clb_hold_ring_t holds;
    struct clb_hold_ring_t spare;
    apr_array_header_t *pools;   /**< of clb_pool_t */
    int filling;                 /**< a start ahead may follow another */
    int draining;
    int quit;
    int crowded;                 /**< CLIBridgeMemory is exceeded */
    apr_off_t excess;            /**< by so much, less what was ended for it */
    int tight;                   /**< one more process would exceed it */
    apr_off_t largest;           /**< of all processes ever seen */
    apr_time_t next_sweep;
    apr_time_t next_look;        /**< at the programs' files */
} clb_keeper_t;

/** Become the keeper; called in the forked child, never returns.
 *  @param delay seconds to wait before work begins */
void clb_keeper_main(server_rec *server, const clb_global_t *global,
                     clb_table_t *table, apr_uint32_t generation,
                     int doorbell, int delay, apr_pool_t *pool)
                     __attribute__((noreturn));

/* --- enter.c --- */

/** Turn a fork of httpd's parent into a keeper, after @a delay seconds. Ends
 *  the process with CLB_KEEPER_GAVE_UP where that cannot be done. */
void clb_keeper_enter(clb_keeper_t *keeper, int delay);

/** Make the directory of the keeper's scratch files, if it is not there. */
apr_status_t clb_keeper_run_dir(clb_keeper_t *keeper);

/* --- warm.c --- */

/** Make the pools of all backends and accounts. */
void clb_warm_init(clb_keeper_t *keeper);

/** The pool of @a backend that can serve soonest. */
clb_pool_t *clb_warm_choose(clb_keeper_t *keeper, int backend);

/** Count one more turn wanted of @a pool. */
void clb_warm_demand(clb_keeper_t *keeper, clb_pool_t *pool);

/** How many processes of @a pool with @a extra serve soon, or could at
 *  once. */
int clb_warm_at_hand(const clb_keeper_t *keeper, const clb_pool_t *pool,
                     const clb_extra_t *extra);

/** An idle process of @a pool with @a extra, the one most recently used, or
 *  NULL. */
clb_process_t *clb_warm_idle(clb_keeper_t *keeper, const clb_pool_t *pool,
                             const clb_extra_t *extra);

/** A process of @a pool with @a extra that can serve anew at the cost of the
 *  conversation it holds, which is the least likely to go on; NULL if there is
 *  none. */
clb_process_t *clb_warm_spared(clb_keeper_t *keeper, const clb_pool_t *pool,
                               const clb_extra_t *extra);

/** Start, replace and retire processes as demand and limits ask. */
void clb_warm_tend(clb_keeper_t *keeper);

/** @a process ended or failed by itself: back off, and tell those who wait,
 *  unless it has worked before.
 *  @param why a sentence for client and log */
void clb_warm_failed(clb_keeper_t *keeper, clb_process_t *process,
                     const char *why);

/** Starts of @a pool are to wait for a while; who waits for it is told.
 *  @param why a sentence for client and log */
void clb_warm_fail(clb_keeper_t *keeper, clb_pool_t *pool, clb_error_e kind,
                   const char *why);

/** Start a process. @return APR_SUCCESS, or why it cannot be started, which
 *  clb_warm_fail() was told */
apr_status_t clb_warm_start(clb_keeper_t *keeper, clb_pool_t *pool,
                            int background, const clb_purpose_t *purpose,
                            clb_process_t **process);

/** Start a process that is asked nothing yet.
 *  @return APR_SUCCESS, or why it cannot be started */
apr_status_t clb_warm_launch(clb_keeper_t *keeper, clb_pool_t *pool,
                             int background, const clb_purpose_t *purpose,
                             clb_process_t **process);

/** It is ready for its first turn; with a driver that asks (CLB_PROBE), it
 *  works. */
void clb_warm_ready(clb_keeper_t *keeper, clb_process_t *process);

/** Let @a process stay with the conversation it holds, in the place of the one
 *  that stayed longest if there are too many. */
void clb_warm_park(clb_keeper_t *keeper, clb_process_t *process);

/** A process of @a pool did what it is for: the pool is healthy again. */
void clb_warm_worked(clb_keeper_t *keeper, clb_pool_t *pool);

/** 1 if one more process may be started. If not, one that can be spared, not
 *  of the pool @a needy, is told to end. */
int clb_warm_room(clb_keeper_t *keeper, const clb_pool_t *needy);

/** 1 if there is no room for one more process. */
int clb_warm_full(const clb_keeper_t *keeper);

/** 1 if nothing is known that keeps @a pool from serving. */
int clb_warm_healthy(const clb_pool_t *pool);

/* --- canary.c --- */

/** Look whether programs were replaced, end what runs of the old ones, and
 *  test those that are new. */
void clb_canary_tend(clb_keeper_t *keeper);

/** Look whether the program of @a pool was replaced: then the processes of the
 *  old one have another edition than the pool. */
void clb_canary_look(clb_keeper_t *keeper, clb_pool_t *pool);

/** 1 if processes of @a pool may serve. */
int clb_canary_passed(const clb_pool_t *pool);

/** Add the descriptors (struct pollfd) of the tests to @a set. */
void clb_canary_watch(clb_keeper_t *keeper, apr_array_header_t *set);

/** Answer as the model where a test asks for it. */
void clb_canary_work(clb_keeper_t *keeper);

/** Ask @a process, which is ready, what is asked in a test. */
void clb_canary_ask(clb_keeper_t *keeper, clb_process_t *process);

/** @a process, which is tested, said something: see clb_process_read(). */
void clb_canary_hear(clb_keeper_t *keeper, clb_process_t *process,
                     apr_status_t rv, const clb_step_t *step);

/** The test of @a process is over: judge it by what it sent.
 *  @param said why it is over, should it have sent nothing */
void clb_canary_end(clb_keeper_t *keeper, clb_process_t *process,
                    const char *said);

/* --- ask.c --- */

/** The process that is asked, or NULL. */
clb_process_t *clb_ask_running(const clb_keeper_t *keeper);

/** Ask a program that is due for its models and its login. */
void clb_ask_tend(clb_keeper_t *keeper);

/** Something came on the stdout of @a process, which is asked. */
void clb_ask_hear(clb_keeper_t *keeper, clb_process_t *process);

/** Take what @a process answered, and end it.
 *  @param why it says nothing more, should it have said nothing */
void clb_ask_end(clb_keeper_t *keeper, clb_process_t *process,
                 const char *why);

/** 1 if @a pool was not asked yet and will be, or is being asked. */
int clb_ask_first(const clb_pool_t *pool);

/** A turn of @a pool showed that there is a login, or none. */
void clb_ask_told(clb_pool_t *pool, clb_login_e login);

/* --- standing.c --- */

/** Tell what there is of processes, and how all logins stand, where that
 *  changed. */
void clb_standing_tend(clb_keeper_t *keeper);

/* --- hold.c --- */

/** Take the leases that workers announced. @return 0 at the end of the
 *  doorbell: no process of this generation is left */
int clb_hold_accept(clb_keeper_t *keeper);

/** Admit who is next and hand out processes. */
void clb_hold_serve(clb_keeper_t *keeper);

/** Admitted leases that wait for a process of @a pool with @a extra, whichever;
 *  NULL: with any. */
int clb_hold_unserved(const clb_keeper_t *keeper, const clb_pool_t *pool,
                      const clb_extra_t *extra);

/** The arguments that the next process of @a pool must have, because there are
 *  fewer with them than leases that wait; NULL: there are enough of all. */
const clb_extra_t *clb_hold_lacks(const clb_keeper_t *keeper,
                                  const clb_pool_t *pool);

/** Refuse the leases that wait for a process of @a pool, where no other pool
 *  can serve them. */
void clb_hold_refuse(clb_keeper_t *keeper, const clb_pool_t *pool);

/** Refuse the lease that @a process, which has its arguments from a turn, was
 *  started for. @param why a sentence for the client */
void clb_hold_fail(clb_keeper_t *keeper, const clb_process_t *process,
                   const char *why);

/** A message or the end came on a lease socket. */
void clb_hold_read(clb_keeper_t *keeper, clb_hold_t *hold);

/** Let @a process, which can serve again, stop and forget what it does. */
void clb_hold_settle(clb_process_t *process);

/** Tell the holder of @a process that it is gone. */
void clb_hold_exited(clb_keeper_t *keeper, clb_process_t *process);

#endif
