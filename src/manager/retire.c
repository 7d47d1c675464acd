/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LIST_SETS (only where workloads are named: a pod knows its ReplicaSet, not the Deployment) ->
 * LIST_PODS -> TELL, which looks again until every agent was told or the time is over.
 */
#include "manager/retire.h"

#include <string.h>

#include "cluster/client.h"
#include "cluster/json.h"
#include "cluster/meta.h"
#include "core/alloc.h"
#include "core/limits.h"
#include "core/log.h"
#include "manager/intercept_impl.h"
#include "manager/intercept_seat.h"
#include "manager/intercept_target.h"
#include "manager/pods.h"

#define LOOK_MS 50

struct retire {
	struct intercepts *set;
	char *namespace; /* NULL: all */
	json_object *workloads; /* NULL: all */
	json_object *owners; /* UID of a ReplicaSet -> name of its workload */
	json_object *pods; /* whose agents are not told yet */
	struct kube_request *request;
	uv_timer_t timer;
	uint64_t deadline_ms; /* 0: still listing */
	unsigned int told;
	retire_fn on_done;
	void *user;
	struct retire *prev, *next;
};

typedef void (*item_fn)(struct retire *retire, json_object *item);

static void list_sets(struct retire *retire, const char *token);
static void list_pods(struct retire *retire, const char *token);

static bool is_listed(json_object *names, const char *name)
{
	for (size_t i = 0; i < json_object_array_length(names); i++) {
		const char *each = json_object_get_string(json_object_array_get_idx(names, i));

		if (each && strcmp(each, name) == 0)
			return true;
	}
	return false;
}

static const char *workload_of(const struct retire *retire, json_object *pod)
{
	json_object *controller = kube_controller(pod);
	const char *above = NULL;

	if (!controller)
		return pod_name(pod);
	above = json_text(retire->owners, json_text_or(controller, "uid", ""));
	return above ? above : json_text_or(controller, "name", "");
}

static void on_set(struct retire *retire, json_object *item)
{
	json_object *controller = kube_controller(item);

	if (controller)
		json_object_object_add(retire->owners, json_text_or(item, "metadata.uid", ""),
			json_object_new_string(json_text_or(controller, "name", "")));
}

static void on_pod(struct retire *retire, json_object *item)
{
	struct pod_agent agent;

	pod_agent(item, POD_AGENT_PREFIX, &agent);
	if (agent.alive == 0 || !pod_alive(item))
		return;
	if (!retire->workloads || is_listed(retire->workloads, workload_of(retire, item)))
		json_object_array_add(retire->pods, json_object_get(item));
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct retire *retire = handle->data;

	free(retire->namespace);
	json_object_put(retire->workloads);
	json_object_put(retire->owners);
	json_object_put(retire->pods);
	free(retire);
}

/* A pod without a seat was made known here for this alone. */
static void forget_pod(const struct retire *retire, json_object *pod)
{
	if (!seat_find(retire->set, pod_uid(pod)))
		agents_remove(retire->set->agents, pod_uid(pod));
}

void retire_cancel(struct retire *retire)
{
	if (!retire)
		return;
	kube_request_cancel(TAKE_PTR(retire->request));
	for (size_t i = 0; i < json_object_array_length(retire->pods); i++)
		forget_pod(retire, json_object_array_get_idx(retire->pods, i));
	DL_DELETE(retire->set->retires, retire);
	uv_close((uv_handle_t *)&retire->timer, on_timer_closed);
}

static void finish(struct retire *retire, int r, const struct err *err)
{
	retire->on_done(retire->user, r, retire->told, err);
	retire_cancel(retire);
}

/* Every intercept has found its pods: who is not intercepted now is idle. */
static bool is_settled(const struct intercepts *set)
{
	if (!set->synced)
		return false;
	for (const struct intercept *intercept = set->table; intercept;
		intercept = intercept->hh.next) {
		if (intercept->foreign || intercept->state == INTERCEPT_ERROR)
			continue;
		if (intercept->dirty || !intercept->target ||
			!workload_synced(intercept->target->workload))
			return false;
	}
	return true;
}

static void make_known(const struct retire *retire, json_object *pod)
{
	struct ip_addr addrs[AGENTS_POD_ADDRESSES];
	size_t count = pod_addresses(pod, addrs, ARRAY_SIZE(addrs));
	auto_free char *name =
		xasprintf("%s/%s", json_text_or(pod, "metadata.namespace", ""), pod_name(pod));

	agents_add(retire->set->agents, pod_uid(pod), name, addrs, count);
}

