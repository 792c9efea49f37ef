/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of clients in files: who finds which, what expires, what is too much,
 * and what is no text of ours. */
#include "tap.h"

#include "../../src/acct/store.h"
#include "../../src/core/sha256.h"

#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DAY apr_time_from_sec(86400)

static apr_pool_t *pool;
static clb_store_t store;
static char dir[] = "/tmp/clb-store-XXXXXX";

/* --- the directory --- */

static const char *in_dir(const char *name)
{
    return apr_pstrcat(pool, store.dir, "/", name, NULL);
}

/* How many entries there are; @a first is set to one. */
static int entries(const char **first)
{
    apr_dir_t *at;
    apr_finfo_t info;
    int count = 0;

    *first = NULL;
    if (apr_dir_open(&at, store.dir, pool) != APR_SUCCESS) {
        return -1;
    }
    while (apr_dir_read(&info, APR_FINFO_NAME, at) == APR_SUCCESS) {
        if (strcmp(info.name, ".") != 0 && strcmp(info.name, "..") != 0) {
            *first = apr_pstrdup(pool, info.name);
            count++;
        }
    }
    apr_dir_close(at);
    return count;
}

static int count(void)
{
    const char *first;

    return entries(&first);
}

static void clear(void)
{
    const char *name;

    while (entries(&name) > 0) {
        remove(in_dir(name));
    }
}

static void begin(void)
{
    clear();
    store.max = 1000;
    store.size = 1 << 20;
    store.age = DAY;
    store.longest = 1 << 20;
}

/* Let a text be older than it is. */
static void age(const char *name, apr_interval_time_t by)
{
    apr_file_mtime_set(in_dir(name), apr_time_now() - by, pool);
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(in_dir(name), "w");

    fputs(text, file);
    fclose(file);
}

/* --- texts --- */

static apr_status_t put_over(const char *owner, const char *id,
                             const char *text, clb_version_t *version)
{
    return clb_store_put(&store, owner, id, text, strlen(text), version,
                         pool);
}

static apr_status_t put(const char *owner, const char *id, const char *text)
{
    clb_version_t version = 0;

    return put_over(owner, id, text, &version);
}

/* @return the text, or what became of it */
static const char *get(const char *owner, const char *id)
{
    clb_version_t version;
    apr_status_t rv;
    clb_buf_t data;

    clb_buf_init(&data, pool, 0);
    rv = clb_store_get(&store, owner, id, &data, &version, pool);
    return rv == APR_SUCCESS ? data.data : rv == APR_ENOENT ? "(none)"
         : rv == APR_ENOSPC ? "(too long)" : "(error)";
}

/* The name of the file of the only text. */
static const char *put_alone(const char *owner, const char *id,
                             const char *text)
{
    const char *name;

    begin();
    put(owner, id, text);
    is_int(entries(&name), 1, "one file");
    return name != NULL ? name : "none";
}

static void finds(void)
{
    begin();
    is_str(get("me", "resp_1"), "(none)", "there is nothing at first");
    is_int(put("me", "resp_1", "one"), APR_SUCCESS, "a text is put");
    is_str(get("me", "resp_1"), "one", "and read");
    is_str(get("you", "resp_1"), "(none)", "by nobody else");
    is_str(get("me", "resp_2"), "(none)", "under no other id");
    is_int(put("you", "resp_1", "two"), APR_SUCCESS, "another's of that id");
    is_str(get("me", "resp_1"), "one", "is no matter");
    put("me", "resp_1", "three");
    is_str(get("me", "resp_1"), "three", "one takes the place of another");
    is_int(put("me", "empty", ""), APR_SUCCESS, "an empty one");
    is_str(get("me", "empty"), "", "is one, too");
    is_int(count(), 3, "nothing else is there");

    is_int(clb_store_remove(&store, "you", "empty", pool), APR_ENOENT,
           "nobody else removes one");
    is_int(clb_store_remove(&store, "me", "resp_1", pool), APR_SUCCESS,
           "its owner does");
    is_str(get("me", "resp_1"), "(none)", "then it is gone");
    is_int(clb_store_remove(&store, "me", "resp_1", pool), APR_ENOENT,
           "once");
    is_str(get("you", "resp_1"), "two", "the other one stays");
}

static void private(void)
{
    mode_t mask = umask(0);
    const char *name = put_alone("a key", "resp_1", "x");
    struct stat st;

    umask(mask);
    ok(stat(in_dir(name), &st) == 0 && (st.st_mode & 0777) == 0600,
       "for its owner alone, whatever the umask is: %o", st.st_mode & 0777);
    ok(strstr(name, "key") == NULL && strlen(name) == 32 + 1 + 6,
       "a name does not say who the owner is: %s", name);
}

