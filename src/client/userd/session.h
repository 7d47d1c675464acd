/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/session.h - one connection to one cluster, from kubeconfig to routes and back
 *
 * session_new() reads the kubeconfig; session_start() goes through the states of session_priv.h
 * until on_connected or on_failed. A tunnel that is lost later is opened again by itself, with the
 * same Session object or, when that is gone, a new one. session_stop() undoes everything and
 * reports on_stopped within SESSION_STOP_MS. session_free() from a callback is allowed; after
 * on_failed and on_stopped nothing else is.
 */
#ifndef CLIENT_USERD_SESSION_H
#define CLIENT_USERD_SESSION_H

#include <json-c/json.h>
#include <stdbool.h>
#include <uv.h>

#include "core/attr.h"

struct connect_args;
struct err;
struct intercepts;
struct kube_client;
struct root_client;
struct session;
struct uplink;

#define SESSION_STOP_MS 400

struct session_events {
	void (*on_progress)(void *user, const char *line);
	void (*on_connected)(void *user);
	void (*on_failed)(void *user, const struct err *err, const char *hint);
	void (*on_stopped)(void *user);
};

NODISCARD int session_new(uv_loop_t *loop, struct root_client *root,
	const struct connect_args *args, const struct session_events *events, void *user,
	struct session **ret_session, struct err *err);
void session_start(struct session *session);
void session_stop(struct session *session);
void session_free(struct session *session);

bool session_is_connected(const struct session *session);
/* Whether a connect with these arguments, as the kubeconfig is now, asks for this very connection.
 */
NODISCARD int session_compare(const struct session *session, const struct connect_args *args,
	bool *ret_same, struct err *err);
/* Fills user_daemon, root_daemon and traffic_manager of the status document. */
void session_describe(const struct session *session, json_object *user_daemon,
	json_object *root_daemon, json_object *traffic_manager);
/* For requests besides the session's own. Borrowed. */
const struct connect_args *session_args(const struct session *session);
struct kube_client *session_client(const struct session *session);
struct intercepts *session_intercepts(const struct session *session);
const struct uplink *session_uplink(const struct session *session);
const char *session_namespace(const struct session *session);

#endif /* CLIENT_USERD_SESSION_H */
