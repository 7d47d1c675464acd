/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/gateways.h - the pod's default gateways: where bridge CNIs let the kubelet's probes come
 * from
 */
#ifndef AGENT_GATEWAYS_H
#define AGENT_GATEWAYS_H

#include <stddef.h>

#include "core/attr.h"
#include "net/addr.h"

struct err;

/* Of this network namespace, both families: at most max, *ret_count of them. */
NODISCARD int gateways_get(
	struct ip_addr *ret_addrs, size_t max, size_t *ret_count, struct err *err);

/* Appends those of more that are not in the list yet, as far as there is room. */
void gateways_add(struct ip_addr *list, size_t *count, size_t max, const struct ip_addr *more,
	size_t more_count);

#endif /* AGENT_GATEWAYS_H */
