/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/reply.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#include "flow/engine.h"
#include "net/checksum.h"
#include "net/packet.h"

/* As the kernel's own icmp_msgs_per_sec and icmp_msgs_burst. */
#define ICMP_PER_SECOND 1000
#define ICMP_BURST      50
/* RFC 1812 4.3.2.3: as much of the packet as fits in 576 bytes. */
#define ICMP_QUOTE_BYTES (576 - PACKET_IP4_HEADER - ICMP_HEADER)
#define ICMP_HEADER      8

static const struct {
	uint8_t type4, code4, type6, code6;
} codes[] = {
	[FLOW_UNREACHABLE_NET] = {ICMP_DEST_UNREACH, ICMP_NET_UNREACH, ICMP6_DST_UNREACH,
		ICMP6_DST_UNREACH_NOROUTE},
	[FLOW_UNREACHABLE_HOST] = {ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, ICMP6_DST_UNREACH,
		ICMP6_DST_UNREACH_ADDR},
	[FLOW_UNREACHABLE_PORT] = {ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, ICMP6_DST_UNREACH,
		ICMP6_DST_UNREACH_NOPORT},
	[FLOW_UNREACHABLE_PROHIBITED] = {ICMP_DEST_UNREACH, ICMP_PKT_FILTERED, ICMP6_DST_UNREACH,
		ICMP6_DST_UNREACH_ADMIN},
	[FLOW_UNREACHABLE_TTL] = {ICMP_TIME_EXCEEDED, ICMP_EXC_TTL, ICMP6_TIME_EXCEEDED,
		ICMP6_TIME_EXCEED_TRANSIT},
};
_Static_assert(ARRAY_SIZE(codes) == FLOW_UNREACHABLE_COUNT, "a code for every reason");

enum flow_unreachable flow_unreachable_of(enum flow_verdict verdict)
{
	switch (verdict) {
	case FLOW_REFUSED:
		return FLOW_UNREACHABLE_PORT;
	case FLOW_NET_UNREACHABLE:
		return FLOW_UNREACHABLE_NET;
	case FLOW_PROHIBITED:
		return FLOW_UNREACHABLE_PROHIBITED;
	default:
		return FLOW_UNREACHABLE_HOST;
	}
}

static void send_reset(struct flow_engine *engine, const struct ip_endpoint *from,
	const struct ip_endpoint *to, uint32_t seq, uint32_t ack, uint8_t flags)
{
	static const struct virtio_net_hdr vnet = {.flags = 0};
	uint8_t out[PACKET_IP6_HEADER + PACKET_TCP_HEADER];
	size_t head = packet_put_ip(out, &from->addr, &to->addr, IPPROTO_TCP, PACKET_TCP_HEADER);
	uint8_t *tcp = out + head;
	uint16_t check;

	memset(tcp, 0, PACKET_TCP_HEADER);
	packet_store16(tcp, from->port);
	packet_store16(tcp + 2, to->port);
	packet_store32(tcp + 4, seq);
	packet_store32(tcp + 8, ack);
	tcp[12] = PACKET_TCP_HEADER / 4 << 4;
	tcp[13] = flags;
	check = checksum_finish(checksum_add(
		packet_pseudo_sum(&from->addr, &to->addr, IPPROTO_TCP, PACKET_TCP_HEADER), tcp,
		PACKET_TCP_HEADER));
	memcpy(tcp + PACKET_TCP_CHECK, &check, sizeof(check));
	flow_engine_write(engine, &vnet, out, head + PACKET_TCP_HEADER, NULL, 0);
}

void flow_reply_reset(struct flow_engine *engine, const struct packet_view *view)
{
	struct ip_endpoint from = {.addr = packet_dst(view), .port = packet_dst_port(view)};
	struct ip_endpoint to = {.addr = packet_src(view), .port = packet_src_port(view)};
	uint8_t flags = packet_tcp_flags(view);

	if (flags & PACKET_RST)
		return;
	if (flags & PACKET_ACK)
		send_reset(engine, &from, &to, packet_tcp_ack(view), 0, PACKET_RST);
	else
		send_reset(engine, &from, &to, 0, packet_tcp_end(view), PACKET_RST | PACKET_ACK);
}

void flow_reply_reset_listener(
	struct flow_engine *engine, uint8_t family, uint16_t nat_port, uint32_t seq)
{
	const struct flow_listener *listener = flow_engine_listener(engine, family);
	struct ip_endpoint from = {.addr = listener->peer, .port = nat_port};
	struct ip_endpoint to = {.addr = listener->local, .port = listener->port};

	send_reset(engine, &from, &to, seq, 0, PACKET_RST);
}

void flow_reply_init(struct flow_engine *engine)
{
	engine->icmp_tokens = ICMP_BURST;
	engine->icmp_refill_ms = uv_now(engine->loop);
}

static bool icmp_allowed(struct flow_engine *engine)
{
	uint64_t now = uv_now(engine->loop);
	uint64_t earned = (now - engine->icmp_refill_ms) * ICMP_PER_SECOND / 1000;

	if (earned > 0) {
		engine->icmp_tokens =
			(unsigned int)MIN(engine->icmp_tokens + earned, (uint64_t)ICMP_BURST);
		engine->icmp_refill_ms = now;
	}
	if (engine->icmp_tokens == 0) {
		engine->counters.icmp_limited++;
		return false;
	}
	engine->icmp_tokens--;
	return true;
}

void flow_reply_unreachable(
	struct flow_engine *engine, const struct packet_view *view, enum flow_unreachable why)
{
	static const struct virtio_net_hdr vnet = {.flags = 0};
	bool ip4 = view->family == AF_INET;
	uint8_t protocol = ip4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	struct ip_addr to = packet_src(view), from = packet_dst(view);
	uint8_t out[PACKET_IP6_HEADER + ICMP_HEADER] = {0};
	size_t quote = MIN(view->len, (size_t)ICMP_QUOTE_BYTES), head;
	uint64_t sum = 0;
	uint16_t check;
	uint8_t *icmp;

	if (!icmp_allowed(engine))
		return;
	/* Only the target itself can say that a port is closed; the rest comes from a router. */
	if (why != FLOW_UNREACHABLE_PORT)
		from = flow_engine_listener(engine, view->family)->peer;
	head = packet_put_ip(out, &from, &to, protocol, ICMP_HEADER + quote);
	icmp = out + head;
	icmp[0] = ip4 ? codes[why].type4 : codes[why].type6;
	icmp[1] = ip4 ? codes[why].code4 : codes[why].code6;
	if (!ip4)
		sum = packet_pseudo_sum(&from, &to, protocol, ICMP_HEADER + quote);
	sum = checksum_add(checksum_add(sum, icmp, ICMP_HEADER), view->ip, quote);
	check = checksum_finish(sum);
	memcpy(icmp + 2, &check, sizeof(check));
	flow_engine_write(engine, &vnet, out, head + ICMP_HEADER, view->ip, quote);
}
