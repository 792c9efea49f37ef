/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_TABLE_H
#define CLB_TABLE_H

#include <apr_global_mutex.h>
#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

/**
 * The table all processes of the server share: limits, slots, and what the
 * keeper says of itself. It lives in anonymous shared memory that is kept over
 * graceful restarts, so that limits hold while two generations overlap. Rows
 * hold fixed-size data and no pointers; a row's state word is written last, so
 * that a process that dies while it holds the mutex leaves a valid table.
 */

#define CLB_TABLE_MAGIC 0x434c4254u
#define CLB_TABLE_VERSION 5u
/** Turns that run and wait, and WebSockets. */
#define CLB_TURNS_MAX 1024
#define CLB_SOCKETS_MAX 256
#define CLB_TABLE_ROWS (CLB_TURNS_MAX + CLB_SOCKETS_MAX)
/** Backends of one generation; a reload may rename all of them. */
#define CLB_BACKENDS_MAX 32
#define CLB_TABLE_BACKENDS (2 * CLB_BACKENDS_MAX)
#define CLB_NAME_MAX 64
/** Models that a CLI is known to have, by its own word. */
#define CLB_REPORTED_MAX 32
#define CLB_ACCOUNTS_MAX 16

typedef enum clb_row_e {
    CLB_ROW_FREE,
    CLB_ROW_WAITING,     /**< in the queue */
    CLB_ROW_ACTIVE,      /**< a running turn: one slot */
    CLB_ROW_SOCKET       /**< no turn: a WebSocket, on which some may come */
} clb_row_e;

/** A turn that waits or runs, or a WebSocket. */
typedef struct clb_row_t {
    apr_uint32_t state;      /**< clb_row_e, written last */
    apr_uint32_t backend;
    apr_uint32_t generation; /**< whose keeper may admit it */
    apr_int32_t pid;         /**< the worker that owns it */
    apr_uint64_t born;       /**< start time of that worker */
    apr_uint64_t nonce;      /**< never used twice */
    apr_uint64_t key;        /**< whose turn: fairness */
    apr_uint64_t round;      /**< in which keys take turns */
    apr_int64_t until;       /**< apr_time_t; waiting longer is a leak */
} clb_row_t;

/** What the keeper knows of a backend's program. */
typedef enum clb_trust_e {
    CLB_TRUST_NONE,      /**< nothing: there is no test for it */
    CLB_TRUST_PASSED,
    CLB_TRUST_TESTING,   /**< or waiting for its test */
    CLB_TRUST_FAILED
} clb_trust_e;

/** How a login of a backend stands; without one that is OK, a backend stands as
 *  the first of these. */
typedef enum clb_standing_e {
    CLB_STANDING_TESTING,    /**< nothing is known yet */
    CLB_STANDING_OK,
    CLB_STANDING_LOGIN,      /**< not logged in */
    CLB_STANDING_FAILING,    /**< its starts fail */
    CLB_STANDING_UNTRUSTED,  /**< its program failed its test */
    CLB_STANDING_MISSING,    /**< its program cannot be started */
    CLB_STANDING_OFF         /**< its backend has no slots */
} clb_standing_e;

/** What would mend it: see proc/mend.h. */
typedef enum clb_mend_e {
    CLB_MEND_NONE,
    CLB_MEND_LOGIN,
    CLB_MEND_INSTALL,        /**< the program */
    CLB_MEND_KNOWN           /**< a version of it that is known */
} clb_mend_e;

typedef struct clb_standing_t {
    apr_uint32_t state;      /**< clb_standing_e */
    apr_uint32_t mend;       /**< clb_mend_e */
    char why[248];
} clb_standing_t;

/** Processes by state, as the keeper last counted them. */
typedef struct clb_census_t {
    apr_int32_t starting;
    apr_int32_t idle;
    apr_int32_t leased;
    apr_int32_t settling;
    apr_int32_t parked;
    apr_int32_t dying;
} clb_census_t;

typedef struct clb_table_backend_t {
    char name[CLB_NAME_MAX];
    char driver[16];
    apr_int32_t limit;       /**< slots */
    apr_int32_t generation;  /**< last generation that configured it */
    clb_census_t census;
    apr_uint32_t starts;
    apr_uint32_t failures;   /**< starts that failed, and idle deaths */
    apr_uint32_t failing;    /**< 1 while the keeper backs off */
    apr_uint32_t trust;      /**< clb_trust_e, the least of its accounts */
    apr_uint32_t hits;       /**< turns that found their conversation parked */
    apr_uint32_t misses;     /**< turns with history that did not */
    apr_uint32_t tools;      /**< uses of the CLI's own tools; workers count
                                  them, atomically */
    char models[CLB_REPORTED_MAX][CLB_NAME_MAX]; /**< an empty one ends them */
    clb_standing_t accounts[CLB_ACCOUNTS_MAX];   /**< as configured */
} clb_table_backend_t;

