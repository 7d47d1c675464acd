/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/podcidr.h - prefixes that cover the addresses seen, where nobody names the ranges
 *
 * For clusters whose nodes have no podCIDRs (or whose network ignores them) and for clusters
 * without ServiceCIDR objects. Addresses that share a /16 (IPv4) or a /64 (IPv6) are one group,
 * covered by their longest common prefix, but never by less than a /24 or a /112: pods come and go
 * within a range, and each change of the result is a change of a laptop's routes. The cover only
 * grows.
 */
#ifndef MANAGER_PODCIDR_H
#define MANAGER_PODCIDR_H

#include <stdbool.h>

#include "core/attr.h"
#include "net/addr.h"

/* What a laptop's root daemon takes (LIMIT_ROOT_PREFIXES) has to hold services and nodes too. */
#define PODCIDR_MAX 128

struct podcidr {
	struct ip_prefix prefixes[PODCIDR_MAX];
	unsigned int count;
};

/* 1: the cover changed, 0: addr was covered, -ENOSPC: too many groups, addr is not covered. */
int podcidr_add(struct podcidr *cover, const struct ip_addr *addr);
bool podcidr_contains(const struct podcidr *cover, const struct ip_addr *addr);

#endif /* MANAGER_PODCIDR_H */
