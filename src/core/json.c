/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one file that knows jansson. Values are malloc'd by the library, so each
 * one is bound to a pool by a cleanup in the statement after it is made.
 * json_set_alloc_funcs() and json_object_seed() are process-wide and other
 * modules share the library: they are never called.
 */
#include "json.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

static json_t *raw(const clb_json_t *json)
{
    return (json_t *)json;
}

static apr_status_t release(void *json)
{
    json_decref(json);
    return APR_SUCCESS;
}

static clb_json_t *own(apr_pool_t *pool, json_t *json)
{
    if (json != NULL) {
        apr_pool_cleanup_register(pool, json, release, apr_pool_cleanup_null);
    }
    return (clb_json_t *)json;
}

/* What a pass over the text found, before the recursive parser sees it. */
typedef struct scan_t {
    apr_size_t depth;
    int surrogates;
} scan_t;

static int unit(const char *s, const char *end)
{
    int value = 0, i;

    if (end - s < 6 || s[0] != '\\' || s[1] != 'u') {
        return -1;
    }
    for (i = 2; i < 6; i++) {
        int c = apr_tolower(s[i]);

        if (!apr_isxdigit(c)) {
            return -1;
        }
        value = value << 4 | (apr_isdigit(c) ? c - '0' : c - 'a' + 10);
    }
    return value;
}

/* Steps over the escape at s. A lone surrogate is made U+FFFD when @a repair
 * is set, and so is NUL when @a nul is. */
static char *escape(char *s, const char *end, int repair, int nul,
                    scan_t *scan)
{
    int hi = unit(s, end);

    if (hi < 0) {
        return end - s < 2 ? s + 1 : s + 2;
    }
    if (hi >= 0xd800 && hi <= 0xdbff) {
        int lo = unit(s + 6, end);

        if (lo >= 0xdc00 && lo <= 0xdfff) {
            return s + 12;
        }
    }
    if (hi >= 0xd800 && hi <= 0xdfff) {
        scan->surrogates = 1;
        if (repair) {
            memcpy(s + 2, "fffd", 4);
        }
    }
    else if (hi == 0 && nul) {
        memcpy(s + 2, "fffd", 4);
    }
    return s + 6;
}

static void walk(scan_t *scan, char *s, apr_size_t len, int repair, int nul)
{
    const char *end = s + len;
    apr_size_t depth = 0;
    int quoted = 0;

    memset(scan, 0, sizeof(*scan));
    while (s < end) {
        if (quoted && *s == '\\') {
            s = escape(s, end, repair, nul, scan);
            continue;
        }
        if (*s == '"') {
            quoted = !quoted;
        }
        else if (!quoted && (*s == '[' || *s == '{')) {
            if (++depth > scan->depth) {
                scan->depth = depth;
            }
        }
        else if (!quoted && (*s == ']' || *s == '}') && depth > 0) {
            depth--;
        }
        s++;
    }
}

static json_t *load_lenient(const char *data, apr_size_t len,
                            json_error_t *error, apr_pool_t *pool)
{
    scan_t scan;
    apr_size_t size;
    const char *clean = clb_utf8_clean(pool, data, len, &size);
    json_t *json;

    walk(&scan, (char *)clean, size, 1, 1);
    if (scan.depth > CLB_JSON_DEPTH) {
        return NULL;     /* only a backslash before a NUL hid it till now */
    }
    json = json_loadb(clean, size, JSON_DECODE_ANY, error);
    return json != NULL ? json
         : json_loadb(clean, size, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL,
                      error);
}

apr_status_t clb_json_parse(clb_json_t **out, const char *data,
                            apr_size_t len, clb_json_mode_e mode,
                            const char **why, apr_pool_t *pool)
{
    size_t flags = JSON_DECODE_ANY
                 | (mode == CLB_JSON_STRICT ? JSON_REJECT_DUPLICATES : 0);
    json_error_t error;
    json_t *json;
    scan_t scan;

    *out = NULL;
    walk(&scan, (char *)data, len, 0, 0);
    if (scan.depth > CLB_JSON_DEPTH) {
        *why = apr_psprintf(pool, "nested deeper than %d levels",
                            CLB_JSON_DEPTH);
        return APR_EINVAL;
    }
    if (scan.surrogates) {
        data = apr_pmemdup(pool, data, len);
        walk(&scan, (char *)data, len, 1, 0);
    }
    json = json_loadb(data, len, flags, &error);
    if (json == NULL && mode == CLB_JSON_LENIENT) {
        json = load_lenient(data, len, &error, pool);
    }
    if (json == NULL) {
        const char *text = clb_utf8_clean(pool, error.text,
                                          strlen(error.text), NULL);

        *why = apr_psprintf(pool, "%s (line %d, column %d)", text,
                            error.line, error.column);
        return APR_EINVAL;
    }
    *out = own(pool, json);
    return APR_SUCCESS;
}

clb_json_t *clb_json_get(const clb_json_t *object, const char *key)
{
    json_t *value = json_object_get(raw(object), key);

    return json_is_null(value) ? NULL : (clb_json_t *)value;
}

clb_json_t *clb_json_member(const clb_json_t *object, const char *key)
{
    return (clb_json_t *)json_object_get(raw(object), key);
}

clb_json_t *clb_json_find(const clb_json_t *object, const char *path)
{
    char key[64];
    const char *dot;

    while ((dot = strchr(path, '.')) != NULL) {
        apr_cpystrn(key, path, (apr_size_t)(dot - path) + 1);
        object = clb_json_get(object, key);
        path = dot + 1;
    }
    return clb_json_get(object, path);
}

