/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/datagram.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <string.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/log.h"
#include "tunnel/echo.h"
#include "tunnel/errqueue.h"
#include "tunnel/reply.h"
#include "tunnel/capsule.h"

/* Errors of a socket that are looked at before the loop has its turn. */
#define ERRORS_MAX 64

struct association {
	uv_poll_t poll;
	uv_timer_t idle;
	unsigned int open_handles;
	struct h2_stream *stream; /* NULL: closed */
	unsigned int *count;
	int fd, family;
	bool icmp, ended;
	enum reason failed; /* ends it once what came before has been passed on */
	uint16_t ident; /* of the echo requests, 0 before the first */
	bool ident_known;
	uint64_t active_ms;
	struct capsule_parser parser;
	struct buf out; /* the rest of a capsule that did not fit */
};

/* One datagram on its way through; nothing survives a callback. */
static uint8_t scratch[CAPSULE_HEADER_MAX_BYTES + CAPSULE_PAYLOAD_MAX_BYTES + ECHO_ICMP_BYTES];

static uint64_t now_ms(const struct association *assoc)
{
	return uv_now(assoc->idle.loop);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct association *assoc = handle->data;

	if (--assoc->open_handles > 0)
		return;
	capsule_parser_done(&assoc->parser);
	buf_done(&assoc->out);
	free(assoc);
}

static void on_close(void *user, uint32_t code UNUSED)
{
	struct association *assoc = user;

	assoc->stream = NULL;
	(*assoc->count)--;
	uv_close((uv_handle_t *)&assoc->poll, on_handle_closed);
	uv_close((uv_handle_t *)&assoc->idle, on_handle_closed);
	close(take_fd(&assoc->fd));
}

/*
 * What ICMP has said, or a system call (-errno). An error comes before datagrams that were there
 * earlier, so it waits for them. Afterwards nobody is there: an errno without a message in the
 * queue is this host's own, of a route or a packet filter.
 */
static void note_error(struct association *assoc, int code)
{
	bool any = false;
	enum reason reason = errqueue_take(assoc->fd, &any);

	if (!any)
		reason = reason_from_errno(code);
	if (reason == REASON_REFUSED || reason == REASON_HOST_UNREACHABLE ||
		reason == REASON_NET_UNREACHABLE || reason == REASON_FORBIDDEN)
		assoc->failed = reason;
}

/* A datagram of the peer; those that cannot be sent now are lost, as on any network. */
static void on_datagram(void *user, const uint8_t *payload, size_t len)
{
	struct association *assoc = user;
	ssize_t n = (ssize_t)len;

	if (assoc->icmp) {
		uint16_t ident;

		n = echo_to_icmp(assoc->family, payload, len, scratch, &ident);
		if (n < 0 || (assoc->ident_known && ident != assoc->ident))
			return;
		assoc->ident = ident;
		assoc->ident_known = true;
		payload = scratch;
	}
	assoc->active_ms = now_ms(assoc);
	if (send(assoc->fd, payload, (size_t)n, MSG_NOSIGNAL) >= 0)
		return;
	note_error(assoc, errno);
	/* What was said of an earlier one is no reason not to send this one. */
	if (!assoc->failed)
		(void)!send(assoc->fd, payload, (size_t)n, MSG_NOSIGNAL);
	else
		h2_stream_resume(assoc->stream);
}

static void on_data(void *user, const uint8_t *data, size_t len)
{
	struct association *assoc = user;

	if (capsule_parse(&assoc->parser, data, len, on_datagram, assoc) < 0)
		h2_stream_reset(assoc->stream, NGHTTP2_PROTOCOL_ERROR);
	else
		h2_stream_consumed(assoc->stream, len);
}

static void on_end(void *user)
{
	struct association *assoc = user;

	assoc->ended = true;
	h2_stream_resume(assoc->stream);
}

static void on_readable(uv_poll_t *poll, int status UNUSED, int events UNUSED)
{
	struct association *assoc = poll->data;

	(void)uv_poll_stop(poll);
	h2_stream_resume(assoc->stream);
}

/* Receives one datagram as a capsule in scratch: its length and start, 0 for none, -errno. */
static ssize_t receive(struct association *assoc, uint8_t **ret_start)
{
	uint8_t *payload = scratch + CAPSULE_HEADER_MAX_BYTES;
	uint8_t header[CAPSULE_HEADER_MAX_BYTES];
	size_t header_len;
	ssize_t n;

	do {
		payload = scratch + CAPSULE_HEADER_MAX_BYTES;
		n = recv(assoc->fd, payload, sizeof(scratch) - CAPSULE_HEADER_MAX_BYTES,
			MSG_DONTWAIT);
		/* Each error is told once, and then what lies behind it. */
		for (unsigned int i = 0; n < 0 && errno != EAGAIN && i < ERRORS_MAX; i++) {
			note_error(assoc, errno);
			n = recv(assoc->fd, payload, sizeof(scratch) - CAPSULE_HEADER_MAX_BYTES,
				MSG_DONTWAIT);
		}
		if (n < 0)
			return 0;
		if (assoc->icmp)
			n = echo_from_icmp(
				assoc->family, assoc->ident, payload, (size_t)n, &payload);
	} while (n < 0);
	header_len = capsule_header(header, (size_t)n);
	*ret_start = payload - header_len;
	memcpy(*ret_start, header, header_len);
	assoc->active_ms = now_ms(assoc);
	return (ssize_t)header_len + n;
}

