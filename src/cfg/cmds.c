/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directives: each fills one member of a configuration struct and refuses
 * what is wrong with a sentence that says what to write instead.
 *
 * Some names stand in several scopes (CLIBridgeSlots, CLIBridgeEnv): inside
 * <CLIBridgeBackend> and <CLIBridgeAccount> they are that section's. While a
 * section is read, `reading` points to it.
 */
#include "cmds.h"

#include "../backend/driver.h"
#include "../core/text.h"
#include "../http/config.h"
#include "../shm/table.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <errno.h>
#include <http_core.h>
#include <string.h>

/* Seconds in a directive: at most ten days. */
#define SECONDS_MAX 864000

static struct {
    clb_global_t *global;
    clb_backend_t *backend;
    clb_account_t *account;
} reading;

void clb_global_begin(apr_pool_t *pconf)
{
    clb_global_t *global = apr_pcalloc(pconf, sizeof(*global));

    global->slots = global->queue = global->processes = CLB_UNSET;
    global->queue_timeout = CLB_UNSET;
    global->backends = apr_array_make(pconf, 4, sizeof(clb_backend_t *));
    memset(&reading, 0, sizeof(reading));
    reading.global = global;
}

clb_global_t *clb_global(void)
{
    return reading.global;
}

/* --- helpers --- */

static const char *wrong(cmd_parms *cmd, const char *need)
{
    const char *name = cmd->cmd->name;

    return apr_pstrcat(cmd->pool, name, *name == '<' ? ">: " : ": ", need,
                       NULL);
}

static const char *take_count(cmd_parms *cmd, const char *text, int min,
                              int max, int *out)
{
    apr_int64_t n;

    if (clb_parse_int(&n, text, min, max) != APR_SUCCESS) {
        return wrong(cmd, apr_psprintf(cmd->pool, "write a number from %d to "
                                       "%d, not '%s'", min, max, text));
    }
    *out = (int)n;
    return NULL;
}

static const char *take_seconds(cmd_parms *cmd, const char *text,
                                apr_interval_time_t *out)
{
    apr_int64_t n;

    if (clb_parse_int(&n, text, 1, SECONDS_MAX) != APR_SUCCESS) {
        return wrong(cmd, apr_psprintf(cmd->pool, "write seconds from 1 to "
                                       "%d, not '%s'", SECONDS_MAX, text));
    }
    *out = apr_time_from_sec(n);
    return NULL;
}

static const char *take_size(cmd_parms *cmd, const char *text,
                             apr_off_t min, apr_off_t *out)
{
    if (clb_parse_size(out, text) != APR_SUCCESS || *out < min
        || *out > (apr_off_t)1 << 40) {
        return wrong(cmd, apr_psprintf(cmd->pool, "write a size such as 32M "
                                       "or 4G, not '%s'", text));
    }
    return NULL;
}

/* The value of "name=value", or NULL if @a text is not of that name. */
static const char *option(const char *text, const char *name)
{
    apr_size_t len = strlen(name);

    return strncmp(text, name, len) == 0 && text[len] == '='
         ? text + len + 1 : NULL;
}

static const char *take_choice(cmd_parms *cmd, const char *text,
                               const char *const *names, int *out)
{
    const char *list = "";
    int i;

    for (i = 0; names[i] != NULL; i++) {
        if (strcasecmp(names[i], text) == 0) {
            *out = i;
            return NULL;
        }
        list = apr_pstrcat(cmd->pool, list, i > 0 ? ", " : "", names[i],
                           NULL);
    }
    return wrong(cmd, apr_pstrcat(cmd->pool, "write one of ", list, ", not '",
                                  text, "'", NULL));
}

static const char *only_global(cmd_parms *cmd)
{
    return ap_check_cmd_context(cmd, GLOBAL_ONLY) == NULL ? NULL
         : wrong(cmd, "belongs to the main server, outside of any "
                 "<VirtualHost>, <Location> or backend");
}

static const char *only_backend(cmd_parms *cmd)
{
    return reading.backend == NULL
         ? wrong(cmd, "belongs into a <CLIBridgeBackend> section") : NULL;
}

