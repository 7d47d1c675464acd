/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/selftest.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/alloc.h"
#include "core/err.h"

struct selftest {
	uv_process_t process;
	uv_timer_t timer;
	unsigned int open_handles;
	int spawned; /* 0, or why it could not be */
	bool timed_out;
	selftest_fn on_done; /* NULL: cancelled or told */
	void *user;
};

static void on_closed(uv_handle_t *handle)
{
	struct selftest *test = handle->data;

	if (--test->open_handles == 0)
		free(test);
}

static void tell(struct selftest *test, int r)
{
	selftest_fn on_done = test->on_done;

	test->on_done = NULL;
	if (on_done)
		on_done(test->user, r);
}

static void close_handles(struct selftest *test)
{
	uv_close((uv_handle_t *)&test->timer, on_closed);
	uv_close((uv_handle_t *)&test->process, on_closed);
}

static void on_exit_status(uv_process_t *process, int64_t status, int signal)
{
	struct selftest *test = process->data;

	close_handles(test);
	if (test->timed_out)
		tell(test, -ETIMEDOUT);
	else if (signal == 0 && status == err_exit_code(ERR_UNREACHABLE))
		tell(test, -EHOSTUNREACH);
	else if (signal == 0 && status == err_exit_code(ERR_CONFLICT))
		tell(test, -ECONNREFUSED);
	else
		tell(test, status == 0 && signal == 0 ? 0 : -ENOENT);
}

static void on_timer(uv_timer_t *timer)
{
	struct selftest *test = timer->data;

	if (test->spawned < 0) {
		close_handles(test);
		tell(test, test->spawned);
		return;
	}
	test->timed_out = true;
	(void)uv_process_kill(&test->process, SIGKILL);
}

struct selftest *selftest_start(uv_loop_t *loop, const char *name, selftest_fn on_done, void *user)
{
	struct selftest *test = XNEW(struct selftest);
	char program[] = "telepresence", command[] = "lookup";
	auto_free char *copy = xstrdup(name);
	char *argv[] = {program, command, copy, NULL};
	uv_process_options_t options = {
		.file = "/proc/self/exe", .args = argv, .exit_cb = on_exit_status};

	test->on_done = on_done;
	test->user = user;
	test->open_handles = 2;
	test->process.data = test;
	(void)uv_timer_init(loop, &test->timer);
	test->timer.data = test;
	test->spawned = uv_spawn(loop, &test->process, &options);
	(void)uv_timer_start(&test->timer, on_timer, test->spawned < 0 ? 0 : SELFTEST_MS, 0);
	return test;
}

void selftest_cancel(struct selftest *test)
{
	if (!test)
		return;
	test->on_done = NULL;
	/* Its exit closes the handles. */
	if (test->spawned == 0)
		(void)uv_process_kill(&test->process, SIGKILL);
}
