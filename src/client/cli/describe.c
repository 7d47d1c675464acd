/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/describe.h"

#include <stdio.h>
#include <string.h>

#include "client/cli/command.h"
#include "client/userd/proto.h"
#include "core/alloc.h"

#define ROWS_MAX  80
#define VALUE_MAX 1024

/* A key with one value, or with several lines below it. */
struct row {
	const char *key;
	char *value; /* owned */
};

struct rows {
	struct row items[ROWS_MAX];
	size_t count;
};

static const char *text_of(json_object *object, const char *key)
{
	const char *text = json_get_string(object, key);

	return text ? text : "";
}

/* Takes the value; key NULL: one more line of the last. */
static void add(struct rows *rows, const char *key, char *value)
{
	if (rows->count < ROWS_MAX)
		rows->items[rows->count++] = (struct row){.key = key, .value = value};
	else
		free(value);
}

static void print_rows(struct cli *cli, struct rows *rows, int indent)
{
	int width = 0;

	for (size_t i = 0; i < rows->count; i++) {
		if (rows->items[i].key)
			width = MAX(width, (int)strlen(rows->items[i].key));
	}
	for (size_t i = 0; i < rows->count; i++) {
		const struct row *row = &rows->items[i];

		if (row->key)
			cli_print(cli, "%*s%-*s:%s%s\n", indent, "", width, row->key,
				*row->value ? " " : "", row->value);
		else
			cli_print(cli, "%*s%s\n", indent + 2, "", row->value);
		free(row->value);
	}
	rows->count = 0;
}

/* "ACTIVE", "WAITING: 1 of 2 pods", "error: quota exceeded". */
static char *state_text(json_object *intercept)
{
	const char *state = text_of(intercept, "disposition"),
		   *message = text_of(intercept, "message");

	if (strcmp(state, "ERROR") == 0)
		return xasprintf("error: %s", *message ? message : "unknown");
	if (strcmp(state, "ACTIVE") != 0 && *message)
		return xasprintf("%s: %s", state, message);
	return xstrdup(state);
}

static const char *identifier_key(json_object *port)
{
	return json_get_int(port, "service_port", 0) ? "Service Port Identifier"
						     : "Container Port Identifier";
}

static char *endpoint_text(const char *host, int64_t port)
{
	bool v6 = strchr(host, ':') != NULL;

	return xasprintf("%s%s%s:%lld", v6 ? "[" : "", host, v6 ? "]" : "", (long long)port);
}

static char *address_text(json_object *port)
{
	return endpoint_text(text_of(port, "address"), json_get_int(port, "local", 0));
}

static const char *protocol_suffix(json_object *port)
{
	return strcmp(text_of(port, "protocol"), "UDP") == 0 ? "/UDP" : "";
}

static void add_ports(struct rows *rows, json_object *intercept)
{
	json_object *ports = json_get(intercept, "ports", json_type_array);
	size_t count = ports ? json_object_array_length(ports) : 0;

	if (count == 1) {
		json_object *port = json_object_array_get_idx(ports, 0);

		add(rows, "Destination", address_text(port));
		add(rows, identifier_key(port),
			xasprintf("%s%s", text_of(port, "port_id"), protocol_suffix(port)));
		return;
	}
	add(rows, "Destination", xstrdup(""));
	for (size_t i = 0; i < count; i++) {
		json_object *port = json_object_array_get_idx(ports, i);
		auto_free char *address = address_text(port);

		add(rows, NULL,
			xasprintf("%s for %s %s%s", address,
				json_get_int(port, "service_port", 0) ? "service port"
								      : "container port",
				text_of(port, "port_id"), protocol_suffix(port)));
	}
}

/* Pods that are not served, and why; those that are need no line. */
static void add_pods(struct rows *rows, json_object *intercept)
{
	json_object *pods = json_get(intercept, "pods", json_type_array);
	bool any = false;

	for (size_t i = 0; pods && i < json_object_array_length(pods); i++) {
		json_object *pod = json_object_array_get_idx(pods, i);
		const char *message = text_of(pod, "message");

		if (strcmp(text_of(pod, "state"), "ACTIVE") == 0)
			continue;
		if (!any)
			add(rows, "Pods", xstrdup(""));
		any = true;
		add(rows, NULL,
			xasprintf("%s %s%s%s", text_of(pod, "name"), text_of(pod, "state"),
				*message ? ": " : "", message));
	}
}

