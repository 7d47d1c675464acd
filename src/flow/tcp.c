/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The application's TCP talks to our own listener through the TUN. Towards the listener a packet's
 * source becomes peer:NAT port and its destination the listener; the listener's answers get the
 * target as source and the application as destination. Only addresses and ports change, in place,
 * so the sums over them change by two constants of the flow (RFC 1624) and GSO segments stay whole.
 * docs/dataplane.md tells why, and which states a flow goes through.
 */
#include "flow/engine.h"

#include <assert.h>
#include <netinet/in.h>
#include <string.h>

#include "core/limits.h"
#include "flow/reply.h"
#include "flow/shortcut.h"
#include "net/checksum.h"

/* After the last FIN or RST: several retransmissions of it (the least RTO is 200 ms). */
#define LINGER_MS 2000
/* A connection of our listener shows itself at least every KEEPALIVE_S (listener.c) or, while data
 * or a window update is due, every 120 s (TCP_RTO_MAX). Silent for longer than this: it is gone. */
#define SILENT_MS UINT64_C(900000)
/* Flows looked at per tick, so that a full table is seen within 30 minutes and a tick stays short.
 */
#define EXPIRE_BATCH 128

static uint16_t endpoint_sum(const struct ip_addr *a, const struct ip_addr *b)
{
	return checksum_fold(
		checksum_add(checksum_add(0, a->bytes, ip_addr_len(a)), b->bytes, ip_addr_len(b)));
}

static uint16_t ports_sum(uint16_t a, uint16_t b)
{
	uint8_t bytes[4];

	packet_store16(bytes, a);
	packet_store16(bytes + 2, b);
	return checksum_fold(checksum_add(0, bytes, sizeof(bytes)));
}

static void compute_deltas(struct flow *flow, const struct flow_listener *listener)
{
	flow->delta_addrs = checksum_delta(endpoint_sum(&flow->src.addr, &flow->dst.addr),
		endpoint_sum(&listener->peer, &listener->local));
	flow->delta_ports = checksum_delta(ports_sum(flow->src.port, flow->dst.port),
		ports_sum(flow->nat_port, listener->port));
}

static void adjust_at(uint8_t *at, uint16_t delta, bool partial)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	value = partial ? checksum_sum_adjust(value, delta) : checksum_adjust(value, delta);
	memcpy(at, &value, sizeof(value));
}

/* Changes addresses, ports and checksums in place and writes the packet back. */
static void rewrite(struct flow_engine *engine, const struct flow *flow,
	const struct flow_packet *packet, enum direction direction)
{
	const struct flow_listener *listener = flow_engine_listener(engine, flow->src.addr.family);
	bool to_app = direction == TO_APP;
	bool partial = packet->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	uint16_t addrs = to_app ? (uint16_t)~flow->delta_addrs : flow->delta_addrs;
	uint16_t ports = to_app ? (uint16_t)~flow->delta_ports : flow->delta_ports;
	uint8_t *ip = packet->view.ip, *tcp = ip + packet->view.transport;
	const struct ip_addr *src, *dst;

	assert(listener); /* of a family without one there are no flows */
	src = to_app ? &flow->dst.addr : &listener->peer;
	dst = to_app ? &flow->src.addr : &listener->local;
	if (packet->view.family == AF_INET) {
		memcpy(ip + 12, src->bytes, 4);
		memcpy(ip + 16, dst->bytes, 4);
		adjust_at(ip + 10, addrs, false);
	} else {
		memcpy(ip + 8, src->bytes, 16);
		memcpy(ip + 24, dst->bytes, 16);
	}
	packet_store16(tcp, to_app ? flow->dst.port : flow->nat_port);
	packet_store16(tcp + 2, to_app ? flow->src.port : listener->port);
	/* A partial checksum is the pseudo-header's sum: the ports are added when it is completed.
	 */
	adjust_at(tcp + PACKET_TCP_CHECK, addrs, partial);
	if (!partial)
		adjust_at(tcp + PACKET_TCP_CHECK, ports, false);
	flow_engine_write(engine, &packet->vnet, ip, packet->view.len, NULL, 0);
}

