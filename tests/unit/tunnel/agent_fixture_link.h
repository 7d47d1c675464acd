/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/tunnel/agent_fixture_link.h - links of the fixture's agent
 */
#ifndef UNIT_TUNNEL_AGENT_FIXTURE_LINK_H
#define UNIT_TUNNEL_AGENT_FIXTURE_LINK_H

#include "tunnel/agent_fixture.h"

struct link_seen {
	struct agent_fixture *fixture;
	struct agent_link *link;
	int ready, leaving, closed;
	bool free_when_ready;
	struct err err;
};

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

static void link_seen_leaving(void *user)
{
	((struct link_seen *)user)->leaving++;
}

static void link_seen_closed(void *user, const struct err *err)
{
	struct link_seen *seen = user;

	seen->closed++;
	seen->err = *err;
	agent_link_free(TAKE_PTR(seen->link));
}

static inline void agent_fixture_link_as(struct agent_fixture *fixture, struct link_seen *seen,
	enum agent_role role, struct agent_credentials *credentials)
{
	static const struct agent_link_events events = {
		.on_ready = link_seen_ready,
		.on_stream = link_seen_stream,
		.on_leaving = link_seen_leaving,
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

#endif /* UNIT_TUNNEL_AGENT_FIXTURE_LINK_H */
