/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_BODY_H
#define CLB_BODY_H

#include "../core/error.h"
#include "../core/json.h"

#include <httpd.h>

/**
 * Read the request's body, a JSON object of at most @a max bytes. Nothing is
 * read before the checks on its announced length, so that a client that waits
 * for 100 Continue need not send a body in vain.
 * @return APR_SUCCESS, or APR_EGENERAL with @a error set
 */
apr_status_t clb_body_read(request_rec *r, apr_off_t max, clb_json_t **json,
                           clb_error_t *error);

#endif
