/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "client/userd/changes.h"
#include "client/userd/network.h"
#include "client/userd/session_priv.h"
#include "client/userd/session_steps.h"
#include "cluster/carrier.h"
#include "core/log.h"
#include "tunnel/carrier.h"
#include "tunnel/client.h"

static void on_carrier(void *user, int r, struct carrier *carrier, const struct err *err)
{
	struct session *session = user;
	char hint[sizeof(session->hint)];

	session->opening = NULL;
	if (r == 0) {
		session->carrier = carrier;
		session_enter(session, SESSION_PROVE);
	} else if (session->established) {
		session_retry(session, err, NULL);
	} else if (err->kind == ERR_AUTH || err->kind == ERR_PERMISSION) {
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

void session_open(struct session *session)
{
	session_say(session, "Opening a tunnel to the traffic-manager");
	session->opening = kube_carrier_open(session->client, session->manager_namespace,
		KUBE_CARRIER_AUTO, on_carrier, session);
}

static void on_ready(void *user)
{
	struct session *session = user;

	session->uplink.h2 = tunnel_client_h2(session->tunnel);
	session_enter(session, SESSION_LEARN);
}

static void on_tunnel_closed(void *user, const struct err *err)
{
	struct session *session = user;

	session->uplink.h2 = NULL;
	if (session->state >= SESSION_CLOSING || session->state == SESSION_WAIT)
		return;
	if (session->state == SESSION_PROVE && err->kind != ERR_UNREACHABLE) {
		/* Refused: perhaps the manager has not seen the Session yet, or it is gone. */
		session->err = *err;
		session_enter(session, SESSION_CHECK);
		return;
	}
	session_retry(session, err, NULL);
}

void session_prove(struct session *session)
{
	static const struct tunnel_client_events events = {
		.on_ready = on_ready, .on_closed = on_tunnel_closed};
	const struct tunnel_client_config config = {
		.session_uid = session->uid, .key = session->key};

	session->tunnel = tunnel_client_new(
		session->loop, TAKE_PTR(session->carrier), &config, &events, session);
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

void session_learn(struct session *session)
{
	static const struct info_events events = {.on_info = on_info, .on_end = on_info_end};
	struct err err = ERR_INIT;

	if (info_watch_start(session->uplink.h2, &events, session, &session->watch, &err) < 0)
		session_retry(session, &err, NULL);
	else
		session->changes = changes_start(session->uplink.h2, on_change, session);
}

void session_drop_tunnel(struct session *session)
{
	session->uplink.h2 = NULL;
	info_watch_stop(TAKE_PTR(session->watch));
	changes_stop(TAKE_PTR(session->changes));
	tunnel_client_free(TAKE_PTR(session->tunnel));
}
