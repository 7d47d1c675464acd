/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "core/err.h"

/* What a program gets to end by itself when its intercept is gone. */
#define TERMINATE_MS 10000
/* Statuses of a shell for what cannot be run. */
#define STATUS_NOT_FOUND  127
#define STATUS_NOT_RUN    126
#define FORWARDED_SIGNALS {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2}

struct child {
	pid_t pid;
	int held; /* -1: the intercept has ended already */
	int signals;
	int status;
	bool over, terminated;
};

static int set_environment(json_object *environment)
{
	if (!environment)
		return 0;
	json_object_object_foreach(environment, name, value)
	{
		if (setenv(name, json_object_get_string(value), 1) < 0 && errno != EINVAL)
			return -errno;
	}
	return 0;
}

/* In the child. The parent's death by SIGKILL ends it, too; it may have come before the prctl. */
static void become(char *const argv[], json_object *environment, const sigset_t *mask, pid_t parent)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(STATUS_NOT_RUN);
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	if (set_environment(environment) == 0)
		(void)execvp(argv[0], argv);
	(void)fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_RUN);
}

static void reap(struct child *child)
{
	if (waitpid(child->pid, &child->status, WNOHANG) == child->pid)
		child->over = true;
}

/* A terminal sends its signals (SI_KERNEL) to the program as well: passing them on would double
 * them. */
static void on_signal(struct child *child)
{
	struct signalfd_siginfo info;

	while (!child->over && read(child->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(child);
		else if (info.ssi_code != SI_KERNEL)
			(void)kill(child->pid, (int)info.ssi_signo);
	}
}

static void await(struct child *child)
{
	while (!child->over) {
		struct pollfd waits[] = {{.fd = child->signals, .events = POLLIN},
			{.fd = child->held, .events = POLLIN}};
		int ready = poll(waits, 2, child->terminated ? TERMINATE_MS : -1);

		if (ready == 0) {
			(void)kill(child->pid, SIGKILL);
		} else if (ready > 0 && waits[1].revents) {
			child->held = -1;
			child->terminated = true;
			(void)kill(child->pid, SIGTERM);
		}
		on_signal(child);
	}
}

static int explain(const struct child *child, const char *name, struct err *err)
{
	if (WIFEXITED(child->status) && WEXITSTATUS(child->status) == 0)
		return 0;
	if (WIFEXITED(child->status))
		return err_set(err, -ECHILD, ERR_INTERNAL, "%s: exited with %d", name,
			WEXITSTATUS(child->status));
	return err_set(err, -ECHILD, ERR_INTERNAL, "%s: ended by signal %d (%s)", name,
		WTERMSIG(child->status), strsignal(WTERMSIG(child->status)));
}

int child_run(
	char *const argv[], json_object *environment, int held, bool *ret_ended, struct err *err)
{
	static const int forwarded[] = FORWARDED_SIGNALS;
	const struct sigaction usual = {.sa_handler = SIG_DFL};
	struct child child = {.held = held};
	pid_t self = getpid();
	sigset_t mask, before;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGCHLD);
	for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
		(void)sigaddset(&mask, forwarded[i]);
	/* Ignored, as it may be inherited, it would leave no status to wait for. */
	(void)sigaction(SIGCHLD, &usual, NULL);
	child.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (child.signals < 0)
		return err_set_errno(err, -errno, "signalfd");
	(void)sigprocmask(SIG_BLOCK, &mask, &before);
	(void)fflush(stdout);
	child.pid = fork();
	if (child.pid == 0)
		become(argv, environment, &before, self);
	if (child.pid > 0)
		await(&child);
	else
		err_set_errno(err, -errno, "fork");
	close(child.signals);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (child.pid < 0)
		return err ? err->code : -EAGAIN;
	*ret_ended = child.terminated;
	return explain(&child, argv[0], err);
}
