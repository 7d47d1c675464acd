/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netfilter/intercept_rules.h - new connections to some ports of this network namespace go to an
 * agent
 *
 * The table of docs/agent.md, section 5: static rules, ports are elements of sets and maps. It
 * exists while at least one port is set and is owned by the nftables socket. Privilege:
 * CAP_NET_ADMIN.
 */
#ifndef NETFILTER_INTERCEPT_RULES_H
#define NETFILTER_INTERCEPT_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"
#include "net/addr.h"

/* Sockets of the agent that must never be redirected, and those whose datagrams answer. */
#define INTERCEPT_MARK     0x7439
#define INTERCEPT_UDP_MARK 0x743a
#define INTERCEPT_PORTS    64
#define INTERCEPT_NODES    32

struct err;
struct intercept_rules;
struct nft;

struct intercept_port {
	uint16_t port; /* intercepted */
	uint16_t listener; /* of the agent, on 127.0.0.1 and ::1; all TCP ports have the same */
	uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP */
	bool tcp_probe; /* the kubelet probes it by tcpSocket: from a node's address it passes */
};

struct intercept_want {
	struct intercept_port ports[INTERCEPT_PORTS];
	size_t port_count;
	struct ip_addr nodes[INTERCEPT_NODES];
	size_t node_count;
};

struct intercept_rules *intercept_rules_new(struct nft *nft); /* borrows nft */
/* Makes the kernel's state as wanted, in one transaction; no port: no table. On failure nothing has
 * changed; -EBUSY: somebody else redirects here. */
NODISCARD int intercept_rules_set(
	struct intercept_rules *rules, const struct intercept_want *want, struct err *err);
void intercept_rules_free(struct intercept_rules *rules); /* NULL-safe; leaves the kernel's state */

#endif /* NETFILTER_INTERCEPT_RULES_H */
