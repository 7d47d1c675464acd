/* SPDX-License-Identifier: Apache-2.0 */
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include "pair.h"

static void syn_is_held_until_the_answer(void **state)
{
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct segment syn = from_app(&pairs[i], PACKET_SYN, 1000);
		struct ip_endpoint src = rig_endpoint(pairs[i].app, 40000);

		rig_start(&rig, (struct flow_events){0});
		syn.data = 100; /* Fast Open: the data is not held */
		rig_send_segment(&rig, &syn);
		rig_send_segment(&rig, &syn);
		assert_int_equal(rig.opens, 1);
		assert_true(ip_addr_equal(&rig.src.addr, &src.addr));
		assert_int_equal(rig.src.port, 40000);
		assert_int_equal(rig.dst.port, 80);
		assert_false(rig_receive(&rig));
		flow_tcp_answer(rig.engine, rig.id, FLOW_OPENED);
		flow_tcp_answer(rig.engine, rig.id, FLOW_REFUSED); /* once only */
		assert_true(rig_receive(&rig));
		rig_assert_segment(&rig, pairs[i].peer, packet_src_port(&rig.view), pairs[i].local,
			packet_dst_port(&rig.view), PACKET_SYN);
		assert_int_equal(packet_tcp_seq(&rig.view), 1000);
		assert_int_equal(rig.view.len, rig.view.payload);
		assert_false(rig_receive(&rig));
		rig_stop(&rig);
	}
}

static void segments_are_rewritten_both_ways(void **state)
{
	static const struct {
		bool complete;
		uint16_t gso_size;
		size_t data;
	} kinds[] = {{false, 0, 100}, {true, 0, 101}, {true, 0, 0}, {false, 1448, 65000}};
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs) * ARRAY_SIZE(kinds); i++) {
		const struct pair *pair = &pairs[i % 2];
		struct segment out = from_app(pair, PACKET_ACK, 1001), in;
		uint16_t nat, listener;

		rig_start(&rig, (struct flow_events){0});
		open_flow(&rig, pair, 1000);
		nat = packet_src_port(&rig.view);
		listener = packet_dst_port(&rig.view);
		in = from_listener(&rig, pair, PACKET_SYN | PACKET_ACK);
		in.complete = out.complete = kinds[i / 2].complete;
		in.gso_size = out.gso_size = kinds[i / 2].gso_size;
		in.data = out.data = kinds[i / 2].data;
		rig_send_segment(&rig, &in);
		assert_true(rig_receive(&rig));
		rig_assert_segment(&rig, pair->target, 80, pair->app, 40000, in.flags);
		assert_int_equal(rig.view.len - rig.view.payload, in.data);
		rig_send_segment(&rig, &out);
		assert_true(rig_receive(&rig));
		rig_assert_segment(&rig, pair->peer, nat, pair->local, listener, PACKET_ACK);
		assert_int_equal(rig.vnet.gso_size, kinds[i / 2].gso_size);
		assert_int_equal(rig.vnet.flags != 0, !kinds[i / 2].complete);
		rig_stop(&rig);
	}
}

static void failures_are_told_as_a_router_would(void **state)
{
	static const struct {
		enum flow_verdict verdict;
		uint8_t code4, code6;
	} cases[] = {
		{FLOW_HOST_UNREACHABLE, ICMP_HOST_UNREACH, ICMP6_DST_UNREACH_ADDR},
		{FLOW_NET_UNREACHABLE, ICMP_NET_UNREACH, ICMP6_DST_UNREACH_NOROUTE},
		{FLOW_PROHIBITED, ICMP_PKT_FILTERED, ICMP6_DST_UNREACH_ADMIN},
	};
	struct rig rig;

	(void)state;
	rig_start(&rig, (struct flow_events){0});
	for (size_t i = 0; i < ARRAY_SIZE(cases) * 2; i++) {
		const struct pair *pair = &pairs[i % 2];
		struct segment syn = from_app(pair, PACKET_SYN, 7);
		const uint8_t *icmp;
		struct packet_view quoted;

		rig_send_segment(&rig, &syn);
		flow_tcp_answer(rig.engine, rig.id, cases[i / 2].verdict);
		assert_true(rig_receive(&rig));
		rig_assert_checksums(&rig);
		icmp = rig.view.ip + rig.view.transport;
		assert_int_equal(icmp[0], i % 2 ? ICMP6_DST_UNREACH : ICMP_DEST_UNREACH);
		assert_int_equal(icmp[1], i % 2 ? cases[i / 2].code6 : cases[i / 2].code4);
		assert_int_equal(packet_parse(rig.view.ip + rig.view.payload,
					 rig.view.len - rig.view.payload, &quoted),
			PACKET_OK);
		assert_int_equal(packet_tcp_seq(&quoted), 7);
		assert_int_equal(packet_src_port(&quoted), 40000);
		assert_int_equal(packet_dst_port(&quoted), 80);
	}
	assert_int_equal(flow_engine_counters(rig.engine)->tcp_failed, ARRAY_SIZE(cases) * 2);
	rig_stop(&rig);
}

static void refusal_is_a_reset_and_silence_is_silent(void **state)
{
	struct rig rig;

	(void)state;
	rig_start(&rig, (struct flow_events){0});
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct segment syn = from_app(&pairs[i], PACKET_SYN, 0xffffffffU);

		rig_send_segment(&rig, &syn);
		flow_tcp_answer(rig.engine, rig.id, FLOW_SILENT);
		assert_false(rig_receive(&rig));
		rig_send_segment(&rig, &syn); /* the client's next try asks again */
		assert_int_equal(rig.opens, 2 * i + 2);
		flow_tcp_answer(rig.engine, rig.id, FLOW_REFUSED);
		assert_true(rig_receive(&rig));
		rig_assert_segment(
			&rig, pairs[i].target, 80, pairs[i].app, 40000, PACKET_RST | PACKET_ACK);
		assert_int_equal(packet_tcp_ack(&rig.view), 0);
	}
	assert_int_equal(flow_engine_counters(rig.engine)->tcp_refused, 2);
	rig_stop(&rig);
}

static void icmp_errors_are_bounded(void **state)
{
	struct segment syn = from_app(&pairs[0], PACKET_SYN, 7);
	unsigned int sent = 0;
	struct rig rig;

	(void)state;
	rig_start(&rig, (struct flow_events){0});
	for (unsigned int i = 0; i < 2000; i++) {
		rig_send_segment(&rig, &syn);
		flow_tcp_answer(rig.engine, rig.id, FLOW_HOST_UNREACHABLE);
		sent += rig_receive(&rig);
	}
	assert_true(sent >= 50);
	assert_int_equal(flow_engine_counters(rig.engine)->icmp_limited, 2000 - sent);
	assert_true(sent < 2000);
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(syn_is_held_until_the_answer),
		cmocka_unit_test(segments_are_rewritten_both_ways),
		cmocka_unit_test(failures_are_told_as_a_router_would),
		cmocka_unit_test(refusal_is_a_reset_and_silence_is_silent),
		cmocka_unit_test(icmp_errors_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
