/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_FILL_H
#define CLB_FILL_H

#include "../backend/driver.h"

/** Write what @a step wants in scratch files, of which the process has
 *  @a nfiles, open as @a fds; what a turn before wrote goes.
 *  @return 1, or 0 if there is no room for it */
int clb_fill(const clb_step_t *step, const int *fds, int nfiles);

#endif
