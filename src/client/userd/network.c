/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/network_priv.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "client/userd/assoc.h"
#include "client/userd/dial.h"
#include "client/userd/info.h"
#include "client/userd/plan.h"
#include "client/userd/reach.h"
#include "client/userd/uplink.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "dns/resolver.h"
#include "flow/flow.h"

DEFINE_AUTO(network, network_free);

static void on_tcp_open(void *user, flow_id_t id, const struct ip_endpoint *src UNUSED,
	const struct ip_endpoint *dst)
{
	struct network *network = user;

	dialer_open(network->dialer, id, dst);
}

static void on_tcp_cancelled(void *user, flow_id_t id)
{
	struct network *network = user;

	dialer_cancelled(network->dialer, id);
}

static void on_tcp_established(void *user, flow_id_t id, int fd)
{
	struct network *network = user;

	dialer_established(network->dialer, id, fd);
}

static void on_udp(void *user, const struct ip_endpoint *src, const struct ip_endpoint *dst,
	const uint8_t *data, size_t len)
{
	struct network *network = user;

	assoc_udp(network->assocs, src, dst, data, len);
}

static void on_udp_unreachable(
	void *user, const struct ip_endpoint *src, const struct ip_endpoint *dst)
{
	struct network *network = user;

	assoc_unreachable(network->assocs, src, dst);
}

static void on_echo(void *user, const struct ip_addr *src, const struct ip_addr *dst,
	uint16_t ident, uint16_t sequence, const uint8_t *data, size_t len)
{
	struct network *network = user;

	assoc_echo(network->assocs, src, dst, ident, sequence, data, len);
}

static void on_tun_lost(void *user, int error)
{
	struct network *network = user;

	log_error("the network device is gone", "name=%s error=%s", network->tun.name,
		strerror(-error));
	network->config.on_lost(network->config.user);
}

static const struct flow_events flow_events = {
	.tcp_open = on_tcp_open,
	.tcp_cancelled = on_tcp_cancelled,
	.tcp_established = on_tcp_established,
	.udp_received = on_udp,
	.udp_unreachable = on_udp_unreachable,
	.icmp_echo = on_echo,
	.tun_lost = on_tun_lost,
};

static int plan(const struct network *network, const struct cluster_info *info,
	const struct route_list *routes, struct plan *ret_plan, struct err *err)
{
	const struct plan_input input = {
		.info = info,
		.lists = &network->lists,
		.direct = &network->direct,
		.routes = routes,
		.own_device = network->tun.name,
	};

	return plan_routes(&input, ret_plan, err);
}

/* Addresses that no route, host of the laptop or subnet of the cluster has. */
static int pick_addresses(struct network *network, const struct route_list *routes, struct err *err)
{
	struct prefix_set taken = network->plan.routes;
	uint8_t random[5];
	int r = 0;

	for (size_t i = 0; r == 0 && i < network->direct.count; i++)
		r = prefix_set_add(&taken, &network->direct.items[i], err);
	for (size_t i = 0; r == 0 && i < routes->count; i++) {
		if (!route_is_default(&routes->items[i]))
			r = prefix_set_add(&taken, &routes->items[i].prefix, err);
	}
	if (r == 0)
		r = subnets_pick4(&taken, &network->own4, err);
	if (r < 0)
		return r;
	if (getrandom(random, sizeof(random), 0) != sizeof(random) ||
		subnets_pick6(&taken, random, &network->own6) < 0)
		log_warn("device without IPv6", "reason=no free subnet");
	return 0;
}

/* -1: every packet of TCP comes to this process, as it does where the kernel is older. */
static int open_shortcut(struct network *network)
{
	struct err err = ERR_INIT;
	int fd = root_client_shortcut(network->config.root, &err);

	if (fd < 0)
		log_info("no shortcut for TCP in the kernel", "reason=%s", err.msg);
	return fd;
}

static int open_device(struct network *network, struct err *err)
{
	const struct root_tun_request request = {
		.mtu = NETWORK_MTU, .addr4 = network->own4, .addr6 = network->own6};
	struct flow_config flow = {.tun_fd = -1, .shortcut_fd = -1};
	int r = root_client_tun(network->config.root, &request, &network->tun, err);

	if (r < 0)
		return r;
	flow.tun_fd = network->tun.fd;
	flow.shortcut_fd = open_shortcut(network);
	flow.local4 = network->own4.addr;
	flow.peer4 = subnets_peer(&network->own4);
	if (network->tun.ipv6 && network->own6.addr.family) {
		flow.local6 = network->own6.addr;
		flow.peer6 = subnets_peer(&network->own6);
	}
	network->dialer = dialer_new(network->config.loop, network->config.uplink);
	network->assocs = assoc_table_new(network->config.loop, network->config.uplink);
	r = flow_engine_new(
		network->config.loop, &flow, &flow_events, network, &network->engine, err);
	network->tun.fd = -1;
	if (r < 0)
		return r;
	dialer_set_engine(network->dialer, network->engine);
	assoc_table_set_engine(network->assocs, network->engine);
	return 0;
}

static int read_direct(struct network *network, struct err *err)
{
	int r = 0;

	network->direct.count = 0;
	for (size_t i = 0; r == 0 && i < network->config.direct_count; i++)
		r = prefix_set_add_host(&network->direct, &network->config.direct[i], err);
	for (unsigned int i = 0; r == 0 && i < network->servers.resolv.nameserver_count; i++)
		r = prefix_set_add_host(
			&network->direct, &network->servers.resolv.nameservers[i], err);
	for (unsigned int i = 0; r == 0 && i < network->servers.upstream.count; i++)
		r = prefix_set_add_host(
			&network->direct, &network->servers.upstream.servers[i].addr, err);
	return r;
}

