/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/meta.h - what objects of several kinds have: conditions, a controller, an identity, ports
 *
 * As cluster/json.h: NULL objects have nothing, and what is returned is borrowed.
 */
#ifndef CLUSTER_META_H
#define CLUSTER_META_H

#include <json-c/json.h>
#include <stdbool.h>

#include "core/attr.h"

/* The one of status.conditions that has this type, or NULL. */
json_object *kube_condition(json_object *object, const char *type);
/* "True", "False" or "Unknown"; "" where there is no such condition. */
const char *kube_condition_status(json_object *object, const char *type);
/* The ownerReference of the controller, or NULL. */
json_object *kube_controller(json_object *object);
/* Whether a port of a container or Service has this protocol: IPPROTO_TCP or IPPROTO_UDP. */
bool kube_port_has_protocol(json_object *port, int protocol);
/* The body of a DELETE that means the object with this UID and none of its namesakes; malloc'd. */
NODISCARD char *kube_delete_options(const char *uid);

#endif /* CLUSTER_META_H */
