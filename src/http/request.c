/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request on one of our paths from its arrival on: its id, the key that must
 * not reach a log, and refusals by core and other modules, which must be JSON
 * too: an HTML page is what SDKs show as "Unexpected token <".
 */
#include "request.h"

#include "reply.h"

#include <apr_general.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <scoreboard.h>
#include <string.h>

extern module AP_MODULE_DECLARE_DATA clibridge_module;

#define HANDLER "clibridge"
#define FILTER "CLIBRIDGE_REFUSAL"

/* Statuses for which an ErrorDocument must not lead away from JSON. */
static const int refusals[] = {
    400, 401, 403, 404, 405, 406, 408, 411, 413, 414, 415, 417, 422, 426,
    429, 431, 500, 501, 502, 503, 504
};

clb_request_t *clb_request(request_rec *r)
{
    clb_request_t *req = ap_get_module_config(r->request_config,
                                              &clibridge_module);

    if (req == NULL) {
        req = apr_pcalloc(r->pool, sizeof(*req));
        ap_set_module_config(r->request_config, &clibridge_module, req);
    }
    return req;
}

/* What SetHandler says here; it is an expression since httpd 2.4.13. */
static const char *configured_handler(request_rec *r)
{
    const core_dir_config *core = r->per_dir_config == NULL ? NULL
        : ap_get_core_module_config(r->per_dir_config);
    const char *why = NULL, *name;

    if (core == NULL || core->expr_handler == NULL) {
        return core == NULL ? NULL : core->handler;
    }
    name = ap_expr_str_exec(r, core->expr_handler, &why);
    return why == NULL ? name : NULL;
}

static int has_handler(request_rec *r)
{
    const char *name = r->handler != NULL ? r->handler
                                          : configured_handler(r);

    return name != NULL && strcmp(name, HANDLER) == 0;
}

static int is_run(request_rec *r)
{
    return r->uri != NULL
        && clb_route(r->uri, 1, r->pool).kind == CLB_ROUTE_RUN;
}

/* Below /v1 and so on where CLIBridge is on, and /run where that is on, too:
 * otherwise it may be somebody else's path. */
static int at_root(request_rec *r)
{
    return clb_server_conf(r->server)->enabled == 1
        && (clb_route_at_root(r->uri)
            || (r->per_dir_config != NULL && clb_dir_conf(r).run
                && is_run(r)));
}

int clb_request_is_ours(request_rec *r)
{
    return has_handler(r) || at_root(r);
}

const char *clb_request_version(request_rec *r)
{
    return apr_table_get(r->headers_in, "anthropic-version");
}

int clb_request_says(request_rec *r, const char *argument)
{
    char *copy = apr_pstrdup(r->pool, r->args), *part, *state;

    for (part = copy == NULL ? NULL : apr_strtok(copy, "&", &state);
         part != NULL; part = apr_strtok(NULL, "&", &state)) {
        if (strcmp(part, argument) == 0) {
            return 1;
        }
    }
    return 0;
}

clb_route_t clb_request_route(request_rec *r)
{
    const clb_request_t *req = clb_request(r);
    clb_route_t route = clb_route(r->uri, !req->handled, r->pool);

    if (route.dialect == NULL && clb_request_version(r) != NULL) {
        route.dialect = &clb_anthropic;
    }
    else if (route.dialect == NULL && req->google) {
        route.dialect = &clb_gemini;
    }
    else if (route.dialect == &clb_gemini_array
             && clb_request_says(r, "alt=sse")) {
        route.dialect = &clb_gemini_stream;
    }
    return route;
}

static const char *unique_id(apr_pool_t *pool)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char random[12];
    char *id = apr_palloc(pool, sizeof(random) * 2 + 1);
    apr_size_t i;

    apr_generate_random_bytes(random, sizeof(random));
    for (i = 0; i < sizeof(random); i++) {
        id[2 * i] = hex[random[i] >> 4];
        id[2 * i + 1] = hex[random[i] & 15];
    }
    id[2 * i] = '\0';
    return id;
}

static const char *request_id(apr_pool_t *pool)
{
    return apr_pstrcat(pool, "req_", unique_id(pool), NULL);
}

