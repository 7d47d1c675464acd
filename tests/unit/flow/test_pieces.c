/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams in pieces, ICMP errors of the laptop, packets without a hop left. */
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include "segment.h"

static struct {
	unsigned int datagrams;
	size_t bytes;
	struct ip_endpoint src, dst;
} got;

static void on_udp(void *user, const struct ip_endpoint *src, const struct ip_endpoint *dst,
	const uint8_t *data, size_t len)
{
	(void)user;
	(void)data;
	got.datagrams++;
	got.bytes = len;
	got.src = *src;
	got.dst = *dst;
}

static const char *const pairs[][2] = {{"10.9.0.1", "10.244.0.2"}, {"fd00:9::1", "fd00:244::2"}};

static void start(struct rig *rig)
{
	memset(&got, 0, sizeof(got));
	rig_start(rig, (struct flow_events){.udp_received = on_udp});
}

/* Sends `len` bytes of IP payload in pieces of at most `step`, the last one first. */
static void send_pieces(struct rig *rig, size_t pair, const uint8_t *data, size_t len, size_t step)
{
	struct ip_addr src = rig_endpoint(pairs[pair][0], 0).addr;
	struct ip_addr dst = rig_endpoint(pairs[pair][1], 0).addr;
	const struct virtio_net_hdr vnet = {.flags = 0};
	size_t count = (len + step - 1) / step;
	uint8_t packet[2000];

	for (size_t i = count; i > 0; i--) {
		size_t at = (i - 1) * step, part = MIN(step, len - at), head;
		bool more = i < count;

		if (pair == 0) {
			head = packet_put_ip(packet, &src, &dst, IPPROTO_UDP, part);
			packet_store16(packet + 4, 99);
			packet_store16(packet + 6, (uint16_t)(at / 8 | (more ? 0x2000 : 0)));
		} else {
			head = packet_put_ip(packet, &src, &dst, IPPROTO_FRAGMENT, part + 8);
			packet[head] = IPPROTO_UDP;
			packet[head + 1] = 0;
			packet_store16(packet + head + 2, (uint16_t)(at | more));
			packet_store32(packet + head + 4, 99);
			head += 8;
		}
		memcpy(packet + head, data + at, part);
		rig_send(rig, &vnet, packet, head + part);
	}
}

static void pieces_become_a_datagram(void **state)
{
	static uint8_t udp[65515];
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct ip_addr src = rig_endpoint(pairs[i][0], 0).addr;
		struct ip_addr dst = rig_endpoint(pairs[i][1], 0).addr;
		const struct flow_counters *counters;
		uint16_t check;

		start(&rig);
		counters = flow_engine_counters(rig.engine);
		memset(udp, 0x33, sizeof(udp));
		packet_store16(udp, 5000);
		packet_store16(udp + 2, 53);
		packet_store16(udp + 4, sizeof(udp));
		packet_store16(udp + 6, 0);
		check = checksum_finish(checksum_add(
			packet_pseudo_sum(&src, &dst, IPPROTO_UDP, sizeof(udp)), udp, sizeof(udp)));
		memcpy(udp + 6, &check, sizeof(check));
		send_pieces(&rig, i, udp, sizeof(udp), 1448);
		assert_int_equal(got.datagrams, 1);
		assert_int_equal(got.bytes, 65507);
		assert_int_equal(got.src.port, 5000);
		assert_int_equal(counters->reassembled, 1);
		assert_int_equal(counters->fragments_in, 46);
		/* Of another datagram, by the checksum. */
		udp[3000] ^= 1;
		send_pieces(&rig, i, udp, sizeof(udp), 1448);
		assert_int_equal(got.datagrams, 1);
		assert_int_equal(counters->dropped_malformed, 1);
		/* A piece of no length, and one of an odd one. */
		send_pieces(&rig, i, udp, 1001, 500);
		assert_int_equal(counters->dropped_fragment, 2);
		rig_stop(&rig);
	}
}

static unsigned int unreachable;

static void on_unreachable(void *user, const struct ip_endpoint *src, const struct ip_endpoint *dst)
{
	(void)user;
	unreachable++;
	got.src = *src;
	got.dst = *dst;
}

