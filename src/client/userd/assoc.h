/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/assoc.h - UDP and ICMP echo of the laptop as datagram streams of the tunnel
 *
 * One stream for each pair of endpoints (RFC 9298), or of host, target and echo identifier
 * (docs/manager.md); capsules (tunnel/capsule.h) are its datagrams. An association without a
 * datagram for ASSOC_IDLE_MS ends, and the one that is idle for longest when there are too many and
 * a new one has been opened.
 * One without an answer of late begins anew when the tunnel has been replaced. Datagrams that the
 * tunnel does not take in time are dropped and counted, as on any network; a target that refuses is
 * told to the application by ICMP.
 * Threading: loop thread only. Free before the engine.
 */
#ifndef CLIENT_USERD_ASSOC_H
#define CLIENT_USERD_ASSOC_H

#include <uv.h>

#include "core/attr.h"
#include "net/addr.h"

struct assoc_table;
struct flow_engine;
struct uplink;

/* No less than what any NAT has to keep (RFC 4787 4.3), and as Linux' own does with a flow. */
#define ASSOC_IDLE_MS 120000
/* The manager has some more for one laptop (DATAGRAM_MAX_PER_PEER). */
#define ASSOC_MAX 4096

struct assoc_counters {
	uint64_t opened, active, refused, dropped;
};

struct assoc_table *assoc_table_new(uv_loop_t *loop, const struct uplink *uplink);
void assoc_table_set_engine(struct assoc_table *table, struct flow_engine *engine);
void assoc_table_free(struct assoc_table *table); /* memory deferred; NULL-safe */
const struct assoc_counters *assoc_table_counters(const struct assoc_table *table);

/* As flow_events.udp_received, .udp_unreachable and .icmp_echo. */
void assoc_udp(struct assoc_table *table, const struct ip_endpoint *src,
	const struct ip_endpoint *dst, const uint8_t *data, size_t len);
void assoc_unreachable(
	struct assoc_table *table, const struct ip_endpoint *src, const struct ip_endpoint *dst);
void assoc_echo(struct assoc_table *table, const struct ip_addr *src, const struct ip_addr *dst,
	uint16_t ident, uint16_t sequence, const uint8_t *data, size_t len);

#endif /* CLIENT_USERD_ASSOC_H */
