/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directives of the server as a whole, of virtual hosts and of
 * directories: each fills one member of a configuration struct.
 */
#include "cmds.h"

#include "../http/config.h"
#include "../shm/table.h"
#include "values.h"

#include <apr_strings.h>
#include <http_core.h>
#include <string.h>

clb_reading_t clb_reading;

void clb_global_begin(apr_pool_t *pconf)
{
    clb_global_t *global = apr_pcalloc(pconf, sizeof(*global));

    global->slots = global->queue = global->processes = CLB_UNSET;
    global->queue_timeout = CLB_UNSET;
    global->sockets = 16;
    global->socket_idle = apr_time_from_sec(300);
    global->answers = 10000;
    global->answers_size = (apr_off_t)1 << 30;
    global->answers_age = apr_time_from_sec(86400) * 30;
    global->backends = apr_array_make(pconf, 4, sizeof(clb_backend_t *));
    memset(&clb_reading, 0, sizeof(clb_reading));
    clb_reading.global = global;
}

clb_global_t *clb_global(void)
{
    return clb_reading.global;
}

static const char *only_global(cmd_parms *cmd)
{
    return ap_check_cmd_context(cmd, GLOBAL_ONLY) == NULL ? NULL
         : clb_wrong(cmd, "belongs to the main server, outside of any "
                     "<VirtualHost>, <Location> or backend");
}

/* --- the server as a whole --- */

const char *clb_cmd_user(cmd_parms *cmd, void *dir, const char *name)
{
    clb_global_t *global = clb_reading.global;
    const char *err = only_global(cmd);

    if (err != NULL) {
        return err;
    }
    global->user = name;
    if (geteuid() == 0
        && apr_uid_get(&global->uid, &global->gid, name, cmd->temp_pool)
           != APR_SUCCESS) {
        return clb_wrong(cmd, "there is no user '%s'", name);
    }
    return NULL;
}

const char *clb_cmd_state_dir(cmd_parms *cmd, void *dir, const char *path)
{
    const char *err = only_global(cmd);

    if (err != NULL) {
        return err;
    }
    clb_reading.global->state_dir = ap_server_root_relative(cmd->pool, path);
    return clb_reading.global->state_dir != NULL ? NULL
         : clb_wrong(cmd, "write the path of a directory");
}

const char *clb_cmd_slots(cmd_parms *cmd, void *dir, const char *number)
{
    const char *err;

    if (clb_reading.backend != NULL) {
        return clb_cfg_count(cmd, number, 0, CLB_TURNS_MAX,
                          &clb_reading.backend->slots);
    }
    err = only_global(cmd);
    return err != NULL ? err : clb_cfg_count(cmd, number, 1, CLB_TURNS_MAX,
                                          &clb_reading.global->slots);
}

const char *clb_cmd_queue(cmd_parms *cmd, void *dir, const char *number,
                             const char *opt)
{
    const char *err = only_global(cmd), *seconds;

    if (err == NULL) {
        err = clb_cfg_count(cmd, number, 0, CLB_TURNS_MAX,
                         &clb_reading.global->queue);
    }
    if (err == NULL && opt != NULL) {
        seconds = clb_cfg_option(opt, "timeout");
        err = seconds == NULL ? clb_wrong(cmd, "write a number and timeout=60")
            : clb_cfg_seconds(cmd, seconds, &clb_reading.global->queue_timeout);
    }
    return err;
}

const char *clb_cmd_processes(cmd_parms *cmd, void *dir,
                                 const char *number)
{
    const char *err = only_global(cmd);

    return err != NULL ? err : clb_cfg_count(cmd, number, 1, 4096,
                                          &clb_reading.global->processes);
}

const char *clb_cmd_memory(cmd_parms *cmd, void *dir, const char *size)
{
    const char *err = only_global(cmd);

    if (err == NULL && strcasecmp(size, "off") == 0) {
        clb_reading.global->memory = 0;
        return NULL;
    }
    return err != NULL ? err : clb_cfg_size(cmd, size, 1 << 20,
                                         &clb_reading.global->memory);
}

const char *clb_cmd_sockets(cmd_parms *cmd, void *dir, const char *number,
                            const char *opt)
{
    clb_global_t *global = clb_reading.global;
    const char *err = only_global(cmd), *seconds;

    if (err == NULL && strcasecmp(number, "off") == 0) {
        global->sockets = 0;
    }
    else if (err == NULL) {
        err = clb_cfg_count(cmd, number, 1, CLB_SOCKETS_MAX,
                            &global->sockets);
    }
    if (err == NULL && opt != NULL) {
        seconds = clb_cfg_option(opt, "idle");
        err = seconds == NULL ? clb_wrong(cmd, "write a number and idle=300")
            : clb_cfg_seconds(cmd, seconds, &global->socket_idle);
    }
    return err;
}

const char *clb_cmd_store(cmd_parms *cmd, void *dir, int argc,
                          char *const argv[])
{
    clb_global_t *global = clb_reading.global;
    const char *err = only_global(cmd), *text;
    int i, days;

    for (i = 0; i < argc && err == NULL; i++) {
        if ((text = clb_cfg_option(argv[i], "size")) != NULL) {
            err = clb_cfg_size(cmd, text, 1 << 20, &global->answers_size);
        }
        else if ((text = clb_cfg_option(argv[i], "days")) != NULL) {
            err = clb_cfg_count(cmd, text, 1, 3650, &days);
            global->answers_age = apr_time_from_sec(86400) * days;
        }
        else if (i == 0 && strcasecmp(argv[0], "off") == 0) {
            global->answers = 0;
        }
        else if (i == 0) {
            err = clb_cfg_count(cmd, argv[i], 1, 1000000, &global->answers);
        }
        else {
            err = clb_wrong(cmd, "write size= or days= after the number, not "
                            "'%s'", argv[i]);
        }
    }
    return err != NULL || argc > 0 ? err
         : clb_wrong(cmd, "write a number of answers, or off");
}

