/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "client/cli/connection.h"
#include "client/cli/daemon.h"
#include "client/cli/describe.h"
#include "client/commands/commands.h"
#include "client/userd/proto.h"

struct flags {
	bool intercepts, agents, not_interceptable_too;
};

static int parse(struct cli *cli, int key, const char *arg, struct err *err)
{
	struct flags *flags = cli->flags;

	flags->intercepts |= key == 'i';
	flags->agents |= key == 'a';
	if (key != 'o')
		return 0;
	if (arg && strcmp(arg, "true") != 0 && strcmp(arg, "false") != 0)
		return err_set(err, -EINVAL, ERR_USAGE, "--only-interceptable is true or false");
	flags->not_interceptable_too = arg && strcmp(arg, "false") == 0;
	return 0;
}

static bool has_state(json_object *workload, const char *state)
{
	const char *text = json_get_string(workload, "state");

	return text && strcmp(text, state) == 0;
}

/* -i and -a name what to show; without them -o does. */
static bool is_wanted(const struct flags *flags, json_object *workload)
{
	if (flags->intercepts || flags->agents)
		return (flags->intercepts && has_state(workload, "intercepted")) ||
		       (flags->agents && json_get_bool(workload, "agent"));
	return flags->not_interceptable_too || !has_state(workload, "not-interceptable");
}

/* Those of the namespace that was asked for (NULL: of any) belong to no workload, and come last. */
static void add_local(json_object *wanted, json_object *local, const char *namespace)
{
	for (size_t i = 0; local && i < json_object_array_length(local); i++) {
		json_object *intercept = json_object_array_get_idx(local, i);
		json_object *row = NULL;

		if (namespace && strcmp(namespace, json_get_string(intercept, "namespace")) != 0)
			continue;
		row = json_object_new_object();
		json_put_string(row, "name", json_get_string(intercept, "name"));
		json_put_string(row, "namespace", json_get_string(intercept, "namespace"));
		json_put_string(row, "state", "local-only");
		json_object_array_add(wanted, row);
	}
}

static json_object *filter(const struct flags *flags, json_object *list)
{
	json_object *wanted = json_object_new_array();

	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		json_object *workload = json_object_array_get_idx(list, i);

		if (is_wanted(flags, workload))
			json_object_array_add(wanted, json_object_get(workload));
	}
	return wanted;
}

static void print_workload(struct cli *cli, json_object *workload, int width)
{
	json_object *intercepts = json_get(workload, "intercepts", json_type_array);
	const char *agent =
		json_get_bool(workload, "agent") ? "already installed" : "not yet installed";
	const char *reason = json_get_string(workload, "reason");

	cli_print(cli, "%-*s: ", width, json_get_string(workload, "name"));
	if (has_state(workload, "not-interceptable"))
		cli_print(cli, "not interceptable (traffic-agent not installed): %s\n",
			reason ? reason : "unknown");
	else if (has_state(workload, "intercepted"))
		cli_print(cli, "intercepted\n");
	else if (has_state(workload, "local-only"))
		cli_print(cli, "local-only intercept\n");
	else
		cli_print(cli, "ready to intercept (traffic-agent %s)\n", agent);
	for (size_t i = 0; intercepts && i < json_object_array_length(intercepts); i++)
		describe_intercept(cli, json_object_array_get_idx(intercepts, i), 3, true);
}

static void print_list(struct cli *cli, json_object *list)
{
	size_t count = json_object_array_length(list);
	int width = 0;

	if (count == 0)
		cli_print(cli,
			"No Workloads (Deployments, StatefulSets, ReplicaSets, or Rollouts)\n");
	for (size_t i = 0; i < count; i++)
		width = MAX(width,
			(int)strlen(json_get_string(json_object_array_get_idx(list, i), "name")));
	for (size_t i = 0; i < count; i++)
		print_workload(cli, json_object_array_get_idx(list, i), width);
}

static int run(struct cli *cli, struct err *err)
{
	const struct flags *flags = cli->flags;
	json_object *result = NULL, *request, *list;
	int r = connection_ensure(cli, err);

	if (r < 0)
		return r;
	request = daemon_request("list");
	json_put_string(request, "namespace", cli->args.namespace);
	r = daemon_call(cli, request, DAEMON_WORK_MS, &result, err);
	if (r < 0)
		return r;
	list = filter(flags, json_get(result, "workloads", json_type_array));
	if (flags->intercepts || !flags->agents)
		add_local(list, json_get(result, "local", json_type_array), cli->args.namespace);
	if (cli->format != OUTPUT_DEFAULT)
		cli_result(cli, json_object_get(list), false);
	else
		print_list(cli, list);
	json_object_put(list);
	json_object_put(result);
	return 0;
}

static const struct argp_option options[] = {
	{"intercepts", 'i', NULL, 0, "Only those that somebody intercepts", 0},
	{"agents", 'a', NULL, 0, "Only those with a traffic-agent in all pods", 0},
	{"only-interceptable", 'o', "BOOL", OPTION_ARG_OPTIONAL,
		"false: those too that cannot be intercepted, and why (default true)", 0},
	{0},
};

const struct command command_list = {
	.name = "list",
	.summary = "List the workloads that can be intercepted",
	.description =
		"Shows the workloads of a namespace that you may see: Deployments, StatefulSets, "
		"ReplicaSets, DaemonSets, Rollouts and Pods that nothing manages, and who "
		"intercepts them. Connects first when there is no connection, with the same flags "
		"as connect.",
	.options = options,
	.parse = parse,
	.flags_bytes = sizeof(struct flags),
	.kube_flags = true,
	.run = run,
};
