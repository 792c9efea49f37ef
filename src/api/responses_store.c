/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Responses that are kept. A record is {"response", "items", "inputs"}: what
 * the client was answered, the whole conversation up to then, the answer
 * included, and how many of its items are no part of the answer. So each record
 * is enough to go on from, whatever became of those before it.
 */
#include "responses.h"

#include <apr_hash.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#define PREVIOUS "previous_response_id"

/* --- writing --- */

static int is(const char *text, const char *other)
{
    return text != NULL && strcmp(text, other) == 0;
}

static void add(clb_json_t *object, const char *key, const char *value,
                apr_pool_t *pool)
{
    if (clb_json_get(object, key) == NULL) {
        clb_json_set(object, key, clb_json_pack(pool, "s", value));
    }
}

static clb_json_t *copy_of(const clb_json_t *object, apr_pool_t *pool)
{
    clb_json_t *copy = clb_json_pack(pool, "{}");

    clb_json_update(copy, object);
    return copy;
}

/* A part of a message; the assistant's texts have notes. */
static clb_json_t *part_of(const clb_json_t *part, int assistant,
                           apr_pool_t *pool)
{
    clb_json_t *copy = clb_json_is_string(part)
        ? clb_json_pack(pool, "{s:s, s:O}", "type", assistant ? "output_text"
                        : "input_text", "text", part)
        : copy_of(part, pool);

    if (is(clb_json_get_string(copy, "type"), "output_text")) {
        if (clb_json_get(copy, "annotations") == NULL) {
            clb_json_set(copy, "annotations", clb_json_pack(pool, "[]"));
        }
        if (clb_json_get(copy, "logprobs") == NULL) {
            clb_json_set(copy, "logprobs", clb_json_pack(pool, "[]"));
        }
    }
    return copy;
}

static clb_json_t *content_of(const clb_json_t *item, apr_pool_t *pool)
{
    const clb_json_t *content = clb_json_get(item, "content");
    clb_json_t *list = clb_json_pack(pool, "[]");
    int assistant = is(clb_json_get_string(item, "role"), "assistant");
    apr_size_t i;

    if (clb_json_is_string(content)) {
        clb_json_append(list, part_of(content, assistant, pool));
    }
    for (i = 0; i < clb_json_size(content); i++) {
        clb_json_append(list, part_of(clb_json_at(content, i), assistant,
                                      pool));
    }
    return list;
}

clb_json_t *clb_responses_item(const clb_json_t *item, const char *id,
                               apr_pool_t *pool)
{
    clb_json_t *copy = copy_of(item, pool);

    add(copy, "type", "message", pool);
    add(copy, "id", id, pool);
    if (is(clb_json_get_string(copy, "type"), "message")) {
        clb_json_set(copy, "content", content_of(copy, pool));
    }
    if (!is(clb_json_get_string(copy, "type"), "reasoning")) {
        add(copy, "status", "completed", pool);
    }
    else if (clb_json_get(copy, "summary") == NULL) {
        clb_json_set(copy, "summary", clb_json_pack(pool, "[]"));
    }
    return copy;
}

/* The id of item @a i of the input, if it has none. */
static const char *input_id(const clb_reply_t *reply, const clb_json_t *item,
                            apr_size_t i)
{
    const char *type = clb_json_get_string(item, "type");

    return apr_psprintf(reply->pool, "%s_%s_i%" APR_SIZE_T_FMT,
                        type == NULL || is(type, "message") ? "msg" : "item",
                        reply->id + sizeof("resp_") - 1, i);
}

clb_json_t *clb_responses_record(const clb_reply_t *reply,
                                 clb_progress_e progress,
                                 const clb_error_t *error)
{
    apr_pool_t *pool = reply->pool;
    clb_json_t *items = clb_json_pack(pool, "[]");
    apr_size_t i, inputs = clb_json_size(reply->chat->items);

    for (i = 0; i < inputs; i++) {
        const clb_json_t *item = clb_json_at(reply->chat->items, i);

        clb_json_append(items, clb_responses_item(item, input_id(reply, item,
                                                                 i), pool));
    }
    if (progress == CLB_ENDED) {
        clb_responses_items(reply, items);
    }
    return clb_json_pack(pool, "{s:O, s:O, s:I}", "response",
                         clb_responses_json(reply, progress, error), "items",
                         items, "inputs", (long long)inputs);
}

/* --- reading --- */

typedef struct recall_t {
    const clb_kept_t *kept;
    apr_hash_t *items;             /* of all records that were read, by id */
    clb_error_t *error;
    apr_pool_t *pool;
} recall_t;

static clb_json_t *find(const recall_t *at, const char *id)
{
    at->error->kind = CLB_OK;
    return at->kept->find(at->kept->baton, id, at->error);
}

