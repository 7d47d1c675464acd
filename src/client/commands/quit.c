/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "client/cli/daemon.h"
#include "client/commands/commands.h"
#include "client/userd/proto.h"

struct flags {
	bool stop_daemons;
};

static int parse(struct cli *cli, int key UNUSED, const char *arg UNUSED, struct err *err UNUSED)
{
	struct flags *flags = cli->flags;

	flags->stop_daemons = true;
	return 0;
}

/* What it holds (device, DNS) is not gone, and it is not the user's to end. */
static void warn_of_rest(struct cli *cli, json_object *result)
{
	long long pid = json_get_int(result, "root_daemon_left", 0);

	if (pid > 0)
		cli_say(cli,
			"Warning: the root daemon does not end, and what it did is not undone: "
			"sudo kill -9 %lld ends it\n",
			pid);
}

static int run(struct cli *cli, struct err *err)
{
	const struct flags *flags = cli->flags;
	json_object *result = NULL;
	int r;

	if (flags->stop_daemons)
		r = daemon_stop(cli, DAEMON_STOP_MS, &result, err);
	else
		r = daemon_call(cli, daemon_request("quit"), DAEMON_ANSWER_MS, &result, err);
	if (r == -ECONNREFUSED) {
		*err = (struct err)ERR_INIT;
		cli_say(cli, "The telepresence daemon has not been started\n");
		cli_print(cli, "Not connected\n");
		return 0;
	}
	if (r < 0)
		return r;
	warn_of_rest(cli, result);
	if (flags->stop_daemons)
		cli_print(cli, "Telepresence Daemons quitting...done\n");
	else
		cli_print(cli, json_get_bool(result, "disconnected") ? "Disconnected\n"
								     : "Not connected\n");
	json_object_put(result);
	return 0;
}

static const struct argp_option options[] = {
	{"stop-daemons", 's', NULL, 0, "End the user daemon too", 0},
	{0},
};

const struct command command_quit = {
	.name = "quit",
	.summary = "Disconnect",
	.description =
		"Ends the connection and the root daemon; device, routes and DNS are as they "
		"were before. The user daemon stays for the next connect, unless it is told "
		"to end. Without a connection there is nothing to end, which is no failure.",
	.options = options,
	.parse = parse,
	.flags_bytes = sizeof(struct flags),
	.run = run,
};
