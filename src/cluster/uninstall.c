/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intercepts go first, while the manager is there to take its agents back, then Sessions. Then
 * every object of k8s/, the last applied first: the Deployment, whose pods must have ended before
 * the manager's rights go, since it tells its agents to end; the others; then the wait until they
 * are gone.
 */
#include <errno.h>
#include <string.h>

#include "cluster/install_impl.h"
#include "cluster/json.h"
#include "cluster/objects.h"
#include "core/alloc.h"

#define GONE_POLL_MS 200

static void delete_next(struct kube_install *install);
static void wait_next(uv_timer_t *timer);
static void list_intercepts(uv_timer_t *timer);
static void wait_deployment(uv_timer_t *timer);

static json_object *current(struct kube_install *install)
{
	return json_object_array_get_idx(install->objects, install->next);
}

static bool is_deployment(json_object *object)
{
	return strcmp(json_text_or(object, "kind", ""), "Deployment") == 0;
}

/* In the foreground an object is gone after what it owns. */
static void send_delete(
	struct kube_install *install, const char *path, bool foreground, kube_done_fn on_done)
{
	auto_free char *body = xasprintf("{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\","
					 "\"propagationPolicy\":\"%s\"}",
		foreground ? "Foreground" : "Background");
	const struct kube_request_config config = {.method = "DELETE", .path = path, .body = body};

	kube_request(install->client, &config, on_done, install, &install->request);
}

/* Whether it has ended so. What is not there need not be deleted, also when its kind is gone. */
static bool has_failed(struct kube_install *install, int r, const struct err *err, const char *what)
{
	struct err why = *err;

	if (r >= 0 || r == -ENOENT)
		return false;
	err_wrap(&why, r, "cannot %s", what);
	install_finish(install, r, &why);
	return true;
}

static void on_gone(void *user, int r, int status, json_object *body, const struct err *err)
{
	struct kube_install *install = user;

	(void)status;
	(void)body;
	install->request = NULL;
	if (r == 0) {
		err_set(&install->last, -ETIMEDOUT, ERR_UNREACHABLE, "%s %s is not gone yet",
			json_text_or(current(install), "kind", ""),
			json_text_or(current(install), "metadata.name", ""));
		install_again(install, GONE_POLL_MS, wait_next);
	} else if (r == -ENOENT) {
		install->next++;
		install_again(install, 0, wait_next);
	} else {
		install_finish(install, r, err);
	}
}

static void wait_next(uv_timer_t *timer)
{
	struct kube_install *install = timer->data;
	struct err none = ERR_INIT;
	auto_free char *path = NULL;

	if (install->next == json_object_array_length(install->objects)) {
		install_finish(install, 0, &none);
		return;
	}
	path = kube_object_path(current(install));
	install_get(install, path, on_gone);
}

static void on_deployment_gone(
	void *user, int r, int status, json_object *body, const struct err *err)
{
	struct kube_install *install = user;

	(void)status;
	(void)body;
	install->request = NULL;
	if (r == 0) {
		err_set(&install->last, -ETIMEDOUT, ERR_UNREACHABLE,
			"the traffic-manager's pod is not gone yet");
		install_again(install, GONE_POLL_MS, wait_deployment);
	} else if (r == -ENOENT) {
		delete_next(install);
	} else {
		install_finish(install, r, err);
	}
}

static void wait_deployment(uv_timer_t *timer)
{
	struct kube_install *install = timer->data;
	auto_free char *path = kube_object_path(current(install));

	install_get(install, path, on_deployment_gone);
}

static void on_deleted(void *user, int r, int status, json_object *body, const struct err *err)
{
	struct kube_install *install = user;
	auto_free char *what = xasprintf("delete %s %s", json_text_or(current(install), "kind", ""),
		json_text_or(current(install), "metadata.name", ""));

	(void)status;
	(void)body;
	install->request = NULL;
	if (has_failed(install, r, err, what))
		return;
	if (is_deployment(current(install)))
		install_again(install, 0, wait_deployment);
	else
		delete_next(install);
}

/* `next` is the number of objects that are left. */
static void delete_next(struct kube_install *install)
{
	auto_free char *path = NULL;

	if (install->next == 0) {
		install_progress(install, "Waiting until everything is gone...");
		install_again(install, 0, wait_next);
		return;
	}
	install->next--;
	install_progress(install, "Deleting %s %s...", json_text_or(current(install), "kind", ""),
		json_text_or(current(install), "metadata.name", ""));
	path = kube_object_path(current(install));
	send_delete(install, path, is_deployment(current(install)), on_deleted);
}

static void on_sessions_deleted(
	void *user, int r, int status, json_object *body, const struct err *err)
{
	struct kube_install *install = user;

	(void)status;
	(void)body;
	install->request = NULL;
	if (has_failed(install, r, err, "delete the Sessions"))
		return;
	install->next = json_object_array_length(install->objects);
	delete_next(install);
}

static void delete_sessions(struct kube_install *install)
{
	auto_free char *path =
		kube_path("telepresence.io/v1alpha1", "sessions", install->namespace, NULL);

	install_progress(install, "Deleting Sessions...");
	send_delete(install, path, false, on_sessions_deleted);
}

static void on_intercept_deleted(
	void *user, int r, int status, json_object *body, const struct err *err)
{
	struct kube_install *install = user;

	(void)status;
	(void)body;
	install->request = NULL;
	if (has_failed(install, r, err, "delete an Intercept"))
		return;
	install_again(install, 0, list_intercepts);
}

/* They live in the namespaces of workloads, and a collection can be deleted in one namespace only:
 * one by one, until the list is empty. */
static void on_intercepts(void *user, int r, int status, json_object *body, const struct err *err)
{
	struct kube_install *install = user;
	json_object *first = json_item(body, "items", 0);
	auto_free char *path = NULL;

	(void)status;
	install->request = NULL;
	if (has_failed(install, r, err, "list the Intercepts"))
		return;
	if (r == -ENOENT || !first) {
		delete_sessions(install);
		return;
	}
	path = kube_path("telepresence.io/v1alpha1", "intercepts",
		json_text_or(first, "metadata.namespace", ""),
		json_text_or(first, "metadata.name", ""));
	err_set(&install->last, -ETIMEDOUT, ERR_UNREACHABLE, "Intercept %s/%s is not gone yet",
		json_text_or(first, "metadata.namespace", ""),
		json_text_or(first, "metadata.name", ""));
	send_delete(install, path, false, on_intercept_deleted);
}

static void list_intercepts(uv_timer_t *timer)
{
	struct kube_install *install = timer->data;

	install_get(install, "/apis/telepresence.io/v1alpha1/intercepts?limit=1", on_intercepts);
}

static void on_namespace(void *user, int r, int status, json_object *body, const struct err *err)
{
	struct kube_install *install = user;

	(void)status;
	install->request = NULL;
	if (r < 0 && r != -ENOENT) {
		install_finish(install, r, err);
		return;
	}
	install_respect_namespace(install, r == 0 ? body : NULL);
	install_progress(install, "Deleting Intercepts...");
	install_again(install, 0, list_intercepts);
}

struct kube_install *kube_uninstall_start(struct kube_client *client,
	const struct kube_install_config *config, const struct kube_install_events *events,
	void *user)
{
	return install_start(client, config, events, user, on_namespace);
}
