/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_DRIVER_H
#define CLB_DRIVER_H

#include "../core/chat.h"
#include "../core/event.h"
#include "../core/json.h"
#include "../core/text.h"
#include "backend.h"

/**
 * A driver speaks one CLI's protocol. It is a pure state machine: no
 * descriptor, no process, no clock of its own. The keeper runs it for warming
 * and settling processes, a worker for a leased one; the state travels between
 * them as bytes.
 */

/** Largest state of a driver. */
#define CLB_STATE_MAX 512

/** Most scratch files of a process. */
#define CLB_FILES_MAX 5

typedef enum clb_in_e {
    CLB_IN_WARM,      /**< the process was started */
    CLB_IN_CHAT,      /**< run this chat */
    CLB_IN_LINE,      /**< a line came from stdout */
    CLB_IN_DATA,      /**< bytes came from stdout (drivers with CLB_RAW) */
    CLB_IN_EXIT,      /**< stdout ended and the process is gone */
    CLB_IN_CANCEL,    /**< nobody wants the answer any more */
} clb_in_e;

/** The status of a process of which nobody knows how it ended. */
#define CLB_EXIT_UNKNOWN (-999)

typedef struct clb_input_t {
    clb_in_e kind;
    const clb_backend_t *backend;
    clb_chat_t *chat;          /**< CHAT, and in every input of its turn */
    int known;                 /**< CHAT: of its turns, how many the process
                                    went through before */
    char *data;                /**< LINE, DATA: may be changed in place;
                                    EXIT: end of stderr, valid UTF-8 */
    apr_size_t len;
    int status;                /**< EXIT: exit status; -signal; or unknown */
} clb_input_t;

/** What becomes of the process after a turn. */
typedef enum clb_fate_e {
    CLB_FATE_NONE,    /**< the turn goes on */
    CLB_FATE_CLEAN,   /**< it can serve again at once */
    CLB_FATE_SETTLE,  /**< it can serve again if it is told to stop, after some
                           more lines */
    CLB_FATE_PARK,    /**< it can go on with this conversation after some more
                           lines; CLEAN says that they came */
    CLB_FATE_END,     /**< it is finished with */
    CLB_FATE_KILL     /**< it must not do one thing more */
} clb_fate_e;

/** Bytes for the scratch file driver->files[index]. */
typedef struct clb_file_t {
    int index;
    const char *data;
    apr_size_t len;
} clb_file_t;

/** The results of one step, all in step->pool. */
typedef struct clb_step_t {
    apr_pool_t *pool;
    apr_array_header_t *events;  /**< of clb_event_t */
    clb_buf_t lines;             /**< bytes for stdin */
    apr_array_header_t *files;   /**< of clb_file_t, to write before lines */
    int close_stdin;             /**< after the lines */
    int ready;                   /**< warming is over */
    clb_fate_e fate;
} clb_step_t;

/** Traits. */
#define CLB_RAW   1u             /**< stdout is text, not lines */
#define CLB_REUSE 2u             /**< a process serves many turns */
#define CLB_PROBE 4u             /**< warming exchanges lines */
#define CLB_PARKS 8u             /**< a process can hold a conversation */
#define CLB_CHATTY 16u           /**< it speaks between turns, to nobody */
#define CLB_REFILL 32u           /**< its scratch files are written again for
                                      each of its turns */
#define CLB_SIGNS 64u            /**< its vendor signs what the model thinks
                                      and wants it back, asked for or not */

/** A scratch file, which a turn may fill. */
typedef struct clb_scratch_t {
    const char *name;            /**< in the private directory, or below it */
    const char *variable;        /**< of the environment, that holds its path;
                                      or NULL */
    const char *text;            /**< what it has at first; or NULL */
} clb_scratch_t;

/** A variable; NULL as its value stands for the address of the stub. */
typedef struct clb_setting_t {
    const char *name;
    const char *value;
} clb_setting_t;

