/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/connection.h"
#include "client/commands/commands.h"
#include "client/userd/proto.h"

static int run(struct cli *cli, struct err *err)
{
	json_object *result = NULL;
	int r = connection_open(cli, &result, err);

	if (r < 0)
		return r;
	cli_print(cli, "Connected to context %s, namespace %s (%s)\n",
		json_get_string(result, "kubernetes_context"), json_get_string(result, "namespace"),
		json_get_string(result, "kubernetes_server"));
	json_object_put(result);
	return 0;
}

const struct command command_connect = {
	.name = "connect",
	.summary = "Connect this machine to the cluster's network",
	.description =
		"Starts the two daemons that do not run yet (the root daemon through sudo), "
		"installs "
		"the traffic-manager in the cluster when it is missing and you may, and routes the "
		"cluster's service and pod addresses and names to it. Connecting again with the "
		"same "
		"flags changes nothing.",
	.kube_flags = true,
	.run = run,
};
