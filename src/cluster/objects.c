/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of objects, and server-side apply. */
#include "cluster/objects.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>

#include "cluster/json.h"
#include "core/alloc.h"

/* JSON is YAML, but for the escaped slash. */
#define YAML_COMPATIBLE (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

static const struct kube_kind kinds[] = {
	{"ClusterRole", "clusterroles", false},
	{"ClusterRoleBinding", "clusterrolebindings", false},
	{"ConfigMap", "configmaps", true},
	{"CustomResourceDefinition", "customresourcedefinitions", false},
	{"DaemonSet", "daemonsets", true},
	{"Deployment", "deployments", true},
	{"Intercept", "intercepts", true},
	{"Lease", "leases", true},
	{"Namespace", "namespaces", false},
	{"Node", "nodes", false},
	{"Pod", "pods", true},
	{"PodDisruptionBudget", "poddisruptionbudgets", true},
	{"ReplicaSet", "replicasets", true},
	{"Role", "roles", true},
	{"RoleBinding", "rolebindings", true},
	{"Secret", "secrets", true},
	{"Service", "services", true},
	{"ServiceAccount", "serviceaccounts", true},
	{"Session", "sessions", true},
	{"StatefulSet", "statefulsets", true},
	{"ValidatingAdmissionPolicy", "validatingadmissionpolicies", false},
	{"ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", false},
};

const struct kube_kind *kube_kind_find(const char *kind)
{
	for (size_t i = 0; kind && i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(kinds[i].kind, kind) == 0)
			return &kinds[i];
	}
	return NULL;
}

char *kube_path(
	const char *api_version, const char *plural, const char *namespace, const char *name)
{
	const char *root = strchr(api_version, '/') ? "/apis" : "/api";

	return xasprintf("%s/%s%s%s/%s%s%s", root, api_version, namespace ? "/namespaces/" : "",
		namespace ? namespace : "", plural, name ? "/" : "", name ? name : "");
}

char *kube_escape(const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, 0);
	char *copy = xstrdup(escaped ? escaped : "");

	curl_free(escaped);
	return copy;
}

char *kube_object_path(json_object *object)
{
	const struct kube_kind *kind = kube_kind_find(json_text(object, "kind"));
	const char *api_version = json_text(object, "apiVersion");
	const char *name = json_text(object, "metadata.name");

	if (!kind || !api_version || !name)
		return NULL;
	return kube_path(api_version, kind->plural,
		kind->namespaced ? json_text_or(object, "metadata.namespace", "default") : NULL,
		name);
}

void kube_apply(struct kube_client *client, json_object *object, kube_done_fn on_done, void *user,
	struct kube_request **ret_request)
{
	auto_free char *path = kube_object_path(object);
	/* A kind without a path cannot be asked for: the server says so. */
	auto_free char *query =
		xasprintf("%s?fieldManager=telepresence&force=true", path ? path : "/apis");
	const struct kube_request_config config = {
		.method = "PATCH",
		.path = query,
		.content_type = "application/apply-patch+yaml",
		.body = json_object_to_json_string_ext(object, YAML_COMPATIBLE),
	};

	kube_request(client, &config, on_done, user, ret_request);
}