/* @return the conversation, or NULL and the error set */
static const clb_json_t *previous(const recall_t *at, const char *id)
{
    const clb_json_t *record = find(at, id);
    const clb_json_t *items = clb_json_get(record, "items");
    const char *status = clb_json_get_string(clb_json_get(record, "response"),
                                             "status");

    if (clb_json_is_array(items)
        && (is(status, "completed") || is(status, "incomplete"))) {
        return items;
    }
    if (clb_json_is_array(items)) {
        clb_error_set(at->error, at->pool, CLB_BAD_REQUEST, PREVIOUS, "'"
                      PREVIOUS "': the response '%s' is %s", id,
                      status != NULL ? status : "not complete");
    }
    else if (at->error->kind == CLB_OK) {
        clb_error_set(at->error, at->pool, CLB_PREVIOUS_NOT_FOUND, PREVIOUS,
                      "'" PREVIOUS "': the response '%s' is not known here: "
                      "send the whole conversation as the input", id);
    }
    return NULL;
}

static void index_items(const recall_t *at, const clb_json_t *record)
{
    const clb_json_t *items = clb_json_get(record, "items");
    apr_size_t i;

    for (i = 0; i < clb_json_size(items); i++) {
        const clb_json_t *item = clb_json_at(items, i);
        const char *id = clb_json_get_string(item, "id");

        if (id != NULL) {
            apr_hash_set(at->items, id, APR_HASH_KEY_STRING, item);
        }
    }
}

/* The response whose record has the item @a id, which says so itself. */
static const char *response_of(const char *id, apr_pool_t *pool)
{
    const char *from = strchr(id, '_');
    const char *to = from == NULL ? NULL : strchr(from + 1, '_');

    return to == NULL ? NULL : apr_psprintf(pool, "resp_%.*s",
                                            (int)(to - from - 1), from + 1);
}

/* @return the item that is meant; NULL, and perhaps the error set */
static const clb_json_t *referred(const recall_t *at, const char *id)
{
    const clb_json_t *item = apr_hash_get(at->items, id, APR_HASH_KEY_STRING);
    const char *response;

    if (item == NULL && (response = response_of(id, at->pool)) != NULL) {
        index_items(at, find(at, response));
        item = apr_hash_get(at->items, id, APR_HASH_KEY_STRING);
    }
    return item;
}

static const char *reference(const clb_json_t *item)
{
    return is(clb_json_get_string(item, "type"), "item_reference")
         ? clb_json_get_string(item, "id") : NULL;
}

static apr_status_t unknown(const recall_t *at, const char *param,
                            const char *id)
{
    return clb_error_set(at->error, at->pool, CLB_BAD_REQUEST, param, "%s "
                         "refers to the item '%s', which is not known here: "
                         "send the item itself", param, id);
}

/* Put items in the place of references. The last one is looked for first: its
 * record most often has those before it, too. */
static apr_status_t resolve(const recall_t *at, const clb_json_t *input,
                            clb_json_t *list)
{
    apr_size_t i;

    for (i = clb_json_size(input); i-- > 0; ) {
        const char *id = reference(clb_json_at(input, i));

        at->error->kind = CLB_OK;
        if (id != NULL && referred(at, id) == NULL) {
            return at->error->kind != CLB_OK ? APR_EGENERAL
                 : unknown(at, apr_psprintf(at->pool, "input[%" APR_SIZE_T_FMT
                                            "]", i), id);
        }
    }
    for (i = 0; i < clb_json_size(input); i++) {
        const clb_json_t *item = clb_json_at(input, i);
        const char *id = reference(item);

        clb_json_append(list, id == NULL ? item : referred(at, id));
    }
    return APR_SUCCESS;
}

static int refers(const clb_json_t *input)
{
    apr_size_t i;

    for (i = 0; i < clb_json_size(input); i++) {
        if (reference(clb_json_at(input, i)) != NULL) {
            return 1;
        }
    }
    return 0;
}

apr_status_t clb_responses_recall(clb_json_t *body, const clb_kept_t *kept,
                                  clb_error_t *error, apr_pool_t *pool)
{
    recall_t at = { kept, apr_hash_make(pool), error, pool };
    const char *id = clb_json_get_string(body, PREVIOUS);
    const clb_json_t *input = clb_json_get(body, "input"), *before = NULL;
    clb_json_t *list = clb_json_pack(pool, "[]");
    apr_size_t i;

    if (id == NULL && !(clb_json_is_array(input) && refers(input))) {
        return APR_SUCCESS;
    }
    if (id != NULL && (before = previous(&at, id)) == NULL) {
        return APR_EGENERAL;
    }
    for (i = 0; i < clb_json_size(before); i++) {
        clb_json_append(list, clb_json_at(before, i));
    }
    if (clb_json_is_string(input)) {
        clb_json_append(list, clb_json_pack(pool, "{s:s, s:O}", "role", "user",
                                            "content", input));
    }
    else if (input != NULL && !clb_json_is_array(input)) {
        return APR_SUCCESS;     /* the parser says what is wrong */
    }
    else if (resolve(&at, input, list) != APR_SUCCESS) {
        return APR_EGENERAL;
    }
    clb_json_set(body, "input", list);
    return APR_SUCCESS;
}
