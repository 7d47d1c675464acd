/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/datagram.h - extended CONNECT (RFC 8441) with datagrams: UDP (RFC 9298) and ICMP echo
 *
 * A stream is one connected socket of this host; capsules (tunnel/capsule.h) are its datagrams.
 * What the socket does not take at once is dropped, as UDP is. An ICMP error (port, host or net
 * unreachable, prohibited) resets the stream with the code of its reason (tunnel/reason.h), after
 * the datagrams that came before it. Without a datagram either way for DATAGRAM_IDLE_MS the stream
 * ends.
 *
 * An echo datagram is {ident, seq, data}, 16 bits each in network order. The manager pings with an
 * unprivileged socket (net.ipv4.ping_group_range), so a reply comes from the target itself. All
 * requests of one stream carry the ident of its first.
 */
#ifndef TUNNEL_DATAGRAM_H
#define TUNNEL_DATAGRAM_H

#include <uv.h>

#include "tunnel/dial.h"
#include "tunnel/h2.h"

/* Longer than what a laptop's kernel or NATs keep (RFC 4787 4.3: 5 minutes recommended). */
#define DATAGRAM_IDLE_MS 300000
/* Sockets of one peer: what a laptop has (client/userd/assoc.h), and those that its next ones take
 * the place of. */
#define DATAGRAM_MAX_PER_PEER (4096 + 256)

/* `count` counts the peer's associations and lives as long as its streams. */
void datagram_start_udp(const struct dial_env *env, unsigned int *count, struct h2_stream *stream,
	const struct h2_head *head);
/* The same to a target of the caller's own choice, whatever the stream asked for. */
void datagram_start_endpoint(const struct dial_env *env, unsigned int *count,
	struct h2_stream *stream, const struct ip_endpoint *target);
void datagram_start_icmp(const struct dial_env *env, unsigned int *count, struct h2_stream *stream,
	const struct h2_head *head);

#endif /* TUNNEL_DATAGRAM_H */
