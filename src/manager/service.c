/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/service_impl.h"

#include <errno.h>
#include <string.h>

#include "cluster/client.h"
#include "cluster/kubeconfig.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "core/nofile.h"
#include "dns/forward.h"
#include "manager/cluster_info.h"
#include "manager/doh.h"
#include "manager/identity_store.h"
#include "manager/intercepts.h"
#include "manager/lease.h"
#include "manager/routes.h"
#include "manager/service_names.h"
#include "manager/sessions.h"
#include "resolv/resolvconf.h"
#include "tunnel/identity.h"
#include "tunnel/server.h"

#define DNS_PORT          53
#define NO_SESSION_REASON "the session was deleted"

static int on_lookup(void *user, const char *uid, uint8_t ret_public[static SESSION_KEY_BYTES])
{
	struct service *service = user;

	return sessions_lookup(service->sessions, uid, ret_public);
}

static void on_peer(void *user, struct tunnel_peer *tunnel)
{
	struct service *service = user;
	struct peer *peer;

	if (service->stopping) {
		tunnel_peer_close(tunnel, SERVICE_STOP_REASON);
		return;
	}
	peer = sessions_join(service->sessions, tunnel);
	if (!peer) {
		tunnel_peer_close(tunnel, NO_SESSION_REASON);
		return;
	}
	tunnel_peer_set_user(tunnel, peer);
}

static void on_tick(uv_timer_t *timer)
{
	struct service *service = timer->data;

	resident_tick(&service->resident);
}

static void on_peer_gone(void *user, struct tunnel_peer *tunnel)
{
	struct service *service = user;
	struct peer *peer = tunnel_peer_get_user(tunnel);

	if (peer)
		sessions_leave(service->sessions, peer);
}

static void on_stream(void *user, struct tunnel_peer *tunnel, struct h2_stream *stream,
	const struct h2_head *head)
{
	struct service *service = user;
	struct peer *peer = tunnel_peer_get_user(tunnel);

	if (peer)
		routes_serve(&service->routes, peer, stream, head);
	else
		h2_stream_reset(stream, 0x7 /* REFUSED_STREAM, RFC 9113 7 */);
}

static int on_http(void *user, const char *path)
{
	struct service *service = user;

	if (strcmp(path, "/healthz") == 0)
		return 200;
	if (strcmp(path, "/readyz") != 0)
		return 404;
	return !service->stopping && sessions_synced(service->sessions) &&
			       cluster_info_ready(service->routes.info)
		       ? 200
		       : 503;
}

static const struct tunnel_server_events server_events = {
	.lookup = on_lookup,
	.on_peer = on_peer,
	.on_peer_gone = on_peer_gone,
	.on_stream = on_stream,
	.on_http = on_http,
};

static int load_config(
	const struct manager_options *options, struct kube_config **ret_config, struct err *err)
{
	const struct kube_overrides overrides = {.kubeconfig = options->kubeconfig};

	return options->kubeconfig ? kube_config_load(&overrides, ret_config, err)
				   : kube_config_in_cluster(ret_config, err);
}

/* "svc.<domain>" stands among the search domains of every pod. */
static const char *cluster_domain(const struct resolv_conf *resolv)
{
	for (unsigned int i = 0; i < resolv->search_count; i++) {
		if (strncmp(resolv->search[i], "svc.", 4) == 0)
			return resolv->search[i] + 4;
	}
	return "cluster.local";
}

static int start_dns(struct service *service, const struct resolv_conf *resolv, struct err *err)
{
	struct ip_endpoint servers[RESOLV_NAMESERVERS];
	struct dns_forwarder_config config = {
		.servers = servers, .server_count = resolv->nameserver_count};

	for (unsigned int i = 0; i < resolv->nameserver_count; i++)
		servers[i] = (struct ip_endpoint){.addr = resolv->nameservers[i], .port = DNS_PORT};
	return dns_forwarder_new(service->loop, &config, &service->routes.forwarder, err);
}