/* --- the server as a whole --- */

static const char *cmd_user(cmd_parms *cmd, void *dir, const char *name)
{
    clb_global_t *global = reading.global;
    const char *err = only_global(cmd);

    if (err != NULL) {
        return err;
    }
    global->user = name;
    if (geteuid() == 0
        && apr_uid_get(&global->uid, &global->gid, name, cmd->temp_pool)
           != APR_SUCCESS) {
        return wrong(cmd, apr_pstrcat(cmd->pool, "there is no user '", name,
                                      "'", NULL));
    }
    return NULL;
}

static const char *cmd_state_dir(cmd_parms *cmd, void *dir, const char *path)
{
    const char *err = only_global(cmd);

    if (err != NULL) {
        return err;
    }
    reading.global->state_dir = ap_server_root_relative(cmd->pool, path);
    return reading.global->state_dir != NULL ? NULL
         : wrong(cmd, "write the path of a directory");
}

static const char *cmd_slots(cmd_parms *cmd, void *dir, const char *number)
{
    const char *err;

    if (reading.backend != NULL) {
        return take_count(cmd, number, 0, CLB_TABLE_ROWS,
                          &reading.backend->slots);
    }
    err = only_global(cmd);
    return err != NULL ? err : take_count(cmd, number, 1, CLB_TABLE_ROWS,
                                          &reading.global->slots);
}

static const char *cmd_queue(cmd_parms *cmd, void *dir, const char *number,
                             const char *opt)
{
    const char *err = only_global(cmd), *seconds;

    if (err == NULL) {
        err = take_count(cmd, number, 0, CLB_TABLE_ROWS,
                         &reading.global->queue);
    }
    if (err == NULL && opt != NULL) {
        seconds = option(opt, "timeout");
        err = seconds == NULL ? wrong(cmd, "write a number and timeout=60")
            : take_seconds(cmd, seconds, &reading.global->queue_timeout);
    }
    return err;
}

static const char *cmd_processes(cmd_parms *cmd, void *dir,
                                 const char *number)
{
    const char *err = only_global(cmd);

    return err != NULL ? err : take_count(cmd, number, 1, 4096,
                                          &reading.global->processes);
}

static const char *cmd_memory(cmd_parms *cmd, void *dir, const char *size)
{
    const char *err = only_global(cmd);

    if (err == NULL && strcasecmp(size, "off") == 0) {
        reading.global->memory = 0;
        return NULL;
    }
    return err != NULL ? err : take_size(cmd, size, 1 << 20,
                                         &reading.global->memory);
}

/* --- a virtual host --- */

static const char *cmd_enable(cmd_parms *cmd, void *dir, int on)
{
    clb_server_conf(cmd->server)->enabled = on != 0;
    return NULL;
}

static const char *cmd_key_file(cmd_parms *cmd, void *dir, const char *path)
{
    clb_server_conf_t *conf = clb_server_conf(cmd->server);
    const char *why;
    apr_status_t rv;

    conf->key_file = ap_server_root_relative(cmd->pool, path);
    if (conf->key_file == NULL) {
        return wrong(cmd, "write the path of a file");
    }
    rv = clb_keys_read(&conf->keys, conf->key_file, &why, cmd->pool);
    /* root's file: an ordinary user's configtest cannot look into it */
    if (rv == APR_SUCCESS || (APR_STATUS_IS_EACCES(rv)
        && ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST)) {
        return NULL;
    }
    return wrong(cmd, why);
}

static const char *cmd_alias(cmd_parms *cmd, void *dir, const char *alias,
                             const char *model)
{
    clb_server_conf_t *conf = clb_server_conf(cmd->server);

    if (clb_model_is_pattern(alias) || clb_model_is_pattern(model)) {
        return wrong(cmd, "write two names without * or ?");
    }
    if (conf->aliases == NULL) {
        conf->aliases = apr_hash_make(cmd->pool);
    }
    apr_hash_set(conf->aliases, alias, APR_HASH_KEY_STRING, model);
    return NULL;
}

