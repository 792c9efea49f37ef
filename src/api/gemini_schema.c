/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vendor's form of schemas (its type Schema, which is OpenAPI 3.0's with
 * types in capitals) as JSON Schema. What is JSON Schema already stays as it
 * is.
 */
#include "gemini.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

/* How a member is read. */
typedef enum read_e {
    READ_AS_IT_IS,
    READ_TYPE,
    READ_FORMAT,
    READ_NUMBER,         /* integers of 64 bits may be strings */
    READ_SCHEMA,
    READ_LIST,
    READ_MAP,
    READ_EXAMPLE,
    READ_LATER           /* at the end, or never */
} read_e;

static const struct {
    const char *name;
    read_e how;
} members[] = {
    { "type", READ_TYPE },
    { "format", READ_FORMAT },
    { "minItems", READ_NUMBER },
    { "maxItems", READ_NUMBER },
    { "minLength", READ_NUMBER },
    { "maxLength", READ_NUMBER },
    { "minProperties", READ_NUMBER },
    { "maxProperties", READ_NUMBER },
    { "items", READ_SCHEMA },
    { "additionalProperties", READ_SCHEMA },
    { "anyOf", READ_LIST },
    { "prefixItems", READ_LIST },
    { "properties", READ_MAP },
    { "$defs", READ_MAP },
    { "example", READ_EXAMPLE },
    { "nullable", READ_LATER },
    { "propertyOrdering", READ_LATER },
};

#define MEMBERS (sizeof(members) / sizeof(*members))

/* "STRING" as "string"; NULL for what says nothing. */
static clb_json_t *read_type(const clb_json_t *type, apr_pool_t *pool)
{
    char *name, *c;

    if (!clb_json_is_string(type)) {
        return clb_json_pack(pool, "O", type);
    }
    name = apr_pstrdup(pool, clb_json_string(type));
    for (c = name; *c != '\0'; c++) {
        *c = (char)apr_tolower(*c);
    }
    return strcmp(name, "type_unspecified") == 0 ? NULL
         : clb_json_pack(pool, "s", name);
}

/* These say how the vendor stores a value, or that it is an enumeration. */
static clb_json_t *read_format(const clb_json_t *format, apr_pool_t *pool)
{
    static const char *const own[] = {
        "enum", "int32", "int64", "float", "double", NULL
    };
    const char *name = clb_json_string(format);
    int i;

    for (i = 0; name != NULL && own[i] != NULL; i++) {
        if (strcmp(name, own[i]) == 0) {
            return NULL;
        }
    }
    return clb_json_pack(pool, "O", format);
}

static clb_json_t *read_number(const clb_json_t *value, apr_pool_t *pool)
{
    const char *text = clb_json_string(value);
    apr_int64_t n;

    return text != NULL
           && clb_parse_int(&n, text, 0, APR_INT32_MAX) == APR_SUCCESS
         ? clb_json_pack(pool, "I", (long long)n)
         : clb_json_pack(pool, "O", value);
}

static clb_json_t *read_list(const clb_json_t *list, apr_pool_t *pool)
{
    clb_json_t *out = clb_json_pack(pool, "[]");
    apr_size_t i;

    for (i = 0; i < clb_json_size(list); i++) {
        clb_json_append(out, clb_gemini_schema(clb_json_at(list, i), pool));
    }
    return out;
}

static clb_json_t *read_map(const clb_json_t *map, apr_pool_t *pool)
{
    clb_json_t *out = clb_json_pack(pool, "{}"), *value;
    const char *key;
    void *at = NULL;

    while ((at = clb_json_next(map, at, &key, &value)) != NULL) {
        clb_json_set(out, key, clb_gemini_schema(value, pool));
    }
    return out;
}

/* @return NULL if there is no such member in JSON Schema */
static clb_json_t *read_value(read_e how, const clb_json_t *value,
                              apr_pool_t *pool)
{
    switch (how) {
    case READ_TYPE: return read_type(value, pool);
    case READ_FORMAT: return read_format(value, pool);
    case READ_NUMBER: return read_number(value, pool);
    case READ_SCHEMA: return clb_gemini_schema(value, pool);
    case READ_EXAMPLE: return clb_json_pack(pool, "[O]", value);
    case READ_LATER: return NULL;
    case READ_LIST:
        return clb_json_is_array(value) ? read_list(value, pool)
                                        : clb_json_pack(pool, "O", value);
    case READ_MAP:
        return clb_json_is_object(value) ? read_map(value, pool)
                                         : clb_json_pack(pool, "O", value);
    default: return clb_json_pack(pool, "O", value);
    }
}

static void read_member(clb_json_t *out, const char *key,
                        const clb_json_t *value, apr_pool_t *pool)
{
    read_e how = READ_AS_IT_IS;
    clb_json_t *got;
    apr_size_t i;

    for (i = 0; i < MEMBERS; i++) {
        if (clb_gemini_is(key, members[i].name)) {
            key = members[i].name;
            how = members[i].how;
            break;
        }
    }
    got = read_value(how, value, pool);
    if (got != NULL) {
        clb_json_set(out, how == READ_EXAMPLE ? "examples" : key, got);
    }
}

/* What may also be null. */
static void allow_null(clb_json_t *schema, apr_pool_t *pool)
{
    clb_json_t *type = clb_json_get(schema, "type");
    clb_json_t *any = clb_json_get(schema, "anyOf");
    clb_json_t *values = clb_json_get(schema, "enum");

    if (clb_json_is_string(type)) {
        clb_json_set(schema, "type", clb_json_pack(pool, "[O, s]", type,
                                                   "null"));
    }
    if (clb_json_is_array(any)) {
        clb_json_append(any, clb_json_pack(pool, "{s:s}", "type", "null"));
    }
    if (clb_json_is_array(values)) {
        clb_json_t *more = clb_json_pack(pool, "[]");
        apr_size_t i;

        for (i = 0; i < clb_json_size(values); i++) {
            clb_json_append(more, clb_json_at(values, i));
        }
        clb_json_append(more, clb_json_pack(pool, "n"));
        clb_json_set(schema, "enum", more);
    }
}

clb_json_t *clb_gemini_schema(const clb_json_t *schema, apr_pool_t *pool)
{
    clb_json_t *out, *value;
    const char *key;
    void *at = NULL;

    if (!clb_json_is_object(schema)) {
        return clb_json_pack(pool, "O", schema);
    }
    out = clb_json_pack(pool, "{}");
    while ((at = clb_json_next(schema, at, &key, &value)) != NULL) {
        read_member(out, key, value, pool);
    }
    if (clb_json_true(clb_json_get(schema, "nullable"))) {
        allow_null(out, pool);
    }
    return out;
}
