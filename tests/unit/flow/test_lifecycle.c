/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

#include "core/limits.h"
#include "flow/engine.h"
#include "pair.h"

static void only_the_flow_is_accepted(void **state)
{
	struct sockaddr_storage sa;
	struct rig rig;
	socklen_t len;
	int stranger, client, type = 0;
	socklen_t size = sizeof(type);

	(void)state;
	rig_start(&rig, (struct flow_events){0});
	open_flow(&rig, &pairs[0], 1000);
	struct ip_endpoint listener = rig_endpoint(LOCAL, packet_dst_port(&rig.view));

	stranger = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	len = ip_endpoint_to_sockaddr(&listener, &sa);
	assert_int_equal(connect(stranger, (struct sockaddr *)&sa, len), 0);
	rig_run(&rig);
	assert_int_equal(rig.established, 0);
	assert_int_equal(recv(stranger, &type, 1, 0), 0); /* closed on it */
	assert_int_equal(flow_engine_counters(rig.engine)->accept_rejected, 1);
	client = accept_flow(&rig);
	assert_int_equal(rig.established, 1);
	/* What keeps a live flow from looking dead (tcp.c, SILENT_MS). */
	assert_int_equal(getsockopt(rig.fd, SOL_SOCKET, SO_KEEPALIVE, &type, &size), 0);
	assert_int_equal(type, 1);
	assert_int_equal(getsockopt(rig.fd, IPPROTO_TCP, TCP_KEEPIDLE, &type, &size), 0);
	assert_in_range(type, 1, 300);
	assert_int_equal(send(client, "x", 1, 0), 1);
	assert_int_equal(recv(rig.fd, &type, 1, MSG_DONTWAIT), 1);
	assert_int_equal(recv(rig.fd, &type, 1, 0), -1); /* non-blocking */
	assert_int_equal(errno, EAGAIN);
	close(stranger);
	close(client);
	rig_stop(&rig);
}

/* Without a descriptor for it the connection is refused, and nothing spins. */
static void out_of_descriptors(void **state)
{
	struct rlimit old, limit;
	struct rig rig;
	char byte;
	int client, next;

	(void)state;
	rig_start(&rig, (struct flow_events){0});
	open_flow(&rig, &pairs[0], 1000);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	client = connect_flow(&rig);
	limit = old;
	next = dup(client); /* the lowest that is free: one more would have to be this */
	assert_int_equal(close(next), 0);
	limit.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	rig_run(&rig);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(rig.established, 0);
	assert_int_equal(flow_engine_counters(rig.engine)->accept_rejected, 1);
	assert_int_equal(recv(client, &byte, 1, MSG_DONTWAIT), 0);
	close(client);
	rig_stop(&rig);
}

static void reset_before_the_socket_cancels(void **state)
{
	struct segment syn = from_app(&pairs[0], PACKET_SYN, 1000);
	struct segment rst = from_app(&pairs[0], PACKET_RST, 1001);
	struct segment ack = from_app(&pairs[0], PACKET_ACK, 1001);
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig, (struct flow_events){0});
	rig_send_segment(&rig, &syn);
	rig_send_segment(&rig, &syn);
	assert_int_equal(flow_engine_counters(rig.engine)->dropped_stray, 0);
	rig_send_segment(&rig, &ack); /* of nothing that could be acknowledged */
	assert_int_equal(flow_engine_counters(rig.engine)->dropped_stray, 1);
	rig_send_segment(&rig, &rst);
	assert_int_equal(rig.cancels, 1);
	flow_tcp_answer(rig.engine, rig.id, FLOW_OPENED); /* too late */
	assert_false(rig_receive(&rig));
	open_flow(&rig, &pairs[0], 2000);
	rst.seq = 2001;
	rig_send_segment(&rig, &rst); /* on to the listener, which forgets the handshake */
	assert_true(rig_receive(&rig));
	rig_assert_segment(&rig, PEER, packet_src_port(&rig.view), LOCAL,
		packet_dst_port(&rig.view), PACKET_RST);
	assert_int_equal(rig.cancels, 2);
	client = accept_flow(&rig);
	assert_int_equal(rig.established, 0);
	assert_int_equal(flow_engine_counters(rig.engine)->accept_rejected, 1);
	close(client);
	rig_stop(&rig);
}

