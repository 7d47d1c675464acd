/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/server.h"

#include <unistd.h>

#include "core/alloc.h"
#include "core/limits.h"
#include "tunnel/peer.h"

#define SOURCE_HANDSHAKES (LIMIT_HANDSHAKES / 4)

/*
 * Drops the oldest handshake of this source if it has its share of them, or of all: who opens and
 * never speaks pushes out himself. Clients of one API server are one source, hence the large share.
 */
static void make_place(struct tunnel_server *server, const struct ip_addr *source)
{
	struct peer_link *link = NULL, *oldest = NULL;
	size_t count = 0;

	TAILQ_FOREACH(link, &server->handshakes, entry)
	{
		if (ip_addr_equal(&link->source, source) && count++ == 0)
			oldest = link;
	}
	if (count < SOURCE_HANDSHAKES)
		oldest = server->handshake_count >= LIMIT_HANDSHAKES
				 ? TAILQ_FIRST(&server->handshakes)
				 : NULL;
	if (oldest)
		peer_end(peer_from_link(oldest), "");
}

static void on_accept(struct listener *listener, int fd)
{
	struct tunnel_server *server = container_of(listener, struct tunnel_server, listener);
	struct ip_endpoint source;

	if (listener_source(fd, &source) < 0) {
		close(fd);
		return;
	}
	make_place(server, &source.addr);
	peer_new(server, fd, &source.addr);
}

static void on_stopped(struct listener *listener)
{
	struct tunnel_server *server = container_of(listener, struct tunnel_server, listener);

	server->deaf = true;
	if (server->closing)
		free(server);
}

int tunnel_server_new(uv_loop_t *loop, uint16_t port, const struct tunnel_server_events *events,
	void *user, struct tunnel_server **ret_server, struct err *err)
{
	static const struct listener_events listener_events = {
		.on_accept = on_accept, .on_stopped = on_stopped};
	struct tunnel_server *server = XNEW(struct tunnel_server);
	int r = listener_start(&server->listener, loop, port, &listener_events, err);

	if (r < 0) {
		free(server);
		return r;
	}
	server->loop = loop;
	server->events = *events;
	server->user = user;
	TAILQ_INIT(&server->handshakes);
	TAILQ_INIT(&server->proven);
	*ret_server = server;
	return 0;
}

uint16_t tunnel_server_port(const struct tunnel_server *server)
{
	return server->listener.port;
}

static void end_handshakes(struct tunnel_server *server)
{
	struct peer_link *link;

	while ((link = TAILQ_FIRST(&server->handshakes)))
		peer_end(peer_from_link(link), "");
}

size_t tunnel_server_leave(struct tunnel_server *server)
{
	bool told = server->leaving;
	struct peer_link *link = NULL;
	size_t left = 0;

	server->leaving = true;
	if (!told) {
		listener_stop(&server->listener);
		end_handshakes(server);
	}
	TAILQ_FOREACH(link, &server->proven, entry)
	{
		if (!told)
			peer_leave(peer_from_link(link));
		left++;
	}
	return left;
}

void tunnel_server_free(struct tunnel_server *server)
{
	struct peer_link *link;

	if (!server || server->closing)
		return;
	server->closing = true;
	while ((link = TAILQ_FIRST(&server->proven)))
		peer_end(peer_from_link(link), "the traffic-manager is shutting down");
	end_handshakes(server);
	if (server->deaf)
		free(server);
	else
		listener_stop(&server->listener);
}
