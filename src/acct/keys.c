/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of clients: digests and what they may do.
 */
#include "keys.h"

#include "../core/sha256.h"

#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_hash.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#define NAME_MAX_LEN 64
#define SECRET_MAX 1024
#define FILE_MAX (4 * 1024 * 1024)

struct clb_keys_t {
    apr_hash_t *by_digest;
    apr_hash_t *by_name;
};

unsigned clb_scopes_parse(const char *list, apr_pool_t *pool)
{
    char *copy = apr_pstrdup(pool, list), *state, *name;
    unsigned scopes = 0;

    for (name = apr_strtok(copy, ", ", &state); name != NULL;
         name = apr_strtok(NULL, ", ", &state)) {
        if (strcmp(name, "chat") == 0) {
            scopes |= CLB_SCOPE_CHAT;
        }
        else if (strcmp(name, "admin") == 0) {
            scopes |= CLB_SCOPE_ADMIN;
        }
        else if (strcmp(name, "run") == 0) {
            scopes |= CLB_SCOPE_RUN;
        }
        else {
            return 0;
        }
    }
    return scopes;
}

static int good_name(const char *name)
{
    apr_size_t len = strlen(name), i;

    for (i = 0; i < len; i++) {
        if (!apr_isalnum(name[i]) && strchr("._-@", name[i]) == NULL) {
            return 0;
        }
    }
    return len > 0 && len <= NAME_MAX_LEN;
}

/* Without the blanks around it. */
static char *trim(char *text)
{
    char *end = text + strlen(text);

    while (end > text && apr_isspace(end[-1])) {
        *--end = '\0';
    }
    while (apr_isspace(*text)) {
        text++;
    }
    return text;
}

/* The next field of a line, or NULL. */
static char *field(char **rest)
{
    char *start = *rest, *colon;

    if (start == NULL) {
        return NULL;
    }
    colon = strchr(start, ':');
    *rest = colon == NULL ? NULL : colon + 1;
    if (colon != NULL) {
        *colon = '\0';
    }
    return trim(start);
}

/* @return NULL or what is wrong with the line */
static const char *take_line(clb_keys_t *keys, char *line, apr_pool_t *pool)
{
    unsigned char *digest = apr_palloc(pool, CLB_SHA256_SIZE);
    clb_key_t *key = apr_pcalloc(pool, sizeof(*key));
    char *hex, *scopes;

    key->name = field(&line);
    hex = field(&line);
    scopes = field(&line);
    if (!good_name(key->name)) {
        return "the name must be 1 to 64 letters, digits or any of ._-@";
    }
    if (hex == NULL || clb_sha256_unhex(digest, hex) != APR_SUCCESS) {
        return "the second field must be the key's SHA-256 in 64 hex digits";
    }
    if (scopes == NULL
        || (key->scopes = clb_scopes_parse(scopes, pool)) == 0) {
        return "the third field must be scopes: " CLB_SCOPES;
    }
    if (line != NULL && *line != '\0') {
        return "this version knows no attributes: nothing may follow the "
               "scopes";
    }
    if (apr_hash_get(keys->by_name, key->name, APR_HASH_KEY_STRING) != NULL) {
        return "the name stands twice";
    }
    if (apr_hash_get(keys->by_digest, digest, CLB_SHA256_SIZE) != NULL) {
        return "the key stands twice";
    }
    apr_hash_set(keys->by_name, key->name, APR_HASH_KEY_STRING, key);
    apr_hash_set(keys->by_digest, digest, CLB_SHA256_SIZE, key);
    return NULL;
}

apr_status_t clb_keys_parse(clb_keys_t **out, const char *text,
                            const char **why, apr_pool_t *pool)
{
    clb_keys_t *keys = apr_pcalloc(pool, sizeof(*keys));
    char *next = apr_pstrdup(pool, text), *line;
    const char *wrong;
    int number = 0;

    keys->by_digest = apr_hash_make(pool);
    keys->by_name = apr_hash_make(pool);
    while ((line = next) != NULL) {
        next = strchr(line, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        number++;
        line[strcspn(line, "#")] = '\0';
        line = trim(line);
        if (*line != '\0' && (wrong = take_line(keys, line, pool)) != NULL) {
            *why = apr_psprintf(pool, "line %d: %s", number, wrong);
            return APR_EINVAL;
        }
    }
    *out = keys;
    return APR_SUCCESS;
}

/* The content of a file; a sentence on failure. */
static apr_status_t slurp(const char **text, apr_file_t *file,
                          const char **why, apr_pool_t *pool)
{
    apr_finfo_t info;
    apr_status_t rv = apr_file_info_get(&info, APR_FINFO_SIZE
                                        | APR_FINFO_TYPE, file);
    char *data;

    /* nothing read would be no keys, and no keys means open to this machine */
    if (rv == APR_SUCCESS && info.filetype == APR_DIR) {
        *why = "it is not a file";
        return APR_EINVAL;
    }
    if (rv == APR_SUCCESS && info.size > FILE_MAX) {
        *why = "it is larger than 4 MB";
        return APR_EINVAL;
    }
    if (rv == APR_SUCCESS) {
        data = apr_pcalloc(pool, (apr_size_t)info.size + 1);
        rv = apr_file_read_full(file, data, (apr_size_t)info.size, NULL);
        *text = data;
    }
    if (rv == APR_SUCCESS && strlen(*text) != (apr_size_t)info.size) {
        *why = "it is not text";
        return APR_EINVAL;
    }
    return rv;
}

apr_status_t clb_keys_read(clb_keys_t **keys, const char *path,
                           const char **why, apr_pool_t *pool)
{
    const char *text = "", *cause = NULL;
    apr_file_t *file;
    apr_status_t rv;
    char error[120];

    rv = apr_file_open(&file, path, APR_READ, 0, pool);
    if (rv == APR_SUCCESS) {
        rv = slurp(&text, file, &cause, pool);
        apr_file_close(file);
    }
    if (rv != APR_SUCCESS) {
        *why = apr_psprintf(pool, "cannot read %s: %s", path, cause != NULL
                            ? cause : apr_strerror(rv, error, sizeof(error)));
        return rv;
    }
    rv = clb_keys_parse(keys, text, &cause, pool);
    if (rv != APR_SUCCESS) {
        *why = apr_pstrcat(pool, path, ", ", cause, NULL);
    }
    return rv;
}

unsigned clb_keys_count(const clb_keys_t *keys)
{
    return keys == NULL ? 0 : apr_hash_count(keys->by_name);
}

const clb_key_t *clb_keys_find(const clb_keys_t *keys, const char *secret)
{
    unsigned char digest[CLB_SHA256_SIZE];
    apr_size_t len = strlen(secret);

    if (keys == NULL || len == 0 || len > SECRET_MAX) {
        return NULL;
    }
    clb_sha256(digest, secret, len);
    return apr_hash_get(keys->by_digest, digest, CLB_SHA256_SIZE);
}
