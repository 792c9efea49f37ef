/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing JSON with a pattern. */
#include "tap.h"

#include "../../src/core/match.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

static apr_pool_t *pool;

static clb_json_t *parse(const char *text)
{
    const char *why = NULL;
    clb_json_t *json;

    if (clb_json_parse(&json, text, strlen(text), CLB_JSON_STRICT, &why,
                       pool) != APR_SUCCESS) {
        diag("%s: %s", text, why);
        abort();
    }
    return json;
}

static const struct {
    const char *pattern;
    const char *value;
    const char *why;          /* NULL = it matches */
} cases[] = {
    /* values */
    { "1", "1", NULL },
    { "1", "2", "(top): 2 is not expected, but 1" },
    { "1", "1.0", "(top): 1.0 is not expected, but 1" },
    { "true", "true", NULL },
    { "true", "false", "(top): false is not expected, but true" },
    { "null", "null", NULL },
    { "null", "0", "(top): 0 is not expected, but null" },
    { "\"\"", "null", "(top): null is not expected, but \"\"" },
    { "[]", "{}", "(top): {} is not expected, but []" },
    { "{}", "[]", "(top): [] is not expected, but {}" },
    { "{}", "\"\"", "(top): \"\" is not expected, but {}" },

    /* arrays */
    { "[]", "[]", NULL },
    { "[1,[2]]", "[1,[2]]", NULL },
    { "[1,[2]]", "[1,[3]]", "[1][0]: 3 is not expected, but 2" },
    { "[]", "[{\"a\":1}]", "[0]: {\"a\":1} is not expected" },
    { "[1,2]", "[1]", "[1] is missing" },

    /* objects */
    { "{\"a\":1,\"b\":{\"c\":2}}", "{\"b\":{\"c\":2},\"a\":1}", NULL },
    { "{\"a\":{\"b\":[0,{\"c\":1}]}}", "{\"a\":{\"b\":[0,{\"c\":2}]}}",
      "a.b[1].c: 2 is not expected, but 1" },
    { "{\"a\":1,\"b\":2}", "{\"a\":1}", "b is missing" },
    { "{\"a\":{}}", "{\"a\":{\"x\\n\":1}}",
      "a: member \"x\\n\": 1 is not expected" },
    { "{}", "{\"a\":null}",
      "(top): member \"a\": null is not expected" },
    { "{\"a\":null}", "{}", "a is missing" },
    { "{\"a\":null}", "{\"a\":null}", NULL },

    /* members that may be absent */
    { "{\"a?\":1}", "{}", NULL },
    { "{\"a?\":1}", "{\"a\":1}", NULL },
    { "{\"a?\":1}", "{\"a\":2}", "a: 2 is not expected, but 1" },
    { "{\"a?\":1}", "{\"a\":null}", "a: null is not expected, but 1" },
    { "{\"a?\":1}", "{\"a?\":2}",
      "(top): member \"a?\": 2 is not expected" },
    { "{\"a?\":1}", "{\"a\":1,\"a?\":2}",
      "(top): member \"a?\": 2 is not expected" },
    { "{\"a\":1}", "{\"a\":1,\"a?\":1}",
      "(top): member \"a?\": 1 is not expected" },

    /* anything */
    { "{\"$any\":true}", "[{\"x\":[null]}]", NULL },
    { "{\"$any\":true}", "null", NULL },
    { "{\"a\":{\"$any\":true}}", "{\"a\":\"x\"}", NULL },
    { "{\"a\":{\"$any\":true}}", "{}", "a is missing" },
    { "{\"$any\":false}", "1", "(top): 1 is not expected, but "
      "{\"$any\":false}" },
    { "{\"$any\":true,\"b\":1}", "1", "(top): 1 is not expected, but "
      "{\"$any\":true,\"b\":1}" },
    { "{\"a\":1}", "{\"$any\":true}", "a is missing" },

    /* strings */
    { "\"abc\"", "\"abc\"", NULL },
    { "\"abc\"", "\"abd\"",
      "(top): ...\"d\" is not expected, but ...\"c\"" },
    { "\"abc\"", "\"ab\"",
      "(top): ...\"\" is not expected, but ...\"c\"" },
    { "\"ab\"", "\"abc\"",
      "(top): ...\"c\" is not expected, but ...\"\"" },
    { "\"x\xc3\xbc\"", "\"x\xc3\xb6\"", "(top): ...\"\xc3\xb6\" is "
      "not expected, but ...\"\xc3\xbc\"" },
    { "\"{{x}} {{ }} {\"", "\"{{x}} {{ }} {\"", NULL },
    { "\"a\"", "\"{{*}}\"", "(top): \"{{*}}\" is not expected, but \"a\"" },

    /* wildcards */
    { "\"{{*}}\"", "\"\"", NULL },
    { "\"{{*}}\"", "\"any thing: \xc3\xbc\\t\"", NULL },
    { "\"{{*}}\"", "\"a\\nb\"",
      "(top): \"a\\nb\" is not expected, but \"{{*}}\"" },
    { "\"a{{*}}z\"", "\"az\"", NULL },
    { "\"a{{*}}z\"", "\"azzz\"", NULL },
    { "\"a{{*}}zz\"", "\"az\"", "(top): ...\"z\" is not expected, "
      "but ...\"{{*}}zz\"" },
    { "\"{{*}}\\nb\"", "\"a a\\nb\"", NULL },
    { "\"{{*}}\\nb\"", "\"a\\na\\nb\"", "(top): \"a\\na\\nb\" is not expected,"
      " but \"{{*}}\\nb\"" },
    { "\"{{{*}}}\"", "\"{x}\"", NULL },
    { "\"{{id}}\"", "\"aZ09-._+~\"", NULL },
    { "\"{{id}}\"", "\"\"", NULL },
    { "\"{{id}}\"", "\"a b\"",
      "(top): \"a b\" is not expected, but \"{{id}}\"" },
    { "\"{{id}}\"", "\"\xc3\xbc\"",
      "(top): \"\xc3\xbc\" is not expected, but \"{{id}}\"" },
    { "\"{\\\"d\\\":\\\"{{id}}\\\"}\"", "\"{\\\"d\\\":\\\"0-f\\\"}\"", NULL },
    { "\"{\\\"d\\\":\\\"{{id}}\\\"}\"",
      "\"{\\\"d\\\":\\\"0\\\",\\\"e\\\":\\\"me@x\\\"}\"",
      "(top): ...\"0\\\",\\\"e\\\":\\\"me@x\\\"}\" is not expected, "
      "but ...\"{{id}}\\\"}\"" },
    { "\"on {{id}} at {{*}}.\"", "\"on 2026-11-21 at a. b.\"", NULL },
    { "\"{{id}}{{*}}\"", "\"ab c\"", NULL },

    /* the shortest run and no second try: rather refused than taken */
    { "\"{{*}}: {{id}}.\"", "\"a: b: c.\"", "(top): ...\"b: c.\" is "
      "not expected, but ...\"{{id}}.\"" },
};

