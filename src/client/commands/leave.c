/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "client/cli/daemon.h"
#include "client/commands/commands.h"

static int run(struct cli *cli, struct err *err)
{
	json_object *request, *names, *result = NULL;
	int r;

	if (cli->operand_count == 0)
		return err_set(err, -EINVAL, ERR_USAGE, "please name the intercept");
	request = daemon_request("leave");
	names = json_object_new_array();
	for (size_t i = 0; i < cli->operand_count; i++)
		json_object_array_add(names, json_object_new_string(cli->operands[i]));
	json_object_object_add(request, "names", names);
	r = daemon_call(cli, request, DAEMON_WORK_MS, &result, err);
	json_object_put(result);
	return r;
}

const struct command command_leave = {
	.name = "leave",
	.operand = "NAME...",
	.many_operands = true,
	.completes = "intercepts",
	.summary = "End an intercept",
	.description = "The workload's connections go to its own program again. Those that this "
		       "machine has already stay until they end.",
	.run = run,
};

const struct command command_detach = {
	.name = "detach",
	.operand = "NAME...",
	.many_operands = true,
	.completes = "intercepts",
	.summary = "The same as leave",
	.run = run,
};
