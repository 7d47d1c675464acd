/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/subnets.h - which prefixes are routed to the cluster, and where the TUN may live
 *
 * Pure: works on sets of prefixes that others read (client/userd/routes.h, the manager).
 */
#ifndef CLIENT_USERD_SUBNETS_H
#define CLIENT_USERD_SUBNETS_H

#include <stdbool.h>

#include "core/attr.h"
#include "core/limits.h"
#include "net/addr.h"

struct err;

struct prefix_set {
	struct ip_prefix items[LIMIT_ROOT_PREFIXES];
	size_t count;
};

/* Adds a prefix unless one that covers it is there; drops those that it covers. -E2BIG when full.
 */
NODISCARD int prefix_set_add(
	struct prefix_set *set, const struct ip_prefix *prefix, struct err *err);
NODISCARD int prefix_set_add_host(
	struct prefix_set *set, const struct ip_addr *addr, struct err *err);
/* The first member that overlaps the prefix, or NULL. */
const struct ip_prefix *prefix_set_overlap(
	const struct prefix_set *set, const struct ip_prefix *prefix);
/* wanted without excluded: a prefix with a hole is split into the halves beside it. */
NODISCARD int prefix_set_subtract(const struct prefix_set *wanted,
	const struct prefix_set *excluded, struct prefix_set *ret_set, struct err *err);
/* Makes a member that equals the prefix its two halves; a single host stays. -E2BIG when full. */
NODISCARD int prefix_set_halve(struct prefix_set *set, const struct ip_prefix *prefix);
/* A free /30 of 198.18.0.0/15 (RFC 2544), else of 100.64.0.0/10 (RFC 6598): its first host. */
NODISCARD int subnets_pick4(
	const struct prefix_set *taken, struct ip_prefix *ret_prefix, struct err *err);
/* The first host of a /126 of a ULA (RFC 4193) made of these random bytes. -EADDRINUSE: taken. */
NODISCARD int subnets_pick6(const struct prefix_set *taken, const uint8_t random[static 5],
	struct ip_prefix *ret_prefix);
/* The other host of a /30 or /126. */
struct ip_addr subnets_peer(const struct ip_prefix *own);

#endif /* CLIENT_USERD_SUBNETS_H */
