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

#endif /* AGENT_GATEWAYS_H */
