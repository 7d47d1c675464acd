/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns/sockets.h - the sockets of the resolver's ports: UDP and TCP on 127.0.0.1 and ::1
 *
 * Of UDP several share a port (SO_REUSEPORT): what nobody has read yet waits in the sockets'
 * buffers, of which one holds some 270 queries, and who may not have larger ones can have more.
 */
#ifndef DNS_SOCKETS_H
#define DNS_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"

struct sockaddr;

#define DNS_FAMILIES 2
/* As many queries at once as may be under way (LIMIT_DNS_INFLIGHT), if they come from many ports.
 */
#define DNS_UDP_SOCKETS 4

struct dns_sockets {
	int udp[DNS_FAMILIES][DNS_UDP_SOCKETS]; /* owned; -1: not open, or taken out */
	int tcp[DNS_FAMILIES]; /* the same */
	unsigned int families; /* 1 on a machine without IPv6 */
	uint16_t port;
};

/* Of `count` ports that follow each other. Bound and non-blocking; not listening yet. */
NODISCARD int dns_sockets_open(struct dns_sockets *ret_sockets, unsigned int count);
void dns_sockets_close(struct dns_sockets *sockets);
/* Whether it is an address of this machine. */
bool dns_sockets_local(const struct sockaddr *peer);

#endif /* DNS_SOCKETS_H */