static const char *cmd_default_model(cmd_parms *cmd, void *dir,
                                     const char *model)
{
    if (clb_model_is_pattern(model)) {
        return wrong(cmd, "write one model's name without * or ?");
    }
    clb_server_conf(cmd->server)->default_model = model;
    return NULL;
}

/* --- a directory --- */

static const char *cmd_timeout(cmd_parms *cmd, void *dir, const char *opt)
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
        const char *seconds = option(opt, limits[i].name);

        if (seconds != NULL) {
            return take_seconds(cmd, seconds, limits[i].member);
        }
    }
    return wrong(cmd, apr_pstrcat(cmd->pool, "write first=, idle=, turn= or "
                                  "write= and seconds, not '", opt, "'",
                                  NULL));
}

static const char *cmd_keep_alive(cmd_parms *cmd, void *dir,
                                  const char *seconds)
{
    return take_seconds(cmd, seconds, &((clb_dir_conf_t *)dir)->keep_alive);
}

static const char *cmd_max_body(cmd_parms *cmd, void *dir, const char *size)
{
    return take_size(cmd, size, 1024, &((clb_dir_conf_t *)dir)->max_body);
}

static const char *cmd_max_answer(cmd_parms *cmd, void *dir,
                                  const char *size)
{
    return take_size(cmd, size, 1024, &((clb_dir_conf_t *)dir)->max_answer);
}

static const char *cmd_anonymous(cmd_parms *cmd, void *dir, const char *text)
{
    static const char *const names[] = { "off", "loopback", "on", NULL };

    return take_choice(cmd, text, names,
                       &((clb_dir_conf_t *)dir)->anonymous);
}

static const char *cmd_unsupported(cmd_parms *cmd, void *dir,
                                   const char *text)
{
    static const char *const names[] = { "ignore", "warn", "reject", NULL };

    return take_choice(cmd, text, names,
                       &((clb_dir_conf_t *)dir)->unsupported);
}

static const char *cmd_origin(cmd_parms *cmd, void *dir, const char *origin)
{
    clb_dir_conf_t *conf = dir;
    apr_uri_t uri;

    if (strcmp(origin, "*") != 0
        && (apr_uri_parse(cmd->temp_pool, origin, &uri) != APR_SUCCESS
            || uri.scheme == NULL || uri.hostname == NULL
            || *uri.hostname == '\0' || (uri.path != NULL && *uri.path != '\0'))) {
        return wrong(cmd, apr_pstrcat(cmd->pool, "write an origin such as "
                     "https://chat.example.org or *, not '", origin, "'",
                     NULL));
    }
    if (conf->origins == NULL) {
        conf->origins = apr_array_make(cmd->pool, 2, sizeof(const char *));
    }
    APR_ARRAY_PUSH(conf->origins, const char *) = origin;
    return NULL;
}

/* --- sections --- */

/* The one argument of "<Name argument>", or NULL. */
static const char *section_name(cmd_parms *cmd, const char *arg)
{
    const char *end = strrchr(arg, '>'), *rest, *name;

    if (end == NULL) {
        return NULL;
    }
    rest = apr_pstrndup(cmd->pool, arg, (apr_size_t)(end - arg));
    name = ap_getword_conf(cmd->pool, &rest);
    return *name != '\0' && *rest == '\0' && strlen(name) < CLB_NAME_MAX
           && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
                     "XYZ0123456789._-") == strlen(name) ? name : NULL;
}

