/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/prober.h - proves that connections to an address reach an agent
 *
 * Announces a source port to the agents of some pods ("expect"), waits for "expecting" of all, then
 * connects (TCP) or sends a datagram (UDP) from that port to the target, and waits for "captured"
 * of one of them. PROBER_MS for the whole.
 */
#ifndef MANAGER_PROBER_H
#define MANAGER_PROBER_H

#include <uv.h>

#include "core/attr.h"
#include "net/addr.h"

#define PROBER_MS 2000

struct agents;
struct err;
struct probe;

/* r 0: captured. -EXDEV: the target answered, but no agent saw it (bypassed). Else it was not
 * reached. Called once, never from within. */
typedef void (*probe_fn)(void *user, int r, const struct err *err);

/* container_port: what the agents know the port as; protocol IPPROTO_TCP or IPPROTO_UDP. */
struct probe *probe_start(struct agents *agents, const char *const *pod_uids, size_t count,
	const struct ip_endpoint *target, uint16_t container_port, int protocol, probe_fn on_done,
	void *user);
/* NULL-safe; on_done is not called. Not after on_done. */
void probe_cancel(struct probe *probe);

#endif /* MANAGER_PROBER_H */