/* Headers only (data of a TCP Fast Open SYN comes again), with a partial checksum. */
static void hold_syn(
	const struct flow_engine *engine, struct flow *flow, const struct packet_view *view)
{
	uint8_t *syn = flow_table_syn(&engine->table, flow);
	uint8_t *ip_check = syn + 10;
	uint16_t sum = packet_pseudo_sum(
		&flow->src.addr, &flow->dst.addr, IPPROTO_TCP, view->payload - view->transport);

	memcpy(syn, view->ip, view->payload);
	if (view->family == AF_INET) {
		packet_store16(syn + 2, (uint16_t)view->payload);
		packet_store16(ip_check, 0);
		uint16_t check = checksum_finish(checksum_add(0, syn, view->transport));
		memcpy(ip_check, &check, sizeof(check));
	} else {
		packet_store16(syn + 4, (uint16_t)(view->payload - PACKET_IP6_HEADER));
	}
	memcpy(syn + view->transport + PACKET_TCP_CHECK, &sum, sizeof(sum));
	flow->syn_len = (uint8_t)view->payload;
}

static bool held_syn(
	const struct flow_engine *engine, const struct flow *flow, struct flow_packet *ret_packet)
{
	struct flow_packet packet = {
		.vnet = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_offset = PACKET_TCP_CHECK}};

	if (packet_parse(flow_table_syn(&engine->table, flow), flow->syn_len, &packet.view) !=
		PACKET_OK)
		return false;
	packet.vnet.csum_start = packet.view.transport;
	*ret_packet = packet;
	return true;
}

static void set_state(struct flow_engine *engine, struct flow *flow, enum flow_state state)
{
	if (state != FLOW_STATE_ESTABLISHED)
		flow_shortcut_remove(engine, flow);
	else if (flow->state != FLOW_STATE_ESTABLISHED)
		flow_shortcut_add(engine, flow);
	flow_table_set_state(&engine->table, flow, state, uv_now(engine->loop));
}

/* Forgets a flow. When the listener's side sent its FIN first, the kernel keeps that socket in
 * TIME_WAIT for a minute and would refuse a SYN from this NAT port: a RST in sequence ends it. */
static void remove_flow(struct flow_engine *engine, struct flow *flow)
{
	if (flow->fin_app && flow->fin_listener && flow->listener_first)
		flow_reply_reset_listener(
			engine, flow->src.addr.family, flow->nat_port, flow->app_end);
	set_state(engine, flow, FLOW_STATE_FREE);
}

/* Whoever dials or waits for this flow's socket is told; the flow ends in `state`. */
static void cancel_flow(struct flow_engine *engine, struct flow *flow, enum flow_state state)
{
	flow_id_t id = flow_table_id(&engine->table, flow);

	engine->counters.tcp_failed++;
	set_state(engine, flow, state);
	engine->events.tcp_cancelled(engine->user, id);
}

static void open_flow(struct flow_engine *engine, const struct flow_packet *packet,
	const struct ip_endpoint *src, const struct ip_endpoint *dst)
{
	const struct flow_listener *listener = flow_engine_listener(engine, src->addr.family);
	struct flow *flow, *old;

	if (packet->view.payload > FLOW_SYN_BYTES) { /* IPv6 extension headers on a SYN */
		engine->counters.dropped_protocol++;
		return;
	}
	flow = flow_table_add(&engine->table, src, dst, uv_now(engine->loop));
	old = flow ? NULL : flow_table_oldest(&engine->table, FLOW_STATE_LINGER);
	if (old) {
		remove_flow(engine, old);
		flow = flow_table_add(&engine->table, src, dst, uv_now(engine->loop));
	}
	if (!flow) { /* the client's retransmission is the next try */
		engine->counters.dropped_table_full++;
		return;
	}
	flow->isn = packet_tcp_seq(&packet->view);
	flow->app_next = flow->isn + 1;
	compute_deltas(flow, listener);
	hold_syn(engine, flow, &packet->view);
	flow_engine_wake(engine);
	engine->events.tcp_open(
		engine->user, flow_table_id(&engine->table, flow), &flow->src, &flow->dst);
}

