/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/intercept_target.h - the pods of a workload, for all intercepts of it
 *
 * Internal to intercepts.h. Kept while intercepts use it, and as long as a pod has an idle agent:
 * it may be wanted again.
 */
#ifndef MANAGER_INTERCEPT_TARGET_H
#define MANAGER_INTERCEPT_TARGET_H

#include "manager/intercept_impl.h"
#include "manager/workload.h"

struct target {
	char *key; /* "namespace/kind/name" */
	char *name;
	struct intercepts *set;
	struct workload *workload;
	unsigned int users; /* intercepts */
	UT_hash_handle hh;
};

/* Sets intercept->target, and counts its user there. */
void intercept_seek(struct intercept *intercept);
void target_close(struct target *target);
/* Closes those that nobody uses and that have no agent. */
void targets_reap(struct intercepts *set);

#endif /* MANAGER_INTERCEPT_TARGET_H */
