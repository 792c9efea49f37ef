/* SPDX-License-Identifier: Apache-2.0 */
/* The server on loopback, with this program as its clients. */
#include "tap.h"

#include "../../src/proc/stub.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <apr_time.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE apr_time_from_sec(20)

static apr_pool_t *pool;
static clb_stub_t *stub;
static const char *secret;

/* --- one client ---------------------------------------------------------- */

typedef struct peer_t {
    int fd;
    char *text;               /* what it heard */
    apr_size_t len;
    apr_size_t size;
    int closed;
} peer_t;

static void open_stub(void)
{
    if (clb_stub_open(&stub, pool) != APR_SUCCESS) {
        abort();
    }
    secret = strrchr(clb_stub_url(stub), '/') + 1;
    clb_stub_answer(stub, "POST", "/v1/messages", "text/event-stream",
                    "event: x\ndata: {}\n\n");
}

static void turn(void)
{
    struct pollfd set[CLB_STUB_FDS];
    int n = clb_stub_watch(stub, set, CLB_STUB_FDS);

    poll(set, (nfds_t)n, 10);
    clb_stub_work(stub);
}

static peer_t *dial(void)
{
    peer_t *peer = apr_pcalloc(pool, sizeof(*peer));
    struct sockaddr_in address = { 0 };

    peer->size = 16 << 20;
    peer->text = malloc(peer->size);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((unsigned short)clb_stub_port(stub));
    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(peer->fd, (struct sockaddr *)&address, sizeof(address))) {
        diag("connect: %s", strerror(errno));
    }
    fcntl(peer->fd, F_SETFL, O_NONBLOCK);
    return peer;
}

static void hang_up(peer_t *peer)
{
    close(peer->fd);
    free(peer->text);
    peer->text = NULL;
}

static void listen_up(peer_t *peer)
{
    ssize_t n;

    while (!peer->closed && peer->len + 1 < peer->size) {
        n = recv(peer->fd, peer->text + peer->len,
                 peer->size - peer->len - 1, 0);
        if (n < 0 && errno == EAGAIN) {
            break;
        }
        peer->closed = n <= 0;
        peer->len += n > 0 ? (apr_size_t)n : 0;
    }
    peer->text[peer->len] = '\0';
}

/* 1 when all of an answer is there. */
static int answered(const peer_t *peer)
{
    const char *end = strstr(peer->text, "\r\n\r\n");
    const char *length = strstr(peer->text, "Content-Length: ");

    return end != NULL
        && (length == NULL || length > end
            || peer->len >= (apr_size_t)(end + 4 - peer->text)
                          + (apr_size_t)atol(length + 16));
}

static void say(peer_t *peer, const char *data, apr_size_t len)
{
    apr_time_t end = apr_time_now() + PATIENCE;

    while (len > 0 && apr_time_now() < end) {
        ssize_t n = send(peer->fd, data, len, MSG_NOSIGNAL);

        if (n > 0) {
            data += n;
            len -= (apr_size_t)n;
        }
        else if (errno == EAGAIN) {
            turn();
        }
        else {
            return;           /* it was thrown out */
        }
    }
}

/* The next answer; the connection's end is one, too. */
static void hear(peer_t *peer)
{
    apr_time_t end = apr_time_now() + PATIENCE;

    peer->len = 0;
    do {
        turn();
        listen_up(peer);
    } while (!peer->closed && !answered(peer) && apr_time_now() < end);
}

static int heard(peer_t *peer, const char *status)
{
    return strncmp(peer->text, apr_pstrcat(pool, "HTTP/1.1 ", status, "\r\n",
                                           NULL), strlen(status) + 11) == 0;
}

static int ends(peer_t *peer)
{
    apr_time_t end = apr_time_now() + PATIENCE;

    while (!peer->closed && apr_time_now() < end) {
        turn();
        listen_up(peer);
    }
    return peer->closed;
}

