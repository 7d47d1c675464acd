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

#define DEADLINE_MS 20000
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
	/* The client's end of a reversed tunnel. */
	void (*on_reversed)(
		struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head);
	struct tunnel_client *client;
	int ready, closed;
	struct err closed_err;
	void *extra;
};

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

#endif /* UNIT_TUNNEL_FIXTURE_H */
