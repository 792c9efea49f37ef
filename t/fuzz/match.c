/* SPDX-License-Identifier: Apache-2.0 */
/* What a program sent against what is known: each difference is told in a few
 * words of valid UTF-8, and what has none has one with a member more. An input
 * of two lines is a pattern and a value. */
#include "fuzz.h"

#include "../../src/backend/canary.h"
#include "../../src/core/match.h"

#include <string.h>

static clb_json_t *parse(const char *text, apr_size_t len, apr_pool_t *pool)
{
    clb_json_t *json = NULL;
    const char *why;

    clb_json_parse(&json, text, len, CLB_JSON_STRICT, &why, pool);
    return json;
}

static const char *compare(const clb_json_t *pattern, const clb_json_t *value,
                           apr_pool_t *pool)
{
    const char *why = clb_json_mismatch(pattern, value, pool);

    FUZZ_CHECK(why == NULL || *why != '\0', "nothing is said");
    FUZZ_CHECK(why == NULL || strcmp(why, clb_utf8_clean(pool, why,
               strlen(why), NULL)) == 0, "not UTF-8: %s", why);
    return why;
}

static void known(clb_json_t *value, apr_pool_t *pool)
{
    const clb_canary_t *canary;

    for (canary = clb_canaries; canary->driver != NULL; canary++) {
        const clb_json_t *pattern = parse(canary->text, strlen(canary->text),
                                          pool);
        const char *why = compare(pattern, value, pool);

        FUZZ_CHECK(why == NULL || strlen(why) < 3 * CLB_EXCERPT,
                   "too many words: %s", why);
        if (why == NULL) {
            clb_json_set(value, "more", pattern);
            FUZZ_CHECK(compare(pattern, value, pool) != NULL, "not seen");
        }
    }
}

static void any(const clb_json_t *pattern, const clb_json_t *value,
                const char *text, apr_size_t len, apr_pool_t *pool)
{
    compare(pattern, value, pool);
    if (memchr(text, '{', len) == NULL) {
        FUZZ_CHECK(compare(pattern, pattern, pool) == NULL,
                   "unlike itself: %s", text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();
    char *text = malloc(size + 1), *end;
    clb_json_t *first, *second;
    size_t len;

    memcpy(text, data, size);
    text[size] = '\0';
    end = memchr(text, '\n', size);
    len = end == NULL ? size : (size_t)(end - text);
    first = parse(text, len, pool);
    second = end == NULL ? NULL : parse(end + 1, size - len - 1, pool);
    if (first != NULL && second != NULL) {
        any(first, second, text, len, pool);
    }
    else if (first != NULL) {
        known(first, pool);
    }
    free(text);
    apr_pool_clear(pool);
    return 0;
}
