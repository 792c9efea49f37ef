/* SPDX-License-Identifier: Apache-2.0 */
/* JSON in both modes: what is accepted is printed and read again the same,
 * what is refused says why, and the lenient take all that the strict take. */
#include "fuzz.h"

#include "../../src/core/json.h"

#include <string.h>

static void check_text(const char *text, apr_pool_t *pool)
{
    FUZZ_CHECK(strcmp(text, clb_utf8_clean(pool, text, strlen(text), NULL))
               == 0, "not UTF-8: %s", text);
}

static void check_value(clb_json_t *json, apr_size_t depth, apr_pool_t *pool)
{
    clb_json_t *value;
    const char *key;
    void *iter = NULL;
    apr_size_t i;

    if (clb_json_is_string(json)) {
        check_text(clb_json_string(json), pool);
    }
    else if (clb_json_is_array(json)) {
        FUZZ_CHECK(depth < CLB_JSON_DEPTH, "too deep");
        for (i = 0; i < clb_json_size(json); i++) {
            check_value(clb_json_at(json, i), depth + 1, pool);
        }
    }
    else if (clb_json_is_object(json)) {
        FUZZ_CHECK(depth < CLB_JSON_DEPTH, "too deep");
        while ((iter = clb_json_next(json, iter, &key, &value)) != NULL) {
            check_text(key, pool);
            check_value(value, depth + 1, pool);
        }
    }
    else {
        (void)clb_json_integer(json, 0);
    }
}

/* The printed form; NULL if the bytes are refused. */
static const char *accepted(const char *data, apr_size_t len,
                            clb_json_mode_e mode, apr_pool_t *pool)
{
    clb_json_t *json = NULL;
    const char *why = NULL;

    if (clb_json_parse(&json, data, len, mode, &why, pool) != APR_SUCCESS) {
        FUZZ_CHECK(json == NULL && why != NULL && *why != '\0', "no reason");
        check_text(why, pool);
        return NULL;
    }
    FUZZ_CHECK(json != NULL, "no value");
    check_value(json, 0, pool);
    return clb_json_text(pool, json);
}

static void check_again(const char *text, clb_json_mode_e mode,
                        apr_pool_t *pool)
{
    const char *again = accepted(text, strlen(text), mode, pool);

    if (again == NULL && strstr(text, "e308") != NULL) {
        return;     /* 15 digits can round up beyond the largest number */
    }
    FUZZ_CHECK(again != NULL, "refused: %s", text);
    FUZZ_CHECK(strcmp(text, again) == 0, "%s became %s", text, again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();
    char *copy = malloc(size + 1);
    const char *strict, *lenient;

    memcpy(copy, data, size);
    strict = accepted(copy, size, CLB_JSON_STRICT, pool);
    lenient = accepted(copy, size, CLB_JSON_LENIENT, pool);
    FUZZ_CHECK(memcmp(copy, data, size) == 0, "the input was changed");
    if (strict != NULL) {
        FUZZ_CHECK(lenient != NULL && strcmp(strict, lenient) == 0,
                   "modes differ: %s", strict);
        check_again(strict, CLB_JSON_STRICT, pool);
    }
    if (lenient != NULL) {
        check_again(lenient, CLB_JSON_LENIENT, pool);
    }
    free(copy);
    apr_pool_clear(pool);
    return 0;
}
