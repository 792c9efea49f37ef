/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers, UTF-8 and number parsing. */
#include "tap.h"

#include "../../src/core/text.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

#define FFFD "\xef\xbf\xbd"
#define BYTES(text) text, sizeof(text) - 1

static apr_pool_t *pool;

/* What Unicode says a sequence is, computed from the code point. */
static apr_size_t naive_len(const unsigned char *s, apr_size_t len)
{
    static const unsigned long least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    apr_size_t n, i;
    unsigned long code;

    if (len == 0) {
        return 0;
    }
    n = s[0] < 0x80 ? 1 : (s[0] & 0xe0) == 0xc0 ? 2
      : (s[0] & 0xf0) == 0xe0 ? 3 : (s[0] & 0xf8) == 0xf0 ? 4 : 0;
    if (n == 0 || n > len) {
        return 0;
    }
    code = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));
    for (i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
        code = code << 6 | (s[i] & 0x3f);
    }
    return code < least[n] || code > 0x10ffff
        || (code >= 0xd800 && code <= 0xdfff) ? 0 : n;
}

/* 1 if some bytes after @a s make it one valid sequence. */
static int completes(const unsigned char *s, apr_size_t len)
{
    static const unsigned char more[] = { 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf };
    unsigned char try[4];
    apr_size_t a, b, c, n;

    memcpy(try, s, len);
    for (a = 0; a < sizeof(more); a++) {
        for (b = 0; b < sizeof(more); b++) {
            for (c = 0; c < sizeof(more); c++) {
                const unsigned char end[] = { more[a], more[b], more[c] };

                memcpy(try + len, end, 4 - len);
                n = naive_len(try, 4);
                if (n > len) {
                    return 1;
                }
            }
        }
    }
    return 0;
}

static apr_size_t naive_tail(const unsigned char *s, apr_size_t len)
{
    apr_size_t back;

    for (back = len < 3 ? len : 3; back > 0; back--) {
        if ((s[len - back] & 0xc0) == 0xc0 && completes(s + len - back, back)) {
            return back;
        }
    }
    return 0;
}

static void utf8_len(void)
{
    static const struct {
        const char *s;
        apr_size_t len;
        apr_size_t want;
        const char *what;
    } cases[] = {
        { "", 0, 0, "nothing" },
        { "a", 1, 1, "ASCII" },
        { "\0", 1, 1, "NUL" },
        { "\x7f", 1, 1, "DEL" },
        { BYTES("\xc2\x80"), 2, "U+0080" },
        { BYTES("\xdf\xbf"), 2, "U+07FF" },
        { BYTES("\xe0\xa0\x80"), 3, "U+0800" },
        { BYTES("\xed\x9f\xbf"), 3, "U+D7FF" },
        { BYTES("\xee\x80\x80"), 3, "U+E000" },
        { BYTES("\xef\xbf\xbf"), 3, "U+FFFF" },
        { BYTES("\xf0\x90\x80\x80"), 4, "U+10000" },
        { BYTES("\xf4\x8f\xbf\xbf"), 4, "U+10FFFF" },
        { BYTES("\xc0\x80"), 0, "overlong NUL" },
        { BYTES("\xc1\xbf"), 0, "overlong DEL" },
        { BYTES("\xe0\x9f\xbf"), 0, "overlong U+07FF" },
        { BYTES("\xf0\x8f\xbf\xbf"), 0, "overlong U+FFFF" },
        { BYTES("\xed\xa0\x80"), 0, "surrogate U+D800" },
        { BYTES("\xed\xbf\xbf"), 0, "surrogate U+DFFF" },
        { BYTES("\xf4\x90\x80\x80"), 0, "above U+10FFFF" },
        { BYTES("\xf5\x80\x80\x80"), 0, "first byte F5" },
        { BYTES("\xff"), 0, "first byte FF" },
        { BYTES("\x80"), 0, "a continuation alone" },
        { BYTES("\xc3"), 0, "one of two bytes" },
        { BYTES("\xe2\x82"), 0, "two of three bytes" },
        { BYTES("\xf0\x9f\x98"), 0, "three of four bytes" },
        { BYTES("\xc3(") , 0, "no continuation" },
        { BYTES("\xc3\xa9\xa9"), 2, "two bytes and one too many" },
    };
    static const unsigned char edge[] = { 0x7f, 0x80, 0xbf, 0xc0 };
    apr_size_t i, wrong = 0;
    unsigned a, b, c, d;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        is_int((long long)clb_utf8_len((const unsigned char *)cases[i].s,
                                       cases[i].len),
               (long long)cases[i].want, "length of %s", cases[i].what);
    }
    for (a = 0; a < 256; a++) {
        for (b = 0; b < 256; b++) {
            for (c = 0; c < 4; c++) {
                for (d = 0; d < 4; d++) {
                    const unsigned char s[] = { (unsigned char)a,
                        (unsigned char)b, edge[c], edge[d] };

                    for (i = 1; i <= 4; i++) {
                        wrong += clb_utf8_len(s, i) != naive_len(s, i);
                    }
                }
            }
        }
    }
    is_int((long long)wrong, 0, "lengths agree with the code points");
}

