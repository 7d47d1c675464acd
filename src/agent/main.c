/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/crypto.h>
#include <signal.h>
#include <unistd.h>
#include <uv.h>

#include "agent/options.h"
#include "agent/program.h"
#include "agent/sandbox.h"
#include "core/err.h"
#include "core/log.h"
#include "core/nofile.h"

/* The rules are gone by then: what is left are goodbyes. */
#define EXIT_DEADLINE_MS 200

struct signals {
	struct program *program;
	uv_signal_t terminate, interrupt;
	uv_timer_t deadline;
};

static void on_deadline(uv_timer_t *timer UNUSED)
{
	_exit(0);
}

static void on_signal(uv_signal_t *handle, int number UNUSED)
{
	struct signals *signals = handle->data;

	/* A second one of them ends it at once. */
	uv_signal_stop(handle);
	if (!program_drain(signals->program))
		(void)uv_timer_start(&signals->deadline, on_deadline, EXIT_DEADLINE_MS, 0);
}

/* None of these keeps the loop running. */
static void start_signals(struct signals *signals, uv_loop_t *loop)
{
	(void)uv_timer_init(loop, &signals->deadline);
	(void)uv_signal_init(loop, &signals->terminate);
	(void)uv_signal_init(loop, &signals->interrupt);
	signals->terminate.data = signals;
	signals->interrupt.data = signals;
	(void)uv_signal_start(&signals->terminate, on_signal, SIGTERM);
	(void)uv_signal_start(&signals->interrupt, on_signal, SIGINT);
	uv_unref((uv_handle_t *)&signals->deadline);
	uv_unref((uv_handle_t *)&signals->terminate);
	uv_unref((uv_handle_t *)&signals->interrupt);
}

static int start(struct signals *signals, const struct agent_options *options, struct err *err)
{
	uv_loop_t *loop = uv_default_loop();
	int r = program_start(loop, options, &signals->program, err);

	if (r < 0)
		return r;
	start_signals(signals, loop);
	/* The first line of a log makes glibc look for a time zone: afterwards no file is opened.
	 */
	log_info("started", "version=%s container=%s", TP_VERSION, options->container);
	r = sandbox_enter(err);
	if (r < 0)
		program_stop(signals->program);
	return r;
}

int main(int argc, char **argv)
{
	struct agent_options options;
	struct signals signals = {.program = NULL};
	struct err err = ERR_INIT;
	int code = 0, r;

	agent_options_parse(argc, argv, &options);
	log_init("traffic-agent", STDERR_FILENO, LOG_FORMAT_JSON, options.log_level);
	/* A socket whose peer went is noticed by EPIPE. */
	(void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	/* There is no openssl.cnf in the image, and nothing of one is wanted. */
	(void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	/* An intercepted connection needs two to six: its own, the app's, and pipes between them.
	 */
	(void)nofile_raise();
	r = start(&signals, &options, &err);
	if (r < 0)
		log_error("start failed", "error=\"%s\"", err.msg);
	(void)uv_run(uv_default_loop(), UV_RUN_DEFAULT);
	code = r < 0 ? err_exit_code(err.kind) : program_exit_code(signals.program);
	program_free(signals.program);
	return code;
}
