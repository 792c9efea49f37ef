/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_STUB_H
#define CLB_STUB_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <poll.h>

/**
 * A small HTTP/1.1 server on loopback for a CLI that is tried out: it answers
 * what it was told to and keeps what it was asked. Any user of the machine may
 * connect, so it only listens to those who know the secret in its URL.
 *
 * It never blocks, has no clock and no thread: a poll loop watches its
 * descriptors and lets it work.
 */
typedef struct clb_stub_t clb_stub_t;

/** Connections at once, and requests kept. */
#define CLB_STUB_CONNECTIONS 8
#define CLB_STUB_REQUESTS 16

/** Room that clb_stub_watch() needs. */
#define CLB_STUB_FDS (1 + CLB_STUB_CONNECTIONS)

/** Largest head of a request, and largest request. */
#define CLB_STUB_HEAD_MAX (32 * 1024)
#define CLB_STUB_MAX (1024 * 1024)

/** A request of one who knows the secret. */
typedef struct clb_stub_request_t {
    const char *method;
    const char *path;         /**< with its query, without the secret */
    const char *body;         /**< NUL-terminated, chunks joined */
    apr_size_t len;
} clb_stub_request_t;

/** Start to listen on 127.0.0.1 at a free port. The stub lives until
 *  clb_stub_close() or the end of @a pool. */
apr_status_t clb_stub_open(clb_stub_t **stub, apr_pool_t *pool);

/** The port. */
int clb_stub_port(const clb_stub_t *stub);

/** http://127.0.0.1:PORT/SECRET, for nobody but the CLI. */
const char *clb_stub_url(const clb_stub_t *stub);

/**
 * Answer requests of @a method for @a path, whatever their query, with 200 and
 * @a body; both are copied. Every HEAD gets an empty 200, all else a 404.
 */
void clb_stub_answer(clb_stub_t *stub, const char *method, const char *path,
                     const char *type, const char *body);

/** Put the descriptors to poll into @a set. @return how many, at most
 *  @a room */
int clb_stub_watch(const clb_stub_t *stub, struct pollfd *set, int room);

/** Accept, read and answer as far as that goes without blocking. */
void clb_stub_work(clb_stub_t *stub);

/** What came so far, oldest first, of clb_stub_request_t: the first
 *  CLB_STUB_REQUESTS of it. Lives as long as the stub. */
const apr_array_header_t *clb_stub_requests(const clb_stub_t *stub);

/** Close all connections and free everything. */
void clb_stub_close(clb_stub_t *stub);

/**
 * A request in a buffer that grows. Zeroed before its first byte; offsets, so
 * that the buffer may move.
 */
typedef struct clb_stub_parser_t {
    apr_size_t seen;          /**< bytes that were looked at */
    apr_size_t head;          /**< length of the head, 0 = not all there */
    apr_size_t method_len;    /**< the method is at the beginning */
    apr_size_t path;          /**< where the path is */
    apr_size_t path_len;
    apr_size_t body_len;      /**< the body is behind the head */
    apr_size_t length;        /**< Content-Length */
    int sized;                /**< there was a Content-Length */
    int chunked;
    int expects;              /**< 100-continue */
    int closes;               /**< no request comes after this one */
} clb_stub_parser_t;

/**
 * Go on with a request.
 * @param data all of it so far; chunks are joined in place
 * @return APR_SUCCESS when it is complete: parser->seen is where the next
 *         begins; APR_EAGAIN when more must come; APR_EINVAL when it is not a
 *         request or too large
 */
apr_status_t clb_stub_parse(clb_stub_parser_t *parser, char *data,
                            apr_size_t len);

#endif