int clb_json_is_object(const clb_json_t *json)
{
    return json_is_object(raw(json));
}

int clb_json_is_array(const clb_json_t *json)
{
    return json_is_array(raw(json));
}

int clb_json_is_string(const clb_json_t *json)
{
    return json_is_string(raw(json));
}

int clb_json_is_number(const clb_json_t *json)
{
    return json_is_number(raw(json));
}

int clb_json_is_bool(const clb_json_t *json)
{
    return json_is_boolean(raw(json));
}

const char *clb_json_string(const clb_json_t *json)
{
    return json_string_value(raw(json));
}

const char *clb_json_get_string(const clb_json_t *object, const char *key)
{
    return clb_json_string(clb_json_get(object, key));
}

double clb_json_number(const clb_json_t *json, double otherwise)
{
    return json_is_number(raw(json)) ? json_number_value(raw(json))
                                     : otherwise;
}

apr_int64_t clb_json_integer(const clb_json_t *json, apr_int64_t otherwise)
{
    double value;

    if (json_is_integer(raw(json))) {
        return json_integer_value(raw(json));
    }
    if (!json_is_real(raw(json))) {
        return otherwise;
    }
    value = json_real_value(raw(json));
    return value > -9e18 && value < 9e18 ? (apr_int64_t)value : otherwise;
}

apr_int64_t clb_json_get_integer(const clb_json_t *object, const char *key,
                                 apr_int64_t otherwise)
{
    return clb_json_integer(clb_json_get(object, key), otherwise);
}

int clb_json_true(const clb_json_t *json)
{
    return json_is_true(raw(json));
}

int clb_json_equal(const clb_json_t *a, const clb_json_t *b)
{
    return json_equal(raw(a), raw(b));
}

apr_size_t clb_json_size(const clb_json_t *json)
{
    return json_is_array(raw(json)) ? json_array_size(raw(json))
                                    : json_object_size(raw(json));
}

clb_json_t *clb_json_at(const clb_json_t *array, apr_size_t i)
{
    return (clb_json_t *)json_array_get(raw(array), i);
}

void *clb_json_next(const clb_json_t *object, void *iter, const char **key,
                    clb_json_t **value)
{
    iter = iter == NULL ? json_object_iter(raw(object))
                        : json_object_iter_next(raw(object), iter);
    if (iter != NULL) {
        *key = json_object_iter_key(iter);
        *value = (clb_json_t *)json_object_iter_value(iter);
    }
    return iter;
}

clb_json_t *clb_json_pack(apr_pool_t *pool, const char *format, ...)
{
    va_list args;
    json_t *json;

    va_start(args, format);
    json = json_vpack_ex(NULL, 0, format, args);
    va_end(args);
    return own(pool, json);
}

void clb_json_append(clb_json_t *array, const clb_json_t *item)
{
    json_array_append(raw(array), raw(item));
}

void clb_json_set(clb_json_t *object, const char *key,
                  const clb_json_t *value)
{
    json_object_set(raw(object), key, raw(value));
}

void clb_json_update(clb_json_t *object, const clb_json_t *more)
{
    json_object_update(raw(object), raw(more));
}

static int append(const char *data, size_t len, void *buf)
{
    clb_buf_add(buf, data, len);
    return 0;
}

void clb_json_write(clb_buf_t *buf, const clb_json_t *json)
{
    /* 17 digits would print 0.7 as 0.69999999999999996 */
    json_dump_callback(raw(json), append, buf, JSON_COMPACT | JSON_ENCODE_ANY
                       | JSON_REAL_PRECISION(15));
}

void clb_json_quote(clb_buf_t *buf, const char *text, apr_size_t len)
{
    json_t *string = json_stringn(text, len);

    clb_json_write(buf, (clb_json_t *)string);
    json_decref(string);
}

const char *clb_json_text(apr_pool_t *pool, const clb_json_t *json)
{
    clb_buf_t buf;

    clb_buf_init(&buf, pool, 256);
    clb_json_write(&buf, json);
    return buf.data;
}

/* @a json as an integer if it is a real that has no fraction, else NULL. */
static json_t *whole_number(const json_t *json)
{
    double value = json_real_value(json);

    return json_is_real(json) && value == floor(value) && fabs(value) < 9e15
         ? json_integer((json_int_t)value) : NULL;
}

static void replace_reals(json_t *json)
{
    json_t *value, *number;
    const char *key;
    size_t i;

    json_object_foreach(json, key, value) {
        if ((number = whole_number(value)) != NULL) {
            json_object_set_new(json, key, number);
        }
        else {
            replace_reals(value);
        }
    }
    json_array_foreach(json, i, value) {
        if ((number = whole_number(value)) != NULL) {
            json_array_set_new(json, i, number);
        }
        else {
            replace_reals(value);
        }
    }
}

const char *clb_json_canonical(apr_pool_t *pool, const clb_json_t *json)
{
    json_t *copy = json_deep_copy(raw(json));
    clb_buf_t buf;

    clb_buf_init(&buf, pool, 256);
    replace_reals(copy);
    json_dump_callback(copy, append, &buf, JSON_COMPACT | JSON_ENCODE_ANY
                       | JSON_REAL_PRECISION(17) | JSON_SORT_KEYS);
    json_decref(copy);
    return buf.data;
}
