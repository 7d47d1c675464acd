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

#define NETWORK_MTU 1500

struct assoc_table;
struct dialer;
struct dns_resolver;
struct doh;
struct flow_engine;

struct network {
	struct network_config config;
	char *namespace;
	struct proxy_lists lists;
	struct prefix_set direct; /* direct hosts and nameservers */
	struct resolv_conf resolv;
	struct root_tun tun; /* fd: the engine's, once there is one */
	struct ip_prefix own4, own6;
	struct plan plan; /* in force */
	struct dialer *dialer;
	struct assoc_table *assocs;
	struct flow_engine *engine;
	struct doh *doh;
	struct dns_resolver *resolver;
	bool redirected;
};

#endif /* CLIENT_USERD_NETWORK_PRIV_H */
