/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/tunnel/agent_fixture_server.h - the manager's end of an agent's links, and what it was asked
 */
#ifndef UNIT_TUNNEL_AGENT_FIXTURE_SERVER_H
#define UNIT_TUNNEL_AGENT_FIXTURE_SERVER_H

#include <arpa/inet.h>
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
#include "tunnel/agent_link.h"
#include "tunnel/agent_server.h"
#include "tunnel/identity.h"

#define AGENT_DEADLINE_MS 20000
#define POD_UID           "aaaaaaaa-2222-3333-4444-555555555555"

struct agent_fixture {
	uv_loop_t loop;
	struct identity *identity;
	struct agent_server *server;
	struct agent_credentials *credentials;
	uint8_t token[AGENT_TOKEN_BYTES];
	struct ip_addr source; /* the pod's */
	bool token_spent, unknown_pod;
	struct agent_peer *peer; /* the last one */
	int admits, spends, agents, gone, streams;
	/* Either end's requests. */
	void (*on_stream)(struct agent_fixture *fixture, struct h2_stream *stream,
		const struct h2_head *head);
	void *extra;
};

static bool agent_fixture_admit(void *user, const struct ip_addr *source)
{
	struct agent_fixture *fixture = user;

	/* 127.0.0.0/24 have agents, 127.0.1.0/24 have none. */
	fixture->admits++;
	return source->family == AF_INET && source->bytes[2] == 0;
}

static bool agent_fixture_spend(void *user, const uint8_t token[static AGENT_TOKEN_BYTES],
	const char *pod_uid, const struct ip_addr *source)
{
	struct agent_fixture *fixture = user;
	bool good = !fixture->token_spent && strcmp(pod_uid, POD_UID) == 0 &&
		    ip_addr_equal(source, &fixture->source) &&
		    memcmp(token, fixture->token, AGENT_TOKEN_BYTES) == 0;

	fixture->spends++;
	fixture->token_spent = fixture->token_spent || good;
	return good;
}

static bool agent_fixture_known(void *user, const char *pod_uid, const struct ip_addr *source)
{
	struct agent_fixture *fixture = user;

	return !fixture->unknown_pod && strcmp(pod_uid, POD_UID) == 0 &&
	       ip_addr_equal(source, &fixture->source);
}

static void agent_fixture_on_agent(void *user, struct agent_peer *peer)
{
	struct agent_fixture *fixture = user;

	assert_string_equal(agent_peer_pod_uid(peer), POD_UID);
	fixture->peer = peer;
	fixture->agents++;
}

static void agent_fixture_on_gone(void *user, struct agent_peer *peer)
{
	struct agent_fixture *fixture = user;

	if (fixture->peer == peer)
		fixture->peer = NULL;
	fixture->gone++;
}

static void agent_fixture_on_request(
	void *user, struct agent_peer *peer, struct h2_stream *stream, const struct h2_head *head)
{
	struct agent_fixture *fixture = user;

	assert_null(agent_peer_h2(peer));
	fixture->streams++;
	fixture->on_stream(fixture, stream, head);
}

static inline void agent_fixture_serve(struct agent_fixture *fixture, uint16_t port)
{
	static const struct agent_server_events events = {
		.admit = agent_fixture_admit,
		.spend_token = agent_fixture_spend,
		.known = agent_fixture_known,
		.on_agent = agent_fixture_on_agent,
		.on_agent_gone = agent_fixture_on_gone,
		.on_stream = agent_fixture_on_request,
	};
	struct err err = ERR_INIT;

	assert_int_equal(agent_server_new(&fixture->loop, port, fixture->identity, &events, fixture,
				 &fixture->server, &err),
		0);
}

#endif /* UNIT_TUNNEL_AGENT_FIXTURE_SERVER_H */
