/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comparing what a program sent with what it was expected to send. A
 * difference is put together from the inside out: each level writes its step
 * of the path in front of what the level below found.
 */
#include "match.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

/* --- excerpts ------------------------------------------------------------ */

/* In ASCII: httpd's error log escapes the rest. */
#define DOTS "..."

/* The beginning of @a text, which is valid UTF-8. */
static const char *cut(const char *text, apr_pool_t *pool)
{
    apr_size_t len = strlen(text);

    if (len <= CLB_EXCERPT) {
        return text;
    }
    len = CLB_EXCERPT - strlen(DOTS);
    return apr_pstrcat(pool, apr_pstrndup(pool, text,
                       len - clb_utf8_tail(text, len)), DOTS, NULL);
}

static const char *excerpt(const clb_json_t *json, apr_pool_t *pool)
{
    return cut(clb_json_text(pool, json), pool);
}

/* The rest of a string that is equal up to @a at. */
static const char *rest(const char *string, const char *at, apr_pool_t *pool)
{
    while (at > string && ((unsigned char)*at & 0xc0) == 0x80) {
        at--;
    }
    return cut(apr_pstrcat(pool, at > string ? DOTS : "",
                           excerpt(clb_json_pack(pool, "s", at), pool), NULL),
               pool);
}

/* --- strings ------------------------------------------------------------- */

typedef struct wildcard_t {
    const char *text;
    int (*takes)(int c);
} wildcard_t;

static int no_line_feed(int c)
{
    return c != '\n';
}

static int of_ids(int c)
{
    return (c < 0x80 && apr_isalnum(c)) || (c != '\0' && strchr("-._+~", c));
}

static const wildcard_t wildcards[] = {
    { "{{*}}", no_line_feed },
    { "{{id}}", of_ids },
};

/* The first wildcard in @a pattern; at its end and NULL if there is none. */
static const char *next_wildcard(const char *pattern, const wildcard_t **card)
{
    const char *at = pattern;
    apr_size_t i;

    *card = NULL;
    while ((at = strstr(at, "{{")) != NULL) {
        for (i = 0; i < sizeof(wildcards) / sizeof(*wildcards); i++) {
            if (strncmp(at, wildcards[i].text, strlen(wildcards[i].text))
                == 0) {
                *card = &wildcards[i];
                return at;
            }
        }
        at++;
    }
    return pattern + strlen(pattern);
}

/* Where @a text goes on behind a run of @a card and @a literal, which ends
 * the text if it is the @a last; NULL if it does not. */
static const char *skip(const char *text, const wildcard_t *card,
                        const char *literal, int last)
{
    apr_size_t len = strlen(literal), left = strlen(text);
    const char *end = !last ? strstr(text, literal)
        : left >= len && strcmp(text + left - len, literal) == 0
        ? text + left - len : NULL;

    if (end == NULL) {
        return NULL;
    }
    while (text < end && card->takes((unsigned char)*text)) {
        text++;
    }
    return text == end ? end + len : NULL;
}

static const char *compare(const char *pattern, const char *text,
                           apr_pool_t *pool)
{
    const char *wanted = pattern, *got = text;
    const wildcard_t *card, *next;
    const char *at = next_wildcard(pattern, &card);

    while (wanted < at && *got == *wanted) {
        wanted++;
        got++;
    }
    while (wanted == at && card != NULL) {
        const char *literal = at + strlen(card->text), *behind;

        at = next_wildcard(literal, &next);
        behind = skip(got, card, apr_pstrmemdup(pool, literal,
                      (apr_size_t)(at - literal)), next == NULL);
        if (behind == NULL) {
            break;
        }
        wanted = at;
        got = behind;
        card = next;
    }
    if (*wanted == '\0' && *got == '\0') {
        return NULL;
    }
    return apr_psprintf(pool, ": %s is not expected, but %s",
                        rest(text, got, pool), rest(pattern, wanted, pool));
}

/* --- values -------------------------------------------------------------- */

static const char *differ(const clb_json_t *pattern, const clb_json_t *value,
                          apr_pool_t *pool);

static const char *items(const clb_json_t *pattern, const clb_json_t *value,
                         apr_pool_t *pool)
{
    apr_size_t wanted = clb_json_size(pattern), got = clb_json_size(value), i;

    for (i = 0; i < wanted || i < got; i++) {
        const char *why = i == got ? " is missing"
            : i == wanted
            ? apr_psprintf(pool, ": %s is not expected",
                           excerpt(clb_json_at(value, i), pool))
            : differ(clb_json_at(pattern, i), clb_json_at(value, i), pool);

        if (why != NULL) {
            return apr_psprintf(pool, "[%" APR_SIZE_T_FMT "]%s", i, why);
        }
    }
    return NULL;
}

/* "name?" without its mark; NULL if it has none. */
static const char *optional(const char *name, apr_pool_t *pool)
{
    apr_size_t len = strlen(name);

    return len > 0 && name[len - 1] == '?'
        ? apr_pstrmemdup(pool, name, len - 1) : NULL;
}

static int expected(const clb_json_t *pattern, const char *name,
                    apr_pool_t *pool)
{
    return (clb_json_member(pattern, name) != NULL
            && optional(name, pool) == NULL)
        || clb_json_member(pattern, apr_pstrcat(pool, name, "?", NULL))
           != NULL;
}

static const char *members(const clb_json_t *pattern, const clb_json_t *value,
                           apr_pool_t *pool)
{
    void *iter = NULL;
    const char *name;
    clb_json_t *wanted, *got;

    while ((iter = clb_json_next(pattern, iter, &name, &wanted)) != NULL) {
        const char *may = optional(name, pool), *why = NULL;

        name = may != NULL ? may : name;
        got = clb_json_member(value, name);
        if (got != NULL) {
            why = differ(wanted, got, pool);
        }
        else if (may == NULL) {
            why = " is missing";
        }
        if (why != NULL) {
            return apr_pstrcat(pool, ".", name, why, NULL);
        }
    }
    while ((iter = clb_json_next(value, iter, &name, &got)) != NULL) {
        if (!expected(pattern, name, pool)) {
            return apr_psprintf(pool, ": member %s: %s is not expected",
                                excerpt(clb_json_pack(pool, "s", name), pool),
                                excerpt(got, pool));
        }
    }
    return NULL;
}

/* NULL or the rest of the sentence: the rest of the path and what is there. */
static const char *differ(const clb_json_t *pattern, const clb_json_t *value,
                          apr_pool_t *pool)
{
    if (clb_json_size(pattern) == 1
        && clb_json_true(clb_json_member(pattern, "$any"))) {
        return NULL;
    }
    if (clb_json_is_object(pattern) && clb_json_is_object(value)) {
        return members(pattern, value, pool);
    }
    if (clb_json_is_array(pattern) && clb_json_is_array(value)) {
        return items(pattern, value, pool);
    }
    if (clb_json_is_string(pattern) && clb_json_is_string(value)) {
        return compare(clb_json_string(pattern), clb_json_string(value),
                       pool);
    }
    return clb_json_equal(pattern, value) ? NULL
        : apr_psprintf(pool, ": %s is not expected, but %s",
                       excerpt(value, pool), excerpt(pattern, pool));
}

const char *clb_json_mismatch(const clb_json_t *pattern,
                              const clb_json_t *value, apr_pool_t *pool)
{
    const char *why = differ(pattern, value, pool);

    if (why == NULL) {
        return NULL;
    }
    return *why == '.' ? why + 1
        : *why == ':' ? apr_pstrcat(pool, "(top)", why, NULL) : why;
}
