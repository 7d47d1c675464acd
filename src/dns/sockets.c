/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/sockets.h"

#include <errno.h>
#include <netinet/in.h>
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

/* A bound socket, and the port it got. fd or -errno. */
static int bind_socket(unsigned int family, int type, uint16_t *port)
{
	struct ip_endpoint ep = loopback(family, *port);
	struct sockaddr_storage sa;
	socklen_t len = ip_endpoint_to_sockaddr(&ep, &sa);
	auto_close int fd = socket(sa.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&sa, len) < 0 ||
		getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	if (ip_endpoint_from_sockaddr((const struct sockaddr *)&sa, &ep) < 0)
		return -EAFNOSUPPORT;
	*port = ep.port;
	return take_fd(&fd);
}

void dns_sockets_close(struct dns_sockets *sockets)
{
	for (unsigned int i = 0; i < DNS_FAMILIES; i++) {
		if (sockets->udp[i] >= 0)
			close(take_fd(&sockets->udp[i]));
		if (sockets->tcp[i] >= 0)
			close(take_fd(&sockets->tcp[i]));
	}
}

/* All with one port; 0: any. -EADDRINUSE: another port may do. */
static int open_once(struct dns_sockets *sockets, uint16_t port)
{
	for (unsigned int i = 0; i < DNS_FAMILIES; i++) {
		sockets->udp[i] = bind_socket(i, SOCK_DGRAM, &port);
		/* A machine without IPv6 has no nameserver there either. */
		if (i > 0 &&
			(sockets->udp[i] == -EADDRNOTAVAIL || sockets->udp[i] == -EAFNOSUPPORT))
			break;
		if (sockets->udp[i] < 0)
			return sockets->udp[i];
		sockets->tcp[i] = bind_socket(i, SOCK_STREAM, &port);
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
		sockets[i] = (struct dns_sockets){.udp = {-1, -1}, .tcp = {-1, -1}};
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
