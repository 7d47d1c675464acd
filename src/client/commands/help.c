/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/help.h"

#include <string.h>

#include "client/cli/suggest.h"
#include "client/commands/commands.h"

static int run_help(struct cli *cli, struct err *err)
{
	const struct command *command;

	if (!cli->operands[0]) {
		help_overview(cli);
		return 0;
	}
	command = command_find(cli->operands[0]);
	if (!command)
		return suggest_command(cli->operands[0], err);
	help_command(cli, command);
	return 0;
}

const struct command command_help = {
	.name = "help",
	.operand = "[COMMAND]",
	.completes = "commands",
	.summary = "Explain the commands",
	.run = run_help,
};

static int run_man(struct cli *cli, struct err *err UNUSED)
{
	help_man_page(cli);
	return 0;
}

/* The build makes telepresence.1 with it. */
const struct command command_man = {
	.name = "man",
	.summary = "Print the manual page",
	.hidden = true,
	.run = run_man,
};