static void utf8_clean(void)
{
    static const struct {
        const char *s;
        apr_size_t len;
        const char *want;
        const char *what;
    } cases[] = {
        { "", 0, "", "nothing" },
        { BYTES("h\xc3\xa9 \xf0\x9f\x98\x80"), "h\xc3\xa9 \xf0\x9f\x98\x80",
          "valid text" },
        { BYTES("a\xff" "b"), "a" FFFD "b", "a byte that never occurs" },
        { BYTES("\x80\x80"), FFFD FFFD, "continuations alone" },
        { BYTES("\xe2\x82" "A"), FFFD "A", "a cut sequence, then text" },
        { BYTES("A\xf0\x9f\x98"), "A" FFFD, "a cut sequence at the end" },
        { BYTES("\xed\xa0\x80"), FFFD FFFD FFFD, "a surrogate" },
        { BYTES("\xc0\x80"), FFFD FFFD, "an overlong NUL" },
        { BYTES("\xe2\xe2\x82\xac"), FFFD "\xe2\x82\xac", "a restart" },
        { BYTES("a\0b\0"), "ab", "NULs" },
    };
    apr_size_t i, len, wrong = 0;
    int n;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        is_str(clb_utf8_clean(pool, cases[i].s, cases[i].len, &len),
               cases[i].want, "cleaned: %s", cases[i].what);
        is_int((long long)len, (long long)strlen(cases[i].want),
               "its length");
    }
    for (n = 0; n < 20000; n++) {
        static const unsigned char some[] = { 0, 'a', 0x80, 0x9f, 0xa0, 0xbf,
            0xc2, 0xe0, 0xe2, 0xed, 0xf0, 0xf4, 0xff };
        unsigned char in[12];
        const char *out;
        apr_pool_t *sub;

        apr_pool_create(&sub, pool);
        for (i = 0; i < sizeof(in); i++) {
            in[i] = some[(unsigned)rand() % sizeof(some)];
        }
        out = clb_utf8_clean(sub, (char *)in, sizeof(in), &len);
        wrong += strlen(out) != len;
        wrong += strcmp(out, clb_utf8_clean(sub, out, len, NULL)) != 0;
        for (i = 0; i < len;) {
            apr_size_t step = naive_len((const unsigned char *)out + i,
                                        len - i);

            wrong += step == 0;
            i += step ? step : 1;
        }
        wrong += clb_utf8_tail((char *)in, sizeof(in))
              != naive_tail(in, sizeof(in));
        apr_pool_destroy(sub);
    }
    is_int((long long)wrong, 0, "random bytes become valid UTF-8 without NUL,"
           " and their cut ends are found");
}

static void utf8_tail(void)
{
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
    static const int want[] = { 0, 0, 1, 0, 1, 2, 0, 1, 2, 3, 0 };
    apr_size_t i;

    for (i = 0; i < sizeof(text); i++) {
        is_int((long long)clb_utf8_tail(text, i), want[i],
               "cut end of the first %d bytes", (int)i);
    }
    is_int((long long)clb_utf8_tail(BYTES("\x80\x80\x80\x80")), 0,
           "continuations alone are not waited for");
    is_int((long long)clb_utf8_tail(BYTES("\xff")), 0,
           "nor is a byte that never occurs");
    is_int((long long)clb_utf8_tail(BYTES("\xe0\x80")), 0,
           "nor an overlong form");
    is_int((long long)clb_utf8_tail(BYTES("\xed\xa0")), 0,
           "nor a surrogate");
    is_int((long long)clb_utf8_tail(BYTES("\xf4\x90")), 0,
           "nor what is above U+10FFFF");
    is_int((long long)clb_utf8_tail(BYTES("\xe0\xa0")), 2,
           "the lowest three-byte form is");
}

