/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UDP, ICMP echo and ICMP errors, a datagram at a time.
 *
 * A datagram towards the application is written whole, also when it is larger than the MTU: the
 * TUN's receive side has no size limit but IP's own, so nothing is fragmented here.
 */
#include "flow/engine.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#include "flow/reply.h"
#include "net/checksum.h"

/* linux/virtio_net.h of Linux 6.2 (UDP segmentation offload); older headers lack it. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
#define ICMP_HEADER 8
/* After the IPv4 header, and in an IPv6 packet. */
#define IP4_PAYLOAD_MAX (65535 - PACKET_IP4_HEADER)
#define IP6_PAYLOAD_MAX 65535

/* A datagram, or several of gso_size bytes that the kernel left in one packet (USO). */
static void deliver_udp(struct flow_engine *engine, const struct ip_endpoint *src,
	const struct ip_endpoint *dst, const uint8_t *data, size_t len, size_t size)
{
	size_t part;

	do {
		part = MIN(len, size);
		engine->counters.udp_in++;
		engine->events.udp_received(engine->user, src, dst, data, part);
		data += part;
		len -= part;
	} while (len > 0 && !flow_engine_closed(engine));
}

void flow_udp_input(struct flow_engine *engine, const struct flow_packet *packet)
{
	const struct packet_view *view = &packet->view;
	struct ip_endpoint src = {.addr = packet_src(view), .port = packet_src_port(view)};
	struct ip_endpoint dst = {.addr = packet_dst(view), .port = packet_dst_port(view)};
	bool segments = packet->vnet.gso_type == VIRTIO_NET_HDR_GSO_UDP_L4;
	size_t len = packet_load16(view->ip + view->transport + 4), size;

	/* Of a packet of segments the length field is not to be trusted (RFC 768 knows no such). */
	if (segments)
		len = view->len - view->transport;
	if (len < PACKET_UDP_HEADER || len > view->len - view->transport ||
		(segments && packet->vnet.gso_size == 0)) {
		engine->counters.dropped_malformed++;
		return;
	}
	if (!engine->events.udp_received) {
		flow_reply_unreachable(engine, view, FLOW_UNREACHABLE_PORT);
		return;
	}
	len -= PACKET_UDP_HEADER;
	size = segments ? packet->vnet.gso_size : len;
	deliver_udp(engine, &src, &dst, view->ip + view->payload, len, size);
}

void flow_udp_send(struct flow_engine *engine, const struct ip_endpoint *src,
	const struct ip_endpoint *dst, const void *data, size_t len)
{
	struct virtio_net_hdr vnet = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_offset = PACKET_UDP_CHECK};
	uint8_t out[PACKET_IP6_HEADER + PACKET_UDP_HEADER];
	size_t total = PACKET_UDP_HEADER + len, head;
	uint16_t sum;

	if (flow_engine_closed(engine) || src->addr.family != dst->addr.family)
		return;
	if (total > (src->addr.family == AF_INET ? IP4_PAYLOAD_MAX : IP6_PAYLOAD_MAX)) {
		engine->counters.dropped_malformed++;
		return;
	}
	head = packet_put_ip(out, &src->addr, &dst->addr, IPPROTO_UDP, total);
	sum = packet_pseudo_sum(&src->addr, &dst->addr, IPPROTO_UDP, total);
	packet_store16(out + head, src->port);
	packet_store16(out + head + 2, dst->port);
	packet_store16(out + head + 4, (uint16_t)total);
	memcpy(out + head + PACKET_UDP_CHECK, &sum, sizeof(sum));
	vnet.csum_start = (uint16_t)head;
	engine->counters.udp_out++;
	flow_engine_write(engine, &vnet, out, head + PACKET_UDP_HEADER, data, len);
}

static bool can_fail(struct flow_engine *engine, const struct ip_addr *src,
	const struct ip_addr *dst, enum flow_verdict verdict)
{
	return verdict != FLOW_OPENED && verdict != FLOW_SILENT && !flow_engine_closed(engine) &&
	       src->family == dst->family && flow_engine_listener(engine, src->family);
}

void flow_udp_fail(struct flow_engine *engine, const struct ip_endpoint *src,
	const struct ip_endpoint *dst, enum flow_verdict verdict)
{
	uint8_t original[PACKET_IP6_HEADER + PACKET_UDP_HEADER] = {0};
	struct packet_view view;
	size_t head;

	if (!can_fail(engine, &src->addr, &dst->addr, verdict))
		return;
	head = packet_put_ip(original, &src->addr, &dst->addr, IPPROTO_UDP, PACKET_UDP_HEADER);
	packet_store16(original + head, src->port);
	packet_store16(original + head + 2, dst->port);
	packet_store16(original + head + 4, PACKET_UDP_HEADER);
	if (packet_parse(original, head + PACKET_UDP_HEADER, &view) == PACKET_OK)
		flow_reply_unreachable(engine, &view, flow_unreachable_of(verdict));
}

void flow_udp_refuse(
	struct flow_engine *engine, const struct ip_endpoint *src, const struct ip_endpoint *dst)
{
	flow_udp_fail(engine, src, dst, FLOW_REFUSED);
}

