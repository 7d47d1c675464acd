/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/objects.h - the kinds this project handles and where their objects are
 *
 * Internal to the folder.
 */
#ifndef CLUSTER_OBJECTS_H
#define CLUSTER_OBJECTS_H

#include <stdbool.h>

#include "cluster/client.h"

struct kube_kind {
	const char *kind, *plural;
	bool namespaced;
};

/* NULL for a kind that is not handled here. */
const struct kube_kind *kube_kind_find(const char *kind);
/* Path of an object by its own kind and metadata; NULL for one of an unknown kind. */
NODISCARD char *kube_object_path(json_object *object);

/* Server-side apply of one object (fieldManager telepresence, force). */
void kube_apply(struct kube_client *client, json_object *object, kube_done_fn on_done, void *user,
	struct kube_request **ret_request);

#endif /* CLUSTER_OBJECTS_H */