/* FIN and RST of either side. May call back, so nothing of the flow is used after it. */
static void track_end(struct flow_engine *engine, struct flow *flow,
	const struct flow_packet *packet, enum direction direction)
{
	uint8_t flags = packet_tcp_flags(&packet->view);

	if (flags & PACKET_RST) {
		/* Nothing is left of either socket, so nothing is in TIME_WAIT. */
		flow->listener_first = false;
		if (flow->state == FLOW_STATE_HANDSHAKE)
			cancel_flow(engine, flow, FLOW_STATE_LINGER);
		else
			set_state(engine, flow, FLOW_STATE_LINGER);
		return;
	}
	if (flags & PACKET_FIN && direction == TO_LISTENER) {
		flow->fin_app = true;
		flow->app_end = packet_tcp_end(&packet->view);
	}
	if (flags & PACKET_FIN && direction == TO_APP) {
		flow->listener_first = flow->fin_listener ? flow->listener_first : !flow->fin_app;
		flow->fin_listener = true;
	}
	if (flow->state == FLOW_STATE_LINGER ||
		(flow->state == FLOW_STATE_ESTABLISHED && flow->fin_app && flow->fin_listener))
		set_state(engine, flow, FLOW_STATE_LINGER);
}

/* The answer to what comes late of an earlier connection of the same addresses: that segment
 * acknowledged what lies before everything of this one. */
static bool is_old_reset(
	struct flow_engine *engine, struct flow *flow, const struct packet_view *view)
{
	if (!(packet_tcp_flags(view) & PACKET_RST))
		return false;
	flow_shortcut_look(engine, flow);
	return (int32_t)(packet_tcp_seq(view) - flow->app_next) < 0;
}

static bool is_new_syn(const struct flow_packet *packet)
{
	uint8_t flags = packet_tcp_flags(&packet->view);

	return (flags & (PACKET_SYN | PACKET_ACK | PACKET_RST | PACKET_FIN)) == PACKET_SYN;
}

/* Whether a SYN starts a new connection on the addresses of a flow that is over or given up. */
static bool replaces(const struct flow *flow, const struct flow_packet *packet)
{
	if (!is_new_syn(packet) || flow->state == FLOW_STATE_ESTABLISHED)
		return false; /* the kernel's challenge ACK settles it (RFC 5961) */
	return flow->state == FLOW_STATE_LINGER || packet_tcp_seq(&packet->view) != flow->isn;
}

static void from_app_unknown(struct flow_engine *engine, const struct flow_packet *packet,
	const struct ip_endpoint *src, const struct ip_endpoint *dst)
{
	const struct flow_listener *listener = flow_engine_listener(engine, src->addr.family);

	/* The peer's address is ours: only the listener speaks with it. */
	if (is_new_syn(packet) && !ip_addr_equal(&dst->addr, &listener->peer)) {
		open_flow(engine, packet, src, dst);
		return;
	}
	engine->counters.dropped_stray++;
	flow_reply_reset(engine, &packet->view);
}

static void from_app(struct flow_engine *engine, const struct flow_packet *packet,
	const struct ip_endpoint *src, const struct ip_endpoint *dst)
{
	struct flow *flow = flow_table_find(&engine->table, src, dst);

	if (flow && replaces(flow, packet)) {
		if (flow->state == FLOW_STATE_LINGER)
			remove_flow(engine, flow);
		else
			cancel_flow(engine, flow, FLOW_STATE_FREE);
		if (flow_engine_closed(engine))
			return;
		flow = NULL;
	}
	if (!flow) {
		from_app_unknown(engine, packet, src, dst);
		return;
	}
	if (is_old_reset(engine, flow, &packet->view)) {
		engine->counters.dropped_stray++;
		return;
	}
	if (flow->state == FLOW_STATE_OPENING) { /* retransmissions wait for the answer */
		if (packet_tcp_flags(&packet->view) & PACKET_RST)
			cancel_flow(engine, flow, FLOW_STATE_FREE);
		else if (!is_new_syn(packet))
			engine->counters.dropped_stray++;
		return;
	}
	rewrite(engine, flow, packet, TO_LISTENER);
	track_end(engine, flow, packet, TO_LISTENER);
}

static void from_listener(
	struct flow_engine *engine, const struct flow_packet *packet, const struct ip_endpoint *dst)
{
	struct flow *flow = flow_table_by_port(&engine->table, dst->port);

	if (!flow || flow->state == FLOW_STATE_OPENING ||
		flow->src.addr.family != packet->view.family) {
		engine->counters.dropped_stray++;
		flow_reply_reset(engine, &packet->view);
		return;
	}
	flow->seen_ms = uv_now(engine->loop);
	if (packet_tcp_flags(&packet->view) & PACKET_ACK)
		flow->app_next = packet_tcp_ack(&packet->view);
	rewrite(engine, flow, packet, TO_APP);
	track_end(engine, flow, packet, TO_APP);
}