/* The UDP packet that an ICMP error is about. It may be cut, so packet_parse() is of no use. */
static bool quoted_udp(
	const struct packet_view *view, struct ip_endpoint *ret_src, struct ip_endpoint *ret_dst)
{
	const uint8_t *ip = view->ip + view->payload, *udp;
	bool ip4 = view->family == AF_INET;
	size_t len = view->len - view->payload;
	size_t head = ip4 && len > 0 ? (size_t)(ip[0] & 0x0f) * 4 : PACKET_IP6_HEADER;

	if (head < PACKET_IP4_HEADER || len < head + 4 || ip[0] >> 4 != (ip4 ? 4 : 6) ||
		ip[ip4 ? 9 : 6] != IPPROTO_UDP)
		return false;
	/* Only the first piece of a datagram has its ports. */
	if (ip4 && (packet_load16(ip + 6) & 0x1fff) != 0)
		return false;
	udp = ip + head;
	*ret_src =
		(struct ip_endpoint){.addr = ip_addr_from_bytes(view->family, ip + (ip4 ? 12 : 8)),
			.port = packet_load16(udp)};
	*ret_dst =
		(struct ip_endpoint){.addr = ip_addr_from_bytes(view->family, ip + (ip4 ? 16 : 24)),
			.port = packet_load16(udp + 2)};
	return true;
}

/*
 * An error of the laptop's kernel, or of a router behind it, about a packet from the cluster. A
 * closed port is passed on, so that the cluster's sender is told as well. TCP needs none of them:
 * its listener is on this machine and agrees with the application on a segment size.
 */
static void icmp_error(struct flow_engine *engine, const struct packet_view *view)
{
	const uint8_t *icmp = view->ip + view->transport;
	struct ip_addr to = packet_dst(view);
	struct ip_endpoint target, app;
	bool port = view->family == AF_INET
			    ? icmp[0] == ICMP_DEST_UNREACH && icmp[1] == ICMP_PORT_UNREACH
			    : icmp[0] == ICMP6_DST_UNREACH && icmp[1] == ICMP6_DST_UNREACH_NOPORT;

	engine->counters.icmp_errors++;
	if (!port || !engine->events.udp_unreachable || !quoted_udp(view, &target, &app) ||
		!ip_addr_equal(&to, &target.addr))
		return;
	engine->counters.udp_unreachable++;
	engine->events.udp_unreachable(engine->user, &app, &target);
}

bool flow_icmp_is_error(const struct packet_view *view)
{
	uint8_t type = view->ip[view->transport];

	if (view->family == AF_INET6)
		return view->protocol == IPPROTO_ICMPV6 && type < ICMP6_INFOMSG_MASK;
	return view->protocol == IPPROTO_ICMP &&
	       (type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT ||
		       type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB);
}

void flow_icmp_input(struct flow_engine *engine, const struct flow_packet *packet)
{
	const struct packet_view *view = &packet->view;
	const uint8_t *icmp = view->ip + view->transport;
	struct ip_addr src = packet_src(view), dst = packet_dst(view);
	uint8_t request = view->family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST;

	if (flow_icmp_is_error(view)) {
		icmp_error(engine, view);
		return;
	}
	if (icmp[0] != request || icmp[1] != 0 || !engine->events.icmp_echo) {
		engine->counters.dropped_protocol++;
		return;
	}
	engine->counters.icmp_in++;
	engine->events.icmp_echo(engine->user, &src, &dst, packet_load16(icmp + 4),
		packet_load16(icmp + 6), view->ip + view->payload, view->len - view->payload);
}

void flow_icmp_fail(struct flow_engine *engine, const struct ip_addr *src,
	const struct ip_addr *dst, uint16_t ident, uint16_t sequence, enum flow_verdict verdict)
{
	bool ip4 = src->family == AF_INET;
	uint8_t protocol = ip4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	uint8_t original[PACKET_IP6_HEADER + ICMP_HEADER] = {0};
	struct packet_view view;
	size_t head;

	if (!can_fail(engine, src, dst, verdict))
		return;
	head = packet_put_ip(original, src, dst, protocol, ICMP_HEADER);
	original[head] = ip4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
	packet_store16(original + head + 4, ident);
	packet_store16(original + head + 6, sequence);
	if (packet_parse(original, head + ICMP_HEADER, &view) == PACKET_OK)
		flow_reply_unreachable(engine, &view, flow_unreachable_of(verdict));
}

void flow_icmp_reply(struct flow_engine *engine, const struct ip_addr *src,
	const struct ip_addr *dst, uint16_t ident, uint16_t sequence, const void *data, size_t len)
{
	static const struct virtio_net_hdr vnet = {.flags = 0};
	bool ip4 = src->family == AF_INET;
	uint8_t protocol = ip4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	uint8_t out[PACKET_IP6_HEADER + ICMP_HEADER] = {0};
	size_t total = ICMP_HEADER + len, head;
	uint64_t sum = 0;
	uint16_t check;
	uint8_t *icmp;

	if (flow_engine_closed(engine) || src->family != dst->family)
		return;
	if (total > (ip4 ? IP4_PAYLOAD_MAX : IP6_PAYLOAD_MAX)) {
		engine->counters.dropped_malformed++;
		return;
	}
	head = packet_put_ip(out, src, dst, protocol, total);
	icmp = out + head;
	icmp[0] = ip4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY;
	packet_store16(icmp + 4, ident);
	packet_store16(icmp + 6, sequence);
	if (!ip4)
		sum = packet_pseudo_sum(src, dst, protocol, total);
	check = checksum_finish(checksum_add(checksum_add(sum, icmp, ICMP_HEADER), data, len));
	memcpy(icmp + 2, &check, sizeof(check));
	engine->counters.icmp_out++;
	flow_engine_write(engine, &vnet, out, head + ICMP_HEADER, data, len);
}
