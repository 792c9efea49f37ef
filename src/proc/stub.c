/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server on loopback for a CLI that is tried out. Whoever connects may be
 * anybody: until a peer has shown the secret it costs a connection and its
 * head, and it is the one that goes when another needs the connection.
 */
#include "stub.h"

#include "../core/text.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* 128 bits in hex */
#define SECRET_LEN 32

#define READ_SIZE (16 * 1024)

typedef struct answer_t {
    const char *method;
    const char *path;
    const char *type;
    const char *body;
} answer_t;

typedef struct connection_t {
    int fd;                   /* -1 = free */
    apr_pool_t *pool;
    apr_uint64_t order;       /* when it was accepted */
    clb_buf_t in;
    clb_buf_t out;
    apr_size_t sent;          /* of out */
    clb_stub_parser_t parser;
    int known;                /* it showed the secret */
    int continued;            /* it was told to go on with its body */
    int closing;              /* after what is in out */
} connection_t;

struct clb_stub_t {
    apr_pool_t *pool;
    int fd;
    int port;
    int full;                 /* accepting failed for want of something */
    apr_uint64_t accepted;
    char secret[SECRET_LEN + 1];
    const char *url;
    apr_array_header_t *answers;
    apr_array_header_t *requests;
    connection_t connections[CLB_STUB_CONNECTIONS];
};

/* --- opening and closing ------------------------------------------------- */

static void drop(connection_t *c)
{
    if (c->fd >= 0) {
        close(c->fd);
        apr_pool_destroy(c->pool);
        c->fd = -1;
    }
}

static apr_status_t cleanup(void *data)
{
    clb_stub_t *stub = data;
    int i;

    for (i = 0; i < CLB_STUB_CONNECTIONS; i++) {
        if (stub->connections[i].fd >= 0) {
            close(stub->connections[i].fd);
        }
    }
    if (stub->fd >= 0) {
        close(stub->fd);
    }
    return APR_SUCCESS;
}

static apr_status_t make_secret(clb_stub_t *stub)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[SECRET_LEN / 2];
    apr_status_t rv = apr_generate_random_bytes(bytes, sizeof(bytes));
    int i;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (i = 0; i < SECRET_LEN; i++) {
        stub->secret[i] = digits[bytes[i / 2] >> (i % 2 ? 0 : 4) & 15];
    }
    return APR_SUCCESS;
}

static apr_status_t start(clb_stub_t *stub)
{
    struct sockaddr_in address = { 0 };
    socklen_t len = sizeof(address);

    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    stub->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (stub->fd < 0
        || bind(stub->fd, (struct sockaddr *)&address, len) != 0
        || listen(stub->fd, CLB_STUB_CONNECTIONS) != 0
        || getsockname(stub->fd, (struct sockaddr *)&address, &len) != 0) {
        return errno;
    }
    stub->port = ntohs(address.sin_port);
    return APR_SUCCESS;
}

apr_status_t clb_stub_open(clb_stub_t **out, apr_pool_t *parent)
{
    clb_stub_t *stub;
    apr_pool_t *pool;
    apr_status_t rv;
    int i;

    apr_pool_create(&pool, parent);
    stub = apr_pcalloc(pool, sizeof(*stub));
    stub->pool = pool;
    stub->fd = -1;
    for (i = 0; i < CLB_STUB_CONNECTIONS; i++) {
        stub->connections[i].fd = -1;
    }
    stub->answers = apr_array_make(pool, 4, sizeof(answer_t));
    stub->requests = apr_array_make(pool, CLB_STUB_REQUESTS,
                                    sizeof(clb_stub_request_t));
    apr_pool_cleanup_register(pool, stub, cleanup, apr_pool_cleanup_null);
    if ((rv = make_secret(stub)) != APR_SUCCESS
        || (rv = start(stub)) != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return rv;
    }
    stub->url = apr_psprintf(pool, "http://127.0.0.1:%d/%s", stub->port,
                             stub->secret);
    *out = stub;
    return APR_SUCCESS;
}

void clb_stub_close(clb_stub_t *stub)
{
    apr_pool_destroy(stub->pool);
}

int clb_stub_port(const clb_stub_t *stub)
{
    return stub->port;
}

