/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the same over and over, on several connections at once, and measures
 * each answer from the write of the request to the read of its last byte:
 *
 *   load http  CONNECTIONS MS REQUEST PORT          one keep-alive connection
 *   load pipes CONNECTIONS MS REQUEST PROGRAM...    one process: "by hand"
 *
 * REQUEST is a file with the very bytes to send. Prints
 *
 *   requests R failed F seconds S p50 US p95 US p99 US lines L
 *
 * lines counting what ended with a line feed, in all answers.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST 64
#define TIMES 2000000

typedef struct {
    int in, out;                 /* one socket, or two pipes */
    long long since;             /* when it asked */
    char head[4096];             /* the beginning of an answer of HTTP */
    size_t len;                  /* of the answer so far */
    char tail[16];               /* its end */
} conn_t;

static char *request;
static size_t request_len;
static conn_t conns[MOST];
static unsigned times[TIMES];
static size_t ntimes, failed;
static unsigned long long lines;

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(2);
}

static long long now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void take_request(const char *name)
{
    FILE *file = fopen(name, "r");
    size_t size = 0;

    if (file == NULL) {
        die(name);
    }
    request_len = (size_t)getdelim(&request, &size, EOF, file);
    fclose(file);
}

static void open_http(conn_t *c, const char *port)
{
    struct sockaddr_in to = { .sin_family = AF_INET };
    int on = 1;

    to.sin_port = htons((unsigned short)atoi(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->in = c->out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(c->in, (struct sockaddr *)&to, sizeof(to)) != 0) {
        die("connect");
    }
    setsockopt(c->in, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void open_pipes(conn_t *c, char *const *argv)
{
    int in[2], out[2];

    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) {
        die("pipe");
    }
    switch (fork()) {
    case -1:
        die("fork");
    case 0:
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(in[0], 0);
        dup2(out[1], 1);
        execv(argv[0], argv);
        die(argv[0]);
    }
    close(in[0]);
    close(out[1]);
    fcntl(out[0], F_SETPIPE_SZ, 1024 * 1024);
    c->in = in[1];
    c->out = out[0];
}

static void ask(conn_t *c)
{
    size_t done = 0;

    c->len = 0;
    c->since = now_us();
    while (done < request_len) {
        ssize_t n = write(c->in, request + done, request_len - done);

        if (n < 0) {
            die("write");
        }
        done += (size_t)n;
    }
}

static int ends_with(const conn_t *c, const char *end)
{
    size_t len = strlen(end);

    return c->len >= len
        && memcmp(c->tail + sizeof(c->tail) - len, end, len) == 0;
}

/* @return 1 when the answer is whole */
static int is_whole(const conn_t *c, int http)
{
    const char *body, *length;

    if (!http) {
        return ends_with(c, "{\"done\":true}\n");
    }
    if ((body = strstr(c->head, "\r\n\r\n")) == NULL) {
        return 0;
    }
    length = strcasestr(c->head, "\r\nContent-Length:");
    return length != NULL && length < body
         ? c->len == (size_t)(body + 4 - c->head)
                     + strtoul(length + strlen("\r\nContent-Length:"), NULL,
                               10)
         : ends_with(c, "\r\n0\r\n\r\n");
}

static void take(conn_t *c, const char *data, size_t n)
{
    size_t room = sizeof(c->tail), i;

    if (c->len < sizeof(c->head) - 1) {
        size_t left = sizeof(c->head) - 1 - c->len;

        left = left < n ? left : n;
        memcpy(c->head + c->len, data, left);
        c->head[c->len + left] = '\0';
    }
    c->len += n;
    if (n < room) {
        memmove(c->tail, c->tail + n, room - n);
        memcpy(c->tail + room - n, data, n);
    }
    else {
        memcpy(c->tail, data + n - room, room);
    }
    for (i = 0; i < n; i++) {
        lines += data[i] == '\n';
    }
}

/* Reads what is there. @return 1 when the answer is whole */
static int hear(conn_t *c, int http)
{
    static char data[256 * 1024];
    ssize_t n = read(c->out, data, sizeof(data));

    if (n <= 0) {
        fprintf(stderr, "load: the other end closed\n");
        exit(1);
    }
    take(c, data, (size_t)n);
    if (!is_whole(c, http)) {
        return 0;
    }
    if (ntimes < TIMES) {
        times[ntimes++] = (unsigned)(now_us() - c->since);
    }
    failed += http && strncmp(c->head, "HTTP/1.1 200 ", 13) != 0;
    return 1;
}

/* Every connection asks again as soon as it was answered, until the time is
 * over and the last answer is there. */
static void run(int n, long long until, int http)
{
    struct pollfd set[MOST];
    int i, open = n;

    for (i = 0; i < n; i++) {
        set[i].fd = conns[i].out;
        set[i].events = POLLIN;
        ask(&conns[i]);
    }
    while (open > 0) {
        /* one alone can as well wait in its read */
        if (n > 1 && poll(set, (nfds_t)n, 10000) <= 0) {
            fprintf(stderr, "load: no answer\n");
            exit(1);
        }
        for (i = 0; i < n; i++) {
            if (set[i].fd < 0 || (n > 1 && set[i].revents == 0)
                || !hear(&conns[i], http)) {
                continue;
            }
            if (now_us() < until) {
                ask(&conns[i]);
            }
            else {
                set[i].fd = -1;
                open--;
            }
        }
    }
}

static int by_value(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    long long start;
    int n, i, http;

    if (argc < 6 || (n = atoi(argv[2])) < 1 || n > MOST) {
        fprintf(stderr, "usage: load http|pipes CONNECTIONS MS REQUEST "
                "PORT|PROGRAM...\n");
        return 2;
    }
    http = strcmp(argv[1], "http") == 0;
    take_request(argv[4]);
    for (i = 0; i < n; i++) {
        if (http) {
            open_http(&conns[i], argv[5]);
        }
        else {
            open_pipes(&conns[i], argv + 5);
        }
    }
    start = now_us();
    run(n, start + atoi(argv[3]) * 1000LL, http);
    start = now_us() - start;
    qsort(times, ntimes, sizeof(*times), by_value);
    printf("requests %zu failed %zu seconds %.6f p50 %u p95 %u p99 %u "
           "lines %llu\n", ntimes, failed, (double)start / 1e6,
           times[ntimes / 2], times[ntimes * 95 / 100],
           times[ntimes * 99 / 100], lines);
    return 0;
}
