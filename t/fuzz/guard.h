/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GUARD_H
#define GUARD_H

/* Pools hide overflows from AddressSanitizer, because many blocks share one
 * allocation. Compiled with `-include t/fuzz/guard.h` each block that our own
 * code takes from a pool is an allocation of its own. */

#include <apr_pools.h>
#include <stdlib.h>

static apr_status_t guard_release(void *block)
{
    free(block);
    return APR_SUCCESS;
}

static inline void *guard_palloc(apr_pool_t *pool, apr_size_t size)
{
    void *block = malloc(size > 0 ? size : 1);

    apr_pool_cleanup_register(pool, block, guard_release,
                              apr_pool_cleanup_null);
    return block;
}

#define apr_palloc guard_palloc

#endif
