/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/kinds.h"

#include <ctype.h>
#include <string.h>

#include "cluster/json.h"
#include "core/alloc.h"

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

json_object *workload_controller(json_object *object)
{
	for (size_t i = 0; i < json_count(object, "metadata.ownerReferences"); i++) {
		json_object *owner = json_item(object, "metadata.ownerReferences", i);

		if (json_object_get_boolean(json_member(owner, "controller")))
			return owner;
	}
	return NULL;
}

bool workload_namespace_is_system(const char *namespace, const char *manager_namespace)
{
	return strcmp(namespace, "kube-system") == 0 || strcmp(namespace, "kube-public") == 0 ||
	       strcmp(namespace, "kube-node-lease") == 0 ||
	       strcmp(namespace, manager_namespace) == 0;
}

/* RFC 3986 2.3: everything but the unreserved characters is escaped. */
char *workload_escape(const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	char *out = xcalloc(strlen(text) * 3 + 1, 1);
	size_t len = 0;

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (isalnum(c) || strchr("-._~", c)) {
			out[len++] = (char)c;
			continue;
		}
		out[len++] = '%';
		out[len++] = hex[c >> 4];
		out[len++] = hex[c & 15];
	}
	return out;
}
