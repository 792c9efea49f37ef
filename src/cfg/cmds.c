/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of directives: name, function, where it may stand, one line of
 * help.
 */
#include "cmds.h"

#define ANY RSRC_CONF
#define DIR (RSRC_CONF | ACCESS_CONF)
#define TAKE1(name, fn, where, help) \
    AP_INIT_TAKE1(name, fn, NULL, where, help)

const command_rec clb_commands[] = {
    TAKE1("CLIBridgeUser", clb_cmd_user, ANY,
          "the user who runs the CLIs when httpd starts as root"),
    TAKE1("CLIBridgeStateDir", clb_cmd_state_dir, ANY,
          "a directory for homes and scratch files of CLIs"),
    TAKE1("CLIBridgeSlots", clb_cmd_slots, ANY,
          "running turns, in all or of a backend"),
    AP_INIT_TAKE12("CLIBridgeQueue", clb_cmd_queue, NULL, ANY,
          "waiting turns, and timeout=seconds until one gives up"),
    TAKE1("CLIBridgeProcesses", clb_cmd_processes, ANY,
          "the most CLI processes at once"),
    TAKE1("CLIBridgeMemory", clb_cmd_memory, ANY,
          "the most memory of all CLI processes, or off"),
    AP_INIT_TAKE12("CLIBridgeSockets", clb_cmd_sockets, NULL, ANY,
          "the most WebSockets, or off, and idle=seconds until one is closed"),
    AP_INIT_TAKE_ARGV("CLIBridgeStore", clb_cmd_store, NULL, ANY,
          "answers that are kept for their clients, or off, with size= and "
          "days="),
    AP_INIT_FLAG("CLIBridge", clb_cmd_enable, NULL, ANY,
          "answer /v1, /v1beta and /health in this virtual host"),
    TAKE1("CLIBridgeKeyFile", clb_cmd_key_file, ANY,
          "the file with the digests of clients' keys"),
    AP_INIT_TAKE2("CLIBridgeAlias", clb_cmd_alias, NULL, ANY,
          "another name for a model, and the model"),
    TAKE1("CLIBridgeDefaultModel", clb_cmd_default_model, ANY,
          "the model of requests that name none"),
    TAKE1("CLIBridgeDefaultBackend", clb_cmd_default_backend, ANY,
          "the backend of models that no backend lists"),
    AP_INIT_ITERATE("CLIBridgeTimeout", clb_cmd_timeout, NULL, DIR,
          "first=, idle=, turn= and write= in seconds"),
    TAKE1("CLIBridgeKeepAlive", clb_cmd_keep_alive, DIR,
          "seconds between signs of life on a silent stream"),
    TAKE1("CLIBridgeMaxBody", clb_cmd_max_body, DIR,
          "the largest request"),
    TAKE1("CLIBridgeMaxAnswer", clb_cmd_max_answer, DIR,
          "the largest answer"),
    TAKE1("CLIBridgeAnonymous", clb_cmd_anonymous, DIR,
          "who may ask without a key: off, loopback or on"),
    TAKE1("CLIBridgeUnsupported", clb_cmd_unsupported, DIR,
          "parameters a CLI cannot honour: ignore, warn or reject"),
    TAKE1("CLIBridgeReasoning", clb_cmd_reasoning, DIR,
          "where clients find the model's reasoning: field, tags or off"),
    AP_INIT_ITERATE("CLIBridgeOrigin", clb_cmd_origin, NULL, DIR,
          "origins whose pages may use the API, or *"),
    AP_INIT_RAW_ARGS("<CLIBridgeBackend", clb_cmd_backend, NULL, ANY,
          "a CLI"),
    AP_INIT_RAW_ARGS("<CLIBridgeAccount", clb_cmd_account, NULL, ANY,
          "a login of a backend"),
    TAKE1("CLIBridgeDriver", clb_cmd_driver, ANY,
          "the protocol the backend's program speaks"),
    TAKE1("CLIBridgeProgram", clb_cmd_program, ANY,
          "the backend's program"),
    AP_INIT_ITERATE("CLIBridgeArg", clb_cmd_arg, NULL, ANY,
          "more arguments for the program"),
    AP_INIT_TAKE2("CLIBridgeEnv", clb_cmd_env, NULL, ANY,
          "a variable of the program's environment"),
    AP_INIT_TAKE2("CLIBridgeEnvFile", clb_cmd_env_file, NULL, ANY,
          "a variable whose value is read from a file"),
    AP_INIT_ITERATE("CLIBridgeModels", clb_cmd_models, NULL, ANY,
          "names and patterns of the backend's models"),
    AP_INIT_ITERATE("CLIBridgeTools", clb_cmd_tools, NULL, ANY,
          "tools of the program's own that it may use: web, or their names"),
    TAKE1("CLIBridgeHome", clb_cmd_home, ANY,
          "HOME of the program, where its login lives"),
    TAKE1("CLIBridgeReuse", clb_cmd_reuse, ANY,
          "a command serves one request (none) or many (lines)"),
    AP_INIT_TAKE_ARGV("CLIBridgeWarm", clb_cmd_warm, NULL, ANY,
          "none, periodic, persistent or adaptive, with min=, max= and "
          "refresh="),
    AP_INIT_TAKE12("CLIBridgePark", clb_cmd_park, NULL, ANY,
          "processes that stay with their conversation, or off, and timeout="),
    TAKE1("CLIBridgeUntested", clb_cmd_untested, ANY,
          "a program that is not known to behave: warn or refuse"),
    { NULL }
};
