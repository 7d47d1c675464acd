/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/agent_link.h - an agent's end of one connection to the manager: TLS 1.3, JOIN, HTTP/2
 *
 * docs/agent.md, section 2. The credentials outlive their links: the first link spends the token
 * and leaves a certificate in them, later links use that. Lifecycle: agent_link_new() connects;
 * on_ready once, on_closed once when it is over; then agent_link_free(), which is allowed in any
 * callback.
 */
#ifndef TUNNEL_AGENT_LINK_H
#define TUNNEL_AGENT_LINK_H

#include <stdint.h>
#include <uv.h>

#include "core/attr.h"
#include "net/addr.h"
#include "tunnel/agent_server.h"
#include "tunnel/h2.h"
#include "tunnel/identity.h"

struct agent_credentials;
struct agent_link;
struct err;
struct h2_session;

/* Within a cluster, and a second SYN after 1 s. A manager that restarts is met by a fresh try: what
 * went to its predecessor's address is answered by nobody, and its successor waits 3 s for agents
 * before it places others. */
#define AGENT_CONNECT_MS 1500U

enum agent_role { AGENT_CLIENT = 0, AGENT_SERVER = 1 };

/* Makes the agent's own key. */
NODISCARD int agent_credentials_new(const uint8_t pin[static IDENTITY_PIN_BYTES],
	const uint8_t token[static AGENT_TOKEN_BYTES], const char *pod_uid,
	struct agent_credentials **ret_credentials, struct err *err);
void agent_credentials_free(struct agent_credentials *credentials); /* NULL-safe; wipes */

struct agent_link_config {
	struct ip_endpoint manager;
	uint32_t connect_ms; /* 0: AGENT_CONNECT_MS */
	struct agent_credentials *credentials; /* borrowed */
	enum agent_role role;
	uint32_t mark; /* SO_MARK of the socket; 0: none */
};

struct agent_link_events {
	void (*on_ready)(void *user);
	/* Role AGENT_SERVER: a request of the manager. */
	void (*on_stream)(void *user, struct h2_stream *stream, const struct h2_head *head);
	/* The manager ends: open no more streams; those that are there go on. May be NULL. */
	void (*on_leaving)(void *user);
	/* kind ERR_AUTH: refused, another try with these credentials is useless. */
	void (*on_closed)(void *user, const struct err *err);
};

struct agent_link *agent_link_new(uv_loop_t *loop, const struct agent_link_config *config,
	const struct agent_link_events *events, void *user);
/* Whose it is from now on. */
void agent_link_set_events(
	struct agent_link *link, const struct agent_link_events *events, void *user);
/* To open streams on (role AGENT_CLIENT); NULL before on_ready and after on_closed. */
struct h2_session *agent_link_h2(const struct agent_link *link);
void agent_link_free(struct agent_link *link); /* NULL-safe; no callback follows */

#endif /* TUNNEL_AGENT_LINK_H */
