/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_RESPONSES_KEPT_H
#define CLB_RESPONSES_KEPT_H

#include "../core/error.h"
#include "../core/json.h"

/**
 * What clients ask of records of responses (see responses_store.c). A record
 * comes from a file: whatever is not as it should be counts as not there.
 */

/** The response, or NULL. */
clb_json_t *clb_kept_response(const clb_json_t *record);

/** 1 if its end is still to come. */
int clb_kept_runs(const clb_json_t *record);

/** 1 if nobody waits for it. */
int clb_kept_background(const clb_json_t *record);

/** Say that it ended with @a status. @param error why, or NULL */
void clb_kept_end(clb_json_t *record, const char *status,
                  const clb_error_t *error, apr_pool_t *pool);

/** The page of its input that the query @a args (after=, before=, limit=,
 *  order=) asks for, NULL and the error set if it asks for none. */
clb_json_t *clb_kept_page(const clb_json_t *record, const char *args,
                          clb_error_t *error, apr_pool_t *pool);

#endif
