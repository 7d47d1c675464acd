/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/plan.h - from what the cluster has and the laptop uses to the routes to set
 */
#ifndef CLIENT_USERD_PLAN_H
#define CLIENT_USERD_PLAN_H

#include "client/userd/proxy_lists.h"
#include "client/userd/routes.h"
#include "client/userd/subnets.h"
#include "core/attr.h"

struct cluster_info;
struct err;

struct plan_input {
	const struct cluster_info *info;
	const struct proxy_lists *lists;
	const struct prefix_set *direct; /* hosts that are never routed */
	const struct route_list *routes;
	const char *own_device;
};

/* As many are shown; more are more of the same. */
#define PLAN_CONFLICTS 16

struct plan_conflict {
	struct ip_prefix subnet; /* of the cluster, or of --also-proxy */
	struct route
		route; /* of the laptop; without a prefix: what a routing rule leads to (reach.h) */
};

struct plan {
	struct prefix_set routes;
	struct plan_conflict conflicts[PLAN_CONFLICTS];
	size_t conflict_count;
};

/*
 * Cluster subnets without never-proxy, and also-proxy without the longer never-proxy ones (the
 * most specific wins), without the direct hosts and the default gateways.
 *
 * A route of the laptop that overlaps is a conflict unless allow_conflicting has the overlap. What
 * such a route covers is left out; one that is longer than ours needs nothing, as the kernel takes
 * the longest. An allowed one that is the same as ours is outdone by our two halves of it.
 */
NODISCARD int plan_routes(const struct plan_input *input, struct plan *ret_plan, struct err *err);
#define PLAN_ROUTE_BYTES (ADDR_TEXT_BYTES + 64)

/* "10.0.0.0/8 dev vpn0": what stands in the way. Returns out. */
const char *plan_conflict_route(
	const struct plan_conflict *conflict, char out[static PLAN_ROUTE_BYTES]);
/* -EEXIST with both routes and the flag named. */
int plan_conflict_error(const struct plan_conflict *conflict, struct err *err);

#endif /* CLIENT_USERD_PLAN_H */
