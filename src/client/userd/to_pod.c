/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection: ASKING (CONNECT sent; nothing is read from the socket) -> RELAY (tunnel/relay.h has
 * socket and stream). Both families of localhost are bound, so that the name leads here whichever
 * address a program tries first.
 */
#include "client/userd/to_pod_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <utlist.h>

#include "client/userd/uplink.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "net/socket.h"
#include "tunnel/h2.h"
#include "tunnel/reason.h"
#include "tunnel/relay.h"

/* Open at one time, of one intercept. */
#define CONNS_MAX 1024

struct to_pod_conn {
	struct to_pod *to_pod; /* NULL: closed, the relay ends */
	struct to_pod_socket *sock; /* ASKING */
	int fd; /* ASKING */
	struct h2_stream *stream; /* ASKING */
	struct relay *relay; /* RELAY */
	struct to_pod_conn *prev, *next;
};

int to_pod_parse(const char *text, struct to_pod_port *ret_port, struct err *err)
{
	struct to_pod_port port = {.port = 0};
	unsigned int value = 0;
	size_t len = strspn(text, "0123456789");

	for (size_t i = 0; i < len && value <= UINT16_MAX; i++)
		value = value * 10 + (unsigned int)(text[i] - '0');
	port.udp = strcasecmp(text + len, "/udp") == 0;
	if (value == 0 || value > UINT16_MAX ||
		(text[len] && !port.udp && strcasecmp(text + len, "/tcp") != 0))
		return err_set(err, -EINVAL, ERR_USAGE,
			"--to-pod %.80s is not PORT or PORT/UDP (a number from 1 to 65535)", text);
	port.port = (uint16_t)value;
	*ret_port = port;
	return 0;
}

/* What a person can make of it. */
static const char *explain(const struct h2_head *head)
{
	static const char *const texts[REASON_COUNT] = {
		[REASON_REFUSED] = "nothing listens at this port of the pod",
		[REASON_FORBIDDEN] =
			"the traffic-manager (403) knows no such intercept of this session",
		[REASON_NO_CLIENT] = "no pod of the workload is ready with its agent",
		[REASON_TIMED_OUT] = "the pod's agent did not answer in time",
		[REASON_OVERLOADED] = "there are too many connections into the pod",
	};
	const char *name = h2_head_get(head, REASON_HEADER);
	enum reason reason = name ? reason_parse(name) : REASON_INTERNAL;

	if (!name && head->status == reason_status(REASON_FORBIDDEN))
		reason = REASON_FORBIDDEN;
	return texts[reason] ? texts[reason] : reason_name(reason);
}

void to_pod_failed(struct to_pod_socket *sock, const struct h2_head *head)
{
	const char *why =
		head ? explain(head) : "there is no tunnel, or too many connections are open";

	sock->failed++;
	/* A program that tries again and again is told of once. */
	if (sock->why != why)
		log_warn("a connection does not get into the pod", "port=%u reason=%s",
			sock->port.port, why);
	sock->why = why;
}

static json_object *describe_port(const struct to_pod *to_pod, const struct to_pod_port *port)
{
	json_object *out = json_object_new_object();
	const struct to_pod_socket *sock = NULL;
	uint64_t opened = 0, failed = 0;
	const char *why = NULL;

	LL_FOREACH (to_pod->sockets, sock) {
		if (sock->port.port != port->port || sock->port.udp != port->udp)
			continue;
		opened += sock->opened;
		failed += sock->failed;
		why = sock->why ? sock->why : why;
	}
	json_object_object_add(out, "port", json_object_new_int(port->port));
	json_object_object_add(out, "protocol", json_object_new_string(port->udp ? "UDP" : "TCP"));
	json_object_object_add(out, "connections", json_object_new_uint64(opened));
	json_object_object_add(out, "failed", json_object_new_uint64(failed));
	if (why)
		json_object_object_add(out, "reason", json_object_new_string(why));
	return out;
}

json_object *to_pod_describe(const struct to_pod *to_pod)
{
	json_object *array = json_object_new_array();

	for (size_t i = 0; i < to_pod->port_count; i++)
		json_object_array_add(array, describe_port(to_pod, &to_pod->ports[i]));
	return array;
}