const char *clb_stub_url(const clb_stub_t *stub)
{
    return stub->url;
}

void clb_stub_answer(clb_stub_t *stub, const char *method, const char *path,
                     const char *type, const char *body)
{
    answer_t *answer = apr_array_push(stub->answers);

    answer->method = apr_pstrdup(stub->pool, method);
    answer->path = apr_pstrdup(stub->pool, path);
    answer->type = apr_pstrdup(stub->pool, type);
    answer->body = apr_pstrdup(stub->pool, body);
}

const apr_array_header_t *clb_stub_requests(const clb_stub_t *stub)
{
    return stub->requests;
}

/* --- answering ----------------------------------------------------------- */

static void put(connection_t *c, const char *status, const char *type,
                const char *body)
{
    clb_buf_puts(&c->out, apr_psprintf(c->pool, "HTTP/1.1 %s\r\n"
        "Content-Type: %s\r\nContent-Length: %" APR_SIZE_T_FMT "\r\n"
        "Connection: %s\r\n\r\n", status, type, strlen(body),
        c->closing ? "close" : "keep-alive"));
    clb_buf_puts(&c->out, body);
}

static void refuse(connection_t *c, const char *status, const char *type)
{
    put(c, status, "application/json", apr_psprintf(c->pool,
        "{\"type\":\"error\",\"error\":{\"type\":\"%s\","
        "\"message\":\"%s\"}}", type, status));
}

/* The path behind the secret; NULL without it. How long that takes says
 * nothing about the secret. */
static const char *below(const clb_stub_t *stub, const char *path,
                         apr_size_t len)
{
    unsigned char wrong = 0;
    int i;

    if (len < 1 + SECRET_LEN || *path != '/') {
        return NULL;
    }
    for (i = 0; i < SECRET_LEN; i++) {
        wrong |= (unsigned char)(path[1 + i] ^ stub->secret[i]);
    }
    path += 1 + SECRET_LEN;
    len -= 1 + SECRET_LEN;
    return wrong == 0 && (len == 0 || *path == '/' || *path == '?') ? path
         : NULL;
}

static const answer_t *answer_for(const clb_stub_t *stub,
                                  const clb_stub_request_t *request)
{
    apr_size_t len = strcspn(request->path, "?");
    int i;

    for (i = 0; i < stub->answers->nelts; i++) {
        const answer_t *answer = &APR_ARRAY_IDX(stub->answers, i, answer_t);

        if (strcmp(answer->method, request->method) == 0
            && strlen(answer->path) == len
            && memcmp(answer->path, request->path, len) == 0) {
            return answer;
        }
    }
    return NULL;
}

static void respond(clb_stub_t *stub, connection_t *c, const char *path)
{
    const clb_stub_parser_t *p = &c->parser;
    const answer_t *canned;
    clb_stub_request_t *request;

    c->closing = p->closes;
    if (stub->requests->nelts == CLB_STUB_REQUESTS) {
        c->closing = 1;
        refuse(c, "429 Too Many Requests", "rate_limit_error");
        return;
    }
    request = apr_array_push(stub->requests);
    request->method = apr_pstrmemdup(stub->pool, c->in.data, p->method_len);
    request->path = apr_pstrmemdup(stub->pool, path, p->path_len
                        - (apr_size_t)(path - (c->in.data + p->path)));
    request->body = apr_pstrmemdup(stub->pool, c->in.data + p->head,
                                   p->body_len);
    request->len = p->body_len;
    if (strcmp(request->method, "HEAD") == 0) {
        put(c, "200 OK", "application/json", "");
    }
    else if ((canned = answer_for(stub, request)) != NULL) {
        put(c, "200 OK", canned->type, canned->body);
    }
    else {
        refuse(c, "404 Not Found", "not_found_error");
    }
}

/* --- reading ------------------------------------------------------------- */

/* Answers the request in the buffer if it is complete, or cannot become one
 * that we take. @return 1 when it said something */