static const clb_stub_request_t *kept(int i)
{
    const apr_array_header_t *all = clb_stub_requests(stub);

    return i < all->nelts ? &APR_ARRAY_IDX(all, i, clb_stub_request_t) : NULL;
}

/* With @ for the secret. */
static const char *filled(const char *text)
{
    const char *at = strchr(text, '@');

    return at == NULL ? text : apr_pstrcat(pool, apr_pstrmemdup(pool, text,
        (apr_size_t)(at - text)), secret, at + 1, NULL);
}

/* --- what is answered ---------------------------------------------------- */

#define POST "POST /@/v1/messages HTTP/1.1\r\n"
#define EVENT "event: x\ndata: {}\n\n"

static const struct {
    const char *name;
    const char *text;
    const char *status;
    const char *answer;       /* NULL = the error */
    const char *method;       /* of what is kept; NULL = nothing */
    const char *path;
    const char *body;
    int closes;
} asked[] = {
    { "a length", POST "content-length:  5 \r\nHost: x\r\n\r\nhello",
      "200 OK", EVENT, "POST", "/v1/messages", "hello", 0 },
    { "no body", POST "\r\n",
      "200 OK", EVENT, "POST", "/v1/messages", "", 0 },
    { "a query", "POST /@/v1/messages?beta=true HTTP/1.1\r\n\r\n",
      "200 OK", EVENT, "POST", "/v1/messages?beta=true", "", 0 },
    { "chunks", POST "Transfer-Encoding: Chunked\r\n\r\n"
      "5\r\nhello\r\n00a\r\n, my \r\nfri\r\n3\r\nend\r\n0\r\n\r\n",
      "200 OK", EVENT, "POST", "/v1/messages", "hello, my \r\nfriend", 0 },
    { "the end of the connection", POST "Connection: Close\r\n\r\n",
      "200 OK", EVENT, "POST", "/v1/messages", "", 1 },
    { "HTTP/1.0", "POST /@/v1/messages HTTP/1.0\r\n\r\n",
      "200 OK", EVENT, "POST", "/v1/messages", "", 1 },
    { "HEAD of nothing", "HEAD /@ HTTP/1.1\r\n\r\n",
      "200 OK", "", "HEAD", "", "", 0 },
    { "HEAD of something", "HEAD /@/v1/messages HTTP/1.1\r\n\r\n",
      "200 OK", "", "HEAD", "/v1/messages", "", 0 },
    { "another method", "GET /@/v1/messages HTTP/1.1\r\n\r\n",
      "404 Not Found", NULL, "GET", "/v1/messages", "", 0 },
    { "another path", "POST /@/v1/messages/count HTTP/1.1\r\n"
      "Content-Length: 2\r\n\r\n{}",
      "404 Not Found", NULL, "POST", "/v1/messages/count", "{}", 0 },
    { "a shorter path", "POST /@/v1 HTTP/1.1\r\n\r\n",
      "404 Not Found", NULL, "POST", "/v1", "", 0 },

    { "no secret", "POST /v1/messages HTTP/1.1\r\n\r\n",
      "404 Not Found", NULL, NULL, NULL, NULL, 1 },
    { "no secret, HEAD", "HEAD / HTTP/1.1\r\n\r\n",
      "404 Not Found", NULL, NULL, NULL, NULL, 1 },
    { "no secret, a body to come", "POST /v1 HTTP/1.1\r\n"
      "Content-Length: 1000\r\n\r\n",
      "404 Not Found", NULL, NULL, NULL, NULL, 1 },
    { "another secret", "HEAD /0123456789abcdef0123456789abcdef/ HTTP/1.1"
      "\r\n\r\n", "404 Not Found", NULL, NULL, NULL, NULL, 1 },
    { "more than the secret", "HEAD /@0 HTTP/1.1\r\n\r\n",
      "404 Not Found", NULL, NULL, NULL, NULL, 1 },
    { "another beginning", "HEAD x@/ HTTP/1.1\r\n\r\n",
      "404 Not Found", NULL, NULL, NULL, NULL, 1 },
    { "a proxy's work", "CONNECT example.com:443 HTTP/1.1\r\n\r\n",
      "404 Not Found", NULL, NULL, NULL, NULL, 1 },

#define BAD "400 Bad Request", NULL, NULL, NULL, NULL, 1
    { "garbage", "\x16\x03\x01\r\n\r\n", BAD },
    { "an empty line first", "\r\n\r\n", BAD },
    { "a method in small letters", "get /@/ HTTP/1.1\r\n\r\n", BAD },
    { "a long method", "ABCDEFGHIJKLMNOPQ /@/ HTTP/1.1\r\n\r\n", BAD },
    { "another version", "HEAD /@/ HTTP/2.0\r\n\r\n", BAD },
    { "HTTP/0.9", "HEAD /@/\r\n\r\n", BAD },
    { "an umlaut in the path", "HEAD /@/\xc3\xbc HTTP/1.1\r\n\r\n", BAD },
    { "two blanks", "HEAD  /@/ HTTP/1.1\r\n\r\n", BAD },
    { "line feeds alone", "HEAD /@/ HTTP/1.1\nA: b\r\n\r\n", BAD },
    { "a line feed alone", POST "A: b\nB: c\r\n\r\n", BAD },
    { "a folded field", POST "A: b\r\n c\r\n\r\n", BAD },
    { "a field without a name", POST ": b\r\n\r\n", BAD },
    { "a field without a colon", POST "A\r\n\r\n", BAD },
    { "a blank before the colon", POST "A : b\r\n\r\n", BAD },
    { "a control character", POST "A: \x01\r\n\r\n", BAD },
    { "two lengths", POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
      BAD },
    { "a list of lengths", POST "Content-Length: 1, 1\r\n\r\nx", BAD },
    { "a length below zero", POST "Content-Length: -1\r\n\r\n", BAD },
    { "a length with a sign", POST "Content-Length: +1\r\n\r\nx", BAD },
    { "no length", POST "Content-Length:\r\n\r\n", BAD },
    { "a length beyond the limit", POST "Content-Length: 1048576\r\n\r\n",
      BAD },
    { "a length that overflows",
      POST "Content-Length: 18446744073709551617\r\n\r\nx", BAD },
    { "a length and chunks", POST "Content-Length: 1\r\n"
      "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD },
    { "chunks twice", POST "Transfer-Encoding: chunked\r\n"
      "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD },
    { "another encoding", POST "Transfer-Encoding: gzip, chunked\r\n\r\n",
      BAD },
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
    { "a chunk without a size", CHUNKED "\r\n", BAD },
    { "a chunk of size x", CHUNKED "x\r\n", BAD },
    { "a chunk longer than its size", CHUNKED "1\r\nab\r\n", BAD },
    { "an extension", CHUNKED "1;a=b\r\nx\r\n", BAD },
    { "a trailer", CHUNKED "0\r\nA: b\r\n\r\n", BAD },
    { "a chunk beyond the limit", CHUNKED "100000\r\n", BAD },
    { "a chunk whose size overflows", CHUNKED "fffffffff\r\n", BAD },
    { "a chunk whose size wraps", CHUNKED "10000000000000005\r\nhello\r\n"
      "0\r\n\r\n", BAD },
    { "a chunk of 4 GiB", CHUNKED "ffffffff\r\n", BAD },
};

/* In two pieces: the second comes when the first was looked at. */
static void exchange(int i, apr_size_t split, int *wrong)
{
    const char *text = filled(asked[i].text);
    const clb_stub_request_t *request;
    apr_size_t len = strlen(text);
    const char *body;
    peer_t *peer;
    int good;

    peer = dial();
    say(peer, text, split);
    turn();
    say(peer, text + split, len - split);
    hear(peer);
    body = strstr(peer->text, "\r\n\r\n");
    good = heard(peer, asked[i].status) && body != NULL
        && (asked[i].answer != NULL ? strcmp(body + 4, asked[i].answer) == 0
            : strstr(body, "{\"type\":\"error\"") != NULL)
        && (strstr(peer->text, "Connection: close\r\n") != NULL)
           == asked[i].closes
        && clb_stub_requests(stub)->nelts == (asked[i].method != NULL);
    request = kept(0);
    if (good && request != NULL) {
        good = strcmp(request->method, asked[i].method) == 0
            && strcmp(request->path, asked[i].path) == 0
            && strcmp(request->body, asked[i].body) == 0
            && request->len == strlen(asked[i].body);
    }
    if (good && asked[i].closes) {
        good = ends(peer);
    }
    if (!good && ++*wrong == 1) {
        diag("%s, split at %d: %s", asked[i].name, (int)split, peer->text);
    }
    hang_up(peer);
}

static void exchanges(void)
{
    apr_pool_t *parent = pool;
    int i;

    for (i = 0; i < (int)(sizeof(asked) / sizeof(*asked)); i++) {
        int wrong = 0;
        apr_size_t split, end = 1;

        for (split = 0; split < end && wrong == 0; split++) {
            apr_pool_create(&pool, parent);
            open_stub();
            /* strangers may be thrown out before all was said */
            end = asked[i].method == NULL ? 1 : strlen(filled(asked[i].text));
            exchange(i, split, &wrong);
            apr_pool_destroy(pool);
        }
        ok(wrong == 0, "%s", asked[i].name);
    }
    pool = parent;
}

static void by_bytes(void)
{
    const char *text;
    peer_t *peer;

    open_stub();
    text = filled(CHUNKED "5\r\nhello\r\n0\r\n\r\n");
    peer = dial();
    for (; *text != '\0'; text++) {
        say(peer, text, 1);
        turn();
    }
    hear(peer);
    ok(heard(peer, "200 OK") && strcmp(kept(0)->body, "hello") == 0,
       "byte by byte");
    hang_up(peer);
    clb_stub_close(stub);
}

static void several(void)
{
    const char *text;
    peer_t *peer;
    int i;

    open_stub();
    peer = dial();
    text = filled(POST "Content-Length: 1\r\n\r\na");
    say(peer, text, strlen(text));
    hear(peer);
    ok(heard(peer, "200 OK"), "a first request");
    text = filled(POST "Content-Length: 1\r\n\r\nb");
    say(peer, text, strlen(text));
    hear(peer);
    ok(heard(peer, "200 OK") && kept(1) != NULL
       && strcmp(kept(1)->body, "b") == 0, "a second on its connection");
    text = apr_pstrcat(pool, filled(POST "Content-Length: 1\r\n\r\nc"),
                       filled("HEAD /@ HTTP/1.1\r\nConnection: close\r\n\r\n"),
                       filled(POST "\r\n"), NULL);
    say(peer, text, strlen(text));
    ok(ends(peer), "one that wanted the end has it");
    is_int(clb_stub_requests(stub)->nelts, 4, "two at once are two");
    is_str(kept(3)->method, "HEAD", "in their order; nothing after the end");
    hang_up(peer);

    peer = dial();
    for (i = 4; i < 6; i++) {
        text = filled(POST "Expect: 100-continue\r\n"
                      "Content-Length: 2\r\n\r\n");
        say(peer, text, strlen(text));
        hear(peer);
        is_str(peer->text, "HTTP/1.1 100 Continue\r\n\r\n",
               "who asks may go on");
        turn();
        listen_up(peer);
        is_str(peer->text, "HTTP/1.1 100 Continue\r\n\r\n",
               "and is told once");
        say(peer, "hi", 2);
        hear(peer);
        ok(heard(peer, "200 OK") && kept(i) != NULL
           && strcmp(kept(i)->body, "hi") == 0, "the body comes");
    }
    hang_up(peer);
    clb_stub_close(stub);
}

/* --- limits -------------------------------------------------------------- */

static void largest(void)
{
    const char *head;
    apr_size_t size;
    char *body;
    peer_t *peer;

    open_stub();
    head = filled(POST "Content-Length: ");
    size = CLB_STUB_MAX - strlen(head) - strlen("1048xxx\r\n\r\n");
    body = malloc(size + 1);
    memset(body, 'x', size);
    body[size] = '\0';
    peer = dial();
    head = apr_psprintf(pool, "%s%d\r\n\r\n", head, (int)size);
    say(peer, head, strlen(head));
    say(peer, body, size);
    hear(peer);
    ok(heard(peer, "200 OK") && kept(0)->len == size
       && strcmp(kept(0)->body, body) == 0, "a request of a megabyte");
    hang_up(peer);

    peer = dial();
    say(peer, filled("HEAD /@/"), strlen(filled("HEAD /@/")));
    say(peer, body, CLB_STUB_HEAD_MAX);
    hear(peer);
    ok(heard(peer, "400 Bad Request") || peer->closed, "an endless path ends");
    ok(ends(peer), "with its connection");
    hang_up(peer);

    peer = dial();
    head = filled(CHUNKED);
    say(peer, head, strlen(head));
    for (size = 0; size < CLB_STUB_MAX && !peer->closed; size += 60000) {
        static const char chunk[] = "1\r\nx\r\n1\r\nx\r\n1\r\nx\r\n";
        char *many = malloc(60000);
        apr_size_t i;

        for (i = 0; i < 60000; i++) {
            many[i] = chunk[i % 18];
        }
        say(peer, many, 60000 / 18 * 18);
        free(many);
        turn();
        listen_up(peer);
    }
    ok(ends(peer), "endless small chunks end");
    is_int(clb_stub_requests(stub)->nelts, 1, "nothing of it is kept");
    hang_up(peer);
    free(body);
    clb_stub_close(stub);
}

static void crowd(void)
{
    peer_t *idle[3 * CLB_STUB_CONNECTIONS], *known[CLB_STUB_CONNECTIONS];
    const char *text;
    peer_t *peer;
    int i, open = 0, good = 0;

    open_stub();
    text = filled("HEAD /@ HTTP/1.1\r\n\r\n");
    for (i = 0; i < 3 * CLB_STUB_CONNECTIONS; i++) {
        idle[i] = dial();
        say(idle[i], text, (apr_size_t)(i % 30));
        turn();
    }
    for (i = 0; i < 3 * CLB_STUB_CONNECTIONS; i++) {
        turn();
        listen_up(idle[i]);
        open += !idle[i]->closed;
    }
    is_int(open, CLB_STUB_CONNECTIONS, "so many may wait");
    ok(idle[0]->closed && !idle[i - 1]->closed, "the last that came");
    for (i = 0; i < CLB_STUB_CONNECTIONS; i++) {
        known[i] = dial();
        say(known[i], text, strlen(text));
        hear(known[i]);
        good += heard(known[i], "200 OK");
    }
    is_int(good, CLB_STUB_CONNECTIONS, "they give way to who speaks");
    for (i = 0; i < 3 * CLB_STUB_CONNECTIONS; i++) {
        good -= !ends(idle[i]);
        hang_up(idle[i]);
    }
    is_int(good, CLB_STUB_CONNECTIONS, "all of them");
    peer = dial();
    ok(ends(peer), "one too many is turned away");
    hang_up(peer);
    for (i = 0; i < CLB_STUB_CONNECTIONS; i++) {
        say(known[i], text, strlen(text));
        hear(known[i]);
        good -= !heard(known[i], "200 OK");
    }
    is_int(good, CLB_STUB_CONNECTIONS, "not one who has the secret");
    is_int(clb_stub_requests(stub)->nelts, CLB_STUB_REQUESTS,
           "all requests are kept");
    say(known[0], text, strlen(text));
    hear(known[0]);
    ok(heard(known[0], "429 Too Many Requests") && ends(known[0]),
       "no more than that");
    is_int(clb_stub_requests(stub)->nelts, CLB_STUB_REQUESTS, "are kept");
    for (i = 0; i < CLB_STUB_CONNECTIONS; i++) {
        hang_up(known[i]);
    }
    clb_stub_close(stub);
}

/* One that does not read is waited for, and nobody with it. */
static void slow_reader(void)
{
    apr_time_t end = apr_time_now() + PATIENCE;
    apr_size_t size = 6 << 20;
    char *body = malloc(size + 1);
    struct pollfd set[CLB_STUB_FDS];
    peer_t *slow, *other;
    const char *text;
    int i, n, out = 0;

    memset(body, 'x', size);
    body[size] = '\0';
    open_stub();
    clb_stub_answer(stub, "GET", "/large", "text/plain", body);
    text = filled("GET /@/large HTTP/1.1\r\n\r\n");
    slow = dial();
    say(slow, text, strlen(text));
    say(slow, text, strlen(text));
    other = dial();
    text = filled(POST "\r\n");
    say(other, text, strlen(text));
    hear(other);
    ok(heard(other, "200 OK"), "another is served");
    n = clb_stub_watch(stub, set, CLB_STUB_FDS);
    is_int(n, 3, "three descriptors to watch");
    for (i = 0; i < n; i++) {
        out += set[i].events == POLLOUT;
    }
    is_int(out, 1, "one of them until it can be written");
    is_int(clb_stub_watch(stub, set, 2), 2, "never more than there is room");
    while (slow->len < 2 * size && !slow->closed && apr_time_now() < end) {
        turn();
        listen_up(slow);
    }
    ok(answered(slow) && slow->len > 2 * size,
       "all of its answer comes, and the one after it");
    is_int(clb_stub_requests(stub)->nelts, 3, "three requests");
    hang_up(slow);
    hang_up(other);
    free(body);
    clb_stub_close(stub);
}

/* --- descriptors --------------------------------------------------------- */

static int lowest(void)
{
    int fd = dup(0);

    close(fd);
    return fd;
}

static void descriptors(void)
{
    struct sockaddr_in address;
    socklen_t len = sizeof(address);
    struct pollfd set[CLB_STUB_FDS];
    int free_fd = lowest(), i, n, kept_open = 0;
    const char *url, *first, *text;
    peer_t *peer;

    open_stub();
    url = clb_stub_url(stub);
    first = apr_pstrdup(pool, secret);
    is_str(url, apr_psprintf(pool, "http://127.0.0.1:%d/%s",
                             clb_stub_port(stub), secret), "the URL");
    ok(strlen(secret) == 32 && strspn(secret, "0123456789abcdef") == 32,
       "ends with 128 bits");
    peer = dial();
    text = filled("HEAD /@ HTTP/1.1\r\n\r\n");
    say(peer, text, strlen(text));
    hear(peer);
    n = clb_stub_watch(stub, set, CLB_STUB_FDS);
    is_int(n, 2, "a listener and a connection");
    for (i = 0; i < n; i++) {
        kept_open += (fcntl(set[i].fd, F_GETFD) & FD_CLOEXEC) == 0
                  || (fcntl(set[i].fd, F_GETFL) & O_NONBLOCK) == 0;
    }
    is_int(kept_open, 0, "both non-blocking and closed on exec");
    getsockname(set[0].fd, (struct sockaddr *)&address, &len);
    ok(address.sin_addr.s_addr == htonl(INADDR_LOOPBACK),
       "nobody else can connect");
    clb_stub_close(stub);
    listen_up(peer);
    ok(peer->closed, "the end closes all");
    hang_up(peer);
    is_int(lowest(), free_fd, "no descriptor is left");
    open_stub();
    ok(strcmp(first, secret) != 0, "another has another secret");
    peer = dial();
    say(peer, "HEAD", 4);
    turn();
    close(peer->fd);
    turn();
    turn();
    is_int(clb_stub_watch(stub, set, CLB_STUB_FDS), 1,
           "who goes in the middle is forgotten");
    free(peer->text);
    clb_stub_close(stub);
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    descriptors();
    exchanges();
    by_bytes();
    several();
    largest();
    crowd();
    slow_reader();
    return tap_done();
}
