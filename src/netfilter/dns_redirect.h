/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netfilter/dns_redirect.h - sends the host's own DNS queries to a local port
 *
 * For each family that has a nameserver one table with two chains on the output hook, of two static
 * rules each (UDP and TCP port 53): one puts the flows into a conntrack zone of their own, the
 * other redirects them. Who is redirected, and where to, are elements of one map (nameserver ->
 * port): the resolver has a port for each, since a redirect hides whom a query was for. Queries go
 * to 127.0.0.1 or ::1 and their answers come back from the nameserver's address, since the kernel
 * tracks the connection; a nameserver on loopback (127.0.0.53) works the same way. Packets with the
 * mark pass: so the resolver behind the port reaches the nameserver itself. The tables are owned by
 * the nftables socket and die with it.
 */
#ifndef NETFILTER_DNS_REDIRECT_H
#define NETFILTER_DNS_REDIRECT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"
#include "core/limits.h"
#include "net/addr.h"

struct err;
struct nft;

struct dns_redirect {
	struct nft *nft; /* borrowed */
	char table[32];
	uint32_t mark;
	bool has_table[2]; /* IPv4, IPv6 */
	struct ip_addr current[LIMIT_ROOT_NAMESERVERS];
	size_t count;
};

void dns_redirect_init(struct dns_redirect *redirect, struct nft *nft, uint32_t id, uint32_t mark);
/* Replaces the whole set in one transaction; count 0 removes the tables. The first nameserver's
 * queries go to `port`, the next one's to the port after it. Duplicates are one; those of no family
 * are left out. */
NODISCARD int dns_redirect_set(struct dns_redirect *redirect, const struct ip_addr *nameservers,
	size_t count, uint16_t port, struct err *err);

#endif /* NETFILTER_DNS_REDIRECT_H */
