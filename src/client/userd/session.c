/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/session.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/userd/backoff.h"
#include "client/userd/filewatch.h"
#include "client/userd/former.h"
#include "client/userd/intercepts.h"
#include "client/userd/network.h"
#include "client/userd/network_reach.h"
#include "client/userd/netwatch.h"
#include "client/userd/opening.h"
#include "client/userd/selftest.h"
#include "client/userd/session_priv.h"
#include "client/userd/session_steps.h"
#include "cluster/client.h"
#include "cluster/install.h"
#include "core/alloc.h"
#include "core/log.h"
#include "tunnel/key.h"

/* How long a first connect waits for a manager that is there but does not answer yet. */
#define CONNECT_PATIENCE_MS 15000
#define DEFER_MS            20

#define BIT(state) (1U << (state))
#define ANY        (BIT(SESSION_CLOSING) - 1)

static void enter_connected(struct session *session);
static void enter_wait(struct session *session);
static void enter_closing(struct session *session);

static const struct step {
	const char *name;
	void (*enter)(struct session *session);
	unsigned int from; /* states that may lead here */
	unsigned int deadline_ms; /* 0: what is started here has its own */
} steps[SESSION_STATE_COUNT] = {
	[SESSION_IDLE] = {"idle", NULL, 0, 0},
	[SESSION_IDENTIFY] = {"identify", session_identify, BIT(SESSION_IDLE) | BIT(SESSION_WAIT),
		0},
	[SESSION_REGISTER] = {"register", session_register,
		BIT(SESSION_IDENTIFY) | BIT(SESSION_INSTALL) | BIT(SESSION_WAIT), 0},
	[SESSION_INSTALL] = {"install", session_install, BIT(SESSION_REGISTER) | BIT(SESSION_CHECK),
		0},
	[SESSION_OPEN] = {"open", session_open, BIT(SESSION_REGISTER) | BIT(SESSION_WAIT), 30000},
	[SESSION_CHECK] = {"check", session_check, BIT(SESSION_OPEN), 0},
	[SESSION_LEARN] = {"learn", session_learn,
		BIT(SESSION_OPEN) | BIT(SESSION_LEARN) | BIT(SESSION_CONNECTED), 10000},
	[SESSION_RESOLVE] = {"resolve", session_resolve, BIT(SESSION_LEARN), 10000},
	[SESSION_NETWORK] = {"network", session_network, BIT(SESSION_RESOLVE), 0},
	[SESSION_TEST] = {"test", session_test, BIT(SESSION_NETWORK), 0},
	[SESSION_CONNECTED] = {"connected", enter_connected, BIT(SESSION_TEST) | BIT(SESSION_LEARN),
		0},
	[SESSION_WAIT] = {"wait", enter_wait, ANY, 0},
	[SESSION_CLOSING] = {"closing", enter_closing, ANY, SESSION_STOP_MS},
	[SESSION_CLOSED] = {"closed", NULL, BIT(SESSION_CLOSING), 0},
};

static void close_session(struct session *session)
{
	if (session->request)
		kube_request_cancel(TAKE_PTR(session->request));
	session_enter(session, SESSION_CLOSED);
	if (session->failed)
		session->events.on_failed(
			session->user, &session->err, session->hint[0] ? session->hint : NULL);
	else
		session->events.on_stopped(session->user);
}

static void on_timer(uv_timer_t *timer)
{
	struct session *session = timer->data;
	struct err err = ERR_INIT;

	if (session->state == SESSION_WAIT) {
		session_enter(session, session->uid     ? SESSION_OPEN
				       : session->owner ? SESSION_REGISTER
							: SESSION_IDENTIFY);
		return;
	}
	if (session->state == SESSION_CLOSING) {
		close_session(session);
		return;
	}
	if (session->deferred) {
		err = session->err;
	} else if (session->state == SESSION_OPEN && opening_is_mute(session->opening)) {
		err_set(&err, -ETIMEDOUT, ERR_UNREACHABLE,
			"the way to the traffic-manager is open, but nothing comes through; is "
			"there "
			"a proxy between that keeps what follows the upgrade of a connection?");
	} else {
		err_set(&err, -ETIMEDOUT, ERR_UNREACHABLE, "no answer in time (state %s)",
			steps[session->state].name);
	}
	session_retry(session, &err, NULL);
}