static int digest(clb_stub_t *stub, connection_t *c)
{
    clb_stub_parser_t *p = &c->parser;
    apr_status_t rv = clb_stub_parse(p, c->in.data, c->in.len);
    const char *path = p->head == 0 ? NULL
        : below(stub, c->in.data + p->path, p->path_len);

    c->known |= path != NULL;
    if (rv == APR_EINVAL) {
        c->closing = 1;
        refuse(c, "400 Bad Request", "invalid_request_error");
    }
    else if (p->head > 0 && path == NULL) {
        c->closing = 1;
        refuse(c, "404 Not Found", "not_found_error");
    }
    else if (rv == APR_SUCCESS) {
        respond(stub, c, path);
        clb_buf_drop(&c->in, p->seen);
        memset(p, 0, sizeof(*p));
        c->continued = 0;
    }
    else if (p->expects && !c->continued) {
        c->continued = 1;
        clb_buf_puts(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    else {
        return 0;
    }
    return 1;
}

/* @return 0 when the connection is over */
static int flush(connection_t *c)
{
    while (c->sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent,
                         MSG_NOSIGNAL);

        if (n < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        c->sent += (apr_size_t)n;
    }
    clb_buf_reset(&c->out);
    c->sent = 0;
    return !c->closing;
}

/* A peer reads what it asked for before we read what it asks next.
 * @return 0 when the connection is over */
static int settle(clb_stub_t *stub, connection_t *c)
{
    while (flush(c)) {
        if (c->out.len > 0 || !digest(stub, c)) {
            return 1;
        }
    }
    return 0;
}

/* @return 0 when the connection is over */
static int talk(clb_stub_t *stub, connection_t *c)
{
    ssize_t n;

    if (!settle(stub, c)) {
        return 0;
    }
    if (c->out.len > 0) {
        return 1;
    }
    n = recv(c->fd, clb_buf_room(&c->in, READ_SIZE), READ_SIZE, 0);
    if (n <= 0) {
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    }
    c->in.len += (apr_size_t)n;
    return settle(stub, c);
}

/* --- the loop ------------------------------------------------------------ */

/* A free connection, or the oldest of those that have shown no secret. */
static connection_t *seat(clb_stub_t *stub)
{
    connection_t *oldest = NULL;
    int i;

    for (i = 0; i < CLB_STUB_CONNECTIONS; i++) {
        connection_t *c = &stub->connections[i];

        if (c->fd < 0) {
            return c;
        }
        if (!c->known && (oldest == NULL || c->order < oldest->order)) {
            oldest = c;
        }
    }
    if (oldest != NULL) {
        drop(oldest);
    }
    return oldest;
}

static void take(clb_stub_t *stub, int fd)
{
    connection_t *c = seat(stub);

    if (c == NULL) {
        close(fd);
        return;
    }
    memset(c, 0, sizeof(*c));
    c->fd = fd;
    c->order = stub->accepted++;
    apr_pool_create(&c->pool, stub->pool);
    clb_buf_init(&c->in, c->pool, READ_SIZE);
    clb_buf_init(&c->out, c->pool, 0);
}

/* A newcomer may speak before another takes its place. */
static void accept_some(clb_stub_t *stub)
{
    int i;

    stub->full = 0;
    for (i = 0; i < CLB_STUB_CONNECTIONS / 2; i++) {
        int fd = accept4(stub->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            take(stub, fd);
        }
        else if (errno != EINTR && errno != ECONNABORTED) {
            stub->full = errno != EAGAIN;
            return;
        }
    }
}

int clb_stub_watch(const clb_stub_t *stub, struct pollfd *set, int room)
{
    int i, n = 0;

    if (!stub->full && n < room) {      /* polling would not wait */
        set[n].fd = stub->fd;
        set[n++].events = POLLIN;
    }
    for (i = 0; i < CLB_STUB_CONNECTIONS && n < room; i++) {
        const connection_t *c = &stub->connections[i];

        if (c->fd >= 0) {
            set[n].fd = c->fd;
            set[n++].events = c->out.len > 0 ? POLLOUT : POLLIN;
        }
    }
    return n;
}

void clb_stub_work(clb_stub_t *stub)
{
    int i;

    accept_some(stub);
    for (i = 0; i < CLB_STUB_CONNECTIONS; i++) {
        connection_t *c = &stub->connections[i];

        if (c->fd >= 0 && !talk(stub, c)) {
            drop(c);
        }
    }
}