request_rec *clb_request_again(request_rec *r, apr_pool_t *pool)
{
    request_rec *again = apr_pmemdup(pool, r, sizeof(*r));
    clb_request_t *req;

    again->pool = pool;
    again->request_time = apr_time_now();
    again->status = HTTP_OK;
    again->headers_out = apr_table_make(pool, 4);
    again->err_headers_out = apr_table_make(pool, 4);
    again->notes = apr_table_make(pool, 8);
    again->request_config = ap_create_request_config(pool);
    req = clb_request(again);
    *req = *clb_request(r);
    req->id = request_id(pool);
    return again;
}

/* Take `key=…` out of a query string. @return the value, or NULL */
static char *cut_key(apr_pool_t *pool, const char *args, const char **rest)
{
    char *copy = apr_pstrdup(pool, args), *state, *part, *value = NULL;
    const char *kept = NULL;

    for (part = apr_strtok(copy, "&", &state); part != NULL;
         part = apr_strtok(NULL, "&", &state)) {
        if (strncmp(part, "key=", 4) == 0) {
            value = part + 4;
        }
        else {
            kept = kept == NULL ? part : apr_pstrcat(pool, kept, "&", part,
                                                     NULL);
        }
    }
    *rest = kept;
    return value;
}

/* The same URI with another query. */
static char *with_query(apr_pool_t *pool, const char *uri, const char *query)
{
    const char *mark = strchr(uri, '?');
    const char *path = mark == NULL ? uri
        : apr_pstrndup(pool, uri, (apr_size_t)(mark - uri));

    return query == NULL ? apr_pstrdup(pool, path)
                         : apr_pstrcat(pool, path, "?", query, NULL);
}

static const char *query_key(request_rec *r)
{
    const char *rest;
    char *value;

    if (r->args == NULL
        || (value = cut_key(r->pool, r->args, &rest)) == NULL) {
        return NULL;
    }
    r->args = (char *)rest;
    r->parsed_uri.query = (char *)rest;
    r->unparsed_uri = with_query(r->pool, r->unparsed_uri, rest);
    r->the_request = apr_pstrcat(r->pool, r->method, " ", r->unparsed_uri,
                                 r->protocol ? " " : "", r->protocol, NULL);
    /* mod_status may show the old one already */
    ap_update_child_status(r->connection->sbh, SERVER_BUSY_WRITE, r);
    ap_unescape_urlencoded(value);
    return value;
}

/* The four places of a key: the header of OpenAI's clients, Anthropic's,
 * Google's, and Google's query. */
static const char *presented_key(request_rec *r, int *google)
{
    const char *query = query_key(r), *value;

    *google = 0;
    value = apr_table_get(r->headers_in, "Authorization");
    if (value != NULL && strncasecmp(value, "Bearer ", 7) == 0) {
        for (value += 7; *value == ' '; value++) {
        }
        return value;
    }
    if ((value = apr_table_get(r->headers_in, "x-api-key")) != NULL) {
        return value;
    }
    value = apr_table_get(r->headers_in, "x-goog-api-key");
    *google = value != NULL || query != NULL;
    return value != NULL ? value : query;
}

/* What every answer says, refusals included. A cache does not know who may
 * have it. */
static void set_headers(request_rec *r, apr_table_t *headers)
{
    const clb_dialect_t *dialect = clb_request_route(r).dialect;

    apr_table_setn(headers, "x-request-id", clb_request(r)->id);
    if (dialect == &clb_anthropic || dialect == &clb_anthropic_count) {
        apr_table_setn(headers, "request-id", clb_request(r)->id);
    }
    apr_table_setn(headers, "Cache-Control", "no-store");
}

/* Known to be on one of our paths: the key goes before any log sees it, the
 * client learns the request's id, and no ErrorDocument leads away from JSON. */
static void adopt(request_rec *r)
{
    clb_request_t *req = clb_request(r);
    apr_size_t i;

    if (req->adopted) {
        return;
    }
    req->adopted = 1;
    req->handled = has_handler(r);
    req->id = request_id(r->pool);
    req->secret = presented_key(r, &req->google);
    if (req->secret == NULL && r->prev != NULL) {
        req->secret = clb_request(r->prev)->secret;
        req->google = clb_request(r->prev)->google;
    }
    set_headers(r, r->err_headers_out);
    apr_table_setn(r->notes, "clibridge-request-id", req->id);
    for (i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        ap_custom_response(r, refusals[i], "\"");
    }
}

