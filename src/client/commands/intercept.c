/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "client/cli/child.h"
#include "client/cli/connection.h"
#include "client/cli/daemon.h"
#include "client/cli/describe.h"
#include "client/cli/envfile.h"
#include "client/commands/commands.h"
#include "client/commands/intercept_flags.h"
#include "client/userd/proto.h"
#include "core/limits.h"

static int leave(struct cli *cli, const char *name, struct err *err)
{
	json_object *request = daemon_request("leave"), *names, *result = NULL;
	int r;

	names = json_object_new_array();
	json_object_array_add(names, json_object_new_string(name));
	json_object_object_add(request, "names", names);
	r = daemon_call(cli, request, DAEMON_WORK_MS, &result, err);
	json_object_put(result);
	return r;
}

static void on_omitted(void *user, const char *name)
{
	cli_say(user, "Warning: the environment file cannot hold the variable %s: left out\n",
		name);
}

static int write_environment(struct cli *cli, json_object *environment, const char *path,
	enum env_syntax syntax, struct err *err)
{
	struct buf text;
	int r;

	if (!path)
		return 0;
	buf_init(&text, 4 * LIMIT_USER_MESSAGE_BYTES);
	r = env_format(environment, syntax, &text, on_omitted, cli);
	if (r < 0)
		err_set_errno(err, r, "%s", path);
	else
		r = env_write(path, &text, err);
	buf_done(&text);
	return r;
}

static int write_environments(struct cli *cli, json_object *intercept, struct err *err)
{
	const struct intercept_flags *flags = cli->flags;
	json_object *environment = json_get(intercept, "environment", json_type_object);
	int r;

	if (!environment && (flags->env_file || flags->env_json))
		return err_set(err, -ENODATA, ERR_INTERNAL,
			"the environment of the container is not known");
	r = write_environment(cli, environment, flags->env_file, flags->env_syntax, err);
	if (r == 0)
		r = write_environment(cli, environment, flags->env_json, ENV_JSON, err);
	return r;
}

static void show(struct cli *cli, json_object *intercept)
{
	const struct intercept_flags *flags = cli->flags;
	const char *workload = json_get_string(intercept, "workload");
	const char *kind = json_get_string(intercept, "workload_kind");

	if (cli->format != OUTPUT_DEFAULT) {
		cli_result(cli, json_object_get(intercept), flags->detailed);
		return;
	}
	if (workload) {
		cli_print(cli, "Using ");
		for (; kind && *kind; kind++)
			cli_print(cli, "%c", tolower((unsigned char)*kind));
		cli_print(cli, " %s\nintercepted\n", workload);
	} else {
		cli_print(cli, "local-only intercept\n");
	}
	describe_intercept(cli, intercept, 4, false);
	if (flags->wait_message)
		cli_print(cli, "%s\n", flags->wait_message);
}

/* Until the program ends or the intercept does; then neither is left. held: hanging up there, as
 * dying at whatever moment does, ends the intercept as well. */
static int run_child(struct cli *cli, json_object *intercept, int held, struct err *err)
{
	const char *name = json_get_string(intercept, "name");
	struct err ignored = ERR_INIT;
	bool ended = false;
	int r;

	r = child_run(cli->child, json_get(intercept, "environment", json_type_object), held,
		&ended, err);
	if (!ended)
		(void)leave(cli, name, &ignored);
	else
		cli_say(cli, "The intercept %s has ended\n", name);
	return r;
}

/* Before pods get agents for it. Standard output has room for one document. */
static int check_environments(struct cli *cli, struct err *err)
{
	const struct intercept_flags *flags = cli->flags;
	int r = env_check(flags->env_file, err);

	if (r == 0)
		r = env_check(flags->env_json, err);
	if (r < 0)
		return r;
	if (flags->env_file && flags->env_json && strcmp(flags->env_file, flags->env_json) == 0)
		return err_set(err, -EINVAL, ERR_USAGE,
			"--env-file and --env-json cannot both write to %s", flags->env_file);
	cli->stdout_taken = env_is_stdout(flags->env_file) || env_is_stdout(flags->env_json);
	if (cli->stdout_taken && cli->format != OUTPUT_DEFAULT)
		return err_set(err, -EINVAL, ERR_USAGE,
			"the environment cannot go to standard output together with --output: use "
			"--detailed-output, which has it");
	return 0;
}

static int run(struct cli *cli, struct err *err)
{
	json_object *intercept = NULL;
	auto_close int held = -1;
	const char *name;
	int r;

	if (!cli->operands[0])
		return err_set(err, -EINVAL, ERR_USAGE, "please name the intercept");
	r = intercept_flags_check(cli, err);
	if (r == 0)
		r = check_environments(cli, err);
	if (r == 0)
		r = connection_ensure(cli, err);
	if (r == 0) {
		held = daemon_begin(intercept_flags_request(cli), err);
		r = held < 0 ? held : daemon_end(cli, held, DAEMON_WORK_MS, &intercept, err);
	}
	if (r < 0)
		return r;
	name = json_get_string(intercept, "name");
	r = write_environments(cli, intercept, err);
	if (r < 0) {
		struct err ignored = ERR_INIT;

		(void)leave(cli, name, &ignored);
	} else {
		show(cli, intercept);
		if (cli->child)
			r = run_child(cli, intercept, held, err);
	}
	json_object_put(intercept);
	return r;
}

const struct command command_intercept = {
	.name = "intercept",
	.operand = "NAME",
	.completes = "workloads",
	.summary = "Let a workload's connections come to this machine",
	.description =
		"Every new connection to a port of the workload, in all its pods, arrives at this "
		"machine, until the intercept is left. What this machine does not take goes to the "
		"workload's own program. No pod is restarted. NAME is the workload's too, unless "
		"--workload is given; with --namespace NS and no --workload the intercept is "
		"called NAME-NS. A command after -- is started with the container's environment "
		"over its own; the intercept ends with it, and it with the intercept. With "
		"--local-only nothing is changed in the cluster: names of --namespace are found as "
		"single labels, for as long as the intercept is there. Connects "
		"first when there is no connection, with the same flags as connect.",
	.options = intercept_options,
	.parse = intercept_flags_parse,
	.flags_bytes = sizeof(struct intercept_flags),
	.kube_flags = true,
	.runs_child = true,
	.run = run,
};
