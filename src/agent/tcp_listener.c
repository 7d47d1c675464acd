/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tcp_listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "agent/tcp_flow.h"
#include "core/alloc.h"
#include "core/err.h"
#include "net/addr.h"
#include "tunnel/listener.h"

/* The kernel picks the IPv4 port; the same one may be taken in IPv6. */
#define PORT_TRIES 16
/* Connections that wait for accept(2): a burst of a busy service. */
#define BACKLOG 4096

struct tcp_socket {
	struct tcp_listener *owner;
	struct listener listener;
};

struct tcp_listener {
	struct tcp_socket sockets[2]; /* IPv4, IPv6 */
	unsigned int open;
	uint16_t port;
	tcp_accept_fn on_accept;
	void *user;
};

static int open_socket(int family, uint16_t port, int *ret_fd)
{
	struct ip_endpoint loopback = {.addr.family = (uint8_t)family, .port = port};
	struct sockaddr_storage sa;
	auto_close int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const struct in_addr loopback4 = {htonl(INADDR_LOOPBACK)};
	int on = 1, r;

	if (fd < 0)
		return -errno;
	if (family == AF_INET)
		loopback.addr = ip_addr_from_bytes(AF_INET, &loopback4);
	else
		loopback.addr = ip_addr_from_bytes(AF_INET6, &in6addr_loopback);
	loopback.port = port;
	r = family == AF_INET ? setsockopt(fd, SOL_IP, IP_TRANSPARENT, &on, sizeof(on))
			      : setsockopt(fd, SOL_IPV6, IPV6_TRANSPARENT, &on, sizeof(on));
	if (r < 0 ||
		(family == AF_INET6 && setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0))
		return -errno;
	if (bind(fd, (const struct sockaddr *)&sa, ip_endpoint_to_sockaddr(&loopback, &sa)) < 0)
		return -errno;
	/* Accepted connections have it from here and sit on the app's port: without it an app that
	 * restarts could not bind its port while one of them lives. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		listen(fd, BACKLOG) < 0)
		return -errno;
	*ret_fd = take_fd(&fd);
	return 0;
}

static bool get_name(int (*getname)(int, struct sockaddr *, socklen_t *), int fd,
	struct ip_endpoint *ret_endpoint)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	return getname(fd, (struct sockaddr *)&sa, &len) == 0 &&
	       ip_endpoint_from_sockaddr((const struct sockaddr *)&sa, ret_endpoint) == 0;
}

static bool is_loopback(const struct ip_addr *addr)
{
	return addr->family == AF_INET
		       ? addr->bytes[0] == 127
		       : memcmp(addr->bytes, &in6addr_loopback, sizeof(in6addr_loopback)) == 0;
}

static void on_accept(struct listener *listener, int fd)
{
	struct tcp_socket *socket = container_of(listener, struct tcp_socket, listener);
	struct tcp_listener *owner = socket->owner;
	struct ip_endpoint source, target;

	if (!get_name(getpeername, fd, &source) || !get_name(getsockname, fd, &target) ||
		is_loopback(&target.addr))
		tcp_reset(fd);
	else
		owner->on_accept(owner->user, fd, &source, &target);
}

static void on_stopped(struct listener *listener)
{
	struct tcp_listener *owner = container_of(listener, struct tcp_socket, listener)->owner;

	if (--owner->open == 0)
		free(owner);
}

static void start(struct tcp_listener *owner, uv_loop_t *loop, unsigned int i, int fd)
{
	static const struct listener_events events = {
		.on_accept = on_accept, .on_stopped = on_stopped};

	owner->sockets[i].owner = owner;
	listener_start_fd(&owner->sockets[i].listener, loop, fd, &events);
	owner->open++;
}

/* Both sockets on one port; ret_v6 is -1 where the pod has no IPv6. */
static int open_pair(int *ret_v4, int *ret_v6)
{
	auto_close int v4 = -1, v6 = -1;
	struct ip_endpoint name;
	int r = open_socket(AF_INET, 0, &v4);

	if (r < 0)
		return r;
	if (!get_name(getsockname, v4, &name))
		return -errno;
	r = open_socket(AF_INET6, name.port, &v6);
	if (r < 0 && r != -EAFNOSUPPORT && r != -EADDRNOTAVAIL)
		return r;
	*ret_v4 = take_fd(&v4);
	*ret_v6 = take_fd(&v6);
	return 0;
}

int tcp_listener_open(uv_loop_t *loop, tcp_accept_fn on_accept_fn, void *user,
	struct tcp_listener **ret_listener, struct err *err)
{
	struct tcp_listener *listener;
	int v4 = -1, v6 = -1, r = -EADDRINUSE;

	for (int i = 0; i < PORT_TRIES && r == -EADDRINUSE; i++)
		r = open_pair(&v4, &v6);
	if (r < 0)
		return err_set_errno(err, r, "listening for redirected connections");
	listener = XNEW(struct tcp_listener);
	listener->on_accept = on_accept_fn;
	listener->user = user;
	start(listener, loop, 0, v4);
	listener->port = listener->sockets[0].listener.port;
	if (v6 >= 0)
		start(listener, loop, 1, v6);
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
