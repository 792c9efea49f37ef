/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_SHA256_H
#define CLB_SHA256_H

#include <apr_errno.h>

#define CLB_SHA256_SIZE 32

/** SHA-256 of @a len bytes (FIPS 180-4) into @a digest. APR-util has only
 *  MD4, MD5 and SHA-1. */
void clb_sha256(unsigned char digest[CLB_SHA256_SIZE], const void *data,
                apr_size_t len);

/** Decode 64 hex digits. @return APR_SUCCESS or APR_EINVAL */
apr_status_t clb_sha256_unhex(unsigned char digest[CLB_SHA256_SIZE],
                              const char *hex);

#endif
