/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "client/cli/connection.h"
#include "client/cli/daemon.h"
#include "client/commands/commands.h"
#include "client/userd/proto.h"

struct flags {
	bool agent, all_agents, everything;
};

static int parse(struct cli *cli, int key, const char *arg UNUSED, struct err *err UNUSED)
{
	struct flags *flags = cli->flags;

	flags->agent |= key == 'd';
	flags->all_agents |= key == 'a';
	flags->everything |= key == 'e';
	return 0;
}

static int check(const struct cli *cli, struct err *err)
{
	const struct flags *flags = cli->flags;

	if (flags->agent + flags->all_agents + flags->everything != 1)
		return err_set(err, -EINVAL, ERR_USAGE,
			"please specify exactly one of --agent, --all-agents and --everything");
	if (flags->agent && cli->operand_count == 0)
		return err_set(err, -EINVAL, ERR_USAGE, "please name the workloads");
	if (!flags->agent && cli->operand_count > 0)
		return err_set(
			err, -EINVAL, ERR_USAGE, "unexpected argument \"%s\"", cli->operands[0]);
	return 0;
}

static bool has_workload(json_object *list, const char *name)
{
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		const char *each = json_get_string(json_object_array_get_idx(list, i), "name");

		if (each && strcmp(each, name) == 0)
			return true;
	}
	return false;
}

/* A name that nothing has is told before any agent ends. */
static int check_workloads(struct cli *cli, struct err *err)
{
	json_object *request, *result = NULL, *list;
	int r = 0;

	if (cli->operand_count == 0)
		return 0;
	request = daemon_request("list");
	json_put_string(request, "namespace", cli->args.namespace);
	r = daemon_call(cli, request, DAEMON_WORK_MS, &result, err);
	list = json_get(result, "workloads", json_type_array);
	for (size_t i = 0; r == 0 && i < cli->operand_count; i++) {
		if (!has_workload(list, cli->operands[i]))
			r = err_set(err, -ENOENT, ERR_NOT_FOUND,
				"there is no workload named %.253s in %s%.253s", cli->operands[i],
				cli->args.namespace ? "namespace " : "the connection's namespace",
				cli->args.namespace ? cli->args.namespace : "");
	}
	json_object_put(result);
	return r;
}

static int end_agents(struct cli *cli, struct err *err)
{
	json_object *request, *workloads, *result = NULL;
	int r = connection_ensure(cli, err);

	if (r == 0)
		r = check_workloads(cli, err);
	if (r < 0)
		return r;
	request = daemon_request("agents-exit");
	workloads = json_object_new_array();
	for (size_t i = 0; i < cli->operand_count; i++)
		json_object_array_add(workloads, json_object_new_string(cli->operands[i]));
	json_object_object_add(request, "workloads", workloads);
	json_put_string(request, "namespace", cli->args.namespace);
	r = daemon_call(cli, request, DAEMON_WORK_MS, &result, err);
	if (r == 0)
		cli_print(cli, "Traffic-agents that end: %lld\n",
			(long long)json_get_int(result, "told", 0));
	json_object_put(result);
	return r;
}

static int remove_everything(struct cli *cli, struct err *err)
{
	json_object *status = NULL, *result = NULL, *request;
	int r = connection_need_userd(cli, &status, err);

	json_object_put(status);
	if (r < 0)
		return r;
	request = daemon_request("uninstall");
	connection_put_args(cli, request);
	r = daemon_call(cli, request, DAEMON_WORK_MS, &result, err);
	json_object_put(result);
	result = NULL;
	if (r < 0)
		return r;
	r = daemon_stop(cli, DAEMON_STOP_MS, &result, err);
	json_object_put(result);
	if (r == 0)
		cli_print(cli, "Everything of telepresence is removed from the cluster\n");
	return r;
}

static int run(struct cli *cli, struct err *err)
{
	const struct flags *flags = cli->flags;
	int r = check(cli, err);

	if (r < 0)
		return r;
	return flags->everything ? remove_everything(cli, err) : end_agents(cli, err);
}

static const struct argp_option options[] = {
	{"agent", 'd', NULL, 0, "End the traffic-agents of the named workloads", 0},
	{"all-agents", 'a', NULL, 0, "End the traffic-agents of all workloads of the namespace", 0},
	{"everything", 'e', NULL, 0,
		"Remove the traffic-manager and all its objects, and end the daemons", 0},
	{0},
};

const struct command command_uninstall = {
	.name = "uninstall",
	.operand = "[NAME...]",
	.many_operands = true,
	.completes = "workloads",
	.summary = "Remove telepresence from the cluster",
	.description =
		"Exactly one of --agent, --all-agents and --everything is needed. "
		"Traffic-agents end unless something is intercepted there; they are those of "
		"--namespace, or of the connection's namespace. --everything "
		"disconnects, removes all that telepresence has put into the cluster of the "
		"connection (or, without one, of the given flags), and ends the daemons.",
	.options = options,
	.parse = parse,
	.flags_bytes = sizeof(struct flags),
	.kube_flags = true,
	.run = run,
};
