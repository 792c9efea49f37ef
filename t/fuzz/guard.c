/* SPDX-License-Identifier: Apache-2.0 */
/* Pools hide overflows from AddressSanitizer, because many blocks share one
 * allocation. Linked with -Wl,--wrap=apr_palloc this file gives each block
 * that our own code takes from a pool an allocation of its own. */
#include <apr_pools.h>
#include <stdlib.h>

void *__wrap_apr_palloc(apr_pool_t *pool, apr_size_t size);

static apr_status_t release(void *block)
{
    free(block);
    return APR_SUCCESS;
}

void *__wrap_apr_palloc(apr_pool_t *pool, apr_size_t size)
{
    void *block = malloc(size > 0 ? size : 1);

    apr_pool_cleanup_register(pool, block, release, apr_pool_cleanup_null);
    return block;
}
