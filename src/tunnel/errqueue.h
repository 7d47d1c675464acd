/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/errqueue.h - what ICMP said about a socket's packets
 *
 * errno alone has one value for a host that is not there and for a filter that refuses, and a UDP
 * socket is not told of the former at all (ip(7), IP_RECVERR).
 */
#ifndef TUNNEL_ERRQUEUE_H
#define TUNNEL_ERRQUEUE_H

#include <stdbool.h>

#include "core/attr.h"
#include "tunnel/reason.h"

/* Of a datagram socket, before connect(2). */
void errqueue_enable(int fd, int family);
/* Empties the queue. The first error in it that ends an exchange; NONE: there is none, but perhaps
 * passing ones (a packet that was too big or that had no hops left). *ret_any: there was one at
 * all.
 */
enum reason errqueue_take(int fd, bool *ret_any);
/* Of a TCP socket that failed to connect with this errno: EACCES if a packet filter refused. IPv4's
 * connect(2) says EHOSTUNREACH then, IPv6's EACCES. */
int errqueue_errno(int fd, int code);

#endif /* TUNNEL_ERRQUEUE_H */
