/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /health. Reads shared memory without a lock: it must answer when nothing
 * else does. What it tells of the host is for admins and this machine only.
 */
#include "../backend/driver.h"
#include "../core/json.h"
#include "../proc/supervise.h"
#include "auth.h"
#include "handler.h"
#include "reply.h"

#include <ap_mpm.h>

static int stopping(void)
{
    int state = AP_MPMQ_RUNNING;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS
        && state == AP_MPMQ_STOPPING;
}

static const char *state(const clb_run_t *run)
{
    if (run == NULL || stopping()) {
        return "draining";
    }
    return clb_keeper_silent(run) ? "keeper_silent" : "ok";
}

static clb_json_t *backend_json(request_rec *r, const clb_run_t *run,
                                const clb_backend_t *backend)
{
    static const char *const tests[] = {
        [CLB_TRUST_NONE] = NULL, [CLB_TRUST_PASSED] = "passed",
        [CLB_TRUST_TESTING] = "to come", [CLB_TRUST_FAILED] = "failed"
    };
    const clb_shared_t *shared = run->table.shared;
    const clb_table_backend_t *b = &shared->backends[backend->id];
    clb_load_t load = clb_table_load(shared, backend->id);

    return clb_json_pack(r->pool, "{s:s, s:s, s:s, s:s*, s:{s:i, s:i}, s:i, "
        "s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I}",
        "name", backend->name, "driver", backend->driver->name,
        "status", b->failing ? "failing" : "ok",
        "test", tests[b->trust % (CLB_TRUST_FAILED + 1)],
        "slots", "max", (int)b->limit, "running", load.running,
        "waiting", load.waiting, "starting", (int)b->census.starting,
        "idle", (int)b->census.idle, "leased", (int)b->census.leased,
        "settling", (int)b->census.settling, "parked", (int)b->census.parked,
        "dying", (int)b->census.dying,
        "hits", (long long)b->hits, "misses", (long long)b->misses,
        "tools", (long long)b->tools,
        "starts", (long long)b->starts, "failures", (long long)b->failures);
}

static void add_details(request_rec *r, const clb_run_t *run,
                        clb_json_t *json)
{
    const apr_array_header_t *backends = run->global->backends;
    clb_json_t *list = clb_json_pack(r->pool, "[]");
    int i;

    for (i = 0; i < backends->nelts; i++) {
        clb_json_append(list, backend_json(r, run, APR_ARRAY_IDX(backends, i,
                                           clb_backend_t *)));
    }
    clb_json_set(json, "backends", list);
    clb_json_set(json, "generation", clb_json_pack(r->pool, "i",
                 (int)run->generation));
    clb_json_set(json, "heartbeat_age_ms", clb_json_pack(r->pool, "I",
                 (long long)apr_time_as_msec(apr_time_now()
                     - run->table.shared->heartbeat)));
}

int clb_handle_health(request_rec *r)
{
    const clb_run_t *run = clb_run();
    const char *status = state(run);
    clb_load_t load = { 0, 0 };
    clb_json_t *json;
    clb_buf_t body;

    if (run != NULL) {
        load = clb_table_load(run->table.shared, -1);
    }
    json = clb_json_pack(r->pool, "{s:s, s:{s:i, s:i}, s:{s:i, s:i}}",
        "status", status,
        "slots", "max", run == NULL ? 0 : run->global->slots,
        "running", load.running,
        "queue", "max", run == NULL ? 0 : run->global->queue,
        "waiting", load.waiting);
    if (run != NULL && clb_is_admin(r)) {
        add_details(r, run, json);
    }
    clb_buf_init(&body, r->pool, 1024);
    clb_json_write(&body, json);
    return clb_reply_json(r, *status == 'o' ? HTTP_OK
                          : HTTP_SERVICE_UNAVAILABLE, body.data, body.len);
}
