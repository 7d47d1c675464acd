/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/packet.h - checked views of IP packets, and IP headers for new ones
 *
 * packet_parse() is the only gate: after PACKET_OK every offset of the view lies within its bytes
 * and the transport header is complete, so the accessors need no further checks. All loads are
 * unaligned-safe. A view borrows the bytes it was made from.
 */
#ifndef NET_PACKET_H
#define NET_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/attr.h"
#include "net/addr.h"

#define PACKET_IP4_HEADER 20
#define PACKET_IP6_HEADER 40
#define PACKET_UDP_HEADER 8
#define PACKET_TCP_HEADER 20

/* Offsets of the checksum within the transport header, as virtio_net_hdr.csum_offset wants them. */
#define PACKET_TCP_CHECK 16
#define PACKET_UDP_CHECK 6

#define PACKET_FIN 0x01
#define PACKET_SYN 0x02
#define PACKET_RST 0x04
#define PACKET_ACK 0x10

enum packet_verdict {
	PACKET_OK,
	PACKET_MALFORMED, /* lengths that contradict each other or the bytes that are there */
	PACKET_FRAGMENT, /* a piece of a datagram: see packet_parse_fragment() */
	PACKET_UNSUPPORTED, /* an IPv6 extension header that is not walked */
};

struct packet_view {
	uint8_t *ip; /* the IP header's first byte */
	size_t len; /* of the whole IP packet; bytes after it are not part of it */
	uint8_t family, protocol;
	uint16_t transport; /* offset of the transport header from ip */
	size_t payload; /* offset of what follows the transport header, from ip */
};

/* Transport headers of TCP, UDP and ICMP echo are checked; of other protocols only the IP part. */
enum packet_verdict packet_parse(void *data, size_t len, struct packet_view *ret_view);
struct ip_addr packet_src(const struct packet_view *view);
struct ip_addr packet_dst(const struct packet_view *view);

/* A piece of a datagram; `data` is borrowed. */
struct packet_fragment {
	struct ip_addr src, dst;
	uint32_t ident;
	uint8_t protocol; /* IPv6: next header of the fragment header */
	bool more; /* not the last one */
	size_t offset, len;
	const uint8_t *data;
};

/* What packet_parse() found to be a fragment. False: lengths that cannot be (RFC 8200 4.5). */
bool packet_parse_fragment(const void *data, size_t len, struct packet_fragment *ret_fragment);

/* Writes an IP header with TTL 64 for `len` bytes after it; its length. No more than 65535 bytes of
 * IPv4 packet or IPv6 payload. */
size_t packet_put_ip(uint8_t *out, const struct ip_addr *src, const struct ip_addr *dst,
	uint8_t protocol, size_t len);
/* The sum (not complemented) of the pseudo-header that transport checksums include. */
uint16_t packet_pseudo_sum(
	const struct ip_addr *src, const struct ip_addr *dst, uint8_t protocol, size_t len);

static inline uint16_t packet_load16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t packet_load32(const uint8_t *at)
{
	return (uint32_t)packet_load16(at) << 16 | packet_load16(at + 2);
}

static inline void packet_store16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void packet_store32(uint8_t *at, uint32_t value)
{
	packet_store16(at, (uint16_t)(value >> 16));
	packet_store16(at + 2, (uint16_t)value);
}

/* How many more routers the packet may pass. */
static inline uint8_t packet_ttl(const struct packet_view *view)
{
	return view->ip[view->family == AF_INET ? 8 : 7];
}

/* The first two fields of TCP and UDP. */
static inline uint16_t packet_src_port(const struct packet_view *view)
{
	return packet_load16(view->ip + view->transport);
}

static inline uint16_t packet_dst_port(const struct packet_view *view)
{
	return packet_load16(view->ip + view->transport + 2);
}

static inline uint32_t packet_tcp_seq(const struct packet_view *view)
{
	return packet_load32(view->ip + view->transport + 4);
}

static inline uint32_t packet_tcp_ack(const struct packet_view *view)
{
	return packet_load32(view->ip + view->transport + 8);
}

static inline uint8_t packet_tcp_flags(const struct packet_view *view)
{
	return view->ip[view->transport + 13];
}

/* The sequence number after everything in this segment (SYN and FIN count one each). */
static inline uint32_t packet_tcp_end(const struct packet_view *view)
{
	uint8_t flags = packet_tcp_flags(view);

	return packet_tcp_seq(view) + (uint32_t)(view->len - view->payload) +
	       (flags & PACKET_SYN ? 1 : 0) + (flags & PACKET_FIN ? 1 : 0);
}

#endif /* NET_PACKET_H */
