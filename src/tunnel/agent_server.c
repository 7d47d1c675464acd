/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/agent_server.h"

#include <errno.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"
#include "core/log.h"
#include "tunnel/agent_peer.h"
#include "tunnel/session.h"

/* Handshakes of one source at a time: an agent has two links, and a hostile pod shall not push out
 * those of others. */
#define SOURCE_HANDSHAKES 16

/* Drops the oldest handshake of this source if it has too many, or of all. */
static void make_place(struct agent_server *server, const struct ip_addr *source)
{
	struct agent_peer *peer = TAILQ_FIRST(&server->handshakes), *oldest = NULL;
	size_t count = 0;

	for (; peer; peer = TAILQ_NEXT(peer, entry)) {
		if (!ip_addr_equal(&peer->source, source))
			continue;
		if (count++ == 0)
			oldest = peer;
	}
	if (count < SOURCE_HANDSHAKES)
		oldest = server->handshake_count >= LIMIT_HANDSHAKES
				 ? TAILQ_FIRST(&server->handshakes)
				 : NULL;
	if (!oldest)
		return;
	agent_server_refused(server, &oldest->source, "too many unfinished handshakes");
	agent_peer_end(oldest, "");
}

static void on_accept(struct listener *listener, int fd)
{
	struct agent_server *server = container_of(listener, struct agent_server, listener);
	struct ip_endpoint source;

	if (listener_source(fd, &source) < 0) {
		close(fd);
		return;
	}
	if (!server->events.admit(server->user, &source.addr)) {
		close(fd);
		agent_server_refused(server, &source.addr, "no pod with an agent");
		return;
	}
	make_place(server, &source.addr);
	agent_peer_new(server, fd, &source.addr);
}

static void on_stopped(struct listener *listener)
{
	struct agent_server *server = container_of(listener, struct agent_server, listener);

	server->deaf = true;
	if (server->closing)
		free(server);
}

int agent_server_new(uv_loop_t *loop, uint16_t port, struct identity *identity,
	const struct agent_server_events *events, void *user, struct agent_server **ret_server,
	struct err *err)
{
	static const struct listener_events listener_events = {
		.on_accept = on_accept, .on_stopped = on_stopped};
	struct agent_server *server = XNEW(struct agent_server);
	int r = listener_start(&server->listener, loop, port, &listener_events, err);

	if (r < 0) {
		free(server);
		return r;
	}
	server->loop = loop;
	server->identity = identity;
	server->events = *events;
	server->user = user;
	TAILQ_INIT(&server->handshakes);
	TAILQ_INIT(&server->proven);
	*ret_server = server;
	return 0;
}

uint16_t agent_server_port(const struct agent_server *server)
{
	return server->listener.port;
}

void agent_server_refused(
	struct agent_server *server, const struct ip_addr *source, const char *why)
{
	char text[ADDR_TEXT_BYTES];
	uint64_t untold = 0;

	if (refusals_tell(&server->refusals, source, uv_now(server->loop), &untold))
		log_warn("agent refused", "source=%s why=\"%s\" untold=%llu",
			ip_addr_format(source, text), why, (unsigned long long)untold);
}

static void end_handshakes(struct agent_server *server)
{
	struct agent_peer *peer;

	while ((peer = TAILQ_FIRST(&server->handshakes)))
		agent_peer_end(peer, "");
}

void agent_server_leave(struct agent_server *server)
{
	struct agent_peer *peer;

	if (server->leaving)
		return;
	server->leaving = true;
	listener_stop(&server->listener);
	end_handshakes(server);
	TAILQ_FOREACH(peer, &server->proven, entry)
	h2_session_goaway(peer->h2);
}

void agent_server_free(struct agent_server *server)
{
	struct agent_peer *peer;

	if (!server || server->closing)
		return;
	server->closing = true;
	while ((peer = TAILQ_FIRST(&server->proven)))
		agent_peer_end(peer, "the traffic-manager is shutting down");
	end_handshakes(server);
	if (server->deaf)
		free(server);
	else
		listener_stop(&server->listener);
}
