/* SPDX-License-Identifier: Apache-2.0 */
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include "segment.h"

#define GSO_UDP_L4 5

static struct {
	unsigned int datagrams, echoes;
	size_t bytes[64];
	uint8_t first[64];
	struct ip_endpoint src, dst;
	uint16_t ident, sequence;
	size_t echo_bytes;
} got;

static void on_udp(void *user, const struct ip_endpoint *src, const struct ip_endpoint *dst,
	const uint8_t *data, size_t len)
{
	(void)user;
	got.bytes[got.datagrams] = len;
	got.first[got.datagrams++] = len ? data[0] : 0;
	got.src = *src;
	got.dst = *dst;
}

static void on_echo(void *user, const struct ip_addr *src, const struct ip_addr *dst,
	uint16_t ident, uint16_t sequence, const uint8_t *data, size_t len)
{
	(void)user;
	(void)data;
	got.echoes++;
	got.src.addr = *src;
	got.dst.addr = *dst;
	got.ident = ident;
	got.sequence = sequence;
	got.echo_bytes = len;
}

static const char *const pairs[][2] = {{"10.9.0.1", "10.244.0.2"}, {"fd00:9::1", "fd00:244::2"}};

static void start(struct rig *rig)
{
	memset(&got, 0, sizeof(got));
	rig_start(rig, (struct flow_events){.udp_received = on_udp, .icmp_echo = on_echo});
}

/* Sends UDP of which each byte is its offset by `step`; `field` replaces the length field. */
static void send_udp(struct rig *rig, size_t pair, size_t len, uint16_t gso_size, int field)
{
	static uint8_t packet[66000];
	struct ip_endpoint src = rig_endpoint(pairs[pair][0], 5000);
	struct ip_endpoint dst = rig_endpoint(pairs[pair][1], 53);
	struct virtio_net_hdr vnet = {.gso_type = gso_size ? GSO_UDP_L4 : 0, .gso_size = gso_size};
	size_t head =
		packet_put_ip(packet, &src.addr, &dst.addr, IPPROTO_UDP, PACKET_UDP_HEADER + len);
	uint8_t *udp = packet + head;

	packet_store16(udp, 5000);
	packet_store16(udp + 2, 53);
	packet_store16(udp + 4, (uint16_t)(field < 0 ? (int)(PACKET_UDP_HEADER + len) : field));
	packet_store16(udp + 6, 0);
	for (size_t i = 0; i < len; i++)
		udp[PACKET_UDP_HEADER + i] = (uint8_t)(gso_size ? i / gso_size : 0x77);
	rig_send(rig, &vnet, packet, head + PACKET_UDP_HEADER + len);
}

static void datagrams_are_delivered(void **state)
{
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct ip_endpoint src = rig_endpoint(pairs[i][0], 5000);

		start(&rig);
		send_udp(&rig, i, 100, 0, -1);
		send_udp(&rig, i, 0, 0, -1);
		send_udp(&rig, i, 100, 0, 50); /* padding after the datagram */
		assert_int_equal(got.datagrams, 3);
		assert_int_equal(got.bytes[0], 100);
		assert_int_equal(got.bytes[1], 0);
		assert_int_equal(got.bytes[2], 42);
		assert_true(ip_addr_equal(&got.src.addr, &src.addr));
		assert_int_equal(got.src.port, 5000);
		assert_int_equal(got.dst.port, 53);
		send_udp(&rig, i, 100, 0, 7);
		send_udp(&rig, i, 100, 0, 109);
		assert_int_equal(got.datagrams, 3);
		assert_int_equal(flow_engine_counters(rig.engine)->dropped_malformed, 2);
		rig_stop(&rig);
	}
}

/* Segmentation offload: one packet, several datagrams. */
static void segments_become_datagrams(void **state)
{
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		start(&rig);
		send_udp(&rig, i, 1200 * 40 + 7, 1200, -1);
		assert_int_equal(got.datagrams, 41);
		for (unsigned int n = 0; n < 41; n++) {
			assert_int_equal(got.bytes[n], n < 40 ? 1200 : 7);
			assert_int_equal(got.first[n], n);
		}
		rig_stop(&rig);
	}
}

