/* SPDX-License-Identifier: Apache-2.0 */
/* Key files: every form of a line, and who is found. */
#include "tap.h"

#include "../../src/acct/keys.h"
#include "../../src/core/sha256.h"

#include <apr_escape.h>
#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

static apr_pool_t *pool;

#define NAME "the name must be 1 to 64 letters, digits or any of ._-@"
#define DIGEST "the second field must be the key's SHA-256 in 64 hex digits"
#define SCOPES "the third field must be scopes: chat, admin, run, or several "\
    "with commas between"
#define MORE "this version knows no attributes: nothing may follow the scopes"

/* What stands in the file for a secret. */
static const char *digest(const char *secret)
{
    unsigned char bytes[CLB_SHA256_SIZE];
    char *hex = apr_palloc(pool, 2 * CLB_SHA256_SIZE + 1);
    int i;

    clb_sha256(bytes, secret, strlen(secret));
    for (i = 0; i < CLB_SHA256_SIZE; i++) {
        sprintf(hex + 2 * i, "%02x", bytes[i]);
    }
    return hex;
}

/* @a text with % for the digest of "a", & for that of "b". */
static const char *fill(const char *text)
{
    const char *out = "";

    for (; *text != '\0'; text++) {
        out = apr_pstrcat(pool, out, *text == '%' ? digest("a")
                          : *text == '&' ? digest("b")
                          : apr_pstrndup(pool, text, 1), NULL);
    }
    return out;
}

static clb_keys_t *parse(const char *text, const char *want)
{
    clb_keys_t *keys = NULL;
    const char *why = NULL;
    apr_status_t rv = clb_keys_parse(&keys, fill(text), &why, pool);

    is_str(why, want, "%s", apr_pescape_echo(pool, text, 0));
    is_int(rv, want == NULL ? APR_SUCCESS : APR_EINVAL, "its status");
    return keys;
}

static void good_lines(void)
{
    static const struct {
        const char *text;
        unsigned keys;
        unsigned scopes;        /* of the key "a" */
    } cases[] = {
        { "", 0, 0 },
        { "\n\n", 0, 0 },
        { "# alice:%:chat", 0, 0 },
        { "  # nothing\n \t\r\n", 0, 0 },
        { "alice:%:chat", 1, CLB_SCOPE_CHAT },
        { "alice:%:chat\n", 1, CLB_SCOPE_CHAT },
        { "alice:%:chat\r\n", 1, CLB_SCOPE_CHAT },
        { "alice:%:admin\n", 1, CLB_SCOPE_ADMIN },
        { "alice:%:chat,admin\n", 1, CLB_SCOPE_CHAT | CLB_SCOPE_ADMIN },
        { "alice:%:chat,run\n", 1, CLB_SCOPE_CHAT | CLB_SCOPE_RUN },
        { "alice:%:admin, chat\n", 1, CLB_SCOPE_CHAT | CLB_SCOPE_ADMIN },
        { "alice:%:chat,chat\n", 1, CLB_SCOPE_CHAT },
        { "alice:%:chat:\n", 1, CLB_SCOPE_CHAT },
        { "  alice : % : chat \n", 1, CLB_SCOPE_CHAT },
        { "alice:%:chat # since May\n", 1, CLB_SCOPE_CHAT },
        { "alice:%:chat\nbob:&:admin\n", 2, CLB_SCOPE_CHAT },
        { "A.b_c-9@host:%:chat\n", 1, CLB_SCOPE_CHAT },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        clb_keys_t *keys = parse(cases[i].text, NULL);
        const clb_key_t *key = clb_keys_find(keys, "a");

        is_int(clb_keys_count(keys), cases[i].keys, "so many keys");
        is_int(key == NULL ? 0 : key->scopes, cases[i].scopes, "may so much");
    }
}

static void bad_lines(void)
{
    static const struct {
        const char *text;
        const char *why;
    } cases[] = {
        { ":%:chat", "line 1: " NAME },
        { "al ice:%:chat", "line 1: " NAME },
        { "alice/x:%:chat", "line 1: " NAME },
        { "al\xc3\xadz:%:chat", "line 1: " NAME },
        { "\xef\xbb\xbf" "alice:%:chat", "line 1: " NAME },
        { "alice", "line 1: " DIGEST },
        { "alice:", "line 1: " DIGEST },
        { "alice:secret:chat", "line 1: " DIGEST },
        { "alice:%0:chat", "line 1: " DIGEST },
        { "alice:0123:chat", "line 1: " DIGEST },
        { "alice:%", "line 1: " SCOPES },
        { "alice:%:", "line 1: " SCOPES },
        { "alice:%:,", "line 1: " SCOPES },
        { "alice:%:Chat", "line 1: " SCOPES },
        { "alice:%:chat,root", "line 1: " SCOPES },
        { "alice:%:chat\rbob:&:chat", "line 1: " SCOPES },
        { "alice:%:chat:rate=1", "line 1: " MORE },
        { "alice:%:chat::", "line 1: " MORE },
        { "alice:%:chat\nalice:&:chat", "line 2: the name stands twice" },
        { "alice:%:chat\nbob:%:chat", "line 2: the key stands twice" },
        { "# one\r\n\r\nalice:%:chat\r\nbob\r\n", "line 4: " DIGEST },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        ok(parse(cases[i].text, cases[i].why) == NULL, "and no keys");
    }
}

