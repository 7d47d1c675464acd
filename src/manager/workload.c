/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/workload.h"

#include <errno.h>
#include <string.h>

/* uthash's own choice falls through between cases, which clang cannot be told is meant. */
#define HASH_FUNCTION HASH_FNV
#include <uthash.h>

#include "cluster/client.h"
#include "cluster/json.h"
#include "cluster/meta.h"
#include "cluster/watch.h"
#include "core/alloc.h"
#include "core/err.h"
#include "manager/pods.h"

/* Pods and ReplicaSets that one workload is followed to. */
#define MEMBERS_MAX 20000
/* Argo puts it on the ReplicaSets and pods of every Rollout. */
#define ROLLOUT_LABEL "rollouts-pod-template-hash"

struct kind {
	const char *name, *api_version, *plural;
	bool by_replica_sets; /* pods are two steps away */
};

static const struct kind kinds[] = {
	{"Deployment", "apps/v1", "deployments", true},
	{"StatefulSet", "apps/v1", "statefulsets", false},
	{"ReplicaSet", "apps/v1", "replicasets", false},
	{"DaemonSet", "apps/v1", "daemonsets", false},
	{"Rollout", "argoproj.io/v1alpha1", "rollouts", true},
	{"Pod", "v1", "pods", false},
};

/* A pod that the selector finds, or (object NULL) a ReplicaSet of the workload. */
struct item {
	char *uid;
	json_object *object;
	bool mine;
	UT_hash_handle hh;
};

struct workload {
	struct kube_client *client;
	const struct kind *kind;
	char *namespace, *name;
	struct workload_events events;
	void *user;
	char *uid; /* of the object that is followed; NULL: there is none */
	json_object *object; /* it; NULL with uid */
	struct kube_watch *self, *sets, *pods;
	struct item *set_table, *pod_table; /* own */
	struct err problem;
	bool self_synced, sets_synced, pods_synced;
};

static struct item *find(struct item *table, const char *uid)
{
	struct item *item = NULL;

	HASH_FIND_STR(table, uid, item);
	return item;
}

static struct item *add(struct item **table, const char *uid)
{
	struct item *item = find(*table, uid);

	if (item || HASH_COUNT(*table) >= MEMBERS_MAX)
		return item;
	item = XNEW(struct item);
	item->uid = xstrdup(uid);
	HASH_ADD_KEYPTR(hh, *table, item->uid, strlen(item->uid), item);
	return item;
}