/* 1 if @a name is one of @a words, which blanks separate. */
static int is_one_of(const char *name, const char *words)
{
    apr_size_t len;

    for (; *words != '\0'; words += len + (words[len] == ' ')) {
        len = strcspn(words, " ");
        if (len == strlen(name) && strncasecmp(words, name, len) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Read what a section holds: nothing but @a known directives. Any other would
 * take effect outside of it, where nobody looks for it. */
static const char *walk(cmd_parms *cmd, const char *known)
{
    ap_directive_t *d;

    for (d = cmd->directive->first_child; d != NULL; d = d->next) {
        const char *name = *d->directive != '<' ? d->directive
                         : apr_pstrcat(cmd->pool, d->directive, ">", NULL);

        if (!is_one_of(name, known)) {
            cmd->err_directive = d;
            return wrong(cmd, apr_pstrcat(cmd->pool, name, " does not belong "
                         "into this section; what does: ", known, NULL));
        }
    }
    return ap_walk_config(cmd->directive->first_child, cmd, cmd->context);
}

clb_backend_t *clb_global_backend(apr_pool_t *pool, const char *name)
{
    clb_backend_t *backend = apr_pcalloc(pool, sizeof(*backend));

    backend->name = name;
    backend->slots = backend->warm.min = backend->warm.max = CLB_UNSET;
    backend->args = apr_array_make(pool, 4, sizeof(const char *));
    backend->env = apr_array_make(pool, 4, sizeof(clb_var_t));
    backend->models = apr_array_make(pool, 4, sizeof(const char *));
    backend->accounts = apr_array_make(pool, 1, sizeof(clb_account_t));
    APR_ARRAY_PUSH(reading.global->backends, clb_backend_t *) = backend;
    return backend;
}

static const char *cmd_backend(cmd_parms *cmd, void *dir, const char *arg)
{
    apr_array_header_t *backends = reading.global->backends;
    const char *name = section_name(cmd, arg), *err;
    int i;

    if (name == NULL) {
        return wrong(cmd, "write <CLIBridgeBackend NAME>, NAME of letters, "
                     "digits and ._-");
    }
    for (i = 0; i < backends->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(backends, i, clb_backend_t *)->name, name)
            == 0) {
            return wrong(cmd, apr_pstrcat(cmd->pool, "there is a backend '",
                                          name, "' already", NULL));
        }
    }
    reading.backend = clb_global_backend(cmd->pool, name);
    err = walk(cmd, "CLIBridgeDriver CLIBridgeProgram CLIBridgeArg "
               "CLIBridgeEnv CLIBridgeEnvFile CLIBridgeModels CLIBridgeHome "
               "CLIBridgeSlots CLIBridgeReuse CLIBridgeWarm "
               "<CLIBridgeAccount>");
    reading.backend = NULL;
    return err;
}

static const char *cmd_account(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *name = section_name(cmd, arg), *err = only_backend(cmd);
    clb_account_t account = { 0 };
    int i;

    if (err != NULL) {
        return err;
    }
    if (name == NULL) {
        return wrong(cmd, "write <CLIBridgeAccount NAME>, NAME of letters, "
                     "digits and ._-");
    }
    for (i = 0; i < reading.backend->accounts->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(reading.backend->accounts, i,
                                 clb_account_t).name, name) == 0) {
            return wrong(cmd, apr_pstrcat(cmd->pool, "there is an account '",
                                          name, "' already", NULL));
        }
    }
    account.name = name;
    account.env = apr_array_make(cmd->pool, 4, sizeof(clb_var_t));
    reading.account = &account;
    err = walk(cmd, "CLIBridgeHome CLIBridgeEnv CLIBridgeEnvFile");
    reading.account = NULL;
    APR_ARRAY_PUSH(reading.backend->accounts, clb_account_t) = account;
    return err;
}

/* --- a backend --- */

static const char *cmd_driver(cmd_parms *cmd, void *dir, const char *name)
{
    const char *err = only_backend(cmd);

    if (err == NULL
        && (reading.backend->driver = clb_driver_find(name)) == NULL) {
        err = wrong(cmd, apr_pstrcat(cmd->pool, "there is no driver '", name,
                    "'; there are: ", clb_driver_names(cmd->pool), NULL));
    }
    return err;
}

static const char *cmd_program(cmd_parms *cmd, void *dir, const char *path)
{
    const char *err = only_backend(cmd);

    if (err == NULL && *path != '/') {
        err = wrong(cmd, apr_pstrcat(cmd->pool, "write an absolute path, not "
                                     "'", path, "'", NULL));
    }
    if (err == NULL) {
        reading.backend->program = path;
    }
    return err;
}

static const char *cmd_arg(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = only_backend(cmd);

    if (err == NULL) {
        APR_ARRAY_PUSH(reading.backend->args, const char *) = arg;
    }
    return err;
}

