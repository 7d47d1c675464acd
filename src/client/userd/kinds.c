/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/kinds.h"

#include <string.h>

const struct workload_kind workload_kinds[KINDS_COUNT] = {
	{"Deployment", "apps/v1", "deployments", false},
	{"StatefulSet", "apps/v1", "statefulsets", false},
	{"ReplicaSet", "apps/v1", "replicasets", false},
	{"DaemonSet", "apps/v1", "daemonsets", false},
	{"Rollout", "argoproj.io/v1alpha1", "rollouts", true},
	{"Pod", "v1", "pods", false},
};

const struct workload_kind *workload_kind_find(const char *kind)
{
	for (size_t i = 0; i < KINDS_COUNT; i++) {
		if (strcmp(workload_kinds[i].kind, kind) == 0)
			return &workload_kinds[i];
	}
	return NULL;
}

const char *workload_kind_text(const char *kind)
{
	static const struct {
		const char *kind, *text;
	} texts[] = {{"Deployment", "deployment"}, {"StatefulSet", "statefulset"},
		{"ReplicaSet", "replicaset"}, {"DaemonSet", "daemonset"}, {"Rollout", "rollout"},
		{"Pod", "pod"}};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (strcmp(kind, texts[i].kind) == 0)
			return texts[i].text;
	}
	return "workload";
}

bool workload_namespace_is_system(const char *namespace, const char *manager_namespace)
{
	return strcmp(namespace, "kube-system") == 0 || strcmp(namespace, "kube-public") == 0 ||
	       strcmp(namespace, "kube-node-lease") == 0 ||
	       strcmp(namespace, manager_namespace) == 0;
}
