/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the laptop's queries come to the resolver: systemd-resolved hands over those below the
 * cluster's domains where it is the system's resolver, else those to the nameservers are
 * redirected.
 * Both, where glibc's programs ask systemd-resolved and the others the nameserver of resolv.conf.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "client/userd/doh.h"
#include "client/userd/info.h"
#include "client/userd/network_priv.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"
#include "core/log.h"
#include "dns/resolver.h"
#include "dns/routing.h"
#include "tun/policy.h"

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

/* Tells systemd-resolved the domains, if they are others than it has. */
static int tell_resolved(struct network *network, const struct cluster_info *info, struct err *err)
{
	size_t count = 0, left_out = 0, bytes;
	auto_free struct ip_prefix *subnets = copy_subnets(info, &count);
	auto_free char *domains = xcalloc(1, LIMIT_ROOT_DOMAIN_BYTES);
	const struct dns_routing routing = {.cluster_domain = info->domain,
		.namespace = network->namespace,
		.further = (const char *const *)network->further,
		.further_count = network->further_count,
		.headless = (const char *const *)network->headless,
		.headless_count = network->headless_count,
		.namespaces = (const char *const *)info->namespaces,
		.namespace_count = info->namespace_count,
		.subnets = subnets,
		.subnet_count = count,
		.settings = network->config.dns};
	int r;

	bytes = dns_routing_domains(
		&routing, domains, LIMIT_ROOT_DOMAIN_BYTES, POLICY_DOMAINS, &left_out);
	if (bytes == network->domain_bytes && memcmp(domains, network->domains, bytes) == 0)
		return 0;
	r = root_client_resolved(
		network->config.root, dns_resolver_port(network->resolver), domains, bytes, err);
	if (r < 0)
		return r;
	if (left_out > 0)
		log_warn("systemd-resolved does not hand over the names of all namespaces",
			"left_out=%zu hint=%s", left_out, "NAME.NAMESPACE.svc works for all");
	free(network->domains);
	network->domains = TAKE_PTR(domains);
	network->domain_bytes = bytes;
	return 0;
}

static void take_servers(const struct resolv_conf *conf, struct upstream *upstream)
{
	*upstream = (struct upstream){.count = conf->nameserver_count};
	for (unsigned int i = 0; i < upstream->count; i++)
		upstream->servers[i] =
			(struct ip_endpoint){.addr = conf->nameservers[i], .port = DNS_PORT};
}

/* In place of systemd-resolved's stub, which would send cluster names back here, the servers that
 * it asks. */
static int read_servers(struct nameservers *ret_servers, struct err *err)
{
	struct nameservers servers = {.stub = false};
	struct resolv_conf uplinks;
	int r = resolv_conf_read(NULL, &servers.resolv, err);

	if (r < 0)
		return r;
	take_servers(&servers.resolv, &servers.upstream);
	servers.stub = resolv_conf_is_stub(&servers.resolv) && access(RESOLV_UPLINKS, R_OK) == 0 &&
		       resolv_conf_read(RESOLV_UPLINKS, &uplinks, NULL) == 0;
	if (servers.stub)
		take_servers(&uplinks, &servers.upstream);
	*ret_servers = servers;
	return 0;
}

int network_dns_read(struct network *network, struct err *err)
{
	return read_servers(&network->servers, err);
}

static bool same_servers(const struct nameservers *a, const struct nameservers *b)
{
	if (a->upstream.count != b->upstream.count || a->resolv.zoned != b->resolv.zoned ||
		!ip_addr_equal(&a->resolv.nameservers[0], &b->resolv.nameservers[0]))
		return false;
	for (unsigned int i = 0; i < a->upstream.count; i++) {
		if (!ip_addr_equal(&a->upstream.servers[i].addr, &b->upstream.servers[i].addr))
			return false;
	}
	return true;
}

static struct dns_upstream upstream_of(const struct nameservers *servers)
{
	return (struct dns_upstream){.servers = servers->upstream.servers,
		.count = servers->upstream.count,
		.in_turn = servers->stub};
}

