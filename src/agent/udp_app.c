/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/udp_app.h"

#include <errno.h>
#include <sys/socket.h>

#include "agent/engine.h"
#include "core/alloc.h"
#include "tunnel/capsule.h"

/* Answers taken per wake-up of the loop. */
#define RECEIVE_BATCH 64

struct udp_app {
	uv_poll_t poll;
	int fd;
	void (*on_answer)(void *user, const uint8_t *payload, size_t len);
	void *user;
};

static void on_poll(uv_poll_t *poll, int status, int events UNUSED)
{
	struct udp_app *app = container_of(poll, struct udp_app, poll);
	uint8_t data[CAPSULE_PAYLOAD_MAX_BYTES];

	for (int i = 0; i < RECEIVE_BATCH; i++) {
		ssize_t n = recv(app->fd, data, sizeof(data), MSG_DONTWAIT);

		if (n >= 0)
			app->on_answer(app->user, data, (size_t)n);
		else if (errno == EAGAIN)
			break;
		/* Else the app's ICMP error. */
	}
	/* libuv has stopped it on that error. */
	if (status < 0)
		(void)uv_poll_start(poll, UV_READABLE, on_poll);
}

int udp_app_open(uv_loop_t *loop, const struct ip_endpoint *target,
	void (*on_answer)(void *user, const uint8_t *payload, size_t len), void *user,
	struct udp_app **ret_app)
{
	const uint32_t mark = INTERCEPT_MARK;
	struct sockaddr_storage sa;
	socklen_t len = ip_endpoint_to_sockaddr(target, &sa);
	auto_close int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct udp_app *app;
	int r;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ||
		connect(fd, (const struct sockaddr *)&sa, len) < 0)
		return -errno;
	app = XNEW(struct udp_app);
	app->on_answer = on_answer;
	app->user = user;
	r = uv_poll_init(loop, &app->poll, fd);
	if (r < 0) {
		free(app);
		return r;
	}
	app->fd = take_fd(&fd);
	(void)uv_poll_start(&app->poll, UV_READABLE, on_poll);
	*ret_app = app;
	return 0;
}

void udp_app_send(struct udp_app *app, const uint8_t *payload, size_t len)
{
	/* The first call may only report the ICMP error of an earlier datagram. */
	if (send(app->fd, payload, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == ECONNREFUSED)
		(void)send(app->fd, payload, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void on_closed(uv_handle_t *handle)
{
	free(container_of(handle, struct udp_app, poll));
}

void udp_app_close(struct udp_app *app)
{
	if (!app)
		return;
	uv_close((uv_handle_t *)&app->poll, on_closed);
	close(app->fd);
}
