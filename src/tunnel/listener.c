/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/listener.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "core/err.h"
#include "core/log.h"
#include "net/addr.h"

/* Connections taken per wake-up of the loop. */
#define ACCEPT_BATCH 64
/* Out of descriptors or memory: others must give some back first. */
#define ACCEPT_PAUSE_MS 100

static void on_listen(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
	struct listener *listener = container_of(timer, struct listener, pause);

	uv_poll_start(&listener->poll, UV_READABLE, on_listen);
}

static void pause_accept(struct listener *listener)
{
	log_warn("cannot accept", "why=\"%s\"", strerror(errno));
	uv_poll_stop(&listener->poll);
	uv_timer_start(&listener->pause, on_pause_over, ACCEPT_PAUSE_MS, 0);
}

static void on_listen(uv_poll_t *poll, int status, int events)
{
	struct listener *listener = container_of(poll, struct listener, poll);
	int fd;

	(void)status, (void)events;
	for (int i = 0; i < ACCEPT_BATCH && !listener->stopping; i++) {
		fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
				      errno == ENOMEM)) {
			pause_accept(listener);
			return;
		}
		if (fd < 0 && errno == EAGAIN)
			return;
		if (fd < 0)
			continue; /* that connection is gone already (accept(2)) */
		listener->events.on_accept(listener, fd);
	}
}

static int bind_any(int family, uint16_t port, int *ret_fd)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	auto_close int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, off = 0, r;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	if (family == AF_INET6) {
		if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0)
			return -errno;
		r = bind(fd, (const struct sockaddr *)&v6, sizeof(v6));
	} else {
		r = bind(fd, (const struct sockaddr *)&v4, sizeof(v4));
	}
	if (r < 0 || listen(fd, SOMAXCONN) < 0)
		return -errno;
	*ret_fd = take_fd(&fd);
	return 0;
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	struct ip_endpoint endpoint = {0};

	if (getsockname(fd, (struct sockaddr *)&address, &len) == 0 &&
		ip_endpoint_from_sockaddr((const struct sockaddr *)&address, &endpoint) == 0)
		return endpoint.port;
	return 0;
}

int listener_source(int fd, struct ip_endpoint *ret_source)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (getpeername(fd, (struct sockaddr *)&address, &len) < 0)
		return -errno;
	return ip_endpoint_from_sockaddr((const struct sockaddr *)&address, ret_source);
}

void listener_start_fd(
	struct listener *listener, uv_loop_t *loop, int fd, const struct listener_events *events)
{
	*listener = (struct listener){
		.events = *events, .fd = fd, .port = bound_port(fd), .open_handles = 2};
	uv_timer_init(loop, &listener->pause);
	uv_poll_init(loop, &listener->poll, fd);
	uv_poll_start(&listener->poll, UV_READABLE, on_listen);
}

int listener_start(struct listener *listener, uv_loop_t *loop, uint16_t port,
	const struct listener_events *events, struct err *err)
{
	int fd = -1;
	int r = bind_any(AF_INET6, port, &fd);

	if (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)
		r = bind_any(AF_INET, port, &fd);
	if (r < 0)
		return err_set_errno(err, r, "listen on port %u", port);
	listener_start_fd(listener, loop, fd, events);
	return 0;
}

static void handle_closed(struct listener *listener)
{
	if (--listener->open_handles == 0)
		listener->events.on_stopped(listener);
}

static void on_poll_closed(uv_handle_t *handle)
{
	handle_closed(container_of(handle, struct listener, poll));
}

static void on_pause_closed(uv_handle_t *handle)
{
	handle_closed(container_of(handle, struct listener, pause));
}

void listener_stop(struct listener *listener)
{
	if (listener->stopping)
		return;
	listener->stopping = true;
	uv_close((uv_handle_t *)&listener->poll, on_poll_closed);
	uv_close((uv_handle_t *)&listener->pause, on_pause_closed);
	close(listener->fd);
}
