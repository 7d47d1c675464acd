/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/udp.h - the sockets of one intercepted UDP port
 *
 * Datagrams come redirected, with the address they were meant for; answers leave by the same
 * socket, from that address and (by the rules) from that port. The engine owns it.
 */
#ifndef AGENT_UDP_H
#define AGENT_UDP_H

#include "agent/engine_priv.h"

NODISCARD int udp_port_open(
	struct engine *engine, uint16_t port, struct udp_port **ret_port, struct err *err);
uint16_t udp_port_listener(const struct udp_port *port);
/* From source, which a datagram was meant for, to its sender. What the socket does not take is
 * lost.
 */
void udp_port_send(const struct udp_port *port, const struct ip_endpoint *source,
	const struct ip_endpoint *target, const uint8_t *data, size_t len);
/* Ends its flows too. NULL-safe; memory deferred. */
void udp_port_close(struct udp_port *port);

#endif /* AGENT_UDP_H */
