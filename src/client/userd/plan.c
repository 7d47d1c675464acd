/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/plan.h"

#include <errno.h>
#include <string.h>

#include "client/userd/info.h"
#include "core/err.h"

static int add_all(
	struct prefix_set *set, const struct ip_prefix *prefixes, size_t count, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++)
		r = prefix_set_add(set, &prefixes[i], err);
	return r;
}

/* What of the cluster's subnets --never-proxy leaves. */
static int cluster_part(const struct plan_input *input, struct prefix_set *ret_set, struct err *err)
{
	const struct cluster_info *info = input->info;
	struct prefix_set wanted = info->services, never = {.count = 0};
	int r = add_all(&wanted, info->pods.items, info->pods.count, err);

	if (r == 0)
		r = add_all(&never, input->never_proxy->items, input->never_proxy->count, err);
	return r < 0 ? r : prefix_set_subtract(&wanted, &never, ret_set, err);
}

static int add_also(const struct plan_input *input, struct prefix_set *set, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < input->also_proxy->count; i++) {
		const struct ip_prefix *also = &input->also_proxy->items[i];
		struct prefix_set one = {.items = {*also}, .count = 1}, never = {.count = 0}, rest;

		for (size_t k = 0; r == 0 && k < input->never_proxy->count; k++) {
			if (input->never_proxy->items[k].len > also->len)
				r = prefix_set_add(&never, &input->never_proxy->items[k], err);
		}
		if (r == 0)
			r = prefix_set_subtract(&one, &never, &rest, err);
		if (r == 0)
			r = add_all(set, rest.items, rest.count, err);
	}
	return r;
}

static int hosts_to_avoid(
	const struct plan_input *input, struct prefix_set *ret_set, struct err *err)
{
	int r = 0;

	*ret_set = *input->direct;
	for (size_t i = 0; r == 0 && i < input->routes->count; i++) {
		const struct route *route = &input->routes->items[i];

		if (route_is_default(route) && route->gateway.family)
			r = prefix_set_add_host(ret_set, &route->gateway, err);
	}
	return r;
}

int plan_routes(const struct plan_input *input, struct prefix_set *ret_routes, struct err *err)
{
	struct prefix_set set = {.count = 0}, avoid;
	char text[ADDR_TEXT_BYTES], route_text[ADDR_TEXT_BYTES];
	const struct route *conflict;
	struct ip_prefix prefix;
	int r = cluster_part(input, &set, err);

	if (r == 0)
		r = add_also(input, &set, err);
	if (r == 0)
		r = hosts_to_avoid(input, &avoid, err);
	if (r == 0)
		r = prefix_set_subtract(&set, &avoid, &set, err);
	if (r < 0)
		return r;
	conflict = routes_conflict(input->routes, &set, input->own_device, &prefix);
	if (conflict)
		return err_set(err, -EEXIST, ERR_CONFLICT,
			"subnet %s overlaps with existing route \"%s dev %s\"",
			ip_prefix_format(&prefix, text),
			ip_prefix_format(&conflict->prefix, route_text), conflict->device);
	*ret_routes = set;
	return 0;
}
