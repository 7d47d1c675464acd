/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netdb.h>

#include "client/commands/commands.h"

/* The child of the user daemon's self-test (client/userd/selftest.h). */
static int run(struct cli *cli, struct err *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	int r;

	if (!cli->operand)
		return err_set(err, -EINVAL, ERR_USAGE, "please give a name");
	r = getaddrinfo(cli->operand, NULL, &hints, &list);
	if (r != 0)
		return err_set(
			err, -ENOENT, ERR_NOT_FOUND, "%s: %s", cli->operand, gai_strerror(r));
	freeaddrinfo(list);
	return 0;
}

const struct command command_lookup = {
	.name = "lookup",
	.operand = "NAME",
	.summary = "Look a name up as any program does",
	.hidden = true,
	.run = run,
};
