/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/auth/status: how each login of each CLI stands, and what to type
 * where one does not serve. For admins and this machine only.
 */
#include "../backend/driver.h"
#include "../core/json.h"
#include "../proc/mend.h"
#include "../proc/supervise.h"
#include "auth.h"
#include "handler.h"
#include "reply.h"

#include <apr_strings.h>
#include <string.h>

/* Paths in the configuration may be any bytes. */
static const char *clean(request_rec *r, const char *text)
{
    return text == NULL ? NULL : clb_utf8_clean(r->pool, text, strlen(text),
                                                NULL);
}

/* State, message and command of @a account: members of a JSON object. */
static clb_json_t *standing_json(request_rec *r, const clb_backend_t *backend,
                                 const clb_account_t *account,
                                 const clb_standing_t *standing)
{
    const char *mend = clb_mend(clb_run()->global, backend, account,
                                (clb_mend_e)standing->mend, r->pool);

    return clb_json_pack(r->pool, "{s:s, s:s?, s:s?}",
        "state", clb_standing_name(standing->state),
        "message", *standing->why == '\0' ? NULL : clean(r, standing->why),
        "mend", clean(r, mend));
}

/* 1 if a backend stands as its account @a a rather than as @a b. */
static int decides(const clb_standing_t *a, const clb_standing_t *b)
{
    return b->state != CLB_STANDING_OK
        && (a->state == CLB_STANDING_OK || a->state < b->state);
}

static clb_json_t *backend_json(request_rec *r, const clb_backend_t *backend)
{
    clb_run_t *run = clb_run();
    clb_json_t *accounts = clb_json_pack(r->pool, "[]"), *json, *best = NULL;
    clb_standing_t standing, least;
    int i;

    for (i = 0; i < backend->accounts->nelts; i++) {
        const clb_account_t *account = &APR_ARRAY_IDX(backend->accounts, i,
                                                      clb_account_t);

        standing = clb_table_standing(&run->table, backend->id, i);
        json = standing_json(r, backend, account, &standing);
        if (best == NULL || decides(&standing, &least)) {
            least = standing;
            best = json;
        }
        clb_json_append(accounts, clb_json_pack(r->pool,
            "{s:s, s:s, s:O, s:O?, s:O?}", "name", account->name,
            "home", clean(r, clb_home(run->global, backend, account,
                                      r->pool)),
            "state", clb_json_member(json, "state"),
            "message", clb_json_member(json, "message"),
            "mend", clb_json_member(json, "mend")));
    }
    return clb_json_pack(r->pool, "{s:s, s:s, s:s, s:O, s:O, s:O, s:O}",
        "name", backend->name, "driver", backend->driver->name,
        "program", clean(r, backend->program),
        "state", clb_json_member(best, "state"),
        "message", clb_json_member(best, "message"),
        "mend", clb_json_member(best, "mend"), "accounts", accounts);
}

static int refuse(request_rec *r)
{
    clb_error_t error = clb_request(r)->error;

    if (clb_request(r)->secret == NULL) {
        clb_error_set(&error, r->pool, CLB_AUTH_MISSING, NULL, "this needs an "
                      "API key with the scope admin: send it as "
                      "'Authorization: Bearer KEY'");
    }
    return clb_reply_error(r, NULL, &error);
}

int clb_handle_status(request_rec *r)
{
    clb_error_t error = { CLB_SHUTTING_DOWN, "the server is not ready",
                          NULL, 0 };
    clb_json_t *list = clb_json_pack(r->pool, "[]");
    const apr_array_header_t *backends;
    clb_buf_t body;
    int i;

    if (!clb_is_admin(r)) {
        return refuse(r);
    }
    if (clb_run() == NULL) {
        return clb_reply_error(r, NULL, &error);
    }
    backends = clb_run()->global->backends;
    for (i = 0; i < backends->nelts; i++) {
        clb_json_append(list, backend_json(r, APR_ARRAY_IDX(backends, i,
                                                            clb_backend_t *)));
    }
    clb_buf_init(&body, r->pool, 4096);
    clb_json_write(&body, clb_json_pack(r->pool, "{s:O, s:{s:b, s:s}}",
        "backends", list, "server_info", "api_key_required",
        clb_needs_key(r), "version", CLB_VERSION));
    return clb_reply_json(r, HTTP_OK, body.data, body.len);
}
