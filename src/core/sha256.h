/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_SHA256_H
#define CLB_SHA256_H

#include <apr_errno.h>

#define CLB_SHA256_SIZE 32

/** SHA-256 (FIPS 180-4) of what comes in pieces. APR-util has only MD4, MD5
 *  and SHA-1. A copy goes on by itself. */
typedef struct clb_sha256_t {
    apr_uint32_t h[8];
    apr_uint64_t len;              /**< bytes added */
    unsigned char rest[64];        /**< len % 64 of them are not in h yet */
} clb_sha256_t;

/** Begin. */
void clb_sha256_begin(clb_sha256_t *sum);

/** Add @a len bytes. */
void clb_sha256_add(clb_sha256_t *sum, const void *data, apr_size_t len);

/** The digest of what was added; @a sum can go on. */
void clb_sha256_end(const clb_sha256_t *sum,
                    unsigned char digest[CLB_SHA256_SIZE]);

/** All at once. */
void clb_sha256(unsigned char digest[CLB_SHA256_SIZE], const void *data,
                apr_size_t len);

/** Decode 64 hex digits. @return APR_SUCCESS or APR_EINVAL */
apr_status_t clb_sha256_unhex(unsigned char digest[CLB_SHA256_SIZE],
                              const char *hex);

#endif
