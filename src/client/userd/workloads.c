/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/workloads.h"

#include <errno.h>
#include <string.h>

#include "client/userd/intercept_object.h"
#include "client/userd/kinds.h"
#include "client/userd/workload_table.h"
#include "cluster/client.h"
#include "cluster/json.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"

/* The kinds, and the intercepts. */
#define LISTS_COUNT (KINDS_COUNT + 1)

/* One collection, page by page. */
struct list {
	struct workloads *workloads;
	const struct workload_kind *kind; /* NULL: the intercepts */
	struct kube_request *request;
};

struct workloads {
	struct kube_client *client;
	char *namespace, *manager_namespace;
	struct list lists[LISTS_COUNT];
	unsigned int pending;
	struct workload_table table;
	struct err err; /* of a list that must not fail */
	workloads_fn on_done;
	void *user;
};

static void ask_page(struct list *list, const char *token);

static void free_workloads(struct workloads *workloads)
{
	workload_table_done(&workloads->table);
	free(workloads->namespace);
	free(workloads->manager_namespace);
	free(workloads);
}

static void answered(struct workloads *workloads)
{
	json_object *rows = NULL;

	if (--workloads->pending > 0)
		return;
	if (workloads->err.code == 0)
		rows = workload_table_take(&workloads->table);
	workloads->on_done(workloads->user, workloads->err.code, rows, &workloads->err);
	free_workloads(workloads);
}

/* Without a right to pods or intercepts the workloads are worth showing still. */
static bool may_fail(const struct list *list, int r)
{
	bool forbidden = r == -EACCES || r == -EPERM;

	if (!list->kind || list->kind->optional)
		return r == -ENOENT || forbidden;
	return strcmp(list->kind->kind, "Pod") == 0 && forbidden;
}

static void on_page(void *user, int r, int status UNUSED, json_object *body, const struct err *err)
{
	struct list *list = user;
	struct workloads *workloads = list->workloads;
	const char *token = json_text(body, "metadata.continue");

	list->request = NULL;
	if (r < 0 && !may_fail(list, r))
		workloads->err = *err;
	for (size_t i = 0; r == 0 && i < json_count(body, "items"); i++) {
		json_object *item = json_item(body, "items", i);

		if (list->kind)
			workload_table_add(&workloads->table, list->kind, item);
		else
			workload_table_add_intercept(&workloads->table, item);
	}
	if (r == 0 && token && *token)
		ask_page(list, token);
	else
		answered(workloads);
}

static void ask_page(struct list *list, const char *token)
{
	const struct workload_kind *kind = list->kind;
	auto_free char *collection = kube_path(kind ? kind->api_version : INTERCEPT_API,
		kind ? kind->plural : INTERCEPT_PLURAL, list->workloads->namespace, NULL);
	auto_free char *escaped = kube_escape(token);
	auto_free char *path = xasprintf("%s?limit=%d%s%s", collection, LIMIT_KUBE_PAGE_ITEMS,
		*token ? "&continue=" : "", escaped);
	const struct kube_request_config config = {.method = "GET", .path = path};

	kube_request(list->workloads->client, &config, on_page, list, &list->request);
}

struct workloads *workloads_list(struct kube_client *client, const char *namespace,
	const char *manager_namespace, workloads_fn on_done, void *user)
{
	struct workloads *workloads = XNEW(struct workloads);

	workloads->client = client;
	workloads->namespace = xstrdup(namespace);
	workloads->manager_namespace = xstrdup(manager_namespace);
	workload_table_init(&workloads->table, workloads->namespace, workloads->manager_namespace);
	workloads->on_done = on_done;
	workloads->user = user;
	workloads->pending = LISTS_COUNT;
	for (size_t i = 0; i < LISTS_COUNT; i++) {
		struct list *list = &workloads->lists[i];

		list->workloads = workloads;
		list->kind = i < KINDS_COUNT ? &workload_kinds[i] : NULL;
		ask_page(list, "");
	}
	return workloads;
}

void workloads_cancel(struct workloads *workloads)
{
	if (!workloads)
		return;
	for (size_t i = 0; i < LISTS_COUNT; i++) {
		if (workloads->lists[i].request)
			kube_request_cancel(workloads->lists[i].request);
	}
	free_workloads(workloads);
}
