/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/userd_priv.h - the daemon's state, shared by its loop and its requests
 */
#ifndef CLIENT_USERD_USERD_PRIV_H
#define CLIENT_USERD_USERD_PRIV_H

#include <json-c/json.h>
#include <stdbool.h>
#include <uv.h>

#include "client/userd/peers.h"
#include "core/attr.h"
#include "core/err.h"
#include "core/resident.h"

struct kube_client;
struct kube_install;
struct root_link;
struct session;
struct userd_peer;
struct userd_server;
struct userd_wait;

#define USERD_HINT_BYTES 256

/* `uninstall`: waits for the session's end first, then has a client of its own. */
struct uninstall {
	struct userd_peer *peer; /* NULL: none under way */
	struct kube_client *client;
	struct kube_install *install;
	char *manager_namespace;
};

struct userd {
	uv_loop_t loop;
	uv_signal_t signals[2];
	uv_timer_t idle; /* of resident, from the first connect on */
	struct resident resident; /* gives memory back, also what a burst of transfers needed */
	struct userd_server *server;
	struct root_link *root;
	struct session *session;
	struct peer_list connecting, quitting;
	struct peer_list late; /* want to connect, and begin again when all is down */
	struct uninstall uninstall;
	struct userd_wait *waits;
	bool stopping; /* ends when the session is down */
	bool ending; /* there is something left to be taken down, and nobody who still wants it */
	/* What `connecting` is told once everything is down: a next try finds a clean slate. */
	struct err failure;
	char hint[USERD_HINT_BYTES];
};

/* Dispatches one request by the table in requests.c. */
void userd_request(void *user, struct userd_peer *peer, json_object *request);
void userd_peer_gone(void *user, struct userd_peer *peer);

/* Disconnects, then the quitting peers are answered and, when stopping, the daemon ends. */
void userd_disconnect(struct userd *userd);
/* The session is down and the root daemon has ended, unless it is left as this pid. */
void userd_disconnected(void *user, pid_t root_left);

/* connecting.c */
void userd_connect(struct userd *userd, struct userd_peer *peer, json_object *request);
void userd_drop_root(struct userd *userd);
/* Tells `connecting` why there is no connection. */
void userd_tell_failure(struct userd *userd);
/* Tells `late` that all is down: -ESHUTDOWN, with this process soon; or -ERESTART. */
void userd_tell_late(struct userd *userd);
void userd_apply_env(json_object *env);

/* uninstall.c */
void userd_uninstall(struct userd *userd, struct userd_peer *peer, json_object *request);
void userd_uninstall_go(struct userd *userd);
void userd_uninstall_cancel(struct userd *userd);

#endif /* CLIENT_USERD_USERD_PRIV_H */
