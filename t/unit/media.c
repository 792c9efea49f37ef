/* SPDX-License-Identifier: Apache-2.0 */
/* Images and files: what is taken, as what, and what is asked for instead. */
#include "tap.h"

#include "../../src/core/media.h"

#include <apr_base64.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

#define IMAGE "a PNG, JPEG, GIF or WebP image as a data: URL"
#define DOCUMENT "a PDF or a text as a data: URL"
#define BASE64 "base64 of at most 30 MB"

static apr_pool_t *pool;

static const char *base64(const char *data, apr_size_t len)
{
    char *out = apr_palloc(pool, (apr_size_t)apr_base64_encode_len((int)len));

    apr_base64_encode_binary(out, (const unsigned char *)data, (int)len);
    return out;
}

#define B64(text) base64(text, sizeof(text) - 1)

/* What a URL is taken as, or what it must be. */
static const char *taken(clb_part_e kind, const char *url)
{
    clb_part_t part = { .kind = kind };
    const char *need = clb_media_take_url(&part, url, pool);

    if (need != NULL) {
        return need;
    }
    return apr_pstrcat(pool, part.media == NULL ? "" : part.media, " ",
                       part.url != NULL ? part.url : part.data != NULL
                       ? part.data : part.text, NULL);
}

#define PNG "\x89PNG\r\n\x1a\n" "1234"

static void images(void)
{
    static const struct {
        const char *head;
        apr_size_t len;
        const char *media;
    } heads[] = {
        { PNG, 12, "image/png" },
        { "\xff\xd8\xff\xe0" "12345678", 12, "image/jpeg" },
        { "GIF87a" "123456", 12, "image/gif" },
        { "GIF89a" "123456", 12, "image/gif" },
        { "RIFF\0\0\0\0WEBP", 12, "image/webp" },
    };
    static const char *const others[] = {
        "BM123456789012", "%PDF-1.4\n%1234567", "hello, world", "\x89PNG",
        "<svg xmlns=\"\"/>", "RIFF1234WAVE", "1WEBP",
    };
    apr_size_t i;

    for (i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
        const char *data = base64(heads[i].head, heads[i].len);
        const char *want = apr_pstrcat(pool, heads[i].media, " ", data, NULL);

        is_str(taken(CLB_PART_IMAGE, apr_pstrcat(pool, "data:", heads[i].media,
               ";base64,", data, NULL)), want, "%s", heads[i].media);
        is_str(taken(CLB_PART_IMAGE, apr_pstrcat(pool,
               "DATA:IMAGE/JPG;x=y;Base64,", data, NULL)), want,
               "also by another name, in capitals, with parameters");
        is_str(taken(CLB_PART_IMAGE, apr_pstrcat(pool,
               "data:application/octet-stream;base64,", data, NULL)), IMAGE,
               "but not as something else");
    }
    for (i = 0; i < sizeof(others) / sizeof(*others); i++) {
        is_str(taken(CLB_PART_IMAGE, apr_pstrcat(pool,
               "data:image/png;base64,", base64(others[i], strlen(others[i])),
               NULL)), IMAGE, "not %.4s", others[i]);
    }
}

static void urls(void)
{
    static const struct {
        clb_part_e kind;
        const char *url;
        const char *want;
    } cases[] = {
        { CLB_PART_IMAGE, "https://x.org/a.png?b#c",
          " https://x.org/a.png?b#c" },
        { CLB_PART_IMAGE, "http://127.0.0.1/", " http://127.0.0.1/" },
        { CLB_PART_IMAGE, "HTTPS://X", " HTTPS://X" },
        { CLB_PART_IMAGE, "", IMAGE },
        { CLB_PART_IMAGE, "https", IMAGE },
        { CLB_PART_IMAGE, "ftp://x.org/a.png", IMAGE },
        { CLB_PART_IMAGE, "file:///etc/hostname", IMAGE },
        { CLB_PART_IMAGE, "/etc/hostname", IMAGE },
        { CLB_PART_IMAGE, "data:", IMAGE },
        { CLB_PART_IMAGE, "data:,", IMAGE },
        { CLB_PART_IMAGE, "data:image/png,abc", IMAGE },
        { CLB_PART_IMAGE, "data:image/png;base64", IMAGE },
        { CLB_PART_IMAGE, "data:;base64,AAAA", IMAGE },
        { CLB_PART_IMAGE, "data:image/png;base64x,AAAA", IMAGE },
        { CLB_PART_IMAGE, "data:image/png;base64,", BASE64 },
        { CLB_PART_IMAGE, "data:image/png;base64,AAA", BASE64 },
        { CLB_PART_IMAGE, "data:image/png;base64,AAA=AAAA", BASE64 },
        { CLB_PART_IMAGE, "data:image/png;base64,A===", BASE64 },
        { CLB_PART_IMAGE, "data:image/png;base64,====", BASE64 },
        { CLB_PART_IMAGE, "data:image/png;base64,AA_-", BASE64 },
        { CLB_PART_IMAGE, "data:image/png;base64,AA\tA", BASE64 },
        { CLB_PART_IMAGE, "data:image/png;base64, AAAA", BASE64 },
        { CLB_PART_DOCUMENT, "https://x.org/a.pdf", DOCUMENT },
        { CLB_PART_DOCUMENT, "JVBERi0=", DOCUMENT },
        { CLB_PART_DOCUMENT, "data:image/png;base64,AAAA", DOCUMENT },
        { CLB_PART_DOCUMENT, "data:;base64,AAAA", DOCUMENT },
        { CLB_PART_DOCUMENT, "data:application/pdf;base64,JVBERi0=",
          "application/pdf JVBERi0=" },
        { CLB_PART_DOCUMENT, "data:Application/PDF;base64,JVBERi0=",
          "application/pdf JVBERi0=" },
        { CLB_PART_DOCUMENT, "data:text/markdown;charset=utf-8;base64,aMOp",
          "text/plain h\xc3\xa9" },
        { CLB_PART_DOCUMENT, "data:application/json;base64,e30=",
          "text/plain {}" },
        { CLB_PART_DOCUMENT, "data:text/plain;base64,/w==", "text in UTF-8" },
        { CLB_PART_DOCUMENT, "data:text/plain;base64,YQBi",
          "text in UTF-8" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        is_str(taken(cases[i].kind, cases[i].url), cases[i].want, "%s %s",
               cases[i].kind == CLB_PART_IMAGE ? "image" : "file",
               cases[i].url);
    }
    /* as many bytes as there would be after two NULs less and one bad byte
     * more */
    is_str(taken(CLB_PART_DOCUMENT, apr_pstrcat(pool, "data:text/plain;base64,",
           B64("a\0b\0c\xff"), NULL)), "text in UTF-8", "NULs and bad bytes");
}

static void sizes(void)
{
    const apr_size_t most = CLB_MEDIA_SIZE;
    clb_part_t part = { .kind = CLB_PART_IMAGE };
    char *data = malloc(most + 8);

    memset(data, 'A', most + 4);
    memcpy(data, B64(PNG), 16);
    data[most] = '\0';
    is_str(clb_media_take(&part, "image/png", data, pool), NULL,
           "an image as large as may be");
    ok(part.data == data, "which is not copied");
    memcpy(data + most, "AAAA", 5);
    is_str(clb_media_take(&part, "image/png", data, pool), BASE64,
           "and one that is larger");
    part.kind = CLB_PART_DOCUMENT;
    data[most] = '\0';
    is_str(clb_media_take(&part, "application/pdf", data, pool), NULL,
           "a file as large");
    free(data);
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    images();
    urls();
    sizes();
    return tap_done();
}
