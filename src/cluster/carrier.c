/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The race: services/proxy first; port-forward HEAD_START_MS later, or at once when the first has
 * failed for a cause that does not concern both. The first that is open wins, the other is dropped.
 */
#include "cluster/carrier.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cluster/json.h"
#include "cluster/meta.h"
#include "cluster/request.h"
#include "cluster/ws_carrier.h"
#include "core/alloc.h"
#include "core/err.h"

#define HEAD_START_MS    300
#define SERVICE_NAME     "traffic-manager"
#define SERVICE_PORT     "tunnel"
#define TUNNEL_PORT      8081
#define CHANNEL_PROTOCOL "v4.channel.k8s.io"
/* Pods of the Service: its selector, escaped once for the URL and once for printf. */
#define POD_SELECTOR "app%%3Dtraffic-manager"

enum way { WAY_PROXY, WAY_FORWARD, WAY_COUNT };

static_assert(WAY_COUNT == KUBE_CARRIER_WAYS, "a report has every way");

static const char *const way_names[WAY_COUNT] = {
	[WAY_PROXY] = "services/proxy", [WAY_FORWARD] = "port-forward"};

/* One way to the manager. */
struct attempt {
	struct kube_carrier_open *open;
	enum way way;
	bool tried, failed;
	struct kube_request *pods; /* port-forward: which pod? */
	struct wsconn *conn;
	struct err err;
};

struct kube_carrier_open {
	struct kube_client *client;
	char *namespace;
	enum kube_carrier_kind kind;
	bool fresh;
	uv_timer_t timer; /* the second way's start */
	struct attempt attempts[WAY_COUNT];
	kube_carrier_fn on_done;
	void *user;
};

int kube_carrier_parse(const char *name, enum kube_carrier_kind *ret_kind, struct err *err)
{
	if (!name)
		*ret_kind = KUBE_CARRIER_AUTO;
	else if (strcmp(name, way_names[WAY_PROXY]) == 0)
		*ret_kind = KUBE_CARRIER_PROXY;
	else if (strcmp(name, way_names[WAY_FORWARD]) == 0)
		*ret_kind = KUBE_CARRIER_PORT_FORWARD;
	else
		return err_set(err, -EINVAL, ERR_USAGE,
			"there is no carrier \"%.40s\"; there are %s and %s (without one: "
			"whichever "
			"opens first)",
			name, way_names[WAY_PROXY], way_names[WAY_FORWARD]);
	return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct kube_carrier_open *open = handle->data;

	free(open->namespace);
	free(open);
}

void kube_carrier_cancel(struct kube_carrier_open *open)
{
	if (!open || uv_is_closing((uv_handle_t *)&open->timer))
		return;
	for (int i = 0; i < WAY_COUNT; i++) {
		kube_request_cancel(TAKE_PTR(open->attempts[i].pods));
		wsconn_free(TAKE_PTR(open->attempts[i].conn));
	}
	uv_close((uv_handle_t *)&open->timer, on_timer_closed);
}

static enum kube_carrier_fate fate_of(const struct kube_carrier_open *open,
	const struct attempt *attempt, const struct attempt *won)
{
	enum kube_carrier_kind own =
		attempt->way == WAY_PROXY ? KUBE_CARRIER_PROXY : KUBE_CARRIER_PORT_FORWARD;

	if (attempt == won)
		return KUBE_CARRIER_CHOSEN;
	if (attempt->failed)
		return KUBE_CARRIER_FAILED;
	if (attempt->tried)
		return KUBE_CARRIER_SLOWER;
	return open->kind == KUBE_CARRIER_AUTO || open->kind == own ? KUBE_CARRIER_UNTRIED
								    : KUBE_CARRIER_OFF;
}

/* won: the attempt that carrier is of, or NULL. */
static void finish(struct kube_carrier_open *open, struct carrier *carrier,
	const struct attempt *won, const struct err *err)
{
	struct kube_carrier_report report = {0};
	kube_carrier_fn on_done = open->on_done;
	void *user = open->user;

	for (int i = 0; i < WAY_COUNT; i++) {
		report.ways[i].name = way_names[i];
		report.ways[i].fate = fate_of(open, &open->attempts[i], won);
		report.ways[i].err = open->attempts[i].err;
	}
	if (carrier)
		kube_client_heard(open->client);
	kube_carrier_cancel(open);
	on_done(user, carrier ? 0 : err->code, carrier, &report, err);
}

static void start_forward(struct attempt *attempt);

/* Causes that every way shares: who we are, and whether the manager is there at all. */
static bool final(const struct err *err)
{
	return err->kind == ERR_AUTH || err->kind == ERR_CONFIG || err->kind == ERR_NOT_FOUND;
}

/* Then the right that is usually given is the one to ask for, and the one to name. */
static bool both_forbidden(const struct err *first, const struct err *second)
{
	return first->kind == ERR_PERMISSION && second->kind == ERR_PERMISSION;
}

