/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns/names.h - which names are the cluster's, and what they are called there
 *
 * The rules are docs/dns.md's table. Names come in lower case and without the final dot.
 */
#ifndef DNS_NAMES_H
#define DNS_NAMES_H

#include <stdbool.h>

#include "core/attr.h"
#include "dns/settings.h"
#include "net/addr.h"

/* RFC 1035 2.3.4: 255 bytes on the wire are 253 characters, and a NUL. */
#define DNS_NAME_BYTES 254

struct dns_names;

enum dns_verdict {
	DNS_UPSTREAM, /* not the cluster's: forward unchanged */
	DNS_CLUSTER, /* the cluster's answer is the answer */
	DNS_CLUSTER_FIRST, /* ask the cluster; what it does not know is forwarded */
	DNS_REFUSE, /* NXDOMAIN from here, asked nowhere */
	DNS_FIXED, /* a mapping to an address: answered from here */
};

/* In the order in which they are looked at; the first that matches decides. */
enum dns_rule {
	DNS_RULE_WPAD,
	DNS_RULE_EXCLUDES,
	DNS_RULE_MAPPING,
	DNS_RULE_SEARCH, /* a single label */
	DNS_RULE_EXCLUDE_SUFFIX,
	DNS_RULE_HEADLESS, /* a pod of a headless Service in a namespace that is searched */
	DNS_RULE_NAMESPACE,
	DNS_RULE_POD,
	DNS_RULE_SVC,
	DNS_RULE_DOMAIN,
	DNS_RULE_REVERSE,
	DNS_RULE_INCLUDE_SUFFIX,
	DNS_RULE_OTHER,
	DNS_RULE_COUNT
};

struct dns_judgement {
	enum dns_verdict verdict;
	enum dns_rule rule;
	bool mapped; /* `rule` led to `alias`, of which `verdict` and `full` speak */
	/* Bytes of a single label, with the "_http._tcp." before it, or of a headless Service's
	 * "pod.service": `full` is where it is looked for first. 0: none. */
	size_t searched;
	char full[DNS_NAME_BYTES]; /* as the cluster is asked; set for its verdicts */
	char alias[DNS_NAME_BYTES];
	struct ip_addr address; /* DNS_FIXED */
};

/* namespace: where single labels are looked up; NULL: they are not the cluster's. */
NODISCARD struct dns_names *dns_names_new(const char *cluster_domain, const char *namespace);
void dns_names_free(struct dns_names *names);
/* Replaces the domain and the set of namespaces. Strings are copied. */
void dns_names_set_cluster(struct dns_names *names, const char *cluster_domain,
	const char *const *namespaces, size_t count);
/* Addresses whose reverse names are the cluster's; replaces the set. */
void dns_names_set_subnets(struct dns_names *names, const struct ip_prefix *subnets, size_t count);
/* Headless Services of the own and the further namespaces, without these; replaces the set. Strings
 * are copied. */
void dns_names_set_headless(struct dns_names *names, const char *const *services, size_t count);
/* Where single labels and pods of headless Services are looked up that the own namespace does not
 * know, in this order; replaces the list. Strings are copied. */
void dns_names_set_further(struct dns_names *names, const char *const *namespaces, size_t count);
/* The full name of what is searched for, in the index-th place after the own namespace; false:
 * there are not so many. */
NODISCARD bool dns_names_further(const struct dns_names *names, const char *label, size_t index,
	char ret_full[static DNS_NAME_BYTES]);
/* Suffixes, excludes and mappings; replaces them. */
void dns_names_set_settings(struct dns_names *names, const struct dns_settings *settings);
/* The verdict, also in ret_judgement. */
enum dns_verdict dns_names_judge(
	const struct dns_names *names, const char *name, struct dns_judgement *ret_judgement);
/* How the rule is called where people read it: "namespace", "exclude-suffixes". */
const char *dns_rule_name(enum dns_rule rule);

#endif /* DNS_NAMES_H */