static int open_resolver(struct network *network, const struct cluster_info *info, struct err *err)
{
	static const struct dns_events events = {
		.query = on_query, .upstream_socket = on_upstream_socket};
	const struct dns_config config = {
		.upstream = upstream_of(&network->servers),
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

/* False: it is not the system's resolver, or cannot be told. */
static bool open_by_resolved(struct network *network, const struct cluster_info *info)
{
	struct err err = ERR_INIT;

	if (!resolv_is_resolved(&network->servers.resolv, NULL))
		return false;
	if (tell_resolved(network, info, &err) == 0)
		return true;
	log_warn("systemd-resolved is not told", "reason=%s", err.msg);
	return false;
}

/* All of them: there are resolvers that ask all at once and take the first answer (musl), and some
 * that begin with another one each time (options rotate). */
static int redirect(struct network *network, struct err *err)
{
	const struct resolv_conf *resolv = &network->servers.resolv;
	uint16_t port = dns_resolver_port(network->resolver);
	int r = root_client_dns(
		network->config.root, resolv->nameservers, resolv->nameserver_count, port, err);

	/* One of the others may be no address that can be redirected. */
	if (r == -EPERM && resolv->nameserver_count > 1)
		r = root_client_dns(network->config.root, resolv->nameservers, 1, port, err);
	if (r == 0)
		network->redirected = true;
	return r;
}

static void forget_resolved(struct network *network)
{
	struct err err = ERR_INIT;

	if (network->domains && root_client_resolved(network->config.root, 0, NULL, 0, &err) < 0)
		log_debug("systemd-resolved forgets with the device", "error=%s", err.msg);
	free(TAKE_PTR(network->domains));
	network->domain_bytes = 0;
}

static void end_redirect(struct network *network)
{
	struct err err = ERR_INIT;

	if (network->redirected && root_client_dns(network->config.root, NULL, 0, 0, &err) < 0)
		log_debug("the DNS redirect ends with the root daemon", "error=%s", err.msg);
	network->redirected = false;
}

/* The new way first: names are found all the time. */
static int direct_queries(struct network *network, const struct cluster_info *info, struct err *err)
{
	bool by_resolved = open_by_resolved(network, info);
	int r = 0;

	if (!by_resolved || !network->servers.stub)
		r = redirect(network, err);
	else
		end_redirect(network);
	if (r == 0 && !by_resolved)
		forget_resolved(network);
	return r;
}

int network_dns_open(struct network *network, const struct cluster_info *info, struct err *err)
{
	int r;

	network->doh = doh_new(network->config.uplink);
	r = open_resolver(network, info, err);
	if (r == 0)
		r = direct_queries(network, info, err);
	if (r == 0)
		dns_resolver_check_loop(network->resolver);
	return r;
}

void network_dns_follow(struct network *network, const struct cluster_info *info)
{
	struct nameservers now;
	struct dns_upstream upstream;
	struct err err = ERR_INIT;
	char text[ADDR_TEXT_BYTES];
	int r = read_servers(&now, &err);

	if (r == 0 && same_servers(&now, &network->servers))
		return;
	if (r == 0) {
		network->servers = now;
		upstream = upstream_of(&now);
		dns_resolver_set_upstream(network->resolver, &upstream);
		r = direct_queries(network, info, &err);
	}
	if (r < 0)
		log_warn("nameservers are not followed", "error=%s", err.msg);
	else
		log_info("nameservers follow", "first=%s count=%u stub=%d",
			ip_addr_format(&now.upstream.servers[0].addr, text), now.upstream.count,
			now.stub);
}

void network_dns_update(struct network *network, const struct cluster_info *info)
{
	struct err err = ERR_INIT;

	set_rules(network, info);
	if (network->domains && tell_resolved(network, info, &err) < 0)
		log_warn("systemd-resolved is not told of new domains", "error=%s", err.msg);
}

static void set_list(char ***list, size_t *list_count, const char *const *texts, size_t count)
{
	for (size_t i = 0; i < *list_count; i++)
		free((*list)[i]);
	free(TAKE_PTR(*list));
	*list_count = count;
	if (count > 0)
		*list = xcalloc(count, sizeof(**list));
	for (size_t i = 0; i < count; i++)
		(*list)[i] = xstrdup(texts[i]);
}

void network_dns_close(struct network *network)
{
	/* Both ways first: until they are gone, queries come here. */
	forget_resolved(network);
	end_redirect(network);
	set_list(&network->further, &network->further_count, NULL, 0);
	set_list(&network->headless, &network->headless_count, NULL, 0);
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
	/* An address that came or went has changed its name; which one it is was not told. */
	if (name) {
		dns_resolver_forget(network->resolver, "in-addr.arpa");
		dns_resolver_forget(network->resolver, "ip6.arpa");
	}
}

void network_set_further(struct network *network, const struct cluster_info *info,
	const char *const *namespaces, size_t count)
{
	dns_names_set_further(dns_resolver_names(network->resolver), namespaces, count);
	set_list(&network->further, &network->further_count, namespaces, count);
	network_dns_update(network, info);
}

void network_set_headless(struct network *network, const struct cluster_info *info,
	const char *const *services, size_t count)
{
	dns_names_set_headless(dns_resolver_names(network->resolver), services, count);
	set_list(&network->headless, &network->headless_count, services, count);
	network_dns_update(network, info);
}
