/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/agents_impl.h - the table behind agents.h, for the files that work on it
 *
 * agents.c owns pods and connections, agent_messages.h has the control lines, agents_env.h asks
 * for environments, agent_streams.c serves intercepted connections, agent_reach.c those into a pod,
 * prober.c announces probes. Internal to them.
 */
#ifndef MANAGER_AGENTS_IMPL_H
#define MANAGER_AGENTS_IMPL_H

#include <stdbool.h>

/* uthash's own choice falls through between cases, which clang cannot be told is meant. */
#define HASH_FUNCTION HASH_FNV
#include <uthash.h>

#include "manager/agent_tokens.h"
#include "manager/agents.h"
#include "tunnel/lines.h"
#include "tunnel/refusals.h"

/* UIDs are UUIDs; names of containers are RFC 1123 labels. */
#define AGENT_UID_BYTES  64
#define AGENT_NAME_BYTES 64

struct agent_ask;
struct agent_conn;
struct agent_pod;
struct agent_reach;

enum agent_expect_event { AGENT_EXPECTING, AGENT_CAPTURED, AGENT_LOST };

/* One announced probe at one agent; embedded in its owner. */
struct agent_expect {
	struct agent_pod *pod; /* NULL: over */
	uint32_t id;
	void (*on_event)(struct agent_expect *expect, enum agent_expect_event event);
	struct agent_expect *prev, *next;
};

/* Somebody waits for an environment. */
struct agent_env {
	struct agent_pod *pod; /* NULL: it will not come */
	char container[AGENT_NAME_BYTES]; /* whose */
	uint32_t id;
	uint64_t deadline_ms;
	void (*on_env)(void *user, json_object *env);
	void *user;
	struct agent_env *prev, *next;
};

/* One connection of an agent; the peer's user pointer. */
struct agent_conn {
	struct agents *agents;
	struct agent_pod *pod; /* NULL: that pod was removed */
	struct agent_peer *peer;
	struct lines *control; /* NULL: not open */
	bool ruled; /* its rules are as it was configured */
	uint64_t close_ms; /* told to exit, closed by then; 0: not told */
	char name[AGENT_NAME_BYTES]; /* "": no hello yet */
	char container[AGENT_NAME_BYTES];
	struct agent_conn *prev, *next;
};

struct agent_pod {
	struct agents *agents;
	char uid[AGENT_UID_BYTES];
	char *name; /* namespace/name */
	struct ip_addr addrs[AGENTS_POD_ADDRESSES];
	size_t addr_count;
	struct agent_tokens tokens;
	struct agent_conn *conn; /* of its agent; NULL: none has said hello */
	struct agent_conn *reverse; /* on which its agent is the server; NULL: not asked for */
	bool configured;
	json_object *intercepts, *node_addresses; /* arrays, once configured */
	int64_t generation;
	struct agent_expect *expects; /* borrows */
	UT_hash_handle hh;
};

struct agents {
	uv_loop_t *loop;
	struct agent_server *server;
	struct sessions *sessions;
	struct agents_events events;
	void *user;
	uv_timer_t sweep; /* runs while something has a deadline */
	unsigned int idle_s;
	uint32_t last_id;
	struct agent_pod *pods; /* by UID; owns */
	struct agent_conn *conns; /* owns */
	struct agent_env *envs; /* owns */
	struct agent_ask *asks; /* open intercepted connections */
	struct agent_reach *reaches; /* open connections into pods */
	bool closing, sweep_closed;
	struct refusals refusals; /* whose hostile lines were logged */
};

struct agent_pod *agents_find(const struct agents *agents, const char *pod_uid);
void agents_arm(struct agents *agents); /* something has a deadline */
/* Lets go of a stopped table when nothing refers to it any more. */
void agents_release(struct agents *agents);
/* The agent shall end; its connection is closed soon in any case. */
void agent_conn_exit(struct agent_conn *conn, const char *reason);
/* Every announced probe at the pod's agent is lost. */
void agent_pod_lose_expects(struct agent_pod *pod);

/* agent_streams.c */
void agent_streams_serve(
	struct agent_conn *conn, struct h2_stream *stream, const struct h2_head *head);
void agent_streams_forget(struct agents *agents); /* no open connection uses the table any more */

/* agent_reach.c */
void agent_reach_open(struct agent_pod *pod); /* pod->reverse is there now */
bool agent_reach_sweep(struct agents *agents, uint64_t now_ms); /* whether some still wait */
/* The pod's configuration is another one, or the pod is gone. */
void agent_reach_check(struct agents *agents, const char *pod_uid);
void agent_reach_forget(struct agents *agents);

#endif /* MANAGER_AGENTS_IMPL_H */
