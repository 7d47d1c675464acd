/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/userd/filewatch.h"
#include "client/userd/intercept_local.h"
#include "client/userd/intercepts.h"
#include "client/userd/names_watch.h"
#include "client/userd/network.h"
#include "client/userd/network_reach.h"
#include "client/userd/netwatch.h"
#include "client/userd/proto.h"
#include "client/userd/session_priv.h"
#include "client/userd/session_requests.h"
#include "client/userd/session_steps.h"
#include "cluster/client.h"
#include "core/alloc.h"
#include "core/log.h"
#include "ipc/root_client.h"
#include "resolv/resolvconf.h"
#include "tunnel/client.h"

static void on_hosts(void *user, const struct ip_addr *addrs, size_t count)
{
	struct session *session = user;

	session->lookup = NULL;
	session->direct_count = MIN(count, ARRAY_SIZE(session->direct));
	memcpy(session->direct, addrs, session->direct_count * sizeof(*addrs));
	session_enter(session, SESSION_NETWORK);
}

/* The tunnel is being opened anew: perhaps to another place. */
static void on_hosts_again(void *user, const struct ip_addr *addrs, size_t count)
{
	struct session *session = user;
	struct err err = ERR_INIT;

	session->lookup = NULL;
	count = MIN(count, ARRAY_SIZE(session->direct));
	if (!session->network || count == 0 ||
		(count == session->direct_count &&
			memcmp(addrs, session->direct, count * sizeof(*addrs)) == 0))
		return;
	log_info("the API server has other addresses", "count=%zu", count);
	session->direct_count = count;
	memcpy(session->direct, addrs, count * sizeof(*addrs));
	network_set_direct(session->network, session->direct, count);
	if (network_update(session->network, &session->info, &err) < 0)
		log_warn("routes stay as they were", "error=%s", err.msg);
}

/* The API server and the proxy on the way to it: their packets carry the tunnel. */
static void resolve(struct session *session, hosts_fn on_done)
{
	const char *lower = getenv("https_proxy"), *upper = getenv("HTTPS_PROXY");
	const char *urls[] = {session->kube->server, session->kube->proxy_url, lower, upper};

	session->lookup = hosts_resolve(session->loop, urls, ARRAY_SIZE(urls), on_done, session);
}

void session_resolve(struct session *session)
{
	resolve(session, on_hosts);
}

void session_resolve_again(struct session *session)
{
	if (session->network && !session->lookup)
		resolve(session, on_hosts_again);
}

/* Reconnecting does not bring a device back. */
static void on_lost(void *user)
{
	session_stop(user);
}

static const char *status_text(const struct session *session)
{
	if (session->state >= SESSION_CLOSING)
		return "Disconnecting";
	if (session->state == SESSION_CONNECTED)
		return "Connected";
	return session->established ? "Reconnecting" : "Connecting";
}

/* Of the laptop's own links, addresses or routes: a VPN, another Wi-Fi, the end of a sleep. */
static void on_network_change(void *user)
{
	struct session *session = user;
	struct err err = ERR_INIT;

	if (session->state >= SESSION_CLOSING || !session->established)
		return;
	log_info("the laptop's network has changed", "state=%s", status_text(session));
	if (session->network && network_update(session->network, &session->info, &err) < 0)
		log_warn("routes stay as they were", "error=%s", err.msg);
	intercepts_check(session->intercepts);
	if (session->state == SESSION_CONNECTED)
		tunnel_client_check(session->tunnel);
	else
		session_reopen(session);
}

static void watch_network(struct session *session)
{
	struct err err = ERR_INIT;

	if (netwatch_new(session->loop, on_network_change, session, &session->netwatch, &err) < 0)
		log_warn("changes of the laptop's network are not seen", "error=%s", err.msg);
	else
		netwatch_ignore(session->netwatch, network_device(session->network));
	if (filewatch_new(session->loop, RESOLV_CONF, on_network_change, session,
		    &session->resolv_watch, &err) < 0)
		log_warn("changes of the nameservers are not seen", "error=%s", err.msg);
	/* Where systemd-resolved never ran, there is not even its folder. */
	if (filewatch_new(session->loop, RESOLV_UPLINKS, on_network_change, session,
		    &session->uplinks_watch, &err) < 0)
		log_debug("systemd-resolved is not followed", "error=%s", err.msg);
}

static int make_network(struct session *session, struct err *err)
{
	const struct network_config config = {
		.loop = session->loop,
		.root = session->root,
		.uplink = &session->uplink,
		.namespace = session->kube->namespace,
		.dns = &session->kube->dns,
		.lists = &session->lists,
		.direct = session->direct,
		.direct_count = session->direct_count,
		.on_lost = on_lost,
		.user = session,
	};

	int r = network_new(&config, &session->info, &session->network, err);

	if (r == 0)
		names_watch_tell(session->names);
	return r;
}