typedef struct clb_shared_t {
    apr_uint32_t magic;
    apr_uint32_t version;
    apr_uint64_t size;
    apr_uint32_t generation;
    apr_int64_t heartbeat;   /**< apr_time_t of the keeper's last loop */
    apr_int64_t started;     /**< apr_time_t */
    apr_int32_t slots;
    apr_int32_t queue;
    apr_int32_t used;        /**< rows ever in use: where scans end */
    apr_uint64_t next_nonce; /**< also the order of arrival */
    apr_uint64_t round;      /**< the latest that was admitted */
    apr_uint64_t last_key;   /**< whose turn was admitted last */
    clb_table_backend_t backends[CLB_TABLE_BACKENDS];
    clb_row_t rows[CLB_TABLE_ROWS];
} clb_shared_t;

/** One process's handle. */
typedef struct clb_table_t {
    clb_shared_t *shared;
    apr_global_mutex_t *mutex;   /**< NULL in tests of one thread */
    apr_int32_t pid;
    apr_uint64_t born;
} clb_table_t;

/** A claim on a row; only its nonce makes it valid. */
typedef struct clb_claim_t {
    apr_uint32_t row;
    apr_uint64_t nonce;
} clb_claim_t;

/** Turns that run and wait, in all or of one backend. */
typedef struct clb_load_t {
    int running;
    int waiting;
} clb_load_t;

/** Write an empty table into @a shared: sizeof(clb_shared_t) zeroed bytes. */
void clb_table_format(clb_shared_t *shared);

/** 1 if @a shared was written by a module that lays it out as this one. */
int clb_table_fits(const clb_shared_t *shared);

/** Set limits and start a generation. Takes the mutex. */
apr_status_t clb_table_configure(clb_table_t *table, int slots, int queue,
                                 apr_uint32_t generation);

/**
 * The place of the backend @a name, made if need be; a place is kept as long
 * as the table, because turns of an older generation may run on it. Takes the
 * mutex. @return APR_SUCCESS or APR_ENOSPC
 */
apr_status_t clb_table_backend(clb_table_t *table, const char *name,
                               const char *driver, int limit,
                               apr_uint32_t generation, int *id);

/** Set the models that the CLI of @a backend says it has, as far as there is
 *  room. Takes the mutex. @param names of const char * */
void clb_table_report(clb_table_t *table, int backend,
                      const apr_array_header_t *names);

/** Those models, of const char *, in @a pool. Takes the mutex. */
apr_array_header_t *clb_table_reported(clb_table_t *table, int backend,
                                       apr_pool_t *pool);

/** Say how @a account, by its place in the configuration, stands. Takes the
 *  mutex. */
void clb_table_stand(clb_table_t *table, int backend, int account,
                     const clb_standing_t *standing);

/** How it stands. Takes the mutex. */
clb_standing_t clb_table_standing(clb_table_t *table, int backend,
                                  int account);

/** The name of a state, also of one out of range. */
const char *clb_standing_name(apr_uint32_t state);

/**
 * Join the queue for @a backend. Takes the mutex.
 * @param wait how long the caller will wait at most
 * @return APR_SUCCESS, or APR_EAGAIN when the queue is full
 */
apr_status_t clb_slot_enter(clb_table_t *table, int backend, apr_uint64_t key,
                            apr_uint32_t generation,
                            apr_interval_time_t wait, clb_claim_t *claim);

/** Open a WebSocket, if there are fewer than @a most; clb_slot_leave() closes
 *  it. Takes the mutex. @return APR_SUCCESS or APR_EAGAIN */
apr_status_t clb_socket_enter(clb_table_t *table, int most,
                              clb_claim_t *claim);

/**
 * Admit the waiting turn that is next: of those whose backend has a free slot
 * one whose key has the fewest running turns; among those keys take turns, and
 * each key's are served in the order they came. Takes the mutex.
 * @return APR_SUCCESS, or APR_EAGAIN when there is none or it belongs to
 *         another generation's keeper
 */
apr_status_t clb_slot_admit(clb_table_t *table, apr_uint32_t generation,
                            clb_claim_t *claim);

/** The state of a claim: CLB_ROW_FREE when it is not valid any more. Takes the
 *  mutex. */
clb_row_e clb_slot_state(clb_table_t *table, const clb_claim_t *claim);

/** Give the row back; a claim that is not valid any more is ignored. Takes the
 *  mutex. */
void clb_slot_leave(clb_table_t *table, const clb_claim_t *claim);

/** Free the rows whose owner is not @a alive. Takes the mutex around the
 *  stores only, never around @a alive. @return how many were freed */
int clb_slot_sweep(clb_table_t *table,
                   int (*alive)(apr_int32_t pid, apr_uint64_t born));

/** Count turns, of @a backend or of all (-1). Takes no lock: a momentary view
 *  for reports. */
clb_load_t clb_table_load(const clb_shared_t *shared, int backend);

#endif