static void long_names(void)
{
    char name[66] = "";

    memset(name, 'n', 64);
    is_int(clb_keys_count(parse(apr_pstrcat(pool, name, ":%:chat", NULL),
                                NULL)), 1, "64 characters are a name");
    name[64] = 'n';
    parse(apr_pstrcat(pool, name, ":%:chat", NULL), "line 1: " NAME);
}

static void finds(void)
{
    clb_keys_t *keys = parse("alice:%:chat\nbob:&:admin", NULL);
    char *upper = apr_pstrcat(pool, "x:", digest("a"), ":chat", NULL);
    char *secret = apr_pcalloc(pool, 1026), *p;
    const char *why;

    is_str(clb_keys_find(keys, "a")->name, "alice", "a is Alice's");
    is_str(clb_keys_find(keys, "b")->name, "bob", "b is Bob's");
    ok(clb_keys_find(keys, "c") == NULL, "c is nobody's");
    ok(clb_keys_find(keys, digest("a")) == NULL, "a digest is no secret");
    ok(clb_keys_find(NULL, "a") == NULL, "no file, no key");
    is_int(clb_keys_count(NULL), 0, "none at all");

    for (p = upper + 2; *p != ':'; p++) {
        *p = *p >= 'a' ? (char)(*p - 'a' + 'A') : *p;
    }
    clb_keys_parse(&keys, upper, &why, pool);
    ok(clb_keys_find(keys, "a") != NULL, "digits may be upper case");

    clb_keys_parse(&keys, apr_pstrcat(pool, "x:", digest(""), ":chat", NULL),
                   &why, pool);
    ok(clb_keys_find(keys, "") == NULL, "an empty secret opens nothing");

    memset(secret, 's', 1024);
    clb_keys_parse(&keys, apr_pstrcat(pool, "x:", digest(secret), ":chat",
                                      NULL), &why, pool);
    ok(clb_keys_find(keys, secret) != NULL, "a secret of 1024 bytes");
    secret[1024] = 's';
    clb_keys_parse(&keys, apr_pstrcat(pool, "x:", digest(secret), ":chat",
                                      NULL), &why, pool);
    ok(clb_keys_find(keys, secret) == NULL, "a longer one is not looked at");
}

static void scopes(void)
{
    is_int(clb_scopes_parse("chat", pool), CLB_SCOPE_CHAT, "chat");
    is_int(clb_scopes_parse("chat admin", pool),
           CLB_SCOPE_CHAT | CLB_SCOPE_ADMIN, "as Require writes them");
    is_int(clb_scopes_parse("run,admin", pool),
           CLB_SCOPE_RUN | CLB_SCOPE_ADMIN, "in any order");
    is_int(clb_scopes_parse("", pool), 0, "none");
    is_int(clb_scopes_parse("chat,sudo", pool), 0, "one that is not known");
}

/* Reads a file of @a len bytes @a data. @return what was wrong, the file's name
 * being @ */
static const char *read_back(const char *data, apr_size_t len,
                             clb_keys_t **keys)
{
    char *path = apr_pstrdup(pool, "/tmp/keys-XXXXXX");
    const char *why = NULL, *at;
    apr_file_t *file;

    apr_file_mktemp(&file, path, 0, pool);
    apr_file_write_full(file, data, len, NULL);
    *keys = NULL;
    clb_keys_read(keys, path, &why, pool);
    apr_file_close(file);
    apr_file_remove(path, pool);
    at = why == NULL ? NULL : strstr(why, path);
    return at == NULL ? why
         : apr_pstrcat(pool, apr_pstrndup(pool, why, (apr_size_t)(at - why)),
                       "@", at + strlen(path), NULL);
}

static void files(void)
{
    const char *text = fill("alice:%:chat\n"), *why = NULL;
    char *large = apr_pcalloc(pool, 4 * 1024 * 1024 + 1);
    clb_keys_t *keys;

    is_str(read_back(text, strlen(text), &keys), NULL, "a file is read");
    is_int(clb_keys_count(keys), 1, "with its key");
    is_str(read_back("", 0, &keys), NULL, "an empty one too");
    is_int(clb_keys_count(keys), 0, "it has no key");
    is_str(read_back("x\n", 2, &keys), "@, line 1: " DIGEST,
           "a wrong line is named after its file");
    is_str(read_back("\n\0x", 3, &keys), "cannot read @: it is not text",
           "nothing hides behind a NUL");
    memset(large, '\n', 4 * 1024 * 1024 + 1);
    is_str(read_back(large, 4 * 1024 * 1024, &keys), NULL, "4 MB");
    is_str(read_back(large, 4 * 1024 * 1024 + 1, &keys),
           "cannot read @: it is larger than 4 MB", "are the limit");

    ok(APR_STATUS_IS_ENOENT(clb_keys_read(&keys, "/tmp/no/such", &why, pool)),
       "a file that is not there");
    is_str(why, "cannot read /tmp/no/such: No such file or directory",
           "is told of");
    is_int(clb_keys_read(&keys, "/tmp", &why, pool), APR_EINVAL,
           "a directory");
    is_str(why, "cannot read /tmp: it is not a file", "too");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    good_lines();
    bad_lines();
    long_names();
    finds();
    scopes();
    files();
    return tap_done();
}
