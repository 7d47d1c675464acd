/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/reach.h"

#include <errno.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Any will do: a datagram socket sends nothing when it is connected. */
#define DISCARD_PORT 9
/* Addresses of a subnet that are looked at: the first, the last and the middle one. */
#define PROBES 3

static struct ip_addr probe_of(const struct ip_prefix *subnet, unsigned int index)
{
	struct ip_addr addr = subnet->addr;
	unsigned int bits = 8 * ip_addr_len(&addr);

	for (unsigned int bit = subnet->len; index == 1 && bit + 1 < bits; bit++)
		addr.bytes[bit / 8] |= (uint8_t)(0x80U >> (bit % 8));
	if (index == 2 && subnet->len < bits)
		addr.bytes[subnet->len / 8] |= (uint8_t)(0x80U >> (subnet->len % 8));
	if (index != 1 && subnet->len < bits)
		addr.bytes[bits / 8 - 1] |= 1;
	return addr;
}

/* The address that a packet to `to` would have. */
static int source_towards(const struct ip_addr *to, struct ip_addr *ret_from)
{
	const struct ip_endpoint target = {.addr = *to, .port = DISCARD_PORT};
	struct sockaddr_storage sa;
	socklen_t len = ip_endpoint_to_sockaddr(&target, &sa);
	auto_close int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ip_endpoint from;

	if (fd < 0 || connect(fd, (const struct sockaddr *)&sa, len) < 0)
		return -errno;
	len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0 ||
		ip_endpoint_from_sockaddr((const struct sockaddr *)&sa, &from) < 0)
		return -EINVAL;
	*ret_from = from.addr;
	return 0;
}

static void name_device(const struct ip_addr *addr, char ret_name[static IF_NAMESIZE])
{
	struct ifaddrs *list = NULL;
	struct ip_endpoint ep;

	if (getifaddrs(&list) < 0)
		return;
	for (const struct ifaddrs *at = list; at; at = at->ifa_next) {
		if (at->ifa_addr && ip_endpoint_from_sockaddr(at->ifa_addr, &ep) == 0 &&
			ip_addr_equal(&ep.addr, addr))
			(void)snprintf(ret_name, IF_NAMESIZE, "%s", at->ifa_name);
	}
	freeifaddrs(list);
}

static bool has_longer_route(
	const struct route_list *routes, const struct ip_prefix *subnet, const struct ip_addr *addr)
{
	for (size_t i = 0; i < routes->count; i++) {
		if (routes->items[i].prefix.len > subnet->len &&
			ip_prefix_contains(&routes->items[i].prefix, addr))
			return true;
	}
	return false;
}

/* Every address that is looked at goes another way. */
static bool is_elsewhere(const struct ip_prefix *subnet, const struct route_list *routes,
	const struct ip_addr *own, char ret_device[static IF_NAMESIZE])
{
	bool elsewhere = false;

	for (unsigned int i = 0; i < PROBES; i++) {
		struct ip_addr probe = probe_of(subnet, i), from = {.family = 0};

		if (has_longer_route(routes, subnet, &probe))
			continue;
		if (source_towards(&probe, &from) == 0 && ip_addr_equal(&from, own))
			return false;
		if (from.family)
			name_device(&from, ret_device);
		elsewhere = true;
	}
	return elsewhere;
}

void reach_check(struct plan *plan, const struct route_list *routes, const struct ip_addr *own4,
	const struct ip_addr *own6)
{
	for (size_t i = 0; i < plan->routes.count && plan->conflict_count < PLAN_CONFLICTS; i++) {
		const struct ip_prefix *subnet = &plan->routes.items[i];
		const struct ip_addr *own = subnet->addr.family == AF_INET ? own4 : own6;
		struct plan_conflict conflict = {.subnet = *subnet};

		if (own->family && is_elsewhere(subnet, routes, own, conflict.route.device))
			plan->conflicts[plan->conflict_count++] = conflict;
	}
}
