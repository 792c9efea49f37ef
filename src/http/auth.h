/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_AUTH_H
#define CLB_AUTH_H

#include "request.h"

/**
 * Find out whose request @a r is: by its key, by another module's
 * authentication, or nobody's where that is allowed. Sets r->user to the key's
 * name. @return APR_SUCCESS, or APR_EGENERAL with req->error set
 */
apr_status_t clb_identify(request_rec *r);

/** 1 if whoever asks has @a scope; anonymous ones have chat. Sets req->error
 *  otherwise. */
int clb_may(request_rec *r, unsigned scope);

/** 1 if a program on this very machine asks: the peer, as mod_remoteip sees it,
 *  is loopback, no proxy stands between, and it is not some other site's page
 *  in a browser here. */
int clb_is_local(request_rec *r);

/** 1 if a browser asks for a page of another host that CLIBridgeOrigin does not
 *  name, and that has no key. */
int clb_is_foreign_page(request_rec *r);

/** 1 if a program on this machine asks, or somebody with a key of an admin. */
int clb_is_admin(request_rec *r);

/** 1 if nobody may chat here without a key. */
int clb_needs_key(request_rec *r);

/** A number for fairness between clients: of the key, the user or the peer. */
apr_uint64_t clb_fairness_key(request_rec *r);

/** Whose conversations those of @a r are: nobody else has the same text. */
const char *clb_owner(request_rec *r);

/** Register `AuthType CLIBridge` and `Require clibridge-scope`. */
void clb_auth_register(apr_pool_t *pool);

#endif
