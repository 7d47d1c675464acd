/* SPDX-License-Identifier: Apache-2.0 */
/* Agents that shall end, or go to another manager. */
#include <string.h>
#include <utlist.h>

#include "manager/agents_impl.h"

/* The one on which its agent serves ends with it. The control stream does not count. */
static bool carries(const struct agent_conn *conn)
{
	const struct agent_pod *pod = conn->pod;

	if (agent_peer_streams(conn->peer) > (conn->control ? 1U : 0U))
		return true;
	return pod && pod->conn == conn && pod->reverse &&
	       agent_peer_streams(pod->reverse->peer) > 0;
}

/* One that carries nothing. Closing it may take the agent's other one along, so each is looked for
 * anew. */
static struct agent_conn *unused(const struct agents *agents)
{
	struct agent_conn *conn = NULL;

	DL_FOREACH (agents->conns, conn) {
		if (!carries(conn))
			return conn;
	}
	return NULL;
}

unsigned int agents_leave(struct agents *agents)
{
	struct agent_conn *conn = NULL;
	unsigned int left = 0;

	agent_server_leave(agents->server);
	while ((conn = unused(agents)))
		agent_peer_close(conn->peer, "the traffic-manager is shutting down");
	DL_COUNT(agents->conns, conn, left);
	return left;
}

static bool is_idle(const struct agent_pod *pod)
{
	return !pod->configured || json_object_array_length(pod->intercepts) == 0;
}

unsigned int agents_exit(struct agents *agents, const char *pod_uid, const char *reason)
{
	struct agent_conn *conn = NULL;
	unsigned int told = 0;

	DL_FOREACH (agents->conns, conn) {
		if (!conn->name[0] || conn->close_ms > 0 || !conn->pod || !is_idle(conn->pod))
			continue;
		if (pod_uid && strcmp(pod_uid, conn->pod->uid) != 0)
			continue;
		agent_conn_exit(conn, reason);
		told++;
	}
	return told;
}
