/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/workload_table.h"

#include <string.h>

#include "client/userd/intercept_object.h"
#include "client/userd/proto.h"
#include "cluster/json.h"
#include "cluster/meta.h"
#include "core/alloc.h"

#define AGENT_PREFIX "telepresence-agent-"

void workload_table_init(
	struct workload_table *table, const char *namespace, const char *manager_namespace)
{
	*table = (struct workload_table){
		.namespace = namespace,
		.manager_namespace = manager_namespace,
		.rows = json_object_new_array(),
		.owners = json_object_new_object(),
		.pods = json_object_new_array(),
		.intercepts = json_object_new_object(),
	};
}

void workload_table_done(struct workload_table *table)
{
	json_object_put(table->rows);
	json_object_put(table->owners);
	json_object_put(table->pods);
	json_object_put(table->intercepts);
	*table = (struct workload_table){.rows = NULL};
}

static char *row_key(const char *kind, const char *name)
{
	return xasprintf("%s/%s", kind, name);
}

static bool agent_runs(json_object *pod)
{
	for (size_t i = 0; i < json_count(pod, "status.ephemeralContainerStatuses"); i++) {
		json_object *status = json_item(pod, "status.ephemeralContainerStatuses", i);

		if (strncmp(json_text_or(status, "name", ""), AGENT_PREFIX, strlen(AGENT_PREFIX)) ==
				0 &&
			json_path(status, "state.running"))
			return true;
	}
	return false;
}

static bool is_ready(json_object *pod)
{
	return strcmp(kube_condition_status(pod, "Ready"), "True") == 0;
}

/* One that has ended, or is about to, says nothing about its workload. */
static bool is_over(json_object *pod)
{
	const char *phase = json_text_or(pod, "status.phase", "");

	return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0 ||
	       json_path(pod, "metadata.deletionTimestamp");
}

static void add_pod(struct workload_table *table, const char *key, json_object *pod)
{
	json_object *record = json_object_new_array();

	json_object_array_add(record, json_object_new_string(key));
	json_object_array_add(record, json_object_new_boolean(agent_runs(pod)));
	json_object_array_add(table->pods, record);
}

static void add_row(
	struct workload_table *table, const struct workload_kind *kind, json_object *object)
{
	bool pod = strcmp(kind->kind, "Pod") == 0, daemon = strcmp(kind->kind, "DaemonSet") == 0;
	json_object *row = json_object_new_object();
	json_object *spec = json_path(object, pod ? "spec" : "spec.template.spec");
	const char *reason = NULL;
	int64_t replicas, ready;

	if (pod) {
		replicas = 1;
		ready = is_ready(object);
	} else if (daemon) {
		replicas = json_int(object, "status.desiredNumberScheduled", 0);
		ready = json_int(object, "status.numberReady", 0);
	} else {
		replicas = json_int(object, "spec.replicas", 1);
		ready = json_int(object, "status.readyReplicas", 0);
	}
	if (workload_namespace_is_system(table->namespace, table->manager_namespace))
		reason = "the namespace is the cluster's own";
	else if (json_object_get_boolean(json_member(spec, "hostNetwork")))
		reason = "it uses its node's network (hostNetwork)";
	json_put_string(row, "name", json_text(object, "metadata.name"));
	json_put_string(row, "namespace", table->namespace);
	json_put_string(row, "kind", kind->kind);
	json_object_object_add(row, "replicas", json_object_new_int64(replicas));
	json_object_object_add(row, "ready", json_object_new_int64(ready));
	json_put_string(row, "state", reason ? "not-interceptable" : "ready");
	json_put_string(row, "reason", reason);
	json_object_array_add(table->rows, row);
}

void workload_table_add(
	struct workload_table *table, const struct workload_kind *kind, json_object *object)
{
	const char *name = json_text(object, "metadata.name");
	json_object *controller = kube_controller(object);
	bool pod = strcmp(kind->kind, "Pod") == 0;
	auto_free char *key = NULL;

	if (!name || (pod && is_over(object)))
		return;
	key = controller ? row_key(json_text_or(controller, "kind", ""),
				   json_text_or(controller, "name", ""))
			 : row_key(kind->kind, name);
	if (pod)
		add_pod(table, key, object);
	if (controller && strcmp(kind->kind, "ReplicaSet") == 0)
		json_object_object_add(table->owners, name, json_object_new_string(key));
	if (controller || (strcmp(name, "traffic-manager") == 0 &&
				  strcmp(table->namespace, table->manager_namespace) == 0))
		return;
	add_row(table, kind, object);
}

