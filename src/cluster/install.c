/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/install.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cluster/install_impl.h"
#include "cluster/json.h"
#include "cluster/manifests.h"
#include "cluster/objects.h"
#include "cluster/request.h"
#include "core/alloc.h"

#define INSTALL_DEADLINE_MS 60000
/* Between two looks at the Deployment. */
#define POLL_MS 200
/* A namespace that is still being deleted takes seconds. */
#define TERMINATING_MS 500

static void on_timer_closed(uv_handle_t *handle)
{
	struct kube_install *install = handle->data;

	json_object_put(install->objects);
	free(install->namespace);
	free(install);
}

void kube_install_cancel(struct kube_install *install)
{
	if (!install || install->finished)
		return;
	install->finished = true;
	kube_request_cancel(TAKE_PTR(install->request));
	uv_close((uv_handle_t *)&install->timer, on_timer_closed);
}

void install_finish(struct kube_install *install, int r, const struct err *err)
{
	struct kube_install_events events = install->events;
	struct err copy = *err; /* may live in the install */
	void *user = install->user;

	kube_install_cancel(install);
	events.on_done(user, r, &copy);
}

void install_progress(struct kube_install *install, const char *fmt, ...)
{
	char line[256];
	va_list args;

	if (!install->events.on_progress)
		return;
	va_start(args, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	install->events.on_progress(install->user, line);
}

void install_again(struct kube_install *install, uint64_t delay_ms, uv_timer_cb step)
{
	uv_update_time(install->timer.loop);
	if (uv_now(install->timer.loop) < install->deadline_ms)
		uv_timer_start(&install->timer, step, delay_ms, 0);
	else
		install_finish(install, install->last.code, &install->last);
}

void install_get(struct kube_install *install, const char *path, kube_done_fn on_done)
{
	const struct kube_request_config config = {.method = "GET", .path = path};

	kube_request(install->client, &config, on_done, install, &install->request);
}

void install_respect_namespace(struct kube_install *install, json_object *namespace)
{
	json_object *marks = json_path(namespace, "metadata.annotations");

	if (!namespace || json_member(marks, INSTALL_NAMESPACE_MARK))
		return;
	for (size_t i = 0; i < json_object_array_length(install->objects); i++) {
		json_object *object = json_object_array_get_idx(install->objects, i);

		if (strcmp(json_text_or(object, "kind", ""), "Namespace") == 0)
			json_object_array_del_idx(install->objects, i, 1);
	}
}

static void ask_namespace(uv_timer_t *timer)
{
	struct kube_install *install = timer->data;
	auto_free char *path = kube_path("v1", "namespaces", NULL, install->namespace);

	if (install->deadline_ms == 0)
		install_finish(install, install->last.code, &install->last);
	else
		install_get(install, path, install->on_namespace);
}

struct kube_install *install_start(struct kube_client *client,
	const struct kube_install_config *config, const struct kube_install_events *events,
	void *user, kube_done_fn on_namespace)
{
	struct kube_install *install = XNEW(struct kube_install);
	uv_loop_t *loop = kube_client_loop(client);

	install->client = client;
	install->events = *events;
	install->user = user;
	install->namespace = xstrdup(config->manager_namespace);
	uv_timer_init(loop, &install->timer);
	install->timer.data = install;
	install->deadline_ms = uv_now(loop) + INSTALL_DEADLINE_MS;
	err_set(&install->last, -ETIMEDOUT, ERR_UNREACHABLE,
		"the traffic-manager was not ready within %d s", INSTALL_DEADLINE_MS / 1000);
	if (manifests_load(config, &install->objects, &install->last) < 0)
		install->deadline_ms = 0; /* reported by the first step */
	install->on_namespace = on_namespace;
	uv_timer_start(&install->timer, ask_namespace, 0, 0);
	return install;
}

static void check_ready(uv_timer_t *timer);

/* A cause: ends the wait, or is remembered for the deadline. True if it has ended. */
static bool take_cause(struct kube_install *install, int r, const struct err *cause)
{
	if (r == 0)
		return false;
	if (r != -EAGAIN) {
		install_finish(install, r, cause);
		return true;
	}
	err_set(&install->last, -ETIMEDOUT, cause->kind,
		"the traffic-manager was not ready within %d s: %.400s", INSTALL_DEADLINE_MS / 1000,
		cause->msg);
	return false;
}

static void on_pods(void *user, int r, int status, json_object *body, const struct err *err)
{
	struct kube_install *install = user;
	const char *image = manifests_image(install->objects);

	(void)status;
	(void)err;
	install->request = NULL;
	for (size_t i = 0; r == 0 && i < json_count(body, "items"); i++) {
		struct err cause = ERR_INIT;
		int found = install_pod_cause(json_item(body, "items", i), image, &cause);

		if (take_cause(install, found, &cause))
			return;
	}
	install_again(install, POLL_MS, check_ready);
}

static void on_sessions(void *user, int r, int status, json_object *body, const struct err *err)
{
	struct kube_install *install = user;

	(void)status;
	(void)body;
	install->request = NULL;
	/* A new kind is served a moment after its definition was accepted. */
	if (r == -ENOENT)
		install_again(install, POLL_MS, check_ready);
	else
		install_finish(install, r, err);
}

static void on_deployment(void *user, int r, int status, json_object *body, const struct err *err)
{
	struct kube_install *install = user;
	auto_free char *path = NULL;
	struct err cause = ERR_INIT;

	(void)status;
	install->request = NULL;
	if (r < 0) {
		install_finish(install, r, err);
		return;
	}
	if (install_deployment_ready(body)) {
		path = kube_path("telepresence.io/v1alpha1", "sessions", install->namespace, NULL);
		install_get(install, path, on_sessions);
		return;
	}
	if (take_cause(install, install_deployment_cause(body, &cause), &cause))
		return;
	path = xasprintf("/api/v1/namespaces/%s/pods?labelSelector=app%%3Dtraffic-manager",
		install->namespace);
	install_get(install, path, on_pods);
}

static void check_ready(uv_timer_t *timer)
{
	struct kube_install *install = timer->data;
	auto_free char *path =
		kube_path("apps/v1", "deployments", install->namespace, "traffic-manager");

	install_get(install, path, on_deployment);
}

static void apply_next(struct kube_install *install);

static void on_apply_timer(uv_timer_t *timer)
{
	apply_next(timer->data);
}

static json_object *current(struct kube_install *install)
{
	return json_object_array_get_idx(install->objects, install->next);
}

static void on_applied(void *user, int r, int status, json_object *body, const struct err *err)
{
	struct kube_install *install = user;
	struct err why = *err;

	(void)status;
	(void)body;
	install->request = NULL;
	if (r == 0) {
		install->next++;
		apply_next(install);
		return;
	}
	err_wrap(&why, r, "cannot apply %s %s", json_text_or(current(install), "kind", "object"),
		json_text_or(current(install), "metadata.name", ""));
	if (strstr(err->msg, "being terminated")) {
		install->last = why;
		install_again(install, TERMINATING_MS, on_apply_timer);
	} else {
		install_finish(install, r, &why);
	}
}

static void apply_next(struct kube_install *install)
{
	json_object *object = NULL;
	const char *kind = NULL;

	if (install->next == json_object_array_length(install->objects)) {
		install_progress(install, "Waiting for the traffic-manager to be ready...");
		install_again(install, 0, check_ready);
		return;
	}
	object = current(install);
	kind = json_text_or(object, "kind", "");
	install_progress(
		install, "Applying %s %s...", kind, json_text_or(object, "metadata.name", ""));
	kube_apply(install->client, object, on_applied, install, &install->request);
}

static void on_namespace(void *user, int r, int status, json_object *body, const struct err *err)
{
	struct kube_install *install = user;

	(void)status;
	install->request = NULL;
	/* Without the right to read namespaces: applying will say what is missing. */
	if (r < 0 && r != -ENOENT && r != -EACCES && r != -EPERM) {
		install_finish(install, r, err);
		return;
	}
	install_respect_namespace(install, r == 0 ? body : NULL);
	apply_next(install);
}

struct kube_install *kube_install_start(struct kube_client *client,
	const struct kube_install_config *config, const struct kube_install_events *events,
	void *user)
{
	return install_start(client, config, events, user, on_namespace);
}