static void give_up(struct kube_carrier_open *open)
{
	const struct err *first = &open->attempts[WAY_PROXY].err;
	const struct err *second = &open->attempts[WAY_FORWARD].err;
	struct err err = *first;

	if (!open->attempts[WAY_PROXY].tried)
		err = *second;
	else if (open->attempts[WAY_FORWARD].tried && !both_forbidden(first, second))
		err_set(&err, first->code, first->kind, "%s: %.*s; %s: %.*s", way_names[WAY_PROXY],
			ERR_MSG_BYTES / 2 - 32, first->msg, way_names[WAY_FORWARD],
			ERR_MSG_BYTES / 2 - 32, second->msg);
	finish(open, NULL, NULL, &err);
}

static void attempt_failed(struct attempt *attempt, const struct err *err)
{
	struct kube_carrier_open *open = attempt->open;
	struct attempt *other =
		&open->attempts[attempt->way == WAY_PROXY ? WAY_FORWARD : WAY_PROXY];

	attempt->err = *err;
	attempt->failed = true;
	wsconn_free(TAKE_PTR(attempt->conn));
	if (open->kind == KUBE_CARRIER_AUTO && !other->tried && !final(err))
		start_forward(other);
	else if (!other->tried || other->failed)
		give_up(open);
}

static void on_conn_closed(void *user, const struct err *err)
{
	attempt_failed(user, err);
}

static void on_conn_open(void *user)
{
	struct attempt *attempt = user;
	struct carrier *carrier =
		ws_carrier_new(TAKE_PTR(attempt->conn), attempt->way == WAY_FORWARD);
	struct err none = ERR_INIT;

	finish(attempt->open, carrier, attempt, &none);
}

/* Before it is started a connection has neither payload nor queue. */
static const struct wsconn_events opening_events = {
	.on_open = on_conn_open, .on_closed = on_conn_closed};

static bool pod_ready(json_object *pod)
{
	return strcmp(kube_condition_status(pod, "Ready"), "True") == 0 &&
	       !json_path(pod, "metadata.deletionTimestamp");
}

static void on_pods(void *user, int r, int status, json_object *body, const struct err *err)
{
	struct attempt *attempt = user;
	struct kube_carrier_open *open = attempt->open;
	const char *name = NULL;
	auto_free char *path = NULL;
	struct err none = ERR_INIT;

	(void)status;
	attempt->pods = NULL;
	for (size_t i = 0; r == 0 && !name && i < json_count(body, "items"); i++) {
		json_object *pod = json_item(body, "items", i);

		if (pod_ready(pod))
			name = json_text(pod, "metadata.name");
	}
	if (!name) {
		if (r == 0)
			err_set(&none, -EHOSTUNREACH, ERR_UNREACHABLE,
				"no pod of " SERVICE_NAME " is ready in namespace %s",
				open->namespace);
		attempt_failed(attempt, r < 0 ? err : &none);
		return;
	}
	path = xasprintf("/api/v1/namespaces/%s/pods/%s/portforward?ports=%d", open->namespace,
		name, TUNNEL_PORT);
	attempt->conn = wsconn_open(open->client, path, CHANNEL_PROTOCOL, &opening_events, attempt);
}

static void start_forward(struct attempt *attempt)
{
	struct kube_carrier_open *open = attempt->open;
	auto_free char *path = xasprintf(
		"/api/v1/namespaces/%s/pods?labelSelector=" POD_SELECTOR, open->namespace);
	const struct kube_request_config config = {
		.method = "GET", .path = path, .fresh = open->fresh};

	attempt->tried = true;
	uv_timer_stop(&open->timer);
	kube_request(open->client, &config, on_pods, attempt, &attempt->pods);
}

static void start_proxy(struct attempt *attempt)
{
	struct kube_carrier_open *open = attempt->open;
	auto_free char *path = xasprintf("/api/v1/namespaces/%s/services/" SERVICE_NAME
					 ":" SERVICE_PORT "/proxy" TUNNEL_PATH,
		open->namespace);

	attempt->tried = true;
	attempt->conn =
		wsconn_open(open->client, path, TUNNEL_SUBPROTOCOL, &opening_events, attempt);
}

static void on_head_start_over(uv_timer_t *timer)
{
	struct kube_carrier_open *open = timer->data;

	start_forward(&open->attempts[WAY_FORWARD]);
}

bool kube_carrier_reached(const struct kube_carrier_open *open)
{
	for (int i = 0; i < WAY_COUNT; i++) {
		if (open->attempts[i].conn && wsconn_is_connected(open->attempts[i].conn))
			return true;
	}
	return false;
}

struct kube_carrier_open *kube_carrier_open(
	const struct kube_carrier_config *config, kube_carrier_fn on_done, void *user)
{
	struct kube_carrier_open *open = XNEW(struct kube_carrier_open);

	open->client = config->client;
	open->namespace = xstrdup(config->manager_namespace);
	open->kind = config->kind;
	open->fresh = config->fresh;
	open->on_done = on_done;
	open->user = user;
	uv_timer_init(kube_client_loop(open->client), &open->timer);
	open->timer.data = open;
	for (int i = 0; i < WAY_COUNT; i++) {
		open->attempts[i].open = open;
		open->attempts[i].way = (enum way)i;
	}
	if (open->kind == KUBE_CARRIER_PORT_FORWARD)
		start_forward(&open->attempts[WAY_FORWARD]);
	else
		start_proxy(&open->attempts[WAY_PROXY]);
	if (open->kind == KUBE_CARRIER_AUTO)
		uv_timer_start(&open->timer, on_head_start_over, HEAD_START_MS, 0);
	return open;
}
