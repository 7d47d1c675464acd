/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/agent_server.h - the manager's end of its agents' connections: TLS 1.3, JOIN, HTTP/2
 *
 * docs/agent.md, section 2. A source that admit() does not know is closed before a byte is sent,
 * and so is whatever is no TLS ClientHello; an unproven peer has LIMIT_HANDSHAKE_MS. At most
 * LIMIT_HANDSHAKES unproven ones, and 16 of one source: the oldest goes for a new one. Refusals are
 * logged once a minute for each source.
 */
#ifndef TUNNEL_AGENT_SERVER_H
#define TUNNEL_AGENT_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/attr.h"
#include "net/addr.h"
#include "tunnel/h2.h"

#define AGENT_TOKEN_BYTES 32

struct agent_peer; /* one proven connection of an agent */
struct agent_server;
struct err;
struct identity;

struct agent_server_events {
	/* Whether a pod with this address may have an agent. */
	bool (*admit)(void *user, const struct ip_addr *source);
	/* Whether the token is good for this pod and source, now; it is spent by that. */
	bool (*spend_token)(void *user, const uint8_t token[static AGENT_TOKEN_BYTES],
		const char *pod_uid, const struct ip_addr *source);
	/* Whether this pod, known by its certificate, still has this address. */
	bool (*known)(void *user, const char *pod_uid, const struct ip_addr *source);
	void (*on_agent)(void *user, struct agent_peer *peer); /* borrowed */
	void (*on_agent_gone)(void *user, struct agent_peer *peer); /* last use */
	/* A request of an agent (role 0). */
	void (*on_stream)(void *user, struct agent_peer *peer, struct h2_stream *stream,
		const struct h2_head *head);
};

NODISCARD int agent_server_new(uv_loop_t *loop, uint16_t port, struct identity *identity,
	const struct agent_server_events *events, void *user, struct agent_server **ret_server,
	struct err *err);
uint16_t agent_server_port(const struct agent_server *server);
/* Takes no more agents, and tells those that there are to go (GOAWAY): streams that are open go on.
 */
void agent_server_leave(struct agent_server *server);
void agent_server_free(struct agent_server *server); /* closes every peer; deferred */

const char *agent_peer_pod_uid(const struct agent_peer *peer);
const struct ip_addr *agent_peer_source(const struct agent_peer *peer);
/* Role 1: the agent is the HTTP/2 server, and this session opens streams to it; else NULL. */
struct h2_session *agent_peer_h2(const struct agent_peer *peer);
size_t agent_peer_streams(const struct agent_peer *peer); /* that are open */
void *agent_peer_get_user(const struct agent_peer *peer);
void agent_peer_set_user(struct agent_peer *peer, void *user);
void agent_peer_close(struct agent_peer *peer, const char *reason); /* on_agent_gone follows */

#endif /* TUNNEL_AGENT_SERVER_H */
