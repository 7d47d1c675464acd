/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/agents.h"

#include <errno.h>
#include <string.h>
#include <utlist.h>

#include "cluster/json.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "manager/agent_messages.h"
#include "manager/agents_env.h"
#include "manager/agents_impl.h"

/* Deadlines here are of seconds. */
#define SWEEP_MS 100
/* An agent that was told to exit closes its connection itself; else we do. */
#define EXIT_MS 2000

struct agent_pod *agents_find(const struct agents *agents, const char *pod_uid)
{
	struct agent_pod *pod = NULL;

	HASH_FIND_STR(agents->pods, pod_uid, pod);
	return pod;
}

void agents_release(struct agents *agents)
{
	if (agents->sweep_closed && !agents->conns)
		free(agents);
}

/* One that was told to exit and has not. Closing it may take the agent's other one along, so each
 * is looked for anew. */
static struct agent_conn *overdue(const struct agents *agents, uint64_t now_ms)
{
	struct agent_conn *conn = NULL;

	DL_FOREACH (agents->conns, conn) {
		if (conn->close_ms > 0 && now_ms >= conn->close_ms)
			return conn;
	}
	return NULL;
}

static void on_sweep(uv_timer_t *timer)
{
	struct agents *agents = timer->data;
	struct agent_env *env = NULL, *next_env = NULL;
	struct agent_conn *conn = NULL;
	uint64_t now_ms = uv_now(agents->loop);
	bool left = agent_reach_sweep(agents, now_ms);

	DL_FOREACH_SAFE (agents->envs, env, next_env) {
		if (!env->pod || now_ms >= env->deadline_ms)
			agent_env_finish(agents, env);
		else
			left = true;
	}
	while ((conn = overdue(agents, now_ms)))
		agent_peer_close(conn->peer, "told to exit");
	DL_FOREACH (agents->conns, conn)
		left = left || conn->close_ms > 0;
	/* on_env may have asked again. */
	if (!left && !agents->envs)
		(void)uv_timer_stop(timer);
}

