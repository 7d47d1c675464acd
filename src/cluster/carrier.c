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
#include "cluster/api_carrier.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"

#define HEAD_START_MS 300
#define SERVICE_NAME  "traffic-manager"
#define SERVICE_PORT  "tunnel"
#define TUNNEL_PORT   8081
/* An upgrade to SPDY that a proxy swallows is not waited for as long as the last form's. */
#define SPDY_MS 3000
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
	char *path; /* port-forward: of that pod */
	size_t form;
	struct upconn *conn;
	struct err first_err; /* of the first form */
	struct err err; /* why it failed */
};

/*
 * How a port-forward is asked for. SPDY, as kubectl has always done it, is the cheaper one for API
 * server and kubelet (docs/tunnel.md); `create` is the right that is usually given for it, and GET
 * needs `get`. WebSocket passes proxies that know no SPDY.
 */
static const struct {
	const char *method;
	enum http_upgrade_to to;
	const char *protocol;
	uint32_t upgrade_ms;
} forms[] = {
	{"POST", HTTP_UPGRADE_SPDY, "portforward.k8s.io", SPDY_MS},
	{"GET", HTTP_UPGRADE_SPDY, "portforward.k8s.io", SPDY_MS},
	{"GET", HTTP_UPGRADE_WEBSOCKET, "v4.channel.k8s.io", LIMIT_HANDSHAKE_MS},
};
#define LAST_FORM (ARRAY_SIZE(forms) - 1)

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
		upconn_free(TAKE_PTR(open->attempts[i].conn));
		free(TAKE_PTR(open->attempts[i].path));
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

	/* The right that the first form needs is the one to ask for. */
	attempt->err = both_forbidden(&attempt->first_err, err) ? attempt->first_err : *err;
	attempt->failed = true;
	upconn_free(TAKE_PTR(attempt->conn));
	if (open->kind == KUBE_CARRIER_AUTO && !other->tried && !final(err))
		start_forward(other);
	else if (!other->tried || other->failed)
		give_up(open);
}

static void forward(struct attempt *attempt);

/* Whether the next form may do what this one could not. */
static bool next_form(struct attempt *attempt, const struct err *err)
{
	if (attempt->way != WAY_FORWARD || attempt->form == LAST_FORM || final(err) ||
		!upconn_reached(attempt->conn))
		return false;
	if (attempt->form == 0)
		attempt->first_err = *err;
	attempt->form = err->kind == ERR_PERMISSION ? attempt->form + 1 : LAST_FORM;
	return true;
}

static void on_conn_closed(void *user, const struct err *err)
{
	struct attempt *attempt = user;

	if (next_form(attempt, err))
		forward(attempt);
	else
		attempt_failed(attempt, err);
}

static void on_conn_open(void *user)
{
	struct attempt *attempt = user;
	bool forward = attempt->way == WAY_FORWARD;
	struct carrier *carrier = api_carrier_new(TAKE_PTR(attempt->conn), forward,
		forward && forms[attempt->form].to == HTTP_UPGRADE_WEBSOCKET);
	struct err none = ERR_INIT;

	finish(attempt->open, carrier, attempt, &none);
}

/* Before it is started a connection has neither payload nor queue. */
static const struct upconn_events opening_events = {
	.on_open = on_conn_open, .on_closed = on_conn_closed};

/* By the form whose turn it is. */
static void forward(struct attempt *attempt)
{
	const struct upconn_config config = {
		.upgrade = {.method = forms[attempt->form].method,
			.path = attempt->path,
			.to = forms[attempt->form].to,
			.protocol = forms[attempt->form].protocol},
		.upgrade_ms = forms[attempt->form].upgrade_ms,
		.port = TUNNEL_PORT,
	};

	upconn_free(attempt->conn);
	attempt->conn = upconn_open(attempt->open->client, &config, &opening_events, attempt);
}

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
	attempt->path = xasprintf("/api/v1/namespaces/%s/pods/%s/portforward?ports=%d",
		open->namespace, name, TUNNEL_PORT);
	forward(attempt);
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

	const struct upconn_config config = {
		.upgrade = {.method = "GET", .path = path, .protocol = TUNNEL_SUBPROTOCOL},
		.upgrade_ms = LIMIT_HANDSHAKE_MS,
	};

	attempt->tried = true;
	attempt->conn = upconn_open(open->client, &config, &opening_events, attempt);
}

static void on_head_start_over(uv_timer_t *timer)
{
	struct kube_carrier_open *open = timer->data;

	start_forward(&open->attempts[WAY_FORWARD]);
}

bool kube_carrier_reached(const struct kube_carrier_open *open)
{
	for (int i = 0; i < WAY_COUNT; i++) {
		if (open->attempts[i].conn && upconn_reached(open->attempts[i].conn))
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
