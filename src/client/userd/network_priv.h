/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/network_priv.h - a network's parts, for its own files
 */
#ifndef CLIENT_USERD_NETWORK_PRIV_H
#define CLIENT_USERD_NETWORK_PRIV_H

#include <stdbool.h>

#include "client/userd/network.h"
#include "client/userd/plan.h"
#include "client/userd/subnets.h"
#include "ipc/root_client.h"
#include "resolv/resolvconf.h"

/* Of the TUN, which is no wire: both TCP ends are on this machine, and datagrams may be of any
 * size. The kernel makes packets as large as a flow sends in a millisecond, but not smaller than
 * two segments; four of these are the 64 KiB that cross the TUN at once (docs/dataplane.md). */
#define NETWORK_MTU 16000

struct assoc_table;
struct dialer;
struct dns_resolver;
struct doh;
struct flow_engine;

/* Where names go that are not the cluster's, in this order. */
struct upstream {
	struct ip_endpoint servers[RESOLV_NAMESERVERS];
	unsigned int count;
};

struct nameservers {
	struct resolv_conf resolv;
	struct upstream upstream;
	bool stub; /* the first is systemd-resolved's own, and `upstream` is whom that asks */
};

struct network {
	struct network_config config;
	char *namespace;
	struct proxy_lists lists;
	struct prefix_set direct; /* direct hosts and nameservers */
	struct nameservers servers;
	struct root_tun tun; /* fd: the engine's, once there is one */
	struct ip_prefix own4, own6;
	struct plan plan; /* in force */
	struct dialer *dialer;
	struct assoc_table *assocs;
	struct flow_engine *engine;
	struct doh *doh;
	struct dns_resolver *resolver;
	bool redirected;
	char **further; /* namespaces in which single labels are looked up, too */
	size_t further_count;
	char **headless; /* Services of the namespaces that are searched */
	size_t headless_count;
	char *domains; /* that systemd-resolved was told; NULL: it is not used */
	size_t domain_bytes;
};

/* network_dns.c */
/* Reads who the nameservers are. */
NODISCARD int network_dns_read(struct network *network, struct err *err);
NODISCARD int network_dns_open(
	struct network *network, const struct cluster_info *info, struct err *err);
/* Follows the laptop's nameservers, which may be others on another network, and its resolver. */
void network_dns_follow(struct network *network, const struct cluster_info *info);
/* Other namespaces or subnets. */
void network_dns_update(struct network *network, const struct cluster_info *info);
void network_dns_close(struct network *network); /* also of one that was opened in part */

#endif /* CLIENT_USERD_NETWORK_PRIV_H */
