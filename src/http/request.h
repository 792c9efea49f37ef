/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_REQUEST_H
#define CLB_REQUEST_H

#include "../acct/keys.h"
#include "../core/error.h"
#include "config.h"
#include "route.h"

/** What we know of a request on one of our paths. */
typedef struct clb_request_t {
    const char *id;              /**< x-request-id */
    const char *secret;          /**< the key as presented, or NULL */
    int google;                  /**< it was where only Google's clients have
                                      theirs */
    int adopted;                 /**< it is on one of our paths */
    int handled;                 /**< by SetHandler, not by CLIBridge On */
    int identified;              /**< clb_identify() ran */
    const clb_key_t *key;        /**< whose it is; NULL = nobody's */
    int anonymous;               /**< allowed without a key */
    clb_error_t error;           /**< why it was refused, if it was */
} clb_request_t;

/** The state of @a r; made if it has none. */
clb_request_t *clb_request(request_rec *r);

/** 1 if @a r is on a path this module answers: by `SetHandler clibridge`, or
 *  below /v1, /v1beta and /health where `CLIBridge On`, /run where
 *  `CLIBridgeRun On`. */
int clb_request_is_ours(request_rec *r);

/** The route of @a r, which is ours. One that several dialects have is in the
 *  one whose header the client sends, or whose place for the key it
 *  uses. */
clb_route_t clb_request_route(request_rec *r);

/** 1 if the query of @a r has @a argument, such as "alt=sse". */
int clb_request_says(request_rec *r, const char *argument);

/** One more request on the connection of @a r, which has become a WebSocket: in
 *  @a pool, with an id of its own and nothing said yet. */
request_rec *clb_request_again(request_rec *r, apr_pool_t *pool);

/** The version of its API that a client says it speaks, or NULL. */
const char *clb_request_version(request_rec *r);

/** Hook, first of post_read_request: an id, and the key out of the request
 *  line before any log sees it. */
int clb_request_arrive(request_rec *r);

/** Hook, post_perdir_config: the Location is known now, and which web pages
 *  may read the answer, be it a refusal. */
int clb_request_locate(request_rec *r);

/** Hook, pre_translate_name: keep encoded slashes in model names. */
int clb_request_slashes(request_rec *r);

/** Hook, map_to_storage: our paths are no files. */
int clb_request_no_file(request_rec *r);

/** Hook, type_checker: nor do their names say what our answers are. */
int clb_request_no_type(request_rec *r);

/** Hook, insert_error_filter: refusals by others become JSON as well. */
void clb_request_refused(request_rec *r);

/** Register the output filter that clb_request_refused() inserts. */
void clb_request_register(void);

#endif
