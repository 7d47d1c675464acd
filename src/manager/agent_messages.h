/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/agent_messages.h - the control lines between the manager and an agent
 *
 * Internal to the files of agents_impl.h. docs/agent.md has the lines.
 */
#ifndef MANAGER_AGENT_MESSAGES_H
#define MANAGER_AGENT_MESSAGES_H

#include "manager/agents_impl.h"

extern const struct lines_events agent_lines_events; /* user: the agent_conn */
void agent_send_config(struct agent_pod *pod);
void agent_send_idle(struct agent_conn *conn); /* nothing is to be done by it */
void agent_send_env(struct agent_conn *conn, uint32_t id);
void agent_send_exit(struct agent_conn *conn, const char *reason);
void agent_send_reach(struct agent_conn *conn);
/* Whether the pod's configuration has the intercept, with this port of this protocol (0: any). */
bool agent_pod_has(const struct agent_pod *pod, const char *intercept, uint16_t port, int protocol);
/* By which number the intercept knows a port of the pod: its own, unless it goes by its name. */
uint16_t agent_pod_known_as(
	const struct agent_pod *pod, const char *intercept, uint16_t port, int protocol);
/* False when the pod has no agent now. Filled: on_event by the caller. */
bool agent_expect_start(struct agents *agents, const char *pod_uid, struct agent_expect *expect,
	const struct ip_endpoint *source, uint16_t port, int protocol);
void agent_expect_stop(struct agent_expect *expect); /* also when it is over */

#endif /* MANAGER_AGENT_MESSAGES_H */