void session_network(struct session *session)
{
	struct err err = ERR_INIT;
	bool is_new = !session->network;
	int r;

	session_say(session, "Routing %zu service and %zu pod subnets to the cluster",
		session->info.services.count, session->info.pods.count);
	/* The tunnel may have been lost while the new network was tested. */
	r = is_new ? make_network(session, &err)
		   : network_update(session->network, &session->info, &err);
	if (r == -EEXIST)
		session_fail(session, &err,
			"--allow-conflicting-subnets routes that subnet to the cluster all the "
			"same; --never-proxy leaves it out; or disconnect the VPN that has it");
	else if (r < 0)
		session_fail(session, &err, r == -ENETDOWN ? "ip link set lo up" : NULL);
	if (r < 0)
		return;
	if (is_new)
		watch_network(session);
	session_enter(session, SESSION_TEST);
}

bool session_is_connected(const struct session *session)
{
	return session->established && session->state < SESSION_CLOSING;
}

static bool same(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

/* Each ends with NULL; one that is not there is empty. */
static bool same_list(char *const *a, char *const *b)
{
	static char *const none[] = {NULL};

	a = a ? a : none;
	b = b ? b : none;
	for (; *a && *b && strcmp(*a, *b) == 0; a++, b++)
		;
	return !*a && !*b;
}

int session_compare(const struct session *session, const struct connect_args *args, bool *ret_same,
	struct err *err)
{
	const struct kube_overrides overrides = connect_args_overrides(args);
	AUTO(kube_config) kube = NULL;
	struct proxy_lists lists;
	enum kube_carrier_kind carrier = KUBE_CARRIER_AUTO;
	int r = kube_config_load(&overrides, &kube, err);

	if (r == 0)
		r = kube_carrier_parse(connect_args_carrier(args, kube), &carrier, err);
	if (r == 0)
		r = proxy_lists_make(args, kube, &lists, err);
	if (r < 0)
		return r;
	*ret_same = same(kube->server, session->kube->server) &&
		    same(kube->context, session->kube->context) &&
		    same(kube->namespace, session->kube->namespace) &&
		    same(kube->as, session->kube->as) &&
		    same_list(kube->as_groups, session->kube->as_groups) &&
		    same(args->user, session->args.user) && carrier == session->carrier_kind &&
		    same(connect_args_manager_namespace(args, kube), session->manager_namespace) &&
		    dns_settings_equal(&kube->dns, &session->kube->dns) &&
		    proxy_lists_equal(&lists, &session->lists);
	return 0;
}

void session_describe(const struct session *session, json_object *user_daemon,
	json_object *root_daemon, json_object *traffic_manager)
{
	bool up = session->state == SESSION_CONNECTED;

	json_put_string(user_daemon, "status", status_text(session));
	if (session->err.msg[0])
		json_put_string(user_daemon, "error", session->err.msg);
	json_put_string(user_daemon, "kubernetes_server", session->kube->server);
	json_put_string(user_daemon, "kubernetes_context", session->kube->context);
	json_put_string(user_daemon, "namespace", session->kube->namespace);
	json_put_string(user_daemon, "manager_namespace", session->manager_namespace);
	json_put_string(user_daemon, "session", session->name);
	json_object_object_add(
		user_daemon, "intercepts", intercepts_describe(session->intercepts, false));
	if (session->network)
		network_describe(session->network, root_daemon);
	json_object_object_add(traffic_manager, "connected", json_object_new_boolean(up));
	session_describe_tunnel(session, traffic_manager);
	if (!up)
		return;
	json_put_string(traffic_manager, "name", "traffic-manager");
	json_put_string(traffic_manager, "version", session->info.manager_version);
	json_put_string(traffic_manager, "traffic_agent", session->info.agent_image);
	json_put_string(traffic_manager, "cluster_domain", session->info.domain);
}

const struct connect_args *session_args(const struct session *session)
{
	return &session->args;
}

struct kube_client *session_client(const struct session *session)
{
	return session->client;
}

struct intercepts *session_intercepts(const struct session *session)
{
	return session->intercepts;
}

const struct uplink *session_uplink(const struct session *session)
{
	return &session->uplink;
}

const char *session_namespace(const struct session *session)
{
	return session->kube->namespace;
}

const char *session_manager_namespace(const struct session *session)
{
	return session->manager_namespace;
}

const struct cluster_info *session_info(const struct session *session)
{
	return &session->info;
}

bool session_leads_back(void *user, const struct ip_addr *addr)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const struct session *session = user;
	struct ip_addr inner = *addr;

	/* The kernel connects with the IPv4 address within. */
	if (addr->family == AF_INET6 && memcmp(addr->bytes, mapped, sizeof(mapped)) == 0)
		inner = ip_addr_from_bytes(AF_INET, addr->bytes + sizeof(mapped));
	return network_reaches(session->network, &session->info, &inner);
}

void session_search(void *user)
{
	struct session *session = user;
	const char *list[INTERCEPTS_MAX];
	size_t count = intercepts_namespaces(session->intercepts, list, ARRAY_SIZE(list)), kept = 0;

	if (!session->network)
		return;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(list[i], session->kube->namespace) != 0)
			list[kept++] = list[i];
	}
	network_set_further(session->network, &session->info, list, kept);
	if (session->names)
		names_watch_further(session->names, list, kept);
}

int session_explain_name(const struct session *session, const char *name, json_object **ret_object)
{
	if (!session->network)
		return -ENOTCONN;
	*ret_object = network_explain_name(session->network, name);
	return 0;
}
