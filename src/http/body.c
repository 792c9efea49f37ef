/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading request bodies, by brigades: the older interface hides errors.
 */
#include "body.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <util_filter.h>

static apr_status_t too_large(request_rec *r, apr_off_t max,
                              clb_error_t *error)
{
    return clb_error_set(error, r->pool, CLB_TOO_LARGE, NULL, "the request "
                         "is larger than the %" APR_OFF_T_FMT " bytes this "
                         "server takes (CLIBridgeMaxBody)", max);
}

static apr_status_t check_length(request_rec *r, apr_off_t max,
                                 clb_error_t *error)
{
    const char *length = apr_table_get(r->headers_in, "Content-Length");
    apr_off_t n;

    if (length != NULL && ap_parse_strict_length(&n, length) && n > max) {
        return too_large(r, max, error);
    }
    return APR_SUCCESS;
}

static apr_status_t unreadable(request_rec *r, apr_status_t rv,
                               clb_error_t *error)
{
    switch (ap_map_http_request_error(rv, HTTP_BAD_REQUEST)) {
    case HTTP_REQUEST_ENTITY_TOO_LARGE:
        return clb_error_set(error, r->pool, CLB_TOO_LARGE, NULL, "the "
                             "request is larger than this server takes "
                             "(LimitRequestBody)");
    case HTTP_REQUEST_TIME_OUT:
        return clb_error_set(error, r->pool, CLB_TIMEOUT_BODY, NULL, "the "
                             "request came too slowly (RequestReadTimeout)");
    default:
        return clb_error_set(error, r->pool, CLB_BAD_REQUEST, NULL,
                             "the request's body cannot be read");
    }
}

/* Append the data of one brigade. @return 1 at the end of the body */
static int append(apr_bucket_brigade *bb, clb_buf_t *body, apr_off_t max)
{
    apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t len;

        if (APR_BUCKET_IS_EOS(b)) {
            return 1;
        }
        if (!APR_BUCKET_IS_METADATA(b)
            && apr_bucket_read(b, &data, &len, APR_BLOCK_READ)
               == APR_SUCCESS) {
            clb_buf_add(body, data, len);
            if ((apr_off_t)body->len > max) {
                return 0;
            }
        }
    }
    return 0;
}

static apr_status_t read_all(request_rec *r, apr_off_t max, clb_buf_t *body,
                             clb_error_t *error)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool,
                                                r->connection->bucket_alloc);
    apr_status_t rv;
    int end = 0;

    while (!end) {
        rv = ap_get_brigade(r->input_filters, bb, AP_MODE_READBYTES,
                            APR_BLOCK_READ, HUGE_STRING_LEN);
        if (rv != APR_SUCCESS) {
            return unreadable(r, rv, error);
        }
        end = append(bb, body, max);
        apr_brigade_cleanup(bb);
        if ((apr_off_t)body->len > max) {
            return too_large(r, max, error);
        }
    }
    return APR_SUCCESS;
}

static apr_status_t parse(request_rec *r, const clb_buf_t *body,
                          clb_json_t **json, clb_error_t *error)
{
    const char *why, *encoding;

    if (body->len == 0) {
        return clb_error_set(error, r->pool, CLB_BAD_REQUEST, NULL,
                             "the request has no body");
    }
    if (clb_json_parse(json, body->data, body->len, CLB_JSON_STRICT, &why,
                       r->pool) != APR_SUCCESS) {
        /* a filter that undoes it takes the header away */
        encoding = apr_table_get(r->headers_in, "Content-Encoding");
        return clb_error_set(error, r->pool, CLB_BAD_REQUEST, NULL,
                             "the body is not valid JSON: %s%s", why,
                             encoding == NULL ? "" : "; nothing here undoes "
                             "its Content-Encoding");
    }
    return clb_json_is_object(*json) ? APR_SUCCESS
         : clb_error_set(error, r->pool, CLB_BAD_REQUEST, NULL,
                         "the body must be a JSON object");
}

apr_status_t clb_body_read(request_rec *r, apr_off_t max, clb_json_t **json,
                           clb_error_t *error)
{
    apr_pool_t *pool;
    clb_buf_t body;
    apr_status_t rv;

    if ((rv = check_length(r, max, error)) != APR_SUCCESS) {
        return rv;
    }
    /* the text is not needed for as long as the turn takes */
    apr_pool_create(&pool, r->pool);
    clb_buf_init(&body, pool, HUGE_STRING_LEN);
    rv = read_all(r, max, &body, error);
    if (rv == APR_SUCCESS) {
        rv = parse(r, &body, json, error);
    }
    apr_pool_destroy(pool);
    return rv;
}