void to_pod_unref(struct to_pod *to_pod)
{
	struct to_pod_socket *sock = NULL, *next = NULL;

	if (--to_pod->open_handles > 0)
		return;
	LL_FOREACH_SAFE (to_pod->sockets, sock, next)
		free(sock);
	free(to_pod->uid);
	free(to_pod->ports);
	free(to_pod);
}

static void free_conn(struct to_pod_conn *conn)
{
	if (conn->to_pod)
		DL_DELETE(conn->to_pod->conns, conn);
	free(conn);
}

/* In ASKING. */
static void drop_stream(struct to_pod_conn *conn)
{
	struct h2_stream *stream = TAKE_PTR(conn->stream);

	h2_stream_set_events(stream, &(struct h2_stream_events){0}, NULL);
	h2_stream_reset(stream, UPLINK_CANCEL);
}

static void on_relayed(void *user, const struct relay_stats *stats UNUSED)
{
	free_conn(user);
}

static void on_head(void *user, const struct h2_head *head)
{
	struct to_pod_conn *conn = user;
	struct h2_stream *stream = conn->stream;

	if (head->status != 200) {
		to_pod_failed(conn->sock, head);
		drop_stream(conn);
		socket_reset(conn->fd);
		free_conn(conn);
		return;
	}
	conn->stream = NULL;
	conn->relay = relay_new(conn->to_pod->loop);
	relay_set_stream(conn->relay, stream);
	h2_stream_set_events(stream, &relay_events, conn->relay);
	if (relay_start(conn->relay, conn->fd, on_relayed, conn) < 0)
		free_conn(conn);
}

static ssize_t on_read(void *user UNUSED, uint8_t *out UNUSED, size_t len UNUSED)
{
	return H2_READ_AGAIN;
}

static void on_close(void *user, uint32_t code UNUSED)
{
	struct to_pod_conn *conn = user;

	socket_reset(conn->fd);
	free_conn(conn);
}

static void on_accept(struct listener *listener, int fd)
{
	static const struct h2_stream_events events = {
		.on_head = on_head, .on_read = on_read, .on_close = on_close};
	struct to_pod_socket *sock = container_of(listener, struct to_pod_socket, listener);
	struct to_pod *to_pod = sock->to_pod;
	const struct h2_header header = {"telepresence-intercept", to_pod->uid};
	char authority[32];
	const struct h2_head head = {
		.method = "CONNECT", .authority = authority, .headers = &header, .header_count = 1};
	struct to_pod_conn *conn = NULL;
	unsigned int count = 0;

	DL_COUNT(to_pod->conns, conn, count);
	sock->opened++;
	if (!to_pod->uid || !to_pod->uplink->h2 || count >= CONNS_MAX) {
		to_pod_failed(sock, NULL);
		socket_reset(fd);
		return;
	}
	(void)snprintf(authority, sizeof(authority), "127.0.0.1:%u", sock->port.port);
	conn = XNEW(struct to_pod_conn);
	conn->fd = fd;
	if (h2_request(to_pod->uplink->h2, &head, &events, conn, &conn->stream) < 0) {
		to_pod_failed(sock, NULL);
		socket_reset(fd);
		free(conn);
		return;
	}
	conn->sock = sock;
	conn->to_pod = to_pod;
	DL_APPEND(to_pod->conns, conn);
}

static void on_stopped(struct listener *listener)
{
	to_pod_unref(container_of(listener, struct to_pod_socket, listener)->to_pod);
}

static int tcp_start(struct to_pod_socket *sock, const struct ip_endpoint *at)
{
	static const struct listener_events events = {
		.on_accept = on_accept, .on_stopped = on_stopped};
	struct sockaddr_storage address;
	socklen_t len = ip_endpoint_to_sockaddr(at, &address);
	auto_close int fd =
		socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const int on = 1;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&address, len) < 0 || listen(fd, SOMAXCONN) < 0)
		return -errno;
	listener_start_fd(&sock->listener, sock->to_pod->loop, take_fd(&fd), &events);
	return 0;
}

