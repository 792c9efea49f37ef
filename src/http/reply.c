/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole responses and their errors.
 */
#include "reply.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <string.h>

APLOG_USE_MODULE(clibridge);

const clb_dialect_t *clb_reply_dialect(request_rec *r)
{
    const clb_dialect_t *dialect = clb_request_route(r).dialect;

    return dialect != NULL ? dialect : &clb_openai_chat;
}

int clb_reply_json(request_rec *r, int status, const char *body,
                   apr_size_t len)
{
    r->status = status;
    r->status_line = NULL;
    ap_set_content_type(r, "application/json");
    ap_set_content_length(r, (apr_off_t)len);
    if (!r->header_only) {
        ap_rwrite(body, (int)len, r);
    }
    return OK;
}

void clb_reply_now(request_rec *r, const char *body, apr_size_t len)
{
    apr_bucket_alloc_t *alloc = r->connection->bucket_alloc;
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, alloc);

    r->connection->keepalive = AP_CONN_CLOSE;
    ap_set_content_type(r, "application/json");
    ap_set_content_length(r, (apr_off_t)len);
    apr_brigade_write(bb, NULL, NULL, body, len);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(alloc));
    ap_pass_brigade(r->output_filters, bb);
    /* filters of the request have more to say at its end, the last chunk for
     * one, and pass nothing on that comes behind */
    apr_brigade_cleanup(bb);
    ap_fflush(r->connection->output_filters, bb);
}

/* SDKs retry after this many seconds; 0 would be at once. */
static void set_retry_after(apr_table_t *headers, apr_pool_t *pool,
                            const clb_error_t *error)
{
    apr_int64_t seconds = (error->retry_after + APR_USEC_PER_SEC - 1)
                        / APR_USEC_PER_SEC;
    int status = clb_error_info(error->kind)->status;

    if (seconds > 0 || status == 429 || status == 503) {
        apr_table_setn(headers, "Retry-After", apr_psprintf(pool,
            "%" APR_INT64_T_FMT, seconds > 0 ? seconds : 5));
    }
}

static void set_headers(request_rec *r, const clb_error_t *error)
{
    set_retry_after(r->err_headers_out, r->pool, error);
    /* a refusal by another kind of authentication has its own challenge */
    if (clb_error_info(error->kind)->status == 401
        && apr_table_get(r->headers_out, "WWW-Authenticate") == NULL) {
        apr_table_setn(r->err_headers_out, "WWW-Authenticate",
                       "Bearer realm=\"clibridge\"");
    }
    apr_table_setn(r->notes, "clibridge-error",
                   clb_error_info(error->kind)->name);
}

int clb_reply_error(request_rec *r, const clb_dialect_t *dialect,
                    const clb_error_t *error)
{
    const clb_error_info_t *info = clb_error_info(error->kind);
    clb_buf_t body;

    if (r->eos_sent) {
        /* httpd itself answered while we read the request's body */
        return AP_FILTER_ERROR;
    }
    clb_buf_init(&body, r->pool, 512);
    if (dialect == NULL) {
        dialect = clb_reply_dialect(r);
    }
    dialect->error_body(&body, error, clb_request(r)->id);
    set_headers(r, error);
    if (info->status == 413 || info->status == 401) {
        /* the rest of the body is not worth reading */
        r->connection->keepalive = AP_CONN_CLOSE;
    }
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, "request %s: %s",
                  clb_request(r)->id, info->name);
    return clb_reply_json(r, info->status, body.data, body.len);
}

const char *clb_reply_refusal(request_rec *r)
{
    clb_request_t *req = clb_request(r);
    clb_error_t error = req->error;
    clb_buf_t body;

    if (error.kind == CLB_OK
        || clb_error_info(error.kind)->status != r->status) {
        const char *line = ap_get_status_line(r->status);

        memset(&error, 0, sizeof(error));
        error.kind = clb_error_of_status(r->status);
        error.message = apr_pstrcat(r->pool, "the server refused the "
                                    "request: ", line, NULL);
    }
    set_headers(r, &error);
    clb_buf_init(&body, r->pool, 512);
    clb_reply_dialect(r)->error_body(&body, &error, req->id);
    return body.data;
}

apr_status_t clb_reply_flush(request_rec *r, apr_bucket_brigade *bb,
                             clb_buf_t *out)
{
    apr_status_t rv;

    apr_brigade_write(bb, NULL, NULL, out->data, out->len);
    clb_buf_reset(out);
    /* in the same brigade as the data: filters set a lone flush aside */
    APR_BRIGADE_INSERT_TAIL(bb,
        apr_bucket_flush_create(r->connection->bucket_alloc));
    rv = ap_pass_brigade(r->output_filters, bb);
    apr_brigade_cleanup(bb);
    return rv != APR_SUCCESS ? rv
         : r->connection->aborted ? APR_ECONNABORTED : APR_SUCCESS;
}
