/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "client/userd/proto.h"
#include "client/userd/rootlink.h"
#include "client/userd/server.h"
#include "client/userd/session.h"
#include "client/userd/session_requests.h"
#include "client/userd/userd_priv.h"
#include "client/userd/waits.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "ipc/root_client.h"

static char *own_path(void)
{
	char *path = xcalloc(4096, 1);

	if (readlink("/proc/self/exe", path, 4095) < 0)
		path[0] = '\0';
	return path;
}

static void on_status(struct userd *userd, struct userd_peer *peer, json_object *request UNUSED)
{
	json_object *status = json_object_new_object();
	json_object *user_daemon = json_object_new_object();
	json_object *root_daemon = json_object_new_object();
	json_object *manager = json_object_new_object();
	auto_free char *path = own_path();

	json_object_object_add(user_daemon, "running", json_object_new_boolean(true));
	json_object_object_add(user_daemon, "in_docker", json_object_new_boolean(false));
	json_put_string(user_daemon, "name", "User Daemon");
	json_put_string(user_daemon, "version", TP_VERSION);
	json_put_string(user_daemon, "executable", path);
	json_object_object_add(
		root_daemon, "running", json_object_new_boolean(userd->root != NULL));
	if (userd->root) {
		json_put_string(root_daemon, "name", "Root Daemon");
		json_put_string(
			root_daemon, "version", root_client_version(root_link_client(userd->root)));
	}
	if (userd->session)
		session_describe(userd->session, user_daemon, root_daemon, manager);
	else
		json_put_string(user_daemon, "status", "Not connected");
	json_object_object_add(status, "user_daemon", user_daemon);
	json_object_object_add(status, "root_daemon", root_daemon);
	json_object_object_add(status, "traffic_manager", manager);
	userd_peer_done(peer, status);
}

static void on_dns_trace(struct userd *userd, struct userd_peer *peer, json_object *request)
{
	const char *name = json_get_string(request, "name");
	json_object *result = NULL;
	struct err err = ERR_INIT;

	if (!userd->session ||
		session_explain_name(userd->session, name ? name : "", &result) < 0) {
		err_set(&err, -ENOTCONN, ERR_UNREACHABLE, "not connected to a cluster");
		userd_peer_failed(peer, &err, "telepresence connect");
	} else if (!result) {
		err_set(&err, -EINVAL, ERR_USAGE, "\"%.80s\" is not a DNS name", name ? name : "");
		userd_peer_failed(peer, &err, NULL);
	} else {
		userd_peer_done(peer, result);
	}
}

static json_object *quit_result(bool was_connected, pid_t root_left)
{
	json_object *result = json_object_new_object();

	json_object_object_add(result, "disconnected", json_object_new_boolean(was_connected));
	if (root_left > 0)
		json_object_object_add(result, "root_daemon_left", json_object_new_int(root_left));
	return result;
}

void userd_disconnect(struct userd *userd)
{
	if (userd->session)
		session_stop(userd->session);
	else
		userd_drop_root(userd);
}

static void wait_for_end(struct userd *userd, struct userd_peer *peer)
{
	struct err err = ERR_INIT;

	if (peer_list_add(&userd->quitting, peer)) {
		userd_disconnect(userd);
		return;
	}
	err_set(&err, -EBUSY, ERR_CONFLICT, "too many commands wait for the end");
	userd_peer_failed(peer, &err, NULL);
}

static void on_quit(struct userd *userd, struct userd_peer *peer, json_object *request UNUSED)
{
	if (userd->session)
		wait_for_end(userd, peer);
	else
		userd_peer_done(peer, quit_result(false, 0));
}

static void on_stop(struct userd *userd, struct userd_peer *peer, json_object *request UNUSED)
{
	userd->stopping = true;
	wait_for_end(userd, peer);
}

void userd_disconnected(void *user, pid_t root_left)
{
	struct userd *userd = user;

	userd->ending = false;
	userd_tell_failure(userd);
	for (size_t i = 0; i < userd->quitting.count; i++)
		userd_peer_done(userd->quitting.peers[i], quit_result(true, root_left));
	userd->quitting.count = 0;
	userd_tell_late(userd);
	if (userd->stopping) {
		uv_stop(&userd->loop);
		return;
	}
	if (userd->uninstall.peer && !userd->uninstall.install)
		userd_uninstall_go(userd);
}

static const struct request {
	const char *name;
	void (*handle)(struct userd *userd, struct userd_peer *peer, json_object *request);
} requests[] = {
	{"status", on_status},
	{"connect", userd_connect},
	{"quit", on_quit},
	{"stop", on_stop},
	{"list", userd_list},
	{"intercept", userd_intercept},
	{"leave", userd_leave},
	{"agents-exit", userd_agents_exit},
	{"names", userd_names},
	{"dns-trace", on_dns_trace},
	{"uninstall", userd_uninstall},
};

void userd_request(void *user, struct userd_peer *peer, json_object *request)
{
	struct userd *userd = user;
	const char *name = json_get_string(request, "request");
	struct err err = ERR_INIT;

	/* `stop` is understood from every version: it is the way out of a mix. */
	if (json_get_int(request, "protocol", 0) != USERD_PROTOCOL && name &&
		strcmp(name, "stop") != 0) {
		err_set(&err, -EPROTONOSUPPORT, ERR_CONFLICT,
			"the user daemon is of version " TP_VERSION ", another than this command");
		userd_peer_failed(peer, &err, "telepresence quit -s, then try again");
		return;
	}
	for (size_t i = 0; name && i < ARRAY_SIZE(requests); i++) {
		if (strcmp(requests[i].name, name) == 0) {
			log_debug("request", "name=%s", name);
			requests[i].handle(userd, peer, request);
			return;
		}
	}
	err_set(&err, -EPROTO, ERR_INTERNAL, "unknown request");
	userd_peer_failed(peer, &err, NULL);
}

/* A command line that hangs up takes back what it waits for. */
void userd_peer_gone(void *user, struct userd_peer *peer)
{
	struct userd *userd = user;

	(void)peer_list_remove(&userd->quitting, peer);
	(void)peer_list_remove(&userd->late, peer);
	if (peer_list_remove(&userd->connecting, peer) && userd->connecting.count == 0 &&
		userd->session) {
		log_info("connect cancelled", "reason=%s", "the command hung up");
		userd->ending = true;
		session_stop(userd->session);
	}
	if (userd->uninstall.peer == peer)
		userd_uninstall_cancel(userd);
	userd_waits_gone(userd, peer);
}
