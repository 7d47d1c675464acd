/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/reach.h - which way the kernel sends what goes to a subnet
 *
 * Our routes are in the main table. A routing rule (ip rule) that comes before it leads past them,
 * as some VPNs have it, and so does a firewall that marks packets. What the kernel would do shows
 * in the address that it gives to a socket which is connected to that subnet; nothing is sent for
 * it.
 */
#ifndef CLIENT_USERD_REACH_H
#define CLIENT_USERD_REACH_H

#include <stdbool.h>

#include "client/userd/plan.h"
#include "client/userd/routes.h"
#include "net/addr.h"

/* Adds a conflict for each subnet of the plan in force whose packets do not get our address, one of
 * own4 and own6 (family 0: none). Its route has no prefix and the device of the address that they
 * get, "" if there is no way at all. `routes`: of the laptop; what has a longer one stays out. */
void reach_check(struct plan *plan, const struct route_list *routes, const struct ip_addr *own4,
	const struct ip_addr *own6);

#endif /* CLIENT_USERD_REACH_H */
