/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/agents.h - the agents that are placed or connected, by pod: identity, control, probes
 *
 * Owns the agents' listener (tunnel/agent_server.h) and the join tokens. intercepts.h says which
 * pod wants which configuration; a pod is known here from agents_add() to agents_remove(), and only
 * such pods are let in. Control lines: docs/agent.md, section 3.
 */
#ifndef MANAGER_AGENTS_H
#define MANAGER_AGENTS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <uv.h>

#include "core/attr.h"
#include "net/addr.h"
#include "tunnel/agent_server.h"
#include "tunnel/identity.h"

#define AGENTS_POD_ADDRESSES 4
#define AGENTS_TOKEN_MS      60000
/* Without an intercept an agent ends itself after this. */
#define AGENTS_IDLE_S 600

struct agents;
struct err;
struct h2_stream;
struct sessions;

struct agents_events {
	/* An agent connected (container: whose environment it has), or its connection was lost. */
	void (*on_connected)(
		void *user, const char *pod_uid, const char *agent, const char *container);
	void (*on_lost)(void *user, const char *pod_uid);
	/* Somebody in the pod has a token that is not known, as an agent that a former manager
	 * placed. May be NULL. */
	void (*on_unproven)(void *user, const char *pod_uid);
	/* The rules are as the last configuration says (0), or why not. */
	void (*on_state)(void *user, const char *pod_uid, int r, const char *message);
	void (*on_count)(
		void *user, const char *pod_uid, const char *intercept_uid, json_object *count);
	/* Which Session the intercept is for; NULL: none such. Borrowed. */
	const char *(*session_of)(void *user, const char *intercept_uid);
};

NODISCARD int agents_new(uv_loop_t *loop, uint16_t port, struct identity *identity,
	struct sessions *sessions, const struct agents_events *events, void *user,
	struct agents **ret_agents, struct err *err);
void agents_free(struct agents *agents); /* deferred; NULL-safe; no event follows */
/* Instead of AGENTS_IDLE_S, for configurations from now on. */
void agents_set_idle(struct agents *agents, unsigned int seconds);

/* The pod may have an agent; repeated calls change its addresses. name: "namespace/name". */
void agents_add(struct agents *agents, const char *pod_uid, const char *name,
	const struct ip_addr *addrs, size_t count);
/* The pod is gone, or of no interest: a connected agent is told to exit. */
void agents_remove(struct agents *agents, const char *pod_uid);
/* A token for an agent that is about to be placed there. */
void agents_token(
	struct agents *agents, const char *pod_uid, uint8_t ret_token[static AGENT_TOKEN_BYTES]);
bool agents_connected(const struct agents *agents, const char *pod_uid);
/* What the pod's agent shall do: the arrays "intercepts" and "nodeAddresses" of "config", both
 * taken; NULL: empty. Sent now if it is connected, and whenever it connects; before the first call
 * nothing is sent. on_state follows. */
void agents_configure(struct agents *agents, const char *pod_uid, json_object *intercepts,
	json_object *node_addresses);
struct agents_reach_target {
	uint16_t port; /* of the pod's 127.0.0.1 */
	bool udp;
};
/* The stream of a client becomes a connection inside the pod, for as long as the pod's
 * configuration has the intercept. Answers the stream, now or later. */
void agents_reach(struct agents *agents, const char *pod_uid, const char *intercept,
	const struct agents_reach_target *target, struct h2_stream *stream);
/* No agent is taken any more, and those that there are look for another manager; what one has open
 * here goes on, and its connection ends with the last of it. Returns how many are left: to be
 * called again until none is. */
unsigned int agents_leave(struct agents *agents);
/* Every idle agent of these pods ends; pod_uid NULL: of all. Returns how many were told. */
unsigned int agents_exit(struct agents *agents, const char *pod_uid, const char *reason);

#endif /* MANAGER_AGENTS_H */
