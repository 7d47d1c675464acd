/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "client/userd/assoc.h"
#include "client/userd/dial.h"
#include "client/userd/info.h"
#include "client/userd/network_priv.h"
#include "client/userd/network_reach.h"
#include "client/userd/proto.h"
#include "core/alloc.h"
#include "dns/resolver.h"
#include "flow/flow.h"

static void put_count(json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

static json_object *describe_set(const struct ip_prefix *items, size_t count)
{
	json_object *array = json_object_new_array();
	char text[ADDR_TEXT_BYTES];

	for (size_t i = 0; i < count; i++)
		json_object_array_add(
			array, json_object_new_string(ip_prefix_format(&items[i], text)));
	return array;
}

/* What is routed: without IPv6 on this machine nothing of it. */
static json_object *describe_routes(const struct network *network)
{
	json_object *array = json_object_new_array();
	char text[ADDR_TEXT_BYTES];

	for (size_t i = 0; i < network->plan.routes.count; i++) {
		const struct ip_prefix *subnet = &network->plan.routes.items[i];

		if (subnet->addr.family == AF_INET || network->tun.ipv6)
			json_object_array_add(
				array, json_object_new_string(ip_prefix_format(subnet, text)));
	}
	return array;
}

static json_object *describe_names(char *const *list, bool dotted)
{
	json_object *array = json_object_new_array();

	for (; list && *list; list++) {
		auto_free char *text = xasprintf("%s%s", dotted && **list != '.' ? "." : "", *list);

		json_object_array_add(array, json_object_new_string(text));
	}
	return array;
}

/* Subnets that are not routed to the cluster, each with the route that stands in the way. */
static json_object *describe_conflicts(const struct plan *plan)
{
	json_object *array = json_object_new_array();
	char text[ADDR_TEXT_BYTES], line[PLAN_ROUTE_BYTES];

	for (size_t i = 0; i < plan->conflict_count; i++) {
		const struct plan_conflict *conflict = &plan->conflicts[i];
		json_object *entry = json_object_new_object();

		json_put_string(entry, "subnet", ip_prefix_format(&conflict->subnet, text));
		json_put_string(entry, "route", plan_conflict_route(conflict, line));
		json_object_array_add(array, entry);
	}
	return array;
}

static json_object *describe_mappings(char *const *pairs)
{
	json_object *array = json_object_new_array();

	for (; pairs && pairs[0] && pairs[1]; pairs += 2) {
		json_object *mapping = json_object_new_object();

		json_put_string(mapping, "name", pairs[0]);
		json_put_string(mapping, "aliasFor", pairs[1]);
		json_object_array_add(array, mapping);
	}
	return array;
}

static void describe_settings(const struct dns_settings *settings, json_object *dns)
{
	uint32_t timeout_ms = dns_settings_timeout_ms(settings);
	auto_free char *timeout = timeout_ms % 1000 ? xasprintf("%ums", timeout_ms)
						    : xasprintf("%us", timeout_ms / 1000);

	json_object_object_add(
		dns, "include_suffixes", describe_names(settings->include_suffixes, true));
	json_object_object_add(dns, "exclude_suffixes",
		describe_names(dns_settings_excluded_suffixes(settings), true));
	json_object_object_add(dns, "excludes", describe_names(settings->excludes, false));
	json_object_object_add(dns, "mappings", describe_mappings(settings->mappings));
	json_put_string(dns, "lookup_timeout", timeout);
}

static json_object *describe_dns(const struct network *network)
{
	const struct dns_counters *counters = dns_resolver_counters(network->resolver);
	json_object *dns = json_object_new_object();
	char text[ADDR_TEXT_BYTES];

	json_put_string(dns, "local_ip", "127.0.0.1");
	json_put_string(
		dns, "remote_ip", ip_addr_format(&network->servers.upstream.servers[0].addr, text));
	json_put_string(dns, "by",
		!network->domains     ? "redirect"
		: network->redirected ? "systemd-resolved and redirect"
				      : "systemd-resolved");
	json_object_object_add(
		dns, "local_port", json_object_new_int(dns_resolver_port(network->resolver)));
	if (network->servers.resolv.zoned && !network->servers.stub)
		json_object_object_add(dns, "nameserver_with_zone", json_object_new_boolean(true));
	describe_settings(network->config.dns, dns);
	put_count(dns, "queries", counters->queries);
	put_count(dns, "cluster", counters->cluster);
	put_count(dns, "cached", counters->answered_cache);
	put_count(dns, "forwarded", counters->forwarded);
	put_count(dns, "failed", counters->failed);
	put_count(dns, "loops", counters->loops);
	put_count(dns, "dropped", counters->dropped);
	put_count(dns, "queue_full", counters->lost);
	return dns;
}

static json_object *describe_drops(const struct flow_counters *flow)
{
	json_object *drops = json_object_new_object();

	put_count(drops, "malformed", flow->dropped_malformed);
	put_count(drops, "fragment", flow->dropped_fragment);
	put_count(drops, "protocol", flow->dropped_protocol);
	put_count(drops, "ttl_exceeded", flow->dropped_ttl);
	put_count(drops, "flow_table_full", flow->dropped_table_full);
	put_count(drops, "device_queue_full", flow->dropped_tun_full);
	put_count(drops, "stray_tcp", flow->dropped_stray);
	put_count(drops, "listener_stranger", flow->accept_rejected);
	put_count(drops, "icmp_rate_limited", flow->icmp_limited);
	return drops;
}

static json_object *describe_traffic(const struct network *network)
{
	const struct flow_counters *flow = flow_engine_counters(network->engine);
	const struct dial_counters *dial = dialer_counters(network->dialer);
	const struct assoc_counters *assocs = assoc_table_counters(network->assocs);
	json_object *traffic = json_object_new_object();

	put_count(traffic, "connections", dial->opened);
	put_count(traffic, "connections_active", dial->active);
	put_count(traffic, "connections_failed", dial->failed);
	put_count(traffic, "bytes_to_cluster", dial->bytes_out);
	put_count(traffic, "bytes_from_cluster", dial->bytes_in);
	put_count(traffic, "datagram_flows", assocs->opened);
	put_count(traffic, "datagram_flows_active", assocs->active);
	put_count(traffic, "datagrams_dropped", assocs->dropped);
	put_count(traffic, "packets_in", flow->packets_in);
	put_count(traffic, "packets_out", flow->packets_out);
	put_count(traffic, "connections_in_kernel", flow->tcp_shortcut);
	put_count(traffic, "packets_in_kernel", flow->packets_shortcut);
	put_count(traffic, "fragments", flow->fragments_in);
	put_count(traffic, "fragments_reassembled", flow->reassembled);
	put_count(traffic, "echo_requests", flow->icmp_in);
	put_count(traffic, "echo_replies", flow->icmp_out);
	put_count(traffic, "icmp_errors_received", flow->icmp_errors);
	put_count(traffic, "udp_port_unreachable_to_cluster", flow->udp_unreachable);
	put_count(traffic, "udp_port_unreachable_from_cluster", assocs->refused);
	put_count(traffic, "dropped",
		flow->dropped_malformed + flow->dropped_fragment + flow->dropped_protocol +
			flow->dropped_table_full + flow->dropped_tun_full + flow->dropped_stray +
			flow->dropped_ttl);
	json_object_object_add(traffic, "dropped_by", describe_drops(flow));
	return traffic;
}

void network_describe(const struct network *network, json_object *root_daemon)
{
	json_put_string(root_daemon, "device", network->tun.name);
	json_object_object_add(root_daemon, "dns", describe_dns(network));
	json_object_object_add(root_daemon, "subnets", describe_routes(network));
	json_object_object_add(root_daemon, "also_proxy_subnets",
		describe_set(network->lists.also.items, network->lists.also.count));
	json_object_object_add(root_daemon, "never_proxy_subnets",
		describe_set(network->lists.never.items, network->lists.never.count));
	json_object_object_add(root_daemon, "allow_conflicting_subnets",
		describe_set(network->lists.allow_conflicting.items,
			network->lists.allow_conflicting.count));
	json_object_object_add(root_daemon, "conflicts", describe_conflicts(&network->plan));
	json_object_object_add(root_daemon, "mtu", json_object_new_int(NETWORK_MTU));
	json_object_object_add(root_daemon, "traffic", describe_traffic(network));
}

/* What is asked next where the first namespace does not know it. */
static json_object *describe_further(
	const struct dns_names *names, const struct dns_judgement *judgement)
{
	auto_free char *label = xstrndup(judgement->full, judgement->searched);
	json_object *array = json_object_new_array();
	char further[DNS_NAME_BYTES];

	for (size_t i = 0; dns_names_further(names, label, i, further); i++)
		json_object_array_add(array, json_object_new_string(further));
	return array;
}

json_object *network_explain_name(const struct network *network, const char *name)
{
	static const char *const answerers[] = {
		[DNS_UPSTREAM] = "nameserver",
		[DNS_CLUSTER] = "cluster",
		[DNS_CLUSTER_FIRST] = "cluster-first",
		[DNS_REFUSE] = "refused",
		[DNS_FIXED] = "mapping",
	};
	struct dns_judgement judgement;
	char lower[DNS_NAME_BYTES + 1] = "", text[ADDR_TEXT_BYTES];
	const struct dns_names *names;
	size_t len = strlen(name);
	json_object *object;

	if (!dns_name_valid(name))
		return NULL;
	len -= name[len - 1] == '.';
	for (size_t i = 0; i < len; i++)
		lower[i] = (char)tolower((unsigned char)name[i]);
	names = dns_resolver_names(network->resolver);
	(void)dns_names_judge(names, lower, &judgement);
	object = json_object_new_object();
	json_put_string(object, "name", lower);
	json_put_string(object, "rule", dns_rule_name(judgement.rule));
	json_put_string(object, "answered_by", answerers[judgement.verdict]);
	if (judgement.mapped)
		json_put_string(object, "alias_for", judgement.alias);
	else if (judgement.verdict == DNS_FIXED)
		json_put_string(object, "alias_for", ip_addr_format(&judgement.address, text));
	if (judgement.full[0])
		json_put_string(object, "asked_as", judgement.full);
	if (judgement.searched)
		json_object_object_add(object, "then_as", describe_further(names, &judgement));
	json_put_string(object, "nameserver",
		ip_addr_format(&network->servers.upstream.servers[0].addr, text));
	json_object_object_add(
		object, "local_port", json_object_new_int(dns_resolver_port(network->resolver)));
	return object;
}

static bool contains(const struct prefix_set *set, const struct ip_addr *addr)
{
	const struct ip_prefix host = {.addr = *addr, .len = (uint8_t)(8 * ip_addr_len(addr))};

	return prefix_set_overlap(set, &host) != NULL;
}

bool network_reaches(
	const struct network *network, const struct cluster_info *info, const struct ip_addr *addr)
{
	return network && contains(&network->plan.routes, addr) &&
	       (contains(&info->services, addr) || contains(&info->pods, addr));
}
