/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/agents_env.h"

#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "core/alloc.h"
#include "manager/agent_messages.h"
#include "manager/agents_impl.h"

/* The newest connection is not what another one left behind. */
static struct agent_conn *find_conn(
	const struct agents *agents, const char *pod_uid, const char *container)
{
	struct agent_conn *conn = NULL, *found = NULL;

	DL_FOREACH (agents->conns, conn) {
		if (conn->pod && strcmp(conn->pod->uid, pod_uid) == 0 && conn->close_ms == 0 &&
			strcmp(conn->container, container) == 0)
			found = conn;
	}
	return found;
}

bool agents_has_env(const struct agents *agents, const char *pod_uid, const char *container)
{
	return find_conn(agents, pod_uid, container) != NULL;
}

void agents_env(struct agents *agents, const char *pod_uid, const char *container,
	void (*on_env)(void *user, json_object *env), void *user)
{
	struct agent_conn *conn = find_conn(agents, pod_uid, container);
	struct agent_env *env = XNEW(struct agent_env);

	env->pod = agents_find(agents, pod_uid);
	(void)snprintf(env->container, sizeof(env->container), "%s", container);
	env->id = ++agents->last_id;
	env->deadline_ms = uv_now(agents->loop) + AGENTS_ENV_MS;
	env->on_env = on_env;
	env->user = user;
	DL_APPEND(agents->envs, env);
	if (conn)
		agent_send_env(conn, env->id);
	agents_arm(agents);
}

static bool is_of(const struct agent_env *env, const struct agent_conn *conn)
{
	return env->pod == conn->pod && strcmp(env->container, conn->container) == 0;
}

void agent_env_hello(struct agent_conn *conn)
{
	struct agent_env *env = NULL;

	DL_FOREACH (conn->agents->envs, env) {
		if (is_of(env, conn))
			agent_send_env(conn, env->id);
	}
}

void agent_env_answer(const struct agent_conn *conn, int64_t id, json_object *values)
{
	struct agents *agents = conn->agents;
	struct agent_env *env = NULL;

	DL_FOREACH (agents->envs, env) {
		if (env->id != id || !is_of(env, conn))
			continue;
		DL_DELETE(agents->envs, env);
		env->on_env(env->user, values);
		free(env);
		return;
	}
}

void agent_env_finish(struct agents *agents, struct agent_env *env)
{
	DL_DELETE(agents->envs, env);
	env->on_env(env->user, NULL);
	free(env);
}
