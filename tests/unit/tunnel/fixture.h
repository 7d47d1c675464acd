/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/tunnel/fixture.h - a loop, a server with one Session, and clients of it, in one process
 */
#ifndef UNIT_TUNNEL_FIXTURE_H
#define UNIT_TUNNEL_FIXTURE_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include <cmocka.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"
#include "tunnel/carrier.h"
#include "tunnel/client.h"
#include "tunnel/h2.h"
#include "tunnel/key.h"
#include "tunnel/server.h"
#include "tunnel/socket_carrier.h"

#define DEADLINE_MS 5000
#define SESSION_UID "11111111-2222-3333-4444-555555555555"

struct fixture {
	uv_loop_t loop;
	struct tunnel_server *server;
	struct session_key *key, *other_key;
	struct tunnel_peer *peer; /* the proven one, if any */
	int peers, peers_gone, streams;
	int lookups_until_known; /* -ENOENT so often first */
	void (*on_stream)(
		struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head);
	struct tunnel_client *client;
	int ready, closed;
	struct err closed_err;
	void *extra;
};

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

static int fixture_lookup(
	void *user, const char *session_uid, uint8_t ret_public[static SESSION_KEY_BYTES])
{
	struct fixture *fixture = user;

	if (strcmp(session_uid, SESSION_UID) != 0 || fixture->lookups_until_known-- > 0)
		return -ENOENT;
	session_key_public(fixture->key, ret_public);
	return 0;
}

static void fixture_on_peer(void *user, struct tunnel_peer *peer)
{
	struct fixture *fixture = user;

	fixture->peer = peer;
	fixture->peers++;
}

static void fixture_on_peer_gone(void *user, struct tunnel_peer *peer)
{
	struct fixture *fixture = user;

	if (fixture->peer == peer)
		fixture->peer = NULL;
	fixture->peers_gone++;
}

static void fixture_on_stream(
	void *user, struct tunnel_peer *peer, struct h2_stream *stream, const struct h2_head *head)
{
	struct fixture *fixture = user;

	(void)peer;
	fixture->streams++;
	if (fixture->on_stream)
		fixture->on_stream(fixture, stream, head);
	else
		h2_respond(stream, 404, NULL, 0, false);
}

static int fixture_on_http(void *user, const char *path)
{
	(void)user;
	return strcmp(path, "/healthz") == 0 ? 200 : 404;
}

static void fixture_on_ready(void *user)
{
	((struct fixture *)user)->ready = 1;
}

static void fixture_on_closed(void *user, const struct err *err)
{
	struct fixture *fixture = user;

	fixture->closed = 1;
	fixture->closed_err = *err;
}

static inline struct fixture *fixture_new(void)
{
	static const struct tunnel_server_events events = {
		.lookup = fixture_lookup,
		.on_peer = fixture_on_peer,
		.on_peer_gone = fixture_on_peer_gone,
		.on_stream = fixture_on_stream,
		.on_http = fixture_on_http,
	};
	struct fixture *fixture = XNEW(struct fixture);
	struct err err = ERR_INIT;

	uv_loop_init(&fixture->loop);
	assert_int_equal(session_key_new(&fixture->key, &err), 0);
	assert_int_equal(session_key_new(&fixture->other_key, &err), 0);
	assert_int_equal(
		tunnel_server_new(&fixture->loop, 0, &events, fixture, &fixture->server, &err), 0);
	return fixture;
}

/* Everything is closed and every handle is gone, or the test fails. */
static inline void fixture_free(struct fixture *fixture)
{
	tunnel_client_free(fixture->client);
	tunnel_server_free(fixture->server);
	uv_run(&fixture->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&fixture->loop), 0);
	assert_int_equal(fixture->peers, fixture->peers_gone);
	session_key_free(fixture->key);
	session_key_free(fixture->other_key);
	free(fixture);
}

/* A connected, blocking socket to the server. */
static inline int fixture_connect(const struct fixture *fixture)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(tunnel_server_port(fixture->server)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
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
		.on_ready = fixture_on_ready, .on_closed = fixture_on_closed};
	const struct tunnel_client_config config = {.session_uid = session_uid, .key = key};

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

#endif /* UNIT_TUNNEL_FIXTURE_H */
