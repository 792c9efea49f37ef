/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_SCRATCH_H
#define CLB_SCRATCH_H

#include "process.h"

/** Make the private directory of @a process, with its scratch files, which are
 *  open then, and the directory where it runs.
 *  @return APR_SUCCESS, or the errno of what failed */
apr_status_t clb_scratch_make(clb_process_t *process);

/** Make what else it finds there. @param env its environment
 *  @return as clb_scratch_make() */
apr_status_t clb_scratch_gifts(const clb_process_t *process,
                               const char *const *env);

/** Remove what it wrote down of a turn that is over. */
void clb_scratch_sweep(const clb_process_t *process);

/** Remove the directory and all that is in it. */
void clb_scratch_remove(const clb_process_t *process);

#endif
