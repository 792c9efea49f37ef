/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A turn as a worker runs it: one poll over the process's pipes, the lease
 * and the client. It waits there, in the sink while a slow client reads, and
 * for moments in what lease.c and table.c say they wait for.
 */
#include "turn.h"

#include "../core/line.h"
#include "../core/prefix.h"
#include "fill.h"

#include <apr_atomic.h>
#include <apr_strings.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* A client whose leaving cannot be polled for is asked this often. */
#define ASK_MS 50

/* Between the two signs of life of one tick. */
#define REPEAT apr_time_from_msec(100)

/* After the process's exit or the end of its stdout: for the other of both. */
#define EXIT_WAIT apr_time_from_sec(3)

/* After an answer: for the rest of a line. */
#define LINE_WAIT apr_time_from_msec(50)

/* Read at most this much before the client is looked at again. */
#define READ_ROUNDS 16

typedef struct run_t {
    clb_turn_t *turn;
    clb_lease_t *lease;
    const clb_backend_t *backend;
    const clb_driver_t *driver;
    apr_pool_t *event_pool;      /* cleared with each step */
    clb_line_t lines;
    clb_buf_t unsent;
    apr_size_t sent;             /* of unsent */
    int close_stdin;
    apr_time_t granted;
    apr_time_t alive;            /* last output of the CLI */
    apr_time_t ended;            /* exit or end of stdout, 0 = neither */
    int drained;                 /* the last read found nothing more */
    int eof;
    int exited;
    clb_msg_exited_t exit;
    int began;                   /* an event was passed on */
    int over;                    /* STOP or ERROR was passed on */
    clb_fate_e fate;
    int released;                /* the process was given back */
    int again;                   /* a parked process was dead: use another */
    int parks;                   /* the driver has CLB_PARKS */
    clb_prefix_t prefix;         /* of the conversation as it stands */
    clb_talk_t talk;             /* what is known before the last turn */
} run_t;

static void count_tool(run_t *run, const clb_event_t *event)
{
    if (event->kind == CLB_EV_NOTE && event->u.note.kind == CLB_NOTE_TOOL) {
        run->turn->tools++;
        apr_atomic_inc32(&run->turn->run->table.shared
                          ->backends[run->backend->id].tools);
    }
}

static void pass(run_t *run, const clb_event_t *event)
{
    clb_turn_t *turn = run->turn;
    apr_status_t rv;

    if (run->over || turn->left) {
        return;
    }
    count_tool(run, event);
    run->began = run->began || event->kind != CLB_EV_NOTE;
    rv = turn->sink.event(turn->sink.baton, event);
    turn->repeat = 0;
    if (event->kind == CLB_EV_STOP || event->kind == CLB_EV_ERROR
        || rv == APR_EOF) {
        run->over = 1;
    }
    else if (rv != APR_SUCCESS) {
        turn->left = 1;
    }
}

/* What the end of a turn says of the CLI's login. */
static void note_login(run_t *run, const clb_event_t *event)
{
    if (event->kind == CLB_EV_STOP) {
        run->lease->login = CLB_LOGIN_IN;
    }
    else if (event->kind == CLB_EV_ERROR
             && event->u.error.kind == CLB_LOGIN_REQUIRED) {
        run->lease->login = CLB_LOGIN_OUT;
    }
}

static void fail(run_t *run, clb_error_e kind, const char *message)
{
    clb_event_t event = { .kind = CLB_EV_ERROR };

    event.u.error.kind = kind;
    event.u.error.message = message;
    pass(run, &event);
}