void flow_tcp_input(struct flow_engine *engine, struct flow_packet *packet)
{
	const struct flow_listener *listener = flow_engine_listener(engine, packet->view.family);
	struct ip_endpoint src = {
		.addr = packet_src(&packet->view), .port = packet_src_port(&packet->view)};
	struct ip_endpoint dst = {
		.addr = packet_dst(&packet->view), .port = packet_dst_port(&packet->view)};

	if (src.port == listener->port && ip_addr_equal(&src.addr, &listener->local) &&
		ip_addr_equal(&dst.addr, &listener->peer))
		from_listener(engine, packet, &dst);
	else
		from_app(engine, packet, &src, &dst);
}

static void refuse_flow(struct flow_engine *engine, struct flow *flow, enum flow_verdict verdict)
{
	struct flow_packet syn;

	if (verdict == FLOW_REFUSED)
		engine->counters.tcp_refused++;
	else
		engine->counters.tcp_failed++;
	if (verdict != FLOW_SILENT && held_syn(engine, flow, &syn)) {
		if (verdict == FLOW_REFUSED)
			flow_reply_reset(engine, &syn.view);
		else
			flow_reply_unreachable(engine, &syn.view, flow_unreachable_of(verdict));
	}
	set_state(engine, flow, FLOW_STATE_FREE);
}

void flow_tcp_answer(struct flow_engine *engine, flow_id_t id, enum flow_verdict verdict)
{
	struct flow *flow = flow_table_by_id(&engine->table, id);
	struct flow_packet syn;

	if (flow_engine_closed(engine) || !flow || flow->state != FLOW_STATE_OPENING)
		return;
	if (verdict != FLOW_OPENED || !held_syn(engine, flow, &syn)) {
		refuse_flow(engine, flow, verdict);
		return;
	}
	set_state(engine, flow, FLOW_STATE_HANDSHAKE);
	rewrite(engine, flow, &syn, TO_LISTENER);
}

struct flow *flow_tcp_accepted(struct flow_engine *engine, uint8_t family, uint16_t nat_port)
{
	struct flow *flow = flow_table_by_port(&engine->table, nat_port);

	if (!flow || flow->state != FLOW_STATE_HANDSHAKE || flow->src.addr.family != family)
		return NULL;
	engine->counters.tcp_opened++;
	flow->seen_ms = uv_now(engine->loop);
	set_state(engine, flow, FLOW_STATE_ESTABLISHED);
	return flow;
}

/* Flows that nobody answered or accepted in time. */
static void expire_pending(struct flow_engine *engine, enum flow_state state, uint64_t now_ms)
{
	for (unsigned int i = 0; i < EXPIRE_BATCH && !flow_engine_closed(engine); i++) {
		struct flow *flow = flow_table_oldest(&engine->table, state);

		if (!flow || now_ms - flow->since_ms < LIMIT_FLOW_OPEN_MS)
			return;
		cancel_flow(engine, flow, FLOW_STATE_FREE);
	}
}

void flow_tcp_expire(struct flow_engine *engine, uint64_t now_ms)
{
	struct flow *flow;

	for (;;) {
		flow = flow_table_oldest(&engine->table, FLOW_STATE_LINGER);
		if (!flow || now_ms - flow->since_ms < LINGER_MS)
			break;
		remove_flow(engine, flow);
	}
	for (unsigned int i = 0; i < EXPIRE_BATCH; i++) {
		flow = flow_table_oldest(&engine->table, FLOW_STATE_ESTABLISHED);
		/* Looked at within this round already: the list is in order of the last look. */
		if (!flow || now_ms - flow->since_ms < SILENT_MS)
			break;
		flow_shortcut_look(engine, flow);
		set_state(engine, flow,
			now_ms - flow->seen_ms < SILENT_MS ? FLOW_STATE_ESTABLISHED
							   : FLOW_STATE_FREE);
	}
	expire_pending(engine, FLOW_STATE_OPENING, now_ms);
	expire_pending(engine, FLOW_STATE_HANDSHAKE, now_ms);
}