static void ids(void)
{
    static const char *const bad[] = {
        "", ".", "..", "../x", "a/b", "/etc/passwd", "a.b", "a-b", "a b",
        "a%2fb", "\x80", "a\n", "\xc3\xa4"
    };
    char longest[CLB_STORE_ID + 2];
    apr_size_t i;

    begin();
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        is_int(put("me", bad[i], "x"), APR_EACCES, "not put as bad id %d",
               (int)i);
        is_str(get("me", bad[i]), "(none)", "nor read");
        is_int(clb_store_remove(&store, "me", bad[i], pool), APR_ENOENT,
               "nor removed");
        clb_store_touch(&store, "me", bad[i], pool);
    }
    memset(longest, 'x', sizeof(longest));
    longest[CLB_STORE_ID + 1] = '\0';
    is_int(put("me", longest, "x"), APR_EACCES, "nor one that is too long");
    is_int(count(), 0, "nothing is left of that");
    longest[CLB_STORE_ID] = '\0';
    is_int(put("me", longest, "x"), APR_SUCCESS, "the longest");
    is_str(get("me", longest), "x", "is one");
    is_int(put("me", "resp_09azAZ", "x"), APR_SUCCESS, "and any letter");
}

static void versions(void)
{
    clb_version_t one = 0, two, seen = 0;
    apr_time_t when = 0;

    begin();
    put_over("me", "a", "1", &one);
    ok(one != 0, "a text has a version");
    is_int(clb_store_look(&store, "me", "a", &seen, &when, pool), APR_SUCCESS,
           "which can be looked at");
    ok(seen == one, "is the same");
    ok(when > apr_time_now() - DAY / 2 && when < apr_time_now() + DAY,
       "since now");
    is_int(clb_store_look(&store, "me", "b", &seen, &when, pool), APR_ENOENT,
           "another one has none");
    is_int(clb_store_look(&store, "me", "a", NULL, NULL, pool), APR_SUCCESS,
           "one need not ask for it");

    two = one;
    is_int(put_over("me", "a", "22", &two), APR_SUCCESS,
           "the next text in the place of that one");
    ok(two != one, "has another");
    is_int(put_over("me", "a", "333", &one), APR_ENOENT,
           "but not in the place of what is not there any more");
    is_str(get("me", "a"), "22", "which stays");
    clb_store_remove(&store, "me", "a", pool);
    is_int(put_over("me", "a", "333", &two), APR_ENOENT,
           "nor of what was removed");
    is_int(count(), 0, "nothing is left of that");

    one = 0;
    put_over("me", "a", "1", &one);
    clb_store_touch(&store, "me", "a", pool);
    clb_store_look(&store, "me", "a", &seen, NULL, pool);
    ok(seen == one, "a touch makes no other of it");
}

static void expires(void)
{
    const char *name = put_alone("me", "a", "x");
    apr_time_t when;

    age(name, store.age - apr_time_from_sec(60));
    is_str(get("me", "a"), "x", "before its time");
    clb_store_sweep(&store, pool);
    is_int(count(), 1, "it stays");
    clb_store_touch(&store, "me", "a", pool);
    clb_store_look(&store, "me", "a", NULL, &when, pool);
    ok(when > apr_time_now() - apr_time_from_sec(30),
       "until it is touched it grows old");
    age(name, store.age + apr_time_from_sec(60));
    is_str(get("me", "a"), "(none)", "after it there is none");
    is_int(clb_store_look(&store, "me", "a", NULL, NULL, pool), APR_ENOENT,
           "to look at");
    is_int(clb_store_remove(&store, "me", "a", pool), APR_ENOENT,
           "nor to remove");
    clb_store_sweep(&store, pool);
    is_int(count(), 0, "and it goes");
}

/* What a worker that was killed began to write. */
static void unfinished(void)
{
    begin();
    write_file(".abcdef", "half a te");
    clb_store_sweep(&store, pool);
    is_int(count(), 1, "what is still written stays");
    age(".abcdef", 2 * apr_time_from_sec(3600));
    clb_store_sweep(&store, pool);
    is_int(count(), 0, "what nobody writes any more goes");
}

