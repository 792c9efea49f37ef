/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TAP_H
#define TAP_H

/* TAP for a test program of one file: any number of checks, then
 * `return tap_done();`. The plan comes last; diagnostics go to stderr. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int tap_count, tap_failures;

static inline void __attribute__((format(printf, 1, 2)))
diag(const char *format, ...)
{
    char text[4096], *line, *next;
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fflush(stdout);
    for (line = text; line != NULL; line = next) {
        if ((next = strchr(line, '\n')) != NULL) {
            *next++ = '\0';
        }
        fprintf(stderr, "# %s\n", line);
    }
}

static inline int __attribute__((format(printf, 2, 0)))
tap_result(int good, const char *format, va_list args)
{
    printf("%sok %d - ", good ? "" : "not ", ++tap_count);
    vprintf(format, args);
    putchar('\n');
    tap_failures += !good;
    return good;
}

static inline int __attribute__((format(printf, 2, 3)))
ok(int good, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tap_result(good, format, args);
    va_end(args);
    return good;
}

static inline int __attribute__((format(printf, 3, 4)))
is_int(long long got, long long want, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (!tap_result(got == want, format, args)) {
        diag("got  %lld\nwant %lld", got, want);
    }
    va_end(args);
    return got == want;
}

static inline int __attribute__((format(printf, 3, 4)))
is_str(const char *got, const char *want, const char *format, ...)
{
    int good = got == NULL || want == NULL ? got == want
             : strcmp(got, want) == 0;
    va_list args;

    va_start(args, format);
    if (!tap_result(good, format, args)) {
        diag("got  %s\nwant %s", got == NULL ? "(null)" : got,
             want == NULL ? "(null)" : want);
    }
    va_end(args);
    return good;
}

static inline int tap_done(void)
{
    printf("1..%d\n", tap_count);
    return tap_failures != 0 || tap_count == 0;
}

#endif
