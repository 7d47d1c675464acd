/* SPDX-License-Identifier: Apache-2.0 */
/* The command line against a user daemon that stands still: every wait ends, and one command ends
 * the daemon. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/cli/command.h"
#include "client/cli/daemon.h"
#include "client/userd/proto.h"
#include "core/err.h"

#define TIMEOUT_MS 200

static void on_alarm(int number UNUSED)
{
}

/* Signals of a time-out's length, one of which comes while it waits. */
static void a_signal_does_not_make_a_wait_endless(void **state UNUSED)
{
	/* No SA_RESTART: the wait is interrupted. */
	const struct sigaction interrupt = {.sa_handler = on_alarm};
	const struct itimerval soon = {.it_value = {.tv_usec = TIMEOUT_MS * 1000 / 4}};
	struct cli cli = {.format = OUTPUT_JSON};
	struct err err = ERR_INIT;
	json_object *result = NULL;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(sigaction(SIGALRM, &interrupt, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
	assert_int_equal(daemon_end(&cli, pair[0], TIMEOUT_MS, &result, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.msg, "quit -s"));
	close(pair[0]);
	close(pair[1]);
}

/* Listens in this network namespace and never looks at who comes. */
static pid_t deaf_daemon(void)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct sockaddr_un address;
		socklen_t len = userd_address(getuid(), &address);
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0 || bind(fd, (const struct sockaddr *)&address, len) < 0 ||
			listen(fd, 1) < 0 || write(ready[1], "", 1) != 1)
			_exit(EXIT_FAILURE);
		for (;;)
			(void)pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void a_daemon_that_stands_still_is_ended(void **state UNUSED)
{
	struct cli cli = {.format = OUTPUT_JSON};
	struct err err = ERR_INIT;
	json_object *result = NULL;
	pid_t pid;
	int status = 0;

	/* A place of its own for the daemon's name. */
	assert_int_equal(unshare(CLONE_NEWUSER | CLONE_NEWNET), 0);
	assert_int_equal(daemon_stop(&cli, TIMEOUT_MS, &result, &err), -ECONNREFUSED);
	pid = deaf_daemon();
	err = (struct err)ERR_INIT;
	assert_int_equal(
		daemon_call(&cli, daemon_request("status"), TIMEOUT_MS, &result, &err), -ETIMEDOUT);
	assert_int_equal(daemon_stop(&cli, TIMEOUT_MS, &result, &err), 0);
	assert_null(result);
	assert_int_equal(err.code, 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signal_does_not_make_a_wait_endless),
		cmocka_unit_test(a_daemon_that_stands_still_is_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
