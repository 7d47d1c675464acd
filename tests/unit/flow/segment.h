/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/flow/segment.h - TCP segments into a rig, and what is checked of those that come out
 */
#ifndef TESTS_UNIT_FLOW_SEGMENT_H
#define TESTS_UNIT_FLOW_SEGMENT_H

#include "net/checksum.h"
#include "rig.h"

/* Lets the loop handle everything that is ready. */
static inline void rig_run(struct rig *rig)
{
	for (unsigned int i = 0; i < 4; i++)
		uv_run(&rig->loop, UV_RUN_NOWAIT);
}

static inline void rig_send(
	struct rig *rig, const struct virtio_net_hdr *vnet, const void *packet, size_t len)
{
	struct iovec iov[] = {{.iov_base = (void *)(uintptr_t)vnet, .iov_len = sizeof(*vnet)},
		{.iov_base = (void *)(uintptr_t)packet, .iov_len = len}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

	assert_int_equal(sendmsg(rig->tun, &msg, 0), (ssize_t)(sizeof(*vnet) + len));
	rig_run(rig);
}

/* The next packet that the engine wrote into rig->view; false when there is none. */
static inline bool rig_receive(struct rig *rig)
{
	ssize_t n = recv(rig->tun, rig->packet, sizeof(rig->packet), MSG_DONTWAIT);

	if (n < 0)
		return false;
	assert_true((size_t)n > sizeof(rig->vnet));
	memcpy(&rig->vnet, rig->packet, sizeof(rig->vnet));
	assert_int_equal(packet_parse(rig->packet + sizeof(rig->vnet),
				 (size_t)n - sizeof(rig->vnet), &rig->view),
		PACKET_OK);
	assert_int_equal(rig->view.len, (size_t)n - sizeof(rig->vnet));
	return true;
}

struct segment {
	const char *src, *dst;
	uint16_t src_port, dst_port;
	uint8_t flags;
	uint32_t seq, ack;
	size_t data;
	bool complete; /* the checksum; else NEEDS_CSUM */
	uint16_t gso_size;
};

static inline void rig_send_segment(struct rig *rig, const struct segment *segment)
{
	static uint8_t packet[66000];
	struct ip_endpoint src = rig_endpoint(segment->src, segment->src_port);
	struct ip_endpoint dst = rig_endpoint(segment->dst, segment->dst_port);
	struct virtio_net_hdr vnet = {.flags = 0};
	size_t len = PACKET_TCP_HEADER + segment->data;
	size_t head = packet_put_ip(packet, &src.addr, &dst.addr, IPPROTO_TCP, len);
	uint16_t check = packet_pseudo_sum(&src.addr, &dst.addr, IPPROTO_TCP, len);
	uint8_t *tcp = packet + head;

	memset(tcp, 0, PACKET_TCP_HEADER);
	packet_store16(tcp, src.port);
	packet_store16(tcp + 2, dst.port);
	packet_store32(tcp + 4, segment->seq);
	packet_store32(tcp + 8, segment->ack);
	tcp[12] = PACKET_TCP_HEADER / 4 << 4;
	tcp[13] = segment->flags;
	memset(tcp + PACKET_TCP_HEADER, 0x5a, segment->data);
	if (segment->complete) {
		check = checksum_finish(checksum_add(check, tcp, len));
	} else {
		vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		vnet.csum_start = (uint16_t)head;
		vnet.csum_offset = PACKET_TCP_CHECK;
	}
	if (segment->gso_size) {
		vnet.gso_type = src.addr.family == AF_INET ? VIRTIO_NET_HDR_GSO_TCPV4
							   : VIRTIO_NET_HDR_GSO_TCPV6;
		vnet.gso_size = segment->gso_size;
		vnet.hdr_len = (uint16_t)(head + PACKET_TCP_HEADER);
	}
	memcpy(tcp + PACKET_TCP_CHECK, &check, sizeof(check));
	rig_send(rig, &vnet, packet, head + len);
}

/* Sums in the last packet: the IPv4 header's, and the transport's, partial or complete. */
static inline void rig_assert_checksums(const struct rig *rig)
{
	const struct packet_view *view = &rig->view;
	struct ip_addr src = packet_src(view), dst = packet_dst(view);
	size_t len = view->len - view->transport;
	uint16_t pseudo = packet_pseudo_sum(&src, &dst, view->protocol, len), check;
	const uint8_t *at = view->ip + view->transport;

	if (view->family == AF_INET)
		assert_int_equal(checksum_fold(checksum_add(0, view->ip, view->transport)), 0xffff);
	if (view->protocol == IPPROTO_ICMP)
		pseudo = 0;
	if (rig->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		assert_int_equal(rig->vnet.csum_start, view->transport);
		memcpy(&check, at + rig->vnet.csum_offset, sizeof(check));
		assert_int_equal(check, pseudo);
	} else {
		assert_int_equal(checksum_fold(checksum_add(pseudo, at, len)), 0xffff);
	}
}

/* The last packet's addresses, ports and TCP flags, and its checksums. */
static inline void rig_assert_segment(const struct rig *rig, const char *src, uint16_t src_port,
	const char *dst, uint16_t dst_port, uint8_t flags)
{
	struct ip_addr from = packet_src(&rig->view), to = packet_dst(&rig->view);
	struct ip_endpoint want_from = rig_endpoint(src, src_port),
			   want_to = rig_endpoint(dst, dst_port);

	assert_int_equal(rig->view.protocol, IPPROTO_TCP);
	assert_true(ip_addr_equal(&from, &want_from.addr));
	assert_true(ip_addr_equal(&to, &want_to.addr));
	assert_int_equal(packet_src_port(&rig->view), src_port);
	assert_int_equal(packet_dst_port(&rig->view), dst_port);
	assert_int_equal(packet_tcp_flags(&rig->view), flags);
	rig_assert_checksums(rig);
}

#endif /* TESTS_UNIT_FLOW_SEGMENT_H */