static void drop(struct item **table, struct item *item)
{
	/* The analyzer takes uthash's list for a freed element's.
	 * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	HASH_DEL(*table, item);
	json_object_put(item->object);
	free(item->uid);
	free(item);
}

/* UID of the controller that owns an object, or "". */
static const char *controller(json_object *object)
{
	return json_text_or(kube_controller(object), "uid", "");
}

static bool is_bare(const struct workload *workload)
{
	return strcmp(workload->kind->name, "Pod") == 0;
}

static bool is_mine(const struct workload *workload, json_object *pod)
{
	const char *owner = controller(pod);

	if (is_bare(workload))
		return true;
	if (workload->kind->by_replica_sets)
		return find(workload->set_table, owner) != NULL;
	return workload->uid && strcmp(owner, workload->uid) == 0;
}

static void changed(struct workload *workload)
{
	workload->events.on_change(workload->user);
}

static void tell(struct workload *workload, struct item *item)
{
	bool mine = item->object && is_mine(workload, item->object);

	if (mine || item->mine)
		workload->events.on_pod(workload->user, item->object, !mine);
	item->mine = mine;
}

static void pod_event(void *user, enum kube_event event, json_object *object)
{
	struct workload *workload = user;
	struct item *item = NULL;

	if (event != KUBE_DELETED) {
		item = add(&workload->pod_table, pod_uid(object));
		if (!item)
			return;
		json_object_put(item->object);
		item->object = json_object_get(object);
		tell(workload, item);
		return;
	}
	item = find(workload->pod_table, pod_uid(object));
	if (!item)
		return;
	if (item->mine)
		workload->events.on_pod(workload->user, item->object, true);
	drop(&workload->pod_table, item);
}

static void set_event(void *user, enum kube_event event, json_object *object)
{
	struct workload *workload = user;
	const char *uid = pod_uid(object);
	struct item *known = find(workload->set_table, uid), *item = NULL, *next = NULL;
	bool mine = workload->uid && strcmp(controller(object), workload->uid) == 0;

	if (mine && event != KUBE_DELETED && !known) {
		(void)add(&workload->set_table, uid);
		HASH_ITER (hh, workload->pod_table, item, next) {
			if (!item->mine)
				tell(workload, item);
		}
	} else if (known && event == KUBE_DELETED) {
		/* Its pods go by themselves. */
		drop(&workload->set_table, known);
	}
}

static void on_sets_synced(void *user)
{
	struct workload *workload = user;

	workload->sets_synced = true;
	changed(workload);
}

static void on_pods_synced(void *user)
{
	struct workload *workload = user;

	workload->pods_synced = true;
	changed(workload);
}

/* What may be repaired while we wait is told as well: it ends with the next good answer. */
static void on_error(void *user, const struct err *err)
{
	struct workload *workload = user;

	if (err->kind != ERR_PERMISSION && err->kind != ERR_NOT_FOUND)
		return;
	err_set(&workload->problem, err->code, err->kind,
		"the traffic-manager cannot follow %s %s: %.400s", workload->kind->name,
		workload->name, err->msg);
	changed(workload);
}

static const struct kube_watch_events set_events = {
	.on_event = set_event, .on_synced = on_sets_synced, .on_error = on_error};
static const struct kube_watch_events pod_events = {
	.on_event = pod_event, .on_synced = on_pods_synced, .on_error = on_error};

static void forget_members(struct workload *workload)
{
	struct item *item = NULL, *next = NULL;

	kube_watch_stop(TAKE_PTR(workload->sets));
	kube_watch_stop(TAKE_PTR(workload->pods));
	HASH_ITER (hh, workload->pod_table, item, next)
		drop(&workload->pod_table, item);
	HASH_ITER (hh, workload->set_table, item, next)
		drop(&workload->set_table, item);
	workload->sets_synced = workload->pods_synced = false;
}

static void leave_members(struct workload *workload)
{
	struct item *item = NULL, *next = NULL;

	HASH_ITER (hh, workload->pod_table, item, next) {
		if (item->mine)
			workload->events.on_pod(workload->user, item->object, true);
	}
	forget_members(workload);
	json_object_put(TAKE_PTR(workload->object));
	free(TAKE_PTR(workload->uid));
}

/* A Rollout that borrows the template of another workload (spec.workloadRef) need not have a
 * selector of its own: all of the namespace's Rollouts' are looked at, and owners tell whose. */
static char *selector_of(json_object *object)
{
	char *selector = workload_selector(json_path(object, "spec.selector"));

	if (!selector && json_text(object, "spec.workloadRef.name"))
		selector = xstrdup(ROLLOUT_LABEL);
	return selector;
}

static void follow(struct workload *workload, json_object *object)
{
	auto_free char *selector = selector_of(object);
	auto_free char *pods = kube_path("v1", "pods", workload->namespace, NULL);
	auto_free char *sets = kube_path("apps/v1", "replicasets", workload->namespace, NULL);
	auto_free char *pods_path = NULL, *sets_path = NULL;

	if (!selector) {
		err_set(&workload->problem, -EINVAL, ERR_UNSUPPORTED, "%s %s has no selector",
			workload->kind->name, workload->name);
		return;
	}
	pods_path = xasprintf("%s?labelSelector=%s", pods, selector);
	sets_path = xasprintf("%s?labelSelector=%s", sets, selector);
	if (workload->kind->by_replica_sets)
		workload->sets =
			kube_watch_start(workload->client, sets_path, &set_events, workload);
	else
		workload->sets_synced = true;
	workload->pods = kube_watch_start(workload->client, pods_path, &pod_events, workload);
}

static void self_event(void *user, enum kube_event event, json_object *object)
{
	struct workload *workload = user;
	const char *uid = pod_uid(object);

	if (is_bare(workload)) {
		pod_event(workload, event, object);
		return;
	}
	if (event == KUBE_DELETED) {
		leave_members(workload);
		changed(workload);
		return;
	}
	if (workload->uid && strcmp(workload->uid, uid) == 0) {
		json_object_put(workload->object);
		workload->object = json_object_get(object);
		return;
	}
	leave_members(workload);
	workload->uid = xstrdup(uid);
	workload->object = json_object_get(object);
	workload->problem = (struct err)ERR_INIT;
	follow(workload, object);
	changed(workload);
}

static void on_self_synced(void *user)
{
	struct workload *workload = user;

	workload->self_synced = true;
	if (is_bare(workload))
		workload->pods_synced = workload->sets_synced = true;
	changed(workload);
}

struct workload *workload_open(struct kube_client *client, const char *namespace, const char *kind,
	const char *name, const struct workload_events *events, void *user)
{
	static const struct kube_watch_events self_events = {
		.on_event = self_event, .on_synced = on_self_synced, .on_error = on_error};
	struct workload *workload = XNEW(struct workload);
	auto_free char *collection = NULL, *path = NULL;

	workload->client = client;
	workload->namespace = xstrdup(namespace);
	workload->name = xstrdup(name);
	workload->events = *events;
	workload->user = user;
	workload->kind = &kinds[0];
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(kinds[i].name, kind) == 0)
			workload->kind = &kinds[i];
	}
	collection =
		kube_path(workload->kind->api_version, workload->kind->plural, namespace, NULL);
	path = xasprintf("%s?fieldSelector=metadata.name%%3D%s", collection, name);
	workload->self = kube_watch_start(client, path, &self_events, workload);
	return workload;
}

void workload_close(struct workload *workload)
{
	if (!workload)
		return;
	kube_watch_stop(workload->self);
	forget_members(workload);
	json_object_put(workload->object);
	free(workload->uid);
	free(workload->namespace);
	free(workload->name);
	free(workload);
}

bool workload_exists(const struct workload *workload)
{
	return is_bare(workload) ? workload->pod_table != NULL : workload->uid != NULL;
}

bool workload_synced(const struct workload *workload)
{
	return workload->self_synced &&
	       (!workload_exists(workload) || (workload->sets_synced && workload->pods_synced));
}

json_object *workload_object(const struct workload *workload)
{
	return workload->object;
}

const char *workload_problem(const struct workload *workload)
{
	return workload->problem.code < 0 ? workload->problem.msg : NULL;
}

bool workload_has(const struct workload *workload, const char *uid)
{
	const struct item *item = find(workload->pod_table, uid);

	return item && item->mine;
}

bool workload_overlaps(const struct workload *workload, const struct workload *other)
{
	for (const struct item *item = workload->pod_table; item; item = item->hh.next) {
		if (item->mine && workload_has(other, item->uid))
			return true;
	}
	return false;
}