static void write_some(run_t *run)
{
    clb_lease_t *lease = run->lease;

    while (lease->in >= 0 && run->sent < run->unsent.len) {
        ssize_t n = write(lease->in, run->unsent.data + run->sent,
                          run->unsent.len - run->sent);

        if (n > 0) {
            run->sent += (apr_size_t)n;
        }
        else if (n < 0 && errno == EAGAIN) {
            return;
        }
        else if (n < 0 && errno != EINTR) {
            /* it does not read; what it has to say comes on stdout */
            run->sent = run->unsent.len;
        }
    }
    clb_buf_reset(&run->unsent);
    run->sent = 0;
    if (run->close_stdin && lease->in >= 0) {
        close(lease->in);
        lease->in = -1;
    }
}

static void let_go(run_t *run, clb_fate_e fate)
{
    if (!run->released) {
        run->released = 1;
        clb_talk_t talk = { .held = run->parks };
        clb_prefix_t prefix = run->prefix;

        if (run->parks) {
            clb_prefix_answered(&prefix);
            clb_prefix_digest(&prefix, talk.digest);
        }
        clb_lease_release(run->lease, fate, clb_line_pending(&run->lines) > 0,
                          &talk);
    }
}

static void step(run_t *run, clb_input_t *in)
{
    clb_step_t *out;
    int i;

    apr_pool_clear(run->event_pool);
    out = clb_step_create(run->event_pool);
    in->backend = run->backend;
    in->chat = run->turn->chat;
    run->driver->step(run->lease->state, in, out);
    if (!clb_fill(out, run->lease->files, run->lease->nfiles)) {
        fail(run, CLB_OVERLOADED, "the server has no room for the request "
             "(CLIBridgeStateDir)");
    }
    clb_buf_add(&run->unsent, out->lines.data, out->lines.len);
    run->close_stdin = run->close_stdin || out->close_stdin;
    for (i = 0; i < out->events->nelts; i++) {
        note_login(run, &APR_ARRAY_IDX(out->events, i, clb_event_t));
    }
    if (out->fate == CLB_FATE_KILL) {
        /* before the client hears of it: it may be slow to listen */
        write_some(run);
        let_go(run, CLB_FATE_KILL);
    }
    for (i = 0; i < out->events->nelts; i++) {
        const clb_event_t *event = &APR_ARRAY_IDX(out->events, i, clb_event_t);

        if (run->parks) {
            clb_prefix_event(&run->prefix, event);
        }
        pass(run, event);
    }
    if (out->fate != CLB_FATE_NONE) {
        run->fate = out->fate;
        run->over = 1;
    }
}

static void take_lines(run_t *run)
{
    clb_input_t in = { .kind = CLB_IN_LINE };

    while (!run->over && !run->turn->left
           && clb_line_next(&run->lines, &in.data, &in.len) == APR_SUCCESS) {
        step(run, &in);
    }
}

/* Bytes as they come, for drivers whose CLIs print text. */
static void take_data(run_t *run)
{
    clb_input_t in = { .kind = CLB_IN_DATA };

    in.data = run->lines.buf.data;
    in.len = run->lines.buf.len;
    step(run, &in);
    clb_buf_reset(&run->lines.buf);
}

/* What was read together may go together. */
static void flush(run_t *run)
{
    clb_turn_t *turn = run->turn;

    if (!turn->left && turn->flush(turn->baton) != APR_SUCCESS) {
        turn->left = 1;
    }
}

/* @return 1 if there may be more to read */
static int read_once(run_t *run)
{
    apr_size_t room;
    char *data;
    ssize_t n;

    if (clb_line_space(&run->lines, &data, &room) != APR_SUCCESS) {
        fail(run, CLB_CLI_FAILED, "the CLI sent a line that is too long");
        run->fate = CLB_FATE_KILL;
        return 0;
    }
    n = read(run->lease->out, data, room);
    run->drained = n < 0 && errno != EINTR;
    if (n < 0) {
        return !run->drained;
    }
    run->alive = apr_time_now();
    if (n == 0) {
        run->eof = 1;
        run->ended = run->ended != 0 ? run->ended : run->alive;
        return 0;
    }
    clb_line_fill(&run->lines, (apr_size_t)n);
    if (run->driver->traits(run->backend) & CLB_RAW) {
        take_data(run);
    }
    else {
        take_lines(run);
    }
    flush(run);
    return (apr_size_t)n == room;
}

