/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <utlist.h>

#include "client/userd/backoff.h"
#include "client/userd/fetch.h"
#include "client/userd/intercept_follow.h"
#include "client/userd/intercept_priv.h"
#include "client/userd/resolve.h"
#include "cluster/client.h"
#include "cluster/json.h"
#include "cluster/meta.h"
#include "cluster/watch.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"

/* While somebody waits; later it is tried for as long as it takes. */
#define CREATE_TRIES 4

void intercept_halt(struct intercept *intercept)
{
	to_pod_close(intercept->to_pod);
	resolve_cancel(TAKE_PTR(intercept->resolve));
	if (intercept->request)
		kube_request_cancel(TAKE_PTR(intercept->request));
	kube_watch_stop(TAKE_PTR(intercept->watch));
	fetch_cancel(TAKE_PTR(intercept->fetch));
	(void)uv_timer_stop(&intercept->timer);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct intercept *intercept = handle->data;

	intercept_args_done(&intercept->args);
	intercept_target_done(&intercept->target);
	json_object_put(intercept->object);
	json_object_put(intercept->environment);
	free(intercept->object_name);
	free(intercept->uid);
	free(intercept);
}

void intercept_free(struct intercept *intercept)
{
	intercept_halt(intercept);
	to_pod_free(TAKE_PTR(intercept->to_pod));
	uv_close((uv_handle_t *)&intercept->timer, on_timer_closed);
}

/* Whoever asked hears how it went; the others wait for the end. */
void intercept_tell(struct intercept *intercept, int r, json_object *result, const struct err *err,
	const char *hint)
{
	struct intercept_wait *wait = NULL, *next = NULL;

	intercept->told = true;
	DL_FOREACH_SAFE (intercept->waits, wait, next) {
		if (wait->for_end)
			continue;
		DL_DELETE(intercept->waits, wait);
		wait->intercept = NULL;
		wait->on_done(wait->user, r, json_object_get(result), err, hint);
	}
	json_object_put(result);
	if (r == 0)
		intercepts_namespaces_changed(intercept->set);
}

void intercept_fail(struct intercept *intercept, const struct err *err, const char *hint)
{
	const struct err copy = *err;

	log_warn("intercept failed", "name=%s error=%s", intercept->args.name, copy.msg);
	intercept_tell(intercept, copy.code, NULL, &copy, hint);
	intercept_end(intercept);
}

static void send_delete(struct intercept *intercept);

static void on_end_timer(uv_timer_t *timer)
{
	struct intercept *intercept = timer->data;

	if (intercept->uid)
		send_delete(intercept);
	else
		intercepts_gone(intercept);
}

static void on_deleted(
	void *user, int r, int status UNUSED, json_object *body UNUSED, const struct err *err)
{
	struct intercept *intercept = user;

	intercept->request = NULL;
	/* -EAGAIN: the name is another object's by now. */
	if (r == 0 || r == -ENOENT || r == -EAGAIN) {
		intercepts_gone(intercept);
		return;
	}
	log_warn("intercept's object is not deleted yet", "name=%s error=%s",
		intercept->object_name, err->msg);
	(void)uv_timer_start(&intercept->timer, on_end_timer, backoff_ms(intercept->tries++), 0);
}

static void send_delete(struct intercept *intercept)
{
	auto_free char *path =
		intercept_object_path(intercept->args.namespace, intercept->object_name);
	auto_free char *body = kube_delete_options(intercept->uid);
	const struct kube_request_config config = {.method = "DELETE", .path = path, .body = body};

	kube_request(
		intercept->set->config.client, &config, on_deleted, intercept, &intercept->request);
}

