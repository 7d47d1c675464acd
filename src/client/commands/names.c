/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/daemon.h"
#include "client/commands/commands.h"
#include "client/userd/proto.h"

/* Somebody has pressed the tabulator key: they wait no longer than this. */
#define NAMES_MS 2000

/* For completion: one name a line; nothing where there is no daemon or connection. */
static int run(struct cli *cli, struct err *err UNUSED)
{
	json_object *request = daemon_request("names"), *result = NULL, *names;
	struct err ignored = ERR_INIT;

	json_put_string(request, "kind", cli->operands[0]);
	if (daemon_call(cli, request, NAMES_MS, &result, &ignored) < 0)
		return 0;
	names = json_get(result, "names", json_type_array);
	for (size_t i = 0; names && i < json_object_array_length(names); i++)
		cli_print(cli, "%s\n", json_object_get_string(json_object_array_get_idx(names, i)));
	json_object_put(result);
	return 0;
}

const struct command command_names = {
	.name = "names",
	.operand = "KIND",
	.summary = "List the names that a command takes, for completion",
	.hidden = true,
	.run = run,
};
