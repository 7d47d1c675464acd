/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/workloads.h - what of a namespace could be intercepted, with the user's own rights
 *
 * Every kind of kinds.h without an owner of these kinds, whether an agent runs in its pods, and who
 * intercepts it. All lists are asked for at the same time. What the user may not see of pods and
 * intercepts is left out; the traffic-manager always is.
 */
#ifndef CLIENT_USERD_WORKLOADS_H
#define CLIENT_USERD_WORKLOADS_H

#include <json-c/json.h>

#include "core/attr.h"

struct err;
struct kube_client;
struct workloads;

/* r 0: an array, sorted by name, as docs/ipc-userd.md has it; the callee's. */
typedef void (*workloads_fn)(void *user, int r, json_object *list, const struct err *err);

/* on_done is called once, never from within. */
struct workloads *workloads_list(struct kube_client *client, const char *namespace,
	const char *manager_namespace, workloads_fn on_done, void *user);
void workloads_cancel(struct workloads *workloads); /* NULL-safe; on_done is not called */

#endif /* CLIENT_USERD_WORKLOADS_H */
