/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/intercepts.h - from Intercept objects to agents that have their orders, and back to
 * status
 *
 * A watch of all namespaces brings the objects; for each the pods of its workload are followed,
 * agents are placed, configured and proven, and what came of it is written to its status. Every
 * replica follows and configures; only the leader places, proves, writes and deletes.
 */
#ifndef MANAGER_INTERCEPTS_H
#define MANAGER_INTERCEPTS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <uv.h>

#include "core/attr.h"
#include "net/addr.h"

struct agents_reach_target;
struct err;
struct h2_stream;
struct identity;
struct intercepts;
struct kube_client;
struct sessions;

struct intercepts_config {
	const char *namespace, *pod; /* the manager's own */
	uint16_t agent_port;
	uint32_t agent_idle_s;
	const struct ip_addr *own; /* the manager's addresses: families that can be probed */
	size_t own_count;
	void (*on_image)(void *user, const char *image); /* once: what agents are made of */
	void *user;
};

/* Opens the agents' listener as well; the identity is borrowed. */
NODISCARD int intercepts_new(uv_loop_t *loop, struct kube_client *client, struct sessions *sessions,
	struct identity *identity, const struct intercepts_config *config,
	struct intercepts **ret_set, struct err *err);
void intercepts_free(struct intercepts *set); /* NULL-safe; deferred */
void intercepts_lead(struct intercepts *set, bool leader);

typedef void (*intercepts_env_fn)(void *user, json_object *env);
/* The environment of an intercept's app, for the Session that has it. -ENOENT, -EACCES, -EAGAIN (no
 * agent yet), -EBUSY (err says why there is none to be had), or 0: on_env follows, with NULL when
 * none came in time. */
NODISCARD int intercepts_env(struct intercepts *set, const char *uid, const char *session_uid,
	intercepts_env_fn on_env, void *user, struct err *err);
/* A client's stream into a pod of an intercept that is ACTIVE, for the Session that has it; the
 * stream is answered, now or later. */
void intercepts_reach(struct intercepts *set, const char *uid, const char *session_uid,
	const struct agents_reach_target *target, struct h2_stream *stream);
/* Another replica's matter from now on: agents_leave(). */
unsigned int intercepts_leave(struct intercepts *set);
/* Every agent ends: the manager is uninstalled. To be called again while there are agents that have
 * not come yet to be told; returns how many. */
unsigned int intercepts_shutdown(struct intercepts *set, const char *reason);

#endif /* MANAGER_INTERCEPTS_H */
