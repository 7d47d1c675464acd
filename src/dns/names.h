/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns/names.h - which names are the cluster's, and what they are called there
 *
 * The rules are docs/dns.md's table. Names come in lower case and without the final dot.
 */
#ifndef DNS_NAMES_H
#define DNS_NAMES_H

#include "core/attr.h"
#include "net/addr.h"

/* RFC 1035 2.3.4: 255 bytes on the wire are 253 characters, and a NUL. */
#define DNS_NAME_BYTES 254

struct dns_names;

enum dns_verdict {
	DNS_UPSTREAM, /* not the cluster's: forward unchanged */
	DNS_CLUSTER, /* the cluster's answer is the answer */
	DNS_CLUSTER_FIRST, /* ask the cluster; what it does not know is forwarded */
	DNS_REFUSE, /* NXDOMAIN from here, asked nowhere */
};

/* namespace: where single labels are looked up; NULL: they are not the cluster's. */
NODISCARD struct dns_names *dns_names_new(const char *cluster_domain, const char *namespace);
void dns_names_free(struct dns_names *names);
/* Replaces the domain and the set of namespaces. Strings are copied. */
void dns_names_set_cluster(struct dns_names *names, const char *cluster_domain,
	const char *const *namespaces, size_t count);
/* Addresses whose reverse names are the cluster's; replaces the set. */
void dns_names_set_subnets(struct dns_names *names, const struct ip_prefix *subnets, size_t count);
/* ret_full is set when the verdict is one of the cluster's. */
NODISCARD enum dns_verdict dns_names_judge(
	const struct dns_names *names, const char *name, char ret_full[static DNS_NAME_BYTES]);

#endif /* DNS_NAMES_H */
