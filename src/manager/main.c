/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <unistd.h>
#include <uv.h>

#include "core/err.h"
#include "core/log.h"
#include "manager/service.h"

/* Of what is closed, after the time of what was open (docs/manager.md). */
#define EXIT_DEADLINE_MS 1200
#define EXIT_LOOK_MS     100

struct program {
	struct service *service;
	uv_signal_t terminate, interrupt;
	uv_timer_t deadline;
	unsigned int closed_looks; /* since everything is closed */
};

/* A name that the pool's threads still resolve may take seconds; libuv would wait for them. */
static void on_deadline(uv_timer_t *timer)
{
	struct program *program = timer->data;

	if (!service_is_closed(program->service) ||
		++program->closed_looks * EXIT_LOOK_MS < EXIT_DEADLINE_MS)
		return;
	log_info("not everything closed in time", "deadline_ms=%d", EXIT_DEADLINE_MS);
	_exit(0);
}

static void close_signals(struct program *program)
{
	uv_close((uv_handle_t *)&program->terminate, NULL);
	uv_close((uv_handle_t *)&program->interrupt, NULL);
}

static void on_signal(uv_signal_t *handle, int number UNUSED)
{
	struct program *program = handle->data;

	/* A second signal finds the default disposition and ends the process at once. */
	close_signals(program);
	(void)uv_timer_start(&program->deadline, on_deadline, EXIT_LOOK_MS, EXIT_LOOK_MS);
	uv_unref((uv_handle_t *)&program->deadline);
	service_stop(program->service);
}

static void start_signals(struct program *program, uv_loop_t *loop)
{
	(void)uv_timer_init(loop, &program->deadline);
	(void)uv_signal_init(loop, &program->terminate);
	(void)uv_signal_init(loop, &program->interrupt);
	program->terminate.data = program;
	program->interrupt.data = program;
	program->deadline.data = program;
	(void)uv_signal_start(&program->terminate, on_signal, SIGTERM);
	(void)uv_signal_start(&program->interrupt, on_signal, SIGINT);
}

int main(int argc, char **argv)
{
	uv_loop_t *loop = uv_default_loop();
	struct manager_options options;
	struct program program = {.service = NULL};
	struct err err = ERR_INIT;
	int r;

	manager_options_parse(argc, argv, &options);
	log_init("traffic-manager", STDERR_FILENO, LOG_FORMAT_JSON, options.log_level);
	/* A socket whose peer went is noticed by EPIPE. */
	(void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	r = service_start(loop, &options, &program.service, &err);
	if (r < 0) {
		log_error("start failed", "error=%s", err.msg);
	} else {
		start_signals(&program, loop);
		log_info("serving", "version=%s port=%u", TP_VERSION, options.port);
	}
	(void)uv_run(loop, UV_RUN_DEFAULT);
	service_free(program.service);
	return r < 0 ? err_exit_code(err.kind) : 0;
}