/** How a CLI is tested before it serves: see proc/canary.c. */
typedef struct clb_trial_t {
    const clb_setting_t *env;    /**< ends with a NULL name; wins over all:
                                      the stub is the model, no login is used */
    const char *path;            /**< of the model's API, with its query, below
                                      the stub's */
    const char *answer;          /**< what the model says, as SSE */
    /** Change what is known of a version's request by what the operator lets
     *  the CLI do. */
    void (*adapt)(const clb_backend_t *backend, clb_json_t *pattern,
                  apr_pool_t *pool);
} clb_trial_t;

/** A process that is about to be started. */
typedef struct clb_start_t {
    const clb_backend_t *backend;
    const char *dir;             /**< its private directory */
    const char *const *env;      /**< its environment, NULL-terminated */
} clb_start_t;

/** Whether a CLI has a login that it would use. */
typedef enum clb_login_e {
    CLB_LOGIN_UNKNOWN,
    CLB_LOGIN_IN,
    CLB_LOGIN_OUT
} clb_login_e;

/** What a CLI says of itself. */
typedef struct clb_report_t {
    apr_array_header_t *models;  /**< of const char *, as it names them; NULL =
                                      it did not say */
    clb_login_e login;           /**< as far as it knows */
    unsigned heard;              /**< the driver's own */
    int complete;                /**< there is no more to come */
} clb_report_t;

/** How a CLI is asked for that: see proc/ask.c. */
typedef struct clb_question_t {
    /** As clb_driver_t.args. */
    void (*args)(const clb_start_t *start, apr_array_header_t *argv);
    const char *lines;           /**< for its stdin, which stays open */
    /** Take what a line of its stdout says, in @a pool. */
    void (*hear)(clb_report_t *report, const clb_json_t *line,
                 apr_pool_t *pool);
} clb_question_t;

/** How an operator gets a CLI, whose program has the driver's name, and logs in
 *  to it. */
typedef struct clb_setup_t {
    const char *package;         /**< of npm */
    const char *const *login;    /**< arguments, NULL-terminated */
    const char *place;           /**< the variable that says where its login is,
                                      if not in HOME */
} clb_setup_t;

/** What a process finds in its private directory: a file, a link to one below
 *  its HOME, which need not be there, or a link within the directory. */
typedef struct clb_gift_t {
    const char *name;            /**< in the directory, or below it */
    const char *text;            /**< of the file */
    const char *target;          /**< of the link; NULL: it is a file */
    /** The text, if it depends on the process; else NULL. */
    const char *(*write)(const clb_start_t *start, apr_pool_t *pool);
    const char *link;            /**< what a link within says; else NULL */
} clb_gift_t;

typedef struct clb_driver_t {
    const char *name;
    /** Append its arguments, which come before the operator's. */
    void (*args)(const clb_start_t *start, apr_array_header_t *argv);
    /** Append those that the operator's must not change. May be NULL. */
    void (*last_args)(const clb_start_t *start, apr_array_header_t *argv);
    const char *const *env;      /**< fixed NAME=value, NULL-terminated */
    const char *const *models;   /**< default of CLIBridgeModels */
    const char *const *web;      /**< the CLI's own tools for the web, NULL-
                                      terminated; NULL: no tool of its own can
                                      be allowed */
    const clb_scratch_t *files;  /**< ends with a NULL name */
    const clb_gift_t *gifts;     /**< ends with a NULL name; or NULL */
    const char *const *swept;    /**< NULL-terminated; or NULL: where, in the
                                      private directory, it writes conversations
                                      down. Files there go when a turn is over,
                                      but for those that begin with a dot */
    const char *dir_variable;    /**< names the private directory; or NULL */
    const char *const *natives;  /**< NULL-terminated; or NULL: where, seen from
                                      the program's directory, the binary is
                                      that it only starts */
    apr_uint32_t turns;          /**< most of them for one process; 0 = any */
    apr_interval_time_t settle;  /**< how long a process may take to stop an
                                      answer; 0 = 200 ms */
    const clb_trial_t *trial;    /**< NULL: there is nothing to be tested */
    const clb_question_t *question; /**< NULL: it says nothing of itself */
    const clb_setup_t *setup;    /**< NULL: the operator knows */
    clb_warm_t warm;             /**< default of CLIBridgeWarm */
    apr_size_t state_size;       /**< <= CLB_STATE_MAX; zeroed at start */
    unsigned (*traits)(const clb_backend_t *backend);
    /** CLB_NEED bits of what it can. */
    unsigned (*can)(const clb_backend_t *backend);
    /** CLB_FIELD bits of what reaches the model (or program). */
    unsigned (*honours)(const clb_backend_t *backend);
    /** Of what @a chat asks for otherwise, what the CLI drops: names for the
     *  client, in @a pool, NULL if there is none. May be NULL. */
    const char *(*drops)(const clb_chat_t *chat, apr_pool_t *pool);
    /** @a state may come from another process: check what indexes. */
    void (*step)(void *state, const clb_input_t *in, clb_step_t *out);
} clb_driver_t;

