/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asks, and may they. Fails closed: a Location without any Require is open
 * to httpd, but not to the handler.
 */
#include "auth.h"

#include <apr_hash.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <ap_provider.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_auth.h>
#include <string.h>

#define AUTH_TYPE "CLIBridge"

static int loopback_address(const apr_sockaddr_t *address)
{
    const unsigned char *b = address->ipaddr_ptr;
    static const unsigned char mapped[12] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff
    };
    static const unsigned char one[16] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1
    };

    if (address->ipaddr_len == 4) {
        return b[0] == 127;
    }
    return address->ipaddr_len == 16
        && (memcmp(b, one, sizeof(one)) == 0
            || (memcmp(b, mapped, sizeof(mapped)) == 0 && b[12] == 127));
}

/* Behind a proxy on this machine everybody's address is 127.0.0.1. */
static int forwarded(request_rec *r)
{
    static const char *const headers[] = {
        "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP",
        "Via", NULL
    };
    int i;

    for (i = 0; headers[i] != NULL; i++) {
        if (apr_table_get(r->headers_in, headers[i]) != NULL) {
            return 1;
        }
    }
    return 0;
}

static int from_loopback(request_rec *r)
{
    return loopback_address(r->useragent_addr)
        && loopback_address(r->connection->client_addr) && !forwarded(r);
}

/* "127.example.org" is a name like any other. */
static int loopback_name(const char *host)
{
    return strcasecmp(host, "localhost") == 0
        || (strncmp(host, "127.", 4) == 0
            && host[strspn(host, "0123456789.")] == '\0')
        || strcmp(host, "::1") == 0
        || strcmp(host, "[::1]") == 0;
}

/* A name this server is configured to have; a web page may give its own name
 * the address 127.0.0.1 (DNS rebinding). */
static int known_host(request_rec *r)
{
    const apr_array_header_t *names = r->server->names;
    int i;

    if (r->hostname == NULL) {
        return 0;
    }
    if (loopback_name(r->hostname)
        || (r->server->server_hostname != NULL
            && strcasecmp(r->hostname, r->server->server_hostname) == 0)) {
        return 1;
    }
    for (i = 0; names != NULL && i < names->nelts; i++) {
        if (strcasecmp(r->hostname, APR_ARRAY_IDX(names, i, char *)) == 0) {
            return 1;
        }
    }
    return 0;
}

/* A browser names the page that asks; only pages of this very host may. */
static int foreign_origin(request_rec *r)
{
    const char *origin = apr_table_get(r->headers_in, "Origin");
    apr_uri_t uri;

    if (origin == NULL) {
        return 0;
    }
    return apr_uri_parse(r->pool, origin, &uri) != APR_SUCCESS
        || uri.hostname == NULL
        || (!loopback_name(uri.hostname)
            && (r->hostname == NULL
                || strcasecmp(uri.hostname, r->hostname) != 0));
}

int clb_is_local(request_rec *r)
{
    return from_loopback(r) && known_host(r) && !foreign_origin(r);
}

/* A form of a web page can send anything but this type without asking, and a
 * type it always sends. */
static int json_body(request_rec *r)
{
    const char *type = apr_table_get(r->headers_in, "Content-Type");
    const char *length = apr_table_get(r->headers_in, "Content-Length");
    int empty = (length == NULL || strcmp(length, "0") == 0)
        && apr_table_get(r->headers_in, "Transfer-Encoding") == NULL;

    return r->method_number != M_POST
        || (type == NULL ? empty
                         : strncasecmp(type, "application/json", 16) == 0);
}

static int anonymous_allowed(request_rec *r)
{
    switch (clb_dir_conf(r).anonymous) {
    case CLB_ANONYMOUS_ON:
        return 1;
    case CLB_ANONYMOUS_LOOPBACK:
        return clb_keys_count(clb_server_conf(r->server)->keys) == 0
            && clb_is_local(r) && json_body(r);
    default:
        return 0;
    }
}

/* A key is needed, and there is none, or a wrong one. */
static apr_status_t need_key(request_rec *r, clb_request_t *req)
{
    if (req->secret != NULL) {
        return clb_error_set(&req->error, r->pool, CLB_AUTH_INVALID, NULL,
                             "the API key is not valid here");
    }
    return clb_error_set(&req->error, r->pool, CLB_AUTH_MISSING, NULL,
                         "no API key was given: send it as 'Authorization: "
                         "Bearer KEY'");
}

static apr_status_t identify(request_rec *r, clb_request_t *req)
{
    const clb_keys_t *keys = clb_server_conf(r->server)->keys;
    const char *type = ap_auth_type(r);

    if (req->secret != NULL) {
        req->key = clb_keys_find(keys, req->secret);
        if (req->key != NULL) {
            r->user = apr_pstrdup(r->pool, req->key->name);
            r->ap_auth_type = AUTH_TYPE;
            return APR_SUCCESS;
        }
    }
    if (r->user != NULL && type != NULL && strcasecmp(type, AUTH_TYPE) != 0) {
        return APR_SUCCESS;
    }
    /* SDKs always send some key; where none exists it means nothing */
    if ((req->secret == NULL || clb_keys_count(keys) == 0)
        && anonymous_allowed(r)) {
        req->anonymous = 1;
        return APR_SUCCESS;
    }
    return need_key(r, req);
}