static const char *add_var(cmd_parms *cmd, const char *name,
                           const char *value, const char *file)
{
    const char *err = only_backend(cmd);
    clb_var_t *var;

    if (err != NULL) {
        return err;
    }
    if (*name == '\0' || strpbrk(name, "= \t") != NULL) {
        return wrong(cmd, "write a variable's name, then its value, as two "
                     "words");
    }
    var = apr_array_push(reading.account != NULL ? reading.account->env
                                                 : reading.backend->env);
    var->name = name;
    var->value = value;
    var->file = file;
    return NULL;
}

static const char *cmd_env(cmd_parms *cmd, void *dir, const char *name,
                           const char *value)
{
    return add_var(cmd, name, value, NULL);
}

/* The file is root's: an ordinary user's configtest may not even see it. */
static const char *cmd_env_file(cmd_parms *cmd, void *dir, const char *name,
                                const char *file)
{
    const char *path = ap_server_root_relative(cmd->pool, file);

    if (path == NULL || (access(path, F_OK) != 0 && errno != EACCES)) {
        return wrong(cmd, apr_pstrcat(cmd->pool, "there is no file ", file,
                                      NULL));
    }
    return add_var(cmd, name, NULL, path);
}

static const char *cmd_models(cmd_parms *cmd, void *dir, const char *model)
{
    const char *err = only_backend(cmd), *star = strchr(model, '*');

    if (err == NULL && star != NULL && strchr(star + 1, '*') != NULL) {
        err = wrong(cmd, "write at most one * in a pattern");
    }
    if (err == NULL) {
        APR_ARRAY_PUSH(reading.backend->models, const char *) = model;
    }
    return err;
}

static const char *cmd_home(cmd_parms *cmd, void *dir, const char *path)
{
    const char *err = only_backend(cmd);

    if (err == NULL && *path != '/') {
        err = wrong(cmd, "write an absolute path");
    }
    if (err == NULL) {
        *(reading.account != NULL ? &reading.account->home
                                  : &reading.backend->home) = path;
    }
    return err;
}

static const char *cmd_reuse(cmd_parms *cmd, void *dir, const char *text)
{
    static const char *const names[] = { "none", "lines", NULL };
    const char *err = only_backend(cmd);
    int reuse = 0;

    if (err == NULL) {
        err = take_choice(cmd, text, names, &reuse);
        reading.backend->reuse = CLB_REUSE_NONE + reuse;
    }
    return err;
}

static const char *warm_option(cmd_parms *cmd, clb_warm_t *warm,
                               const char *opt)
{
    const char *value;

    if ((value = option(opt, "min")) != NULL) {
        return take_count(cmd, value, 0, 1024, &warm->min);
    }
    if ((value = option(opt, "max")) != NULL) {
        return take_count(cmd, value, 0, 1024, &warm->max);
    }
    if ((value = option(opt, "refresh")) != NULL) {
        return take_seconds(cmd, value, &warm->refresh);
    }
    return wrong(cmd, apr_pstrcat(cmd->pool, "write min=, max= or refresh= "
                                  "after the mode, not '", opt, "'", NULL));
}

static const char *cmd_warm(cmd_parms *cmd, void *dir, int argc,
                            char *const argv[])
{
    static const char *const names[] = {
        "none", "periodic", "persistent", "adaptive", NULL
    };
    const char *err = only_backend(cmd);
    clb_warm_t *warm;
    int i, mode = 0;

    if (err != NULL) {
        return err;
    }
    if (argc < 1) {
        return wrong(cmd, "write none, periodic, persistent or adaptive");
    }
    if ((err = take_choice(cmd, argv[0], names, &mode)) != NULL) {
        return err;
    }
    warm = &reading.backend->warm;
    warm->mode = CLB_WARM_NONE + mode;
    for (i = 1; i < argc && err == NULL; i++) {
        err = warm_option(cmd, warm, argv[i]);
    }
    if (err == NULL && warm->max != CLB_UNSET && warm->min > warm->max) {
        err = wrong(cmd, "min= must not be more than max=");
    }
    return err;
}