static void replies_have_good_checksums(void **state)
{
	static const size_t sizes[] = {0, 1, 100, 1473, 9001, 65507};
	static uint8_t data[65600];
	struct rig rig;

	(void)state;
	memset(data, 0xe1, sizeof(data));
	for (size_t i = 0; i < ARRAY_SIZE(pairs) * ARRAY_SIZE(sizes); i++) {
		struct ip_endpoint app = rig_endpoint(pairs[i % 2][0], 5000);
		struct ip_endpoint target = rig_endpoint(pairs[i % 2][1], 53);
		size_t len = sizes[i / 2];

		start(&rig);
		flow_udp_send(rig.engine, &target, &app, data, len);
		assert_true(rig_receive(&rig));
		assert_int_equal(rig.view.protocol, IPPROTO_UDP);
		assert_int_equal(packet_src_port(&rig.view), 53);
		assert_int_equal(packet_dst_port(&rig.view), 5000);
		assert_int_equal(rig.view.len - rig.view.payload, len);
		rig_assert_checksums(&rig);
		flow_icmp_reply(rig.engine, &target.addr, &app.addr, 0x1234, 9, data, len);
		assert_true(rig_receive(&rig));
		rig_assert_checksums(&rig);
		assert_int_equal(
			rig.view.ip[rig.view.transport], i % 2 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY);
		assert_int_equal(packet_load16(rig.view.ip + rig.view.transport + 4), 0x1234);
		flow_udp_send(rig.engine, &target, &app, data, 65528);
		flow_icmp_reply(rig.engine, &target.addr, &app.addr, 1, 1, data, 65528);
		assert_false(rig_receive(&rig));
		rig_stop(&rig);
	}
}

static void refused_datagrams(void **state)
{
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct ip_endpoint app = rig_endpoint(pairs[i][0], 5000);
		struct ip_endpoint target = rig_endpoint(pairs[i][1], 53);
		struct packet_view quoted;
		struct ip_addr from;

		rig_start(&rig, (struct flow_events){0});
		for (unsigned int way = 0; way < 2; way++) {
			if (way == 0)
				flow_udp_refuse(rig.engine, &app, &target);
			else
				send_udp(&rig, i, 2000, 0, -1); /* there is no udp_received */
			assert_true(rig_receive(&rig));
			rig_assert_checksums(&rig);
			from = packet_src(&rig.view);
			assert_true(ip_addr_equal(&from, &target.addr));
			assert_int_equal(rig.view.ip[rig.view.transport + 1],
				i ? ICMP6_DST_UNREACH_NOPORT : ICMP_PORT_UNREACH);
			if (way == 1) /* a quotation is a piece */
				continue;
			assert_int_equal(packet_parse(rig.view.ip + rig.view.payload,
						 rig.view.len - rig.view.payload, &quoted),
				PACKET_OK);
			assert_int_equal(packet_src_port(&quoted), 5000);
			assert_int_equal(packet_dst_port(&quoted), 53);
		}
		rig_stop(&rig);
	}
}

/* What else the cluster says of a datagram. */
static void failed_datagrams(void **state)
{
	static const struct {
		enum flow_verdict verdict;
		int code4, code6;
	} failures[] = {
		{FLOW_NET_UNREACHABLE, ICMP_NET_UNREACH, ICMP6_DST_UNREACH_NOROUTE},
		{FLOW_HOST_UNREACHABLE, ICMP_HOST_UNREACH, ICMP6_DST_UNREACH_ADDR},
		{FLOW_PROHIBITED, ICMP_PKT_FILTERED, ICMP6_DST_UNREACH_ADMIN},
		{FLOW_REFUSED, ICMP_PORT_UNREACH, ICMP6_DST_UNREACH_NOPORT},
	};
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct ip_endpoint app = rig_endpoint(pairs[i][0], 5000);
		struct ip_endpoint target = rig_endpoint(pairs[i][1], 53);

		rig_start(&rig, (struct flow_events){0});
		for (size_t k = 0; k < ARRAY_SIZE(failures); k++) {
			flow_udp_fail(rig.engine, &app, &target, failures[k].verdict);
			assert_true(rig_receive(&rig));
			rig_assert_checksums(&rig);
			assert_int_equal(rig.view.ip[rig.view.transport],
				i ? ICMP6_DST_UNREACH : ICMP_DEST_UNREACH);
			assert_int_equal(rig.view.ip[rig.view.transport + 1],
				i ? failures[k].code6 : failures[k].code4);
		}
		flow_udp_fail(rig.engine, &app, &target, FLOW_SILENT);
		assert_false(rig_receive(&rig));
		rig_stop(&rig);
	}
}

