/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of responses, asked for by their clients.
 */
#include "responses_kept.h"

#include "responses.h"

#include <apr_strings.h>
#include <string.h>

/* Items of a page: by default, and at most. */
#define PAGE 20
#define PAGE_MAX 100

clb_json_t *clb_kept_response(const clb_json_t *record)
{
    return clb_json_get(record, "response");
}

int clb_kept_runs(const clb_json_t *record)
{
    const char *status = clb_json_get_string(clb_kept_response(record),
                                             "status");

    return status != NULL && (strcmp(status, "queued") == 0
                              || strcmp(status, "in_progress") == 0);
}

int clb_kept_background(const clb_json_t *record)
{
    return clb_json_true(clb_json_get(clb_kept_response(record),
                                      "background"));
}

void clb_kept_end(clb_json_t *record, const char *status,
                  const clb_error_t *error, apr_pool_t *pool)
{
    clb_json_t *response = clb_kept_response(record);

    clb_json_set(response, "status", clb_json_pack(pool, "s", status));
    if (error != NULL) {
        clb_json_set(response, "error", clb_responses_failure(error, pool));
    }
}

/* The value of @a name in the query @a args, or NULL. No value that counts here
 * has anything to be decoded. */
static const char *argument(const char *args, const char *name,
                            apr_pool_t *pool)
{
    char *copy = apr_pstrdup(pool, args), *part, *state;
    apr_size_t len = strlen(name);

    for (part = copy == NULL ? NULL : apr_strtok(copy, "&", &state);
         part != NULL; part = apr_strtok(NULL, "&", &state)) {
        if (strncmp(part, name, len) == 0 && part[len] == '=') {
            return part + len + 1;
        }
    }
    return NULL;
}

static clb_json_t *bad(const char *param, const char *need,
                       clb_error_t *error, apr_pool_t *pool)
{
    clb_error_set(error, pool, CLB_BAD_REQUEST, param, "'%s' must be %s",
                  param, need);
    return NULL;
}

/* Its input, or the other way round. */
static apr_array_header_t *inputs_of(const clb_json_t *record, int asc,
                                     apr_pool_t *pool)
{
    const clb_json_t *items = clb_json_get(record, "items");
    apr_int64_t inputs = clb_json_get_integer(record, "inputs", 0);
    apr_size_t n = clb_json_size(items), i;
    apr_array_header_t *list;

    n = inputs < 0 ? 0 : (apr_uint64_t)inputs < n ? (apr_size_t)inputs : n;
    list = apr_array_make(pool, (int)n, sizeof(const clb_json_t *));
    for (i = 0; i < n; i++) {
        APR_ARRAY_PUSH(list, const clb_json_t *)
            = clb_json_at(items, asc ? i : n - 1 - i);
    }
    return list;
}

static const char *id_at(const apr_array_header_t *list, int i)
{
    const char *id = clb_json_get_string(APR_ARRAY_IDX(list, i,
                                         const clb_json_t *), "id");

    return id != NULL ? id : "";
}

/* Where the item @a id is in @a list; -1 if nowhere. */
static int place_of(const apr_array_header_t *list, const char *id)
{
    int i = list->nelts - 1;

    while (i >= 0 && strcmp(id_at(list, i), id) != 0) {
        i--;
    }
    return i;
}

clb_json_t *clb_kept_page(const clb_json_t *record, const char *args,
                          clb_error_t *error, apr_pool_t *pool)
{
    const char *order = argument(args, "order", pool);
    const char *count = argument(args, "limit", pool);
    const char *after = argument(args, "after", pool);
    const char *before = argument(args, "before", pool);
    int asc = order != NULL && strcmp(order, "asc") == 0, from, to, end, i;
    clb_json_t *data = clb_json_pack(pool, "[]");
    apr_array_header_t *list = inputs_of(record, asc, pool);
    apr_int64_t limit = PAGE;

    from = after == NULL ? 0 : place_of(list, after) + 1;
    to = before == NULL ? list->nelts : place_of(list, before);
    if (order != NULL && !asc && strcmp(order, "desc") != 0) {
        return bad("order", "asc or desc", error, pool);
    }
    if (count != NULL && clb_parse_int(&limit, count, 1, PAGE_MAX)
                         != APR_SUCCESS) {
        return bad("limit", "a number from 1 to 100", error, pool);
    }
    if (to < 0 || (after != NULL && from == 0)) {
        return bad(to < 0 ? "before" : "after", "the id of an item of the "
                   "list", error, pool);
    }
    end = from + (int)limit < to ? from + (int)limit : to;
    for (i = from; i < end; i++) {
        clb_json_append(data, APR_ARRAY_IDX(list, i, const clb_json_t *));
    }
    return clb_json_pack(pool, "{s:s, s:O, s:s, s:s, s:b}", "object", "list",
        "data", data, "first_id", from < end ? id_at(list, from) : "",
        "last_id", from < end ? id_at(list, end - 1) : "", "has_more",
        end < to);
}
