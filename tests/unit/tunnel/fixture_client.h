/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/tunnel/fixture_client.h - clients of the fixture's server: bare sockets and whole tunnels
 */
#ifndef UNIT_TUNNEL_FIXTURE_CLIENT_H
#define UNIT_TUNNEL_FIXTURE_CLIENT_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "fixture.h"
#include "tunnel/carrier.h"
#include "tunnel/socket_carrier.h"

static void fixture_on_ready(void *user)
{
	((struct fixture *)user)->ready = 1;
}

static void fixture_on_reversed(void *user, struct h2_stream *stream, const struct h2_head *head)
{
	struct fixture *fixture = user;

	fixture->streams++;
	fixture->on_reversed(fixture, stream, head);
}

static void fixture_on_closed(void *user, const struct err *err)
{
	struct fixture *fixture = user;

	fixture->closed = 1;
	fixture->closed_err = *err;
}

static void fixture_tick(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

/* Runs the loop until *value >= least; fails the test after DEADLINE_MS. */
static inline void run_until(struct fixture *fixture, const int *value, int least)
{
	uv_timer_t timer;
	bool expired = false;

	uv_timer_init(&fixture->loop, &timer);
	timer.data = &expired;
	uv_update_time(&fixture->loop);
	uv_timer_start(&timer, fixture_tick, DEADLINE_MS, 0);
	while (*value < least && !expired)
		uv_run(&fixture->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	/* The handle on this stack is gone after the turn in which it closes. */
	uv_run(&fixture->loop, UV_RUN_NOWAIT);
	assert_false(expired);
}

/* A connected, blocking socket to the server. */
/* From 127.0.0.HOST. */
static inline int fixture_connect_from(const struct fixture *fixture, uint8_t host)
{
	const struct sockaddr_in from = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl((INADDR_LOOPBACK & ~0xffU) | host)};
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(tunnel_server_port(fixture->server)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), size = 16 * 1024;

	assert_true(fd >= 0);
	/* Less than a record, so that carriers meet a full socket. */
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static inline int fixture_connect(const struct fixture *fixture)
{
	return fixture_connect_from(fixture, 1);
}

static inline struct carrier *fixture_carrier(struct fixture *fixture)
{
	int fd = fixture_connect(fixture);

	assert_int_equal(send(fd, TUNNEL_PREAMBLE, strlen(TUNNEL_PREAMBLE), 0),
		(ssize_t)strlen(TUNNEL_PREAMBLE));
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return socket_carrier_new(&fixture->loop, fd, SOCKET_RAW);
}

static inline void fixture_start_client(
	struct fixture *fixture, const char *session_uid, const struct session_key *key)
{
	static const struct tunnel_client_events events = {
		.on_ready = fixture_on_ready,
		.on_stream = fixture_on_reversed,
		.on_closed = fixture_on_closed,
	};
	const struct tunnel_client_config config = {
		.session_uid = session_uid, .key = key, .reverse = fixture->on_reversed != NULL};

	fixture->client = tunnel_client_new(
		&fixture->loop, fixture_carrier(fixture), &config, &events, fixture);
}

/* Client and server with an HTTP/2 connection between them. */
static inline struct h2_session *fixture_ready(struct fixture *fixture)
{
	fixture_start_client(fixture, SESSION_UID, fixture->key);
	run_until(fixture, &fixture->ready, 1);
	assert_non_null(tunnel_client_h2(fixture->client));
	return tunnel_client_h2(fixture->client);
}

#endif /* UNIT_TUNNEL_FIXTURE_CLIENT_H */
