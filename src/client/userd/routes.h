/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/routes.h - the laptop's routes as /proc shows them: what must not be touched
 */
#ifndef CLIENT_USERD_ROUTES_H
#define CLIENT_USERD_ROUTES_H

#include <net/if.h>
#include <stdbool.h>

#include "core/attr.h"
#include "net/addr.h"

struct err;

#define ROUTES_MAX 4096

struct route {
	struct ip_prefix prefix;
	struct ip_addr gateway; /* family 0: on link */
	char device[IF_NAMESIZE];
};

struct route_list {
	struct route *items; /* owned */
	size_t count;
};

/* Main table of both families, without loopback, link-local and multicast. */
NODISCARD int routes_read(struct route_list *ret_list, struct err *err);
void routes_done(struct route_list *list);
/* One line of /proc/net/route and of /proc/net/ipv6_route. False: not a route of interest. */
bool routes_parse4(const char *line, struct route *ret_route);
bool routes_parse6(const char *line, struct route *ret_route);
/* Default routes, and their halves as VPNs add them, say nothing about a subnet's use. */
bool route_is_default(const struct route *route);

#endif /* CLIENT_USERD_ROUTES_H */
