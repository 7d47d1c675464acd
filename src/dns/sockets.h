/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns/sockets.h - four sockets each of the resolver's ports: UDP and TCP on 127.0.0.1 and ::1
 */
#ifndef DNS_SOCKETS_H
#define DNS_SOCKETS_H

#include <stdint.h>

#include "core/attr.h"

#define DNS_FAMILIES 2

struct dns_sockets {
	int udp[DNS_FAMILIES], tcp[DNS_FAMILIES]; /* owned; -1: not open, or taken out */
	unsigned int families; /* 1 on a machine without IPv6 */
	uint16_t port;
};

/* Of `count` ports that follow each other. Bound and non-blocking; not listening yet. */
NODISCARD int dns_sockets_open(struct dns_sockets *ret_sockets, unsigned int count);
void dns_sockets_close(struct dns_sockets *sockets);

#endif /* DNS_SOCKETS_H */
