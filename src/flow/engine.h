/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow/engine.h - what the files of this folder share: one TUN and everything that crosses it
 *
 * engine.c owns the handles, the read loop and the clock; tcp.c the flows; listener.c the sockets
 * that the kernel's TCP ends in; datagram.c UDP and ICMP; fragment.c pieces of datagrams; reply.c
 * RST and ICMP errors.
 * A callback may end the engine: whoever calls one checks flow_engine_closed() before going on.
 */
#ifndef FLOW_ENGINE_H
#define FLOW_ENGINE_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/attr.h"
#include "flow/flow.h"
#include "flow/fragment.h"
#include "flow/table.h"
#include "net/packet.h"

struct err;
struct flow_engine;

/* One packet from the TUN, in the engine's buffer: `vnet` bytes first, then view.ip. */
struct flow_packet {
	struct virtio_net_hdr vnet;
	struct packet_view view;
};

struct flow_listener {
	struct flow_engine *engine;
	uv_poll_t poll;
	int fd; /* -1: this family is not used */
	int spare_fd; /* given up to accept, and refuse, when descriptors run out */
	struct ip_addr local, peer;
	uint16_t port;
};

enum flow_listener_index { FLOW_LISTENER_IP4, FLOW_LISTENER_IP6, FLOW_LISTENER_COUNT };

struct flow_engine {
	uv_loop_t *loop;
	uv_poll_t tun_poll;
	uv_timer_t timer;
	unsigned int handles; /* not closed yet; the last one frees */
	int tun_fd; /* -1: closed */
	int shortcut_fd; /* -1: there is none */
	struct flow_events events;
	void *user;
	struct flow_counters counters;
	struct flow_listener listeners[FLOW_LISTENER_COUNT];
	struct flow_table table;
	struct flow_fragments fragments;
	uint64_t icmp_refill_ms;
	unsigned int icmp_tokens;
	uint8_t *buffer; /* owns; one packet */
};

/* Of a flow's packets: from the application to our listener, and back. */
enum direction { TO_LISTENER, TO_APP, DIRECTIONS };

static inline bool flow_engine_closed(const struct flow_engine *engine)
{
	return engine->tun_fd < 0;
}

/* NULL when the family has no addresses. */
static inline struct flow_listener *flow_engine_listener(struct flow_engine *engine, uint8_t family)
{
	struct flow_listener *listener =
		&engine->listeners[family == AF_INET ? FLOW_LISTENER_IP4 : FLOW_LISTENER_IP6];

	return listener->fd >= 0 ? listener : NULL;
}

/* Writes one packet: head, then data (may be empty). A full TUN drops and counts it. */
void flow_engine_write(struct flow_engine *engine, const struct virtio_net_hdr *vnet,
	const void *head, size_t head_len, const void *data, size_t data_len);
/* The clock runs while there are flows or pieces of datagrams. */
void flow_engine_wake(struct flow_engine *engine);

/* Binds and listens; engine, local and peer are set. 0 or -errno. */
NODISCARD int flow_listener_open(
	struct flow_listener *listener, const char *device, struct err *err);
NODISCARD int flow_listener_start(struct flow_listener *listener, struct err *err);

void flow_tcp_input(struct flow_engine *engine, struct flow_packet *packet);
/* The flow that our listener has just accepted from nat_port, or NULL. */
struct flow *flow_tcp_accepted(struct flow_engine *engine, uint8_t family, uint16_t nat_port);
void flow_tcp_expire(struct flow_engine *engine, uint64_t now_ms);

void flow_udp_input(struct flow_engine *engine, const struct flow_packet *packet);
void flow_icmp_input(struct flow_engine *engine, const struct flow_packet *packet);
/* Nothing is said about an ICMP error (RFC 1122 3.2.2). */
bool flow_icmp_is_error(const struct packet_view *view);

#endif /* FLOW_ENGINE_H */
