/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/udp_flow.h - datagrams between one sender and one address of the pod
 *
 * The first one asks; a few wait for the answer. Then they go to the laptop, or to the app by a
 * socket of their own, until nothing has come either way for UDP_FLOW_IDLE_MS. Where nobody listens
 * at the laptop's port they go to the app from then on, with those that were not answered. A
 * datagram that nobody takes in time is lost, as on any network.
 */
#ifndef AGENT_UDP_FLOW_H
#define AGENT_UDP_FLOW_H

#include "agent/engine_priv.h"

#define UDP_FLOW_IDLE_MS 60000
/* Of one port: as many as the manager has for one peer. */
#define UDP_FLOW_MAX 4096
/* Datagrams that wait for the answer. */
#define UDP_FLOW_WAITING 16

struct udp_flow;
struct udp_port;

/* Those of one port. */
struct udp_flows {
	struct engine *engine;
	struct udp_port *port;
	struct udp_flow *table;
	size_t queued_bytes, kept_bytes;
};

/* A datagram from source that was meant for target. */
void udp_flow_receive(struct udp_flows *flows, const struct ip_endpoint *source,
	const struct ip_endpoint *target, const uint8_t *data, size_t len);
void udp_flow_end_all(struct udp_flows *flows);

#endif /* AGENT_UDP_FLOW_H */
