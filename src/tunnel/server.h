/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/server.h - the manager's end: accepts carriers, checks the proof, serves HTTP/2 streams
 *
 * tunnel_server_new() listens on one TCP port for both forms that docs/tunnel.md names: an HTTP/1.1
 * upgrade to WebSocket (services/proxy) and the bare preamble (port-forward). Any other HTTP/1.1
 * request goes to on_http (health checks). A peer that has proven nothing gets no byte but a 4xx,
 * its own nonce and a refusal; there are at most LIMIT_HANDSHAKES of them, and a quarter of that of
 * one source: the oldest is dropped for a new one.
 */
#ifndef TUNNEL_SERVER_H
#define TUNNEL_SERVER_H

#include <stdbool.h>
#include <uv.h>

#include "core/attr.h"
#include "net/addr.h"
#include "tunnel/h2.h"
#include "tunnel/key.h"

struct err;
struct h2_session;
struct tunnel_peer; /* one proven carrier of a client */
struct tunnel_server;

struct tunnel_server_events {
	/* The public key of this Session. -ENOENT when there is none (any more); it is asked again
	 * for 0.6 s, because a proof may overtake the watch. */
	int (*lookup)(
		void *user, const char *session_uid, uint8_t ret_public[static SESSION_KEY_BYTES]);
	void (*on_peer)(void *user, struct tunnel_peer *peer); /* proven; borrowed */
	/* Last use of the pointer; its streams are closed. */
	void (*on_peer_gone)(void *user, struct tunnel_peer *peer);
	/* A request of a proven peer: set events and respond, now or later. */
	void (*on_stream)(void *user, struct tunnel_peer *peer, struct h2_stream *stream,
		const struct h2_head *head);
	/* A plain HTTP/1.1 GET without upgrade, e.g. "/healthz": status to answer, body empty. */
	int (*on_http)(void *user, const char *path);
};

/* Listens on port of all addresses (v6 dual-stack, v4 where there is no v6). */
NODISCARD int tunnel_server_new(uv_loop_t *loop, uint16_t port,
	const struct tunnel_server_events *events, void *user, struct tunnel_server **ret_server,
	struct err *err);
/* The port it listens on, for port 0. */
uint16_t tunnel_server_port(const struct tunnel_server *server);
/* Takes no more peers, and tells those that there are to go (GOAWAY): streams that are open go on,
 * and a peer ends with its last one. Returns how many are left; may be called again to know. */
size_t tunnel_server_leave(struct tunnel_server *server);
void tunnel_server_free(struct tunnel_server *server); /* closes every peer; deferred */

const char *tunnel_peer_session_uid(const struct tunnel_peer *peer);
/* A reversed carrier: the session to open streams on, to the laptop. NULL of any other. Borrowed
 * until on_peer_gone. */
struct h2_session *tunnel_peer_h2(const struct tunnel_peer *peer);
/* uv_now() of the last byte that came from it: a laptop that stands still is silent. */
uint64_t tunnel_peer_heard_ms(const struct tunnel_peer *peer);
/* The carrier's name as the client signed it. */
const char *tunnel_peer_carrier(const struct tunnel_peer *peer);
void *tunnel_peer_get_user(const struct tunnel_peer *peer);
void tunnel_peer_set_user(struct tunnel_peer *peer, void *user);
/* Ends the peer with a reason it is told; on_peer_gone follows. */
void tunnel_peer_close(struct tunnel_peer *peer, const char *reason);

#endif /* TUNNEL_SERVER_H */
