/* SPDX-License-Identifier: Apache-2.0 */
/* Key files: what is taken has a key for each line that is neither empty nor a
 * comment, what is refused says in which line. */
#include "fuzz.h"

#include "../../src/acct/keys.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

/* Lines of @a text, and those with something in them. */
static int lines(const char *text, unsigned *full)
{
    int n = 0;

    *full = 0;
    for (;;) {
        apr_size_t i, end = strcspn(text, "\n");

        n++;
        for (i = 0; i < end && text[i] != '#'; i++) {
            if (!apr_isspace(text[i])) {
                ++*full;
                break;
            }
        }
        if (text[end] == '\0') {
            return n;
        }
        text += end + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();
    char *text = apr_pstrmemdup(pool, (const char *)data, size);
    const char *copy = apr_pstrdup(pool, text), *why = NULL;
    clb_keys_t *keys = NULL;
    unsigned full;
    int number = 0, all = lines(text, &full);

    if (clb_keys_parse(&keys, text, &why, pool) == APR_SUCCESS) {
        FUZZ_CHECK(why == NULL, "a reason for success: %s", why);
        FUZZ_CHECK(clb_keys_count(keys) == full, "%u keys of %u lines",
                   clb_keys_count(keys), full);
    }
    else {
        FUZZ_CHECK(keys == NULL, "keys of a bad file");
        FUZZ_CHECK(why != NULL && sscanf(why, "line %d: ", &number) == 1
                   && number >= 1 && number <= all, "line %d of %d", number,
                   all);
    }
    FUZZ_CHECK(strcmp(text, copy) == 0, "the text was changed");
    clb_keys_find(keys, text);
    clb_scopes_parse(text, pool);
    apr_pool_clear(pool);
    return 0;
}