static void read_some(run_t *run)
{
    int rounds = READ_ROUNDS;

    while (rounds-- > 0 && !run->over && !run->turn->left
           && read_once(run)) {
    }
}

static void news(run_t *run)
{
    apr_status_t rv = clb_lease_news(run->lease, &run->exit);

    if (APR_STATUS_IS_EAGAIN(rv)) {
        return;
    }
    run->exited = 1;
    run->ended = run->ended != 0 ? run->ended : apr_time_now();
    if (rv != APR_SUCCESS) {
        /* the keeper's end is the end of all its CLIs */
        run->exit.status = CLB_EXIT_UNKNOWN;
        run->exit.tail[0] = '\0';
        close(run->lease->fd);
        run->lease->fd = -1;
    }
}

/* The process ended: wait a little until both its exit and the end of its
 * stdout are known, then let the driver say what that means. What it wrote
 * before comes first, however slowly the client takes it. */
static void check_end(run_t *run, apr_time_t now)
{
    clb_input_t in = { .kind = CLB_IN_EXIT };

    if (run->ended == 0 || run->over
        || (!(run->eof && run->exited)
            && (now < run->ended + EXIT_WAIT || !(run->eof || run->drained)))) {
        return;
    }
    if (run->lease->parked && !run->began) {
        run->over = run->again = 1;
        return;
    }
    in.status = run->exited ? run->exit.status : CLB_EXIT_UNKNOWN;
    in.data = run->exit.tail;
    in.len = strlen(in.data);
    step(run, &in);
    run->over = 1;
}

static void check_time(run_t *run, apr_time_t now)
{
    clb_turn_t *turn = run->turn;

    if (now > run->granted + turn->limits.turn) {
        fail(run, CLB_TIMEOUT_TURN, "the answer took longer than it may "
             "(CLIBridgeTimeout turn, or the request's own)");
    }
    else if (!run->began && now > run->granted + turn->limits.first) {
        fail(run, CLB_TIMEOUT_FIRST, "the model did not begin its answer in "
             "time (CLIBridgeTimeout first)");
    }
    else if (run->began && now > run->alive + turn->limits.idle) {
        fail(run, CLB_TIMEOUT_IDLE, "the model fell silent (CLIBridgeTimeout "
             "idle)");
    }
}

static apr_time_t next_tick(const clb_turn_t *turn)
{
    return turn->repeat != 0 ? turn->repeat : turn->told + turn->limits.tick;
}

/* Tell a silent client that somebody is there, and see whether it is. Said
 * twice: a proxy whose client left notices the second word it cannot pass on.
 */
static void check_client(clb_turn_t *turn, short revents)
{
    apr_time_t now = apr_time_now();

    if (revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)
        || turn->gone(turn->baton)) {
        turn->left = 1;
    }
    else if (turn->limits.tick > 0 && now >= next_tick(turn)) {
        turn->repeat = turn->repeat == 0 ? now + REPEAT : 0;
        turn->told = now;
        turn->left = turn->tick(turn->baton) != APR_SUCCESS;
    }
}

static int until(apr_time_t now, apr_time_t when, int ms)
{
    apr_time_t left = when > now ? (when - now + 999) / 1000 : 0;

    return left < ms ? (int)left : ms;
}

static int patience(const run_t *run)
{
    const clb_turn_t *turn = run->turn;
    apr_time_t now = apr_time_now();
    int ms = turn->client_fd < 0 ? ASK_MS : 60000;

    ms = until(now, run->granted + turn->limits.turn, ms);
    ms = until(now, run->began ? run->alive + turn->limits.idle
                    : run->granted + turn->limits.first, ms);
    if (turn->limits.tick > 0) {
        ms = until(now, next_tick(turn), ms);
    }
    if (run->ended != 0) {
        ms = until(now, run->ended + EXIT_WAIT, ms);
    }
    return ms + 1;
}

