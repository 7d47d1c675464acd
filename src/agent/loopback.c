/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/loopback.h"

#include <errno.h>
#include <linux/in6.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "core/err.h"

/* A port that is free for IPv4 may be taken for IPv6. */
#define ATTEMPTS 16
/* Connections that wait for accept(2): a burst of a busy service. */
#define BACKLOG 4096

static int set(int fd, int level, int option)
{
	const int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on)) < 0 ? -errno : 0;
}

static int set_options(int fd, bool v6, int type)
{
	int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
	int r = set(fd, level, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT);

	if (r == 0 && v6)
		r = set(fd, level, IPV6_V6ONLY);
	if (r == 0 && type == SOCK_DGRAM)
		r = set(fd, level, v6 ? IPV6_RECVORIGDSTADDR : IP_RECVORIGDSTADDR);
	return r;
}

/* Accepted connections have SO_REUSEADDR from here and sit on the app's port: without it an app
 * that restarts could not bind its port while one of them lives. */
static int start_listening(int fd)
{
	int r = set(fd, SOL_SOCKET, SO_REUSEADDR);

	return r == 0 && listen(fd, BACKLOG) < 0 ? -errno : r;
}

static int open_one(bool v6, int type, uint16_t port, int *ret_fd)
{
	const uint8_t net127[] = {127, 0, 0, 1};
	struct ip_endpoint endpoint = {.port = port};
	struct sockaddr_storage sa;
	socklen_t len;
	auto_close int fd = socket(v6 ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	r = set_options(fd, v6, type);
	if (r < 0)
		return r;
	endpoint.addr = v6 ? ip_addr_from_bytes(AF_INET6, &in6addr_loopback)
			   : ip_addr_from_bytes(AF_INET, net127);
	len = ip_endpoint_to_sockaddr(&endpoint, &sa);
	if (bind(fd, (const struct sockaddr *)&sa, len) < 0)
		return -errno;
	r = type == SOCK_STREAM ? start_listening(fd) : 0;
	if (r < 0)
		return r;
	*ret_fd = take_fd(&fd);
	return 0;
}

static int port_of(int fd, uint16_t *ret_port)
{
	struct ip_endpoint endpoint;
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int r;

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	r = ip_endpoint_from_sockaddr((const struct sockaddr *)&sa, &endpoint);
	if (r == 0)
		*ret_port = endpoint.port;
	return r;
}

static bool lacks_family(int r)
{
	return r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL;
}

/* -EADDRINUSE: another port may do. */
static int open_both(int type, int ret_fds[static LOOPBACK_SOCKETS], uint16_t *ret_port)
{
	auto_close int v4 = -1, v6 = -1;
	uint16_t port = 0;
	int r = open_one(false, type, 0, &v4);

	if (r == 0)
		r = port_of(v4, &port);
	if (r < 0 && !lacks_family(r))
		return r;
	r = open_one(true, type, port, &v6);
	if (r == 0)
		r = port_of(v6, &port);
	if (r < 0 && (v4 < 0 || !lacks_family(r)))
		return r;
	ret_fds[0] = take_fd(&v4);
	ret_fds[1] = take_fd(&v6);
	*ret_port = port;
	return 0;
}

int loopback_open(
	int type, int ret_fds[static LOOPBACK_SOCKETS], uint16_t *ret_port, struct err *err)
{
	int r = -EADDRINUSE;

	for (int i = 0; i < ATTEMPTS && r == -EADDRINUSE; i++)
		r = open_both(type, ret_fds, ret_port);
	return r < 0 ? err_set_errno(err, r, "sockets for redirected packets") : 0;
}

bool loopback_is(const struct ip_addr *addr)
{
	return addr->family == AF_INET
		       ? addr->bytes[0] == 127
		       : memcmp(addr->bytes, &in6addr_loopback, sizeof(in6addr_loopback)) == 0;
}