apr_status_t clb_identify(request_rec *r)
{
    clb_request_t *req = clb_request(r);

    if (!req->identified || req->error.kind != CLB_OK) {
        req->identified = 1;
        req->anonymous = 0;
        req->error.kind = CLB_OK;
        return identify(r, req);
    }
    return APR_SUCCESS;
}

int clb_may(request_rec *r, unsigned scope)
{
    clb_request_t *req = clb_request(r);
    unsigned has;

    if (clb_identify(r) != APR_SUCCESS) {
        return 0;
    }
    has = req->key != NULL ? req->key->scopes : CLB_SCOPE_CHAT;
    if ((has & scope) != scope && req->anonymous) {
        need_key(r, req);
        return 0;
    }
    if ((has & scope) != scope) {
        clb_error_set(&req->error, r->pool, CLB_FORBIDDEN, NULL,
                      "the API key may not do this");
        return 0;
    }
    return 1;
}

/* CORS knows nothing of WebSockets: a browser opens one for any page, with what
 * else it has to show who its user is, and lets the page read. */
int clb_is_foreign_page(request_rec *r)
{
    return clb_request(r)->key == NULL && foreign_origin(r)
        && apr_table_get(r->err_headers_out, "Access-Control-Allow-Origin")
           == NULL;
}

int clb_is_admin(request_rec *r)
{
    return clb_is_local(r) || (clb_request(r)->secret != NULL
                               && clb_may(r, CLB_SCOPE_ADMIN));
}

int clb_needs_key(request_rec *r)
{
    int anonymous = clb_dir_conf(r).anonymous;

    return anonymous == CLB_ANONYMOUS_OFF
        || (anonymous == CLB_ANONYMOUS_LOOPBACK
            && clb_keys_count(clb_server_conf(r->server)->keys) > 0);
}

static apr_uint64_t hash(const char *text)
{
    apr_ssize_t len = APR_HASH_KEY_STRING;

    return apr_hashfunc_default(text, &len);
}

apr_uint64_t clb_fairness_key(request_rec *r)
{
    return r->user != NULL ? hash(r->user)
         : hash(r->useragent_ip) | (apr_uint64_t)1 << 32;
}

const char *clb_owner(request_rec *r)
{
    const clb_request_t *req = clb_request(r);

    if (req->key != NULL) {
        return apr_pstrcat(r->pool, "key ", req->secret, NULL);
    }
    if (r->user != NULL) {
        const char *realm = ap_auth_name(r);

        return apr_pstrcat(r->pool, "user ", r->server->server_hostname, " ",
                           realm == NULL ? "" : realm, " ", r->user, NULL);
    }
    return apr_pstrcat(r->pool, "peer ", r->useragent_ip, NULL);
}

static int check_authn(request_rec *r)
{
    const char *type = ap_auth_type(r);

    if (type == NULL || strcasecmp(type, AUTH_TYPE) != 0) {
        return DECLINED;
    }
    return clb_identify(r) == APR_SUCCESS ? OK : HTTP_UNAUTHORIZED;
}

/* A browser asks without a key what it may send with one. The handler tells it
 * that and nothing more. */
static int pass_preflight(request_rec *r)
{
    return r->method_number == M_OPTIONS && clb_request_is_ours(r)
           && r->proxyreq == PROXYREQ_NONE ? OK : DECLINED;
}

static authz_status check_scope(request_rec *r, const char *line,
                                const void *parsed)
{
    clb_request_t *req = clb_request(r);

    if (clb_may(r, *(const unsigned *)parsed)) {
        return AUTHZ_GRANTED;
    }
    /* httpd would go on to ask for the name of who has none */
    return req->error.kind == CLB_FORBIDDEN || req->anonymous
         ? AUTHZ_DENIED : AUTHZ_DENIED_NO_USER;
}

static const char *parse_scope(cmd_parms *cmd, const char *line,
                               const void **parsed)
{
    unsigned *scopes = apr_palloc(cmd->pool, sizeof(*scopes));

    *scopes = clb_scopes_parse(line, cmd->temp_pool);
    *parsed = scopes;
    return *scopes != 0 ? NULL
         : "Require clibridge-scope: needs scopes: " CLB_SCOPES;
}

static const authz_provider scope_provider = { check_scope, parse_scope };

void clb_auth_register(apr_pool_t *pool)
{
    ap_hook_check_access_ex(pass_preflight, NULL, NULL, APR_HOOK_FIRST,
                            AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_check_authn(check_authn, NULL, NULL, APR_HOOK_MIDDLE,
                        AP_AUTH_INTERNAL_PER_CONF);
    ap_register_auth_provider(pool, AUTHZ_PROVIDER_GROUP, "clibridge-scope",
                              AUTHZ_PROVIDER_VERSION, &scope_provider,
                              AP_AUTH_INTERNAL_PER_CONF);
}