void intercept_end(struct intercept *intercept)
{
	struct err err = ERR_INIT;

	if (intercept->state == INTERCEPT_END || intercept->unwanted)
		return;
	if (intercept->state == INTERCEPT_CREATE && intercept->request) {
		/* Only the answer says which object is to be deleted. */
		intercept->unwanted = true;
		return;
	}
	intercept_halt(intercept);
	intercept->state = INTERCEPT_END;
	intercept->tries = 0;
	if (!intercept->told) {
		err_set(&err, -ECANCELED, ERR_CONFLICT,
			"the intercept was taken back before it was active");
		intercept_tell(intercept, err.code, NULL, &err, NULL);
	}
	if (intercept->uid)
		send_delete(intercept);
	else /* gone in a moment, not from within */
		(void)uv_timer_start(&intercept->timer, on_end_timer, 0, 0);
	intercepts_namespaces_changed(intercept->set);
}

static void on_create_timer(uv_timer_t *timer)
{
	intercept_create(timer->data);
}

/* What is wrong with the namespace itself is told by the API server's text alone. */
static int namespace_missing(
	const struct intercept *intercept, const struct err *err, struct err *ret)
{
	const char *namespace = intercept->args.namespace;

	if (err->code == -EPERM && strstr(err->msg, "is being terminated"))
		return err_set(
			ret, -ENOENT, ERR_NOT_FOUND, "namespace %.80s is being deleted", namespace);
	if (err->code == -ENOENT && strstr(err->msg, "namespaces \""))
		return err_set(
			ret, -ENOENT, ERR_NOT_FOUND, "there is no namespace %.80s", namespace);
	return 0;
}

static void create_failed(struct intercept *intercept, int r, const struct err *err)
{
	struct intercepts *set = intercept->set;
	struct err none = ERR_INIT;
	auto_free char *hint = xasprintf(
		"An administrator can give you the role: kubectl -n %s create rolebinding NAME "
		"--clusterrole=telepresence-user --user=%s",
		intercept->args.namespace, set->owner);

	if (namespace_missing(intercept, err, &none) < 0) {
		intercept_fail(intercept, &none, NULL);
	} else if (r == -EACCES || r == -EPERM) {
		/* A quota or an admission webhook forbids as well, which no role changes. */
		intercept_fail(intercept, err, r == -EACCES ? hint : NULL);
	} else if (r == -ENOENT) {
		err_set(&none, r, ERR_UNSUPPORTED,
			"this cluster's traffic-manager knows no intercepts: it is of another "
			"version");
		intercept_fail(intercept, &none,
			"telepresence uninstall --everything, then connect again");
	} else if (err->kind != ERR_UNREACHABLE ||
		   (!intercept->told && intercept->tries >= CREATE_TRIES)) {
		intercept_fail(intercept, err, NULL);
	} else {
		(void)uv_timer_start(
			&intercept->timer, on_create_timer, backoff_ms(intercept->tries++), 0);
	}
}

static void on_created(
	void *user, int r, int status UNUSED, json_object *body, const struct err *err)
{
	struct intercept *intercept = user;
	const char *uid = json_text(body, "metadata.uid");
	bool unwanted = intercept->unwanted;

	intercept->request = NULL;
	intercept->unwanted = false;
	if (r == 0 && uid)
		intercept->uid = xstrdup(uid);
	if (unwanted)
		intercept_end(intercept);
	else if (r == 0 && uid)
		intercept_follow(intercept, body);
	else if (r == -EEXIST)
		intercept_taken(intercept);
	else
		create_failed(intercept, r, err);
}

void intercept_create(struct intercept *intercept)
{
	struct intercepts *set = intercept->set;
	const struct intercept_owner owner = {
		.owner = set->owner,
		.session = set->session,
		.session_uid = set->session_uid,
		.host = set->host,
	};
	json_object *object = intercept_object_new(
		&intercept->args, &intercept->target, &owner, intercept->object_name);
	auto_free char *path =
		kube_path(INTERCEPT_API, INTERCEPT_PLURAL, intercept->args.namespace, NULL);
	const struct kube_request_config config = {.method = "POST",
		.path = path,
		.body = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN)};

	intercept->state = INTERCEPT_CREATE;
	kube_request(set->config.client, &config, on_created, intercept, &intercept->request);
	json_object_put(object);
}

