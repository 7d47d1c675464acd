/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/resolve.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/userd/kinds.h"
#include "cluster/client.h"
#include "cluster/json.h"
#include "cluster/meta.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"

/* ReplicaSet to Deployment, with room for one more level. */
#define CLIMB_MAX 4
/* Pages of services: 5,000 in one namespace. */
#define PAGES_MAX 10

struct resolve;

/* One GET of a kind by name. */
struct probe {
	struct resolve *resolve;
	const struct workload_kind *kind;
	struct kube_request *request;
	json_object *object; /* owned; NULL: there is none */
};

struct resolve {
	struct kube_client *client;
	const struct intercept_args *args;
	resolve_fn on_done;
	void *user;
	struct probe probes[KINDS_COUNT];
	struct kube_request *list, *climb;
	const struct workload_kind *kind; /* of the object found */
	json_object *object, *services; /* owned */
	unsigned int pending; /* of the probes and the list */
	unsigned int climbs, pages;
	bool looked; /* the probes are all answered */
	struct err err; /* of a request that failed otherwise than by 404 */
};

static void climb(struct resolve *resolve);
static void list_page(struct resolve *resolve, const char *token);

static void free_resolve(struct resolve *resolve)
{
	for (size_t i = 0; i < KINDS_COUNT; i++) {
		if (resolve->probes[i].request)
			kube_request_cancel(resolve->probes[i].request);
		json_object_put(resolve->probes[i].object);
	}
	if (resolve->list)
		kube_request_cancel(resolve->list);
	if (resolve->climb)
		kube_request_cancel(resolve->climb);
	json_object_put(resolve->object);
	json_object_put(resolve->services);
	free(resolve);
}

static void fail(struct resolve *resolve, const struct err *err, const char *hint)
{
	const struct err copy = *err;

	resolve->on_done(resolve->user, copy.code, NULL, &copy, hint);
	free_resolve(resolve);
}

static void finish(struct resolve *resolve)
{
	json_object *object = resolve->object;
	const char *kind = resolve->kind->kind;
	json_object *template =
		strcmp(kind, "Pod") == 0 ? object : json_path(object, "spec.template");
	struct intercept_target target;
	char hint[MATCH_HINT_BYTES] = "";
	struct err err = ERR_INIT;
	int r;

	if (json_member(json_path(object, "metadata.annotations"), "kubernetes.io/config.mirror"))
		r = err_set(&err, -EOPNOTSUPP, ERR_UNSUPPORTED,
			"pod %s is a static pod of its node (mirror pod); it cannot be intercepted",
			resolve->args->workload);
	else
		r = match_ports(resolve->args, kind, json_text_or(object, "metadata.name", ""),
			template, resolve->services, &target, &err, hint);
	if (r < 0) {
		fail(resolve, &err, hint);
		return;
	}
	resolve->on_done(resolve->user, 0, &target, NULL, NULL);
	free_resolve(resolve);
}

static void on_owner(void *user, int r, int status UNUSED, json_object *body, const struct err *err)
{
	struct resolve *resolve = user;

	resolve->climb = NULL;
	if (r < 0) {
		fail(resolve, err, NULL);
		return;
	}
	json_object_put(resolve->object);
	resolve->object = json_object_get(body);
	climb(resolve);
}

/* A Rollout may borrow a template (spec.workloadRef): that of another workload, or a PodTemplate.
 */
static void on_template(
	void *user, int r, int status UNUSED, json_object *body, const struct err *err)
{
	struct resolve *resolve = user;
	json_object *template = json_path(body, "spec.template");

	if (!template)
		template = json_member(body, "template");
	resolve->climb = NULL;
	if (r < 0) {
		fail(resolve, err, NULL);
		return;
	}
	json_object_object_add(
		json_member(resolve->object, "spec"), "template", json_object_get(template));
	finish(resolve);
}

static void get(struct resolve *resolve, const struct workload_kind *kind, const char *name,
	kube_done_fn on_done, void *user, struct kube_request **ret_request)
{
	auto_free char *path =
		kube_path(kind->api_version, kind->plural, resolve->args->namespace, name);
	const struct kube_request_config config = {.method = "GET", .path = path};

	kube_request(resolve->client, &config, on_done, user, ret_request);
}

/* NULL: another API's, even if it has the name of one of ours. */
static const struct workload_kind *owner_kind(json_object *owner)
{
	const struct workload_kind *kind = workload_kind_find(json_text_or(owner, "kind", ""));

	return kind && strcmp(json_text_or(owner, "apiVersion", ""), kind->api_version) == 0 ? kind
											     : NULL;
}

static const struct workload_kind *lender_kind(json_object *rollout)
{
	static const struct workload_kind pod_template = {
		"PodTemplate", "v1", "podtemplates", false};
	const char *name = json_text_or(rollout, "spec.workloadRef.kind", "");
	const struct workload_kind *kind = workload_kind_find(name);

	if (strcmp(name, pod_template.kind) == 0)
		return &pod_template;
	return kind ? kind : workload_kind_find("Deployment");
}

