/* SPDX-License-Identifier: Apache-2.0 */
/* What is taken for JSON, what is repaired, and what is printed. */
#include "tap.h"

#include "../../src/core/json.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <locale.h>
#include <stdlib.h>

#define FFFD "\xef\xbf\xbd"
#define BYTES(text) text, sizeof(text) - 1

static apr_pool_t *pool;
static const char *why;

static clb_json_t *parse(const char *text, clb_json_mode_e mode)
{
    clb_json_t *json;

    why = NULL;
    return clb_json_parse(&json, text, strlen(text), mode, &why, pool)
           == APR_SUCCESS ? json : NULL;
}

/* What a text is printed as after parsing; NULL = refused. */
static const char *printed(const char *text, apr_size_t len,
                           clb_json_mode_e mode)
{
    clb_json_t *json;
    apr_status_t rv = clb_json_parse(&json, text, len, mode, &why, pool);

    if (rv != APR_SUCCESS) {
        ok(rv == APR_EINVAL && json == NULL && why != NULL && *why != '\0',
           "a refusal says why");
        return NULL;
    }
    return clb_json_text(pool, json);
}

static void texts(void)
{
    static const struct {
        const char *text;
        apr_size_t len;
        const char *strict;
        const char *lenient;
        const char *what;
    } cases[] = {
        { BYTES("{}"), "{}", "{}", "an object" },
        { BYTES(" [1 , 2] \r\n"), "[1,2]", "[1,2]", "white space" },
        { BYTES("\"x\""), "\"x\"", "\"x\"", "a string alone" },
        { BYTES("null"), "null", "null", "null alone" },
        { BYTES("-0"), "0", "0", "minus zero" },
        { BYTES(""), NULL, NULL, "nothing" },
        { BYTES("  "), NULL, NULL, "only white space" },
        { BYTES("{} x"), NULL, NULL, "trailing garbage" },
        { BYTES("{}{}"), NULL, NULL, "two values" },
        { BYTES("1 2"), NULL, NULL, "two numbers" },
        { BYTES("{}\0"), NULL, "{}", "a trailing NUL" },
        { BYTES("\xef\xbb\xbf{}"), NULL, NULL, "a byte order mark" },
        { BYTES("[1,]"), NULL, NULL, "a trailing comma" },
        { BYTES("{a:1}"), NULL, NULL, "a bare key" },
        { BYTES("{'a':1}"), NULL, NULL, "single quotes" },
        { BYTES("[01]"), NULL, NULL, "a leading zero" },
        { BYTES("[+1]"), NULL, NULL, "a leading plus" },
        { BYTES("[.5]"), NULL, NULL, "no digit before the point" },
        { BYTES("[1.]"), NULL, NULL, "no digit after the point" },
        { BYTES("[0x1]"), NULL, NULL, "hexadecimal" },
        { BYTES("[NaN]"), NULL, NULL, "NaN" },
        { BYTES("[Infinity]"), NULL, NULL, "Infinity" },
        { BYTES("[True]"), NULL, NULL, "a capital letter" },
        { BYTES("[1] // x"), NULL, NULL, "a comment" },
        { BYTES("\"a\nb\""), NULL, NULL, "a line feed in a string" },
        { BYTES("\"a"), NULL, NULL, "an open string" },
        { BYTES("\"a\\"), NULL, NULL, "a string cut at a backslash" },
        { BYTES("\"\\u12\""), NULL, NULL, "a short \\u" },
        { BYTES("\"\\ud800"), NULL, NULL, "a cut surrogate" },
        { BYTES("\"\\ud80g\""), NULL, NULL, "a bad digit in a \\u" },
        { BYTES("\"\\x41\""), NULL, NULL, "an unknown escape" },
        { BYTES("[}"), NULL, NULL, "the wrong bracket" },
        { BYTES("[]]"), NULL, NULL, "one bracket too many" },
        { BYTES("tru"), NULL, NULL, "half a word" },
        { BYTES("{\"a\":1,\"a\":2}"), NULL, "{\"a\":2}", "a duplicate" },
        { BYTES("{\"a\":1,\"\\u0061\":2}"), NULL, "{\"a\":2}",
          "a duplicate in disguise" },
        { BYTES("[{\"b\":{\"a\":1,\"a\":2}}]"), NULL, "[{\"b\":{\"a\":2}}]",
          "a duplicate far down" },
        { BYTES("{\"a\":{\"b\":1},\"b\":1}"), "{\"a\":{\"b\":1},\"b\":1}",
          "{\"a\":{\"b\":1},\"b\":1}", "one key at two levels" },
        { BYTES("9223372036854775807"), "9223372036854775807",
          "9223372036854775807", "the largest integer" },
        { BYTES("-9223372036854775808"), "-9223372036854775808",
          "-9223372036854775808", "the smallest integer" },
        { BYTES("9223372036854775808"), NULL, "9.22337203685478e18",
          "an integer too large" },
        { BYTES("[18446744073709551615,1]"), NULL,
          "[1.84467440737096e19,1.0]", "the largest unsigned one" },
        { BYTES("1e400"), NULL, NULL, "a number too large" },
        { BYTES("-1e400"), NULL, NULL, "a number too small" },
        { BYTES("1e-400"), "0.0", "0.0", "a number next to nothing" },
        { BYTES("\"\\u0000\""), NULL, "\"" FFFD "\"", "an escaped NUL" },
        { BYTES("\"a\0b\""), NULL, "\"ab\"", "a NUL" },
        { BYTES("{\"a\\u0000\":1}"), NULL, "{\"a" FFFD "\":1}",
          "a NUL in a key" },
        { BYTES("\"\\\\u0000\""), "\"\\\\u0000\"", "\"\\\\u0000\"",
          "an escaped backslash before u0000" },
        { BYTES("\"a\xff" "b\""), NULL, "\"a" FFFD "b\"", "bad UTF-8" },
        { BYTES("\"\xed\xa0\x80\""), NULL, "\"" FFFD FFFD FFFD "\"",
          "a surrogate in UTF-8" },
        { BYTES("\"\xc0\x80\""), NULL, "\"" FFFD FFFD "\"", "overlong NUL" },
        { BYTES("{\"\xc3\":1}"), NULL, "{\"" FFFD "\":1}",
          "bad UTF-8 in a key" },
        { BYTES("\xff{}"), NULL, NULL, "bad UTF-8 outside" },
        { BYTES("\"\\ud83d\\ude00\""), "\"\xf0\x9f\x98\x80\"",
          "\"\xf0\x9f\x98\x80\"", "a surrogate pair" },
        { BYTES("\"\\uD83D\\uDE00\""), "\"\xf0\x9f\x98\x80\"",
          "\"\xf0\x9f\x98\x80\"", "a pair in capitals" },
        { BYTES("\"\\ud800\""), "\"" FFFD "\"", "\"" FFFD "\"",
          "a lone high surrogate" },
        { BYTES("\"\\uDC00\""), "\"" FFFD "\"", "\"" FFFD "\"",
          "a lone low surrogate" },
        { BYTES("\"\\udc00\\ud800\""), "\"" FFFD FFFD "\"",
          "\"" FFFD FFFD "\"", "a pair reversed" },
        { BYTES("\"\\ud800\\ud800\\udc00\""), "\"" FFFD "\xf0\x90\x80\x80\"",
          "\"" FFFD "\xf0\x90\x80\x80\"", "a high one before a pair" },
        { BYTES("\"\\ud800\\u0041\""), "\"" FFFD "A\"", "\"" FFFD "A\"",
          "a high one before a letter" },
        { BYTES("\"\\ud800\\n\""), "\"" FFFD "\\n\"", "\"" FFFD "\\n\"",
          "a high one before an escape" },
        { BYTES("\"\\ud800x\\udc00\""), "\"" FFFD "x" FFFD "\"",
          "\"" FFFD "x" FFFD "\"", "a pair parted" },
        { BYTES("\"\\\\ud800\""), "\"\\\\ud800\"", "\"\\\\ud800\"",
          "an escaped backslash before ud800" },
        { BYTES("\"\\\\\\ud800\""), "\"\\\\" FFFD "\"", "\"\\\\" FFFD "\"",
          "an escaped backslash before \\ud800" },
        { BYTES("{\"\\ud800\":\"\\udfff\"}"), "{\"" FFFD "\":\"" FFFD "\"}",
          "{\"" FFFD "\":\"" FFFD "\"}", "surrogates in key and value" },
        { BYTES("\"\\ud800\\u0000\""), NULL, "\"" FFFD FFFD "\"",
          "a surrogate and a NUL" },
        { BYTES("[\"\\\0\"\",1]"), NULL, "[\"\\\"\",1]",
          "an escape cut by a NUL" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *copy = malloc(cases[i].len);   /* no byte more, for ASan */

        memcpy(copy, cases[i].text, cases[i].len);
        is_str(printed(copy, cases[i].len, CLB_JSON_STRICT), cases[i].strict,
               "strict: %s", cases[i].what);
        is_str(printed(copy, cases[i].len, CLB_JSON_LENIENT),
               cases[i].lenient, "lenient: %s", cases[i].what);
        ok(memcmp(copy, cases[i].text, cases[i].len) == 0,
           "the caller's bytes are as they were");
        free(copy);
    }
}

/* @a open n times, @a core, @a close n times. */
static const char *nested(const char *open, int n, const char *core,
                          const char *close)
{
    clb_buf_t buf;
    int i;

    clb_buf_init(&buf, pool, 0);
    for (i = 0; i < n; i++) {
        clb_buf_puts(&buf, open);
    }
    clb_buf_puts(&buf, core);
    for (i = 0; i < n; i++) {
        clb_buf_puts(&buf, close);
    }
    return buf.data;
}

static void depth(void)
{
    static const clb_json_mode_e modes[] = { CLB_JSON_STRICT,
                                             CLB_JSON_LENIENT };
    int i;

    for (i = 0; i < 2; i++) {
        const char *name = i == 0 ? "strict" : "lenient";
        clb_buf_t buf;

        ok(parse(nested("[", 128, "", "]"), modes[i]) != NULL,
           "%s: 128 arrays", name);
        ok(parse(nested("[", 129, "", "]"), modes[i]) == NULL,
           "%s: not 129", name);
        ok(why != NULL && strstr(why, "128") != NULL,
           "%s: the limit is named", name);
        ok(parse(nested("{\"a\":", 128, "1", "}"), modes[i]) != NULL,
           "%s: 128 objects", name);
        ok(parse(nested("{\"a\":", 129, "1", "}"), modes[i]) == NULL,
           "%s: not 129", name);
        ok(parse(nested("{\"a\":[", 64, "1", "]}"), modes[i]) != NULL,
           "%s: 64 of both", name);
        ok(parse(nested("{\"a\":[", 65, "1", "]}"), modes[i]) == NULL,
           "%s: not 65", name);
        ok(parse(nested("[", 1, nested("[", 500, "", "],") , "0]"), modes[i])
           == NULL, "%s: depth after depth", name);
        ok(parse(nested("[", 1, nested("[],", 500, "", ""), "0]"), modes[i])
           != NULL, "%s: 500 arrays side by side", name);
        ok(parse(nested("\"", 1, nested("[{", 500, "", ""), "\""), modes[i])
           != NULL, "%s: brackets in a string do not count", name);
        ok(parse(nested("\"\\\"", 1, nested("[{", 500, "", ""), "\""),
                 modes[i]) != NULL, "%s: nor after an escaped quote", name);
        clb_buf_init(&buf, pool, 0);
        clb_buf_puts(&buf, nested("[", 100000, "", ""));
        ok(parse(buf.data, modes[i]) == NULL, "%s: only opened", name);
        clb_buf_reset(&buf);
        clb_buf_add(&buf, BYTES("[\"\\\0\"\","));
        clb_buf_puts(&buf, nested("[", 200, "", "]"));
        clb_buf_puts(&buf, "]");
        ok(printed(buf.data, buf.len, modes[i]) == NULL,
           "%s: nor does a repair hide the depth", name);
    }
}

static void numbers(void)
{
    static const char *const same[] = { "0.7", "0.1", "0.2", "1.0", "3.14",
        "0.95", "1.5", "100", "0", "-1", "1e300", "-0.0", "123456.789" };
    apr_size_t i;

    for (i = 0; i < sizeof(same) / sizeof(*same); i++) {
        is_str(printed(same[i], strlen(same[i]), CLB_JSON_STRICT), same[i],
               "%s is printed as it was", same[i]);
    }
    is_str(clb_json_text(pool, clb_json_pack(pool, "f", 0.7)), "0.7",
           "also when packed");
    ok(clb_json_number(parse("0.7", CLB_JSON_STRICT), 0) == 0.7, "0.7 is 0.7");
    ok(clb_json_number(parse("3", CLB_JSON_STRICT), 0) == 3,
       "an integer is a number");
    ok(clb_json_number(parse("\"3\"", CLB_JSON_STRICT), -1) == -1,
       "a string is not");
    ok(clb_json_number(NULL, -1) == -1, "nothing is not");
    is_int(clb_json_integer(parse("3.9", CLB_JSON_STRICT), -1), 3,
           "a real is cut");
    is_int(clb_json_integer(parse("-3.9", CLB_JSON_STRICT), -1), -3,
           "towards zero");
    is_int(clb_json_integer(parse("1e30", CLB_JSON_STRICT), -1), -1,
           "unless it does not fit");
    is_int(clb_json_integer(parse("-1e30", CLB_JSON_STRICT), -1), -1,
           "either way");
    is_int(clb_json_integer(parse("8e18", CLB_JSON_STRICT), -1),
           8000000000000000000, "8e18 fits");
    is_int(clb_json_integer(parse("true", CLB_JSON_STRICT), -1), -1,
           "true is no integer");
    ok(clb_json_is_number(parse("9223372036854775808", CLB_JSON_LENIENT)),
       "an integer too large is a number for the lenient");
}

/* jansson prints and reads through the C library's decimal point. */
static void locales(void)
{
    static const char *const names[] = { "de_DE.UTF-8", "de_DE.utf8", "de_DE",
        "fr_FR.UTF-8", "ru_RU.UTF-8", "C" };
    const char *dir = getenv("TMPDIR");
    char *path = apr_pstrcat(pool, dir == NULL ? "/tmp" : dir,
                             "/clb-locale-XXXXXX", NULL);
    const char *set = NULL;
    apr_size_t i;

    for (i = 0; i < sizeof(names) / sizeof(*names) && set == NULL; i++) {
        set = setlocale(LC_NUMERIC, names[i]);
    }
    if (strcmp(set, "C") == 0 && mkdtemp(path) != NULL) {
        int rc = system(apr_pstrcat(pool, "localedef -i de_DE -f UTF-8 ",
                                    path, "/de_DE.UTF-8 2>/dev/null", NULL));

        setenv("LOCPATH", path, 1);
        if (rc == 0 && setlocale(LC_NUMERIC, "de_DE.UTF-8") != NULL) {
            set = "de_DE.UTF-8";
        }
        unsetenv("LOCPATH");
        rc = system(apr_pstrcat(pool, "rm -r ", path, NULL));
        ok(rc == 0, "the locale made for this test is gone");
    }
    diag("decimal point \"%s\" (%s)", localeconv()->decimal_point, set);
    is_str(printed("[0.7,1.5e3,-2.0]", 16, CLB_JSON_STRICT),
           "[0.7,1500.0,-2.0]", "numbers are printed with a point");
    ok(clb_json_number(parse("0.7", CLB_JSON_STRICT), 0) == 0.7,
       "and read with one");
    ok(parse("0,7", CLB_JSON_STRICT) == NULL, "not with a comma");
    is_str(clb_json_text(pool, clb_json_pack(pool, "f", 0.25)), "0.25",
           "nor printed with one when packed");
    setlocale(LC_NUMERIC, "C");
}

static void reading(void)
{
    clb_json_t *json = parse("{\"s\":\"x\",\"n\":null,\"o\":{\"p\":{\"q\":7},"
        "\"z\":null},\"a\":[1,null,\"t\"],\"t\":true,\"f\":false,\"r\":0.5,"
        "\"e\":\"\"}", CLB_JSON_STRICT);
    clb_json_t *value;
    const char *key;
    void *iter = NULL;
    clb_buf_t keys;

    is_str(clb_json_get_string(json, "s"), "x", "a string");
    is_str(clb_json_get_string(json, "e"), "", "an empty string");
    ok(clb_json_get(json, "n") == NULL, "null is absent");
    ok(clb_json_get(json, "none") == NULL, "so is what is not there");
    ok(clb_json_get(NULL, "s") == NULL, "nothing has no members");
    ok(clb_json_get(clb_json_get(json, "a"), "s") == NULL, "nor an array");
    ok(clb_json_get_string(json, "r") == NULL, "a number is no string");
    is_int(clb_json_get_integer(json, "s", 5), 5, "a string is no integer");
    is_int(clb_json_get_integer(json, "n", 5), 5, "nor is null");
    is_int(clb_json_integer(clb_json_find(json, "o.p.q"), 0), 7, "a path");
    is_str(clb_json_string(clb_json_find(json, "s")), "x", "of one step");
    ok(clb_json_find(json, "o.z.q") == NULL, "a path ends at null");
    ok(clb_json_find(json, "o.x.q") == NULL, "and at nothing");
    ok(clb_json_find(json, "s.x") == NULL, "and at a string");
    ok(clb_json_find(NULL, "s.x") == NULL, "and before it began");
    is_int((long long)clb_json_size(clb_json_get(json, "a")), 3,
           "size of an array");
    is_int((long long)clb_json_size(json), 8, "size of an object");
    is_int((long long)clb_json_size(clb_json_get(json, "s")), 0,
           "size of a string");
    is_int((long long)clb_json_size(NULL), 0, "size of nothing");
    is_str(clb_json_string(clb_json_at(clb_json_get(json, "a"), 2)), "t",
           "an item");
    ok(clb_json_at(clb_json_get(json, "a"), 3) == NULL, "beyond the end");
    ok(clb_json_at(json, 0) == NULL, "an object has no items");
    ok(clb_json_true(clb_json_get(json, "t")), "true");
    ok(!clb_json_true(clb_json_get(json, "f")), "not false");
    ok(!clb_json_true(clb_json_get(json, "r")), "not a number");
    ok(!clb_json_true(NULL), "not nothing");
    ok(clb_json_is_bool(clb_json_get(json, "f"))
       && !clb_json_is_bool(clb_json_get(json, "r"))
       && !clb_json_is_bool(NULL), "is_bool");
    ok(clb_json_is_object(json) && !clb_json_is_object(NULL)
       && !clb_json_is_object(clb_json_get(json, "a")), "is_object");
    ok(clb_json_is_array(clb_json_get(json, "a")) && !clb_json_is_array(json)
       && !clb_json_is_array(NULL), "is_array");
    ok(clb_json_is_string(clb_json_get(json, "s"))
       && !clb_json_is_string(json) && !clb_json_is_string(NULL),
       "is_string");
    ok(clb_json_is_number(clb_json_get(json, "r"))
       && !clb_json_is_number(clb_json_get(json, "s"))
       && !clb_json_is_number(NULL), "is_number");
    clb_buf_init(&keys, pool, 0);
    while ((iter = clb_json_next(json, iter, &key, &value)) != NULL) {
        clb_buf_puts(&keys, key);
        clb_buf_puts(&keys, value == NULL ? "?" : " ");
    }
    is_str(keys.data, "s n o a t f r e ", "members come in their order");
    ok(clb_json_next(NULL, NULL, &key, &value) == NULL,
       "nothing has none to walk");
}

static void building(void)
{
    clb_json_t *list = clb_json_pack(pool, "[]"), *object;
    apr_pool_t *sub;
    int i;

    apr_pool_create(&sub, pool);
    clb_json_append(list, clb_json_pack(sub, "s", "kept"));
    object = clb_json_pack(pool, "{s:s, s:s*, s:O}", "a", "b", "no", NULL,
                           "list", list);
    apr_pool_destroy(sub);
    is_str(clb_json_text(pool, object), "{\"a\":\"b\",\"list\":[\"kept\"]}",
           "what was appended outlives its own pool");
    clb_json_set(object, "a", clb_json_pack(pool, "i", 1));
    clb_json_set(object, "z", NULL);
    is_str(clb_json_text(pool, object), "{\"a\":1,\"list\":[\"kept\"]}",
           "set replaces; nothing is not set");
    ok(clb_json_pack(pool, "{s:s}", "a", NULL) == NULL,
       "NULL is not acceptable");
    ok(clb_json_pack(pool, "s", "\xff") == NULL, "nor is bad UTF-8");
    is_str(clb_json_text(pool, clb_json_pack(pool, "s", "\x7f\x01\"\\/\n")),
           "\"\x7f\\u0001\\\"\\\\/\\n\"", "what must be escaped is");
    is_str(clb_json_text(pool, NULL), "", "nothing is printed as nothing");
    for (i = 0; i < 100; i++) {
        clb_json_t *json;

        apr_pool_create(&sub, pool);
        clb_json_parse(&json, "[[{\"a\":\"b\"}]]", 13, CLB_JSON_STRICT, &why,
                       sub);
        clb_json_append(clb_json_at(json, 0), clb_json_pack(sub, "s", "x"));
        apr_pool_destroy(sub);
    }
    ok(1, "values end with their pool (the leak checkers see)");
}

/* The one form of equal values. */
static void canonical(void)
{
    static const struct {
        const char *text;
        const char *want;
    } cases[] = {
        { "{\"b\":1,\"a\":{\"d\":2,\"c\":3}}",
          "{\"a\":{\"c\":3,\"d\":2},\"b\":1}" },
        { "[3, 1,\n2]", "[3,1,2]" },
        { "{\"a\":[1.0,{\"b\":-2.0}],\"c\":1e3,\"d\":0.0}",
          "{\"a\":[1,{\"b\":-2}],\"c\":1000,\"d\":0}" },
        { "[2.5e-1,1.5e0,123456789012345678]",
          "[0.25,1.5,123456789012345678]" },
        { "[true,false,null,\"1.0\",\"\\u00e9\"]",
          "[true,false,null,\"1.0\",\"\xc3\xa9\"]" },
        { "{}", "{}" }, { "[]", "[]" }, { "\"x\"", "\"x\"" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        clb_json_t *json = parse(cases[i].text, CLB_JSON_STRICT);
        const char *before = clb_json_text(pool, json);

        is_str(clb_json_canonical(pool, json), cases[i].want, "%s",
               cases[i].want);
        is_str(clb_json_text(pool, json), before, "the value stays");
    }
}

static void position(void)
{
    clb_buf_t buf;

    parse("{\n  \"a\": 1,\n  \"b\": oops\n}", CLB_JSON_STRICT);
    ok(why != NULL && strstr(why, "line 3") != NULL
       && strstr(why, "column ") != NULL, "a refusal says where: %s", why);
    clb_buf_init(&buf, pool, 0);
    clb_buf_puts(&buf, "[\"\xff\xfe\xc3\"]");
    parse(buf.data, CLB_JSON_STRICT);
    ok(why != NULL && strcmp(why, clb_utf8_clean(pool, why, strlen(why),
                                                 NULL)) == 0,
       "in valid UTF-8: %s", why);
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    texts();
    depth();
    numbers();
    locales();
    reading();
    building();
    canonical();
    position();
    return tap_done();
}
