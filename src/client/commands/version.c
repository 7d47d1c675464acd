/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "client/cli/daemon.h"
#include "client/commands/commands.h"
#include "client/userd/proto.h"

static void print_version(
	struct cli *cli, const char *label, json_object *part, const char *otherwise)
{
	const char *version = json_get_string(part, "version");

	cli_print(cli, "%-15s: %s%s\n", label, version ? "v" : "", version ? version : otherwise);
}

/* Works whatever the kubeconfig or the daemons are like. */
static int run(struct cli *cli, struct err *err UNUSED)
{
	json_object *status = NULL, *manager;
	const char *image;
	struct err unused = ERR_INIT;
	int r = daemon_call(cli, daemon_request("status"), DAEMON_ANSWER_MS, &status, &unused);

	cli_print(cli, "%-15s: v%s\n", "Client", TP_VERSION);
	print_version(cli, "Root Daemon", json_get(status, "root_daemon", json_type_object),
		r == -ETIMEDOUT ? "not known" : "not running");
	print_version(cli, "User Daemon", json_get(status, "user_daemon", json_type_object),
		r == -ETIMEDOUT ? "does not answer" : "not running");
	manager = json_get(status, "traffic_manager", json_type_object);
	print_version(cli, "Traffic Manager", manager, "not connected");
	image = json_get_string(manager, "traffic_agent");
	if (json_get_bool(manager, "connected"))
		cli_print(cli, "%-15s: %s\n", "Traffic Agent",
			image ? image : "not reported by traffic-manager");
	json_object_put(status);
	return 0;
}

const struct command command_version = {
	.name = "version",
	.summary = "Show the versions of all parts",
	.kube_flags = true,
	.run = run,
};
