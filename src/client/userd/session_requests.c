/* SPDX-License-Identifier: Apache-2.0 */
/* Each waits for something of the session. */
#include "client/userd/session_requests.h"

#include <errno.h>
#include <string.h>

#include "client/userd/args.h"
#include "client/userd/fetch.h"
#include "client/userd/info.h"
#include "client/userd/intercept_args.h"
#include "client/userd/intercepts.h"
#include "client/userd/proto.h"
#include "client/userd/server.h"
#include "client/userd/session.h"
#include "client/userd/userd_priv.h"
#include "client/userd/waits.h"
#include "client/userd/workloads.h"
#include "core/alloc.h"
#include "core/err.h"

/* Somebody has pressed the tabulator key: late names are no names. */
#define NAMES_MS 1000
#define EXIT_MS  5000
/* Names in one `leave`. */
#define LEAVES_MAX 64

/* Whether there is a connection; tells the peer otherwise. */
static bool is_connected(struct userd *userd, struct userd_peer *peer)
{
	struct err err = ERR_INIT;

	if (userd->session && session_is_connected(userd->session))
		return true;
	err_set(&err, -ENOTCONN, ERR_UNREACHABLE, "not connected");
	userd_peer_failed(peer, &err, "telepresence connect");
	return false;
}

/* As far as the manager has told of namespaces: one that was just made may not be known yet. */
static int check_namespace(const struct session *session, const char *namespace, struct err *err)
{
	const struct cluster_info *info = session_info(session);

	for (size_t i = 0; i < info->namespace_count; i++) {
		if (strcmp(info->namespaces[i], namespace) == 0)
			return 0;
	}
	if (info->namespace_count >= INFO_NAMESPACES)
		return 0;
	return err_set(err, -ENOENT, ERR_NOT_FOUND, "there is no namespace %.253s", namespace);
}

static void cancel_workloads(struct userd_wait *wait)
{
	workloads_cancel(TAKE_PTR(wait->workloads));
}

static void on_workloads(void *user, int r, json_object *list, const struct err *err)
{
	struct userd_wait *wait = user;
	struct err unknown = ERR_INIT;
	json_object *result;

	wait->workloads = NULL;
	if (r == 0 && json_object_array_length(list) == 0 && wait->namespace &&
		check_namespace(wait->userd->session, wait->namespace, &unknown) < 0) {
		json_object_put(list);
		userd_wait_failed(wait, &unknown, NULL);
		return;
	}
	if (r < 0) {
		userd_wait_failed(wait, err,
			err->kind == ERR_PERMISSION
				? "The ClusterRole telepresence-user, bound in that namespace, has "
				  "that right"
				: NULL);
		return;
	}
	result = json_object_new_object();
	json_object_object_add(result, "workloads", list);
	json_object_object_add(result, "local",
		intercepts_describe(session_intercepts(wait->userd->session), true));
	userd_wait_done(wait, result);
}

static struct workloads *list_workloads(
	struct userd *userd, json_object *request, workloads_fn on_done, struct userd_wait *wait)
{
	const char *namespace = json_get_string(request, "namespace");

	return workloads_list(session_client(userd->session),
		namespace ? namespace : session_namespace(userd->session),
		session_manager_namespace(userd->session), on_done, wait);
}

void userd_list(struct userd *userd, struct userd_peer *peer, json_object *request)
{
	struct userd_wait *wait;

	if (!is_connected(userd, peer))
		return;
	wait = userd_wait_new(userd, peer, cancel_workloads);
	if (json_get_string(request, "namespace"))
		wait->namespace = xstrdup(json_get_string(request, "namespace"));
	wait->workloads = list_workloads(userd, request, on_workloads, wait);
}

static void cancel_intercept(struct userd_wait *wait)
{
	/* A command that gives up takes its intercept with it. */
	intercept_wait_cancel(&wait->intercept, true);
}

static void on_intercept_progress(void *user, const char *line)
{
	struct userd_wait *wait = user;

	userd_peer_progress(wait->peer, line);
}

