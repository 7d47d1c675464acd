/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   PEEKING -> ASKING -> RELAYING -> OVER      the laptop has it
 *   PEEKING, ASKING -> BYPASSING -> OVER       the app has it
 *
 * PEEKING is only for what comes from the node to a port that the kubelet probes by HTTP.
 * `timer` bounds PEEKING and ASKING; the flow is freed when it is closed and the state is OVER.
 */
#include "agent/tcp_flow.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

#include "agent/bypass.h"
#include "agent/peek.h"
#include "core/alloc.h"
#include "core/log.h"
#include "net/socket.h"
#include "tunnel/h2.h"
#include "tunnel/relay.h"

#define PEEK_MS    1000
#define PEEK_BYTES 8192
#define CANCEL     0x8 /* RFC 9113 7 */

enum flow_state { PEEKING, ASKING, RELAYING, BYPASSING, OVER };

struct tcp_flow {
	struct engine *engine;
	LIST_ENTRY(tcp_flow) entry;
	enum flow_state state;
	int fd; /* until relay or bypass takes it */
	struct ip_endpoint source, target;
	char intercept[ENGINE_UID_BYTES];
	bool close_on_refuse;
	bool timer_closed;
	uv_timer_t timer;
	uv_poll_t *poll; /* in PEEKING; frees itself */
	ssize_t peeked; /* bytes that were seen there */
	struct h2_stream *stream; /* in ASKING */
	struct relay *relay; /* in RELAYING */
	struct bypass *bypass; /* in BYPASSING */
};

static void ask(struct tcp_flow *flow);

struct tcp_flow *tcp_flow_next(struct tcp_flow *flow)
{
	return LIST_NEXT(flow, entry);
}

static void free_if_over(struct tcp_flow *flow)
{
	if (flow->state == OVER && flow->timer_closed)
		free(flow);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct tcp_flow *flow = container_of(handle, struct tcp_flow, timer);

	flow->timer_closed = true;
	free_if_over(flow);
}

static void close_timer(struct tcp_flow *flow)
{
	if (!uv_is_closing((uv_handle_t *)&flow->timer))
		uv_close((uv_handle_t *)&flow->timer, on_timer_closed);
}

static void finish(struct tcp_flow *flow)
{
	if (flow->fd >= 0)
		socket_reset(take_fd(&flow->fd));
	LIST_REMOVE(flow, entry);
	flow->engine->flow_count--;
	flow->state = OVER;
	engine_free_if_done(flow->engine);
	close_timer(flow);
	free_if_over(flow);
}

static void on_bypass_done(void *user)
{
	struct tcp_flow *flow = user;

	flow->bypass = NULL;
	finish(flow);
}

static void to_app(struct tcp_flow *flow)
{
	flow->state = BYPASSING;
	close_timer(flow);
	bypass_start(flow->engine->loop, take_fd(&flow->fd), &flow->target, INTERCEPT_MARK,
		on_bypass_done, flow, &flow->bypass);
}

/* The laptop did not take it. */
static void fall_back(struct tcp_flow *flow, enum reason reason)
{
	engine_count_fallback(flow->engine, flow->intercept, reason);
	log_debug("fallback", "intercept=%s reason=%s", flow->intercept, reason_name(reason));
	if (reason == REASON_REFUSED && flow->close_on_refuse)
		finish(flow);
	else
		to_app(flow);
}

/* In ASKING: the stream goes on without a listener. */
static void drop_stream(struct tcp_flow *flow)
{
	static const struct h2_stream_events none;
	struct h2_stream *stream = TAKE_PTR(flow->stream);

	h2_stream_set_events(stream, &none, NULL);
	h2_stream_reset(stream, CANCEL);
}

static void on_relay_done(void *user, const struct relay_stats *stats UNUSED)
{
	struct tcp_flow *flow = user;

	flow->relay = NULL;
	finish(flow);
}

static void on_head(void *user, const struct h2_head *head)
{
	struct tcp_flow *flow = user;
	const char *name = h2_head_get(head, REASON_HEADER);

	if (head->status != 200) {
		drop_stream(flow);
		fall_back(flow, name ? reason_parse(name) : REASON_INTERNAL);
		return;
	}
	flow->state = RELAYING;
	close_timer(flow);
	flow->relay = relay_new(flow->engine->loop);
	relay_set_stream(flow->relay, TAKE_PTR(flow->stream));
	if (relay_start(flow->relay, take_fd(&flow->fd), on_relay_done, flow) < 0) {
		flow->relay = NULL;
		finish(flow);
	}
}

/* Bytes go out only after the answer, by the relay. */
static ssize_t on_read(void *user UNUSED, uint8_t *out UNUSED, size_t len UNUSED)
{
	return H2_READ_AGAIN;
}

/* No answer: the manager or its connection has gone. */
static void on_close(void *user, uint32_t code UNUSED)
{
	struct tcp_flow *flow = user;

	flow->stream = NULL;
	fall_back(flow, REASON_NO_CLIENT);
}

