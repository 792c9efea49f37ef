/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_TAKE_H
#define CLB_TAKE_H

#include "../core/chat.h"
#include "../core/error.h"
#include "../core/json.h"

/**
 * How dialects take the fields of a request into a chat. A taker is given a
 * value that is not null, and returns APR_SUCCESS, or APR_EGENERAL with the
 * error set.
 */
typedef apr_status_t clb_taker_fn(clb_chat_t *chat, const char *name,
                                  const clb_json_t *value,
                                  clb_error_t *error);

/** A field and its taker. */
typedef struct clb_take_t {
    const char *name;
    clb_taker_fn *take;
} clb_take_t;

/** Run the takers of @a table (ends with a NULL name) whose fields @a body
 *  has, in the order of the table. */
apr_status_t clb_take_fields(clb_chat_t *chat, const clb_json_t *body,
                             const clb_take_t *table, clb_error_t *error);

/** The same with the members of the field @a name, which must be an object;
 *  takers get names such as "reasoning.effort". */
apr_status_t clb_take_members(clb_chat_t *chat, const char *name,
                              const clb_json_t *object,
                              const clb_take_t *table, clb_error_t *error);

/** The error that @a name must be @a need. */
apr_status_t clb_take_bad(clb_chat_t *chat, const char *name,
                          const char *need, clb_error_t *error);

/** The error that what stands at @a at in the request is so. @param what e.g.
 *  "must have a name" */
apr_status_t clb_take_wrong(clb_chat_t *chat, const char *at,
                            const char *what, clb_error_t *error);

/** Fields that mean the same everywhere. */
clb_taker_fn clb_take_model, clb_take_top_p, clb_take_top_k,
             clb_take_max_tokens, clb_take_stop, clb_take_stream,
             clb_take_effort;

/** A field no CLI honours; reported if it asks for something. */
clb_taker_fn clb_take_ignored;

/** A field that must not be given with a value that asks for something. */
clb_taker_fn clb_take_refused;

/** How many answers are wanted: one. */
clb_taker_fn clb_take_one;

/** A number from 0 to @a max. 1 is the default of the vendors: clients send it
 *  without meaning anything, and asking for it would switch reasoning off. */
apr_status_t clb_take_sampling(clb_chat_t *chat, const char *name,
                               const clb_json_t *value, clb_field_e field,
                               double max, double *out, clb_error_t *error);

/** An integer of at least @a min. */
apr_status_t clb_take_integer(clb_chat_t *chat, const char *name,
                              const clb_json_t *value, clb_field_e field,
                              apr_int64_t min, apr_int64_t *out,
                              clb_error_t *error);

/**
 * A tool of the client's, which stands at @a at in the request, with the schema
 * of its arguments in member @a key; one that is @a custom takes a text.
 */
apr_status_t clb_take_tool(clb_chat_t *chat, const char *at,
                           const clb_json_t *json, const char *key,
                           int custom, clb_error_t *error);

/** That only the tools in @a names (of const char *, NULL = none's name) may be
 *  called, of which there must be one: the others are left out. */
apr_status_t clb_take_allowed(clb_chat_t *chat, const char *at,
                              const apr_array_header_t *names,
                              clb_error_t *error);

/** That the tool called @a name must be called. */
apr_status_t clb_take_choice(clb_chat_t *chat, const char *at,
                             const char *name, clb_error_t *error);

/** That the answer must be JSON by @a schema, which the field @a name says at
 *  @a at. */
apr_status_t clb_take_schema(clb_chat_t *chat, const char *name,
                             const char *at, const clb_json_t *schema,
                             clb_error_t *error);

#endif
