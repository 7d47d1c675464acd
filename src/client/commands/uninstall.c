/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "client/cli/connection.h"
#include "client/cli/daemon.h"
#include "client/commands/commands.h"

static void parse(struct cli *cli, int key UNUSED)
{
	cli->everything = true;
}

static int run(struct cli *cli, struct err *err)
{
	json_object *status = NULL, *result = NULL, *request;
	int r;

	if (!cli->everything)
		return err_set(err, -EINVAL, ERR_USAGE, "please specify --everything");
	r = connection_need_userd(cli, &status, err);
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
	r = daemon_stop(cli, &result, err);
	json_object_put(result);
	if (r == 0)
		cli_print(cli, "Everything of telepresence is removed from the cluster\n");
	return r;
}

static const struct argp_option options[] = {
	{"everything", 'e', NULL, 0,
		"Remove the traffic-manager and all its objects, and end the daemons", 0},
	{0},
};

const struct command command_uninstall = {
	.name = "uninstall",
	.summary = "Remove telepresence from the cluster",
	.description = "Disconnects, removes everything that telepresence has put into the cluster "
		       "of the connection (or, without one, of the given flags), and ends the "
		       "daemons.",
	.options = options,
	.parse = parse,
	.kube_flags = true,
	.run = run,
};