static void parse_int(void)
{
    static const struct {
        const char *text;
        apr_int64_t min, max, want;
        apr_status_t status;
    } cases[] = {
        { "0", 0, 9, 0, APR_SUCCESS },
        { "9", 0, 9, 9, APR_SUCCESS },
        { "10", 0, 9, 0, APR_EINVAL },
        { "-1", 0, 9, 0, APR_EINVAL },
        { "-1", -1, 9, -1, APR_SUCCESS },
        { "007", 0, 9, 7, APR_SUCCESS },
        { "", 0, 9, 0, APR_EINVAL },
        { "-", -9, 9, 0, APR_EINVAL },
        { "--1", -9, 9, 0, APR_EINVAL },
        { "+1", 0, 9, 0, APR_EINVAL },
        { " 1", 0, 9, 0, APR_EINVAL },
        { "1 ", 0, 9, 0, APR_EINVAL },
        { "- 1", -9, 9, 0, APR_EINVAL },
        { "1.0", 0, 9, 0, APR_EINVAL },
        { "0x1", 0, 9, 0, APR_EINVAL },
        { "1e0", 0, 9, 0, APR_EINVAL },
        { "9223372036854775807", 0, APR_INT64_MAX, APR_INT64_MAX,
          APR_SUCCESS },
        { "9223372036854775808", 0, APR_INT64_MAX, 0, APR_EINVAL },
        { "-9223372036854775808", APR_INT64_MIN, 0, APR_INT64_MIN,
          APR_SUCCESS },
        { "-9223372036854775809", APR_INT64_MIN, 0, 0, APR_EINVAL },
        { "99999999999999999999999999", 0, APR_INT64_MAX, 0, APR_EINVAL },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        apr_int64_t value = 77;

        is_int(clb_parse_int(&value, cases[i].text, cases[i].min,
                             cases[i].max), cases[i].status,
               "integer \"%s\"", cases[i].text);
        is_int(value, cases[i].status == APR_SUCCESS ? cases[i].want : 77,
               "its value");
    }
}

static void parse_size(void)
{
    static const struct {
        const char *text;
        apr_off_t want;   /* -1 = refused */
    } cases[] = {
        { "0", 0 }, { "1", 1 }, { "1k", 1024 }, { "1K", 1024 },
        { "2m", 2097152 }, { "32M", 33554432 }, { "3g", 3221225472 },
        { "3G", 3221225472 }, { "0G", 0 },
        { "8589934591", 8589934591 }, { "8589934592", 8589934592 },
        { "10000000000000", 10000000000000 },
        { "9223372036854775807", APR_INT64_MAX },
        { "9223372036854775808", -1 },
        { "9007199254740991K", 9007199254740991 << 10 },
        { "9007199254740992K", -1 },
        { "8589934591G", (apr_off_t)8589934591 << 30 },
        { "8589934592G", -1 },
        { "", -1 }, { "K", -1 }, { "-1", -1 }, { "-1K", -1 }, { "+1", -1 },
        { "1KK", -1 }, { "1 K", -1 }, { " 1", -1 }, { "1T", -1 },
        { "1.5M", -1 }, { "0x10", -1 }, { "1KB", -1 },
        { "999999999999999999999999999999G", -1 },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        apr_off_t value = -1;

        is_int(clb_parse_size(&value, cases[i].text),
               cases[i].want < 0 ? APR_EINVAL : APR_SUCCESS,
               "size \"%s\"", cases[i].text);
        is_int(value, cases[i].want, "its value");
    }
}

static void buffers(void)
{
    clb_buf_t buf;
    char want[5000];
    int i;

    clb_buf_init(&buf, pool, 0);
    is_str(buf.data, "", "a new buffer is empty and terminated");
    for (i = 0; i < (int)sizeof(want) - 1; i++) {
        want[i] = (char)('a' + i % 26);
        clb_buf_add(&buf, want + i, 1);
    }
    want[i] = '\0';
    is_int((long long)buf.len, i, "it grew byte by byte");
    ok(strcmp(buf.data, want) == 0, "and kept what was in it");
    clb_buf_drop(&buf, 4990);
    is_str(buf.data, want + 4990, "drop takes from the front");
    clb_buf_drop(&buf, buf.len);
    is_str(buf.data, "", "also all of it");
    clb_buf_add(&buf, "a\0b", 3);
    ok(buf.len == 3 && memcmp(buf.data, "a\0b", 4) == 0,
       "NUL is a byte like others");
    clb_buf_add(&buf, NULL, 0);
    is_int((long long)buf.len, 3, "nothing can be added");
    clb_buf_reset(&buf);
    is_str(buf.data, "", "reset empties");
    memset(clb_buf_room(&buf, 100000), 'x', 100000);
    buf.len += 100000;
    clb_buf_puts(&buf, "end");
    ok(buf.len == 100003 && strcmp(buf.data + 99999, "xend") == 0,
       "room can be filled directly");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    srand(1);
    buffers();
    utf8_len();
    utf8_clean();
    utf8_tail();
    parse_int();
    parse_size();
    return tap_done();
}
