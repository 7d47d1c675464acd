/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/userd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "client/commands/commands.h"
#include "core/log.h"

struct flags {
	bool background;
};

static int parse(struct cli *cli, int key UNUSED, const char *arg UNUSED, struct err *err UNUSED)
{
	struct flags *flags = cli->flags;

	flags->background = true;
	return 0;
}

/* The parent: ends when the child serves, or with its exit status. */
static int await_child(pid_t pid, int fd)
{
	char byte;
	int status = 0;
	ssize_t n;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(0);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

/* In the child: the descriptor that says it is ready. */
static int go_background(struct err *err)
{
	int fds[2];
	pid_t pid;

	/* A pipe of the starter's that stays open here would keep its reader waiting. */
	(void)close_range(STDERR_FILENO + 1, ~0U, 0);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set_errno(err, -errno, "pipe");
	pid = fork();
	if (pid < 0)
		return err_set_errno(err, -errno, "fork");
	if (pid > 0) {
		close(fds[1]);
		await_child(pid, fds[0]);
	}
	close(fds[0]);
	/* Away from the terminal: its Ctrl-C is for the command that started this. */
	if (setsid() < 0 || chdir("/") < 0)
		return err_set_errno(err, -errno, "leaving the terminal");
	return fds[1];
}

static int run(struct cli *cli, struct err *err)
{
	const struct flags *flags = cli->flags;
	int ready_fd = -1;
	int r;

	log_init("userd", STDERR_FILENO, LOG_FORMAT_TEXT,
		getenv("TELEPRESENCE_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	(void)umask(077);
	if (flags->background) {
		ready_fd = go_background(err);
		if (ready_fd < 0)
			return ready_fd;
	}
	r = userd_run(ready_fd, err);
	if (r == -EADDRINUSE)
		err_set(err, r, ERR_CONFLICT, "a user daemon runs already");
	return r;
}

static const struct argp_option options[] = {
	{"background", 'b', NULL, 0, "Return when it serves", 0},
	{0},
};

const struct command command_userd = {
	.name = "userd",
	.summary = "Be the user daemon",
	.options = options,
	.parse = parse,
	.flags_bytes = sizeof(struct flags),
	.hidden = true,
	.run = run,
};
