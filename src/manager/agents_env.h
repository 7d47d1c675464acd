/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/agents_env.h - the environments of a pod's containers, as its agents have them
 *
 * An agent has that of one container; a reader (pods.h) is there for another one's alone.
 */
#ifndef MANAGER_AGENTS_ENV_H
#define MANAGER_AGENTS_ENV_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

/* An environment that was asked for and has not come by then. */
#define AGENTS_ENV_MS 3000

struct agent_conn;
struct agent_env;
struct agents;

/* Whether somebody is connected who has that container's. */
bool agents_has_env(const struct agents *agents, const char *pod_uid, const char *container);
/* Asks who has it, now or when it connects; env is borrowed, and NULL when none came in
 * AGENTS_ENV_MS. Called once, not from within; at the latest by agents_free(). */
void agents_env(struct agents *agents, const char *pod_uid, const char *container,
	void (*on_env)(void *user, json_object *env), void *user);

/* For the files of agents_impl.h. */
void agent_env_hello(struct agent_conn *conn); /* is asked what is waited for */
void agent_env_answer(const struct agent_conn *conn, int64_t id, json_object *values);
void agent_env_finish(struct agents *agents, struct agent_env *env); /* without an answer */

#endif /* MANAGER_AGENTS_ENV_H */
