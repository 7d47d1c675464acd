/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns/routing.h - the domains below which names may be the cluster's, for a resolver that routes by
 * domain (systemd-resolved)
 *
 * It covers every name that the rules of dns/names.h may give to the cluster. What else comes is
 * forwarded by those rules.
 */
#ifndef DNS_ROUTING_H
#define DNS_ROUTING_H

#include <stddef.h>

#include "core/attr.h"
#include "dns/settings.h"
#include "net/addr.h"

struct dns_routing {
	const char *cluster_domain;
	const char *namespace; /* where single labels are looked up */
	const char *const *further; /* and then in these */
	size_t further_count;
	const char *const *headless; /* Services of `namespace` */
	size_t headless_count;
	const char *const *namespaces;
	size_t namespace_count;
	const struct ip_prefix *subnets; /* whose reverse names the cluster has */
	size_t subnet_count;
	const struct dns_settings *settings;
};

/*
 * Writes names in lower case one after the other, each with its NUL; "~" before those that are not
 * to be searched. Each is there once. Namespaces come last: those for which there is no room
 * (bytes, names) are counted in *ret_left_out. The bytes written.
 */
size_t dns_routing_domains(const struct dns_routing *routing, char *out, size_t bytes, size_t names,
	size_t *ret_left_out);

#endif /* DNS_ROUTING_H */
