/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/resolve.h - finds the workload and the ports of an intercept, with the user's rights
 *
 * All kinds and the services are asked for at the same time; an object that is controlled climbs to
 * its controller. Nothing in the cluster is changed.
 */
#ifndef CLIENT_USERD_RESOLVE_H
#define CLIENT_USERD_RESOLVE_H

#include "client/userd/match.h"
#include "core/attr.h"

struct err;
struct kube_client;
struct resolve;

/* r 0: the target is the callee's (intercept_target_done). Else err, and a hint or "". */
typedef void (*resolve_fn)(void *user, int r, struct intercept_target *target,
	const struct err *err, const char *hint);

/* args are borrowed until on_done, which is called once, never from within. */
struct resolve *resolve_start(struct kube_client *client, const struct intercept_args *args,
	resolve_fn on_done, void *user);
void resolve_cancel(struct resolve *resolve); /* NULL-safe; on_done is not called */

#endif /* CLIENT_USERD_RESOLVE_H */
