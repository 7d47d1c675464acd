/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams that no laptop takes, and what bounds them. Redirected ones, and the laptop's, are in
 * tests/netns/test_agent_udp.py: here the redirection is a call.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/own_netns.h"
#include "agent/udp.h"
#include "agent/udp_flow.h"
#include "core/err.h"

#define DEADLINE_NS 20000000000ull
#define BIG_BYTES   60000
#define SENDERS     100

struct world {
	uv_loop_t loop;
	struct engine *engine;
	struct udp_port *port;
	struct udp_flows flows;
	struct ip_endpoint app_address, client_address;
	int app, client;
};

static void on_captured(void *user, uint32_t probe_id)
{
	(void)user;
	(void)probe_id;
	fail();
}

static void on_count(void *user, const char *intercept)
{
	(void)user;
	(void)intercept;
}

static int bind_udp(struct ip_endpoint *address, uint16_t port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(ip_endpoint_from_sockaddr((struct sockaddr *)&sa, address), 0);
	return fd;
}

/* An engine that has the app's port, without rules and without a manager. */
static struct world *make(void)
{
	static const struct engine_events events = {
		.on_captured = on_captured, .on_count = on_count};
	static struct world world;
	struct err err = ERR_INIT;

	world = (struct world){.app = -1};
	assert_int_equal(uv_loop_init(&world.loop), 0);
	assert_int_equal(engine_new(&world.loop, &events, NULL, &world.engine, &err), 0);
	world.app = bind_udp(&world.app_address, 0);
	world.client = bind_udp(&world.client_address, 0);
	world.engine->config.ports[0] = (struct engine_port){
		.intercept = "one", .port = world.app_address.port, .protocol = IPPROTO_UDP};
	world.engine->config.port_count = 1;
	assert_int_equal(udp_port_open(world.engine, world.app_address.port, &world.port, &err), 0);
	world.flows = (struct udp_flows){.engine = world.engine, .port = world.port};
	return &world;
}

/* Nothing is left, whatever state the flows were in. */
static void finish(struct world *world)
{
	udp_flow_end_all(&world->flows);
	assert_int_equal(engine_flow_count(world->engine), 0);
	udp_port_close(world->port);
	engine_free(world->engine);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	if (world->app >= 0)
		close(world->app);
	close(world->client);
}

static void receive(struct world *world, const uint8_t *data, size_t len)
{
	udp_flow_receive(&world->flows, &world->client_address, &world->app_address, data, len);
}

static size_t wait_datagram(
	struct world *world, int fd, uint8_t *out, size_t size, struct ip_endpoint *ret_from)
{
	uint64_t end = uv_hrtime() + DEADLINE_NS;
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	ssize_t n;

	while ((n = recvfrom(fd, out, size, 0, (struct sockaddr *)&sa, &len)) < 0) {
		assert_int_equal(errno, EAGAIN);
		assert_true(uv_hrtime() < end);
		uv_run(&world->loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(ip_endpoint_from_sockaddr((struct sockaddr *)&sa, ret_from), 0);
	return (size_t)n;
}

static bool is_empty(int fd)
{
	uint8_t byte;

	return recv(fd, &byte, 1, 0) < 0 && errno == EAGAIN;
}

static void send_to(int fd, const struct ip_endpoint *to, const uint8_t *data, size_t len)
{
	struct sockaddr_storage sa;
	socklen_t sa_len = ip_endpoint_to_sockaddr(to, &sa);

	assert_int_equal(sendto(fd, data, len, 0, (struct sockaddr *)&sa, sa_len), len);
}

static void app_and_back(void **state)
{
	static const size_t sizes[] = {1, 0, 1200, BIG_BYTES};
	static uint8_t sent[BIG_BYTES], got[BIG_BYTES + 1];
	struct world *world = make();
	struct ip_endpoint from = {.port = 0}, first = {.port = 0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(sent, (int)(i + 1), sizes[i]);
		receive(world, sent, sizes[i]);
		assert_int_equal(
			wait_datagram(world, world->app, got, sizeof(got), &from), sizes[i]);
		assert_memory_equal(sent, got, sizes[i]);
		if (i == 0)
			first = from;
		/* One sender is one to the app, too. */
		assert_int_equal(from.port, first.port);
		send_to(world->app, &from, got, sizes[i]);
		assert_int_equal(
			wait_datagram(world, world->client, got, sizeof(got), &from), sizes[i]);
		assert_memory_equal(sent, got, sizes[i]);
		/* The rules make the app's port of it. */
		assert_true(ip_addr_equal(&from.addr, &world->app_address.addr));
		assert_int_equal(from.port, udp_port_listener(world->port));
	}
	assert_int_equal(engine_flow_count(world->engine), 1);
	finish(world);
}

static void senders_are_kept_apart(void **state)
{
	struct world *world = make();
	uint16_t ports[SENDERS];
	struct ip_endpoint from;
	uint8_t number;

	(void)state;
	for (unsigned int i = 0; i < SENDERS; i++) {
		number = (uint8_t)i;
		world->client_address.port = (uint16_t)(20000 + i);
		receive(world, &number, 1);
		assert_int_equal(wait_datagram(world, world->app, &number, 1, &from), 1);
		assert_int_equal(number, i);
		for (unsigned int j = 0; j < i; j++)
			assert_int_not_equal(ports[j], from.port);
		ports[i] = from.port;
	}
	assert_int_equal(engine_flow_count(world->engine), SENDERS);
	finish(world);
}

/* The app's "port unreachable" is silence, and its return is noticed at once. */
static void app_comes_back(void **state)
{
	struct world *world = make();
	struct ip_endpoint from;
	uint8_t byte = 1;

	(void)state;
	close(take_fd(&world->app));
	for (int i = 0; i < 3; i++) {
		receive(world, &byte, 1);
		uv_run(&world->loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(engine_flow_count(world->engine), 1);
	world->app = bind_udp(&from, world->app_address.port);
	byte = 2;
	receive(world, &byte, 1);
	assert_int_equal(wait_datagram(world, world->app, &byte, 1, &from), 1);
	assert_int_equal(byte, 2);
	finish(world);
}

/* Without descriptors a datagram is lost, and no more than that. */
static void no_descriptors(void **state)
{
	struct world *world = make();
	struct rlimit before, none;
	struct ip_endpoint from;
	uint8_t byte = 1;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	receive(world, &byte, 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(engine_flow_count(world->engine), 0);
	assert_true(is_empty(world->app));
	byte = 2;
	receive(world, &byte, 1);
	assert_int_equal(wait_datagram(world, world->app, &byte, 1, &from), 1);
	assert_int_equal(byte, 2);
	finish(world);
}

/* A port that was given back meanwhile, and a datagram that nobody redirected. */
static void strangers_are_dropped(void **state)
{
	struct world *world = make();
	struct ip_endpoint listener = world->app_address;
	uint8_t byte = 1;

	(void)state;
	world->engine->config.port_count = 0;
	receive(world, &byte, 1);
	assert_int_equal(engine_flow_count(world->engine), 0);
	world->engine->config.port_count = 1;
	listener.port = udp_port_listener(world->port);
	send_to(world->client, &listener, &byte, 1);
	uv_run(&world->loop, UV_RUN_ONCE);
	assert_int_equal(engine_flow_count(world->engine), 0);
	assert_true(is_empty(world->app));
	finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(app_and_back),
		cmocka_unit_test(senders_are_kept_apart),
		cmocka_unit_test(app_comes_back),
		cmocka_unit_test(no_descriptors),
		cmocka_unit_test(strangers_are_dropped),
	};

	if (!enter_own_netns())
		return EXIT_FAILURE;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
