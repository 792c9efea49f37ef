/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_BACKEND_H
#define CLB_BACKEND_H

#include "../core/chat.h"
#include "../core/suffix.h"

#include <apr_hash.h>
#include <apr_time.h>

struct clb_driver_t;

/** How many processes stand ready before a request comes. */
typedef enum clb_warm_e {
    CLB_WARM_UNSET,
    CLB_WARM_NONE,        /**< none: a request starts its own */
    CLB_WARM_PERIODIC,    /**< min, replaced when older than refresh */
    CLB_WARM_PERSISTENT,  /**< max, always */
    CLB_WARM_ADAPTIVE     /**< between min and max, by recent demand */
} clb_warm_e;

typedef struct clb_warm_t {
    clb_warm_e mode;
    int min;
    int max;
    apr_interval_time_t refresh;  /**< oldest age of an idle process */
} clb_warm_t;

typedef enum clb_reuse_e {
    CLB_REUSE_UNSET,
    CLB_REUSE_NONE,
    CLB_REUSE_LINES
} clb_reuse_e;

/** A variable of a CLI's environment. */
typedef struct clb_var_t {
    const char *name;
    const char *value;            /**< NULL = the content of file */
    const char *file;
} clb_var_t;

/** A login of a backend: a home of its own and more environment. */
typedef struct clb_account_t {
    const char *name;
    const char *home;             /**< NULL = below the state directory */
    apr_array_header_t *env;      /**< of clb_var_t */
} clb_account_t;

/** Arguments of one turn: which of its backend's runs[], in this order. What a
 *  client sends never becomes one. */
typedef struct clb_extra_t {
    apr_uint32_t count;
    unsigned char which[CLB_ARGS_MAX];
} clb_extra_t;

/** Most runs[] of a backend. */
#define CLB_RUNS_MAX 32

/** A CLI as configured. Lives in the configuration pool; read only after. */
typedef struct clb_backend_t {
    const char *name;
    const struct clb_driver_t *driver;
    const char *program;          /**< absolute path */
    const char *home;             /**< of accounts that name none, or NULL */
    apr_array_header_t *args;     /**< of const char *, after the driver's */
    apr_array_header_t *runs;     /**< of const char *const *: words that a turn
                                       may have as arguments, each NULL-
                                       terminated and not empty */
    apr_array_header_t *env;      /**< of clb_var_t */
    apr_array_header_t *models;   /**< of const char *: names and patterns */
    apr_array_header_t *tools;    /**< of const char *: the CLI's own that it
                                       may use */
    apr_array_header_t *accounts; /**< of clb_account_t, never empty */
    clb_reuse_e reuse;
    clb_warm_t warm;
    int lenient;                  /**< use a program that failed its test */
    int park;                     /**< most processes that stay with their
                                       conversation, 0 = none */
    apr_interval_time_t park_time; /**< how long */
    int slots;                    /**< 0 = switched off, -1 = as the total */
    int index;                    /**< its place in the configuration */
    int id;                       /**< its place in the shared table */
} clb_backend_t;

/** 1 if @a model has a wildcard, so that it names no one model. */
int clb_model_is_pattern(const char *model);

/** 1 if @a name, which may be anything, is fit to be a model's: short UTF-8
 *  without blanks, control characters or wildcards. */
int clb_model_is_name(const char *name);

/**
 * The backend for @a model: one that lists the very name, else the first with
 * a pattern for it. @return NULL when there is none
 */
const clb_backend_t *clb_backend_route(const apr_array_header_t *backends,
                                       const char *model);

/** The backend called @a name, unless it is switched off; or NULL. */
const clb_backend_t *clb_backend_named(const apr_array_header_t *backends,
                                       const char *name);

/** No arguments. */
extern const clb_extra_t clb_no_extra;

/**
 * What of @a runs the words in @a args (of const char *, at most CLB_ARGS_MAX)
 * are made of.
 * @return -1, or the first of the words that is not allowed; args->nelts: more
 *         of them would have to follow
 */
int clb_extra_find(clb_extra_t *extra, const apr_array_header_t *runs,
                   const apr_array_header_t *args);

/** 1 if both are the same arguments. */
int clb_extra_same(const clb_extra_t *a, const clb_extra_t *b);

/** 1 if @a extra, which came from another process, names only some of
 *  @a runs. */
int clb_extra_valid(const clb_extra_t *extra, const apr_array_header_t *runs);

/** What the name of a model stands for. */
typedef struct clb_model_t {
    const clb_backend_t *backend;
    const char *name;             /**< as the CLI is told */
    int suffixed;                 /**< it asked for reasoning: */
    clb_suffix_t suffix;
} clb_model_t;

/**
 * Look @a name up: an alias first, then what a backend lists by that very
 * name, then without the suffix that asks for reasoning (of which the alias of
 * the rest may have another: the outer one counts), then by patterns; last, the
 * backend that serves whatever nobody lists.
 * @param aliases name -> name, or NULL
 * @param otherwise that backend, or NULL
 * @return APR_SUCCESS, or APR_NOTFOUND when nobody serves it
 */
apr_status_t clb_model_find(clb_model_t *model,
                            const apr_array_header_t *backends,
                            apr_hash_t *aliases,
                            const clb_backend_t *otherwise, const char *name,
                            apr_pool_t *pool);

#endif