/* The client answers what comes late of the connection before, of the same addresses. */
static void reset_of_the_one_before_is_dropped(void **state)
{
	struct segment syn = from_app(&pairs[0], PACKET_SYN, 1000);
	struct segment rst = from_app(&pairs[0], PACKET_RST, 990), ack;
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig, (struct flow_events){0});
	rig_send_segment(&rig, &syn);
	rig_send_segment(&rig, &rst); /* while it is opened, */
	flow_tcp_answer(rig.engine, rig.id, FLOW_OPENED);
	assert_true(rig_receive(&rig));
	ack = from_listener(&rig, &pairs[0], PACKET_ACK);
	rig_send_segment(&rig, &rst); /* in the handshake, */
	client = accept_flow(&rig);
	assert_int_equal(rig.established, 1);
	rig_send_segment(&rig, &rst); /* and later */
	assert_false(rig_receive(&rig));
	assert_int_equal(rig.cancels, 0);
	assert_int_equal(rig.engine->table.lists[FLOW_STATE_ESTABLISHED].count, 1);
	assert_int_equal(flow_engine_counters(rig.engine)->dropped_stray, 3);
	/* What was acknowledged lies behind the first byte after 2 GiB, too. */
	for (uint32_t next = 0x60001001; next != 0x20001001; next += 0x60000000) {
		ack.ack = next;
		rig_send_segment(&rig, &ack);
		assert_true(rig_receive(&rig));
	}
	rst.seq = ack.ack;
	rig_send_segment(&rig, &rst);
	assert_true(rig_receive(&rig));
	assert_int_equal(rig.engine->table.lists[FLOW_STATE_LINGER].count, 1);
	close(client);
	rig_stop(&rig);
}

/* A client that gave up and tries again from the same port is a new flow. */
static void new_sequence_is_a_new_flow(void **state)
{
	struct segment syn = from_app(&pairs[0], PACKET_SYN, 1000);
	struct rig rig;
	flow_id_t first;

	(void)state;
	rig_start(&rig, (struct flow_events){0});
	rig_send_segment(&rig, &syn);
	first = rig.id;
	syn.seq = 5000;
	rig_send_segment(&rig, &syn);
	assert_int_equal(rig.cancels, 1);
	assert_int_equal(rig.opens, 2);
	assert_true(rig.id != first);
	flow_tcp_answer(rig.engine, first, FLOW_REFUSED); /* stale: nothing happens */
	assert_false(rig_receive(&rig));
	flow_tcp_answer(rig.engine, rig.id, FLOW_OPENED);
	assert_true(rig_receive(&rig));
	assert_int_equal(packet_tcp_seq(&rig.view), 5000);
	rig_stop(&rig);
}

/* When our listener's side closed first its socket is in TIME_WAIT: a RST in sequence ends it
 * before the addresses are used again. When the application closed first there is nothing to end.
 */
static void time_wait_is_ended(void **state)
{
	struct rig rig;

	(void)state;
	for (unsigned int listener_first = 0; listener_first < 2; listener_first++) {
		struct segment fin = from_app(&pairs[0], PACKET_FIN | PACKET_ACK, 1001), other;
		uint16_t nat;
		int client;

		rig_start(&rig, (struct flow_events){0});
		open_flow(&rig, &pairs[0], 1000);
		nat = packet_src_port(&rig.view);
		other = from_listener(&rig, &pairs[0], PACKET_FIN | PACKET_ACK);
		client = accept_flow(&rig);
		fin.data = 10;
		rig_send_segment(&rig, listener_first ? &other : &fin);
		assert_true(rig_receive(&rig));
		rig_send_segment(&rig, listener_first ? &fin : &other);
		assert_true(rig_receive(&rig));
		fin.flags = PACKET_SYN;
		fin.seq = 9000;
		rig_send_segment(&rig, &fin);
		assert_int_equal(rig.opens, 2);
		assert_int_equal(rig.cancels, 0);
		assert_int_equal(rig_receive(&rig), listener_first);
		if (listener_first) {
			rig_assert_segment(&rig, PEER, nat, LOCAL, other.src_port, PACKET_RST);
			assert_int_equal(packet_tcp_seq(&rig.view), 1001 + 10 + 1);
		}
		close(client);
		rig_stop(&rig);
	}
}

/* Each state ends by itself: at its time, not before. It began between two looks at the clock. */
static void states_expire(void **state)
{
	struct segment syn = from_app(&pairs[0], PACKET_SYN, 1000);
	struct segment ack = from_app(&pairs[0], PACKET_ACK, 1001);
	struct rig rig;
	uint64_t before, now;
	int client;

	(void)state;
	rig_start(&rig, (struct flow_events){0});
	for (unsigned int opened = 0; opened < 2; opened++) {
		before = uv_now(&rig.loop);
		rig_send_segment(&rig, &syn);
		if (opened)
			flow_tcp_answer(rig.engine, rig.id, FLOW_OPENED);
		now = uv_now(&rig.loop);
		flow_tcp_expire(rig.engine, before + LIMIT_FLOW_OPEN_MS - 1);
		assert_int_equal(rig.cancels, opened);
		flow_tcp_expire(rig.engine, now + LIMIT_FLOW_OPEN_MS);
		assert_int_equal(rig.cancels, opened + 1);
		assert_int_equal(flow_table_count(&rig.engine->table), 0);
	}
	assert_true(rig_receive(&rig));
	before = uv_now(&rig.loop);
	open_flow(&rig, &pairs[0], 1000);
	client = accept_flow(&rig);
	now = uv_now(&rig.loop);
	flow_tcp_expire(rig.engine, before + 899000);
	rig_send_segment(&rig, &ack);
	assert_true(rig_receive(&rig));
	assert_int_equal(packet_tcp_flags(&rig.view), PACKET_ACK);
	flow_tcp_expire(rig.engine, now + 900000);
	assert_int_equal(flow_table_count(&rig.engine->table), 0);
	rig_send_segment(&rig, &ack); /* as the kernel answers for a socket that is gone */
	assert_true(rig_receive(&rig));
	assert_int_equal(packet_tcp_flags(&rig.view), PACKET_RST);
	assert_int_equal(rig.cancels, 2);
	close(client);
	rig_stop(&rig);
}

