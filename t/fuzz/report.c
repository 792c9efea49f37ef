/* SPDX-License-Identifier: Apache-2.0 */
/* What a CLI says of itself, in lines: whatever it says, the names are text,
 * and what is complete stays so. */
#include "fuzz.h"

#include "../../src/backend/driver.h"

#include <string.h>

static void hear(const clb_question_t *question, char *text, size_t size,
                 apr_pool_t *pool)
{
    clb_report_t report = { 0 };
    char *end = text + size, *line, *next;
    const char *why;
    clb_json_t *json;
    int i, complete;

    for (line = text; line < end; line = next) {
        next = memchr(line, '\n', (size_t)(end - line));
        next = next == NULL ? end : next + 1;
        if (clb_json_parse(&json, line, (apr_size_t)(next - line),
                           CLB_JSON_LENIENT, &why, pool) != APR_SUCCESS) {
            continue;
        }
        complete = report.complete;
        question->hear(&report, json, pool);
        FUZZ_CHECK(report.complete >= complete, "not complete any more");
    }
    for (i = 0; report.models != NULL && i < report.models->nelts; i++) {
        const char *name = APR_ARRAY_IDX(report.models, i, const char *);

        FUZZ_CHECK(strcmp(name, clb_utf8_clean(pool, name, strlen(name),
                   NULL)) == 0, "not UTF-8: %s", name);
        FUZZ_CHECK(!clb_model_is_name(name)
                   || strpbrk(name, " \t\r\n\x1b*?") == NULL,
                   "no name: %s", name);
    }
    FUZZ_CHECK(report.login <= CLB_LOGIN_OUT, "no login");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const drivers[] = { "claude", "codex" };
    apr_pool_t *pool = fuzz_pool();
    char *text = malloc(size + 1);
    int i;

    for (i = 0; i < 2; i++) {
        memcpy(text, data, size);
        text[size] = '\0';
        hear(clb_driver_find(drivers[i])->question, text, size, pool);
        apr_pool_clear(pool);
    }
    free(text);
    return 0;
}