/* What goes elsewhere all the same is a conflict of the plan then. */
static int set_routes(struct network *network, struct plan *wanted, const struct route_list *routes,
	struct err *err)
{
	static const struct ip_addr none = {.family = 0};
	int r = root_client_routes(
		network->config.root, wanted->routes.items, wanted->routes.count, err);

	if (r == 0)
		reach_check(wanted, routes, &network->own4.addr,
			network->tun.ipv6 ? &network->own6.addr : &none);
	return r;
}

static int set_up(struct network *network, const struct cluster_info *info,
	const struct route_list *routes, struct err *err)
{
	int r = plan(network, info, routes, &network->plan, err);

	if (r == 0 && network->plan.conflict_count > 0)
		r = plan_conflict_error(&network->plan.conflicts[0], err);
	if (r == 0)
		r = pick_addresses(network, routes, err);
	if (r == 0)
		r = open_device(network, err);
	if (r == 0)
		r = set_routes(network, &network->plan, routes, err);
	return r < 0 ? r : network_dns_open(network, info, err);
}

/* Without it nothing that this machine sends to itself arrives: neither queries to the resolver nor
 * the packets of connections. */
static int check_loopback(struct err *err)
{
	struct ifreq request = {.ifr_name = "lo"};
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		return err_set_errno(err, -errno, "the loopback device lo");
	return request.ifr_flags & IFF_UP ? 0
					  : err_set(err, -ENETDOWN, ERR_UNSUPPORTED,
						    "this machine's loopback device lo is down");
}

int network_new(const struct network_config *config, const struct cluster_info *info,
	struct network **ret_network, struct err *err)
{
	AUTO(network) network = XNEW(struct network);
	struct route_list routes = {.items = NULL};
	int r;

	network->config = *config;
	network->tun.fd = -1;
	network->namespace = xstrdup(config->namespace);
	network->lists = *config->lists;
	r = check_loopback(err);
	if (r == 0)
		r = network_dns_read(network, err);
	if (r == 0)
		r = read_direct(network, err);
	if (r == 0)
		r = routes_read(&routes, err);
	if (r == 0)
		r = set_up(network, info, &routes, err);
	routes_done(&routes);
	if (r < 0)
		return r;
	*ret_network = TAKE_PTR(network);
	return 0;
}

static bool same_set(const struct prefix_set *a, const struct prefix_set *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (a->items[i].len != b->items[i].len ||
			!ip_addr_equal(&a->items[i].addr, &b->items[i].addr))
			return false;
	}
	return true;
}

/* What is new about conflicts is said once. */
static void log_plan(const struct plan *before, const struct plan *now)
{
	struct err err = ERR_INIT;

	for (size_t i = 0; i < now->conflict_count && now->conflict_count > before->conflict_count;
		i++) {
		(void)plan_conflict_error(&now->conflicts[i], &err);
		log_warn("a subnet is not routed to the cluster", "reason=%s", err.msg);
	}
	log_info("routes follow", "subnets=%zu conflicts=%zu", now->routes.count,
		now->conflict_count);
}

int network_update(struct network *network, const struct cluster_info *info, struct err *err)
{
	struct route_list routes = {.items = NULL};
	struct plan *wanted = XNEW(struct plan);
	bool changed;
	int r;

	network_dns_follow(network, info);
	r = read_direct(network, err);
	if (r == 0)
		r = routes_read(&routes, err);
	if (r == 0)
		r = plan(network, info, &routes, wanted, err);
	changed = r == 0 && !same_set(&wanted->routes, &network->plan.routes);
	/* Also the same ones: the kernel drops those of IPv6 when somebody switches that off. */
	if (r == 0)
		r = set_routes(network, wanted, &routes, err);
	routes_done(&routes);
	if (r == 0) {
		if (changed || wanted->conflict_count != network->plan.conflict_count)
			log_plan(&network->plan, wanted);
		network->plan = *wanted;
		network_dns_update(network, info);
	}
	free(wanted);
	return r;
}

void network_set_direct(struct network *network, const struct ip_addr *direct, size_t count)
{
	network->config.direct = direct;
	network->config.direct_count = count;
}

const char *network_device(const struct network *network)
{
	return network->tun.name;
}

static bool overlaps(const struct prefix_set *set, const struct ip_prefix *prefix)
{
	for (size_t i = 0; i < set->count; i++) {
		if (ip_prefix_overlaps(&set->items[i], prefix))
			return true;
	}
	return false;
}

void network_prove(const struct network *network, const struct cluster_info *info,
	struct network_proof *ret_proof)
{
	const struct dns_counters *dns = dns_resolver_counters(network->resolver);
	const struct dial_counters *dials = dialer_counters(network->dialer);

	*ret_proof = (struct network_proof){.queries = dns->queries,
		.failed = dns->failed,
		.waiting = dns->waiting,
		.connections = dials->opened + dials->failed + dials->active};
	for (size_t i = 0; i < network->lists.never.count; i++)
		ret_proof->left_out = ret_proof->left_out ||
				      overlaps(&info->services, &network->lists.never.items[i]);
}

int network_stray(const struct network *network, struct err *err)
{
	for (size_t i = 0; i < network->plan.conflict_count; i++) {
		if (!network->plan.conflicts[i].route.prefix.addr.family)
			return plan_conflict_error(&network->plan.conflicts[i], err);
	}
	return 0;
}

void network_free(struct network *network)
{
	if (!network)
		return;
	network_dns_close(network);
	dialer_free(network->dialer);
	assoc_table_free(network->assocs);
	if (network->engine)
		flow_engine_free(network->engine);
	free(network->namespace);
	free(network);
}
