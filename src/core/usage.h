/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_USAGE_H
#define CLB_USAGE_H

#include <apr.h>

/** Tokens. input does not contain the cached ones. */
typedef struct clb_usage_t {
    apr_int64_t input;
    apr_int64_t cache_read;
    apr_int64_t cache_write;
    apr_int64_t output;
    apr_int64_t reasoning;     /**< part of output */
} clb_usage_t;

/** @a n as the number of something: not less than none, and not more than can
 *  be added up. */
apr_int64_t clb_usage_bound(apr_int64_t n);

/** Add @a usage to @a sum. */
void clb_usage_add(clb_usage_t *sum, const clb_usage_t *usage);

/** Take @a part out of @a sum. */
void clb_usage_take(clb_usage_t *sum, const clb_usage_t *part);

#endif