int clb_request_arrive(request_rec *r)
{
    if (r->uri != NULL && clb_request_is_ours(r)) {
        adopt(r);
    }
    return DECLINED;
}

/* Browsers: an origin that CLIBridgeOrigin names may read answers. */
static void allow_origin(request_rec *r)
{
    const apr_array_header_t *origins = clb_dir_conf(r).origins;
    const char *origin = apr_table_get(r->headers_in, "Origin");
    int i;

    for (i = 0; origin != NULL && origins != NULL && i < origins->nelts;
         i++) {
        const char *allowed = APR_ARRAY_IDX(origins, i, const char *);

        if (strcmp(allowed, "*") == 0 || strcasecmp(allowed, origin) == 0) {
            apr_table_setn(r->err_headers_out, "Access-Control-Allow-Origin",
                           origin);
            apr_table_setn(r->err_headers_out, "Access-Control-Expose-Headers",
                           "x-request-id, request-id, x-clibridge-ignored, "
                           "retry-after");
            apr_table_mergen(r->err_headers_out, "Vary", "Origin");
            return;
        }
    }
}

int clb_request_locate(request_rec *r)
{
    if (clb_request_is_ours(r)) {
        adopt(r);
        clb_request(r)->handled = has_handler(r);
        allow_origin(r);
    }
    return DECLINED;
}

/* core refuses %2F in a path; escaped once more it arrives in r->uri as the
 * client wrote it, and the model's route decodes it. */
int clb_request_slashes(request_rec *r)
{
    char *path = r->parsed_uri.path, *at;
    clb_buf_t out;

    if (path == NULL || strstr(path, "/models/") == NULL
        || ap_strcasestr(path, "%2f") == NULL || !clb_request_is_ours(r)) {
        return DECLINED;
    }
    clb_buf_init(&out, r->pool, strlen(path) * 2);
    while ((at = ap_strcasestr(path, "%2f")) != NULL) {
        clb_buf_add(&out, path, (apr_size_t)(at - path));
        clb_buf_puts(&out, "%252F");
        path = at + 3;
    }
    clb_buf_puts(&out, path);
    /* core decodes the one in place and takes it for the other */
    r->uri = r->parsed_uri.path = out.data;
    return DECLINED;
}

int clb_request_no_file(request_rec *r)
{
    return at_root(r) ? OK : DECLINED;
}

int clb_request_no_type(request_rec *r)
{
    if (!clb_request_is_ours(r)) {
        return DECLINED;
    }
    if (r->handler == NULL) {
        /* else mod_dir's FallbackResource answers */
        r->handler = HANDLER;
    }
    return OK;
}

/* Replaces whatever page another module wrote by the error as JSON. */
static apr_status_t refusal_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    request_rec *r = f->r;
    apr_bucket_brigade *own;
    const char *body;

    if (f->ctx != NULL) {
        apr_brigade_cleanup(bb);
        return APR_SUCCESS;
    }
    f->ctx = r;
    body = clb_reply_refusal(r);
    ap_set_content_type(r, "application/json");
    /* core drops err_headers_out when it fails to read a body */
    set_headers(r, r->headers_out);
    apr_table_unset(r->headers_out, "Content-Length");
    apr_table_unset(r->headers_out, "Content-Encoding");
    own = apr_brigade_create(r->pool, f->c->bucket_alloc);
    if (!r->header_only) {
        apr_brigade_puts(own, NULL, NULL, body);
        ap_set_content_length(r, (apr_off_t)strlen(body));
    }
    APR_BRIGADE_INSERT_TAIL(own,
                            apr_bucket_eos_create(f->c->bucket_alloc));
    apr_brigade_cleanup(bb);
    return ap_pass_brigade(f->next, own);
}

void clb_request_register(void)
{
    ap_register_output_filter(FILTER, refusal_filter, NULL,
                              AP_FTYPE_CONTENT_SET);
}

/* /run is not on, and nobody else has it. */
static int nobodys_run(request_rec *r)
{
    return r->status == HTTP_NOT_FOUND
        && clb_server_conf(r->server)->enabled == 1 && is_run(r);
}

void clb_request_refused(request_rec *r)
{
    if (r->status >= 400 && r->uri != NULL
        && (clb_request_is_ours(r) || nobodys_run(r))) {
        adopt(r);
        ap_add_output_filter(FILTER, NULL, r, r->connection);
    }
}
