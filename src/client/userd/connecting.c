/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/userd/args.h"
#include "client/userd/proto.h"
#include "client/userd/rootlink.h"
#include "client/userd/server.h"
#include "client/userd/session.h"
#include "client/userd/userd_priv.h"
#include "client/userd/waits.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"

/* Credential plugins and proxies see the environment of the command line that connects. */
void userd_apply_env(json_object *env)
{
	if (!env)
		return;
	(void)clearenv();
	json_object_object_foreach(env, name, value)
	{
		if (json_object_is_type(value, json_type_string) && *name && !strchr(name, '='))
			(void)setenv(name, json_object_get_string(value), 1);
	}
}

static json_object *describe(const struct session *session)
{
	json_object *user_daemon = json_object_new_object();
	json_object *root_daemon = json_object_new_object();
	json_object *manager = json_object_new_object();

	session_describe(session, user_daemon, root_daemon, manager);
	json_object_put(root_daemon);
	json_object_put(manager);
	return user_daemon;
}

static void on_progress(void *user, const char *line)
{
	struct userd *userd = user;

	for (size_t i = 0; i < userd->connecting.count; i++)
		userd_peer_progress(userd->connecting.peers[i], line);
}

static void on_idle(uv_timer_t *timer)
{
	struct userd *userd = container_of(timer, struct userd, idle);

	resident_tick(&userd->resident);
}

static void on_connected(void *user)
{
	struct userd *userd = user;

	for (size_t i = 0; i < userd->connecting.count; i++)
		userd_peer_done(userd->connecting.peers[i], describe(userd->session));
	userd->connecting.count = 0;
	resident_begin(&userd->resident);
	(void)uv_timer_start(&userd->idle, on_idle, RESIDENT_TICK_MS, RESIDENT_TICK_MS);
}

/* Ends the root daemon; userd_disconnected() when its process is gone. */
void userd_drop_root(struct userd *userd)
{
	struct root_link *root = TAKE_PTR(userd->root);

	userd->ending = true;
	if (root)
		root_link_close(root, userd_disconnected, userd);
	else
		userd_disconnected(userd, 0);
}

void userd_tell_failure(struct userd *userd)
{
	for (size_t i = 0; i < userd->connecting.count; i++)
		userd_peer_failed(userd->connecting.peers[i], &userd->failure,
			userd->hint[0] ? userd->hint : NULL);
	userd->connecting.count = 0;
}

void userd_tell_late(struct userd *userd)
{
	struct err err = ERR_INIT;

	err_set(&err, userd->stopping ? -ESHUTDOWN : -ERESTART, ERR_CONFLICT,
		"telepresence was just disconnecting");
	for (size_t i = 0; i < userd->late.count; i++)
		userd_peer_failed(userd->late.peers[i], &err, "try again");
	userd->late.count = 0;
}

static void end_session(struct userd *userd)
{
	userd_waits_end(userd);
	session_free(TAKE_PTR(userd->session));
	userd_drop_root(userd);
}

static void on_failed(void *user, const struct err *err, const char *hint)
{
	struct userd *userd = user;

	log_error("connect failed", "error=%s", err->msg);
	userd->failure = *err;
	(void)snprintf(userd->hint, sizeof(userd->hint), "%s", hint ? hint : "");
	end_session(userd);
}

static void on_stopped(void *user)
{
	struct userd *userd = user;

	err_set(&userd->failure, -ECANCELED, ERR_CONFLICT, "disconnected while connecting");
	userd->hint[0] = '\0';
	end_session(userd);
}

static const struct session_events session_events = {
	.on_progress = on_progress,
	.on_connected = on_connected,
	.on_failed = on_failed,
	.on_stopped = on_stopped,
};

/* What holds the routes is gone: there is nothing to serve any more. */
static void on_root_gone(void *user)
{
	struct userd *userd = user;

	log_error("the root daemon has ended", "action=%s", "disconnecting and ending");
	userd->stopping = true;
	userd_disconnect(userd);
}

