/* SPDX-License-Identifier: Apache-2.0 */
/* The resolver of a network: what it asks, and how the laptop's queries come to it. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "client/userd/doh.h"
#include "client/userd/info.h"
#include "client/userd/network_priv.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "dns/resolver.h"

#define DNS_PORT 53

static int on_query(void *user, struct dns_query *query, const uint8_t *msg, size_t len)
{
	struct network *network = user;

	return doh_ask(network->doh, query, msg, len);
}

static int on_upstream_socket(void *user, int family, int type)
{
	struct network *network = user;
	struct err err = ERR_INIT;

	return root_client_socket(network->config.root, family, type, &err);
}

/* The cluster's subnets, whether routed or not: whose reverse names it has. */
static struct ip_prefix *copy_subnets(const struct cluster_info *info, size_t *ret_count)
{
	size_t services = info->services.count, pods = info->pods.count;
	struct ip_prefix *subnets = xcalloc(services + pods + 1, sizeof(*subnets));

	memcpy(subnets, info->services.items, services * sizeof(*subnets));
	memcpy(subnets + services, info->pods.items, pods * sizeof(*subnets));
	*ret_count = services + pods;
	return subnets;
}

static void set_rules(struct network *network, const struct cluster_info *info)
{
	struct dns_names *names = dns_resolver_names(network->resolver);
	size_t count = 0;
	auto_free struct ip_prefix *subnets = copy_subnets(info, &count);

	dns_names_set_cluster(
		names, info->domain, (const char *const *)info->namespaces, info->namespace_count);
	dns_names_set_subnets(names, subnets, count);
}

/* The first nameserver alone is redirected and asked: programs ask the others themselves. */
static int open_resolver(struct network *network, const struct cluster_info *info, struct err *err)
{
	const struct ip_endpoint server = {
		.addr = network->resolv.nameservers[0], .port = DNS_PORT};
	static const struct dns_events events = {
		.query = on_query, .upstream_socket = on_upstream_socket};
	const struct dns_config config = {
		.nameservers = &server,
		.nameserver_count = 1,
		.cluster_domain = info->domain,
		.namespace = network->namespace,
		.settings = network->config.dns,
	};
	int r = dns_resolver_new(
		network->config.loop, &config, &events, network, &network->resolver, err);

	if (r < 0)
		return r;
	set_rules(network, info);
	return 0;
}

static int redirect(struct network *network, struct err *err)
{
	int r = root_client_dns(network->config.root, network->resolv.nameservers, 1,
		dns_resolver_port(network->resolver), err);

	if (r == 0)
		network->redirected = true;
	return r;
}

int network_dns_open(struct network *network, const struct cluster_info *info, struct err *err)
{
	int r;

	network->doh = doh_new(network->config.uplink);
	r = open_resolver(network, info, err);
	if (r == 0)
		r = redirect(network, err);
	if (r == 0)
		dns_resolver_check_loop(network->resolver);
	return r;
}

void network_dns_update(struct network *network, const struct cluster_info *info)
{
	set_rules(network, info);
}

void network_dns_close(struct network *network)
{
	struct err err = ERR_INIT;

	/* The redirect first: until it is gone, queries come here. */
	if (network->redirected && root_client_dns(network->config.root, NULL, 0, 0, &err) < 0)
		log_debug("the DNS redirect ends with the root daemon", "error=%s", err.msg);
	doh_free(TAKE_PTR(network->doh));
	if (network->resolver)
		dns_resolver_free(TAKE_PTR(network->resolver));
}

void network_forget(struct network *network, const char *service, const char *cluster_domain)
{
	auto_free char *name = service ? xasprintf("%s.svc.%s", service, cluster_domain) : NULL;

	for (char *c = name; c && *c; c++)
		*c = (char)tolower((unsigned char)*c);
	dns_resolver_forget(network->resolver, name);
}

void network_dns_counts(const struct network *network, uint64_t *ret_queries, uint64_t *ret_failed)
{
	const struct dns_counters *counters = dns_resolver_counters(network->resolver);

	*ret_queries = counters->queries;
	*ret_failed = counters->failed;
}
