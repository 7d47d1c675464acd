/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "client/cli/daemon.h"
#include "client/cli/describe.h"
#include "client/commands/commands.h"
#include "client/userd/proto.h"
#include "core/utc.h"

/* Rows of a block: how they are called, and where they are in its object. */
struct row {
	const char *label, *key;
};

static void print_rows(struct cli *cli, json_object *object, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *value = json_get_string(object, rows[i].key);

		bool version = strcmp(rows[i].key, "version") == 0;

		if (value)
			cli_print(cli, "  %-18s: %s%s\n", rows[i].label, version ? "v" : "", value);
	}
}

static bool has_status(json_object *daemon, const char *wanted)
{
	const char *text = json_get_string(daemon, "status");

	return text && strcmp(text, wanted) == 0;
}

static void print_summary(struct cli *cli, json_object *status)
{
	json_object *daemon = json_get(status, "user_daemon", json_type_object);
	const char *context = json_get_string(daemon, "kubernetes_context");

	if (!json_get_bool(daemon, "running")) {
		cli_print(cli, "The telepresence daemon has not been started\n");
		return;
	}
	cli_print(cli, "%s\n",
		has_status(daemon, "Reconnecting") ? "Attempting to reconnect..."
						   : json_get_string(daemon, "status"));
	if (!context)
		return;
	cli_print(cli, "  Context:       %s (%s)\n", context,
		json_get_string(daemon, "kubernetes_server"));
	cli_print(cli, "  Proxy:         %s\n",
		has_status(daemon, "Connected") ? "ON (networking to the cluster is enabled)"
						: "OFF (attempting to connect...)");
	describe_summary(cli, json_get(daemon, "intercepts", json_type_array));
}

static void print_user_daemon(struct cli *cli, json_object *daemon)
{
	static const struct row rows[] = {
		{"Version", "version"},
		{"Executable", "executable"},
		{"Status", "status"},
		{"Error", "error"},
		{"Kubernetes server", "kubernetes_server"},
		{"Kubernetes context", "kubernetes_context"},
		{"Namespace", "namespace"},
		{"Manager namespace", "manager_namespace"},
		{"Session", "session"},
	};

	cli_print(cli, "User Daemon: %s\n",
		json_get_bool(daemon, "running") ? "Running" : "Not running");
	print_rows(cli, daemon, rows, ARRAY_SIZE(rows));
}

static void print_subnets(struct cli *cli, const char *label, json_object *list)
{
	size_t count = list ? json_object_array_length(list) : 0;

	if (count == 0)
		return;
	cli_print(cli, "  %-18s: (%zu subnets)\n", label, count);
	for (size_t i = 0; i < count; i++)
		cli_print(cli, "    - %s\n",
			json_object_get_string(json_object_array_get_idx(list, i)));
}

static void print_conflicts(struct cli *cli, json_object *list)
{
	size_t count = list ? json_object_array_length(list) : 0;

	if (count == 0)
		return;
	cli_print(cli, "  %-18s: (%zu not routed to the cluster)\n", "Conflicts", count);
	for (size_t i = 0; i < count; i++) {
		json_object *conflict = json_object_array_get_idx(list, i);

		cli_print(cli, "    - %s has the route %s\n", json_get_string(conflict, "subnet"),
			json_get_string(conflict, "route"));
	}
}

/* "[.com .io]" */
static void print_names(struct cli *cli, const char *label, json_object *list, bool empty_too)
{
	size_t count = list ? json_object_array_length(list) : 0;

	if (count == 0 && !empty_too)
		return;
	cli_print(cli, "    %-16s: [", label);
	for (size_t i = 0; i < count; i++)
		cli_print(cli, "%s%s", i ? " " : "",
			json_object_get_string(json_object_array_get_idx(list, i)));
	cli_print(cli, "]\n");
}

static void print_mappings(struct cli *cli, json_object *list)
{
	size_t count = list ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < count; i++) {
		json_object *mapping = json_object_array_get_idx(list, i);

		cli_print(cli, "    %-16s: %s -> %s\n", i ? "" : "Mappings",
			json_get_string(mapping, "name"), json_get_string(mapping, "aliasFor"));
	}
}

static void print_dns(struct cli *cli, json_object *dns)
{
	const char *remote = json_get_string(dns, "remote_ip"), *by = json_get_string(dns, "by");
	int64_t loops = json_get_int(dns, "loops", 0);

	if (!remote)
		return;
	cli_print(cli, "  %-18s: nameserver %s, %lld queries, %lld of them for the cluster\n",
		"DNS", remote, (long long)json_get_int(dns, "queries", 0),
		(long long)json_get_int(dns, "cluster", 0));
	if (by)
		cli_print(cli, "    %-16s: %s\n", "By", by);
	if (loops > 0)
		cli_print(cli, "    %-16s: %s forwards queries back to this machine (%lld times)\n",
			"Error", remote, (long long)loops);
	if (json_get_bool(dns, "nameserver_with_zone"))
		cli_print(cli,
			"    %-16s: resolv.conf has a nameserver with a zone (fe80::...%%...); "
			"programs that ask it do not find the cluster's names\n",
			"Warning");
	print_names(
		cli, "Exclude suffixes", json_get(dns, "exclude_suffixes", json_type_array), true);
	print_names(
		cli, "Include suffixes", json_get(dns, "include_suffixes", json_type_array), true);
	print_names(cli, "Excludes", json_get(dns, "excludes", json_type_array), false);
	print_mappings(cli, json_get(dns, "mappings", json_type_array));
	cli_print(cli, "    %-16s: %s\n", "Timeout", json_get_string(dns, "lookup_timeout"));
}

