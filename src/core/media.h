/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_MEDIA_H
#define CLB_MEDIA_H

#include "chat.h"

/** Most images and documents in one request, and bytes of one as base64. */
#define CLB_MEDIA_COUNT 100
#define CLB_MEDIA_SIZE (30 * 1024 * 1024)

/**
 * Take an image or a document: fill @a part, whose kind is set, from base64.
 * Images are PNG, JPEG, GIF and WebP, told by how they begin; documents are PDF
 * and UTF-8 text, which is decoded.
 * @param media e.g. "image/png", any case
 * @param data base64 without blanks; it is not copied
 * @return NULL, or what it must be ("a PNG, ..."), to stand after "must be"
 */
const char *clb_media_take(clb_part_t *part, const char *media,
                           const char *data, apr_pool_t *pool);

/** Take an http or https URL, which nobody here fetches. */
const char *clb_media_take_link(clb_part_t *part, const char *url);

/** clb_media_take() of "data:TYPE;base64,DATA". An image may also be a link. */
const char *clb_media_take_url(clb_part_t *part, const char *url,
                               apr_pool_t *pool);

#endif
