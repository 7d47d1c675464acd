/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "client/cli/child.h"
#include "core/err.h"

static int run(
	const char *script, json_object *environment, int held, bool *ret_ended, struct err *err)
{
	char sh[] = "sh", flag[] = "-c", text[512];
	char *argv[] = {sh, flag, text, NULL};

	(void)snprintf(text, sizeof(text), "%s", script);
	return child_run(argv, environment, held, ret_ended, err);
}

static void the_status_is_told(void **state)
{
	struct err err = ERR_INIT;
	bool ended = false;

	(void)state;
	assert_int_equal(run("exit 0", NULL, -1, &ended, &err), 0);
	assert_int_equal(run("exit 7", NULL, -1, &ended, &err), -ECHILD);
	assert_string_equal(err.msg, "sh: exited with 7");
	assert_int_equal(err_exit_code(err.kind), 1);
	assert_int_equal(run("kill -9 $$", NULL, -1, &ended, &err), -ECHILD);
	assert_non_null(strstr(err.msg, "ended by signal 9"));
	assert_false(ended);
}

static void the_remote_environment_covers_the_local_one(void **state)
{
	json_object *environment = json_tokener_parse("{\"REMOTE\": \"r $x\\n\", \"BOTH\": \"r\"}");
	const char *script = "test \"$REMOTE\" = 'r $x\n' && test $BOTH = r && test $LOCAL = l";
	bool ended = false;

	(void)state;
	(void)setenv("LOCAL", "l", 1);
	(void)setenv("BOTH", "l", 1);
	assert_int_equal(run(script, environment, -1, &ended, NULL), 0);
	assert_string_equal(getenv("BOTH"), "l");
	json_object_put(environment);
}

static void signals_reach_the_program(void **state)
{
	/* The program waits for the signal that it sends to its parent: this process passes it on.
	 */
	const char *script = "trap 'exit 9' USR1; kill -USR1 $PPID; while :; do :; done";
	struct err err = ERR_INIT;
	bool ended = false;

	(void)state;
	assert_int_equal(run(script, NULL, -1, &ended, &err), -ECHILD);
	assert_string_equal(err.msg, "sh: exited with 9");
}

static void the_end_of_its_reason_ends_it(void **state)
{
	char script[128];
	int fds[2];
	bool ended = false;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	/* The program itself makes the descriptor readable, once it is ready to be terminated. */
	(void)snprintf(script, sizeof(script),
		"trap 'exit 0' TERM; echo ready >&%d; while :; do :; done", fds[1]);
	assert_int_equal(run(script, NULL, fds[0], &ended, NULL), 0);
	assert_true(ended);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void inherited_ignorance_of_children_does_no_harm(void **state)
{
	bool ended = false;

	(void)state;
	(void)sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	assert_int_equal(run("exit 0", NULL, -1, &ended, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_status_is_told),
		cmocka_unit_test(the_remote_environment_covers_the_local_one),
		cmocka_unit_test(signals_reach_the_program),
		cmocka_unit_test(the_end_of_its_reason_ends_it),
		cmocka_unit_test(inherited_ignorance_of_children_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
