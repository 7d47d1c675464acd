/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/workloads.h - what of a namespace could be intercepted, with the user's own rights
 *
 * Deployments, StatefulSets and ReplicaSets without an owner; the traffic-manager is left out.
 */
#ifndef CLIENT_USERD_WORKLOADS_H
#define CLIENT_USERD_WORKLOADS_H

#include <json-c/json.h>

#include "core/attr.h"

struct err;
struct kube_client;
struct workloads;

/* r 0: an array, sorted by name, of {name, namespace, kind, replicas, ready}; the callee's. */
typedef void (*workloads_fn)(void *user, int r, json_object *list, const struct err *err);

/* on_done is called once, never from within. */
struct workloads *workloads_list(struct kube_client *client, const char *namespace,
	const char *manager_namespace, workloads_fn on_done, void *user);
void workloads_cancel(struct workloads *workloads); /* NULL-safe; on_done is not called */

#endif /* CLIENT_USERD_WORKLOADS_H */
