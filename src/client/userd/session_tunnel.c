/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "client/userd/former.h"
#include "client/userd/names_watch.h"
#include "client/userd/network.h"
#include "client/userd/opening.h"
#include "client/userd/proto.h"
#include "client/userd/session_priv.h"
#include "client/userd/session_steps.h"
#include "core/log.h"
#include "core/utc.h"
#include "tunnel/client.h"

static void on_failed(
	void *user, bool refused, const struct kube_carrier_report *report, const struct err *err)
{
	struct session *session = user;
	char hint[sizeof(session->hint)];

	session->opening = NULL;
	session->report = *report;
	session->refused = refused;
	if (refused) {
		/* Perhaps the manager has not seen the Session yet, or it is gone. */
		session->err = *err;
		session_enter(session, SESSION_CHECK);
	} else if (session->established) {
		session_retry(session, err, NULL);
	} else if (err->kind == ERR_AUTH) {
		session_fail(session, err, NULL);
	} else if (err->kind == ERR_PERMISSION) {
		(void)snprintf(hint, sizeof(hint),
			"Your role needs \"get\" on services/proxy named traffic-manager:tunnel in "
			"namespace %s; the ClusterRole telepresence-user has it",
			session->manager_namespace);
		session_fail(session, err, hint);
	} else {
		session->err = *err;
		session_enter(session, SESSION_CHECK);
	}
}

static void on_tunnel_closed(void *user, const struct err *err)
{
	struct session *session = user;

	session->uplink.h2 = NULL;
	if (session->state >= SESSION_CLOSING || session->state == SESSION_WAIT)
		return;
	session_retry(session, err, NULL);
}

static struct opening *start_opening(struct session *session, bool beside);

/* While the manager is silent another tunnel is opened beside this one; whichever speaks first is
 * the one to use. */
static void on_silence(void *user, bool silent)
{
	struct session *session = user;

	if (!session->established ||
		(session->state != SESSION_CONNECTED && session->state != SESSION_LEARN))
		return;
	log_info(silent ? "tunnel is silent" : "tunnel is heard again", "carrier=%s",
		tunnel_client_carrier(session->tunnel));
	opening_cancel(TAKE_PTR(session->opening));
	if (!silent && !session->worn)
		return;
	session->opening = start_opening(session, true);
	session_resolve_again(session);
}

/* Connections go on being made on this one until the other is there. */
static void on_worn(void *user)
{
	struct session *session = user;

	log_info("tunnel is worn out", "carrier=%s", tunnel_client_carrier(session->tunnel));
	session->worn = true;
	if (!session->opening)
		session->opening = start_opening(session, true);
}

/* What this connection itself follows on the tunnel. */
static void stop_streams(struct session *session)
{
	session->uplink.h2 = NULL;
	info_watch_stop(TAKE_PTR(session->watch));
	names_watch_stop(TAKE_PTR(session->names));
}

/* Nobody waits for it any more; what it carries goes on if it comes back. */
static void on_lost(void *user, const struct err *err)
{
	struct session *session = user;

	if (session->established) {
		stop_streams(session);
		session->rtt_us = tunnel_client_rtt_us(session->tunnel);
		former_add(session->former, TAKE_PTR(session->tunnel));
	}
	session_retry(session, err, NULL);
}

static void on_ready(
	void *user, struct tunnel_client *tunnel, const struct kube_carrier_report *report)
{
	static const struct tunnel_client_events events = {.on_silence = on_silence,
		.on_worn = on_worn,
		.on_lost = on_lost,
		.on_closed = on_tunnel_closed};
	struct session *session = user;

	session->opening = NULL;
	session->report = *report;
	session->since = time(NULL);
	if (session->tunnel) {
		log_info("tunnel replaced", "carrier=%s", tunnel_client_carrier(tunnel));
		stop_streams(session);
		former_add(session->former, TAKE_PTR(session->tunnel));
	}
	tunnel_client_set_events(tunnel, &events, session);
	session->tunnel = tunnel;
	session->worn = false;
	session->uplink.h2 = tunnel_client_h2(tunnel);
	session_enter(session, SESSION_LEARN);
}

static struct opening *start_opening(struct session *session, bool beside)
{
	const struct opening_config config = {
		.loop = session->loop,
		.client = session->client,
		.manager_namespace = session->manager_namespace,
		.kind = session->carrier_kind,
		.session_uid = session->uid,
		.key = session->key,
		.again = session->established,
		.endless = beside,
		.rtt_us = session->tunnel ? tunnel_client_rtt_us(session->tunnel) : session->rtt_us,
	};
	const struct opening_events events = {
		.on_ready = on_ready, .on_failed = on_failed, .user = session};

	return opening_start(&config, &events);
}

