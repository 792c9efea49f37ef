/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_PROCESS_H
#define CLB_PROCESS_H

#include "../backend/driver.h"
#include "../core/line.h"
#include "config.h"
#include "wire.h"

#include <apr_ring.h>

/**
 * A CLI's process as the keeper sees it. Keeper only.
 */

typedef enum clb_state_e {
    CLB_STARTING,    /**< no sign of life yet */
    CLB_WARMING,     /**< speaks, is not ready */
    CLB_IDLE,
    CLB_LEASED,      /**< a worker has its pipes */
    CLB_SETTLING,    /**< the turn is over, it still has lines to say */
    CLB_PARKED,      /**< holds a conversation that may go on */
    CLB_DYING        /**< told to end, not reaped yet */
} clb_state_e;

/** The last bytes of stderr. */
#define CLB_RING 16384

struct clb_hold_t;
struct clb_pool_t;

/** What a process is started for; all zeros: to serve whoever comes. */
typedef struct clb_purpose_t {
    const char *const *env;        /**< a test: NAME=value that win over all
                                        others, NULL-terminated; or NULL */
    const clb_question_t *question; /**< all it is to answer; or NULL */
    clb_extra_t extra;             /**< one turn, with these arguments */
} clb_purpose_t;

typedef struct clb_process_t clb_process_t;
struct clb_process_t {
    APR_RING_ENTRY(clb_process_t) link;
    apr_pool_t *pool;
    apr_pool_t *step_pool;         /**< cleared after each step */
    struct clb_pool_t *home;       /**< the warm pool it belongs to */
    struct clb_hold_t *hold;       /**< the lease, when LEASED */
    const clb_backend_t *backend;
    apr_uint32_t id;
    pid_t pid;
    int in, out, err;              /**< -1 = closed */
    int files[CLB_FILES_MAX];
    int nfiles;
    const char *dir;
    const char *cwd;
    clb_state_e state;
    apr_time_t born;
    apr_time_t since;              /**< of this state */
    apr_time_t deadline;           /**< of this state; 0 = none */
    unsigned char driver_state[CLB_STATE_MAX] __attribute__((aligned(8)));
    clb_line_t lines;
    clb_buf_t unsent;              /**< for stdin */
    int skip_line;                 /**< the next line's start was read */
    char *ring;                    /**< NULL while it says nothing there */
    apr_size_t ring_len;           /**< bytes ever written to the ring */
    apr_uint32_t turns;
    apr_uint32_t edition;          /**< of the program's file it runs */
    int canary;                    /**< it is tested, and serves nobody */
    const clb_question_t *question; /**< all it is to answer; or NULL */
    clb_extra_t extra;             /**< it serves one turn, which asks so */
    clb_report_t report;           /**< what it answered so far */
    apr_size_t said;               /**< bytes of its answer */
    clb_chat_t *chat;              /**< what it is asked in its test */
    clb_talk_t talk;               /**< what it holds: SETTLING, PARKED */
    int exited;
    int status;                    /**< as clb_input_t.status */
    int failed;                    /**< ended without being told to */
};

APR_RING_HEAD(clb_process_ring_t, clb_process_t);

#define CLB_SCRATCH APR_OS_START_USERERR

/** Read the variables that come from files into memory: before privileges are
 *  dropped, because such files are root's.
 *  @return NULL, or the first file that cannot be read */
const char *clb_vars_load(const apr_array_header_t *vars, apr_pool_t *pool);

/** The names of the variables that a CLI gets from the server's environment,
 *  NULL-terminated. */
extern const char *const clb_passed[];

/** PATH of a CLI. */
const char *clb_path_for(const char *program, apr_pool_t *pool);

/** The file to run for @a backend: its program, or the binary that this only
 *  starts; a wrapper would stay between us and it. In @a pool. */
const char *clb_program(const clb_backend_t *backend, apr_pool_t *pool);

/**
 * Start a process of @a backend for @a account. Its scratch directory is
 * @a dir, which is made.
 * @param program the file to run: clb_program()
 * @param home HOME of the CLI
 * @param process in a pool of its own below @a pool; clb_process_destroy()
 * @return APR_SUCCESS, or why it cannot be started; CLB_SCRATCH and an errno
 *         if it is the directory that cannot be made
 */
apr_status_t clb_process_start(clb_process_t **process,
                               const clb_backend_t *backend,
                               const char *program,
                               const clb_account_t *account, const char *home,
                               const clb_purpose_t *purpose,
                               const char *dir, apr_uint32_t id,
                               int background, apr_pool_t *pool);

/** 1 if it is there for clients, and neither for a test nor a question: for the
 *  turns that ask for @a extra; NULL: for any. */
int clb_process_serves(const clb_process_t *process, const clb_extra_t *extra);

/** Enter @a state; it must be left within @a limit (0 = any time). */
void clb_process_enter(clb_process_t *process, clb_state_e state,
                       apr_interval_time_t limit);

/**
 * Tell the process group to end: SIGTERM, and SIGKILL 100 ms later by the
 * keeper's timer; at once if @a hard. Our ends of its pipes are closed.
 */
void clb_process_end(clb_process_t *process, int hard);

/** Its stdout ended: it has until the deadline to be gone. */
void clb_process_hang_up(clb_process_t *process);

/** Drain stderr into the ring. */
void clb_process_drain(clb_process_t *process);

/** The last @a max bytes of stderr as clean UTF-8 in @a pool. */
const char *clb_process_tail(const clb_process_t *process, apr_size_t max,
                             apr_pool_t *pool);

/** Run the driver on @a in and write what it wants written.
 *  @return the step, valid until the next one */
clb_step_t *clb_process_step(clb_process_t *process, const clb_input_t *in);

/** Write what is left for stdin. @return APR_SUCCESS or the failure */
apr_status_t clb_process_write(clb_process_t *process);

/**
 * Read stdout and run the driver on each line until it says something that
 * matters (ready or a fate; of a question, the end of its answer), or there is
 * no more.
 * @param step the last step, NULL when no line was complete
 * @return APR_SUCCESS, APR_EOF at the end of stdout, or a failure
 */
apr_status_t clb_process_read(clb_process_t *process, clb_step_t **step);

/** Take back from a worker: its driver state, and whether it had read the
 *  start of a line. */
void clb_process_return(clb_process_t *process, const unsigned char *state,
                        int midline);

/** Close everything, remove the scratch directory, free the pool. */
void clb_process_destroy(clb_process_t *process);

#endif