void session_defer(struct session *session, const struct err *err)
{
	session->err = *err;
	session->deferred = true;
	(void)uv_timer_start(&session->timer, on_timer, DEFER_MS, 0);
}

void session_enter(struct session *session, enum session_state state)
{
	const struct step *step = &steps[state];

	assert(step->from & BIT(session->state));
	log_debug("session", "from=%s to=%s", steps[session->state].name, step->name);
	session->state = state;
	session->deferred = false;
	(void)uv_timer_stop(&session->timer);
	if (step->deadline_ms)
		(void)uv_timer_start(&session->timer, on_timer, step->deadline_ms, 0);
	if (step->enter)
		step->enter(session);
}

void session_say(struct session *session, const char *fmt, ...)
{
	char line[512];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	log_info("progress", "step=%s", line);
	if (!session->established)
		session->events.on_progress(session->user, line);
}

/* Ends whatever the current state has under way. */
static void cancel_step(struct session *session)
{
	if (session->request)
		kube_request_cancel(TAKE_PTR(session->request));
	if (session->install)
		kube_install_cancel(TAKE_PTR(session->install));
	opening_cancel(TAKE_PTR(session->opening));
	hosts_cancel(TAKE_PTR(session->lookup));
	selftest_cancel(TAKE_PTR(session->test));
}

void session_fail(struct session *session, const struct err *err, const char *hint)
{
	if (session->state >= SESSION_CLOSING)
		return;
	session->err = *err;
	(void)snprintf(session->hint, sizeof(session->hint), "%s", hint ? hint : "");
	if (session->established) {
		log_warn("tunnel lost", "error=%s", err->msg);
		session_enter(session, SESSION_WAIT);
		return;
	}
	session->failed = true;
	session_enter(session, SESSION_CLOSING);
}

void session_retry(struct session *session, const struct err *err, const char *hint)
{
	if (session->state >= SESSION_CLOSING)
		return;
	if (!session->established &&
		uv_now(session->loop) - session->started_ms > CONNECT_PATIENCE_MS) {
		session_fail(session, err, hint);
		return;
	}
	session->err = *err;
	log_info("trying again", "state=%s error=%s", steps[session->state].name, err->msg);
	session_enter(session, SESSION_WAIT);
}

void session_reopen(struct session *session)
{
	session->attempts = 0;
	if (session->state != SESSION_WAIT)
		session_enter(session, SESSION_WAIT);
	else
		(void)uv_timer_start(&session->timer, on_timer, 0, 0);
}

static void enter_connected(struct session *session)
{
	bool first = !session->established;

	session->established = true;
	session->attempts = 0;
	session->err = (struct err)ERR_INIT;
	log_info("connected", "context=%s session=%s", session->kube->context, session->name);
	intercepts_session(session->intercepts, session->owner, session->name, session->uid);
	if (first)
		session->events.on_connected(session->user);
}

static void enter_wait(struct session *session)
{
	cancel_step(session);
	session_drop_tunnel(session);
	(void)uv_timer_start(&session->timer, on_timer, backoff_ms(session->attempts), 0);
	session->attempts++;
}

/* With the Session the manager ends what it carries, so that goes last. */
static void on_intercepts_stopped(void *user)
{
	session_unregister(user);
}

