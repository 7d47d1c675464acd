/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>
#include <uv.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"
#include "dns/forward.h"

/* A query for "a." type A, id 0x1234, RD. */
static const uint8_t query[] = {0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1};

/* A nameserver on the loopback, its behaviour a script of the test. */
struct world {
	uv_loop_t loop;
	uv_poll_t udp_poll, tcp_poll;
	int udp, tcp;
	struct ip_endpoint endpoint;
	enum { ANSWER, LIE_FIRST, TRUNCATE, CLOSE_STREAM } manner;
	unsigned int datagrams, streams;
	uint16_t seen_ids[8], seen_ports[8];
	struct dns_forwarder *forwarder;
	unsigned int done;
	int result;
	uint8_t answer[512];
	size_t answer_len;
};

static void send_answer(const struct world *world, const uint8_t *msg, size_t len,
	const struct sockaddr_storage *to, socklen_t to_len, int fd)
{
	(void)world;
	assert_int_equal(sendto(fd, msg, len, 0, (const struct sockaddr *)to, to_len), len);
}

/* What an attacker may try: another id, another question, no answer at all, another address. */
static void send_lies(const struct world *world, const uint8_t *answer, size_t len,
	const struct sockaddr_storage *to, socklen_t to_len)
{
	uint8_t lie[512];
	int other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(lie, answer, len);
	lie[3] = 3;
	lie[0] ^= 1;
	send_answer(world, lie, len, to, to_len, world->udp);
	lie[0] ^= 1;
	lie[13] = 'b';
	send_answer(world, lie, len, to, to_len, world->udp);
	lie[13] = 'a';
	send_answer(world, lie, 11, to, to_len, world->udp);
	send_answer(world, lie, len, to, to_len, other);
	lie[2] &= 0x7f;
	send_answer(world, lie, len, to, to_len, world->udp);
	close(other);
}

static void on_datagram(uv_poll_t *poll, int status, int events)
{
	struct world *world = poll->data;
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	uint8_t msg[512];
	struct ip_endpoint ep;
	ssize_t len;

	assert_int_equal(status, 0);
	assert_true(events & UV_READABLE);
	len = recvfrom(world->udp, msg, sizeof(msg), 0, (struct sockaddr *)&from, &from_len);
	assert_int_equal(len, sizeof(query));
	assert_memory_equal(msg + 2, query + 2, sizeof(query) - 2);
	assert_int_equal(ip_endpoint_from_sockaddr((struct sockaddr *)&from, &ep), 0);
	world->seen_ports[world->datagrams % 8] = ep.port;
	world->seen_ids[world->datagrams++ % 8] = (uint16_t)(msg[0] << 8 | msg[1]);
	msg[2] |= 0x80;
	if (world->manner == LIE_FIRST)
		send_lies(world, msg, (size_t)len, &from, from_len);
	if (world->manner == TRUNCATE || world->manner == CLOSE_STREAM)
		msg[2] |= 2;
	send_answer(world, msg, (size_t)len, &from, from_len, world->udp);
}

/* TCP_DEFER_ACCEPT: the query, small as it is, has come when this is called. */
static void on_stream(uv_poll_t *poll, int status, int events)
{
	struct world *world = poll->data;
	uint8_t msg[2 + sizeof(query)];
	int fd = accept4(world->tcp, NULL, NULL, SOCK_CLOEXEC);

	assert_int_equal(status, 0);
	assert_true(events & UV_READABLE);
	assert_true(fd >= 0);
	world->streams++;
	if (world->manner != CLOSE_STREAM) {
		assert_int_equal(recv(fd, msg, sizeof(msg), MSG_WAITALL), sizeof(msg));
		assert_int_equal(msg[1], sizeof(query));
		msg[4] |= 0x80;
		/* In two pieces: the prefix may come alone. */
		assert_int_equal(send(fd, msg, 1, 0), 1);
		assert_int_equal(send(fd, msg + 1, sizeof(msg) - 1, 0), sizeof(msg) - 1);
	}
	close(fd);
}

static void on_done(void *user, int r, const uint8_t *msg, size_t len)
{
	struct world *world = user;

	world->done++;
	world->result = r;
	world->answer_len = len;
	if (r == 0)
		memcpy(world->answer, msg, len);
}

static int bound(int type, uint16_t *port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
		.sin_port = htons(*port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
		close(fd);
		return -1;
	}
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	*port = ntohs(addr.sin_port);
	return fd;
}

static int set_up(void **state)
{
	struct world *world = XNEW(struct world);
	struct dns_forwarder_config config = {.servers = &world->endpoint, .server_count = 1};

	(void)uv_loop_init(&world->loop);
	assert_int_equal(ip_addr_parse("127.0.0.1", &world->endpoint.addr), 0);
	/* Some other program may have the TCP port of this number. */
	do {
		world->endpoint.port = 0;
		world->udp = bound(SOCK_DGRAM, &world->endpoint.port);
		world->tcp = bound(SOCK_STREAM, &world->endpoint.port);
	} while (world->tcp < 0 && close(world->udp) == 0);
	assert_int_equal(
		setsockopt(world->tcp, IPPROTO_TCP, TCP_DEFER_ACCEPT, &(int){1}, sizeof(int)), 0);
	assert_int_equal(listen(world->tcp, 8), 0);
	(void)uv_poll_init(&world->loop, &world->udp_poll, world->udp);
	(void)uv_poll_init(&world->loop, &world->tcp_poll, world->tcp);
	world->udp_poll.data = world->tcp_poll.data = world;
	(void)uv_poll_start(&world->udp_poll, UV_READABLE, on_datagram);
	(void)uv_poll_start(&world->tcp_poll, UV_READABLE, on_stream);
	uv_unref((uv_handle_t *)&world->udp_poll);
	uv_unref((uv_handle_t *)&world->tcp_poll);
	assert_int_equal(dns_forwarder_new(&world->loop, &config, &world->forwarder, NULL), 0);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	dns_forwarder_free(world->forwarder);
	uv_close((uv_handle_t *)&world->udp_poll, NULL);
	uv_close((uv_handle_t *)&world->tcp_poll, NULL);
	(void)uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	close(world->udp);
	close(world->tcp);
	free(world);
	return 0;
}

