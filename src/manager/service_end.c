/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manager's end. It lets nobody in any more and leads no more. Clients are told to go at once;
 * agents as soon as it is known that this is a replica's end and no uninstallation, in which they
 * end, too. What is open goes on until it is over, or DRAIN_MS are; whoever has nothing open is not
 * waited for.
 */
#include "cluster/client.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "dns/forward.h"
#include "manager/cluster_info.h"
#include "manager/doh.h"
#include "manager/identity_store.h"
#include "manager/intercepts.h"
#include "manager/lease.h"
#include "manager/retire.h"
#include "manager/service_impl.h"
#include "manager/service_names.h"
#include "manager/sessions.h"
#include "tunnel/server.h"

/* Answers of the API server that the end waits for; who is uninstalled and does not know it would
 * leave agents behind. */
#define ENDINGS_MS 800
#define FATE_MS    2500
/* Agents that are being started, or come back to a manager that has just been started. */
#define AGENTS_MS      6000
#define AGENTS_LOOK_MS 50
/* They take what they are told before their sockets are closed. */
#define TELL_MS 300
/* From the signal on: requests of a second or two end in order, and a transfer that would last for
 * minutes does not keep a container that is restarted in its place. */
#define DRAIN_MS      2500
#define DRAIN_LOOK_MS 20

static void on_timer_closed(uv_handle_t *handle UNUSED)
{
}

void service_close(struct service *service)
{
	if (service->server)
		tunnel_server_free(service->server);
	service->server = NULL;
	cluster_info_free(TAKE_PTR(service->routes.info));
	doh_desk_free(TAKE_PTR(service->routes.doh));
	service_names_free(TAKE_PTR(service->routes.names));
	intercepts_free(TAKE_PTR(service->routes.intercepts));
	identity_store_free(TAKE_PTR(service->identity_store));
	lease_free(TAKE_PTR(service->lease));
	if (service->fate.request)
		kube_request_cancel(TAKE_PTR(service->fate.request));
	sessions_free(TAKE_PTR(service->sessions));
	if (service->routes.forwarder)
		dns_forwarder_free(TAKE_PTR(service->routes.forwarder));
	if (service->client)
		kube_client_free(TAKE_PTR(service->client));
	uv_close((uv_handle_t *)&service->timer, on_timer_closed);
	service->closed = true;
}

static void on_drain_look(uv_timer_t *timer)
{
	struct service *service = timer->data;
	size_t left = tunnel_server_leave(service->server);

	if (service->routes.intercepts)
		left += intercepts_leave(service->routes.intercepts);
	if (left > 0 && uv_now(service->loop) - service->stopped_ms < DRAIN_MS)
		return;
	if (left > 0)
		log_info("what is still open is cut", "carriers=%zu", left);
	service_close(service);
}

static void drain(struct service *service)
{
	(void)uv_timer_start(&service->timer, on_drain_look, 0, DRAIN_LOOK_MS);
}

static void on_patience_over(uv_timer_t *timer)
{
	struct service *service = timer->data;
	uint64_t waited = uv_now(service->loop) - service->stopped_ms;

	if (service->fate.request && waited < FATE_MS)
		(void)uv_timer_start(timer, on_patience_over, FATE_MS - waited, 0);
	else
		drain(service);
}

static void ended_one(struct service *service)
{
	if (--service->endings == 0 && service->agents_until_ms == 0)
		drain(service);
}

static void on_told(uv_timer_t *timer)
{
	service_close(timer->data);
}

/* Those that come now are told as they come. */
static void on_agents_look(uv_timer_t *timer)
{
	struct service *service = timer->data;
	unsigned int left = intercepts_shutdown(service->routes.intercepts, "uninstalled");

	if ((left > 0 || service->retire) && uv_now(service->loop) < service->agents_until_ms)
		return;
	if (left > 0)
		log_warn("agents are left to end by themselves", "count=%u", left);
	(void)uv_timer_start(&service->timer, on_told, TELL_MS, 0);
}

static void on_retired(void *user, int r, unsigned int told UNUSED, const struct err *err)
{
	struct service *service = user;

	service->retire = NULL;
	if (r < 0)
		log_warn("agents are not looked for", "error=%s", err->msg);
}

static void on_fate(void *user, bool uninstalled)
{
	struct service *service = user;

	if (uninstalled && service->routes.intercepts) {
		service->retire =
			retire_start(service->routes.intercepts, NULL, NULL, on_retired, service);
		service->agents_until_ms = uv_now(service->loop) + AGENTS_MS;
		(void)uv_timer_start(&service->timer, on_agents_look, 0, AGENTS_LOOK_MS);
	}
	ended_one(service);
}

static void on_released(void *user)
{
	ended_one(user);
}

void service_stop(struct service *service)
{
	if (service->stopping)
		return;
	service->stopping = true;
	sessions_hand_over(service->sessions);
	log_info("shutting down", "peers=%zu", tunnel_server_leave(service->server));
	/* Its agents are lost to this replica, not dead. */
	if (service->routes.intercepts)
		intercepts_lead(service->routes.intercepts, false);
	service->endings = 2;
	service->stopped_ms = uv_now(service->loop);
	(void)uv_timer_start(&service->timer, on_patience_over, ENDINGS_MS, 0);
	lease_release(service->lease, on_released, service);
	service->fate = (struct fate){.on_known = on_fate, .user = service};
	fate_ask(&service->fate, service->client, service->namespace);
}
