/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/agent_peer.h - one accepted connection of an agent, from TLS to its end
 *
 * What agent_server.c (the port, the lists, refusals) and agent_peer.c share.
 */
#ifndef TUNNEL_AGENT_PEER_H
#define TUNNEL_AGENT_PEER_H

#include <sys/queue.h>
#include <uv.h>

#include "core/attr.h"
#include "net/addr.h"
#include "tunnel/agent_server.h"
#include "tunnel/join.h"
#include "tunnel/listener.h"
#include "tunnel/refusals.h"

struct carrier;
struct h2_session;
struct pipe;

/* HANDSHAKE (TLS and JOIN) -> PROVEN -> GONE; both may go to GONE. */
enum agent_peer_state { AGENT_HANDSHAKE, AGENT_PROVEN, AGENT_GONE };

struct agent_peer {
	TAILQ_ENTRY(agent_peer) entry; /* of one of the server's lists, unless GONE */
	struct agent_server *server;
	enum agent_peer_state state;
	struct ip_addr source;
	bool refused; /* it is told so by TLS's close */
	uint8_t role;
	char pod_uid[JOIN_POD_UID_MAX + 1]; /* once PROVEN */
	uv_timer_t deadline;
	struct carrier *carrier; /* the pipe's */
	struct pipe *pipe;
	struct h2_session *h2;
	void *user;
};

TAILQ_HEAD(agent_peer_list, agent_peer);

struct agent_server {
	uv_loop_t *loop;
	struct listener listener;
	struct identity *identity; /* borrowed */
	struct agent_server_events events;
	void *user;
	struct agent_peer_list handshakes; /* oldest first */
	size_t handshake_count;
	struct agent_peer_list proven;
	struct refusals refusals;
	bool leaving, closing, deaf; /* deaf: the listener has been closed */
};

/* Logs it, unless this source has been logged lately. */
void agent_server_refused(
	struct agent_server *server, const struct ip_addr *source, const char *why);

/* Takes the fd; enters server->handshakes. */
void agent_peer_new(struct agent_server *server, int fd, const struct ip_addr *source);
/* Ends it, with a reason it is told if it is proven; leaves its list. Deferred. */
void agent_peer_end(struct agent_peer *peer, const char *reason);

#endif /* TUNNEL_AGENT_PEER_H */
