/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/udp.h"

#include <errno.h>
#include <linux/in6.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/loopback.h"
#include "agent/udp_flow.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"
#include "tunnel/capsule.h"

/* Datagrams taken per wake-up of the loop. */
#define RECEIVE_BATCH 64

struct slot {
	struct udp_port *port;
	uv_poll_t poll;
	int fd; /* -1: the pod lacks this family */
};

struct udp_port {
	struct udp_flows flows;
	uint16_t port, listener;
	struct slot slots[LOOPBACK_SOCKETS]; /* IPv4, IPv6 */
	unsigned int open;
};

/* Room for either family's ancillary data; glibc's in6_pktinfo is the larger one. */
union control {
	char bytes[CMSG_SPACE(sizeof(struct sockaddr_in6)) +
		   CMSG_SPACE(sizeof(struct in6_pktinfo))];
	struct cmsghdr align;
};

/* The address that a redirected datagram was sent to. */
static int original_target(struct msghdr *msg, struct ip_endpoint *ret_target)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
		size_t len = c->cmsg_len - CMSG_LEN(0);

		if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_ORIGDSTADDR) &&
			!(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_ORIGDSTADDR))
			continue;
		memcpy(&sa, CMSG_DATA(c), MIN(len, sizeof(sa)));
		return ip_endpoint_from_sockaddr((const struct sockaddr *)&sa, ret_target);
	}
	return -ENOENT;
}

/* One datagram; false when there is none. */
static bool receive(struct slot *slot, uint8_t data[static CAPSULE_PAYLOAD_MAX_BYTES])
{
	struct iovec iov = {.iov_base = data, .iov_len = CAPSULE_PAYLOAD_MAX_BYTES};
	struct sockaddr_storage from;
	union control control;
	struct msghdr msg = {.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(slot->fd, &msg, MSG_DONTWAIT);
	struct ip_endpoint source, target;

	if (n < 0)
		return errno == EINTR;
	/* What came to the socket itself was sent by a process of the pod. */
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || original_target(&msg, &target) < 0 ||
		ip_endpoint_from_sockaddr((const struct sockaddr *)&from, &source) < 0 ||
		target.port != slot->port->port || loopback_is(&target.addr))
		return true;
	if (!engine_take_expected(slot->port->flows.engine, &source, target.port, IPPROTO_UDP))
		udp_flow_receive(&slot->port->flows, &source, &target, data, (size_t)n);
	return true;
}

static void on_poll(uv_poll_t *poll, int status, int events UNUSED)
{
	struct slot *slot = container_of(poll, struct slot, poll);
	uint8_t data[CAPSULE_PAYLOAD_MAX_BYTES];

	for (int i = 0; i < RECEIVE_BATCH && receive(slot, data); i++)
		;
	/* libuv has stopped it on an error, which is read by now. */
	if (status < 0)
		(void)uv_poll_start(poll, UV_READABLE, on_poll);
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct udp_port *port = container_of(handle, struct slot, poll)->port;

	if (--port->open == 0)
		free(port);
}

int udp_port_open(
	struct engine *engine, uint16_t port_number, struct udp_port **ret_port, struct err *err)
{
	const uint32_t mark = INTERCEPT_UDP_MARK;
	int fds[LOOPBACK_SOCKETS];
	uint16_t listener;
	struct udp_port *port;
	int r = loopback_open(SOCK_DGRAM, fds, &listener, err);

	if (r < 0)
		return r;
	port = XNEW(struct udp_port);
	*port = (struct udp_port){
		.flows = {.engine = engine, .port = port},
		.port = port_number,
		.listener = listener,
	};
	for (int i = 0; i < LOOPBACK_SOCKETS; i++) {
		struct slot *slot = &port->slots[i];

		slot->port = port;
		slot->fd = fds[i];
		if (fds[i] < 0)
			continue;
		if (setsockopt(fds[i], SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
			r = -errno;
		(void)uv_poll_init(engine->loop, &slot->poll, fds[i]);
		(void)uv_poll_start(&slot->poll, UV_READABLE, on_poll);
		port->open++;
	}
	if (r < 0) {
		udp_port_close(port);
		return err_set_errno(err, r, "mark of redirected datagrams");
	}
	*ret_port = port;
	return 0;
}

uint16_t udp_port_listener(const struct udp_port *port)
{
	return port->listener;
}

/* The source address of what is sent; returns the length of the ancillary data. */
static size_t put_source(struct msghdr *msg, const struct ip_addr *addr)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	struct in_pktinfo info4 = {.ipi_ifindex = 0};
	struct in6_pktinfo info6 = {.ipi6_ifindex = 0};

	if (addr->family == AF_INET) {
		memcpy(&info4.ipi_spec_dst, addr->bytes, sizeof(info4.ipi_spec_dst));
		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info4));
		memcpy(CMSG_DATA(c), &info4, sizeof(info4));
		return CMSG_SPACE(sizeof(info4));
	}
	memcpy(&info6.ipi6_addr, addr->bytes, sizeof(info6.ipi6_addr));
	c->cmsg_level = IPPROTO_IPV6;
	c->cmsg_type = IPV6_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info6));
	memcpy(CMSG_DATA(c), &info6, sizeof(info6));
	return CMSG_SPACE(sizeof(info6));
}

void udp_port_send(const struct udp_port *port, const struct ip_endpoint *source,
	const struct ip_endpoint *target, const uint8_t *data, size_t len)
{
	const struct slot *slot = &port->slots[source->addr.family == AF_INET ? 0 : 1];
	struct iovec iov = {.iov_base = (uint8_t *)(uintptr_t)data, .iov_len = len};
	struct sockaddr_storage to;
	union control control = {.bytes = {0}};
	struct msghdr msg = {.msg_name = &to,
		.msg_namelen = ip_endpoint_to_sockaddr(target, &to),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};

	msg.msg_controllen = put_source(&msg, &source->addr);
	(void)sendmsg(slot->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void udp_port_close(struct udp_port *port)
{
	if (!port)
		return;
	udp_flow_end_all(&port->flows);
	for (int i = 0; i < LOOPBACK_SOCKETS; i++) {
		struct slot *slot = &port->slots[i];

		if (slot->fd < 0)
			continue;
		uv_close((uv_handle_t *)&slot->poll, on_poll_closed);
		close(slot->fd);
	}
}
