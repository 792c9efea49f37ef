/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_JSON_H
#define CLB_JSON_H

#include "text.h"

/**
 * JSON values bound to pools. Every value returned here lives until its pool
 * is cleared; a value is used by one thread at a time. The library's own type
 * never leaves json.c.
 */
typedef struct clb_json_t clb_json_t;

/** Deepest nesting accepted: jansson recurses, and 2048 levels overflow a
 *  512 KiB thread stack (measured). */
#define CLB_JSON_DEPTH 128

typedef enum clb_json_mode_e {
    CLB_JSON_STRICT,   /**< a client's body: refused with a position */
    CLB_JSON_LENIENT   /**< a CLI's line: repaired where that is possible */
} clb_json_mode_e;

/**
 * Parse one value that is all of @a data. Lone surrogates become U+FFFD in
 * both modes (JavaScript's JSON.stringify emits them). Strict refuses
 * duplicate keys, NUL, bad UTF-8 and numbers out of range; lenient replaces
 * NUL and bad UTF-8 and reads large integers as reals.
 * @param why set on failure to a sentence with the position, in @a pool
 * @return APR_SUCCESS or APR_EINVAL
 */
apr_status_t clb_json_parse(clb_json_t **json, const char *data,
                            apr_size_t len, clb_json_mode_e mode,
                            const char **why, apr_pool_t *pool);

/** The member @a key of @a object; NULL when it is absent or null, or when
 *  @a object is not an object: clients send null for "not given". */
clb_json_t *clb_json_get(const clb_json_t *object, const char *key);

/** The member @a key of @a object, even if it is null; NULL when there is
 *  none. */
clb_json_t *clb_json_member(const clb_json_t *object, const char *key);

/** The value at @a path ("a.b.c") below @a object, or NULL. */
clb_json_t *clb_json_find(const clb_json_t *object, const char *path);

/** 1 if the value is one of that type; NULL is of none. */
int clb_json_is_object(const clb_json_t *json);
int clb_json_is_array(const clb_json_t *json);
int clb_json_is_string(const clb_json_t *json);
int clb_json_is_number(const clb_json_t *json);
int clb_json_is_bool(const clb_json_t *json);

/** The text of a string, NULL for anything else. It has no NUL inside. */
const char *clb_json_string(const clb_json_t *json);

/** The text of member @a key, NULL when it is not a string. */
const char *clb_json_get_string(const clb_json_t *object, const char *key);

/** The value of a number, @a otherwise for anything else. */
double clb_json_number(const clb_json_t *json, double otherwise);

/** The value of a number cut to an integer, @a otherwise for anything else
 *  and for what does not fit. */
apr_int64_t clb_json_integer(const clb_json_t *json, apr_int64_t otherwise);

/** The integer in member @a key, @a otherwise when there is none. */
apr_int64_t clb_json_get_integer(const clb_json_t *object, const char *key,
                                 apr_int64_t otherwise);

/** 1 if the value is true. */
int clb_json_true(const clb_json_t *json);

/** 1 if both are the same value; the order of members does not matter, 1 and
 *  1.0 are not the same. */
int clb_json_equal(const clb_json_t *a, const clb_json_t *b);

/** Number of items of an array or members of an object, else 0. */
apr_size_t clb_json_size(const clb_json_t *json);

/** Item @a i of an array, NULL beyond its end. */
clb_json_t *clb_json_at(const clb_json_t *array, apr_size_t i);

/**
 * Walk an object: @a iter is NULL at first; each call gives the next key and
 * value. @return the iterator to pass again, NULL at the end
 */
void *clb_json_next(const clb_json_t *object, void *iter, const char **key,
                    clb_json_t **value);

/**
 * Build a value by jansson's pack format. Use `O`, never `o`, for values: the
 * pool keeps its own reference. Strings must be valid UTF-8.
 * @return the value, NULL when an argument is not acceptable
 */
clb_json_t *clb_json_pack(apr_pool_t *pool, const char *format, ...);

/** Append @a item to @a array; the array takes a reference. */
void clb_json_append(clb_json_t *array, const clb_json_t *item);

/** Set member @a key of @a object; the object takes a reference. */
void clb_json_set(clb_json_t *object, const char *key,
                  const clb_json_t *value);

/** Set all members of @a more in @a object; what is no object has none. */
void clb_json_update(clb_json_t *object, const clb_json_t *more);

/** Append the compact text of @a json to @a buf. */
void clb_json_write(clb_buf_t *buf, const clb_json_t *json);

/**
 * The text of @a json in the one form that equal values have: keys sorted, no
 * white space, reals without a fraction as integers (clients write 1 for 1.0).
 */
const char *clb_json_canonical(apr_pool_t *pool, const clb_json_t *json);

/** Append @a text as a JSON string with its quotes; @a text is valid UTF-8. */
void clb_json_quote(clb_buf_t *buf, const char *text, apr_size_t len);

/** The compact text of @a json in @a pool. */
const char *clb_json_text(apr_pool_t *pool, const clb_json_t *json);

#endif
