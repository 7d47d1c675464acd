/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/tcp_flow.h - one accepted connection: who gets it, and then its bytes
 *
 * docs/agent.md, section 4. Nothing is read of a connection until the laptop has answered; what the
 * laptop does not take goes to the app with not a byte lost.
 */
#ifndef AGENT_TCP_FLOW_H
#define AGENT_TCP_FLOW_H

#include "agent/engine_priv.h"

/* Takes the fd. target: the address that was meant, as getsockname(2) says. */
void tcp_flow_start(struct engine *engine, int fd, const struct ip_endpoint *source,
	const struct ip_endpoint *target);
/* The engine goes: the connection is reset. */
void tcp_flow_abort(struct tcp_flow *flow);
struct tcp_flow *tcp_flow_next(struct tcp_flow *flow);

#endif /* AGENT_TCP_FLOW_H */
