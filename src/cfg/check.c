/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only the whole configuration shows: defaults that depend on each other,
 * combinations that cannot work. `apachectl configtest` runs it, also as an
 * ordinary user, so nothing here needs a privilege.
 */
#include "cmds.h"

#include "../backend/driver.h"
#include "../http/config.h"
#include "../shm/table.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <string.h>
#include <util_mutex.h>

APLOG_USE_MODULE(clibridge);

#define STATE_DIR "/var/lib/clibridge"

/* Requests that wait must not take the threads others need. */
#define RESERVE 8

static int complain(server_rec *server, const char *what)
{
    ap_log_error(APLOG_MARK, APLOG_CRIT | APLOG_STARTUP, 0, server, "%s",
                 what);
    return HTTP_INTERNAL_SERVER_ERROR;
}

static int unset(int *value, int otherwise)
{
    if (*value == CLB_UNSET) {
        *value = otherwise;
    }
    return *value;
}

/* The built-in backend: whatever is asked comes back. */
static void add_echo(clb_global_t *global, apr_pool_t *pool)
{
    int i;

    for (i = 0; i < global->backends->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(global->backends, i, clb_backend_t *)->name,
                   "echo") == 0) {
            return;
        }
    }
    clb_global_backend(pool, "echo");
}

static void default_warm(clb_backend_t *backend, int slots)
{
    clb_warm_t *warm = &backend->warm;
    const clb_warm_t *own = &backend->driver->warm;

    if (warm->mode == CLB_WARM_UNSET) {
        warm->mode = backend->reuse == CLB_REUSE_LINES ? CLB_WARM_ADAPTIVE
                                                       : own->mode;
    }
    unset(&warm->min, warm->mode == CLB_WARM_NONE || warm->max == 0 ? 0 : 1);
    unset(&warm->max, slots > warm->min ? slots : warm->min);
    if (warm->refresh == 0) {
        warm->refresh = apr_time_from_sec(warm->mode == CLB_WARM_PERIODIC
                                          ? 600 : 4 * 3600);
    }
}

static int default_park(server_rec *server, clb_backend_t *backend, int slots,
                        apr_pool_t *pool)
{
    int parks = backend->driver->traits(backend) & CLB_PARKS;

    if (backend->park > 0 && !parks) {
        return complain(server, apr_pstrcat(pool, "<CLIBridgeBackend ",
            backend->name, ">: CLIBridgePark is not for the driver ",
            backend->driver->name, ", whose programs hold no conversation",
            NULL));
    }
    unset(&backend->park, parks ? slots : 0);
    return OK;
}

/* Put the names of the driver's tools in the place of "web". */
static int check_tools(server_rec *server, clb_backend_t *backend,
                       apr_pool_t *pool)
{
    const apr_array_header_t *asked = backend->tools;
    const char *const *web = backend->driver->web;
    int i, j;

    if (asked->nelts > 0 && web == NULL) {
        return complain(server, apr_pstrcat(pool, "<CLIBridgeBackend ",
            backend->name, ">: CLIBridgeTools is not for the driver ",
            backend->driver->name, NULL));
    }
    backend->tools = apr_array_make(pool, 4, sizeof(const char *));
    for (i = 0; i < asked->nelts; i++) {
        const char *name = APR_ARRAY_IDX(asked, i, const char *);

        if (strcasecmp(name, "web") != 0) {
            APR_ARRAY_PUSH(backend->tools, const char *) = name;
            continue;
        }
        for (j = 0; web[j] != NULL; j++) {
            APR_ARRAY_PUSH(backend->tools, const char *) = web[j];
        }
    }
    return OK;
}

static void default_models(clb_backend_t *backend)
{
    const char *const *model;

    for (model = backend->driver->models;
         backend->models->nelts == 0 && *model != NULL; ) {
        for (; *model != NULL; model++) {
            APR_ARRAY_PUSH(backend->models, const char *) = *model;
        }
    }
    if (backend->models->nelts == 0) {
        APR_ARRAY_PUSH(backend->models, const char *) = backend->name;
    }
}