static ssize_t on_read(void *user, uint8_t *out, size_t len)
{
	struct association *assoc = user;
	uint8_t *start = scratch;
	ssize_t n;
	size_t take;

	if (assoc->ended)
		return H2_READ_EOF;
	if (buf_len(&assoc->out) > 0) {
		take = MIN(len, buf_len(&assoc->out));
		memcpy(out, buf_head(&assoc->out), take);
		buf_consume(&assoc->out, take);
		return (ssize_t)take;
	}
	n = receive(assoc, &start);
	if (n == 0 && assoc->failed) {
		h2_stream_reset(assoc->stream, reason_reset(assoc->failed));
		return H2_READ_AGAIN;
	}
	if (n == 0) {
		(void)uv_poll_start(&assoc->poll, UV_READABLE, on_readable);
		return H2_READ_AGAIN;
	}
	take = MIN(len, (size_t)n);
	memcpy(out, start, take);
	if (take < (size_t)n && buf_append(&assoc->out, start + take, (size_t)n - take) < 0)
		return H2_READ_ABORT;
	return (ssize_t)take;
}

static const struct h2_stream_events datagram_events = {
	.on_data = on_data,
	.on_end = on_end,
	.on_read = on_read,
	.on_close = on_close,
};

static void on_idle(uv_timer_t *timer)
{
	struct association *assoc = timer->data;

	if (assoc->stream && now_ms(assoc) - assoc->active_ms >= DATAGRAM_IDLE_MS)
		h2_stream_reset(assoc->stream, NGHTTP2_NO_ERROR);
}

static int open_socket(const struct ip_endpoint *target, bool icmp)
{
	int protocol = !icmp ? 0 : target->addr.family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	struct sockaddr_storage sa;
	socklen_t len = ip_endpoint_to_sockaddr(target, &sa);
	auto_close int fd =
		socket(target->addr.family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

	if (fd >= 0)
		errqueue_enable(fd, target->addr.family);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&sa, len) < 0)
		return -errno;
	return take_fd(&fd);
}

static void associate(const struct dial_env *env, unsigned int *count, struct h2_stream *stream,
	const struct ip_endpoint *target, bool icmp)
{
	static const struct h2_header headers[] = {{.name = "capsule-protocol", .value = "?1"}};
	struct association *assoc;
	int fd;

	if (*count >= DATAGRAM_MAX_PER_PEER) {
		reply_reason(stream, REASON_OVERLOADED);
		return;
	}
	fd = open_socket(target, icmp);
	if (fd < 0) {
		reply_reason(stream, dial_reason(fd));
		return;
	}
	assoc = XNEW(struct association);
	assoc->fd = fd;
	assoc->family = target->addr.family;
	assoc->icmp = icmp;
	assoc->stream = stream;
	assoc->count = count;
	(*count)++;
	capsule_parser_init(&assoc->parser);
	buf_init(&assoc->out, sizeof(scratch));
	/* A socket that was just opened is pollable. */
	(void)uv_poll_init(env->loop, &assoc->poll, fd);
	(void)uv_timer_init(env->loop, &assoc->idle);
	assoc->poll.data = assoc;
	assoc->idle.data = assoc;
	assoc->open_handles = 2;
	assoc->active_ms = now_ms(assoc);
	(void)uv_timer_start(&assoc->idle, on_idle, DATAGRAM_IDLE_MS, DATAGRAM_IDLE_MS / 4);
	h2_stream_set_events(stream, &datagram_events, assoc);
	h2_respond(stream, 200, headers, ARRAY_SIZE(headers), true);
}

static void start(const struct dial_env *env, unsigned int *count, struct h2_stream *stream,
	const struct target *target, bool icmp)
{
	struct ip_endpoint endpoint = {.addr = target->addr, .port = target->port};

	if (!target_allowed(&env->policy, &endpoint))
		reply_reason(stream, REASON_FORBIDDEN);
	else
		associate(env, count, stream, &endpoint, icmp);
}

void datagram_start_udp(const struct dial_env *env, unsigned int *count, struct h2_stream *stream,
	const struct h2_head *head)
{
	struct target target;

	if (target_parse_udp(head->path, &target) < 0)
		reply_status(stream, 400);
	else
		start(env, count, stream, &target, false);
}

void datagram_start_endpoint(const struct dial_env *env, unsigned int *count,
	struct h2_stream *stream, const struct ip_endpoint *target)
{
	associate(env, count, stream, target, false);
}

void datagram_start_icmp(const struct dial_env *env, unsigned int *count, struct h2_stream *stream,
	const struct h2_head *head)
{
	struct target target;

	if (target_parse_icmp(head->path, &target) < 0)
		reply_status(stream, 400);
	else
		start(env, count, stream, &target, true);
}