/** The driver called @a name, or NULL. */
const clb_driver_t *clb_driver_find(const char *name);

/** The names of all drivers, separated by blanks. */
const char *clb_driver_names(apr_pool_t *pool);

/** An empty step in @a pool. */
clb_step_t *clb_step_create(apr_pool_t *pool);

/** Add an event of @a kind; the caller fills it. */
clb_event_t *clb_step_event(clb_step_t *step, clb_event_e kind);

/** Add an event that is a text, unless that is empty; it is not copied. */
void clb_step_text(clb_step_t *step, clb_event_e kind, const char *text);

/** Add STOP and say what becomes of the process. */
clb_event_t *clb_step_stop(clb_step_t *step, clb_stop_e reason,
                           clb_fate_e fate);

/** Add ERROR and say what becomes of the process; @a message is not copied. */
clb_event_t *clb_step_error(clb_step_t *step, clb_error_e kind,
                            const char *message,
                            apr_interval_time_t retry_after,
                            clb_fate_e fate);

/** How a process ended (EXIT), in the step's pool; NULL if nobody knows. */
const clb_exit_t *clb_step_ended(clb_step_t *step, const clb_input_t *in);

/** Add the error of a process that ended in a turn (EXIT). */
clb_event_t *clb_step_exit(clb_step_t *step, const clb_input_t *in);

/** The JSON of a line (LINE), in the step's pool; NULL if it is none: what else
 *  a program prints must not end an answer. */
clb_json_t *clb_step_json(clb_step_t *step, const clb_input_t *in);

/** The wait that a CLI told as @a count times @a unit: 0 if it is none, a year
 *  at most, so that nobody's arithmetic overflows. */
apr_interval_time_t clb_step_wait(apr_int64_t count,
                                  apr_interval_time_t unit);

/** Fill the scratch file @a index with @a data, which is not copied. */
void clb_step_file(clb_step_t *step, int index, const char *data,
                   apr_size_t len);

/** Append the words of @a list, which ends with NULL. */
void clb_args_add(apr_array_header_t *argv, const char *const *list);

/** Append those of @a runs that @a extra names. */
void clb_args_extra(apr_array_header_t *argv, const apr_array_header_t *runs,
                    const clb_extra_t *extra);

/** The value of the variable @a name of a process's environment, or NULL. */
const char *clb_start_var(const clb_start_t *start, const char *name);

/** What to tell of a process that ended by itself (EXIT): how, and the end of
 *  the last line of its stderr. */
const char *clb_exit_reason(const clb_input_t *in, apr_pool_t *pool);

extern const clb_driver_t clb_driver_acp;
extern const clb_driver_t clb_driver_claude;
extern const clb_driver_t clb_driver_codex;
extern const clb_driver_t clb_driver_command;
extern const clb_driver_t clb_driver_gemini;
extern const clb_driver_t clb_driver_qwen;

#endif
