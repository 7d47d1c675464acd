/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/kinds.h - the kinds of workloads, in the order in which a name is looked for
 */
#ifndef CLIENT_USERD_KINDS_H
#define CLIENT_USERD_KINDS_H

#include <stdbool.h>

#include "core/attr.h"

#define KINDS_COUNT 6

struct workload_kind {
	const char *kind, *api_version, *plural;
	bool optional; /* not every cluster has it */
};

extern const struct workload_kind workload_kinds[KINDS_COUNT];

/* NULL: no kind of workload. */
const struct workload_kind *workload_kind_find(const char *kind);
/* "Deployment" as a sentence has it: "deployment". Static. */
const char *workload_kind_text(const char *kind);
/* kube-system and its like, and the manager's namespace: nothing there is intercepted. */
bool workload_namespace_is_system(const char *namespace, const char *manager_namespace);

#endif /* CLIENT_USERD_KINDS_H */
