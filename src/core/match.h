/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_MATCH_H
#define CLB_MATCH_H

#include "json.h"

/** Most bytes of a value that a mismatch quotes. */
#define CLB_EXCERPT 200

/**
 * Compare @a value, which may be hostile, with @a pattern, which is ours.
 *
 *     object       has exactly these members; one written "name?" may be
 *                  absent
 *     array        has as many items, each as written
 *     string       is the same text, where
 *                      {{*}}   stands for any run without a line feed
 *                      {{id}}  for any run of ASCII letters, digits and -._+~
 *                  each the shortest one up to what is written behind it, and
 *                  there is no second try
 *     {"$any":true}    matches anything
 *     others       are the same value
 *
 * Takes time linear in the value.
 * @return NULL, or the first difference as a sentence in @a pool:
 *         `messages[0].text: "b" is not expected, but "a"`
 */
const char *clb_json_mismatch(const clb_json_t *pattern,
                              const clb_json_t *value, apr_pool_t *pool);

#endif