/* --- a virtual host --- */

const char *clb_cmd_enable(cmd_parms *cmd, void *dir, int on)
{
    clb_server_conf(cmd->server)->enabled = on != 0;
    return NULL;
}

const char *clb_cmd_key_file(cmd_parms *cmd, void *dir, const char *path)
{
    clb_server_conf_t *conf = clb_server_conf(cmd->server);
    const char *why;
    apr_status_t rv;

    conf->key_file = ap_server_root_relative(cmd->pool, path);
    if (conf->key_file == NULL) {
        return clb_wrong(cmd, "write the path of a file");
    }
    rv = clb_keys_read(&conf->keys, conf->key_file, &why, cmd->pool);
    /* root's file: an ordinary user's configtest cannot look into it */
    if (rv == APR_SUCCESS || (APR_STATUS_IS_EACCES(rv)
        && ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST)) {
        return NULL;
    }
    return clb_wrong(cmd, "%s", why);
}

const char *clb_cmd_alias(cmd_parms *cmd, void *dir, const char *alias,
                             const char *model)
{
    clb_server_conf_t *conf = clb_server_conf(cmd->server);

    if (clb_model_is_pattern(alias) || clb_model_is_pattern(model)) {
        return clb_wrong(cmd, "write two names without * or ?");
    }
    if (conf->aliases == NULL) {
        conf->aliases = apr_hash_make(cmd->pool);
    }
    apr_hash_set(conf->aliases, alias, APR_HASH_KEY_STRING, model);
    return NULL;
}

const char *clb_cmd_default_model(cmd_parms *cmd, void *dir,
                                     const char *model)
{
    if (clb_model_is_pattern(model)) {
        return clb_wrong(cmd, "write one model's name without * or ?");
    }
    clb_server_conf(cmd->server)->default_model = model;
    return NULL;
}

const char *clb_cmd_default_backend(cmd_parms *cmd, void *dir,
                                    const char *name)
{
    clb_server_conf(cmd->server)->default_backend = name;
    return NULL;
}

/* --- a directory --- */

const char *clb_cmd_timeout(cmd_parms *cmd, void *dir, const char *opt)
{
    clb_dir_conf_t *conf = dir;
    const struct {
        const char *name;
        apr_interval_time_t *member;
    } limits[] = {
        { "first", &conf->first }, { "idle", &conf->idle },
        { "turn", &conf->turn }, { "write", &conf->write },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
        const char *seconds = clb_cfg_option(opt, limits[i].name);

        if (seconds != NULL) {
            return clb_cfg_seconds(cmd, seconds, limits[i].member);
        }
    }
    return clb_wrong(cmd, "write first=, idle=, turn= or write= and seconds, "
                     "not '%s'", opt);
}

const char *clb_cmd_keep_alive(cmd_parms *cmd, void *dir,
                                  const char *seconds)
{
    return clb_cfg_seconds(cmd, seconds, &((clb_dir_conf_t *)dir)->keep_alive);
}

const char *clb_cmd_max_body(cmd_parms *cmd, void *dir, const char *size)
{
    return clb_cfg_size(cmd, size, 1024, &((clb_dir_conf_t *)dir)->max_body);
}

const char *clb_cmd_max_answer(cmd_parms *cmd, void *dir,
                                  const char *size)
{
    return clb_cfg_size(cmd, size, 1024, &((clb_dir_conf_t *)dir)->max_answer);
}

const char *clb_cmd_anonymous(cmd_parms *cmd, void *dir, const char *text)
{
    static const char *const names[] = { "off", "loopback", "on", NULL };

    return clb_cfg_choice(cmd, text, names,
                       &((clb_dir_conf_t *)dir)->anonymous);
}

const char *clb_cmd_run(cmd_parms *cmd, void *dir, int on)
{
    ((clb_dir_conf_t *)dir)->run = on != 0;
    return NULL;
}

const char *clb_cmd_unsupported(cmd_parms *cmd, void *dir,
                                   const char *text)
{
    static const char *const names[] = { "ignore", "warn", "reject", NULL };

    return clb_cfg_choice(cmd, text, names,
                       &((clb_dir_conf_t *)dir)->unsupported);
}

const char *clb_cmd_reasoning(cmd_parms *cmd, void *dir, const char *text)
{
    static const char *const names[] = { "field", "tags", "off", NULL };

    return clb_cfg_choice(cmd, text, names,
                          &((clb_dir_conf_t *)dir)->reasoning);
}

const char *clb_cmd_origin(cmd_parms *cmd, void *dir, const char *origin)
{
    clb_dir_conf_t *conf = dir;
    apr_uri_t uri;

    if (strcmp(origin, "*") != 0
        && (apr_uri_parse(cmd->temp_pool, origin, &uri) != APR_SUCCESS
            || uri.scheme == NULL || uri.hostname == NULL
            || *uri.hostname == '\0'
            || (uri.path != NULL && *uri.path != '\0'))) {
        return clb_wrong(cmd, "write an origin such as "
                         "https://chat.example.org or *, not '%s'", origin);
    }
    if (conf->origins == NULL) {
        conf->origins = apr_array_make(cmd->pool, 2, sizeof(const char *));
    }
    APR_ARRAY_PUSH(conf->origins, const char *) = origin;
    return NULL;
}