void session_open(struct session *session)
{
	session_say(session, "Opening a tunnel to the traffic-manager");
	/* What was connected comes back however long it takes; each attempt has its deadlines. */
	if (session->established)
		(void)uv_timer_stop(&session->timer);
	session->opening = start_opening(session, false);
	session_resolve_again(session);
}

static void on_info(void *user, const struct cluster_info *info)
{
	struct session *session = user;
	struct err err = ERR_INIT;

	cluster_info_done(&session->info);
	cluster_info_copy(info, &session->info);
	if (session->network && network_update(session->network, info, &err) < 0)
		log_warn("routes stay as they were", "error=%s", err.msg);
	if (session->state == SESSION_LEARN)
		session_enter(session, session->established ? SESSION_CONNECTED : SESSION_RESOLVE);
}

static void on_info_end(void *user, const struct err *err)
{
	struct session *session = user;

	session->watch = NULL;
	/* A tunnel that is lost ends this stream first, and then says why. */
	if (session->uplink.h2 && session->state < SESSION_WAIT)
		session_defer(session, err);
}

static void on_change(void *user, const char *service)
{
	const struct session *session = user;

	if (session->network && session->info.domain)
		network_forget(session->network, service, session->info.domain);
}

static void on_headless(void *user, const char *const *services, size_t count)
{
	const struct session *session = user;

	if (session->network)
		network_set_headless(session->network, &session->info, services, count);
}

void session_learn(struct session *session)
{
	static const struct names_events names = {
		.on_change = on_change, .on_headless = on_headless};
	static const struct info_events events = {.on_info = on_info, .on_end = on_info_end};
	struct err err = ERR_INIT;

	if (info_watch_start(session->uplink.h2, &events, session, &session->watch, &err) < 0) {
		session_retry(session, &err, NULL);
		return;
	}
	session->names =
		names_watch_start(session->uplink.h2, session->kube->namespace, &names, session);
	session_search(session);
}

void session_drop_tunnel(struct session *session)
{
	stop_streams(session);
	if (session->tunnel && tunnel_client_rtt_us(session->tunnel) > 0)
		session->rtt_us = tunnel_client_rtt_us(session->tunnel);
	tunnel_client_free(TAKE_PTR(session->tunnel));
}

/* What became of a way to the manager, and why; names of the other one where it matters. */
static void describe_way(const struct session *session, size_t way, json_object *object)
{
	static const char *const states[] = {
		[KUBE_CARRIER_UNTRIED] = "not tried",
		[KUBE_CARRIER_CHOSEN] = "in use",
		[KUBE_CARRIER_SLOWER] = "slower",
		[KUBE_CARRIER_FAILED] = "failed",
		[KUBE_CARRIER_OFF] = "off",
	};
	enum kube_carrier_fate fate = session->report.ways[way].fate;
	const char *other = session->report.ways[way == 0].name;
	bool lost = fate == KUBE_CARRIER_CHOSEN && !session->uplink.h2;
	char reason[ERR_MSG_BYTES] = "";

	if (lost)
		(void)snprintf(reason, sizeof(reason), "%s", session->err.msg);
	else if (fate == KUBE_CARRIER_FAILED)
		(void)snprintf(reason, sizeof(reason), "%s", session->report.ways[way].err.msg);
	else if (fate == KUBE_CARRIER_UNTRIED)
		(void)snprintf(reason, sizeof(reason), "%s came first", other);
	else if (fate == KUBE_CARRIER_SLOWER)
		(void)snprintf(reason, sizeof(reason), "%s was open before it", other);
	else if (fate == KUBE_CARRIER_OFF)
		(void)snprintf(reason, sizeof(reason), "only %s is to be used", other);
	json_put_string(object, "name", session->report.ways[way].name);
	json_put_string(object, "state", lost ? "lost" : states[fate]);
	if (*reason)
		json_put_string(object, "reason", reason);
}

void session_describe_tunnel(const struct session *session, json_object *traffic_manager)
{
	json_object *list;
	char since[UTC_TEXT_BYTES];

	if (!session->report.ways[0].name)
		return;
	if (session->uplink.h2) {
		json_put_string(traffic_manager, "carrier", tunnel_client_carrier(session->tunnel));
		json_put_string(
			traffic_manager, "carrier_since", utc_format(session->since, since));
		json_object_object_add(traffic_manager, "rtt_us",
			json_object_new_int64(tunnel_client_rtt_us(session->tunnel)));
	}
	list = json_object_new_array();
	for (size_t way = 0; way < KUBE_CARRIER_WAYS; way++) {
		json_object *item = json_object_new_object();

		describe_way(session, way, item);
		json_object_array_add(list, item);
	}
	json_object_object_add(traffic_manager, "carriers", list);
}