static void strangers(void)
{
    static const char *const names[] = {
        "x", ".x", "README", "0123456789abcdef0123456789abcdef",
        "0123456789ABCDEF0123456789abcdef-resp_1"
    };
    apr_size_t i;

    begin();
    store.max = 1;
    for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
        write_file(names[i], "not ours");
        age(names[i], 100 * DAY);
    }
    mkdir(in_dir("directory"), 0700);
    put("me", "a", "x");
    clb_store_sweep(&store, pool);
    is_int(count(), 7, "files that are no texts are left alone");
    is_str(get("me", "a"), "x", "and do not count");
}

/* Texts of 10 bytes, each a second younger than the one before. */
static void fill(const char *owner, int n)
{
    unsigned char digest[CLB_SHA256_SIZE];
    char hex[33];
    int i;

    clb_sha256(digest, owner, strlen(owner));
    for (i = 0; i < 16; i++) {
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
    for (i = 0; i < n; i++) {
        const char *id = apr_psprintf(pool, "%s_%02d", owner, i);

        put(owner, id, "0123456789");
        age(apr_pstrcat(pool, hex, "-", id, NULL), apr_time_from_sec(n - i));
    }
}

static int has(const char *owner, int i)
{
    return strcmp(get(owner, apr_psprintf(pool, "%s_%02d", owner, i)),
                  "0123456789") == 0;
}

/* How many of @a n texts are there still, if no younger one went before an
 * older one; else -1. */
static int left(const char *owner, int n)
{
    int i = 0, gone;

    while (i < n && !has(owner, i)) {
        i++;
    }
    for (gone = i; i < n; i++) {
        if (!has(owner, i)) {
            return -1;
        }
    }
    return n - gone;
}

static void too_many(void)
{
    begin();
    fill("rich", 20);
    fill("poor", 3);
    store.max = 10;
    clb_store_sweep(&store, pool);
    is_int(count(), 10, "no more than may be");
    is_int(left("rich", 20), 7, "whoever has most loses the oldest");
    is_int(left("poor", 3), 3, "nobody else loses any");
    store.max = 4;
    clb_store_sweep(&store, pool);
    is_int(left("rich", 20) + left("poor", 3), 4, "then both");
    is_int(left("poor", 3), 2, "by turns");
    store.max = 0;
    clb_store_sweep(&store, pool);
    is_int(count(), 0, "none may be");

    store.max = 100;
    store.size = 105;
    fill("rich", 8);
    fill("poor", 4);
    clb_store_sweep(&store, pool);
    is_int(left("rich", 8), 6, "no more bytes than may be");
    is_int(left("poor", 4), 4, "of whoever has most");

    begin();
    store.max = 2;
    put("a", "a", "");
    put("b", "b", "");
    put("c", "c", "");
    clb_store_sweep(&store, pool);
    is_int(count(), 2, "empty ones count, too");
    fill("a", 1);
    store.max = 0;
    clb_store_sweep(&store, pool);
    is_int(count(), 0, "also beside others");
}

/* Nobody need say so: it happens now and then as texts are put. */
static void by_itself(void)
{
    int i;

    begin();
    store.max = 5;
    for (i = 0; i < 200; i++) {
        put("me", apr_psprintf(pool, "a_%d", i), "x");
    }
    ok(count() < 40, "what is too much goes by itself: %d", count());
    is_str(get("me", "a_199"), "x", "the last one is there");
}

static void too_long(void)
{
    begin();
    put("me", "a", "0123456789");
    store.longest = 9;
    is_str(get("me", "a"), "(too long)", "too long to be read");
    is_int(clb_store_look(&store, "me", "a", NULL, NULL, pool), APR_SUCCESS,
           "but there");
    store.longest = 10;
    is_str(get("me", "a"), "0123456789", "just not");
    store.longest = -1;
    is_str(get("me", "a"), "(too long)", "nothing is short enough");
}

/* What stands where a text should. */
static void no_text(void)
{
    const char *name = put_alone("me", "a", "x");

    remove(in_dir(name));
    write_file("secret", "secret");
    ok(symlink("secret", in_dir(name)) == 0, "a link");
    is_str(get("me", "a"), "(none)", "is not followed");
    is_int(clb_store_remove(&store, "me", "a", pool), APR_ENOENT,
           "nor removed");
    is_int(put("me", "a", "new"), APR_SUCCESS, "but replaced");
    is_str(get("me", "a"), "new", "by a text");
    remove(in_dir(name));
    mkfifo(in_dir(name), 0600);
    is_str(get("me", "a"), "(none)", "a pipe is not waited for");
    remove(in_dir(name));
    mkdir(in_dir(name), 0700);
    is_str(get("me", "a"), "(none)", "a directory is none");
    ok(put("me", "a", "x") != APR_SUCCESS, "and cannot be replaced");
    is_int(count(), 2, "nothing is left of that");
}

/* A disk that is full behind the first bytes. */
static void no_room(void)
{
    struct rlimit limit, small;

    begin();
    put("me", "a", "old");
    getrlimit(RLIMIT_FSIZE, &limit);
    small = limit;
    small.rlim_cur = 4;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    ok(put("me", "a", "longer than there is room") != APR_SUCCESS,
       "a text that does not fit is not put");
    setrlimit(RLIMIT_FSIZE, &limit);
    is_str(get("me", "a"), "old", "what was there stays");
    is_int(count(), 1, "and nothing of the other");
}

static void refused(const char *why)
{
    clb_version_t version = 0;

    is_int(put("me", "b", "x"), APR_EACCES, "%s: nothing is put", why);
    is_str(get("me", "a"), "(none)", "nothing is read");
    is_int(clb_store_remove(&store, "me", "a", pool), APR_ENOENT,
           "nothing is removed");
    is_int(clb_store_look(&store, "me", "a", &version, NULL, pool),
           APR_ENOENT, "nothing is there");
    store.max = 0;
    clb_store_sweep(&store, pool);
    store.max = 1000;
}

static void whose(void)
{
    const char *link = apr_pstrcat(pool, dir, "-link", NULL);

    put_alone("me", "a", "x");
    store.dir = link;
    refused("no directory");
    ok(symlink(dir, link) == 0, "a link to it");
    refused("which is not followed");
    remove(link);
    store.dir = apr_pstrcat(pool, dir, "-file", NULL);
    fclose(fopen(store.dir, "w"));
    refused("a file");
    remove(store.dir);
    store.dir = dir;
    if (geteuid() == 0 && chown(dir, 1, 1) == 0) {
        refused("another's");
        ok(chown(dir, 0, 0) == 0, "ours again");
    }
    else {
        store.dir = "/";
        refused("another's");
        store.dir = dir;
    }
    is_str(get("me", "a"), "x", "nothing of it is lost");
}

/* --- at once --- */

static int round_of(int me, int i)
{
    static const char *const texts[] = { "short", "a text that is longer" };
    const char *got;

    put("me", "one", texts[(me + i) % 2]);
    got = get("me", "one");
    return strcmp(got, texts[0]) == 0 || strcmp(got, texts[1]) == 0;
}

/* Of many who replace and read one text nobody sees a part of one. */
static void at_once(void)
{
    int i, me, status, good = 0;
    pid_t pids[4];

    begin();
    for (me = 0; me < 4; me++) {
        if ((pids[me] = fork()) == 0) {
            for (i = 0; i < 300 && round_of(me, i); i++) {
            }
            _exit(i < 300);
        }
    }
    for (me = 0; me < 4; me++) {
        good += waitpid(pids[me], &status, 0) == pids[me] && status == 0;
    }
    is_int(good, 4, "texts are whole while others are put");
    is_int(count(), 1, "and no file is left over");
}

/* Make the text one letter longer. @return 1 if nobody else did meanwhile */
static int longer(void)
{
    clb_version_t version = 0;
    clb_buf_t data;

    clb_buf_init(&data, pool, 0);
    clb_store_get(&store, "me", "one", &data, &version, pool);
    clb_buf_puts(&data, "x");
    return put_over("me", "one", data.data, &version) == APR_SUCCESS;
}

/* Of many who saw the same text one replaces it. */
static void one_wins(void)
{
    int me, i, won, status, all = 0;
    pid_t pids[4];

    begin();
    put("me", "one", "");
    for (me = 0; me < 4; me++) {
        if ((pids[me] = fork()) == 0) {
            for (i = won = 0; i < 200 || won == 0; i++) {
                won += longer();
            }
            _exit(won);
        }
    }
    for (me = 0; me < 4; me++) {
        waitpid(pids[me], &status, 0);
        all += WEXITSTATUS(status);
    }
    is_int((int)strlen(get("me", "one")), all, "none is lost of those who "
           "replaced what they saw");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    if (mkdtemp(dir) == NULL) {
        return 1;
    }
    store.dir = dir;
    finds();
    private();
    ids();
    versions();
    expires();
    unfinished();
    strangers();
    too_many();
    by_itself();
    too_long();
    no_text();
    no_room();
    whose();
    at_once();
    one_wins();
    clear();
    rmdir(dir);
    return tap_done();
}
