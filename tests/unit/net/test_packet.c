/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/checksum.h"
#include "net/packet.h"

static struct ip_addr address(const char *text)
{
	struct ip_addr addr;

	assert_int_equal(ip_addr_parse(text, &addr), 0);
	return addr;
}

/* A TCP segment with `options` words of options and `data` bytes; its length. */
static size_t make_tcp(
	uint8_t *out, const char *src, const char *dst, unsigned int options, size_t data)
{
	struct ip_addr from = address(src), to = address(dst);
	size_t header = PACKET_TCP_HEADER + 4 * options;
	size_t ip = packet_put_ip(out, &from, &to, IPPROTO_TCP, header + data);

	memset(out + ip, 0, header + data);
	packet_store16(out + ip, 40000);
	packet_store16(out + ip + 2, 80);
	packet_store32(out + ip + 4, 0xfffffff0U);
	out[ip + 12] = (uint8_t)(header / 4 << 4);
	return ip + header + data;
}

/* Parses an exact heap copy, so that the sanitizer sees a read past the end. */
static enum packet_verdict parse_exact(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct packet_view view;
	enum packet_verdict verdict;

	memcpy(copy, bytes, len);
	verdict = packet_parse(copy, len, &view);
	free(copy);
	return verdict;
}

static void parses_tcp_of_both_families(void **state)
{
	static const char *const pairs[][2] = {
		{"10.0.0.1", "10.244.0.2"}, {"fd00::1", "fd00:244::2"}};
	uint8_t packet[256];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		size_t len = make_tcp(packet, pairs[i][0], pairs[i][1], 2, 33);
		struct ip_addr src = address(pairs[i][0]), dst = address(pairs[i][1]), got;
		struct packet_view view;

		packet[len] = 0xaa; /* after the packet: not part of it */
		assert_int_equal(packet_parse(packet, len + 1, &view), PACKET_OK);
		assert_int_equal(view.len, len);
		assert_int_equal(view.protocol, IPPROTO_TCP);
		assert_int_equal(view.payload, len - 33);
		got = packet_src(&view);
		assert_true(ip_addr_equal(&got, &src));
		got = packet_dst(&view);
		assert_true(ip_addr_equal(&got, &dst));
		assert_int_equal(packet_src_port(&view), 40000);
		assert_int_equal(packet_dst_port(&view), 80);
		packet[view.transport + 13] = PACKET_SYN | PACKET_FIN;
		assert_int_equal(packet_tcp_end(&view), 0xfffffff0U + 35);
	}
}

/* Every shorter piece of a good packet is malformed. */
static void truncated_is_malformed(void **state)
{
	static const char *const pairs[][2] = {
		{"10.0.0.1", "10.244.0.2"}, {"fd00::1", "fd00:244::2"}};
	uint8_t packet[256];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		size_t len = make_tcp(packet, pairs[i][0], pairs[i][1], 10, 20);

		assert_int_equal(parse_exact(packet, len), PACKET_OK);
		for (size_t cut = 0; cut < len; cut++)
			assert_int_equal(parse_exact(packet, cut), PACKET_MALFORMED);
	}
}

static void lying_lengths_are_malformed(void **state)
{
	static const struct {
		unsigned int at;
		uint8_t value;
		enum packet_verdict verdict;
	} cases[] = {
		{0, 0x45, PACKET_OK}, {0, 0x44, PACKET_MALFORMED}, /* header shorter than IPv4's */
		{0, 0x4f, PACKET_MALFORMED}, /* header longer than the packet */
		{0, 0x55, PACKET_MALFORMED}, /* version */
		{3, 19, PACKET_MALFORMED}, /* total length below the header's */
		{3, 39, PACKET_MALFORMED}, /* no room for TCP */
		{2, 1, PACKET_MALFORMED}, /* total length above the packet's */
		{32, 0x40, PACKET_MALFORMED}, /* TCP header shorter than TCP's */
		{32, 0xf0, PACKET_MALFORMED}, /* TCP header longer than the packet */
		{6, 0x40, PACKET_OK}, /* don't fragment */
		{6, 0x20, PACKET_FRAGMENT}, /* more fragments */
		{7, 0x01, PACKET_FRAGMENT}, /* offset */
		{9, 47, PACKET_OK}, /* another protocol: GRE */
	};
	uint8_t packet[128];
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		len = make_tcp(packet, "10.0.0.1", "10.244.0.2", 0, 4);
		packet[cases[i].at] = cases[i].value;
		if (parse_exact(packet, len) != cases[i].verdict)
			fail_msg("case %zu", i);
	}
}