static int start_session(struct userd *userd, const struct connect_args *args, struct err *err)
{
	int r = root_link_open(&userd->loop, on_root_gone, userd, &userd->root, err);

	/* The one that the command has found was just ending: the command looks again. */
	if (r == -ECONNREFUSED || r == -EPIPE)
		err->code = r = -ERESTART;
	if (r == 0)
		r = session_new(&userd->loop, root_link_client(userd->root), args, &session_events,
			userd, &userd->session, err);
	if (r < 0) {
		root_link_close(TAKE_PTR(userd->root), NULL, NULL);
		return r;
	}
	session_start(userd->session);
	return 0;
}

/* What decides which cluster is meant where no flag does. */
static const char *const meaning[] = {"KUBECONFIG", "HOME", "TELEPRESENCE_MANAGER_NAMESPACE"};

static void set_or_unset(const char *name, const char *value)
{
	if (value)
		(void)setenv(name, value, 1);
	else
		(void)unsetenv(name);
}

/* As the command's own environment means it; the session's is back afterwards. */
static int compare(struct userd *userd, const struct connect_args *args, json_object *env,
	bool *ret_same, struct err *err)
{
	char *kept[ARRAY_SIZE(meaning)];
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(meaning); i++) {
		const char *value = getenv(meaning[i]);

		kept[i] = value ? xstrdup(value) : NULL;
		if (env)
			set_or_unset(meaning[i], json_get_string(env, meaning[i]));
	}
	r = session_compare(userd->session, args, ret_same, err);
	for (size_t i = 0; i < ARRAY_SIZE(meaning); i++) {
		set_or_unset(meaning[i], kept[i]);
		free(kept[i]);
	}
	return r;
}

/* With a connection there: the same one asked for again, or another. */
static int join(struct userd *userd, struct userd_peer *peer, const struct connect_args *args,
	json_object *env, struct err *err)
{
	bool same = false;
	int r = compare(userd, args, env, &same, err);

	if (r < 0)
		return r;
	if (!same)
		return err_set(err, -EEXIST, ERR_CONFLICT,
			"Cluster configuration changed, please quit telepresence and reconnect");
	if (session_is_connected(userd->session)) {
		userd_peer_done(peer, describe(userd->session));
		return 0;
	}
	return peer_list_add(&userd->connecting, peer)
		       ? 0
		       : err_set(err, -EBUSY, ERR_CONFLICT,
				 "too many commands wait for the connection");
}

/* The daemons that the command has found or started are on their way out: it looks again. */
static int begin_again(struct userd *userd, struct userd_peer *peer, struct err *err)
{
	if (!peer_list_add(&userd->late, peer))
		return err_set(err, -EBUSY, ERR_CONFLICT,
			"too many commands wait for the end of the former connection");
	userd_peer_progress(peer, "Waiting until the former connection has ended");
	return 0;
}

void userd_connect(struct userd *userd, struct userd_peer *peer, json_object *request)
{
	struct connect_args args = {0};
	struct err err = ERR_INIT;
	int r = connect_args_from_json(json_get(request, "args", json_type_object), &args, &err);

	if (r < 0) {
		userd_peer_failed(peer, &err, NULL);
		return;
	}
	/* While there is a session its plugins have the environment it was made with. */
	if (userd->uninstall.peer) {
		r = err_set(&err, -EBUSY, ERR_CONFLICT, "telepresence is just being uninstalled");
	} else if (userd->stopping || userd->ending || userd->quitting.count) {
		r = begin_again(userd, peer, &err);
	} else if (userd->session) {
		r = join(userd, peer, &args, json_get(request, "env", json_type_object), &err);
	} else {
		userd_apply_env(json_get(request, "env", json_type_object));
		(void)peer_list_add(&userd->connecting, peer);
		r = start_session(userd, &args, &err);
		if (r < 0)
			(void)peer_list_remove(&userd->connecting, peer);
	}
	if (r < 0)
		userd_peer_failed(
			peer, &err, r == -EEXIST ? "telepresence quit, then connect again" : NULL);
	connect_args_done(&args);
}
