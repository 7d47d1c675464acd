/* SPDX-License-Identifier: Apache-2.0 */
#include "net/packet.h"

#include <netinet/in.h>
#include <string.h>

#include "net/checksum.h"

#define IP4_MORE_FRAGMENTS  0x2000
#define IP4_FRAGMENT_OFFSET 0x1fff
#define IP6_FRAGMENT_BITS   0xfff9 /* offset and M; the two reserved bits between may be anything */
/* RFC 8504 5.3: a receiver may limit the extension headers that it walks. */
#define IP6_EXTENSIONS 8
#define DEFAULT_TTL    64

static enum packet_verdict parse_ip4(struct packet_view *view)
{
	const uint8_t *ip = view->ip;
	size_t header, total;

	if (view->len < PACKET_IP4_HEADER)
		return PACKET_MALFORMED;
	header = (size_t)(ip[0] & 0x0f) * 4;
	total = packet_load16(ip + 2);
	if (header < PACKET_IP4_HEADER || total < header || total > view->len)
		return PACKET_MALFORMED;
	if (packet_load16(ip + 6) & (IP4_MORE_FRAGMENTS | IP4_FRAGMENT_OFFSET))
		return PACKET_FRAGMENT;
	view->family = AF_INET;
	view->protocol = ip[9];
	view->len = total;
	view->transport = (uint16_t)header;
	return PACKET_OK;
}

/* Walks the extension headers from view->transport on, `next` being the type of the first. */
static enum packet_verdict walk_extensions(struct packet_view *view, uint8_t next)
{
	const uint8_t *at;
	size_t bytes;

	for (unsigned int i = 0; i < IP6_EXTENSIONS; i++) {
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_DSTOPTS &&
			next != IPPROTO_FRAGMENT && next != IPPROTO_ROUTING) {
			view->protocol = next;
			return PACKET_OK;
		}
		if (view->len - view->transport < 8)
			return PACKET_MALFORMED;
		at = view->ip + view->transport;
		if (next == IPPROTO_ROUTING) /* its destination is not the one in the header */
			return PACKET_UNSUPPORTED;
		if (next == IPPROTO_FRAGMENT && (packet_load16(at + 2) & IP6_FRAGMENT_BITS))
			return PACKET_FRAGMENT;
		bytes = next == IPPROTO_FRAGMENT ? 8 : ((size_t)at[1] + 1) * 8;
		if (bytes > view->len - view->transport)
			return PACKET_MALFORMED;
		next = at[0];
		view->transport = (uint16_t)(view->transport + bytes);
	}
	return PACKET_UNSUPPORTED;
}

static enum packet_verdict parse_ip6(struct packet_view *view)
{
	size_t total;

	if (view->len < PACKET_IP6_HEADER)
		return PACKET_MALFORMED;
	total = PACKET_IP6_HEADER + (size_t)packet_load16(view->ip + 4);
	if (total > view->len)
		return PACKET_MALFORMED;
	view->family = AF_INET6;
	view->len = total;
	view->transport = PACKET_IP6_HEADER;
	return walk_extensions(view, view->ip[6]);
}

static enum packet_verdict parse_transport(struct packet_view *view)
{
	const uint8_t *at = view->ip + view->transport;
	size_t len = view->len - view->transport, header = 0;

	switch (view->protocol) {
	case IPPROTO_TCP:
		if (len < PACKET_TCP_HEADER)
			return PACKET_MALFORMED;
		header = (size_t)(at[12] >> 4) * 4;
		if (header < PACKET_TCP_HEADER)
			return PACKET_MALFORMED;
		break;
	case IPPROTO_UDP:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		header = PACKET_UDP_HEADER; /* an echo's is as long */
		break;
	default:
		break;
	}
	if (header > len)
		return PACKET_MALFORMED;
	view->payload = view->transport + header;
	return PACKET_OK;
}

enum packet_verdict packet_parse(void *data, size_t len, struct packet_view *ret_view)
{
	struct packet_view view = {.ip = data, .len = len};
	enum packet_verdict verdict = PACKET_MALFORMED;

	if (len > 0 && view.ip[0] >> 4 == 4)
		verdict = parse_ip4(&view);
	else if (len > 0 && view.ip[0] >> 4 == 6)
		verdict = parse_ip6(&view);
	if (verdict == PACKET_OK)
		verdict = parse_transport(&view);
	if (verdict == PACKET_OK)
		*ret_view = view;
	return verdict;
}

