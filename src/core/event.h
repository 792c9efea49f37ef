/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_EVENT_H
#define CLB_EVENT_H

#include "error.h"
#include "usage.h"

/**
 * What comes back: the neutral form between every driver and every dialect.
 * A turn is START, then TEXT, REASONING (which SIGNATURE may end), HIDDEN, CALL
 * (each followed by its ARGUMENTS), USAGE and NOTE in any number, then exactly
 * one STOP or ERROR.
 */

typedef enum clb_event_e {
    CLB_EV_START,
    CLB_EV_TEXT,
    CLB_EV_REASONING,
    CLB_EV_SIGNATURE,    /**< by it the vendor knows its REASONING again */
    CLB_EV_HIDDEN,       /**< reasoning that only the vendor can read */
    CLB_EV_CALL,         /**< the model calls a tool of the client's */
    CLB_EV_ARGUMENTS,    /**< more of the arguments of the last CALL */
    CLB_EV_USAGE,
    CLB_EV_STOP,
    CLB_EV_ERROR,
    CLB_EV_NOTE
} clb_event_e;

typedef enum clb_stop_e {
    CLB_STOP_END,
    CLB_STOP_LENGTH,
    CLB_STOP_SEQUENCE,
    CLB_STOP_FILTER,
    CLB_STOP_CALLS       /**< the client is to run its tools */
} clb_stop_e;

typedef enum clb_note_e {
    CLB_NOTE_RETRY,            /**< the CLI tries its upstream again */
    CLB_NOTE_LIMIT,            /**< the vendor told where its limits stand */
    CLB_NOTE_TOOL              /**< the CLI uses a tool of its own: its name */
} clb_note_e;

/** How a program ended by itself. */
typedef struct clb_exit_t {
    int status;                /**< exit status, or -signal */
    const char *said;          /**< the end of its stderr, valid UTF-8 */
} clb_exit_t;

/** One event. Pointers are valid until the function it is given to returns. */
typedef struct clb_event_t {
    clb_event_e kind;
    union {
        struct {
            const char *data;  /**< valid UTF-8, NUL-terminated */
            apr_size_t len;
        } text;                /**< TEXT, REASONING; SIGNATURE, HIDDEN: all
                                    of it; ARGUMENTS: JSON in pieces, which
                                    may be cut anywhere between characters;
                                    none at all mean {} */
        struct {
            const char *id;
            const char *name;
        } call;
        clb_usage_t usage;     /**< START, USAGE: the whole turn's so far */
        clb_stop_e stop;
        clb_error_t error;
        struct {
            clb_note_e kind;
            const char *text;
        } note;
    } u;
    const char *sequence;      /**< STOP: which of the chat's stop sequences it
                                    was; NULL = none, or not known */
    const clb_exit_t *exit;    /**< STOP, ERROR: by which the turn ended; NULL
                                    = it was not that, or is not known */
} clb_event_t;

/**
 * Whoever takes events. APR_EOF means "enough": the caller stops the turn; any
 * other failure means that the receiver is gone.
 */
typedef struct clb_sink_t {
    apr_status_t (*event)(void *baton, const clb_event_t *event);
    void *baton;
} clb_sink_t;

#endif
