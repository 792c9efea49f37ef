/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the server on loopback: read at once and in pieces they are the
 * same, and nothing points outside. */
#include "fuzz.h"

#include "../../src/proc/stub.h"

#include <string.h>

static void check(const clb_stub_parser_t *p, apr_status_t rv,
                  const char *data, apr_size_t len)
{
    apr_size_t i;

    FUZZ_CHECK(rv == APR_SUCCESS || rv == APR_EAGAIN || rv == APR_EINVAL,
               "result %d", rv);
    FUZZ_CHECK(p->seen <= len && p->head <= p->seen, "beyond the end");
    FUZZ_CHECK(p->seen > 0 || len == 0, "nothing was looked at");
    if (rv == APR_EINVAL || p->head == 0) {
        FUZZ_CHECK(rv != APR_SUCCESS, "a request without a head");
        return;
    }
    FUZZ_CHECK(p->head <= CLB_STUB_HEAD_MAX, "a head of %d", (int)p->head);
    FUZZ_CHECK(p->method_len > 0 && p->method_len + 1 == p->path,
               "no method");
    FUZZ_CHECK(p->path_len > 0 && p->path + p->path_len < p->head, "no path");
    for (i = 0; i < p->path + p->path_len; i++) {
        FUZZ_CHECK(data[i] > ' ' || i == p->method_len, "a blank");
    }
    FUZZ_CHECK(p->head + p->body_len <= CLB_STUB_MAX, "too large");
    FUZZ_CHECK(p->head + p->body_len <= p->seen, "a body from nowhere");
    FUZZ_CHECK(rv != APR_SUCCESS || p->chunked || p->body_len == p->length,
               "not as long as it said");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t seed = fuzz_seed(data, size);
    clb_stub_parser_t whole = { 0 }, parts = { 0 };
    char *one = malloc(size + 1), *two = malloc(size + 1);
    apr_status_t rv, again = APR_EAGAIN;
    size_t given = 0;

    memcpy(one, data, size);
    memcpy(two, data, size);
    rv = clb_stub_parse(&whole, one, size);
    check(&whole, rv, one, size);
    while (given < size && again == APR_EAGAIN) {
        given += 1 + fuzz_next(&seed, given < 64 ? 8 : 512);
        given = given < size ? given : size;
        again = clb_stub_parse(&parts, two, given);
        check(&parts, again, two, given);
    }
    FUZZ_CHECK(rv == again, "%d at once, %d in pieces", rv, again);
    if (rv != APR_EINVAL) {
        FUZZ_CHECK(memcmp(&whole, &parts, sizeof(whole)) == 0
                   && memcmp(one, two, whole.head + whole.body_len) == 0,
                   "something else in pieces");
    }
    free(one);
    free(two);
    return 0;
}
