/* SPDX-License-Identifier: Apache-2.0 */
/* main() for a target without libFuzzer: runs it on every file of the
 * directories (or files) given and prints TAP. An invariant that is broken
 * aborts after the file's name. */
#include "fuzz.h"

#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_strings.h>
#include <apr_tables.h>
#include <string.h>

static int tests, failures;

static void run(const char *path, apr_pool_t *pool)
{
    apr_file_t *file;
    apr_finfo_t info;
    apr_size_t len = 0;
    uint8_t *data;

    if (apr_file_open(&file, path, APR_FOPEN_READ, 0, pool) != APR_SUCCESS
        || apr_file_info_get(&info, APR_FINFO_SIZE, file) != APR_SUCCESS) {
        printf("not ok %d - %s cannot be read\n", ++tests, path);
        failures++;
        return;
    }
    data = malloc((size_t)info.size + 1);
    if (info.size > 0) {
        apr_file_read_full(file, data, (apr_size_t)info.size, &len);
    }
    apr_file_close(file);
    printf("# %s\n", path);
    fflush(stdout);
    data = realloc(data, len > 0 ? len : 1);   /* for ASan, no byte more */
    LLVMFuzzerTestOneInput(data, len);
    free(data);
    printf("ok %d - %s\n", ++tests, path);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void run_all(const char *path, apr_pool_t *pool)
{
    apr_array_header_t *names = apr_array_make(pool, 64, sizeof(char *));
    apr_finfo_t info;
    apr_dir_t *dir;
    int i;

    if (apr_dir_open(&dir, path, pool) != APR_SUCCESS) {
        run(path, pool);
        return;
    }
    while (apr_dir_read(&info, APR_FINFO_NAME, dir) == APR_SUCCESS) {
        if (info.name[0] != '.') {
            APR_ARRAY_PUSH(names, const char *) = apr_pstrcat(pool, path,
                                                    "/", info.name, NULL);
        }
    }
    apr_dir_close(dir);
    qsort(names->elts, (size_t)names->nelts, sizeof(char *), by_name);
    for (i = 0; i < names->nelts; i++) {
        run(APR_ARRAY_IDX(names, i, const char *), pool);
    }
}

int main(int argc, char **argv)
{
    apr_pool_t *pool;
    int i;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    for (i = 1; i < argc; i++) {
        run_all(argv[i], pool);
    }
    printf("1..%d\n", tests);
    apr_terminate();
    return failures != 0 || tests == 0;
}
