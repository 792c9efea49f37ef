/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images and documents as clients send them.
 */
#include "media.h"

#include "text.h"

#include <apr_base64.h>
#include <apr_strings.h>
#include <string.h>

/* What each kind of image begins with; WebP's is in a RIFF container. */
static const struct {
    const char *media;
    const char *magic;
    apr_size_t at;
} images[] = {
    { "image/png", "\x89PNG\r\n\x1a\n", 0 },
    { "image/jpeg", "\xff\xd8\xff", 0 },
    { "image/gif", "GIF8", 0 },
    { "image/webp", "WEBP", 8 },
};

#define IMAGES (sizeof(images) / sizeof(*images))
#define HEAD 12

#define NEED_IMAGE "a PNG, JPEG, GIF or WebP image as a data: URL"
#define NEED_DOCUMENT "a PDF or a text as a data: URL"
#define NEED_BASE64 "base64 of at most 30 MB"

/* What @a data is an image of, NULL if it is none: the CLIs replace what they
 * cannot read by a remark to the model, and correct a wrong type. */
static const char *image_type(const char *data, apr_pool_t *pool)
{
    char *head = apr_pcalloc(pool, HEAD + 4);
    apr_size_t i;

    apr_base64_decode_binary((unsigned char *)head,
                             apr_pstrndup(pool, data, HEAD / 3 * 4));
    for (i = 0; i < IMAGES; i++) {
        if (memcmp(head + images[i].at, images[i].magic,
                   strlen(images[i].magic)) == 0) {
            return images[i].media;
        }
    }
    return NULL;
}

static int is_base64(const char *data)
{
    apr_size_t len = strspn(data, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnop"
                            "qrstuvwxyz0123456789+/");
    apr_size_t pad = strspn(data + len, "=");

    return len > 0 && pad <= 2 && data[len + pad] == '\0'
        && (len + pad) % 4 == 0 && len <= CLB_MEDIA_SIZE;
}

/* The text behind @a data, NULL if it is none. */
static const char *decode_text(const char *data, apr_pool_t *pool)
{
    char *text = apr_palloc(pool, (apr_size_t)apr_base64_decode_len(data) + 1);
    int len = apr_base64_decode(text, data);
    apr_size_t clean;

    text[len] = '\0';
    clb_utf8_clean(pool, text, (apr_size_t)len, &clean);
    return clean == (apr_size_t)len && strlen(text) == clean ? text : NULL;
}

static const char *take_document(clb_part_t *part, const char *media,
                                 const char *data, apr_pool_t *pool)
{
    if (strcasecmp(media, "application/pdf") == 0) {
        part->media = "application/pdf";
        part->data = data;
        return NULL;
    }
    if (strncasecmp(media, "text/", 5) != 0
        && strcasecmp(media, "application/json") != 0) {
        return NEED_DOCUMENT;
    }
    part->media = "text/plain";
    part->text = decode_text(data, pool);
    return part->text == NULL ? "text in UTF-8" : NULL;
}

const char *clb_media_take(clb_part_t *part, const char *media,
                           const char *data, apr_pool_t *pool)
{
    if (!is_base64(data)) {
        return NEED_BASE64;
    }
    if (part->kind == CLB_PART_DOCUMENT) {
        return take_document(part, media, data, pool);
    }
    part->media = strncasecmp(media, "image/", 6) != 0 ? NULL
                : image_type(data, pool);
    part->data = data;
    return part->media == NULL ? NEED_IMAGE : NULL;
}

const char *clb_media_take_link(clb_part_t *part, const char *url)
{
    if (strncasecmp(url, "https://", 8) != 0
        && strncasecmp(url, "http://", 7) != 0) {
        return "an http or https URL";
    }
    part->url = url;
    return NULL;
}

const char *clb_media_take_url(clb_part_t *part, const char *url,
                               apr_pool_t *pool)
{
    const char *need = part->kind == CLB_PART_IMAGE ? NEED_IMAGE
                                                    : NEED_DOCUMENT;
    const char *comma = strchr(url, ',');
    char *media, *end;

    if (part->kind == CLB_PART_IMAGE
        && clb_media_take_link(part, url) == NULL) {
        return NULL;
    }
    if (strncasecmp(url, "data:", 5) != 0 || comma == NULL) {
        return need;
    }
    media = apr_pstrndup(pool, url + 5, (apr_size_t)(comma - url) - 5);
    end = strrchr(media, ';');
    if (end == NULL || strcasecmp(end, ";base64") != 0) {
        return need;
    }
    media[strcspn(media, ";")] = '\0';    /* parameters such as charset */
    return clb_media_take(part, media, comma + 1, pool);
}
