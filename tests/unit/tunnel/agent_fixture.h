/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/tunnel/agent_fixture.h - the manager's end and links of one agent, in one loop
 */
#ifndef UNIT_TUNNEL_AGENT_FIXTURE_H
#define UNIT_TUNNEL_AGENT_FIXTURE_H

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

struct agent_fixture;

struct link_seen {
	struct agent_fixture *fixture;
	struct agent_link *link;
	int ready, closed;
	bool free_when_ready;
	struct err err;
};

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

static void link_seen_ready(void *user)
{
	struct link_seen *seen = user;

	seen->ready++;
	if (seen->free_when_ready)
		agent_link_free(TAKE_PTR(seen->link));
}

static void link_seen_stream(void *user, struct h2_stream *stream, const struct h2_head *head)
{
	struct link_seen *seen = user;

	seen->fixture->streams++;
	seen->fixture->on_stream(seen->fixture, stream, head);
}

static void link_seen_closed(void *user, const struct err *err)
{
	struct link_seen *seen = user;

	seen->closed++;
	seen->err = *err;
	agent_link_free(TAKE_PTR(seen->link));
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

static inline struct agent_fixture *agent_fixture_new(void)
{
	struct agent_fixture *fixture = XNEW(struct agent_fixture);
	uint8_t pin[IDENTITY_PIN_BYTES];
	struct err err = ERR_INIT;

	uv_loop_init(&fixture->loop);
	fixture->source = (struct ip_addr){.family = AF_INET, .bytes = {127, 0, 0, 1}};
	memset(fixture->token, 't', sizeof(fixture->token));
	assert_int_equal(identity_new(&fixture->identity, &err), 0);
	identity_pin(fixture->identity, pin);
	assert_int_equal(
		agent_credentials_new(pin, fixture->token, POD_UID, &fixture->credentials, &err),
		0);
	agent_fixture_serve(fixture, 0);
	return fixture;
}

/* Links are freed already. Every handle is gone, or the test fails. */
static inline void agent_fixture_free(struct agent_fixture *fixture)
{
	agent_server_free(fixture->server);
	agent_credentials_free(fixture->credentials);
	identity_free(fixture->identity);
	uv_run(&fixture->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&fixture->loop), 0);
	assert_int_equal(fixture->agents, fixture->gone);
	free(fixture);
}

static inline void agent_fixture_link_as(struct agent_fixture *fixture, struct link_seen *seen,
	enum agent_role role, struct agent_credentials *credentials)
{
	static const struct agent_link_events events = {
		.on_ready = link_seen_ready,
		.on_stream = link_seen_stream,
		.on_closed = link_seen_closed,
	};
	const struct agent_link_config config = {
		.manager = {.addr = {.family = AF_INET, .bytes = {127, 0, 0, 1}},
			.port = agent_server_port(fixture->server)},
		.credentials = credentials,
		.role = role,
	};

	*seen = (struct link_seen){.fixture = fixture};
	seen->link = agent_link_new(&fixture->loop, &config, &events, seen);
}

static inline void agent_fixture_link(
	struct agent_fixture *fixture, struct link_seen *seen, enum agent_role role)
{
	agent_fixture_link_as(fixture, seen, role, fixture->credentials);
}

static void agent_fixture_tick(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

/* Runs the loop until *value >= least; fails the test after AGENT_DEADLINE_MS. */
static inline void agent_run_until(struct agent_fixture *fixture, const int *value, int least)
{
	uv_timer_t timer;
	bool expired = false;

	uv_timer_init(&fixture->loop, &timer);
	timer.data = &expired;
	uv_update_time(&fixture->loop);
	uv_timer_start(&timer, agent_fixture_tick, AGENT_DEADLINE_MS, 0);
	while (*value < least && !expired)
		uv_run(&fixture->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	/* The handle on this stack is gone after the turn in which it closes. */
	uv_run(&fixture->loop, UV_RUN_NOWAIT);
	assert_false(expired);
}

#endif /* UNIT_TUNNEL_AGENT_FIXTURE_H */