static void lingering_ends(void **state)
{
	struct segment rst = from_app(&pairs[0], PACKET_RST, 1001);
	struct rig rig;
	uint64_t before, now;
	int client;

	(void)state;
	rig_start(&rig, (struct flow_events){0});
	open_flow(&rig, &pairs[0], 1000);
	client = accept_flow(&rig);
	before = uv_now(&rig.loop);
	rig_send_segment(&rig, &rst);
	now = uv_now(&rig.loop);
	flow_tcp_expire(rig.engine, before + 1999);
	assert_int_equal(flow_table_count(&rig.engine->table), 1);
	flow_tcp_expire(rig.engine, now + 2000);
	assert_int_equal(flow_table_count(&rig.engine->table), 0);
	close(client);
	rig_stop(&rig);
}

static void strangers_get_a_reset(void **state)
{
	struct segment ack = from_app(&pairs[0], PACKET_ACK, 1), answer;
	struct segment to_peer = from_app(&pairs[0], PACKET_SYN, 1);
	struct rig rig;

	(void)state;
	rig_start(&rig, (struct flow_events){0});
	ack.ack = 77;
	rig_send_segment(&rig, &ack);
	assert_true(rig_receive(&rig));
	rig_assert_segment(&rig, TARGET, 80, APP, 40000, PACKET_RST);
	assert_int_equal(packet_tcp_seq(&rig.view), 77);
	ack.flags = PACKET_RST;
	rig_send_segment(&rig, &ack);
	assert_false(rig_receive(&rig)); /* never a RST for a RST */
	to_peer.dst = PEER;
	rig_send_segment(&rig, &to_peer); /* nobody but the listener speaks with the peer */
	assert_int_equal(rig.opens, 0);
	assert_true(rig_receive(&rig));
	assert_int_equal(packet_tcp_flags(&rig.view), PACKET_RST | PACKET_ACK);
	open_flow(&rig, &pairs[0], 1000);
	answer = from_listener(&rig, &pairs[0], PACKET_ACK);
	answer.dst_port++; /* a NAT port of no flow */
	rig_send_segment(&rig, &answer);
	assert_true(rig_receive(&rig));
	rig_assert_segment(&rig, PEER, answer.dst_port, LOCAL, answer.src_port, PACKET_RST);
	assert_int_equal(flow_engine_counters(rig.engine)->dropped_stray, 4);
	rig_stop(&rig);
}

static void callbacks_may_answer_and_free(void **state)
{
	struct segment syn = from_app(&pairs[0], PACKET_SYN, 1000);
	struct rig rig;

	(void)state;
	rig_start(&rig, (struct flow_events){0});
	rig.answer_in_callback = true;
	rig_send_segment(&rig, &syn);
	assert_true(rig_receive(&rig));
	assert_int_equal(packet_tcp_flags(&rig.view), PACKET_SYN);
	syn.seq =
		2000; /* replaces a flow in its handshake: cancelled, and the engine freed there */
	rig.free_in_callback = true;
	rig_send_segment(&rig, &syn);
	assert_int_equal(rig.cancels, 1);
	assert_int_equal(rig.opens, 1);
	rig_stop(&rig);
	rig_start(&rig, (struct flow_events){0});
	rig.answer_in_callback = rig.free_in_callback = true;
	rig_send_segment(&rig, &syn);
	assert_int_equal(rig.opens, 1);
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_flow_is_accepted),
		cmocka_unit_test(out_of_descriptors),
		cmocka_unit_test(reset_before_the_socket_cancels),
		cmocka_unit_test(reset_of_the_one_before_is_dropped),
		cmocka_unit_test(new_sequence_is_a_new_flow),
		cmocka_unit_test(time_wait_is_ended),
		cmocka_unit_test(states_expire),
		cmocka_unit_test(lingering_ends),
		cmocka_unit_test(strangers_get_a_reset),
		cmocka_unit_test(callbacks_may_answer_and_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
