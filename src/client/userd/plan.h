/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/plan.h - from what the cluster has and the laptop uses to the routes to set
 */
#ifndef CLIENT_USERD_PLAN_H
#define CLIENT_USERD_PLAN_H

#include "client/userd/args.h"
#include "client/userd/routes.h"
#include "client/userd/subnets.h"
#include "core/attr.h"

struct cluster_info;
struct err;

struct plan_input {
	const struct cluster_info *info;
	const struct prefix_list *also_proxy, *never_proxy;
	const struct prefix_set *direct; /* hosts that are never routed */
	const struct route_list *routes;
	const char *own_device;
};

/*
 * Cluster subnets without never-proxy, and also-proxy without the longer never-proxy ones (the
 * most specific wins), without the direct hosts and the default gateways. -EEXIST when a route of
 * the laptop overlaps.
 */
NODISCARD int plan_routes(
	const struct plan_input *input, struct prefix_set *ret_routes, struct err *err);

#endif /* CLIENT_USERD_PLAN_H */
