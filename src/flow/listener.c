/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket at which the kernel's TCP ends the flows. It sits on the TUN's address and device, so
 * only packets that this engine writes, and processes of this machine, can reach it; whoever is not
 * a flow that waits for its socket is closed and counted.
 */
#include "flow/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/err.h"
#include "core/limits.h"

/* Handshakes that wait for accept(); the kernel caps it at net.core.somaxconn. */
#define BACKLOG 4096
/* Finds applications that are gone without a word, and keeps a live flow from looking silent. */
#define KEEPALIVE_S          300
#define KEEPALIVE_INTERVAL_S 30

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* The path to the application is this machine's memory: BBR, where it is the default, paces for
 * nothing and halves the throughput. Accepted sockets inherit the choice; reno always exists. */
static void set_congestion(int fd)
{
	static const char *const names[] = {"cubic", "reno"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, names[i],
			    (socklen_t)strlen(names[i])) == 0)
			return;
	}
}

static int configure(int fd, uint8_t family, const char *device)
{
	int r;

	/* The address may be tentative (duplicate address detection) or not be set yet. */
	r = family == AF_INET ? set_option(fd, IPPROTO_IP, IP_FREEBIND, 1)
			      : set_option(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
	if (r == 0)
		r = set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (r == 0)
		r = set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S);
	if (r == 0)
		r = set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
	/* The target's kernel has decided what to send at once: nothing waits again for an ACK,
	 * which an application that only reads delays. Accepted sockets inherit it. */
	if (r == 0)
		r = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_congestion(fd);
	/* A second fence beside the check at accept(); Linux before 5.7 wants CAP_NET_RAW. */
	if (r == 0 && *device &&
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)) <
			0 &&
		errno != EPERM)
		r = -errno;
	return r;
}

int flow_listener_open(struct flow_listener *listener, const char *device, struct err *err)
{
	struct ip_endpoint local = {.addr = listener->local};
	struct sockaddr_storage sa;
	socklen_t len = ip_endpoint_to_sockaddr(&local, &sa);
	auto_close int fd = -1;
	int r;

	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set_errno(err, -errno, "create a TCP socket");
	r = configure(fd, listener->local.family, device);
	if (r < 0)
		return err_set_errno(err, r, "set up the TCP listener");
	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, BACKLOG) < 0 ||
		getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return err_set_errno(err, -errno, "listen on the TUN's address");
	r = ip_endpoint_from_sockaddr((struct sockaddr *)&sa, &local);
	if (r < 0)
		return err_set_errno(err, r, "listen on the TUN's address");
	listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (listener->spare_fd < 0)
		return err_set_errno(err, -errno, "open /dev/null");
	listener->port = local.port;
	listener->fd = take_fd(&fd);
	return 0;
}

/* Out of descriptors: without this the connection stays ready and the loop spins. */
static int refuse_one(struct flow_listener *listener)
{
	int fd;

	close(listener->spare_fd);
	fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	listener->engine->counters.accept_rejected++;
	listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return -EMFILE;
}

/* One connection; -EAGAIN when there is none. */
static int accept_one(struct flow_listener *listener)
{
	struct flow_engine *engine = listener->engine;
	struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(sa);
	int fd = accept4(listener->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct flow *flow = NULL;
	struct ip_endpoint peer;

	if (fd < 0 && (errno == EMFILE || errno == ENFILE) && listener->spare_fd >= 0)
		return refuse_one(listener);
	if (fd < 0)
		return -errno;
	if (ip_endpoint_from_sockaddr((struct sockaddr *)&sa, &peer) == 0 &&
		ip_addr_equal(&peer.addr, &listener->peer))
		flow = flow_tcp_accepted(engine, peer.addr.family, peer.port);
	if (!flow) {
		engine->counters.accept_rejected++;
		close(fd);
		return 0;
	}
	engine->events.tcp_established(engine->user, flow_table_id(&engine->table, flow), fd);
	return 0;
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
	struct flow_listener *listener = poll->data;
	int r = status;

	(void)events;
	for (unsigned int i = 0; i < LIMIT_TUN_BATCH && r == 0; i++) {
		if (flow_engine_closed(listener->engine))
			return;
		r = accept_one(listener);
		/* One that was reset while it waited (ECONNABORTED) hides the others otherwise. */
		if (r == -ECONNABORTED || r == -EINTR)
			r = 0;
	}
}

int flow_listener_start(struct flow_listener *listener, struct err *err)
{
	int r = uv_poll_init(listener->engine->loop, &listener->poll, listener->fd);

	if (r < 0)
		return err_set_errno(err, r, "watch the TCP listener");
	listener->engine->handles++;
	listener->poll.data = listener;
	r = uv_poll_start(&listener->poll, UV_READABLE, on_acceptable);
	if (r < 0)
		return err_set_errno(err, r, "watch the TCP listener");
	return 0;
}
