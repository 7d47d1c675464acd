/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "client/cli/connection.h"
#include "client/cli/daemon.h"
#include "client/commands/commands.h"
#include "client/userd/proto.h"

#define READY "ready to intercept (traffic-agent not yet installed)"

static void print_list(struct cli *cli, json_object *list)
{
	size_t count = list ? json_object_array_length(list) : 0;
	int width = 0;

	if (count == 0)
		cli_print(cli, "No Workloads (Deployments, StatefulSets, or ReplicaSets)\n");
	for (size_t i = 0; i < count; i++)
		width = MAX(width,
			(int)strlen(json_get_string(json_object_array_get_idx(list, i), "name")));
	for (size_t i = 0; i < count; i++)
		cli_print(cli, "%-*s: " READY "\n", width,
			json_get_string(json_object_array_get_idx(list, i), "name"));
}

static bool is_connected(struct cli *cli)
{
	json_object *status = NULL, *daemon;
	struct err err = ERR_INIT;
	const char *text;
	bool connected;

	if (daemon_call(cli, daemon_request("status"), DAEMON_ANSWER_MS, &status, &err) < 0)
		return false;
	daemon = json_get(status, "user_daemon", json_type_object);
	text = json_get_string(daemon, "status");
	connected = text && (strcmp(text, "Connected") == 0 || strcmp(text, "Reconnecting") == 0);
	json_object_put(status);
	return connected;
}

/* --namespace is the list's here; the connection keeps the context's. */
static int connect_first(struct cli *cli, struct err *err)
{
	char *namespace = TAKE_PTR(cli->args.namespace);
	json_object *result = NULL;
	int r = 0;

	if (!is_connected(cli)) {
		r = connection_open(cli, &result, err);
		if (r == 0)
			cli_say(cli, "Connected to context %s (%s)\n",
				json_get_string(result, "kubernetes_context"),
				json_get_string(result, "kubernetes_server"));
	}
	json_object_put(result);
	cli->args.namespace = namespace;
	return r;
}

static int run(struct cli *cli, struct err *err)
{
	json_object *result = NULL, *request, *list;
	int r = connect_first(cli, err);

	if (r < 0)
		return r;
	request = daemon_request("list");
	json_put_string(request, "namespace", cli->args.namespace);
	r = daemon_call(cli, request, DAEMON_WORK_MS, &result, err);
	if (r < 0)
		return r;
	list = json_get(result, "workloads", json_type_array);
	if (cli->format == OUTPUT_JSON)
		cli_result(cli, json_object_get(list), false);
	else
		print_list(cli, list);
	json_object_put(result);
	return 0;
}

const struct command command_list = {
	.name = "list",
	.summary = "List the workloads that can be intercepted",
	.description =
		"Shows the Deployments, StatefulSets and ReplicaSets of a namespace that you "
		"may see. Connects first when there is no connection, with the same flags as "
		"connect.",
	.kube_flags = true,
	.run = run,
};