/* Whether there is nothing to wait for in this pod. */
static bool tell(struct retire *retire, json_object *pod)
{
	const struct seat *seat = seat_find(retire->set, pod_uid(pod));
	unsigned int told;

	if (seat && seat->members)
		return true;
	if (!seat)
		make_known(retire, pod);
	told = agents_exit(retire->set->agents, pod_uid(pod), "uninstalled");
	retire->told += told;
	return told > 0;
}

static void on_look(uv_timer_t *timer)
{
	struct retire *retire = timer->data;
	bool over = intercepts_now(retire->set) >= retire->deadline_ms;

	for (size_t i = json_object_array_length(retire->pods);
		i-- > 0 && is_settled(retire->set);) {
		json_object *pod = json_object_array_get_idx(retire->pods, i);

		if (!tell(retire, pod))
			continue;
		forget_pod(retire, pod);
		(void)json_object_array_del_idx(retire->pods, i, 1);
	}
	if (over || json_object_array_length(retire->pods) == 0) {
		log_info("agents retired", "told=%u silent=%zu", retire->told,
			json_object_array_length(retire->pods));
		finish(retire, 0, NULL);
	}
}

static void on_page(struct retire *retire, json_object *body, item_fn on_item,
	void (*next_page)(struct retire *retire, const char *token))
{
	const char *token = json_text(body, "metadata.continue");

	for (size_t i = 0; i < json_count(body, "items"); i++)
		on_item(retire, json_item(body, "items", i));
	if (token && *token)
		next_page(retire, token);
}

static void on_sets(void *user, int r, int status UNUSED, json_object *body, const struct err *err)
{
	struct retire *retire = user;

	retire->request = NULL;
	if (r < 0) {
		finish(retire, r, err);
		return;
	}
	on_page(retire, body, on_set, list_sets);
	if (!retire->request)
		list_pods(retire, "");
}

static void on_pods(void *user, int r, int status UNUSED, json_object *body, const struct err *err)
{
	struct retire *retire = user;

	retire->request = NULL;
	if (r < 0) {
		finish(retire, r, err);
		return;
	}
	on_page(retire, body, on_pod, list_pods);
	if (retire->request)
		return;
	retire->deadline_ms = intercepts_now(retire->set) + RETIRE_MS;
	(void)uv_timer_start(&retire->timer, on_look, 0, LOOK_MS);
}

static void list(struct retire *retire, const char *api_version, const char *plural,
	const char *token, kube_done_fn on_done)
{
	auto_free char *collection = kube_path(api_version, plural, retire->namespace, NULL);
	auto_free char *escaped = kube_escape(token);
	auto_free char *path = xasprintf("%s?limit=%d%s%s", collection, LIMIT_KUBE_PAGE_ITEMS,
		*token ? "&continue=" : "", escaped);
	const struct kube_request_config config = {.method = "GET", .path = path};

	kube_request(retire->set->client, &config, on_done, retire, &retire->request);
}

static void list_sets(struct retire *retire, const char *token)
{
	list(retire, "apps/v1", "replicasets", token, on_sets);
}

static void list_pods(struct retire *retire, const char *token)
{
	list(retire, "v1", "pods", token, on_pods);
}

struct retire *retire_start(struct intercepts *set, const char *namespace, json_object *workloads,
	retire_fn on_done, void *user)
{
	bool some = json_object_is_type(workloads, json_type_array) &&
		    json_object_array_length(workloads) > 0;
	struct retire *retire = XNEW(struct retire);

	retire->set = set;
	retire->namespace = namespace ? xstrdup(namespace) : NULL;
	retire->workloads = some ? json_object_get(workloads) : NULL;
	retire->owners = json_object_new_object();
	retire->pods = json_object_new_array();
	retire->on_done = on_done;
	retire->user = user;
	(void)uv_timer_init(set->loop, &retire->timer);
	retire->timer.data = retire;
	DL_APPEND(set->retires, retire);
	if (some)
		list_sets(retire, "");
	else
		list_pods(retire, "");
	return retire;
}

void retire_end_all(struct intercepts *set)
{
	while (set->retires)
		finish(set->retires, 0, NULL);
}
