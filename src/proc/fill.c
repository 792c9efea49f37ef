/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scratch files get their content from whoever runs the driver: a worker, or
 * the keeper.
 */
#include "fill.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static int fill(int fd, const clb_file_t *file)
{
    apr_size_t done = 0;
    struct stat st;

    /* nothing is cheaper than to have nothing to do */
    if (fstat(fd, &st) != 0 || (st.st_size > (off_t)file->len
                                && ftruncate(fd, (off_t)file->len) != 0)) {
        return 0;
    }
    while (done < file->len) {
        ssize_t n = pwrite(fd, file->data + done, file->len - done,
                           (off_t)done);

        if (n < 0 && errno != EINTR) {
            return 0;
        }
        done += n > 0 ? (apr_size_t)n : 0;
    }
    return 1;
}

int clb_fill(const clb_step_t *step, const int *fds, int nfiles)
{
    int i;

    for (i = 0; i < step->files->nelts; i++) {
        const clb_file_t *file = &APR_ARRAY_IDX(step->files, i, clb_file_t);

        if (file->index < nfiles && !fill(fds[file->index], file)) {
            return 0;
        }
    }
    return 1;
}
