/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/userd/info.h"
#include "core/alloc.h"
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
		r = add_all(&never, input->lists->never.items, input->lists->never.count, err);
	return r < 0 ? r : prefix_set_subtract(&wanted, &never, ret_set, err);
}

static int add_also(const struct plan_input *input, struct prefix_set *set, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < input->lists->also.count; i++) {
		const struct ip_prefix *also = &input->lists->also.items[i];
		struct prefix_set one = {.items = {*also}, .count = 1}, never = {.count = 0}, rest;

		for (size_t k = 0; r == 0 && k < input->lists->never.count; k++) {
			if (input->lists->never.items[k].len > also->len)
				r = prefix_set_add(&never, &input->lists->never.items[k], err);
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

static bool covers(const struct ip_prefix *outer, const struct ip_prefix *inner)
{
	return outer->len <= inner->len && ip_prefix_contains(outer, &inner->addr);
}

/* Of a route and a subnet that overlap, one contains the other: the overlap is the longer one. */
static bool is_allowed(const struct plan_input *input, const struct ip_prefix *subnet,
	const struct ip_prefix *route)
{
	const struct ip_prefix *overlap = subnet->len > route->len ? subnet : route;

	for (size_t i = 0; i < input->lists->allow_conflicting.count; i++) {
		if (covers(&input->lists->allow_conflicting.items[i], overlap))
			return true;
	}
	return false;
}

/* The subnet as the cluster or a flag names it, of which `piece` may be what holes have left. */
static struct ip_prefix named_subnet(const struct plan_input *input, const struct ip_prefix *piece)
{
	const struct prefix_set *const sets[] = {&input->info->services, &input->info->pods};

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		for (size_t k = 0; k < sets[i]->count; k++) {
			if (covers(&sets[i]->items[k], piece))
				return sets[i]->items[k];
		}
	}
	for (size_t i = 0; i < input->lists->also.count; i++) {
		if (covers(&input->lists->also.items[i], piece))
			return input->lists->also.items[i];
	}
	return *piece;
}

static void note_conflict(const struct plan_input *input, const struct ip_prefix *piece,
	const struct route *route, struct plan *plan)
{
	if (plan->conflict_count == PLAN_CONFLICTS)
		return;
	plan->conflicts[plan->conflict_count++] =
		(struct plan_conflict){.subnet = named_subnet(input, piece), .route = *route};
}

/* Of a subnet that is shorter than the route the pieces beside a hole may be longer: they would
 * take what the kernel leaves to the route. */
static void resolve_route(
	const struct plan_input *input, const struct route *route, struct plan *plan)
{
	struct prefix_set *set = &plan->routes;
	size_t kept = 0;

	for (size_t i = 0; i < set->count; i++) {
		const struct ip_prefix piece = set->items[i];
		bool overlap = ip_prefix_overlaps(&piece, &route->prefix);
		bool allowed = !overlap || is_allowed(input, &piece, &route->prefix);

		if (!allowed)
			note_conflict(input, &piece, route, plan);
		if (!covers(&route->prefix, &piece) ||
			(allowed && named_subnet(input, &piece).len >= route->prefix.len))
			set->items[kept++] = piece;
	}
	set->count = kept;
}

/* The kernel keeps one route of a prefix and metric; two halves of it are longer and win. */
static int outdo_equal(const struct plan_input *input, struct plan *plan, struct err *err)
{
	struct prefix_set *set = &plan->routes;

	for (size_t i = 0; i < input->routes->count; i++) {
		const struct route *route = &input->routes->items[i];

		if (strcmp(route->device, input->own_device) == 0)
			continue;
		if (prefix_set_halve(set, &route->prefix) < 0)
			return err_set(err, -E2BIG, ERR_UNSUPPORTED, "too many subnets");
	}
	return 0;
}

const char *plan_conflict_route(
	const struct plan_conflict *conflict, char out[static PLAN_ROUTE_BYTES])
{
	const struct route *route = &conflict->route;
	char text[ADDR_TEXT_BYTES];

	if (route->prefix.addr.family)
		(void)snprintf(out, PLAN_ROUTE_BYTES, "%s dev %s",
			ip_prefix_format(&route->prefix, text), route->device);
	else if (route->device[0])
		(void)snprintf(
			out, PLAN_ROUTE_BYTES, "dev %s by a routing rule (ip rule)", route->device);
	else
		(void)snprintf(out, PLAN_ROUTE_BYTES, "none (a routing rule, or IPv6 is off)");
	return out;
}

int plan_conflict_error(const struct plan_conflict *conflict, struct err *err)
{
	char text[ADDR_TEXT_BYTES], route[PLAN_ROUTE_BYTES];

	if (!conflict->route.prefix.addr.family)
		return err_set(err, -EEXIST, ERR_CONFLICT,
			"what goes to subnet %s does not go to the cluster: its route is %s",
			ip_prefix_format(&conflict->subnet, text),
			plan_conflict_route(conflict, route));
	return err_set(err, -EEXIST, ERR_CONFLICT,
		"subnet %s overlaps with existing route \"%s\" "
		"(--allow-conflicting-subnets %s connects all the same)",
		ip_prefix_format(&conflict->subnet, text), plan_conflict_route(conflict, route),
		text);
}

int plan_routes(const struct plan_input *input, struct plan *ret_plan, struct err *err)
{
	struct plan *plan = XNEW(struct plan);
	struct prefix_set avoid;
	int r = cluster_part(input, &plan->routes, err);

	if (r == 0)
		r = add_also(input, &plan->routes, err);
	if (r == 0)
		r = hosts_to_avoid(input, &avoid, err);
	if (r == 0)
		r = prefix_set_subtract(&plan->routes, &avoid, &plan->routes, err);
	for (size_t i = 0; r == 0 && i < input->routes->count; i++) {
		const struct route *route = &input->routes->items[i];

		if (!route_is_default(route) && strcmp(route->device, input->own_device) != 0)
			resolve_route(input, route, plan);
	}
	if (r == 0)
		r = outdo_equal(input, plan, err);
	if (r == 0)
		*ret_plan = *plan;
	free(plan);
	return r;
}