static void pump(run_t *run)
{
    clb_lease_t *lease = run->lease;
    clb_turn_t *turn = run->turn;

    while (!run->over && !turn->left) {
        int writing = run->unsent.len > run->sent;
        struct pollfd set[4] = {
            { run->eof ? -1 : lease->out, POLLIN, 0 },
            { writing ? lease->in : -1, POLLOUT, 0 },
            { run->exited ? -1 : lease->fd, POLLIN, 0 },
            { turn->client_fd, POLLRDHUP, 0 }
        };

        poll(set, 4, patience(run));
        if (set[1].revents != 0) {
            write_some(run);
        }
        if (set[0].revents != 0) {
            read_some(run);
        }
        if (run->unsent.len > run->sent && !writing) {
            write_some(run);
        }
        if (set[2].revents != 0) {
            news(run);
        }
        check_end(run, apr_time_now());
        check_time(run, apr_time_now());
        check_client(turn, set[3].revents);
    }
}

/* Lines that were read but not needed any more may still tell the driver that
 * the process is done, or ready to go on; not with a conversation that the
 * client knows another end of, because its answer was cut off. Who speaks
 * between turns is heard, too: the keeper is told of half a line alone. */
static int hears(const run_t *run)
{
    int chatty = run->driver->traits(run->backend) & CLB_CHATTY
              && (run->fate == CLB_FATE_CLEAN || run->fate == CLB_FATE_SETTLE);

    return run->fate == CLB_FATE_PARK
        || (!run->parks && (run->fate == CLB_FATE_NONE || chatty));
}

static void hear_lines(run_t *run)
{
    clb_input_t in = { .kind = CLB_IN_LINE };

    while (hears(run) && !(run->driver->traits(run->backend) & CLB_RAW)
           && clb_line_next(&run->lines, &in.data, &in.len) == APR_SUCCESS) {
        step(run, &in);
    }
}

/* A process that stays with its conversation is given back between two lines:
 * what the second half of one means, the keeper could not tell. */
static void hear_out(run_t *run)
{
    apr_time_t end = apr_time_now() + LINE_WAIT;
    struct pollfd out = { run->lease->out, POLLIN, 0 };

    hear_lines(run);
    while (run->fate == CLB_FATE_PARK && clb_line_pending(&run->lines) > 0
           && !run->eof
           && poll(&out, 1, until(apr_time_now(), end, 1000)) > 0) {
        read_once(run);
        hear_lines(run);
    }
}

/* What becomes of the process when the driver did not say. */
static clb_fate_e fate_of(const run_t *run)
{
    int pending = clb_line_pending(&run->lines) > 0;
    int unsent = run->unsent.len > run->sent;

    if (run->fate == CLB_FATE_CLEAN && pending && !unsent
        && run->driver->traits(run->backend) & CLB_CHATTY) {
        return CLB_FATE_SETTLE;     /* the keeper skips what it began to say */
    }
    if (run->fate != CLB_FATE_NONE) {
        return (run->fate == CLB_FATE_CLEAN || run->fate == CLB_FATE_PARK)
               && (pending || unsent) ? CLB_FATE_END : run->fate;
    }
    return run->driver->traits(run->backend) & CLB_REUSE && !run->eof
           && run->unsent.len == run->sent
         ? CLB_FATE_SETTLE : CLB_FATE_END;
}

static void converse(run_t *run)
{
    clb_turn_t *turn = run->turn;
    clb_input_t in = { .kind = CLB_IN_CHAT };

    run->granted = run->alive = apr_time_now();
    turn->process = run->lease->process;
    turn->continued = run->lease->parked;
    if (turn->continued) {
        in.known = clb_chat_turns(turn->chat)->nelts - 1;
    }
    apr_pool_create(&run->event_pool, turn->pool);
    clb_line_init(&run->lines, turn->pool, turn->max_line);
    clb_buf_init(&run->unsent, turn->pool, 1024);
    step(run, &in);
    write_some(run);
    pump(run);
    hear_out(run);
    if (!run->released) {
        write_some(run);
    }
    let_go(run, fate_of(run));
}