static int start_socket(
	struct to_pod *to_pod, const struct to_pod_port *port, const struct ip_addr *addr)
{
	struct ip_endpoint at = {.addr = *addr, .port = port->port};
	struct to_pod_socket *sock = XNEW(struct to_pod_socket);
	int r;

	sock->to_pod = to_pod;
	sock->port = *port;
	r = port->udp ? to_pod_udp_start(sock, &at) : tcp_start(sock, &at);
	if (r < 0) {
		free(sock);
		return r;
	}
	to_pod->open_handles++;
	LL_PREPEND(to_pod->sockets, sock);
	return 0;
}

static int start_port(struct to_pod *to_pod, const struct to_pod_port *port, struct err *err)
{
	static const struct ip_addr addrs[] = {{.family = AF_INET, .bytes = {127, 0, 0, 1}},
		{.family = AF_INET6, .bytes = {[15] = 1}}};
	const char *suffix = port->udp ? "/UDP" : "";

	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++) {
		int r = start_socket(to_pod, port, &addrs[i]);

		if (r == -EADDRINUSE)
			return err_set(err, r, ERR_CONFLICT,
				"--to-pod %u%s: port localhost:%u of this machine is in use",
				port->port, suffix, port->port);
		/* A laptop without IPv6 has one localhost. */
		if (r == -EACCES && addrs[i].family == AF_INET)
			return err_set(err, r, ERR_PERMISSION,
				"--to-pod %u%s: you may not listen on port %u of this machine; "
				"below net.ipv4.ip_unprivileged_port_start only root may",
				port->port, suffix, port->port);
		if (r < 0 && addrs[i].family == AF_INET)
			return err_set_errno(err, r, "--to-pod %u%s: listen on 127.0.0.1:%u",
				port->port, suffix, port->port);
	}
	return 0;
}

int to_pod_new(uv_loop_t *loop, const struct uplink *uplink, const struct to_pod_port *ports,
	size_t count, struct to_pod **ret_to_pod, struct err *err)
{
	struct to_pod *to_pod = XNEW(struct to_pod);
	int r = 0;

	to_pod->loop = loop;
	to_pod->uplink = uplink;
	to_pod->open_handles = 1;
	to_pod->ports = xcalloc(count, sizeof(*ports));
	memcpy(to_pod->ports, ports, count * sizeof(*ports));
	to_pod->port_count = count;
	for (size_t i = 0; r == 0 && i < count; i++)
		r = start_port(to_pod, &ports[i], err);
	if (r < 0) {
		to_pod_free(to_pod);
		return r;
	}
	*ret_to_pod = to_pod;
	return 0;
}

void to_pod_open(struct to_pod *to_pod, const char *uid)
{
	to_pod_close(to_pod);
	to_pod->uid = xstrdup(uid);
}

static void end_conn(struct to_pod_conn *conn)
{
	DL_DELETE(conn->to_pod->conns, conn);
	conn->to_pod = NULL;
	if (conn->relay) {
		relay_abort(conn->relay); /* on_relayed() follows */
		return;
	}
	drop_stream(conn);
	socket_reset(conn->fd);
	free(conn);
}

void to_pod_close(struct to_pod *to_pod)
{
	struct to_pod_conn *conn = NULL, *next = NULL;
	struct to_pod_socket *sock = NULL;

	if (!to_pod)
		return;
	free(TAKE_PTR(to_pod->uid));
	DL_FOREACH_SAFE (to_pod->conns, conn, next)
		end_conn(conn);
	LL_FOREACH (to_pod->sockets, sock) {
		if (sock->port.udp)
			to_pod_udp_close(sock);
	}
}

void to_pod_free(struct to_pod *to_pod)
{
	struct to_pod_socket *sock = NULL;

	if (!to_pod)
		return;
	to_pod_close(to_pod);
	LL_FOREACH (to_pod->sockets, sock) {
		if (sock->port.udp)
			to_pod_udp_stop(sock);
		else
			listener_stop(&sock->listener);
	}
	to_pod_unref(to_pod);
}
