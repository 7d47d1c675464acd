/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/network_reach.h - what of the cluster is reached by the tunnel
 */
#ifndef CLIENT_USERD_NETWORK_REACH_H
#define CLIENT_USERD_NETWORK_REACH_H

#include <stdbool.h>

struct cluster_info;
struct ip_addr;
struct network;

/* Whether the address is a pod's or a service's and routed to the cluster. NULL-safe. */
bool network_reaches(
	const struct network *network, const struct cluster_info *info, const struct ip_addr *addr);
/* The same of a session's network, as intercepts ask it. user: session. */
bool session_leads_back(void *user, const struct ip_addr *addr);

#endif /* CLIENT_USERD_NETWORK_REACH_H */