static void echo_requests(void **state)
{
	struct virtio_net_hdr vnet = {.flags = 0};
	uint8_t packet[100] = {0};
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct ip_endpoint app = rig_endpoint(pairs[i][0], 0);
		struct ip_endpoint target = rig_endpoint(pairs[i][1], 0);
		size_t head = packet_put_ip(
			packet, &app.addr, &target.addr, i ? IPPROTO_ICMPV6 : IPPROTO_ICMP, 8 + 20);

		start(&rig);
		packet[head] = i ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
		packet_store16(packet + head + 4, 77);
		packet_store16(packet + head + 6, 3);
		rig_send(&rig, &vnet, packet, head + 28);
		assert_int_equal(got.echoes, 1);
		assert_int_equal(got.ident, 77);
		assert_int_equal(got.sequence, 3);
		assert_int_equal(got.echo_bytes, 20);
		assert_true(ip_addr_equal(&got.dst.addr, &target.addr));
		packet[head] = i ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY;
		rig_send(&rig, &vnet, packet, head + 28);
		assert_int_equal(got.echoes, 1);
		assert_int_equal(flow_engine_counters(rig.engine)->dropped_protocol, 1);
		rig_stop(&rig);
	}
}

/* What is not handled is counted. */
static void drops_are_counted(void **state)
{
	struct ip_addr app = rig_endpoint("10.9.0.1", 0).addr;
	struct ip_addr group = rig_endpoint("224.0.0.251", 0).addr;
	struct ip_addr routers = rig_endpoint("ff02::2", 0).addr,
		       own = rig_endpoint("fe80::1", 0).addr;
	struct virtio_net_hdr vnet = {.flags = 0};
	const struct flow_counters *counters;
	struct segment syn = {.src = "10.9.0.1", .dst = "10.244.0.2", .flags = PACKET_SYN};
	uint8_t packet[100] = {0};
	struct rig rig;

	(void)state;
	start(&rig);
	counters = flow_engine_counters(rig.engine);
	rig_send(&rig, &vnet, packet, 28);
	assert_int_equal(counters->dropped_malformed, 1);
	rig_send(&rig, &vnet, packet, 0);
	assert_int_equal(counters->dropped_malformed, 2);
	rig_send(&rig, &vnet, packet, packet_put_ip(packet, &app, &group, IPPROTO_UDP, 8) + 8);
	assert_int_equal(counters->dropped_protocol, 1);
	rig_send(&rig, &vnet, packet, packet_put_ip(packet, &own, &routers, IPPROTO_ICMPV6, 8) + 8);
	assert_int_equal(counters->dropped_protocol, 2);
	rig_send(&rig, &vnet, packet, packet_put_ip(packet, &app, &app, 132, 8) + 8);
	assert_int_equal(counters->dropped_protocol, 3);
	(void)packet_put_ip(packet, &app, &app, IPPROTO_UDP, 8);
	packet[6] = 0x20;
	rig_send(&rig, &vnet, packet, 28);
	assert_int_equal(counters->fragments_in, 1);
	rig_send_segment(&rig, &syn);
	assert_int_equal(rig.opens, 1);
	vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	vnet.csum_start = 20;
	vnet.csum_offset = 6; /* not where TCP has it */
	packet_store16(packet + 20, 4);
	(void)packet_put_ip(packet, &app, &app, IPPROTO_TCP, 20);
	packet[32] = 0x50;
	rig_send(&rig, &vnet, packet, 40);
	assert_int_equal(counters->dropped_malformed, 3);
	assert_int_equal(counters->packets_in, 8);
	rig_stop(&rig);
}

static void full_and_lost_tun(void **state)
{
	struct ip_endpoint app = rig_endpoint("10.9.0.1", 5000),
			   target = rig_endpoint("10.244.0.2", 53);
	static uint8_t data[60000];
	struct rig rig;

	(void)state;
	start(&rig);
	for (unsigned int i = 0; i < 100; i++)
		flow_udp_send(rig.engine, &target, &app, data, sizeof(data));
	assert_true(flow_engine_counters(rig.engine)->dropped_tun_full > 0);
	assert_true(flow_engine_counters(rig.engine)->packets_out > 0);
	assert_int_equal(flow_engine_counters(rig.engine)->udp_out, 100);
	close(rig.tun);
	rig_run(&rig);
	rig_run(&rig);
	assert_int_equal(rig.lost, 1); /* once: nothing spins */
	rig.tun = -1;
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(datagrams_are_delivered),
		cmocka_unit_test(segments_become_datagrams),
		cmocka_unit_test(replies_have_good_checksums),
		cmocka_unit_test(refused_datagrams),
		cmocka_unit_test(failed_datagrams),
		cmocka_unit_test(echo_requests),
		cmocka_unit_test(drops_are_counted),
		cmocka_unit_test(full_and_lost_tun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
