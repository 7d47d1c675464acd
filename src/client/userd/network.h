/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/network.h - the cluster's network on this laptop: device, routes, flows, names
 *
 * Everything that the kernel holds for it goes with network_free(): the TUN with its fd, the DNS
 * redirect with the root daemon's answer. It survives a lost tunnel: the uplink's h2 is then NULL,
 * new flows wait, cluster names are SERVFAIL, other names go on.
 * Threading: loop thread only; the calls to the root daemon block for a handful of system calls.
 */
#ifndef CLIENT_USERD_NETWORK_H
#define CLIENT_USERD_NETWORK_H

#include <json-c/json.h>
#include <stdbool.h>
#include <uv.h>

#include "client/userd/args.h"
#include "core/attr.h"
#include "net/addr.h"

struct cluster_info;
struct dns_settings;
struct err;
struct network;
struct proxy_lists;
struct root_client;
struct uplink;

struct network_config {
	uv_loop_t *loop;
	struct root_client *root; /* borrowed */
	const struct uplink *uplink; /* borrowed */
	const char *namespace; /* copied */
	const struct dns_settings *dns; /* borrowed */
	const struct proxy_lists *lists; /* copied */
	const struct ip_addr *direct; /* API server and proxy: never routed; borrowed */
	size_t direct_count;
	/* Somebody took the device away: nothing works any more. network_free() is allowed. */
	void (*on_lost)(void *user);
	void *user;
};

struct network_proof {
	uint64_t queries, failed, waiting; /* of DNS: came here, of these not answered, not yet */
	uint64_t connections; /* came to the device */
	bool left_out; /* --never-proxy has Services: their connections go elsewhere */
};

NODISCARD int network_new(const struct network_config *config, const struct cluster_info *info,
	struct network **ret_network, struct err *err);
void network_free(struct network *network); /* NULL-safe */
/* New subnets or namespaces, or other routes on the laptop: ours are set anew, without those that
 * conflict. On failure everything stays as it was. */
NODISCARD int network_update(
	struct network *network, const struct cluster_info *info, struct err *err);
/* The API server or the proxy has other addresses; for the next network_update(). */
void network_set_direct(struct network *network, const struct ip_addr *direct, size_t count);
/* The Service "NAME.NAMESPACE" has changed, or any may have (NULL): its name is asked for anew. */
void network_forget(struct network *network, const char *service, const char *cluster_domain);
/* The headless Services of the namespaces that are searched. Copied. */
void network_set_headless(struct network *network, const struct cluster_info *info,
	const char *const *services, size_t count);
const char *network_device(const struct network *network);
/* Adds device, subnets, DNS and counters to the status of the root daemon. */
void network_describe(const struct network *network, json_object *root_daemon);
/* Who would answer for a name, by which rule, as an object; NULL: it is not a name. */
NODISCARD json_object *network_explain_name(const struct network *network, const char *name);
/* What came of the self-test: for its verdict. */
void network_prove(const struct network *network, const struct cluster_info *info,
	struct network_proof *ret_proof);
/* -EEXIST with the subnet of the cluster that a routing rule of this machine leads elsewhere. */
NODISCARD int network_stray(const struct network *network, struct err *err);
/* Namespaces in which single labels are looked up that the connection's does not know. Copied. */
void network_set_further(struct network *network, const struct cluster_info *info,
	const char *const *namespaces, size_t count);

#endif /* CLIENT_USERD_NETWORK_H */