/* Without a moment in which the command could die and leave it behind. */
static void hold(struct userd_wait *wait, json_object *result)
{
	struct intercepts *intercepts = session_intercepts(wait->userd->session);
	const char *name = json_get_string(result, "name");
	struct err err = ERR_INIT;
	int r = intercepts_hold(intercepts, name ? name : "", &wait->intercept, &err);

	wait->hold = false;
	if (r == 0) {
		userd_peer_active(wait->peer, result);
		return;
	}
	json_object_put(result);
	userd_wait_failed(wait, &err, NULL);
}

static void on_intercept(
	void *user, int r, json_object *result, const struct err *err, const char *hint)
{
	struct userd_wait *wait = user;
	struct err unknown = ERR_INIT;

	/* Nothing is found in a namespace that is not there; that says it better. */
	if (r == -ENOENT && wait->namespace && wait->userd->session &&
		check_namespace(wait->userd->session, wait->namespace, &unknown) < 0)
		err = &unknown;
	if (r < 0)
		userd_wait_failed(wait, err, hint);
	else if (wait->hold)
		hold(wait, result);
	else
		userd_wait_done(wait, result);
}

void userd_intercept(struct userd *userd, struct userd_peer *peer, json_object *request)
{
	struct intercept_args args;
	struct userd_wait *wait;
	struct err err = ERR_INIT;

	if (!is_connected(userd, peer))
		return;
	wait = userd_wait_new(userd, peer, cancel_intercept);
	wait->hold = json_get_bool(request, "hold");
	wait->intercept.on_progress = on_intercept_progress;
	wait->intercept.on_done = on_intercept;
	wait->intercept.user = wait;
	if (intercept_args_parse(request, session_namespace(userd->session), &args, &err) < 0) {
		userd_wait_failed(wait, &err, NULL);
		return;
	}
	wait->namespace = xstrdup(args.namespace);
	/* Names of a namespace that is not there would be looked up for nothing. */
	if ((args.local_only && check_namespace(userd->session, args.namespace, &err) < 0) ||
		intercepts_add(session_intercepts(userd->session), &args, &wait->intercept, &err) <
			0)
		userd_wait_failed(wait, &err, NULL);
	intercept_args_done(&args);
}

static void free_leaves(struct userd_wait *wait)
{
	for (size_t i = 0; i < wait->leave_count; i++)
		intercept_wait_cancel(&wait->leaves[i], false);
	free(TAKE_PTR(wait->leaves));
	wait->leave_count = 0;
}

static void on_left(void *user, int r UNUSED, json_object *result, const struct err *err UNUSED,
	const char *hint UNUSED)
{
	struct userd_wait *wait = user;

	json_object_put(result);
	if (--wait->leaving > 0)
		return;
	free_leaves(wait);
	if (wait->unknown.code < 0)
		userd_wait_failed(wait, &wait->unknown, NULL);
	else
		userd_wait_done(wait, NULL);
}

/* One more that there is nothing of. */
static void add_unknown(struct err *unknown, const char *name)
{
	const struct err before = *unknown;

	if (before.code < 0)
		err_set(unknown, -ENOENT, ERR_NOT_FOUND, "%s, nor \"%.253s\"", before.msg, name);
	else
		err_set(unknown, -ENOENT, ERR_NOT_FOUND, "Intercept named \"%.253s\" not found",
			name);
}

void userd_leave(struct userd *userd, struct userd_peer *peer, json_object *request)
{
	json_object *names = json_get(request, "names", json_type_array);
	size_t count = names ? json_object_array_length(names) : 0;
	struct intercepts *intercepts;
	struct userd_wait *wait;
	struct err err = ERR_INIT;

	if (!is_connected(userd, peer))
		return;
	intercepts = session_intercepts(userd->session);
	wait = userd_wait_new(userd, peer, free_leaves);
	if (count == 0 || count > LEAVES_MAX) {
		err_set(&err, -EINVAL, ERR_USAGE, "name 1 to %d intercepts", LEAVES_MAX);
		userd_wait_failed(wait, &err, NULL);
		return;
	}
	wait->leave_count = count;
	wait->leaves = xcalloc(count, sizeof(*wait->leaves));
	for (size_t i = 0; i < count; i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(names, i));

		wait->leaves[i].on_done = on_left;
		wait->leaves[i].user = wait;
		if (name && intercepts_leave(intercepts, name, &wait->leaves[i], &err) == 0)
			wait->leaving++;
		else
			add_unknown(&wait->unknown, name ? name : "");
	}
	if (wait->leaving == 0) {
		free_leaves(wait);
		userd_wait_failed(wait, &wait->unknown, NULL);
	}
}

