/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/userd.h"

#include <errno.h>
#include <signal.h>

#include "client/userd/rootlink.h"
#include "client/userd/server.h"
#include "client/userd/session.h"
#include "client/userd/userd_priv.h"
#include "client/userd/waits.h"
#include "core/err.h"
#include "core/log.h"
#include "core/nofile.h"

/* What is closing after the loop was stopped gets this many turns of it. */
#define DRAIN_TURNS 100

static void on_signal(uv_signal_t *signal, int number)
{
	struct userd *userd = signal->data;

	log_info("ending", "signal=%d", number);
	if (userd->stopping) {
		uv_stop(&userd->loop);
		return;
	}
	userd->stopping = true;
	userd_disconnect(userd);
}

static void close_handle(uv_handle_t *handle, void *user UNUSED)
{
	if (!uv_is_closing(handle))
		log_debug(
			"handle is open at the end", "type=%s", uv_handle_type_name(handle->type));
}

static void tear_down(struct userd *userd)
{
	userd_waits_end(userd);
	if (userd->uninstall.peer)
		userd_uninstall_cancel(userd);
	session_free(TAKE_PTR(userd->session));
	root_link_close(TAKE_PTR(userd->root), NULL, NULL);
	userd_server_free(TAKE_PTR(userd->server));
	uv_close((uv_handle_t *)&userd->idle, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(userd->signals); i++)
		uv_close((uv_handle_t *)&userd->signals[i], NULL);
	for (int i = 0; i < DRAIN_TURNS && uv_run(&userd->loop, UV_RUN_NOWAIT) != 0; i++)
		;
	uv_walk(&userd->loop, close_handle, NULL);
	(void)uv_loop_close(&userd->loop);
}

static void start_signals(struct userd *userd)
{
	static const int numbers[ARRAY_SIZE(userd->signals)] = {SIGTERM, SIGINT};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		(void)uv_signal_init(&userd->loop, &userd->signals[i]);
		userd->signals[i].data = userd;
		(void)uv_signal_start(&userd->signals[i], on_signal, numbers[i]);
	}
}

static void ignore_signals(void)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};

	(void)sigaction(SIGPIPE, &ignore, NULL);
	(void)sigaction(SIGHUP, &ignore, NULL);
}

int userd_run(int ready_fd, struct err *err)
{
	static const struct userd_server_events events = {
		.on_request = userd_request, .on_gone = userd_peer_gone};
	static struct userd userd;
	int r;

	resident_init();
	r = uv_loop_init(&userd.loop);
	if (r < 0)
		return err_set_errno(err, r, "event loop");
	ignore_signals();
	if (nofile_raise() < 0)
		log_warn("descriptor limit not raised", "errno=%d", errno);
	r = userd_server_new(&userd.loop, &events, &userd, &userd.server, err);
	if (r < 0) {
		(void)uv_loop_close(&userd.loop);
		return r;
	}
	start_signals(&userd);
	(void)uv_timer_init(&userd.loop, &userd.idle);
	log_info("serving", "version=%s", TP_VERSION);
	if (ready_fd >= 0) {
		(void)!write(ready_fd, "", 1);
		close(ready_fd);
	}
	(void)uv_run(&userd.loop, UV_RUN_DEFAULT);
	tear_down(&userd);
	log_info("ended", "version=%s", TP_VERSION);
	return 0;
}
