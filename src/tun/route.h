/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tun/route.h - the routes through our device, kept equal to a wanted set
 *
 * Ours are told by device and protocol number; no other route is touched. New ones are added
 * before old ones go, and a failure takes back what it added, so that a refused set leaves the
 * old one in force.
 */
#ifndef TUN_ROUTE_H
#define TUN_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"
#include "net/addr.h"

struct err;
struct rtnl;

/* Free in rt_protos of iproute2 and in the kernel's rtnetlink.h ('t'). */
#define ROUTE_PROTOCOL 116
/* Others' routes of the same prefix have a lower one, whatever adds them: a VPN that comes later
 * can add its own, and has it. */
#define ROUTE_METRIC 32768
/* Ours that a dump may return: the wanted set's bound, and then some that failed to go. */
#define ROUTE_MAX 512

/* 0, -EEXIST when another route has one of the prefixes already, or -errno. Duplicates are one. */
NODISCARD int route_sync(struct rtnl *rtnl, uint32_t ifindex, bool ipv6,
	const struct ip_prefix *wanted, size_t count, struct err *err);

#endif /* TUN_ROUTE_H */
