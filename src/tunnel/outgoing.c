/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/outgoing.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/alloc.h"
#include "tunnel/errqueue.h"

/* A peer that vanished without a FIN (a node that went away) is noticed after 60 + 4 * 15 s. */
#define KEEPALIVE_IDLE_S     60
#define KEEPALIVE_INTERVAL_S 15
#define KEEPALIVE_COUNT      4

#define PORT_RANGE "/proc/sys/net/ipv4/ip_local_port_range"
/* The kernel's own choice, unless it is told otherwise. */
#define PORT_FIRST 32768
#define PORT_LAST  60999
/* Until the kernel is asked for a port again. Looking through all of them takes it a millisecond.
 */
#define SCARCE_MS 1000
/* Ports that are bound to before it is given up: of those that are in use most are not live. */
#define TRIES 32

static void set_option(int fd, int level, int name, int value)
{
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

/* Small requests must not wait for an ACK, a dead peer must not be kept for ever, and a port may be
 * bound to by several. Failure of any costs latency, memory or a port, not correctness. */
static void tune(int fd)
{
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
}

/* port 0: the kernel's choice. */
static int attempt(const struct ip_endpoint *to, uint16_t port, int *ret_fd)
{
	const struct ip_endpoint from = {.addr = {.family = to->addr.family}, .port = port};
	struct sockaddr_storage sa;
	socklen_t len = ip_endpoint_to_sockaddr(&from, &sa);
	auto_close int fd = -1;
	int r;

	fd = socket(to->addr.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	tune(fd);
	if (port && bind(fd, (const struct sockaddr *)&sa, len) < 0)
		return -errno;
	len = ip_endpoint_to_sockaddr(to, &sa);
	if (connect(fd, (const struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS)
		return -errno;
	/* A target on the same node has answered by now, which the first call cannot say. */
	r = connect(fd, (const struct sockaddr *)&sa, len);
	if (r < 0 && errno != EALREADY && errno != EISCONN)
		return -errqueue_errno(fd, errno);
	*ret_fd = take_fd(&fd);
	return r < 0 && errno == EALREADY ? 0 : 1;
}

static void set_range(struct outgoing *outgoing, unsigned long first, unsigned long last)
{
	uint32_t random = 0;

	if (first == 0 || last < first || last > UINT16_MAX) {
		first = PORT_FIRST;
		last = PORT_LAST;
	}
	(void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
	outgoing->first = (uint32_t)first;
	outgoing->count = (uint32_t)(last - first + 1);
	outgoing->next = random % outgoing->count;
}

/* "FIRST\tLAST\n" */
void outgoing_init(struct outgoing *outgoing)
{
	char text[32] = "", *end = text;
	auto_close int fd = open(PORT_RANGE, O_RDONLY | O_CLOEXEC);
	unsigned long first = 0, last = 0;

	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0) {
		first = strtoul(text, &end, 10);
		last = strtoul(end, NULL, 10);
	}
	set_range(outgoing, first, last);
}

static uint16_t next_port(struct outgoing *outgoing)
{
	uint32_t offset = outgoing->next;

	outgoing->next = (offset + 1) % outgoing->count;
	return (uint16_t)(outgoing->first + offset);
}

int outgoing_connect(
	struct outgoing *outgoing, const struct ip_endpoint *to, uint64_t now_ms, int *ret_fd)
{
	int r = -EADDRNOTAVAIL;

	if (now_ms >= outgoing->scarce_until_ms) {
		r = attempt(to, 0, ret_fd);
		if (r != -EADDRNOTAVAIL)
			return r;
		if (outgoing->count == 0)
			outgoing_init(outgoing);
		outgoing->scarce_until_ms = now_ms + SCARCE_MS;
	}
	for (unsigned int i = 0; i < TRIES && (r == -EADDRNOTAVAIL || r == -EADDRINUSE); i++)
		r = attempt(to, next_port(outgoing), ret_fd);
	/* Of IPv6 it may as well be that there is no source address. */
	if (r == -EADDRINUSE || (r == -EADDRNOTAVAIL && to->addr.family == AF_INET))
		r = -EAGAIN;
	return r;
}