static void start_info(struct service *service, const struct resolv_conf *resolv)
{
	const struct target_policy *policy = &service->routes.dial.policy;
	const char *api = getenv("KUBERNETES_SERVICE_HOST");
	struct cluster_state_config config = {
		.cluster_domain = cluster_domain(resolv), .dns_server = resolv->nameservers[0]};

	if (api && ip_addr_parse(api, &config.api_service) < 0)
		config.api_service = (struct ip_addr){.family = 0};
	if (policy->own_count > 0)
		config.own_pod = policy->own[0];
	service->routes.info = cluster_info_new(service->loop, service->client, &config);
	service->routes.names = service_names_new(service->client, config.cluster_domain);
	service->routes.doh = doh_desk_new(service->routes.forwarder, service->routes.names);
}

static void on_lead(void *user, bool leader)
{
	struct service *service = user;

	if (service->routes.intercepts)
		intercepts_lead(service->routes.intercepts, leader);
}

static void on_agent_image(void *user, const char *image)
{
	struct service *service = user;

	cluster_info_set_agent_image(service->routes.info, image);
}

/* Intercepts are served from here on; the tunnels did not wait for it. */
static void on_identity(void *user, struct identity *identity)
{
	struct service *service = user;
	const struct target_policy *policy = &service->routes.dial.policy;
	const struct intercepts_config config = {.namespace = service->namespace,
		.pod = service->options->pod,
		.agent_port = service->options->agent_port,
		.agent_idle_s = service->options->agent_idle_s,
		.own = policy->own,
		.own_count = policy->own_count,
		.on_image = on_agent_image,
		.user = service};
	struct err err = ERR_INIT;
	int r;

	service->identity = identity;
	r = intercepts_new(service->loop, service->client, service->sessions, identity, &config,
		&service->routes.intercepts, &err);
	if (r < 0)
		log_error("intercepts are not served", "error=%s", err.msg);
	else if (!service->stopping)
		intercepts_lead(service->routes.intercepts, lease_is_leader(service->lease));
}

static void start_intercepts(struct service *service)
{
	const char *pod = service->options->pod;

	service->lease = lease_new(service->loop, service->client, service->namespace,
		pod ? pod : "outside", on_lead, service);
	service->identity_store = identity_store_load(
		service->loop, service->client, service->namespace, on_identity, service);
}

/* Opens everything in order; what is open when a step fails is closed by service_stop(). */
static int open_all(struct service *service, const struct manager_options *options, struct err *err)
{
	AUTO(kube_config) config = NULL;
	struct target_policy *policy = &service->routes.dial.policy;
	struct resolv_conf resolv;
	int r;

	policy->own_port = options->port;
	r = target_policy_add(policy, options->pod_ips);
	if (r < 0)
		return err_set(err, r, ERR_USAGE, "own addresses: %s", options->pod_ips);
	r = resolv_conf_read(NULL, &resolv, err);
	if (r < 0)
		return r;
	r = start_dns(service, &resolv, err);
	if (r < 0)
		return r;
	r = load_config(options, &config, err);
	if (r < 0)
		return r;
	r = kube_client_new(service->loop, config, &service->client, err);
	if (r < 0)
		return r;
	service->namespace = xstrdup(options->namespace ? options->namespace : config->namespace);
	service->sessions = sessions_new(service->loop, service->client, service->namespace);
	sessions_limit_ttl(service->sessions, options->session_ttl_s);
	start_info(service, &resolv);
	start_intercepts(service);
	return tunnel_server_new(
		service->loop, options->port, &server_events, service, &service->server, err);
}

int service_start(uv_loop_t *loop, const struct manager_options *options,
	struct service **ret_service, struct err *err)
{
	struct service *service = XNEW(struct service);
	int r;

	if (nofile_raise() < 0)
		log_warn("descriptor limit not raised", "errno=%d", errno);
	service->loop = loop;
	service->options = options;
	service->routes.dial.loop = loop;
	(void)uv_timer_init(loop, &service->timer);
	service->timer.data = service;
	*ret_service = service;
	(void)uv_timer_start(&service->timer, on_tick, RESIDENT_TICK_MS, RESIDENT_TICK_MS);
	r = open_all(service, options, err);
	if (r < 0) {
		service->stopping = true;
		service_close(service);
	}
	return r;
}

bool service_is_closed(const struct service *service)
{
	return service->closed;
}

void service_free(struct service *service)
{
	if (!service)
		return;
	identity_free(service->identity);
	free(service->namespace);
	free(service);
}