/* To the controller, if it is a kind that can be intercepted; else the object itself is meant. */
static void climb(struct resolve *resolve)
{
	json_object *owner = kube_controller(resolve->object);
	const struct workload_kind *kind = owner_kind(owner);
	const char *reference = json_text(resolve->object, "spec.workloadRef.name");

	if (kind && json_text(owner, "name") && resolve->climbs++ < CLIMB_MAX) {
		resolve->kind = kind;
		get(resolve, kind, json_text(owner, "name"), on_owner, resolve, &resolve->climb);
	} else if (reference && !json_path(resolve->object, "spec.template")) {
		get(resolve, lender_kind(resolve->object), reference, on_template, resolve,
			&resolve->climb);
	} else {
		finish(resolve);
	}
}

/* A Rollout that refers to a Deployment of its own name has taken its pods over. */
static bool is_taken_over(const struct resolve *resolve, const struct probe *probe)
{
	for (size_t i = 0; i < KINDS_COUNT; i++) {
		json_object *reference = json_path(resolve->probes[i].object, "spec.workloadRef");

		if (reference && &resolve->probes[i] != probe &&
			strcmp(json_text_or(reference, "kind", ""), probe->kind->kind) == 0 &&
			strcmp(json_text_or(reference, "name", ""), resolve->args->workload) == 0)
			return true;
	}
	return false;
}

static void settle(struct resolve *resolve)
{
	struct err err = ERR_INIT;

	for (size_t i = 0; i < KINDS_COUNT && !resolve->object; i++) {
		struct probe *probe = &resolve->probes[i];

		if (!probe->object || is_taken_over(resolve, probe))
			continue;
		resolve->object = TAKE_PTR(probe->object);
		resolve->kind = probe->kind;
	}
	if (resolve->err.code < 0 && (!resolve->object || !resolve->services)) {
		fail(resolve, &resolve->err,
			resolve->err.kind == ERR_PERMISSION
				? "The ClusterRole telepresence-user, bound in that namespace, has "
				  "that right"
				: NULL);
	} else if (!resolve->object) {
		err_set(&err, -ENOENT, ERR_NOT_FOUND,
			"No interceptable deployment, replicaset, or statefulset matching %s found",
			resolve->args->workload);
		fail(resolve, &err, NULL);
	} else {
		climb(resolve);
	}
}

static void answered(struct resolve *resolve)
{
	if (--resolve->pending == 0)
		settle(resolve);
}

static void on_probe(void *user, int r, int status UNUSED, json_object *body, const struct err *err)
{
	struct probe *probe = user;
	struct resolve *resolve = probe->resolve;

	probe->request = NULL;
	if (r == 0)
		probe->object = json_object_get(body);
	else if (r != -ENOENT && !(probe->kind->optional && (r == -EACCES || r == -EPERM)))
		resolve->err = *err;
	answered(resolve);
}

static void on_services(
	void *user, int r, int status UNUSED, json_object *body, const struct err *err)
{
	struct resolve *resolve = user;
	const char *token = json_text(body, "metadata.continue");

	resolve->list = NULL;
	if (r < 0) {
		resolve->err = *err;
		json_object_put(TAKE_PTR(resolve->services));
		answered(resolve);
		return;
	}
	for (size_t i = 0; i < json_count(body, "items"); i++)
		json_object_array_add(
			resolve->services, json_object_get(json_item(body, "items", i)));
	if (token && *token && ++resolve->pages < PAGES_MAX)
		list_page(resolve, token);
	else
		answered(resolve);
}

static void list_page(struct resolve *resolve, const char *token)
{
	auto_free char *collection = kube_path("v1", "services", resolve->args->namespace, NULL);
	auto_free char *escaped = kube_escape(token);
	auto_free char *path = xasprintf("%s?limit=%d%s%s", collection, LIMIT_KUBE_PAGE_ITEMS,
		*token ? "&continue=" : "", escaped);
	const struct kube_request_config config = {.method = "GET", .path = path};

	kube_request(resolve->client, &config, on_services, resolve, &resolve->list);
}

struct resolve *resolve_start(struct kube_client *client, const struct intercept_args *args,
	resolve_fn on_done, void *user)
{
	struct resolve *resolve = XNEW(struct resolve);

	resolve->client = client;
	resolve->args = args;
	resolve->on_done = on_done;
	resolve->user = user;
	resolve->services = json_object_new_array();
	resolve->pending = KINDS_COUNT + 1;
	for (size_t i = 0; i < KINDS_COUNT; i++) {
		struct probe *probe = &resolve->probes[i];

		probe->resolve = resolve;
		probe->kind = &workload_kinds[i];
		get(resolve, probe->kind, args->workload, on_probe, probe, &probe->request);
	}
	list_page(resolve, "");
	return resolve;
}

void resolve_cancel(struct resolve *resolve)
{
	if (resolve)
		free_resolve(resolve);
}
