/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow/flow.h - TUN packets to connections
 *
 * TCP is terminated by the laptop's own kernel: the SYN of a new flow is held while `open` asks for
 * the target; on success the flow's packets are rewritten (a NAT port of its own towards the TUN's
 * peer address) and written back to the TUN, where the kernel delivers them to our listener; the
 * accepted socket goes to `established`. A failed open becomes RST, an ICMP error or silence (enum
 * flow_verdict). UDP and ICMP echo are handed over per datagram. Everything not handled is counted
 * (struct flow_counters), never silently eaten.
 *
 * Ownership: the engine owns the TUN's fd from flow_engine_new() on, also when that fails; closing
 * it removes the device. Callbacks come from the loop only, never after flow_engine_free(), which
 * every one of them may call; tcp_open's may answer at once.
 */
#ifndef FLOW_FLOW_H
#define FLOW_FLOW_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/attr.h"
#include "net/addr.h"

struct err;
struct flow_engine;

typedef uint64_t flow_id_t; /* index and generation: a stale id is recognised */

enum flow_verdict {
	FLOW_OPENED,
	FLOW_REFUSED, /* RST */
	FLOW_HOST_UNREACHABLE, /* ICMP(v6) destination unreachable, host/address */
	FLOW_NET_UNREACHABLE, /* ICMP(v6) destination unreachable, network/no route */
	FLOW_PROHIBITED, /* ICMP(v6) administratively prohibited */
	FLOW_SILENT, /* nothing: the client's own timer decides */
};

struct flow_counters {
	uint64_t packets_in, packets_out, tcp_opened, tcp_refused, tcp_failed;
	uint64_t udp_in, udp_out, icmp_in, icmp_out;
	uint64_t fragments_in, reassembled; /* pieces, and the datagrams that they became */
	uint64_t dropped_malformed, dropped_protocol, dropped_table_full, dropped_tun_full;
	uint64_t dropped_fragment; /* pieces whose datagram did not become whole */
	uint64_t dropped_ttl; /* no hop left: answered with ICMP time exceeded */
	uint64_t icmp_errors; /* of the laptop's kernel, about packets from the cluster */
	uint64_t udp_unreachable; /* of these: an application's closed port, passed on */
	uint64_t dropped_stray; /* TCP of no flow that is known: answered with RST, but a RST */
	/* Flows that the kernel was given (net/shortcut.h), and what it has rewritten of those that
	 * are over; these packets are not in packets_in and packets_out. */
	uint64_t tcp_shortcut, packets_shortcut;
	uint64_t accept_rejected; /* connections to our listener that belong to no flow */
	uint64_t icmp_limited; /* ICMP errors that the rate bound held back */
};

struct flow_events {
	/* A new TCP flow: dial dst and answer with flow_tcp_answer(id), once. */
	void (*tcp_open)(void *user, flow_id_t id, const struct ip_endpoint *src,
		const struct ip_endpoint *dst);
	/* The client went away (RST, gave up) before the answer or before `established`. */
	void (*tcp_cancelled)(void *user, flow_id_t id);
	/* The accepted, non-blocking socket, now the callee's. */
	void (*tcp_established)(void *user, flow_id_t id, int fd);
	/* One datagram from an application; reply with flow_udp_send(). NULL: ICMP port
	 * unreachable. */
	void (*udp_received)(void *user, const struct ip_endpoint *src,
		const struct ip_endpoint *dst, const uint8_t *data, size_t len);
	/* The application's port is closed, its kernel says; src and dst as above. May be NULL. */
	void (*udp_unreachable)(
		void *user, const struct ip_endpoint *src, const struct ip_endpoint *dst);
	/* An echo request (both families); reply with flow_icmp_reply() when the target answered.
	 */
	void (*icmp_echo)(void *user, const struct ip_addr *src, const struct ip_addr *dst,
		uint16_t ident, uint16_t sequence, const uint8_t *data, size_t len);
	/* The TUN is gone under us (-errno): nothing will work any more, free the engine. May be
	 * NULL. */
	void (*tun_lost)(void *user, int error);
};

struct flow_config {
	int shortcut_fd; /* the map of net/shortcut.h, taken; -1: none */
	int tun_fd; /* IFF_TUN|IFF_NO_PI|IFF_VNET_HDR (10 bytes), non-blocking; taken */
	struct ip_addr local4, peer4; /* the TUN's address and the peer that NAT ports belong to */
	struct ip_addr local6, peer6; /* family 0: no IPv6 */
};

NODISCARD int flow_engine_new(uv_loop_t *loop, const struct flow_config *config,
	const struct flow_events *events, void *user, struct flow_engine **ret_engine,
	struct err *err);
void flow_engine_free(struct flow_engine *engine); /* closes the TUN at once, memory deferred */
const struct flow_counters *flow_engine_counters(const struct flow_engine *engine);

void flow_tcp_answer(struct flow_engine *engine, flow_id_t id, enum flow_verdict verdict);
/* A datagram from src (the cluster's end) to dst (the application). */
void flow_udp_send(struct flow_engine *engine, const struct ip_endpoint *src,
	const struct ip_endpoint *dst, const void *data, size_t len);
/* The ICMP error for a datagram that did not get to dst; FLOW_REFUSED: port unreachable. */
void flow_udp_fail(struct flow_engine *engine, const struct ip_endpoint *src,
	const struct ip_endpoint *dst, enum flow_verdict verdict);
void flow_udp_refuse(
	struct flow_engine *engine, const struct ip_endpoint *src, const struct ip_endpoint *dst);
/* The same for an echo request of src. */
void flow_icmp_fail(struct flow_engine *engine, const struct ip_addr *src,
	const struct ip_addr *dst, uint16_t ident, uint16_t sequence, enum flow_verdict verdict);
void flow_icmp_reply(struct flow_engine *engine, const struct ip_addr *src,
	const struct ip_addr *dst, uint16_t ident, uint16_t sequence, const void *data, size_t len);

#endif /* FLOW_FLOW_H */
