/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/child.h"
#include "client/cli/connection.h"
#include "client/cli/daemon.h"
#include "client/commands/commands.h"
#include "client/userd/proto.h"

/* The program's own failure is what counts. */
static void disconnect(struct cli *cli)
{
	json_object *result = NULL;
	struct err err = ERR_INIT;

	if (daemon_call(cli, daemon_request("quit"), DAEMON_ANSWER_MS, &result, &err) < 0)
		cli_say(cli, "Warning: disconnecting: %s\n", err.msg);
	json_object_put(result);
}

static int run(struct cli *cli, struct err *err)
{
	int was_open = cli->child ? connection_is_open(cli, err) : 0;
	json_object *result = NULL;
	bool ended = false;
	int r = was_open < 0 ? was_open : connection_open(cli, &result, err);

	if (r < 0)
		return r;
	cli_print(cli, "Connected to context %s, namespace %s (%s)\n",
		json_get_string(result, "kubernetes_context"), json_get_string(result, "namespace"),
		json_get_string(result, "kubernetes_server"));
	json_object_put(result);
	if (!cli->child)
		return 0;
	r = child_run(cli->child, NULL, -1, &ended, err);
	if (!was_open)
		disconnect(cli);
	return r;
}

const struct command command_connect = {
	.name = "connect",
	.summary = "Connect this machine to the cluster's network",
	.description =
		"Starts the two daemons that do not run yet (the root daemon through sudo), "
		"installs the traffic-manager in the cluster when it is missing and you may, and "
		"routes the cluster's service and pod addresses and names to it. Connecting again "
		"with the same flags changes nothing. A command after -- is started when the "
		"connection is there; when it ends, so does a connection that was made for it.",
	.kube_flags = true,
	.runs_child = true,
	.run = run,
};