#define ANY RSRC_CONF
#define DIR (RSRC_CONF | ACCESS_CONF)
#define TAKE1(name, fn, where, help) \
    AP_INIT_TAKE1(name, fn, NULL, where, help)

const command_rec clb_commands[] = {
    TAKE1("CLIBridgeUser", cmd_user, ANY,
          "the user who runs the CLIs when httpd starts as root"),
    TAKE1("CLIBridgeStateDir", cmd_state_dir, ANY,
          "a directory for homes and scratch files of CLIs"),
    TAKE1("CLIBridgeSlots", cmd_slots, ANY,
          "running turns, in all or of a backend"),
    AP_INIT_TAKE12("CLIBridgeQueue", cmd_queue, NULL, ANY,
          "waiting turns, and timeout=seconds until one gives up"),
    TAKE1("CLIBridgeProcesses", cmd_processes, ANY,
          "the most CLI processes at once"),
    TAKE1("CLIBridgeMemory", cmd_memory, ANY,
          "the most memory of all CLI processes, or off"),
    AP_INIT_FLAG("CLIBridge", cmd_enable, NULL, ANY,
          "answer /v1, /v1beta and /health in this virtual host"),
    TAKE1("CLIBridgeKeyFile", cmd_key_file, ANY,
          "the file with the digests of clients' keys"),
    AP_INIT_TAKE2("CLIBridgeAlias", cmd_alias, NULL, ANY,
          "another name for a model, and the model"),
    TAKE1("CLIBridgeDefaultModel", cmd_default_model, ANY,
          "the model of requests that name none"),
    AP_INIT_ITERATE("CLIBridgeTimeout", cmd_timeout, NULL, DIR,
          "first=, idle=, turn= and write= in seconds"),
    TAKE1("CLIBridgeKeepAlive", cmd_keep_alive, DIR,
          "seconds between signs of life on a silent stream"),
    TAKE1("CLIBridgeMaxBody", cmd_max_body, DIR,
          "the largest request"),
    TAKE1("CLIBridgeMaxAnswer", cmd_max_answer, DIR,
          "the largest answer"),
    TAKE1("CLIBridgeAnonymous", cmd_anonymous, DIR,
          "who may ask without a key: off, loopback or on"),
    TAKE1("CLIBridgeUnsupported", cmd_unsupported, DIR,
          "parameters a CLI cannot honour: ignore, warn or reject"),
    AP_INIT_ITERATE("CLIBridgeOrigin", cmd_origin, NULL, DIR,
          "origins whose pages may use the API, or *"),
    AP_INIT_RAW_ARGS("<CLIBridgeBackend", cmd_backend, NULL, ANY,
          "a CLI"),
    AP_INIT_RAW_ARGS("<CLIBridgeAccount", cmd_account, NULL, ANY,
          "a login of a backend"),
    TAKE1("CLIBridgeDriver", cmd_driver, ANY,
          "the protocol the backend's program speaks"),
    TAKE1("CLIBridgeProgram", cmd_program, ANY,
          "the backend's program"),
    AP_INIT_ITERATE("CLIBridgeArg", cmd_arg, NULL, ANY,
          "more arguments for the program"),
    AP_INIT_TAKE2("CLIBridgeEnv", cmd_env, NULL, ANY,
          "a variable of the program's environment"),
    AP_INIT_TAKE2("CLIBridgeEnvFile", cmd_env_file, NULL, ANY,
          "a variable whose value is read from a file"),
    AP_INIT_ITERATE("CLIBridgeModels", cmd_models, NULL, ANY,
          "names and patterns of the backend's models"),
    TAKE1("CLIBridgeHome", cmd_home, ANY,
          "HOME of the program, where its login lives"),
    TAKE1("CLIBridgeReuse", cmd_reuse, ANY,
          "a command serves one request (none) or many (lines)"),
    AP_INIT_TAKE_ARGV("CLIBridgeWarm", cmd_warm, NULL, ANY,
          "none, periodic, persistent or adaptive, with min=, max= and "
          "refresh="),
    { NULL }
};
