/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/intercept_object.h - Intercept objects, written and read
 *
 * The object is what Kubernetes keeps (k8s/crds/intercepts.yaml); the description is what commands
 * get (docs/ipc-userd.md).
 */
#ifndef CLIENT_USERD_INTERCEPT_OBJECT_H
#define CLIENT_USERD_INTERCEPT_OBJECT_H

#include <json-c/json.h>

#include "client/userd/match.h"
#include "core/attr.h"

#define INTERCEPT_API    "telepresence.io/v1alpha1"
#define INTERCEPT_PLURAL "intercepts"

/* Whose intercepts they are: the Session and its maker. All borrowed. */
struct intercept_owner {
	const char *owner, *session, *session_uid, *host;
};

/* An object to be created under this name; the caller's. */
NODISCARD json_object *intercept_object_new(const struct intercept_args *args,
	const struct intercept_target *target, const struct intercept_owner *owner,
	const char *name);
/* Its path; malloc'd. */
NODISCARD char *intercept_object_path(const char *namespace, const char *name);
/* What commands are told of an object; the caller's. */
NODISCARD json_object *intercept_object_describe(json_object *object);
/* One line while it is waited for: "Waiting for agents: 1 of 2 pods". */
void intercept_object_progress(json_object *object, char *out, size_t len);
/* Adds the TELEPRESENCE_* variables to the environment of a container. */
void intercept_add_environment(
	json_object *environment, json_object *description, const struct intercept_target *target);

#endif /* CLIENT_USERD_INTERCEPT_OBJECT_H */