static int check_backend(server_rec *server, clb_global_t *global,
                         clb_backend_t *backend, apr_pool_t *pool)
{
    int slots;

    if (strcmp(backend->name, "echo") == 0 && backend->driver == NULL
        && backend->program == NULL) {
        backend->driver = &clb_driver_command;
        backend->program = "/bin/cat";
    }
    if (backend->driver == NULL) {
        backend->driver = clb_driver_find(backend->name);
    }
    if (backend->driver == NULL) {
        return complain(server, apr_pstrcat(pool, "<CLIBridgeBackend ",
            backend->name, ">: write CLIBridgeDriver with one of: ",
            clb_driver_names(pool), NULL));
    }
    if (backend->program == NULL) {
        return complain(server, apr_pstrcat(pool, "<CLIBridgeBackend ",
            backend->name, ">: write CLIBridgeProgram with the absolute path "
            "of the CLI", NULL));
    }
    if (backend->reuse != CLB_REUSE_UNSET
        && backend->driver != &clb_driver_command) {
        return complain(server, apr_pstrcat(pool, "<CLIBridgeBackend ",
            backend->name, ">: CLIBridgeReuse is for the driver command only",
            NULL));
    }
    if (backend->accounts->nelts == 0) {
        clb_account_t *account = apr_array_push(backend->accounts);

        account->name = "default";
        account->home = NULL;
        account->env = apr_array_make(pool, 1, sizeof(clb_var_t));
    }
    if (backend->slots > global->slots) {
        backend->slots = global->slots;
    }
    default_models(backend);
    slots = backend->slots == CLB_UNSET ? global->slots : backend->slots;
    default_warm(backend, slots);
    return check_tools(server, backend, pool) != OK
        ? HTTP_INTERNAL_SERVER_ERROR
        : default_park(server, backend, slots, pool);
}

/* Who tests root's configuration is not who will run its CLIs. */
static void name_runner(clb_global_t *global, apr_pool_t *pool)
{
    int tests = ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST;
    char *name;

    global->runner = global->user;
    if (global->user == NULL || (geteuid() != 0 && !tests)) {
        global->runner = apr_uid_name_get(&name, geteuid(), pool)
                         == APR_SUCCESS ? name
                       : apr_psprintf(pool, "%d", (int)geteuid());
    }
}

/* Under root somebody else runs the CLIs; root only if it is written out. */
static int check_user(server_rec *server, clb_global_t *global)
{
    if (geteuid() != 0 || global->user != NULL) {
        return OK;
    }
    return complain(server, "CLIBridgeUser: write the name of the user who "
                    "runs the CLIs (the one who is logged in to them); httpd "
                    "starts as root and the CLIs must not run as root by "
                    "accident");
}

/* The keeper has another uid than the workers: sysvsem and flock fail there,
 * and a process that dies with posixsem held blocks all others (measured). */
static int check_mutex(server_rec *server, apr_pool_t *pool)
{
    apr_global_mutex_t *mutex = NULL;
    const char *name;
    apr_status_t rv;

    rv = ap_global_mutex_create(&mutex, NULL, "clibridge-slots", NULL, server,
                                pool, 0);
    if (rv == APR_SUCCESS && mutex == NULL) {
        return complain(server, "Mutex: 'none' cannot protect "
                        "clibridge-slots; write pthread or fcntl");
    }
    if (rv != APR_SUCCESS) {
        return OK;      /* an ordinary user who tests root's configuration */
    }
    name = apr_global_mutex_name(mutex);
    apr_global_mutex_destroy(mutex);
    if (strcmp(name, "pthread") != 0 && strcmp(name, "fcntl") != 0) {
        return complain(server, apr_pstrcat(pool, "Mutex: '", name, "' cannot "
                        "protect clibridge-slots; write pthread or fcntl",
                        NULL));
    }
    return OK;
}

