/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "net/addr.h"

/* A free UDP port is seldom taken in TCP; this many times in a row it is not chance. */
#define BIND_TRIES 32

static struct ip_endpoint loopback(unsigned int family, uint16_t port)
{
	struct ip_endpoint ep = {.port = port};
	struct in_addr v4 = {.s_addr = htonl(INADDR_LOOPBACK)};

	ep.addr = family == 0 ? ip_addr_from_bytes(AF_INET, &v4)
			      : ip_addr_from_bytes(AF_INET6, &in6addr_loopback);
	return ep;
}

static int share(int fd)
{
	int on = 1;

	return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ? -errno : 0;
}

/* A bound socket, and the port it got. shared: with those that have the port. fd or -errno. */
static int bind_socket(unsigned int family, int type, bool shared, uint16_t *port)
{
	struct ip_endpoint ep = loopback(family, *port);
	struct sockaddr_storage sa;
	socklen_t len = ip_endpoint_to_sockaddr(&ep, &sa);
	auto_close int fd = socket(sa.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || (shared && share(fd) < 0) ||
		bind(fd, (const struct sockaddr *)&sa, len) < 0 ||
		getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	if (ip_endpoint_from_sockaddr((const struct sockaddr *)&sa, &ep) < 0)
		return -EAFNOSUPPORT;
	*port = ep.port;
	return take_fd(&fd);
}

static void init(struct dns_sockets *sockets)
{
	*sockets = (struct dns_sockets){.families = 0};
	for (unsigned int i = 0; i < DNS_FAMILIES; i++) {
		for (unsigned int j = 0; j < DNS_UDP_SOCKETS; j++)
			sockets->udp[i][j] = -1;
		sockets->tcp[i] = -1;
	}
}

void dns_sockets_close(struct dns_sockets *sockets)
{
	for (unsigned int i = 0; i < DNS_FAMILIES; i++) {
		for (unsigned int j = 0; j < DNS_UDP_SOCKETS; j++) {
			if (sockets->udp[i][j] >= 0)
				close(take_fd(&sockets->udp[i][j]));
		}
		if (sockets->tcp[i] >= 0)
			close(take_fd(&sockets->tcp[i]));
	}
}

/* The first has the port for itself until it is known to be free; one is enough. */
static void add_udp(struct dns_sockets *sockets, unsigned int family, uint16_t port)
{
	int *fds = sockets->udp[family];

	if (share(fds[0]) < 0)
		return;
	for (unsigned int j = 1; j < DNS_UDP_SOCKETS; j++)
		fds[j] = bind_socket(family, SOCK_DGRAM, true, &port);
}

/* All with one port; 0: any. -EADDRINUSE: another port may do. */
static int open_once(struct dns_sockets *sockets, uint16_t port)
{
	for (unsigned int i = 0; i < DNS_FAMILIES; i++) {
		int fd = bind_socket(i, SOCK_DGRAM, false, &port);

		/* A machine without IPv6 has no nameserver there either. */
		if (i > 0 && (fd == -EADDRNOTAVAIL || fd == -EAFNOSUPPORT))
			break;
		if (fd < 0)
			return fd;
		sockets->udp[i][0] = fd;
		add_udp(sockets, i, port);
		sockets->tcp[i] = bind_socket(i, SOCK_STREAM, false, &port);
		if (sockets->tcp[i] < 0)
			return sockets->tcp[i];
		sockets->families++;
	}
	sockets->port = port;
	return 0;
}

static int open_row(struct dns_sockets *sockets, unsigned int count)
{
	int r = 0;

	for (unsigned int i = 0; i < count; i++)
		init(&sockets[i]);
	for (unsigned int i = 0; r == 0 && i < count; i++) {
		uint32_t port = i == 0 ? 0 : (uint32_t)sockets[0].port + i;

		r = port > UINT16_MAX ? -EADDRINUSE : open_once(&sockets[i], (uint16_t)port);
	}
	for (unsigned int i = 0; r < 0 && i < count; i++)
		dns_sockets_close(&sockets[i]);
	return r;
}

int dns_sockets_open(struct dns_sockets *ret_sockets, unsigned int count)
{
	int r = -EADDRINUSE;

	for (unsigned int i = 0; i < BIND_TRIES && r == -EADDRINUSE; i++)
		r = open_row(ret_sockets, count);
	return r;
}

/*
 * Where route_localnet is set a neighbour on the LAN can send to 127.0.0.1. The peers are this
 * machine's programs, under whatever address of it the kernel chose before the redirect; only
 * such an address can be bound.
 */
bool dns_sockets_local(const struct sockaddr *peer)
{
	struct sockaddr_storage addr = {.ss_family = peer->sa_family};
	struct ip_endpoint ep;
	auto_close int fd = -1;
	socklen_t len;

	if (ip_endpoint_from_sockaddr(peer, &ep) < 0)
		return false;
	if (ep.addr.family == AF_INET && ep.addr.bytes[0] == IN_LOOPBACKNET)
		return true;
	len = peer->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	memcpy(&addr, peer, len);
	if (addr.ss_family == AF_INET)
		((struct sockaddr_in *)&addr)->sin_port = 0;
	else
		((struct sockaddr_in6 *)&addr)->sin6_port = 0;
	fd = socket(addr.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && bind(fd, (const struct sockaddr *)&addr, len) == 0;
}
