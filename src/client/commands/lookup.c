/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include "client/commands/commands.h"

/* What a connection through the tunnel may take. */
#define CONNECT_MS 2000

/* A TCP connection as any program makes it. */
static int try_connect(const struct addrinfo *to)
{
	auto_close int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd wait = {.fd = fd, .events = POLLOUT};
	socklen_t len = sizeof(int);
	int r, error = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, to->ai_addr, to->ai_addrlen) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	r = poll(&wait, 1, CONNECT_MS);
	if (r <= 0)
		return r == 0 ? -ETIMEDOUT : -errno;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? -errno : -error;
}

/* The child of the user daemon's self-test (client/userd/selftest.h). */
static int run(struct cli *cli, struct err *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	int r;

	if (!cli->operands[0])
		return err_set(err, -EINVAL, ERR_USAGE, "please give a name");
	r = getaddrinfo(cli->operands[0], "443", &hints, &list);
	if (r != 0)
		return err_set(
			err, -ENOENT, ERR_NOT_FOUND, "%s: %s", cli->operands[0], gai_strerror(r));
	r = try_connect(list);
	freeaddrinfo(list);
	if (r == -ECONNREFUSED)
		return err_set(err, r, ERR_CONFLICT, "%s: port 443 is closed", cli->operands[0]);
	return r < 0 ? err_set(err, r, ERR_UNREACHABLE, "%s: port 443 does not answer",
			       cli->operands[0])
		     : 0;
}

const struct command command_lookup = {
	.name = "lookup",
	.operand = "NAME",
	.summary = "Look a name up and connect to its port 443, as any program does",
	.hidden = true,
	.run = run,
};