static void warn_threads(server_rec *server, const clb_global_t *global)
{
    int daemons = 0, threads = 0;
    int waiting = global->slots + global->queue + global->sockets;

    if (ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &daemons) != APR_SUCCESS
        || ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads) != APR_SUCCESS) {
        return;
    }
    threads = threads < 1 ? 1 : threads;
    if (daemons > 0 && daemons * threads < waiting + RESERVE) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
                     "CLIBridgeSlots + CLIBridgeQueue + CLIBridgeSockets = %d "
                     "requests may wait, but httpd has %d threads: raise "
                     "MaxRequestWorkers", waiting, daemons * threads);
    }
}

static int is_served(const clb_global_t *global, const clb_server_conf_t *conf,
                     const char *name, const char **what, apr_pool_t *pool)
{
    clb_model_t model;

    if (clb_server_model(&model, conf, global->backends, name, pool)
        == APR_SUCCESS) {
        return 1;
    }
    *what = model.name;
    return 0;
}

static int check_hosts(server_rec *main_server, const clb_global_t *global,
                       apr_pool_t *pool)
{
    apr_hash_index_t *hi;
    const char *bad;
    server_rec *s;

    for (s = main_server; s != NULL; s = s->next) {
        const clb_server_conf_t *conf = clb_server_conf(s);

        if (conf->default_backend != NULL && clb_backend_named(
                global->backends, conf->default_backend) == NULL) {
            return complain(s, apr_pstrcat(pool, "CLIBridgeDefaultBackend: "
                            "there is no backend '", conf->default_backend,
                            "' that has slots", NULL));
        }
        if (conf->default_model != NULL
            && !is_served(global, conf, conf->default_model, &bad, pool)) {
            return complain(s, apr_pstrcat(pool, "CLIBridgeDefaultModel: no "
                            "backend serves '", bad, "'; see "
                            "CLIBridgeModels", NULL));
        }
        for (hi = conf->aliases == NULL ? NULL
                  : apr_hash_first(pool, conf->aliases);
             hi != NULL; hi = apr_hash_next(hi)) {
            if (!is_served(global, conf, apr_hash_this_key(hi), &bad, pool)) {
                return complain(s, apr_pstrcat(pool, "CLIBridgeAlias: no "
                                "backend serves '", bad, "'; see "
                                "CLIBridgeModels", NULL));
            }
        }
    }
    return OK;
}

int clb_check(server_rec *main_server, apr_pool_t *pconf, apr_pool_t *ptemp)
{
    clb_global_t *global = clb_global();
    int i, rv;

    unset(&global->slots, 8);
    unset(&global->queue, 64);
    unset(&global->processes, global->slots * 3);
    if (global->queue_timeout == CLB_UNSET) {
        global->queue_timeout = apr_time_from_sec(60);
    }
    if (global->state_dir == NULL) {
        global->state_dir = STATE_DIR;
    }
    global->answers_dir = apr_pstrcat(pconf, global->state_dir, "/answers",
                                      NULL);
    if (global->slots + global->queue > CLB_TURNS_MAX) {
        return complain(main_server, apr_psprintf(ptemp, "CLIBridgeSlots + "
                        "CLIBridgeQueue must not be more than %d",
                        CLB_TURNS_MAX));
    }
    add_echo(global, pconf);
    if (global->backends->nelts > CLB_BACKENDS_MAX) {
        return complain(main_server, apr_psprintf(ptemp, "CLIBridgeBackend: "
                        "there can be %d backends at most",
                        CLB_BACKENDS_MAX - 1));
    }
    for (i = 0; i < global->backends->nelts; i++) {
        rv = check_backend(main_server, global, APR_ARRAY_IDX(
                           global->backends, i, clb_backend_t *), pconf);
        if (rv != OK) {
            return rv;
        }
    }
    if ((rv = check_user(main_server, global)) != OK
        || (rv = check_mutex(main_server, ptemp)) != OK) {
        return rv;
    }
    name_runner(global, pconf);
    warn_threads(main_server, global);
    return check_hosts(main_server, global, ptemp);
}
