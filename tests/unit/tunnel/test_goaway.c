/* SPDX-License-Identifier: Apache-2.0 */
/* A manager that ends: what is open goes on, nothing new comes, and both ends close with the last
 * stream. */
#include "tunnel/fixture_client.h"
#include "tunnel/fixture_stream.h"

#include <unistd.h>

#define BULK_BYTES (2 * 1024 * 1024)

static int lost;

static void on_lost(void *user, const struct err *err)
{
	(void)user;
	lost++;
	assert_non_null(strstr(err->msg, "shutting down"));
}

/* Someone who goes on with another tunnel. */
static void follow(struct fixture *fixture)
{
	static const struct tunnel_client_events events = {
		.on_stream = fixture_on_reversed,
		.on_lost = on_lost,
		.on_closed = fixture_on_closed,
	};

	lost = 0;
	tunnel_client_set_events(fixture->client, &events, fixture);
}

static void assert_nobody_listens(uint16_t port)
{
	const struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(fd);
}

static void test_what_is_open_goes_on(void **state)
{
	struct fixture *fixture = fixture_new();
	struct end near = {.to_send = BULK_BYTES, .hold = true}, far = {.to_send = BULK_BYTES};
	const struct h2_head head = {.method = "CONNECT", .authority = "10.0.0.1:80"};
	uint16_t port = tunnel_server_port(fixture->server);
	struct end late = {.to_send = 1};
	struct h2_session *h2;

	(void)state;
	fixture->on_stream = serve_end;
	fixture->extra = &far;
	h2 = fixture_ready(fixture);
	follow(fixture);
	open_stream(h2, &near);
	run_until(fixture, &near.heads, 1);
	assert_int_equal(tunnel_server_leave(fixture->server), 1);
	run_until(fixture, &lost, 1);
	assert_nobody_listens(port);
	assert_int_equal(h2_request(h2, &head, &end_events, &late, &late.stream), -EAGAIN);
	near.hold = false;
	h2_stream_resume(near.stream);
	run_until(fixture, &near.closed, 1);
	run_until(fixture, &far.closed, 1);
	assert_int_equal(near.code, 0);
	assert_int_equal(near.received, BULK_BYTES);
	assert_int_equal(far.received, BULK_BYTES);
	run_until(fixture, &fixture->closed, 1);
	tunnel_client_free(TAKE_PTR(fixture->client));
	run_until(fixture, &fixture->peers_gone, 1);
	assert_int_equal(tunnel_server_leave(fixture->server), 0);
	assert_int_equal(lost, 1);
	fixture_free(fixture);
}

static void test_nothing_open_ends_at_once(void **state)
{
	struct fixture *fixture = fixture_new();

	(void)state;
	(void)fixture_ready(fixture);
	follow(fixture);
	assert_int_equal(tunnel_server_leave(fixture->server), 1);
	run_until(fixture, &fixture->closed, 1);
	tunnel_client_free(TAKE_PTR(fixture->client));
	run_until(fixture, &fixture->peers_gone, 1);
	assert_int_equal(lost, 1);
	fixture_free(fixture);
}

static void test_who_does_not_follow_is_closed(void **state)
{
	struct fixture *fixture = fixture_new();

	(void)state;
	(void)fixture_ready(fixture);
	(void)tunnel_server_leave(fixture->server);
	run_until(fixture, &fixture->closed, 1);
	assert_non_null(strstr(fixture->closed_err.msg, "shutting down"));
	fixture_free(fixture);
}

/* There the manager is the client of HTTP/2. */
static void test_reversed(void **state)
{
	struct fixture *fixture = fixture_new();
	struct end near = {.to_send = BULK_BYTES, .hold = true}, far = {.to_send = BULK_BYTES};

	(void)state;
	fixture->on_reversed = serve_end;
	fixture->extra = &far;
	fixture_start_client(fixture, SESSION_UID, fixture->key);
	run_until(fixture, &fixture->peers, 1);
	run_until(fixture, &fixture->ready, 1);
	follow(fixture);
	open_stream(tunnel_peer_h2(fixture->peer), &near);
	run_until(fixture, &near.heads, 1);
	assert_int_equal(tunnel_server_leave(fixture->server), 1);
	run_until(fixture, &lost, 1);
	assert_int_equal(tunnel_server_leave(fixture->server), 1);
	near.hold = false;
	h2_stream_resume(near.stream);
	run_until(fixture, &near.closed, 1);
	run_until(fixture, &far.closed, 1);
	assert_int_equal(near.received, BULK_BYTES);
	assert_int_equal(far.received, BULK_BYTES);
	run_until(fixture, &fixture->peers_gone, 1);
	run_until(fixture, &fixture->closed, 1);
	assert_int_equal(tunnel_server_leave(fixture->server), 0);
	fixture_free(fixture);
}

/* A bare socket that has proven nothing does not keep it. */
static void test_handshakes_end(void **state)
{
	struct fixture *fixture = fixture_new();
	int fd = fixture_connect(fixture);
	char byte;

	(void)state;
	for (int i = 0; i < 5; i++)
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
	assert_int_equal(tunnel_server_leave(fixture->server), 0);
	for (int i = 0; i < 5; i++)
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	close(fd);
	fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_open_goes_on),
		cmocka_unit_test(test_nothing_open_ends_at_once),
		cmocka_unit_test(test_who_does_not_follow_is_closed),
		cmocka_unit_test(test_reversed),
		cmocka_unit_test(test_handshakes_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