/* "3 of 10 connections went to the app (refused 2, no-client 1)"; NULL: none did. */
static char *fallback_text(json_object *intercept)
{
	json_object *fallbacks = json_get(intercept, "fallbacks", json_type_object);
	char reasons[VALUE_MAX] = "";
	size_t used = 0;
	int64_t sum = 0;

	if (!fallbacks)
		return NULL;
	json_object_object_foreach(fallbacks, reason, item)
	{
		int64_t count = json_object_get_int64(item);
		int n;

		if (count <= 0 || used >= sizeof(reasons))
			continue;
		sum += count;
		n = snprintf(reasons + used, sizeof(reasons) - used, "%s%.60s %lld",
			used ? ", " : "", reason, (long long)count);
		used += (size_t)MAX(n, 0);
	}
	if (sum == 0)
		return NULL;
	return xasprintf("%lld of %lld connections went to the app (%s)", (long long)sum,
		(long long)json_get_int(intercept, "connections", 0), reasons);
}

/* "localhost:6100: 2 of 3 connections failed: nothing listens at this port of the pod". */
static char *to_pod_text(json_object *port)
{
	int64_t failed = json_get_int(port, "failed", 0);
	auto_free char *where = xasprintf("localhost:%lld%s",
		(long long)json_get_int(port, "port", 0), protocol_suffix(port));

	if (failed == 0)
		return TAKE_PTR(where);
	return xasprintf("%s: %lld of %lld connections failed: %s", where, (long long)failed,
		(long long)json_get_int(port, "connections", 0), text_of(port, "reason"));
}

static void add_to_pod(struct rows *rows, json_object *intercept)
{
	json_object *ports = json_get(intercept, "to_pod", json_type_array);
	size_t count = ports ? json_object_array_length(ports) : 0;

	if (count > 1)
		add(rows, "To pod", xstrdup(""));
	for (size_t i = 0; i < count; i++)
		add(rows, count > 1 ? NULL : "To pod",
			to_pod_text(json_object_array_get_idx(ports, i)));
}

static void describe_local(struct cli *cli, json_object *intercept, int indent)
{
	struct rows rows = {.count = 0};

	add(&rows, "Intercept name", xstrdup(text_of(intercept, "name")));
	add(&rows, "State", state_text(intercept));
	add(&rows, "Namespace", xstrdup(text_of(intercept, "namespace")));
	add(&rows, "Intercepting", xstrdup(text_of(intercept, "filter_desc")));
	print_rows(cli, &rows, indent);
}

void describe_intercept(struct cli *cli, json_object *intercept, int indent, bool owner)
{
	struct rows rows = {.count = 0};
	char *fallbacks = NULL;

	if (json_get_bool(intercept, "local_only")) {
		describe_local(cli, intercept, indent);
		return;
	}
	fallbacks = fallback_text(intercept);

	add(&rows, "Intercept name", xstrdup(text_of(intercept, "name")));
	add(&rows, "State", state_text(intercept));
	add(&rows, "Workload kind", xstrdup(text_of(intercept, "workload_kind")));
	if (owner)
		add(&rows, "Client", xstrdup(text_of(intercept, "client")));
	add_ports(&rows, intercept);
	add(&rows, "Intercepting", xstrdup(text_of(intercept, "filter_desc")));
	if (!json_get_string(intercept, "service") && json_get_string(intercept, "pod_ip"))
		add(&rows, "Address",
			endpoint_text(text_of(intercept, "pod_ip"),
				json_get_int(intercept, "pod_port", 0)));
	add_to_pod(&rows, intercept);
	add_pods(&rows, intercept);
	if (fallbacks)
		add(&rows, "Fallbacks", fallbacks);
	print_rows(cli, &rows, indent);
}

/* Ports into the pod through which something did not get. */
static void summarize_to_pod(struct cli *cli, json_object *intercept)
{
	json_object *ports = json_get(intercept, "to_pod", json_type_array);

	for (size_t i = 0; ports && i < json_object_array_length(ports); i++) {
		json_object *port = json_object_array_get_idx(ports, i);
		auto_free char *text = to_pod_text(port);

		if (json_get_int(port, "failed", 0) > 0)
			cli_print(cli, "      %s\n", text);
	}
}

void describe_summary(struct cli *cli, json_object *intercepts)
{
	size_t count = intercepts ? json_object_array_length(intercepts) : 0;

	cli_print(cli, "  Intercepts:    %zu total\n", count);
	for (size_t i = 0; i < count; i++) {
		json_object *intercept = json_object_array_get_idx(intercepts, i);
		auto_free char *state = state_text(intercept);
		auto_free char *fallbacks = fallback_text(intercept);

		cli_print(cli, "    %s: %s\n", text_of(intercept, "name"),
			text_of(intercept, "client"));
		if (json_get_bool(intercept, "local_only"))
			cli_print(cli, "      local-only, namespace %s\n",
				text_of(intercept, "namespace"));
		if (strcmp(state, "ACTIVE") != 0)
			cli_print(cli, "      %s\n", state);
		if (fallbacks)
			cli_print(cli, "      %s\n", fallbacks);
		summarize_to_pod(cli, intercept);
	}
}
