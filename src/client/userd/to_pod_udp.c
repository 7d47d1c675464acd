/* SPDX-License-Identifier: Apache-2.0 */
/* A flow is what one local source sends: a connect-udp stream that is made by its first datagram.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "client/userd/to_pod_priv.h"
#include "client/userd/uplink.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "tunnel/capsule.h"
#include "tunnel/h2.h"

/* Of one port: the flow that was silent longest goes for a new one. */
#define FLOWS_MAX 256
/* Waiting for the tunnel, in each: what a socket's buffer would hold. */
#define QUEUE_BYTES (256 * 1024)

struct to_pod_flow {
	struct to_pod_socket *sock;
	struct ip_endpoint source;
	struct sockaddr_storage address; /* the same */
	struct h2_stream *stream;
	bool accepted; /* the pod's side is there: datagrams may go */
	struct capsule_parser parser;
	struct buf out;
	struct to_pod_flow *prev, *next; /* the most silent one first */
};

static void free_flow(struct to_pod_flow *flow)
{
	DL_DELETE(flow->sock->flows, flow);
	flow->sock->flow_count--;
	capsule_parser_done(&flow->parser);
	buf_done(&flow->out);
	free(flow);
}

static void drop_flow(struct to_pod_flow *flow)
{
	struct h2_stream *stream = flow->stream;

	free_flow(flow);
	h2_stream_set_events(stream, &(struct h2_stream_events){0}, NULL);
	h2_stream_reset(stream, UPLINK_CANCEL);
}

static void on_head(void *user, const struct h2_head *head)
{
	struct to_pod_flow *flow = user;

	if (head->status != 200) {
		to_pod_failed(flow->sock, head);
		drop_flow(flow);
		return;
	}
	flow->accepted = true;
	h2_stream_resume(flow->stream);
}

static void on_datagram(void *user, const uint8_t *payload, size_t len)
{
	struct to_pod_flow *flow = user;
	union {
		const uint8_t *in;
		char *base;
	} bytes = {.in = payload};
	const uv_buf_t buf = uv_buf_init(bytes.base, (unsigned int)len);

	/* What the socket does not take is lost, as UDP is. */
	(void)uv_udp_try_send(&flow->sock->udp, &buf, 1, (const struct sockaddr *)&flow->address);
}

static void on_data(void *user, const uint8_t *data, size_t len)
{
	struct to_pod_flow *flow = user;

	h2_stream_consumed(flow->stream, len);
	if (capsule_parse(&flow->parser, data, len, on_datagram, flow) < 0)
		drop_flow(flow);
}

static void on_end(void *user)
{
	drop_flow(user);
}

static ssize_t on_read(void *user, uint8_t *out, size_t len)
{
	struct to_pod_flow *flow = user;
	size_t n = flow->accepted ? MIN(len, buf_len(&flow->out)) : 0;

	if (n == 0)
		return H2_READ_AGAIN;
	memcpy(out, buf_head(&flow->out), n);
	buf_consume(&flow->out, n);
	return (ssize_t)n;
}

static void on_close(void *user, uint32_t code UNUSED)
{
	free_flow(user);
}

static struct to_pod_flow *new_flow(struct to_pod_socket *sock, const struct sockaddr *from)
{
	static const struct h2_stream_events events = {.on_head = on_head,
		.on_data = on_data,
		.on_end = on_end,
		.on_read = on_read,
		.on_close = on_close};
	const struct to_pod *to_pod = sock->to_pod;
	const struct h2_header headers[] = {
		{"capsule-protocol", "?1"}, {"telepresence-intercept", to_pod->uid}};
	char path[64];
	const struct h2_head head = {.method = "CONNECT",
		.authority = "traffic-manager",
		.path = path,
		.protocol = "connect-udp",
		.headers = headers,
		.header_count = ARRAY_SIZE(headers)};
	struct to_pod_flow *flow;

	sock->opened++;
	if (!to_pod->uid || !to_pod->uplink->h2) {
		to_pod_failed(sock, NULL);
		return NULL;
	}
	if (sock->flow_count >= FLOWS_MAX)
		drop_flow(sock->flows);
	(void)snprintf(
		path, sizeof(path), "/.well-known/masque/udp/127.0.0.1/%u/", sock->port.port);
	flow = XNEW(struct to_pod_flow);
	flow->sock = sock;
	if (ip_endpoint_from_sockaddr(from, &flow->source) < 0 ||
		h2_request(to_pod->uplink->h2, &head, &events, flow, &flow->stream) < 0) {
		free(flow);
		return NULL;
	}
	(void)ip_endpoint_to_sockaddr(&flow->source, &flow->address);
	capsule_parser_init(&flow->parser);
	buf_init(&flow->out, QUEUE_BYTES);
	DL_APPEND(sock->flows, flow);
	sock->flow_count++;
	return flow;
}

static struct to_pod_flow *find(struct to_pod_socket *sock, const struct sockaddr *from)
{
	struct ip_endpoint source;
	struct to_pod_flow *flow = NULL;

	if (ip_endpoint_from_sockaddr(from, &source) < 0)
		return NULL;
	DL_FOREACH (sock->flows, flow) {
		if (flow->source.port == source.port &&
			ip_addr_equal(&flow->source.addr, &source.addr))
			return flow;
	}
	return NULL;
}

static void take_datagram(
	struct to_pod_socket *sock, const struct sockaddr *from, const void *data, size_t len)
{
	struct to_pod_flow *flow = find(sock, from);
	uint8_t header[CAPSULE_HEADER_MAX_BYTES];
	size_t header_len = capsule_header(header, len);

	if (flow) {
		DL_DELETE(sock->flows, flow);
		DL_APPEND(sock->flows, flow);
	} else {
		flow = new_flow(sock, from);
	}
	if (!flow || buf_room(&flow->out) < header_len + len ||
		buf_append(&flow->out, header, header_len) < 0 ||
		buf_append(&flow->out, data, len) < 0)
		return;
	h2_stream_resume(flow->stream);
}

static void on_alloc(uv_handle_t *handle UNUSED, size_t suggested UNUSED, uv_buf_t *buf)
{
	static char datagram[CAPSULE_PAYLOAD_MAX_BYTES]; /* until on_recv() returns */

	*buf = uv_buf_init(datagram, sizeof(datagram));
}

static void on_recv(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from,
	unsigned int flags UNUSED)
{
	if (n >= 0 && from)
		take_datagram(
			container_of(udp, struct to_pod_socket, udp), from, buf->base, (size_t)n);
}

static void on_closed(uv_handle_t *handle)
{
	to_pod_unref(container_of((uv_udp_t *)handle, struct to_pod_socket, udp)->to_pod);
}

int to_pod_udp_start(struct to_pod_socket *sock, const struct ip_endpoint *at)
{
	struct sockaddr_storage address;
	socklen_t len = ip_endpoint_to_sockaddr(at, &address);
	auto_close int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&address, len) < 0)
		return -errno;
	(void)uv_udp_init(sock->to_pod->loop, &sock->udp);
	(void)uv_udp_open(&sock->udp, take_fd(&fd));
	(void)uv_udp_recv_start(&sock->udp, on_alloc, on_recv);
	return 0;
}

void to_pod_udp_close(struct to_pod_socket *sock)
{
	/* Each takes itself off the list, which the analyzer does not see. */
	while (sock->flows)
		drop_flow(sock->flows); /* NOLINT(clang-analyzer-unix.Malloc) */
}

void to_pod_udp_stop(struct to_pod_socket *sock)
{
	uv_close((uv_handle_t *)&sock->udp, on_closed);
}
