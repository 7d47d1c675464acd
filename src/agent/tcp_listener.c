/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tcp_listener.h"

#include <sys/socket.h>

#include "agent/loopback.h"
#include "core/alloc.h"
#include "net/addr.h"
#include "net/socket.h"
#include "tunnel/listener.h"

struct tcp_socket {
	struct tcp_listener *owner;
	struct listener listener;
};

struct tcp_listener {
	struct tcp_socket sockets[LOOPBACK_SOCKETS];
	unsigned int open; /* the first ones */
	uint16_t port;
	tcp_accept_fn on_accept;
	void *user;
};

static bool get_name(int (*getname)(int, struct sockaddr *, socklen_t *), int fd,
	struct ip_endpoint *ret_endpoint)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	return getname(fd, (struct sockaddr *)&sa, &len) == 0 &&
	       ip_endpoint_from_sockaddr((const struct sockaddr *)&sa, ret_endpoint) == 0;
}

static void on_accept(struct listener *listener, int fd)
{
	struct tcp_socket *socket = container_of(listener, struct tcp_socket, listener);
	struct tcp_listener *owner = socket->owner;
	struct ip_endpoint source, target;

	if (!get_name(getpeername, fd, &source) || !get_name(getsockname, fd, &target) ||
		loopback_is(&target.addr))
		socket_reset(fd);
	else
		owner->on_accept(owner->user, fd, &source, &target);
}

static void on_stopped(struct listener *listener)
{
	struct tcp_listener *owner = container_of(listener, struct tcp_socket, listener)->owner;

	if (--owner->open == 0)
		free(owner);
}

static void start(struct tcp_listener *owner, uv_loop_t *loop, int fd)
{
	static const struct listener_events events = {
		.on_accept = on_accept, .on_stopped = on_stopped};

	struct tcp_socket *socket = &owner->sockets[owner->open++];

	socket->owner = owner;
	listener_start_fd(&socket->listener, loop, fd, &events);
}

int tcp_listener_open(uv_loop_t *loop, tcp_accept_fn on_accept_fn, void *user,
	struct tcp_listener **ret_listener, struct err *err)
{
	struct tcp_listener *listener;
	int fds[LOOPBACK_SOCKETS];
	uint16_t port;
	int r = loopback_open(SOCK_STREAM, fds, &port, err);

	if (r < 0)
		return r;
	listener = XNEW(struct tcp_listener);
	listener->on_accept = on_accept_fn;
	listener->user = user;
	listener->port = port;
	for (size_t i = 0; i < LOOPBACK_SOCKETS; i++) {
		if (fds[i] >= 0)
			start(listener, loop, fds[i]);
	}
	*ret_listener = listener;
	return 0;
}

uint16_t tcp_listener_port(const struct tcp_listener *listener)
{
	return listener->port;
}

void tcp_listener_close(struct tcp_listener *listener)
{
	unsigned int count = listener ? listener->open : 0;

	for (unsigned int i = 0; i < count; i++)
		listener_stop(&listener->sockets[i].listener);
}
