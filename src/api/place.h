/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_PLACE_H
#define CLB_PLACE_H

#include "../core/chat.h"
#include "../core/error.h"
#include "../core/json.h"

/** Where a dialect is in the messages of a request, for the `param` of an
 *  error. */
typedef struct clb_place_t {
    clb_chat_t *chat;
    clb_error_t *error;
    apr_size_t message;      /**< index of the message */
    int media;               /**< images and documents so far */
    apr_array_header_t *calls; /**< the dialect's own: of clb_part_t, calls
                                  that await their results */
} clb_place_t;

/** The error @a kind that what stands at @a path in the message is so.
 *  @param path e.g. ".content[0]"
 *  @param what e.g. "must have a text" */
apr_status_t clb_place_bad(const clb_place_t *at, clb_error_e kind,
                           const char *path, const char *what);

/** The error that it must be @a need; APR_SUCCESS if that is NULL. */
apr_status_t clb_place_must_be(const clb_place_t *at, const char *path,
                               const char *need);

/** The path of item @a i of @a list, which is one. */
const char *clb_place_item(const clb_place_t *at, const char *list,
                           apr_size_t i);

/** Count one more image or document, which must not be too many. */
apr_status_t clb_place_count(clb_place_t *at, const char *path);

/** Add a text to @a message; NULL stands for the system prompt. */
void clb_place_text(const clb_place_t *at, clb_message_t *message,
                    const char *text);

/** How a dialect takes one message. */
typedef apr_status_t clb_place_fn(clb_place_t *at, const clb_json_t *message);

/** Take @a messages, the field @a list, one after the other. Each call must
 *  have its result in the end. */
apr_status_t clb_place_messages(clb_chat_t *chat, const char *list,
                                const clb_json_t *messages,
                                clb_place_fn *take, clb_error_t *error);

/** 1 if the last message is the assistant's and says something. */
int clb_place_begun(const clb_chat_t *chat);

#endif