static void print_root_daemon(struct cli *cli, json_object *daemon)
{
	static const struct row rows[] = {{"Version", "version"}};
	const char *device = json_get_string(daemon, "device");

	cli_print(cli, "Root Daemon: %s\n",
		json_get_bool(daemon, "running") ? "Running" : "Not running");
	print_rows(cli, daemon, rows, ARRAY_SIZE(rows));
	if (device)
		cli_print(cli, "  %-18s: %s (MTU %lld)\n", "Device", device,
			(long long)json_get_int(daemon, "mtu", 0));
	print_dns(cli, json_get(daemon, "dns", json_type_object));
	print_subnets(cli, "Subnets", json_get(daemon, "subnets", json_type_array));
	print_conflicts(cli, json_get(daemon, "conflicts", json_type_array));
	print_subnets(cli, "Also Proxy", json_get(daemon, "also_proxy_subnets", json_type_array));
	print_subnets(cli, "Never Proxy", json_get(daemon, "never_proxy_subnets", json_type_array));
}

/* "2026-08-22T14:03:11Z" as people read it; what it is not stays as it is. */
static void print_since(struct cli *cli, const char *since)
{
	struct tm local;
	char text[64];
	time_t when;

	if (!since)
		return;
	if (utc_parse(since, &when) == 0 && localtime_r(&when, &local) &&
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &local) > 0)
		since = text;
	cli_print(cli, "  %-18s: %s\n", "Since", since);
}

/* The carriers that are not used, and why. */
static void print_unused(struct cli *cli, json_object *carriers)
{
	size_t count = carriers ? json_object_array_length(carriers) : 0;

	for (size_t i = 0; i < count; i++) {
		json_object *carrier = json_object_array_get_idx(carriers, i);
		const char *name = json_get_string(carrier, "name");
		const char *state = json_get_string(carrier, "state");
		const char *reason = json_get_string(carrier, "reason");

		if (name && state && reason)
			cli_print(cli, "  %-18s: %s (%s: %s)\n", "Not used", name, state, reason);
	}
}

static void print_manager(struct cli *cli, json_object *manager)
{
	static const struct row rows[] = {
		{"Version", "version"}, {"Traffic Agent", "traffic_agent"}, {"Tunnel", "carrier"}};
	int64_t rtt_us = json_get_int(manager, "rtt_us", 0);

	cli_print(cli, "Traffic Manager: %s\n",
		json_get_bool(manager, "connected") ? "Connected" : "Not connected");
	print_rows(cli, manager, rows, ARRAY_SIZE(rows));
	print_since(cli, json_get_string(manager, "carrier_since"));
	if (rtt_us > 0)
		cli_print(cli, "  %-18s: %lld.%lld ms\n", "Round trip", (long long)(rtt_us / 1000),
			(long long)(rtt_us % 1000 / 100));
	print_unused(cli, json_get(manager, "carriers", json_type_array));
}

static json_object *nothing_runs(void)
{
	static const char *const daemons[] = {"user_daemon", "root_daemon"};
	json_object *status = json_object_new_object();

	for (size_t i = 0; i < ARRAY_SIZE(daemons); i++) {
		json_object *daemon = json_object_new_object();

		json_object_object_add(daemon, "running", json_object_new_boolean(false));
		json_object_object_add(status, daemons[i], daemon);
	}
	json_object_object_add(status, "traffic_manager", json_object_new_object());
	return status;
}

static int parse(struct cli *cli, int key UNUSED, const char *arg UNUSED, struct err *err UNUSED)
{
	cli->format = OUTPUT_JSON;
	return 0;
}

static int run(struct cli *cli, struct err *err)
{
	json_object *status = NULL;
	int r = daemon_call(cli, daemon_request("status"), DAEMON_ANSWER_MS, &status, err);

	if (r == -ECONNREFUSED) {
		*err = (struct err)ERR_INIT;
		status = nothing_runs();
	} else if (r < 0) {
		return r;
	}
	if (cli->format != OUTPUT_DEFAULT) {
		cli_result(cli, status, true);
		return 0;
	}
	print_summary(cli, status);
	print_user_daemon(cli, json_get(status, "user_daemon", json_type_object));
	print_root_daemon(cli, json_get(status, "root_daemon", json_type_object));
	print_manager(cli, json_get(status, "traffic_manager", json_type_object));
	json_object_put(status);
	return 0;
}

static const struct argp_option options[] = {
	{"json", 'j', NULL, OPTION_HIDDEN, NULL, 0},
	{0},
};

const struct command command_status = {
	.name = "status",
	.summary = "Show the connection and the daemons",
	.options = options,
	.parse = parse,
	.run = run,
};
