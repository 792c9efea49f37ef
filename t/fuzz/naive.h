/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NAIVE_H
#define NAIVE_H

/* The filter's rule in its plainest form: the unit test and the fuzzer hold
 * the real one against it. */

#include <apr_tables.h>
#include <string.h>

/**
 * Where @a text is cut: as if it came byte by byte and ended with the first
 * byte that completes a stop sequence. @return the bytes before that sequence
 * (of several that end together the longest), -1 if there is none
 */
static inline long naive_cut(const char *text, apr_size_t len,
                             const apr_array_header_t *stop)
{
    apr_size_t end, longest;
    int i;

    for (end = 1; end <= len; end++) {
        longest = 0;
        for (i = 0; i < stop->nelts; i++) {
            const char *s = APR_ARRAY_IDX(stop, i, const char *);
            apr_size_t n = strlen(s);

            if (n <= end && n > longest && memcmp(text + end - n, s, n) == 0) {
                longest = n;
            }
        }
        if (longest > 0) {
            return (long)(end - longest);
        }
    }
    return -1;
}

/** How many bytes at the end of @a text may still become a stop sequence. */
static inline apr_size_t naive_held(const char *text, apr_size_t len,
                                    const apr_array_header_t *stop)
{
    apr_size_t n;
    int i;

    for (n = len; n > 0; n--) {
        for (i = 0; i < stop->nelts; i++) {
            const char *s = APR_ARRAY_IDX(stop, i, const char *);

            if (n < strlen(s) && memcmp(text + len - n, s, n) == 0) {
                return n;
            }
        }
    }
    return 0;
}

#endif