static void enter_closing(struct session *session)
{
	cancel_step(session);
	/* Names and routes first: what the person asked to be gone is gone at once. */
	netwatch_free(TAKE_PTR(session->netwatch));
	filewatch_free(TAKE_PTR(session->resolv_watch));
	filewatch_free(TAKE_PTR(session->uplinks_watch));
	network_free(TAKE_PTR(session->network));
	session->closing = 1;
	former_clear(session->former);
	session_drop_tunnel(session);
	if (!intercepts_stop(session->intercepts, on_intercepts_stopped, session))
		session_unregister(session);
}

void session_undone(struct session *session)
{
	if (--session->closing == 0)
		close_session(session);
}

void session_undone_later(struct session *session)
{
	if (--session->closing == 0)
		(void)uv_timer_start(&session->timer, on_timer, 0, 0);
}

int session_new(uv_loop_t *loop, struct root_client *root, const struct connect_args *args,
	const struct session_events *events, void *user, struct session **ret_session,
	struct err *err)
{
	const struct kube_overrides overrides = connect_args_overrides(args);
	AUTO(kube_config) kube = NULL;
	struct session_key *key = NULL;
	struct kube_client *client = NULL;
	struct session *session;
	json_object *copy;
	struct proxy_lists lists;
	enum kube_carrier_kind carrier_kind = KUBE_CARRIER_AUTO;
	int r = kube_config_load(&overrides, &kube, err);

	if (r == 0)
		r = kube_carrier_parse(connect_args_carrier(args, kube), &carrier_kind, err);
	if (r == 0)
		r = proxy_lists_make(args, kube, &lists, err);
	if (r == 0)
		r = session_key_new(&key, err);
	if (r == 0)
		r = kube_client_new(loop, kube, &client, err);
	if (r < 0) {
		session_key_free(key);
		return r;
	}
	session = XNEW(struct session);
	copy = connect_args_to_json(args);
	r = connect_args_from_json(copy, &session->args, err);
	json_object_put(copy);
	assert(r == 0);
	session->lists = lists;
	session->loop = loop;
	session->root = root;
	session->events = *events;
	session->user = user;
	session->kube = TAKE_PTR(kube);
	session->key = key;
	session->client = client;
	session->carrier_kind = carrier_kind;
	session->former = former_new(loop, NULL, NULL);
	session->manager_namespace = xstrdup(connect_args_manager_namespace(args, session->kube));
	session->intercepts = intercepts_new(&(struct intercepts_config){.loop = loop,
		.client = client,
		.manager_namespace = session->manager_namespace,
		.carrier_kind = carrier_kind,
		.key = key,
		.uplink = &session->uplink,
		.on_namespaces = session_search,
		.leads_back = session_leads_back,
		.user = session});
	(void)uv_timer_init(loop, &session->timer);
	session->timer.data = session;
	*ret_session = session;
	return 0;
}

void session_start(struct session *session)
{
	session->started_ms = uv_now(session->loop);
	session_enter(session, SESSION_IDENTIFY);
}

void session_stop(struct session *session)
{
	if (session->state < SESSION_CLOSING)
		session_enter(session, SESSION_CLOSING);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct session *session = handle->data;

	connect_args_done(&session->args);
	cluster_info_done(&session->info);
	kube_config_free(session->kube);
	session_key_free(session->key);
	free(session->manager_namespace);
	free(session->owner);
	free(session->name);
	free(session->uid);
	free(session);
}

void session_free(struct session *session)
{
	if (!session)
		return;
	session->state = SESSION_CLOSED;
	cancel_step(session);
	netwatch_free(TAKE_PTR(session->netwatch));
	filewatch_free(TAKE_PTR(session->resolv_watch));
	filewatch_free(TAKE_PTR(session->uplinks_watch));
	network_free(TAKE_PTR(session->network));
	session_drop_tunnel(session);
	former_free(TAKE_PTR(session->former));
	intercepts_free(TAKE_PTR(session->intercepts));
	kube_client_free(TAKE_PTR(session->client));
	uv_close((uv_handle_t *)&session->timer, on_timer_closed);
}