/* Puts `count` extension headers of a kind between the IPv6 header and TCP. */
static size_t make_extended(uint8_t *out, uint8_t kind, unsigned int count, uint8_t words)
{
	uint8_t plain[128];
	size_t len = make_tcp(plain, "fd00::1", "fd00:244::2", 0, 4), at = PACKET_IP6_HEADER;
	size_t each = ((size_t)words + 1) * 8;

	memcpy(out, plain, PACKET_IP6_HEADER);
	out[6] = count ? kind : IPPROTO_TCP;
	for (unsigned int i = 0; i < count; i++, at += each) {
		memset(out + at, 0, each);
		out[at] = i + 1 < count ? kind : IPPROTO_TCP;
		out[at + 1] = kind == IPPROTO_FRAGMENT ? 0 : words;
	}
	memcpy(out + at, plain + PACKET_IP6_HEADER, len - PACKET_IP6_HEADER);
	len += count * each;
	packet_store16(out + 4, (uint16_t)(len - PACKET_IP6_HEADER));
	return len;
}

static void extension_headers(void **state)
{
	uint8_t packet[512];
	struct packet_view view;
	size_t len;

	(void)state;
	len = make_extended(packet, IPPROTO_HOPOPTS, 2, 3);
	assert_int_equal(packet_parse(packet, len, &view), PACKET_OK);
	assert_int_equal(view.transport, PACKET_IP6_HEADER + 64);
	assert_int_equal(packet_dst_port(&view), 80);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(parse_exact(packet, cut), PACKET_MALFORMED);
	packet[PACKET_IP6_HEADER + 1] = 0xff; /* longer than the packet */
	assert_int_equal(parse_exact(packet, len), PACKET_MALFORMED);
	len = make_extended(packet, IPPROTO_DSTOPTS, 9, 0); /* more than are walked */
	assert_int_equal(parse_exact(packet, len), PACKET_UNSUPPORTED);
	len = make_extended(packet, IPPROTO_ROUTING, 1, 0);
	assert_int_equal(parse_exact(packet, len), PACKET_UNSUPPORTED);
	len = make_extended(packet, IPPROTO_FRAGMENT, 1, 0); /* atomic: RFC 6946 */
	assert_int_equal(parse_exact(packet, len), PACKET_OK);
	packet[PACKET_IP6_HEADER + 3] = 1; /* more fragments */
	assert_int_equal(parse_exact(packet, len), PACKET_FRAGMENT);
	packet[PACKET_IP6_HEADER + 3] = 8; /* offset */
	assert_int_equal(parse_exact(packet, len), PACKET_FRAGMENT);
}

static void headers_that_are_put_parse(void **state)
{
	struct ip_addr src = address("192.0.2.1"), dst = address("192.0.2.99");
	uint8_t packet[PACKET_IP4_HEADER + PACKET_UDP_HEADER] = {0};
	static const uint8_t pseudo[] = {192, 0, 2, 1, 192, 0, 2, 99, 0, 17, 0, 8};

	(void)state;
	assert_int_equal(packet_put_ip(packet, &src, &dst, IPPROTO_UDP, 8), PACKET_IP4_HEADER);
	assert_int_equal(checksum_fold(checksum_add(0, packet, PACKET_IP4_HEADER)), 0xffff);
	assert_int_equal(parse_exact(packet, sizeof(packet)), PACKET_OK);
	assert_int_equal(packet_pseudo_sum(&src, &dst, IPPROTO_UDP, 8),
		checksum_fold(checksum_add(0, pseudo, sizeof(pseudo))));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_tcp_of_both_families),
		cmocka_unit_test(truncated_is_malformed),
		cmocka_unit_test(lying_lengths_are_malformed),
		cmocka_unit_test(extension_headers),
		cmocka_unit_test(headers_that_are_put_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
