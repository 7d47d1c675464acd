/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/workloads.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "client/userd/proto.h"
#include "cluster/client.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"

static const struct workload_kind {
	const char *kind, *plural;
} kinds[] = {
	{"Deployment", "deployments"},
	{"StatefulSet", "statefulsets"},
	{"ReplicaSet", "replicasets"},
};

struct workloads {
	struct kube_client *client;
	struct kube_request *request;
	char *namespace, *manager_namespace;
	size_t kind; /* index of the kind being listed */
	json_object *list;
	workloads_fn on_done;
	void *user;
};

static void on_page(void *user, int r, int status, json_object *body, const struct err *err);

static void free_workloads(struct workloads *workloads)
{
	json_object_put(workloads->list);
	free(workloads->namespace);
	free(workloads->manager_namespace);
	free(workloads);
}

/* The continue token is opaque: everything but the unreserved characters is escaped. */
static char *escape(const char *text)
{
	char *out = xcalloc(strlen(text) * 3 + 1, 1);
	size_t len = 0;

	for (; *text; text++) {
		static const char hex[] = "0123456789ABCDEF";
		unsigned char c = (unsigned char)*text;

		if (isalnum(c) || strchr("-._~", c)) {
			out[len++] = (char)c;
			continue;
		}
		out[len++] = '%';
		out[len++] = hex[c >> 4];
		out[len++] = hex[c & 15];
	}
	return out;
}

static void ask_page(struct workloads *workloads, const char *token)
{
	auto_free char *collection =
		kube_path("apps/v1", kinds[workloads->kind].plural, workloads->namespace, NULL);
	auto_free char *escaped = escape(token);
	auto_free char *path = xasprintf("%s?limit=%d%s%s", collection, LIMIT_KUBE_PAGE_ITEMS,
		*token ? "&continue=" : "", escaped);
	const struct kube_request_config config = {.method = "GET", .path = path};

	kube_request(workloads->client, &config, on_page, workloads, &workloads->request);
}

static bool wanted(const struct workloads *workloads, json_object *meta)
{
	const char *name = json_get_string(meta, "name");
	json_object *owners = json_get(meta, "ownerReferences", json_type_array);

	if (!name || (owners && json_object_array_length(owners) > 0))
		return false;
	return strcmp(name, "traffic-manager") != 0 ||
	       strcmp(workloads->namespace, workloads->manager_namespace) != 0;
}

static void add_workload(struct workloads *workloads, json_object *item)
{
	json_object *meta = json_get(item, "metadata", json_type_object);
	json_object *spec = json_get(item, "spec", json_type_object);
	json_object *status = json_get(item, "status", json_type_object);
	json_object *entry;

	if (!wanted(workloads, meta))
		return;
	entry = json_object_new_object();
	json_put_string(entry, "name", json_get_string(meta, "name"));
	json_put_string(entry, "namespace", workloads->namespace);
	json_put_string(entry, "kind", kinds[workloads->kind].kind);
	json_object_object_add(
		entry, "replicas", json_object_new_int64(json_get_int(spec, "replicas", 1)));
	json_object_object_add(
		entry, "ready", json_object_new_int64(json_get_int(status, "readyReplicas", 0)));
	json_object_array_add(workloads->list, entry);
}

static int by_name(const void *a, const void *b)
{
	json_object *const *left = a, *const *right = b;

	return strcmp(json_get_string(*left, "name"), json_get_string(*right, "name"));
}

static void finish(struct workloads *workloads, int r, const struct err *err)
{
	json_object *list = r == 0 ? TAKE_PTR(workloads->list) : NULL;

	if (list)
		json_object_array_sort(list, by_name);
	workloads->on_done(workloads->user, r, list, err);
	free_workloads(workloads);
}

static void on_page(void *user, int r, int status UNUSED, json_object *body, const struct err *err)
{
	struct workloads *workloads = user;
	json_object *items = json_get(body, "items", json_type_array);
	const char *token =
		json_get_string(json_get(body, "metadata", json_type_object), "continue");

	workloads->request = NULL;
	if (r < 0) {
		finish(workloads, r, err);
		return;
	}
	for (size_t i = 0; items && i < json_object_array_length(items); i++)
		add_workload(workloads, json_object_array_get_idx(items, i));
	if (token && *token) {
		ask_page(workloads, token);
		return;
	}
	if (++workloads->kind < ARRAY_SIZE(kinds))
		ask_page(workloads, "");
	else
		finish(workloads, 0, NULL);
}

struct workloads *workloads_list(struct kube_client *client, const char *namespace,
	const char *manager_namespace, workloads_fn on_done, void *user)
{
	struct workloads *workloads = XNEW(struct workloads);

	workloads->client = client;
	workloads->namespace = xstrdup(namespace);
	workloads->manager_namespace = xstrdup(manager_namespace);
	workloads->list = json_object_new_array();
	workloads->on_done = on_done;
	workloads->user = user;
	ask_page(workloads, "");
	return workloads;
}

void workloads_cancel(struct workloads *workloads)
{
	if (!workloads)
		return;
	kube_request_cancel(workloads->request);
	free_workloads(workloads);
}