static bool fragment4(const uint8_t *ip, size_t len, struct packet_fragment *fragment)
{
	size_t header, total;
	uint16_t field;

	if (len < PACKET_IP4_HEADER)
		return false;
	header = (size_t)(ip[0] & 0x0f) * 4;
	total = packet_load16(ip + 2);
	if (header < PACKET_IP4_HEADER || total < header || total > len)
		return false;
	field = packet_load16(ip + 6);
	*fragment = (struct packet_fragment){.src = ip_addr_from_bytes(AF_INET, ip + 12),
		.dst = ip_addr_from_bytes(AF_INET, ip + 16),
		.ident = packet_load16(ip + 4),
		.protocol = ip[9],
		.more = field & IP4_MORE_FRAGMENTS,
		.offset = (size_t)(field & IP4_FRAGMENT_OFFSET) * 8,
		.len = total - header,
		.data = ip + header};
	return fragment->offset + fragment->len <= UINT16_MAX - PACKET_IP4_HEADER;
}

static bool fragment6(const uint8_t *ip, size_t len, struct packet_fragment *fragment)
{
	size_t at = PACKET_IP6_HEADER, total;
	uint8_t next;

	if (len < PACKET_IP6_HEADER)
		return false;
	total = PACKET_IP6_HEADER + (size_t)packet_load16(ip + 4);
	next = ip[6];
	if (total > len)
		return false;
	/* Only what every router on the way looks at stands before the fragment header. */
	for (unsigned int i = 0; next != IPPROTO_FRAGMENT; i++) {
		if ((next != IPPROTO_HOPOPTS && next != IPPROTO_DSTOPTS) || i == IP6_EXTENSIONS ||
			total - at < 8)
			return false;
		next = ip[at];
		at += ((size_t)ip[at + 1] + 1) * 8;
		if (at > total)
			return false;
	}
	if (total - at < 8)
		return false;
	*fragment = (struct packet_fragment){.src = ip_addr_from_bytes(AF_INET6, ip + 8),
		.dst = ip_addr_from_bytes(AF_INET6, ip + 24),
		.ident = packet_load32(ip + at + 4),
		.protocol = ip[at],
		.more = packet_load16(ip + at + 2) & 1,
		.offset = packet_load16(ip + at + 2) & 0xfff8U,
		.len = total - at - 8,
		.data = ip + at + 8};
	return fragment->offset + fragment->len <= UINT16_MAX;
}

bool packet_parse_fragment(const void *data, size_t len, struct packet_fragment *ret_fragment)
{
	struct packet_fragment fragment;
	const uint8_t *ip = data;

	if (len == 0 ||
		!(ip[0] >> 4 == 4 ? fragment4(ip, len, &fragment) : fragment6(ip, len, &fragment)))
		return false;
	if (fragment.len == 0 || (fragment.more && fragment.len % 8 != 0))
		return false;
	*ret_fragment = fragment;
	return true;
}

struct ip_addr packet_src(const struct packet_view *view)
{
	return ip_addr_from_bytes(view->family, view->ip + (view->family == AF_INET ? 12 : 8));
}

struct ip_addr packet_dst(const struct packet_view *view)
{
	return ip_addr_from_bytes(view->family, view->ip + (view->family == AF_INET ? 16 : 24));
}

size_t packet_put_ip(uint8_t *out, const struct ip_addr *src, const struct ip_addr *dst,
	uint8_t protocol, size_t len)
{
	uint16_t check;

	if (src->family == AF_INET6) {
		memset(out, 0, 8);
		out[0] = 0x60;
		packet_store16(out + 4, (uint16_t)len);
		out[6] = protocol;
		out[7] = DEFAULT_TTL;
		memcpy(out + 8, src->bytes, 16);
		memcpy(out + 24, dst->bytes, 16);
		return PACKET_IP6_HEADER;
	}
	memset(out, 0, 12);
	out[0] = 0x45;
	packet_store16(out + 2, (uint16_t)(len + PACKET_IP4_HEADER));
	out[8] = DEFAULT_TTL;
	out[9] = protocol;
	memcpy(out + 12, src->bytes, 4);
	memcpy(out + 16, dst->bytes, 4);
	check = checksum_finish(checksum_add(0, out, PACKET_IP4_HEADER));
	memcpy(out + 10, &check, sizeof(check));
	return PACKET_IP4_HEADER;
}

uint16_t packet_pseudo_sum(
	const struct ip_addr *src, const struct ip_addr *dst, uint8_t protocol, size_t len)
{
	uint8_t rest[8] = {0};
	uint64_t sum = checksum_add(0, src->bytes, ip_addr_len(src));

	packet_store32(rest, (uint32_t)len);
	rest[7] = protocol;
	sum = checksum_add(sum, dst->bytes, ip_addr_len(dst));
	return checksum_fold(checksum_add(sum, rest, sizeof(rest)));
}
