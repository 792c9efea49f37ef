/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least program that CLIBridgeReuse lines can drive, so that what is
 * measured is the way to it and back.
 *
 *   [[stream:N:0]]   N lines of text; one without it
 *   [[hang]]         silence until it is cancelled
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void answer(const char *asked)
{
    const char *stream = strstr(asked, "[[stream:");
    int n = stream == NULL ? 1 : atoi(stream + strlen("[[stream:"));

    while (n-- > 0) {
        fputs("{\"text\":\"word \"}\n", stdout);
    }
    fputs("{\"done\":true}\n", stdout);
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    int hangs = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);

    while (getline(&line, &size, stdin) > 0) {
        int turn = strstr(line, "\"messages\"") != NULL;

        if (turn && strstr(line, "[[hang]]") != NULL) {
            hangs = 1;
        }
        else if (turn || hangs) {
            hangs = 0;
            answer(line);
        }
    }
    free(line);
    return 0;
}