static void table(void)
{
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        is_str(clb_json_mismatch(parse(cases[i].pattern),
                                 parse(cases[i].value), pool),
               cases[i].why, "%s against %s", cases[i].value,
               cases[i].pattern);
    }
}

/* @a count times @a piece, between quotes. */
static const char *many(const char *piece, apr_size_t count)
{
    apr_size_t len = strlen(piece), i;
    char *text = apr_palloc(pool, len * count + 3);

    text[0] = '"';
    for (i = 0; i < count; i++) {
        memcpy(text + 1 + i * len, piece, len);
    }
    strcpy(text + 1 + len * count, "\"");
    return text;
}

/* All excerpts are short and are UTF-8, wherever they are cut. */
static void long_values(void)
{
    static const char *const pieces[] = {
        "x", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\\u0001", "\\n"
    };
    static const char *const around[][2] = {
        { "", "" }, { "[", "]" }, { "{\"a\":", "}" }, { "{", ":1}" },
    };
    apr_size_t i, j, shift, wrong = 0, tried = 0;

    for (i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
        for (j = 0; j < sizeof(around) / sizeof(*around); j++) {
            for (shift = 0; shift < 4; shift++) {
                const char *value = apr_pstrcat(pool, around[j][0], "\"",
                    apr_pstrndup(pool, "aaaa", shift),
                    many(pieces[i], 5000) + 1, around[j][1], NULL);
                const char *why = clb_json_mismatch(
                    parse(j == 3 ? "{}" : j == 2 ? "{\"a\":\"a\"}" : "\"a\""),
                    parse(value), pool);

                tried++;
                wrong += why == NULL || strlen(why) > 2 * CLB_EXCERPT + 80
                      || strcmp(why, clb_utf8_clean(pool, why, strlen(why),
                                                    NULL)) != 0;
            }
        }
    }
    is_int((long long)wrong, 0, "%d long differences are short and UTF-8",
           (int)tried);
}

/* A search that goes back would take ages over these. */
static void hostile(void)
{
    apr_size_t n = 1 << 20;
    const char *a = many("a", n);
    const char *pattern = apr_pstrcat(pool, "\"", many("{{id}}a", 20) + 1,
                                      NULL);
    char *bad = apr_pstrdup(pool, a);

    ok(clb_json_mismatch(parse(pattern), parse(a), pool) == NULL,
       "twenty wildcards in a megabyte");
    bad[n] = '!';
    ok(clb_json_mismatch(parse(pattern), parse(bad), pool) != NULL,
       "and one that does not match at its end");
}

static void depth(void)
{
    char text[2 * CLB_JSON_DEPTH + 1];
    const char *why;

    memset(text, '[', CLB_JSON_DEPTH);
    memset(text + CLB_JSON_DEPTH, ']', CLB_JSON_DEPTH);
    text[2 * CLB_JSON_DEPTH] = '\0';
    ok(clb_json_mismatch(parse(text), parse(text), pool) == NULL,
       "the deepest values");
    why = clb_json_mismatch(parse("[[[]]]"), parse(text), pool);
    ok(why != NULL && strncmp(why, "[0][0][0]: [[[[", 15) == 0,
       "only as deep as the pattern");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    table();
    long_values();
    hostile();
    depth();
    return tap_done();
}