void intercept_renew(struct intercept *intercept)
{
	if (intercept->state == INTERCEPT_RESOLVE || intercept->state == INTERCEPT_END ||
		intercept->state == INTERCEPT_LOCAL)
		return;
	if (intercept->unwanted) {
		/* What was being made is the old Session's, and goes with it. */
		intercept_halt(intercept);
		intercept->unwanted = false;
		intercept_end(intercept);
		return;
	}
	intercept_halt(intercept);
	free(TAKE_PTR(intercept->uid));
	intercept->tries = 0;
	intercept_create(intercept);
}

/* "localhost" may be either of two. */
static bool same_address(const char *a, const char *b)
{
	static const char *const both[] = {"localhost", "127.0.0.1", "::1"};
	struct ip_addr one, two;
	bool a_local = false, b_local = false;

	if (ip_addr_parse(a, &one) == 0 && ip_addr_parse(b, &two) == 0)
		return ip_addr_equal(&one, &two);
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		a_local |= strcasecmp(a, both[i]) == 0;
		b_local |= strcasecmp(b, both[i]) == 0;
	}
	return (a_local && b_local) || strcasecmp(a, b) == 0;
}

/* Whether the other one gets connections at this port, or leads from there into its pod. */
static bool uses(const struct intercept *other, const char *address, uint16_t port, bool udp)
{
	for (size_t i = 0; i < other->target.port_count; i++) {
		if (other->target.ports[i].local == port && other->target.ports[i].udp == udp &&
			same_address(other->args.address, address))
			return true;
	}
	for (size_t i = 0; i < other->args.to_pod_count; i++) {
		if (other->args.to_pod[i].port == port && other->args.to_pod[i].udp == udp &&
			intercept_is_loopback(address))
			return true;
	}
	return false;
}

/* A port of the laptop serves one intercept. */
static bool port_is_used(const struct intercept *intercept, const char *address, uint16_t port,
	bool udp, struct err *err)
{
	const struct intercept *other = NULL;

	DL_FOREACH (intercept->set->list, other) {
		if (other == intercept || !uses(other, address, port, udp))
			continue;
		err_set(err, -EADDRINUSE, ERR_CONFLICT,
			"Port %s:%u is already in use by intercept %s", address, port,
			other->args.name);
		return true;
	}
	return false;
}

static int check_ports(
	const struct intercept *intercept, const struct intercept_target *target, struct err *err)
{
	struct ip_addr addr;

	for (size_t i = 0; i < target->port_count; i++) {
		const struct intercept_port *port = &target->ports[i];

		if (port_is_used(intercept, intercept->args.address, port->local, port->udp, err))
			return -EADDRINUSE;
		if (port->udp && ip_addr_parse(intercept->args.address, &addr) < 0)
			return err_set(err, -EINVAL, ERR_USAGE,
				"--address must be an IP address: port %u is UDP",
				port->container_port);
	}
	return 0;
}

static void on_resolved(
	void *user, int r, struct intercept_target *target, const struct err *err, const char *hint)
{
	struct intercept *intercept = user;
	struct err local = ERR_INIT;

	intercept->resolve = NULL;
	if (r < 0) {
		intercept_fail(intercept, err, hint);
	} else if (check_ports(intercept, target, &local) < 0) {
		intercept_target_done(target);
		intercept_fail(intercept, &local, NULL);
	} else {
		intercept->target = *target;
		intercept_create(intercept);
	}
}

int intercept_open_ports(struct intercept *intercept, struct err *err)
{
	const struct intercept_args *args = &intercept->args;

	for (size_t i = 0; i < args->to_pod_count; i++) {
		if (port_is_used(
			    intercept, "127.0.0.1", args->to_pod[i].port, args->to_pod[i].udp, err))
			return -EADDRINUSE;
	}
	if (args->to_pod_count == 0)
		return 0;
	return to_pod_new(intercept->set->config.loop, intercept->set->config.uplink, args->to_pod,
		args->to_pod_count, &intercept->to_pod, err);
}

void intercept_start(struct intercept *intercept)
{
	intercept->state = INTERCEPT_RESOLVE;
	intercept->resolve = resolve_start(
		intercept->set->config.client, &intercept->args, on_resolved, intercept);
}