/* Sends an ICMP error of the laptop about what target:53 sent to app:5000. */
static void send_error(struct rig *rig, size_t pair, uint8_t type, uint8_t code, const char *to)
{
	struct ip_addr app = rig_endpoint(pairs[pair][0], 0).addr;
	struct ip_addr target = rig_endpoint(pairs[pair][1], 0).addr;
	struct ip_addr dst = rig_endpoint(to, 0).addr;
	const struct virtio_net_hdr vnet = {.flags = 0};
	uint8_t packet[120] = {0};
	size_t quote = pair == 0 ? 28 : 48;
	size_t head = packet_put_ip(
		packet, &app, &dst, pair == 0 ? IPPROTO_ICMP : IPPROTO_ICMPV6, 8 + quote);
	size_t inner = head + 8;

	packet[head] = type;
	packet[head + 1] = code;
	/* Cut: the datagram had 2000 bytes. */
	inner += packet_put_ip(packet + inner, &target, &app, IPPROTO_UDP, 2008);
	packet_store16(packet + inner, 53);
	packet_store16(packet + inner + 2, 5000);
	rig_send(rig, &vnet, packet, head + 8 + quote);
}

/* The application's kernel says what the cluster's sender should know. */
static void icmp_errors_of_the_laptop(void **state)
{
	static const uint8_t errors[][3][2] = {{{3, 3}, {3, 4}, {11, 1}}, {{1, 4}, {2, 0}, {3, 1}}};
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct ip_addr app = rig_endpoint(pairs[i][0], 0).addr;
		const struct flow_counters *counters;

		memset(&got, 0, sizeof(got));
		unreachable = 0;
		rig_start(&rig, (struct flow_events){.udp_unreachable = on_unreachable});
		counters = flow_engine_counters(rig.engine);
		for (size_t n = 0; n < 3; n++)
			send_error(&rig, i, errors[i][n][0], errors[i][n][1], pairs[i][1]);
		assert_int_equal(counters->icmp_errors, 3);
		assert_int_equal(counters->udp_unreachable, 1);
		assert_int_equal(unreachable, 1);
		assert_true(ip_addr_equal(&got.src.addr, &app));
		assert_int_equal(got.src.port, 5000);
		assert_int_equal(got.dst.port, 53);
		/* Sent to somebody else than who is quoted: a lie. */
		send_error(&rig, i, errors[i][0][0], errors[i][0][1],
			i ? "fd00:244::9" : "10.244.0.9");
		assert_int_equal(unreachable, 1);
		assert_int_equal(counters->dropped_protocol, 0);
		rig_stop(&rig);
	}
}

static void last_hop_is_answered(void **state)
{
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct ip_addr app = rig_endpoint(pairs[i][0], 0).addr;
		struct ip_addr target = rig_endpoint(pairs[i][1], 0).addr;
		struct ip_addr router = rig_endpoint(i ? "fd00:5::2" : "127.0.0.2", 0).addr, from;
		const struct virtio_net_hdr vnet = {.flags = 0};
		uint8_t packet[60] = {0};
		size_t head = packet_put_ip(packet, &app, &target, IPPROTO_UDP, 8);

		start(&rig);
		packet_store16(packet + head + 4, 8);
		packet[i ? 7 : 8] = 1;
		rig_send(&rig, &vnet, packet, head + 8);
		assert_int_equal(got.datagrams, 0);
		assert_int_equal(flow_engine_counters(rig.engine)->dropped_ttl, 1);
		assert_true(rig_receive(&rig));
		rig_assert_checksums(&rig);
		from = packet_src(&rig.view);
		assert_true(ip_addr_equal(&from, &router));
		assert_int_equal(rig.view.ip[rig.view.transport],
			i ? ICMP6_TIME_EXCEEDED : ICMP_TIME_EXCEEDED);
		packet[i ? 7 : 8] = 2;
		rig_send(&rig, &vnet, packet, head + 8);
		assert_int_equal(got.datagrams, 1);
		/* An error is counted like any other, but none follows it. */
		(void)packet_put_ip(packet, &app, &target, i ? IPPROTO_ICMPV6 : IPPROTO_ICMP, 8);
		packet[head] = i ? ICMP6_DST_UNREACH : ICMP_DEST_UNREACH;
		packet[i ? 7 : 8] = 1;
		rig_send(&rig, &vnet, packet, head + 8);
		assert_int_equal(flow_engine_counters(rig.engine)->dropped_ttl, 2);
		assert_false(rig_receive(&rig));
		rig_stop(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_become_a_datagram),
		cmocka_unit_test(icmp_errors_of_the_laptop),
		cmocka_unit_test(last_hop_is_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
