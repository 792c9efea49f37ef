/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_KEYS_H
#define CLB_KEYS_H

#include <apr_errno.h>
#include <apr_pools.h>

/** What a key may do. */
#define CLB_SCOPE_CHAT  1u   /**< ask models, list them */
#define CLB_SCOPE_ADMIN 2u   /**< see the state of the server */
#define CLB_SCOPE_RUN   4u   /**< run CLIs with arguments: /run */

/** What scopes can be, for who writes another. */
#define CLB_SCOPES "chat, admin, run, or several with commas between"

/** A client's key. The secret itself is nowhere on this machine. */
typedef struct clb_key_t {
    const char *name;
    unsigned scopes;
} clb_key_t;

/** The keys of one key file; read only once parsed. */
typedef struct clb_keys_t clb_keys_t;

/**
 * Parse the text of a key file: lines `name:sha256-hex:scopes[:attributes]`,
 * empty lines, and comments from "#". Names and digests are unique.
 * @param why set on failure to a sentence with the line's number
 * @return APR_SUCCESS or APR_EINVAL; @a keys in @a pool
 */
apr_status_t clb_keys_parse(clb_keys_t **keys, const char *text,
                            const char **why, apr_pool_t *pool);

/**
 * Read and parse the key file @a path.
 * @param why set on failure to a sentence that names the file, and the line
 *        if it is a line's
 * @return APR_SUCCESS, APR_EINVAL for what is in the file, or why it cannot be
 *         read; @a keys in @a pool
 */
apr_status_t clb_keys_read(clb_keys_t **keys, const char *path,
                           const char **why, apr_pool_t *pool);

/** How many keys there are; 0 for NULL. */
unsigned clb_keys_count(const clb_keys_t *keys);

/** The key whose secret is @a secret, or NULL. @a keys may be NULL. */
const clb_key_t *clb_keys_find(const clb_keys_t *keys, const char *secret);

/** The scopes in a comma-separated list, 0 if one is not known. */
unsigned clb_scopes_parse(const char *list, apr_pool_t *pool);

#endif
