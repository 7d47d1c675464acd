/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/manifests.h"

#include <string.h>

#include "cluster/install.h"
#include "cluster/json.h"
#include "core/alloc.h"

/* The namespace that is written in k8s/. */
#define WRITTEN_NAMESPACE "ambassador"

static void rename_namespace(json_object *object, const char *key, const char *namespace)
{
	if (strcmp(json_text_or(object, key, ""), WRITTEN_NAMESPACE) == 0)
		json_add_text(object, key, namespace);
}

static void set_namespace(json_object *object, const char *namespace)
{
	const char *kind = json_text_or(object, "kind", "");
	json_object *metadata = json_member(object, "metadata");

	rename_namespace(metadata, "namespace", namespace);
	if (strcmp(kind, "Namespace") == 0)
		rename_namespace(metadata, "name", namespace);
	for (size_t i = 0; i < json_count(object, "subjects"); i++)
		rename_namespace(json_item(object, "subjects", i), "namespace", namespace);
	/* Managers of two namespaces must not take each other's rights away. */
	if (strcmp(kind, "ClusterRoleBinding") == 0 && strcmp(namespace, WRITTEN_NAMESPACE) != 0) {
		auto_free char *name =
			xasprintf("%s-%s", json_text_or(object, "metadata.name", ""), namespace);

		json_add_text(metadata, "name", name);
	}
}

static json_object *container(json_object *object)
{
	if (strcmp(json_text_or(object, "kind", ""), "Deployment") != 0)
		return NULL;
	return json_item(object, "spec.template.spec.containers", 0);
}

const char *manifests_image(json_object *array)
{
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		const char *image =
			json_text(container(json_object_array_get_idx(array, i)), "image");

		if (image)
			return image;
	}
	return "";
}

int manifests_load(
	const struct kube_install_config *config, json_object **ret_array, struct err *err)
{
	json_object *array = NULL;
	const char *image = config->image ? config->image : "node.local/telepresence:" TP_VERSION;
	int r = yaml_to_json(kube_manifests, kube_manifests_len, &array, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		json_object *object = json_object_array_get_idx(array, i);

		set_namespace(object, config->manager_namespace);
		if (container(object))
			json_add_text(container(object), "image", image);
	}
	*ret_array = array;
	return 0;
}
