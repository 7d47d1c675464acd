/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/server.h"

#include "core/alloc.h"
#include "core/limits.h"
#include "tunnel/peer.h"

static void on_accept(struct listener *listener, int fd)
{
	struct tunnel_server *server = container_of(listener, struct tunnel_server, listener);

	if (server->handshake_count >= LIMIT_HANDSHAKES)
		peer_end(peer_from_link(TAILQ_FIRST(&server->handshakes)), "");
	peer_new(server, fd);
}

static void on_stopped(struct listener *listener)
{
	free(container_of(listener, struct tunnel_server, listener));
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

void tunnel_server_free(struct tunnel_server *server)
{
	struct peer_link *link;

	if (!server || server->closing)
		return;
	server->closing = true;
	while ((link = TAILQ_FIRST(&server->proven)))
		peer_end(peer_from_link(link), "the traffic-manager is shutting down");
	while ((link = TAILQ_FIRST(&server->handshakes)))
		peer_end(peer_from_link(link), "");
	listener_stop(&server->listener);
}