/* Wait in the queue. @return 1 when a process was granted */
static int wait_for_grant(run_t *run, apr_time_t since)
{
    clb_turn_t *turn = run->turn;
    apr_time_t end = since + turn->limits.queue, now;
    clb_event_t event = { .kind = CLB_EV_ERROR };
    apr_status_t rv;

    while ((rv = clb_lease_answer(run->lease, &event.u.error))
           == APR_EAGAIN) {
        struct pollfd set[2] = {
            { run->lease->fd, POLLIN, 0 }, { turn->client_fd, POLLRDHUP, 0 }
        };
        int ms = until(apr_time_now(), end, turn->client_fd < 0 ? ASK_MS
                                                                : 1000);

        if (turn->limits.tick > 0) {
            ms = until(apr_time_now(), next_tick(turn), ms);
        }
        poll(set, 2, ms + 1);
        check_client(turn, set[1].revents);
        now = apr_time_now();
        if (turn->left) {
            return 0;
        }
        if (now > end) {
            clb_error_set(&event.u.error, turn->pool, CLB_TIMEOUT_QUEUE, NULL,
                          "no slot became free in time");
            event.u.error.retry_after = apr_time_from_sec(10);
            rv = APR_EGENERAL;
            break;
        }
        if (clb_keeper_silent(turn->run)) {
            clb_error_set(&event.u.error, turn->pool, CLB_OVERLOADED, NULL,
                          "the process keeper does not answer");
            event.u.error.retry_after = apr_time_from_sec(10);
            rv = APR_EGENERAL;
            break;
        }
    }
    if (rv != APR_SUCCESS) {
        pass(run, &event);
    }
    return rv == APR_SUCCESS;
}

/* What the process will have gone through after this turn, and, unless it is to
 * be a new one, what a parked one must have gone through before it. */
static void take_prefix(run_t *run, int anew)
{
    clb_turn_t *turn = run->turn;
    int last = clb_chat_turns(turn->chat)->nelts - 1;

    run->parks = (run->driver->traits(run->backend) & CLB_PARKS) != 0;
    if (run->parks) {
        clb_prefix_begin(&run->prefix, turn->chat, turn->owner,
                         run->backend->name);
        clb_prefix_turns(&run->prefix, turn->chat, 0, last);
        run->talk.held = last > 0 && !anew;
        clb_prefix_digest(&run->prefix, run->talk.digest);
        clb_prefix_turns(&run->prefix, turn->chat, last, last + 1);
        clb_prefix_answer(&run->prefix);
    }
}

/* @return 1 if the turn must be tried anew */
static int try(clb_turn_t *turn, apr_time_t since, int anew)
{
    run_t *run = apr_pcalloc(turn->pool, sizeof(*run));
    clb_event_t event = { .kind = CLB_EV_ERROR };

    run->turn = turn;
    turn->told = since;
    run->backend = turn->backend;
    run->driver = run->backend->driver;
    take_prefix(run, anew);
    if (clb_lease_ask(&run->lease, turn->run, turn->backend, turn->key,
                      turn->limits.queue, &run->talk, &turn->extra,
                      &event.u.error, turn->pool) != APR_SUCCESS) {
        pass(run, &event);
    }
    else if (wait_for_grant(run, since)) {
        turn->queued = apr_time_now() - since;
        converse(run);
    }
    else {
        clb_lease_release(run->lease, CLB_FATE_END, 0, NULL);
    }
    return run->again;
}

void clb_turn_run(clb_turn_t *turn)
{
    apr_time_t since = apr_time_now();

    if (try(turn, since, 0)) {
        try(turn, since, 1);
    }
}
