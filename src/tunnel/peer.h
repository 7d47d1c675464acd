/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/peer.h - one accepted connection of the tunnel's port, from its first byte to its end
 *
 * Sniffs the form, checks the proof, then serves HTTP/2. The server keeps two lists of peers and
 * hears of every move; docs/tunnel.md, section 2 and 4.
 */
#ifndef TUNNEL_PEER_H
#define TUNNEL_PEER_H

#include <sys/queue.h>
#include <uv.h>

#include "core/attr.h"
#include "tunnel/listener.h"
#include "tunnel/server.h"

struct peer_link {
	TAILQ_ENTRY(peer_link) entry;
	struct ip_addr source;
};

TAILQ_HEAD(peer_list, peer_link);

struct tunnel_server {
	uv_loop_t *loop;
	struct tunnel_server_events events;
	void *user;
	struct peer_list handshakes; /* oldest first */
	size_t handshake_count;
	struct peer_list proven;
	bool leaving, closing, deaf; /* deaf: the listener has been closed */
	struct listener listener;
};

/* Takes the fd; enters server->handshakes. */
void peer_new(struct tunnel_server *server, int fd, const struct ip_addr *source);
struct tunnel_peer *peer_from_link(struct peer_link *link);
/* A proven one is told that it shall go. */
void peer_leave(struct tunnel_peer *peer);
/* Ends it, with a reason it is told if it is proven; leaves its list. Deferred. */
void peer_end(struct tunnel_peer *peer, const char *reason);

#endif /* TUNNEL_PEER_H */
