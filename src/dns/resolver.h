/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns/resolver.h - answers the laptop's DNS queries: the cluster's names from the cluster, the rest
 * from where it was
 *
 * Listens (UDP and TCP, 127.0.0.1 and ::1) behind the root daemon's nftables redirect of the
 * nameservers, for each on a port of its own. A name that is the cluster's (rules: docs/dns.md) is
 * rewritten to its full form and asked through the tunnel by `query`; the answer comes back under
 * the name that was asked. Everything else is forwarded byte for byte to the nameserver that was
 * asked by sockets from `upstream_socket` (which the redirect leaves alone), with its answer
 * unchanged.
 */
#ifndef DNS_RESOLVER_H
#define DNS_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/attr.h"
#include "dns/lines.h"
#include "dns/names.h"
#include "net/addr.h"

struct dns_query;
struct dns_resolver;
struct err;

struct dns_events {
	/*
	 * Ask the cluster this wire-format message (RFC 8484 body); answer with dns_query_answer(),
	 * once, also after dns_resolver_free(). The callee may answer from within. -errno: not
	 * asked, and the query is dead; the client gets SERVFAIL at once.
	 */
	int (*query)(void *user, struct dns_query *query, const uint8_t *msg, size_t len);
	/* A new socket of this kind that the redirect does not touch, -errno else. The resolver's
	 * from here. */
	int (*upstream_socket)(void *user, int family, int type);
};

struct dns_config {
	struct dns_upstream upstream;
	const char *cluster_domain; /* "cluster.local"; until dns_names_set_cluster() */
	const char *namespace; /* single labels are looked up here */
	const struct dns_settings *settings; /* NULL: the defaults; copied */
};

struct dns_counters {
	uint64_t queries, cluster, forwarded, answered_cache, failed, refused, loops;
	uint64_t dropped; /* messages that are no queries */
	uint64_t lost; /* datagrams that came faster than they were read */
	uint64_t waiting; /* not answered yet */
};

NODISCARD int dns_resolver_new(uv_loop_t *loop, const struct dns_config *config,
	const struct dns_events *events, void *user, struct dns_resolver **ret_resolver,
	struct err *err);
void dns_resolver_free(struct dns_resolver *resolver); /* deferred; no callback follows */
/* Of the first nameserver; those of the others follow. */
uint16_t dns_resolver_port(const struct dns_resolver *resolver);
/* Its rules: which names are the cluster's. */
struct dns_names *dns_resolver_names(const struct dns_resolver *resolver);
void dns_resolver_set_upstream(struct dns_resolver *resolver, const struct dns_upstream *upstream);
/* What the cluster said about the full name, and names below it, is asked anew from now on; NULL:
 * about every name. */
void dns_resolver_forget(struct dns_resolver *resolver, const char *name);
/*
 * Once the redirect stands: asks the nameserver for a name that nobody else knows. If the question
 * comes back here, the nameserver forwards to this machine, and counters.loops says so.
 */
void dns_resolver_check_loop(struct dns_resolver *resolver);
/* msg NULL: failed, SERVFAIL. The query pointer is dead afterwards. */
void dns_query_answer(struct dns_query *query, const uint8_t *msg, size_t len);
const struct dns_counters *dns_resolver_counters(struct dns_resolver *resolver);

#endif /* DNS_RESOLVER_H */