void agents_arm(struct agents *agents)
{
	if (!agents->closing && !uv_is_active((uv_handle_t *)&agents->sweep))
		(void)uv_timer_start(&agents->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

void agent_conn_exit(struct agent_conn *conn, const char *reason)
{
	if (conn->close_ms > 0)
		return;
	agent_send_exit(conn, reason);
	conn->close_ms = uv_now(conn->agents->loop) + EXIT_MS;
	agents_arm(conn->agents);
}

static bool has_address(const struct agent_pod *pod, const struct ip_addr *addr)
{
	for (size_t i = 0; i < pod->addr_count; i++) {
		if (ip_addr_equal(&pod->addrs[i], addr))
			return true;
	}
	return false;
}

static bool on_admit(void *user, const struct ip_addr *source)
{
	const struct agents *agents = user;
	struct agent_pod *pod = NULL, *next = NULL;

	HASH_ITER (hh, agents->pods, pod, next) {
		if (has_address(pod, source))
			return true;
	}
	return false;
}

static bool on_spend_token(void *user, const uint8_t token[static AGENT_TOKEN_BYTES],
	const char *pod_uid, const struct ip_addr *source)
{
	struct agents *agents = user;
	struct agent_pod *pod = agents_find(agents, pod_uid);

	if (!pod || !has_address(pod, source))
		return false;
	if (agent_tokens_spend(&pod->tokens, uv_now(agents->loop), token))
		return true;
	if (agents->events.on_unproven)
		agents->events.on_unproven(agents->user, pod->uid);
	return false;
}

static bool on_known(void *user, const char *pod_uid, const struct ip_addr *source)
{
	const struct agent_pod *pod = agents_find(user, pod_uid);

	return pod && has_address(pod, source);
}

static void on_agent(void *user, struct agent_peer *peer)
{
	struct agents *agents = user;
	struct agent_pod *pod = agents_find(agents, agent_peer_pod_uid(peer));
	struct agent_conn *conn;

	if (!pod || (agent_peer_h2(peer) && !pod->conn)) {
		agent_peer_close(peer, pod ? "nothing was asked" : "not wanted");
		return;
	}
	conn = XNEW(struct agent_conn);
	conn->agents = agents;
	conn->pod = pod;
	conn->peer = peer;
	DL_APPEND(agents->conns, conn);
	agent_peer_set_user(peer, conn);
	if (!agent_peer_h2(peer))
		return;
	if (pod->reverse)
		agent_peer_close(pod->reverse->peer, "connected again");
	pod->reverse = conn;
	agent_reach_open(pod);
}

static void on_agent_gone(void *user, struct agent_peer *peer)
{
	struct agents *agents = user;
	struct agent_conn *conn = agent_peer_get_user(peer);
	struct agent_pod *pod = conn ? conn->pod : NULL;

	if (!conn)
		return;
	lines_free(conn->control);
	DL_DELETE(agents->conns, conn);
	if (pod && pod->reverse == conn)
		pod->reverse = NULL;
	if (pod && pod->conn == conn) {
		log_info("agent lost", "pod=%s agent=%s", pod->name, conn->name);
		pod->conn = NULL;
		if (pod->reverse)
			agent_peer_close(pod->reverse->peer, "its agent is lost");
		agent_pod_lose_expects(pod);
		agents->events.on_lost(agents->user, pod->uid);
	}
	free(conn);
	agents_release(agents);
}

static void on_stream(void *user UNUSED, struct agent_peer *peer, struct h2_stream *stream,
	const struct h2_head *head)
{
	struct agent_conn *conn = agent_peer_get_user(peer);

	if (conn)
		agent_streams_serve(conn, stream, head);
}

static const struct agent_server_events server_events = {
	.admit = on_admit,
	.spend_token = on_spend_token,
	.known = on_known,
	.on_agent = on_agent,
	.on_agent_gone = on_agent_gone,
	.on_stream = on_stream,
};

static void on_sweep_closed(uv_handle_t *handle)
{
	struct agents *agents = handle->data;

	agents->sweep_closed = true;
	agents_release(agents);
}

int agents_new(uv_loop_t *loop, uint16_t port, struct identity *identity, struct sessions *sessions,
	const struct agents_events *events, void *user, struct agents **ret_agents, struct err *err)
{
	struct agents *agents = XNEW(struct agents);
	int r;

	agents->loop = loop;
	agents->sessions = sessions;
	agents->events = *events;
	agents->user = user;
	agents->idle_s = AGENTS_IDLE_S;
	r = agent_server_new(loop, port, identity, &server_events, agents, &agents->server, err);
	if (r < 0) {
		free(agents);
		return r;
	}
	(void)uv_timer_init(loop, &agents->sweep);
	agents->sweep.data = agents;
	*ret_agents = agents;
	return 0;
}

/* The pod's connections outlive it. */
static void remove_pod(struct agent_pod *pod)
{
	struct agents *agents = pod->agents;
	struct agent_conn *conn = NULL;
	struct agent_env *env = NULL;

	HASH_DEL(agents->pods, pod);
	DL_FOREACH (agents->conns, conn) {
		if (conn->pod == pod)
			conn->pod = NULL;
	}
	pod->conn = pod->reverse = NULL;
	agent_pod_lose_expects(pod);
	agent_reach_check(agents, pod->uid);
	DL_FOREACH (agents->envs, env) {
		if (env->pod == pod)
			env->pod = NULL;
	}
	json_object_put(pod->intercepts);
	json_object_put(pod->node_addresses);
	free(pod->name);
	explicit_bzero(&pod->tokens, sizeof(pod->tokens));
	free(pod);
}

void agents_free(struct agents *agents)
{
	struct agent_pod *pod = NULL, *next = NULL;

	if (!agents)
		return;
	agents->closing = true;
	agent_streams_forget(agents);
	agent_reach_forget(agents);
	HASH_ITER (hh, agents->pods, pod, next)
		remove_pod(pod);
	while (agents->envs)
		agent_env_finish(agents, agents->envs);
	uv_close((uv_handle_t *)&agents->sweep, on_sweep_closed);
	agent_server_free(TAKE_PTR(agents->server));
}

void agents_set_idle(struct agents *agents, unsigned int seconds)
{
	agents->idle_s = seconds;
}

void agents_add(struct agents *agents, const char *pod_uid, const char *name,
	const struct ip_addr *addrs, size_t count)
{
	struct agent_pod *pod = agents_find(agents, pod_uid);

	if (strlen(pod_uid) >= AGENT_UID_BYTES)
		return; /* no UID of Kubernetes: nobody can join by it */
	if (!pod) {
		pod = XNEW(struct agent_pod);
		pod->agents = agents;
		memcpy(pod->uid, pod_uid, strlen(pod_uid) + 1);
		pod->name = xstrdup(name);
		HASH_ADD_STR(agents->pods, uid, pod);
	}
	pod->addr_count = MIN(count, (size_t)AGENTS_POD_ADDRESSES);
	for (size_t i = 0; i < pod->addr_count; i++)
		pod->addrs[i] = addrs[i];
}

void agents_remove(struct agents *agents, const char *pod_uid)
{
	struct agent_pod *pod = agents_find(agents, pod_uid);
	struct agent_conn *conn = NULL;

	if (!pod)
		return;
	DL_FOREACH (agents->conns, conn) {
		if (conn->pod == pod)
			agent_conn_exit(conn, "the pod is not intercepted");
	}
	remove_pod(pod);
}

void agents_token(
	struct agents *agents, const char *pod_uid, uint8_t ret_token[static AGENT_TOKEN_BYTES])
{
	struct agent_pod *pod = agents_find(agents, pod_uid);

	memset(ret_token, 0, AGENT_TOKEN_BYTES);
	if (pod && agent_tokens_make(
			   &pod->tokens, uv_now(agents->loop), AGENTS_TOKEN_MS, ret_token) < 0)
		log_error("no random bytes", "source=openssl");
}

bool agents_connected(const struct agents *agents, const char *pod_uid)
{
	const struct agent_pod *pod = agents_find(agents, pod_uid);

	return pod && pod->conn && pod->conn->close_ms == 0;
}

void agents_configure(struct agents *agents, const char *pod_uid, json_object *intercepts,
	json_object *node_addresses)
{
	struct agent_pod *pod = agents_find(agents, pod_uid);

	if (!pod) {
		json_object_put(intercepts);
		json_object_put(node_addresses);
		return;
	}
	json_object_put(pod->intercepts);
	json_object_put(pod->node_addresses);
	pod->intercepts = intercepts ? intercepts : json_object_new_array();
	pod->node_addresses = node_addresses ? node_addresses : json_object_new_array();
	pod->configured = true;
	pod->generation++;
	agent_send_config(pod);
	agent_reach_check(agents, pod_uid);
	if (pod->reverse && json_object_array_length(pod->intercepts) == 0)
		agent_peer_close(pod->reverse->peer, "nothing is intercepted");
}
