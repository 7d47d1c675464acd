/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/manifests.h - the objects of k8s/ as this build carries them, ready to apply
 *
 * Internal to the folder.
 */
#ifndef CLUSTER_MANIFESTS_H
#define CLUSTER_MANIFESTS_H

#include <json-c/json.h>

#include "core/attr.h"

struct err;
struct kube_install_config;

/* YAML documents; generated from k8s/ by cmake/Embed.cmake. */
extern const unsigned char kube_manifests[];
extern const unsigned long kube_manifests_len;

/* Every document of a YAML stream as JSON, in order. Of YAML it knows what k8s/ uses: maps, lists,
 * strings, integers, true, false and null. */
NODISCARD int yaml_to_json(const void *text, size_t len, json_object **ret_array, struct err *err);

/* The embedded objects with the configured namespace and image. */
NODISCARD int manifests_load(
	const struct kube_install_config *config, json_object **ret_array, struct err *err);
/* The image of the Deployment among them. Borrowed. */
const char *manifests_image(json_object *array);

#endif /* CLUSTER_MANIFESTS_H */