void workload_table_add_intercept(struct workload_table *table, json_object *object)
{
	auto_free char *key = row_key(
		json_text_or(object, "spec.kind", ""), json_text_or(object, "spec.workload", ""));
	json_object *list = json_member(table->intercepts, key);

	if (!list) {
		list = json_object_new_array();
		json_object_object_add(table->intercepts, key, list);
	}
	json_object_array_add(list, intercept_object_describe(object));
}

/* Pods of a ReplicaSet are its controller's. counts: key -> [pods, pods with an agent]. */
static json_object *count_agents(const struct workload_table *table)
{
	json_object *counts = json_object_new_object();

	for (size_t i = 0; i < json_object_array_length(table->pods); i++) {
		json_object *record = json_object_array_get_idx(table->pods, i), *pair;
		const char *key = json_object_get_string(json_object_array_get_idx(record, 0));
		bool agent = json_object_get_boolean(json_object_array_get_idx(record, 1));
		json_object *owner = NULL;

		if (strncmp(key, "ReplicaSet/", 11) == 0)
			owner = json_member(table->owners, key + 11);
		if (owner)
			key = json_object_get_string(owner);
		pair = json_member(counts, key);
		if (!pair) {
			pair = json_object_new_array();
			json_object_array_add(pair, json_object_new_int(0));
			json_object_array_add(pair, json_object_new_int(0));
			json_object_object_add(counts, key, pair);
		}
		(void)json_object_int_inc(json_object_array_get_idx(pair, 0), 1);
		if (agent)
			(void)json_object_int_inc(json_object_array_get_idx(pair, 1), 1);
	}
	return counts;
}

static bool serves(json_object *intercepts)
{
	for (size_t i = 0; intercepts && i < json_object_array_length(intercepts); i++) {
		json_object *each = json_object_array_get_idx(intercepts, i);

		if (strcmp(json_text_or(each, "disposition", ""), "ERROR") != 0)
			return true;
	}
	return false;
}

static int by_name(const void *a, const void *b)
{
	json_object *const *left = a, *const *right = b;

	return strcmp(json_get_string(*left, "name"), json_get_string(*right, "name"));
}

/* Intercepts whose workload is not there: deleted, to be made again perhaps, or not ours to see. */
static void add_absent(struct workload_table *table, json_object *rows)
{
	json_object_object_foreach(table->intercepts, key, intercepts)
	{
		const char *slash = strchr(key, '/');
		auto_free char *kind = xstrndup(key, (size_t)(slash - key));
		json_object *row = json_object_new_object();

		json_put_string(row, "name", slash + 1);
		json_put_string(row, "namespace", table->namespace);
		json_put_string(row, "kind", kind);
		json_object_object_add(row, "replicas", json_object_new_int64(0));
		json_object_object_add(row, "ready", json_object_new_int64(0));
		json_put_string(
			row, "state", serves(intercepts) ? "intercepted" : "not-interceptable");
		json_put_string(row, "reason", "it is not there");
		json_object_object_add(row, "agent", json_object_new_boolean(false));
		json_object_object_add(row, "intercepts", json_object_get(intercepts));
		json_object_array_add(rows, row);
	}
}

json_object *workload_table_take(struct workload_table *table)
{
	json_object *counts = count_agents(table), *rows = TAKE_PTR(table->rows);

	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		json_object *row = json_object_array_get_idx(rows, i);
		auto_free char *key =
			row_key(json_get_string(row, "kind"), json_get_string(row, "name"));
		json_object *pair = json_member(counts, key);
		json_object *intercepts = json_member(table->intercepts, key);
		int pods = pair ? json_object_get_int(json_object_array_get_idx(pair, 0)) : 0;
		int agents = pair ? json_object_get_int(json_object_array_get_idx(pair, 1)) : 0;

		json_object_object_add(
			row, "agent", json_object_new_boolean(pods > 0 && agents == pods));
		if (serves(intercepts))
			json_put_string(row, "state", "intercepted");
		json_object_object_add(row, "intercepts",
			intercepts ? json_object_get(intercepts) : json_object_new_array());
		json_object_object_del(table->intercepts, key);
	}
	add_absent(table, rows);
	json_object_array_sort(rows, by_name);
	json_object_put(counts);
	workload_table_done(table);
	return rows;
}