static void cancel_fetch(struct userd_wait *wait)
{
	fetch_cancel(TAKE_PTR(wait->fetch));
}

static void on_told(void *user, int r, json_object *object, const struct err *err)
{
	struct userd_wait *wait = user;

	wait->fetch = NULL;
	if (r < 0)
		userd_wait_failed(wait, err, NULL);
	else
		userd_wait_done(wait, json_object_get(object));
}

void userd_agents_exit(struct userd *userd, struct userd_peer *peer, json_object *request)
{
	json_object *workloads = json_get(request, "workloads", json_type_array);
	json_object *body = json_object_new_object();
	struct fetch_config config = {.loop = &userd->loop,
		.method = "POST",
		.path = "/v1/agents/exit",
		.body = body,
		.timeout_ms = EXIT_MS};
	const char *namespace = json_get_string(request, "namespace");
	struct userd_wait *wait;

	if (is_connected(userd, peer)) {
		config.uplink = session_uplink(userd->session);
		json_put_string(body, "namespace",
			namespace ? namespace : session_namespace(userd->session));
		json_object_object_add(body, "workloads",
			workloads ? json_object_get(workloads) : json_object_new_array());
		wait = userd_wait_new(userd, peer, cancel_fetch);
		wait->fetch = fetch_start(&config, on_told, wait);
	}
	json_object_put(body);
}

static json_object *names_result(json_object *list)
{
	json_object *result = json_object_new_object(), *names = json_object_new_array();

	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		json_object *item = json_object_array_get_idx(list, i);
		const char *state = json_get_string(item, "state");

		if (state && strcmp(state, "not-interceptable") == 0)
			continue;
		json_object_array_add(names, json_object_new_string(json_get_string(item, "name")));
	}
	json_object_object_add(result, "names", names);
	return result;
}

static void on_names(void *user, int r UNUSED, json_object *list, const struct err *err UNUSED)
{
	struct userd_wait *wait = user;

	wait->workloads = NULL;
	userd_wait_done(wait, names_result(list));
	json_object_put(list);
}

static void on_impatient(uv_timer_t *timer)
{
	struct userd_wait *wait = timer->data;

	wait->cancel(wait);
	userd_wait_done(wait, names_result(NULL));
}

static json_object *namespaces_result(const struct cluster_info *info)
{
	json_object *result = json_object_new_object(), *names = json_object_new_array();

	for (size_t i = 0; i < info->namespace_count; i++)
		json_object_array_add(names, json_object_new_string(info->namespaces[i]));
	json_object_object_add(result, "names", names);
	return result;
}

/* For completion: without a connection, or too late, there is nothing to offer. */
void userd_names(struct userd *userd, struct userd_peer *peer, json_object *request)
{
	const char *kind = json_get_string(request, "kind");
	json_object *intercepts;
	struct userd_wait *wait;

	if (!userd->session || !session_is_connected(userd->session)) {
		userd_peer_done(peer, names_result(NULL));
		return;
	}
	if (kind && strcmp(kind, "intercepts") == 0) {
		intercepts = intercepts_describe(session_intercepts(userd->session), false);
		userd_peer_done(peer, names_result(intercepts));
		json_object_put(intercepts);
		return;
	}
	if (kind && strcmp(kind, "namespaces") == 0) {
		userd_peer_done(peer, namespaces_result(session_info(userd->session)));
		return;
	}
	wait = userd_wait_new(userd, peer, cancel_workloads);
	wait->timer = XNEW(uv_timer_t);
	(void)uv_timer_init(&userd->loop, wait->timer);
	wait->timer->data = wait;
	(void)uv_timer_start(wait->timer, on_impatient, NAMES_MS, 0);
	wait->workloads = list_workloads(userd, request, on_names, wait);
}