/* One query, until it is done. */
static void ask(struct world *world, bool tcp)
{
	unsigned int done = world->done;

	assert_int_equal(
		dns_forward(world->forwarder, query, sizeof(query), tcp, on_done, world, NULL), 0);
	assert_int_equal(world->done, done);
	(void)uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(world->done, done + 1);
}

static void assert_answer(const struct world *world)
{
	assert_int_equal(world->result, 0);
	assert_int_equal(world->answer_len, sizeof(query));
	assert_memory_equal(world->answer, query, 2);
	assert_int_equal(world->answer[2], 0x81);
	assert_int_equal(world->answer[3], 0);
}

static void answers_with_the_own_id(void **state)
{
	struct world *world = *state;
	bool ids_differ = false, ports_differ = false;

	for (unsigned int i = 0; i < 8; i++) {
		ask(world, false);
		assert_answer(world);
		ids_differ = ids_differ || world->seen_ids[i] != world->seen_ids[0];
		ports_differ = ports_differ || world->seen_ports[i] != world->seen_ports[0];
	}
	assert_true(ids_differ);
	assert_true(ports_differ);
}

static void believes_no_lies(void **state)
{
	struct world *world = *state;

	world->manner = LIE_FIRST;
	ask(world, false);
	assert_answer(world);
}

static void repeats_by_tcp_what_was_cut(void **state)
{
	struct world *world = *state;

	world->manner = TRUNCATE;
	ask(world, false);
	assert_answer(world);
	assert_int_equal(world->streams, 1);
	ask(world, true);
	assert_answer(world);
	assert_int_equal(world->streams, 2);
	assert_int_equal(world->datagrams, 1);
}

static void hands_on_what_was_cut(void **state)
{
	struct world *world = *state;
	struct dns_forwarder_config config = {
		.servers = &world->endpoint, .server_count = 1, .pass_truncated = true};

	dns_forwarder_free(world->forwarder);
	assert_int_equal(dns_forwarder_new(&world->loop, &config, &world->forwarder, NULL), 0);
	world->manner = TRUNCATE;
	ask(world, false);
	assert_int_equal(world->result, 0);
	assert_int_equal(world->answer[2], 0x83);
	assert_int_equal(world->streams, 0);
}

static void reports_a_closed_stream(void **state)
{
	struct world *world = *state;

	world->manner = CLOSE_STREAM;
	ask(world, false);
	assert_int_equal(world->result, -ECONNRESET);
}

/* The first server has no program at its port; the next one answers at once. */
static void goes_on_after_a_refusal(void **state)
{
	struct world *world = *state;
	struct ip_endpoint servers[2] = {world->endpoint, world->endpoint};
	struct dns_forwarder_config config = {.servers = servers, .server_count = 2};
	uint64_t started;

	servers[0].port = 0;
	close(bound(SOCK_DGRAM, &servers[0].port));
	dns_forwarder_free(world->forwarder);
	assert_int_equal(dns_forwarder_new(&world->loop, &config, &world->forwarder, NULL), 0);
	started = uv_hrtime();
	ask(world, false);
	assert_answer(world);
	config.server_count = 1;
	dns_forwarder_free(world->forwarder);
	assert_int_equal(dns_forwarder_new(&world->loop, &config, &world->forwarder, NULL), 0);
	ask(world, false);
	assert_int_equal(world->result, -ECONNREFUSED);
	ask(world, true);
	assert_int_equal(world->result, -ECONNREFUSED);
	assert_true(uv_hrtime() - started < 1000000000);
}

static void bounds_and_cancels(void **state)
{
	struct world *world = *state;
	struct dns_forward *forward = NULL;

	assert_int_equal(
		dns_forward(world->forwarder, query, 11, false, on_done, world, NULL), -EBADMSG);
	for (unsigned int i = 0; i < 16; i++) {
		assert_int_equal(dns_forward(world->forwarder, query, sizeof(query), i % 2, on_done,
					 world, &forward),
			0);
		if (i % 4 == 0)
			dns_forward_cancel(forward);
	}
	dns_forwarder_free(world->forwarder);
	world->forwarder = NULL;
	(void)uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(world->done, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers_with_the_own_id, set_up, tear_down),
		cmocka_unit_test_setup_teardown(believes_no_lies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(repeats_by_tcp_what_was_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(hands_on_what_was_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reports_a_closed_stream, set_up, tear_down),
		cmocka_unit_test_setup_teardown(goes_on_after_a_refusal, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bounds_and_cancels, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
