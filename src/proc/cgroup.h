/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_CGROUP_H
#define CLB_CGROUP_H

#include <apr_pools.h>

#include <sys/types.h>

/**
 * Enter a cgroup of one's own below the present one, so that whatever a CLI
 * starts, and wherever that goes, can be ended by those who come later. What is
 * left in the cgroups of keepers that died is ended first. Only the keeper
 * calls this, while it may still do all that it ever may.
 * @param uid,gid who the keeper will be
 * @return the directory in @a pool, for clb_cgroup_leave(); NULL where there
 *         is no cgroup of version 2 that may be written
 */
const char *clb_cgroup_enter(uid_t uid, gid_t gid, apr_pool_t *pool);

/** Leave it, end all that are still in it, remove it. NULL is ignored. */
void clb_cgroup_leave(const char *cgroup, apr_pool_t *pool);

#endif