static int request(struct tcp_flow *flow)
{
	static const struct h2_stream_events events = {
		.on_head = on_head, .on_read = on_read, .on_close = on_close};
	char authority[ADDR_TEXT_BYTES], source[ADDR_TEXT_BYTES];
	const struct h2_header headers[] = {
		{"telepresence-intercept", flow->intercept},
		{"telepresence-source", ip_endpoint_format(&flow->source, source)},
	};
	const struct h2_head head = {
		.method = "CONNECT",
		.authority = ip_endpoint_format(&flow->target, authority),
		.headers = headers,
		.header_count = ARRAY_SIZE(headers),
	};

	if (!flow->engine->h2)
		return -ENOTCONN;
	return h2_request(flow->engine->h2, &head, &events, flow, &flow->stream);
}

static void on_ask_timeout(uv_timer_t *timer)
{
	struct tcp_flow *flow = container_of(timer, struct tcp_flow, timer);

	drop_stream(flow);
	fall_back(flow, REASON_TIMED_OUT);
}

static void ask(struct tcp_flow *flow)
{
	flow->state = ASKING;
	engine_count_connection(flow->engine, flow->intercept);
	if (request(flow) < 0) {
		fall_back(flow, REASON_NO_CLIENT);
		return;
	}
	(void)uv_timer_start(&flow->timer, on_ask_timeout, ENGINE_ASK_MS, 0);
}

static void on_poll_closed(uv_handle_t *handle)
{
	free(handle);
}

/* PEEKING is over: the socket is as if it had never been looked at. */
static void stop_peeking(struct tcp_flow *flow)
{
	int one = 1;

	(void)uv_timer_stop(&flow->timer);
	(void)uv_poll_stop(flow->poll);
	uv_close((uv_handle_t *)TAKE_PTR(flow->poll), on_poll_closed);
	(void)setsockopt(flow->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
}

static void on_peek_timeout(uv_timer_t *timer)
{
	struct tcp_flow *flow = container_of(timer, struct tcp_flow, timer);

	stop_peeking(flow);
	ask(flow);
}

static void on_peek(uv_poll_t *poll, int status UNUSED, int events UNUSED)
{
	struct tcp_flow *flow = poll->data;
	uint8_t bytes[PEEK_BYTES];
	ssize_t n = recv(flow->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
	enum peek_result result;
	int more = (int)n + 1;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* A connection that says nothing and ends is a probe too. */
	result = n <= 0 ? PEEK_PROBE : peek_first_bytes(bytes, (size_t)n);
	/* Woken with nothing new: it is all that comes. */
	if (result == PEEK_MORE && n < PEEK_BYTES && n != flow->peeked) {
		flow->peeked = n;
		/* Readable again when there is more than that. */
		(void)setsockopt(flow->fd, SOL_SOCKET, SO_RCVLOWAT, &more, sizeof(more));
		return;
	}
	stop_peeking(flow);
	if (result == PEEK_PROBE)
		to_app(flow);
	else
		ask(flow);
}

static void peek(struct tcp_flow *flow)
{
	uv_poll_t *poll = XNEW(uv_poll_t);

	if (uv_poll_init(flow->engine->loop, poll, flow->fd) < 0) {
		free(poll);
		ask(flow);
		return;
	}
	flow->poll = poll;
	flow->state = PEEKING;
	poll->data = flow;
	(void)uv_timer_start(&flow->timer, on_peek_timeout, PEEK_MS, 0);
	(void)uv_poll_start(poll, UV_READABLE, on_peek);
}

void tcp_flow_start(struct engine *engine, int fd, const struct ip_endpoint *source,
	const struct ip_endpoint *target)
{
	const struct engine_port *port = engine_find_port(engine, target->port, IPPROTO_TCP);
	struct tcp_flow *flow;
	int one = 1;

	if (engine_take_expected(engine, source, target->port, IPPROTO_TCP)) {
		socket_reset(fd);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	flow = XNEW(struct tcp_flow);
	flow->engine = engine;
	flow->fd = fd;
	flow->source = *source;
	flow->target = *target;
	(void)uv_timer_init(engine->loop, &flow->timer);
	LIST_INSERT_HEAD(&engine->flows, flow, entry);
	engine->flow_count++;
	if (!port) {
		/* The port was given back between SYN and accept. */
		to_app(flow);
		return;
	}
	(void)snprintf(flow->intercept, sizeof(flow->intercept), "%s", port->intercept);
	flow->close_on_refuse = port->close_on_refuse;
	if (port->probe == ENGINE_PROBE_HTTP && engine_is_node(engine, &source->addr))
		peek(flow);
	else
		ask(flow);
}

void tcp_flow_abort(struct tcp_flow *flow)
{
	switch (flow->state) {
	case PEEKING:
		stop_peeking(flow);
		break;
	case ASKING:
		drop_stream(flow);
		break;
	case RELAYING:
		relay_abort(flow->relay);
		return;
	case BYPASSING:
		bypass_abort(flow->bypass);
		return;
	case OVER:
		return;
	}
	finish(flow);
}
