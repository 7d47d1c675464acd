/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   ASKING -> LAPTOP      answered with 200
 *   ASKING -> APP         anything else, or nothing in time
 *
 * Datagrams wait as capsules in `out`: on the way to the laptop they are sent so, on the way to the
 * app they are parsed again. `timer` bounds ASKING, and then the idle time.
 */
#include "agent/udp_flow.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/udp.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/log.h"
#include "tunnel/capsule.h"
#include "tunnel/h2.h"

/* Waiting in one flow, and in all of a port. */
#define QUEUE_BYTES     (256 * 1024)
#define QUEUE_ALL_BYTES (8 * 1024 * 1024)
/* Answers of the app taken per wake-up of the loop. */
#define RECEIVE_BATCH 64
#define CANCEL        0x8 /* RFC 9113 7 */
#define PATH_BYTES    (ADDR_TEXT_BYTES + 64)

enum udp_state { ASKING, LAPTOP, APP };

/* Zeroed before it is filled: it is hashed as bytes. */
struct udp_key {
	struct ip_endpoint source, target;
};

struct app_socket {
	struct udp_flow *flow;
	uv_poll_t poll;
	int fd;
};

struct udp_flow {
	struct udp_flows *flows;
	struct udp_key key;
	char intercept[ENGINE_UID_BYTES];
	bool close_on_refuse;
	enum udp_state state;
	uv_timer_t timer;
	uint64_t active_ms;
	struct h2_stream *stream; /* in ASKING and LAPTOP */
	struct capsule_parser parser;
	struct buf out;
	unsigned int waiting; /* datagrams in `out`, in ASKING */
	struct app_socket *app; /* in APP */
	UT_hash_handle hh;
};

static struct udp_key make_key(const struct ip_endpoint *source, const struct ip_endpoint *target)
{
	struct udp_key key;

	memset(&key, 0, sizeof(key));
	key.source.addr = source->addr;
	key.source.port = source->port;
	key.target.addr = target->addr;
	key.target.port = target->port;
	return key;
}

static void on_app_closed(uv_handle_t *handle)
{
	free(container_of(handle, struct app_socket, poll));
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(container_of(handle, struct udp_flow, timer));
}

/* Forgets the stream; its events do not come here any more. */
static void drop_stream(struct udp_flow *flow)
{
	static const struct h2_stream_events none;
	struct h2_stream *stream = TAKE_PTR(flow->stream);

	if (!stream)
		return;
	h2_stream_set_events(stream, &none, NULL);
	h2_stream_reset(stream, CANCEL);
}

static void drop_queue(struct udp_flow *flow)
{
	flow->flows->queued_bytes -= buf_len(&flow->out);
	buf_done(&flow->out);
}

static void drop(struct udp_flow *flow)
{
	struct app_socket *app = TAKE_PTR(flow->app);

	HASH_DEL(flow->flows->table, flow);
	flow->flows->engine->flow_count--;
	drop_stream(flow);
	drop_queue(flow);
	capsule_parser_done(&flow->parser);
	if (app) {
		uv_close((uv_handle_t *)&app->poll, on_app_closed);
		close(app->fd);
	}
	uv_close((uv_handle_t *)&flow->timer, on_timer_closed);
}

static void on_idle(uv_timer_t *timer)
{
	struct udp_flow *flow = container_of(timer, struct udp_flow, timer);
	uint64_t idle = uv_now(flow->flows->engine->loop) - flow->active_ms;

	if (idle >= UDP_FLOW_IDLE_MS)
		drop(flow);
	else
		(void)uv_timer_start(timer, on_idle, UDP_FLOW_IDLE_MS - idle, 0);
}

static void answer(void *user, const uint8_t *payload, size_t len)
{
	struct udp_flow *flow = user;

	flow->active_ms = uv_now(flow->flows->engine->loop);
	udp_port_send(flow->flows->port, &flow->key.target, &flow->key.source, payload, len);
}

static void on_app_poll(uv_poll_t *poll, int status, int events UNUSED)
{
	struct app_socket *app = container_of(poll, struct app_socket, poll);
	uint8_t data[CAPSULE_PAYLOAD_MAX_BYTES];

	for (int i = 0; i < RECEIVE_BATCH; i++) {
		ssize_t n = recv(app->fd, data, sizeof(data), MSG_DONTWAIT);

		if (n >= 0)
			answer(app->flow, data, (size_t)n);
		else if (errno == EAGAIN)
			break;
		/* Else the app's ICMP error, which is silence here. */
	}
	/* libuv has stopped it on that error. */
	if (status < 0)
		(void)uv_poll_start(poll, UV_READABLE, on_app_poll);
}

static int open_app(struct udp_flow *flow)
{
	const uint32_t mark = INTERCEPT_MARK;
	struct sockaddr_storage sa;
	socklen_t len = ip_endpoint_to_sockaddr(&flow->key.target, &sa);
	auto_close int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct app_socket *app;
	int r;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ||
		connect(fd, (const struct sockaddr *)&sa, len) < 0)
		return -errno;
	app = XNEW(struct app_socket);
	app->flow = flow;
	r = uv_poll_init(flow->flows->engine->loop, &app->poll, fd);
	if (r < 0) {
		free(app);
		return r;
	}
	app->fd = take_fd(&fd);
	(void)uv_poll_start(&app->poll, UV_READABLE, on_app_poll);
	flow->app = app;
	return 0;
}

static void send_to_app(void *user, const uint8_t *payload, size_t len)
{
	struct udp_flow *flow = user;

	/* The first call may only report the ICMP error of an earlier datagram. */
	if (send(flow->app->fd, payload, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
		errno == ECONNREFUSED)
		(void)send(flow->app->fd, payload, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void to_app(struct udp_flow *flow)
{
	int r = open_app(flow);

	if (r < 0) {
		log_warn("datagrams lost", "why=\"%s\"", strerror(-r));
		drop(flow);
		return;
	}
	flow->state = APP;
	(void)uv_timer_start(&flow->timer, on_idle, UDP_FLOW_IDLE_MS, 0);
	/* Our own capsules: whole, and none too long. */
	if (buf_len(&flow->out) > 0 && capsule_parse(&flow->parser, buf_head(&flow->out),
					       buf_len(&flow->out), send_to_app, flow) < 0)
		log_warn("datagrams lost", "why=\"%s\"", "own capsules");
	drop_queue(flow);
}

/* The laptop did not take it; the stream is forgotten. */
static void fall_back(struct udp_flow *flow, enum reason reason)
{
	engine_count_fallback(flow->flows->engine, flow->intercept, reason);
	log_debug("fallback", "intercept=%s reason=%s", flow->intercept, reason_name(reason));
	if (reason == REASON_REFUSED && flow->close_on_refuse)
		drop(flow);
	else
		to_app(flow);
}

static void on_head(void *user, const struct h2_head *head)
{
	struct udp_flow *flow = user;

	if (head->status != 200) {
		drop_stream(flow);
		fall_back(flow, reason_parse(h2_head_get(head, REASON_HEADER)));
		return;
	}
	flow->state = LAPTOP;
	(void)uv_timer_start(&flow->timer, on_idle, UDP_FLOW_IDLE_MS, 0);
	h2_stream_resume(flow->stream);
}

static void on_data(void *user, const uint8_t *data, size_t len)
{
	struct udp_flow *flow = user;

	h2_stream_consumed(flow->stream, len);
	if (capsule_parse(&flow->parser, data, len, answer, flow) < 0)
		drop(flow);
}

static void on_end(void *user)
{
	drop(user);
}

static ssize_t on_read(void *user, uint8_t *out, size_t len)
{
	struct udp_flow *flow = user;
	size_t n = MIN(len, buf_len(&flow->out));

	if (n == 0 || flow->state == ASKING)
		return H2_READ_AGAIN;
	memcpy(out, buf_head(&flow->out), n);
	buf_consume(&flow->out, n);
	flow->flows->queued_bytes -= n;
	return (ssize_t)n;
}

static void on_close(void *user, uint32_t code UNUSED)
{
	struct udp_flow *flow = user;

	flow->stream = NULL;
	if (flow->state == ASKING)
		fall_back(flow, REASON_NO_CLIENT);
	else
		drop(flow);
}

static int request(struct udp_flow *flow)
{
	static const struct h2_stream_events events = {.on_head = on_head,
		.on_data = on_data,
		.on_end = on_end,
		.on_read = on_read,
		.on_close = on_close};
	char host[ADDR_TEXT_BYTES], source[ADDR_TEXT_BYTES], path[PATH_BYTES];
	const struct h2_header headers[] = {
		{"capsule-protocol", "?1"},
		{"telepresence-intercept", flow->intercept},
		{"telepresence-source", ip_endpoint_format(&flow->key.source, source)},
	};
	const struct h2_head head = {
		.method = "CONNECT",
		.protocol = "connect-udp",
		.authority = "traffic-manager",
		.path = path,
		.headers = headers,
		.header_count = ARRAY_SIZE(headers),
	};

	if (!flow->flows->engine->h2)
		return -ENOTCONN;
	(void)snprintf(path, sizeof(path), "/.well-known/masque/udp/%s/%u/",
		ip_addr_format(&flow->key.target.addr, host), flow->key.target.port);
	return h2_request(flow->flows->engine->h2, &head, &events, flow, &flow->stream);
}

static void on_ask_timeout(uv_timer_t *timer)
{
	struct udp_flow *flow = container_of(timer, struct udp_flow, timer);

	drop_stream(flow);
	fall_back(flow, REASON_TIMED_OUT);
}

static struct udp_flow *start(struct udp_flows *flows, const struct udp_key *key)
{
	const struct engine_port *config =
		engine_find_port(flows->engine, key->target.port, IPPROTO_UDP);
	struct udp_flow *flow;

	if (!config || HASH_COUNT(flows->table) >= UDP_FLOW_MAX)
		return NULL;
	flow = XNEW(struct udp_flow);
	flow->flows = flows;
	flow->key = *key;
	flow->close_on_refuse = config->close_on_refuse;
	(void)snprintf(flow->intercept, sizeof(flow->intercept), "%s", config->intercept);
	capsule_parser_init(&flow->parser);
	buf_init(&flow->out, QUEUE_BYTES);
	(void)uv_timer_init(flows->engine->loop, &flow->timer);
	HASH_ADD(hh, flows->table, key, sizeof(flow->key), flow);
	flows->engine->flow_count++;
	return flow;
}

static void ask(struct udp_flow *flow)
{
	engine_count_connection(flow->flows->engine, flow->intercept);
	if (request(flow) < 0)
		fall_back(flow, REASON_NO_CLIENT);
	else
		(void)uv_timer_start(&flow->timer, on_ask_timeout, ENGINE_ASK_MS, 0);
}

/* Queues one datagram, whole or not at all. */
static void enqueue(struct udp_flow *flow, const uint8_t *data, size_t len)
{
	uint8_t header[CAPSULE_HEADER_MAX_BYTES];
	size_t header_len = capsule_header(header, len);

	if ((flow->state == ASKING && flow->waiting >= UDP_FLOW_WAITING) ||
		buf_room(&flow->out) < header_len + len ||
		flow->flows->queued_bytes + header_len + len > QUEUE_ALL_BYTES ||
		buf_append(&flow->out, header, header_len) < 0 ||
		buf_append(&flow->out, data, len) < 0)
		return;
	flow->flows->queued_bytes += header_len + len;
	flow->waiting++;
}

void udp_flow_receive(struct udp_flows *flows, const struct ip_endpoint *source,
	const struct ip_endpoint *target, const uint8_t *data, size_t len)
{
	const struct udp_key key = make_key(source, target);
	struct udp_flow *flow = NULL;
	bool fresh;

	HASH_FIND(hh, flows->table, &key, sizeof(key), flow);
	fresh = !flow;
	if (fresh)
		flow = start(flows, &key);
	if (!flow)
		return;
	flow->active_ms = uv_now(flows->engine->loop);
	if (flow->state == APP) {
		send_to_app(flow, data, len);
		return;
	}
	enqueue(flow, data, len);
	if (fresh)
		ask(flow);
	else if (flow->state == LAPTOP)
		h2_stream_resume(flow->stream);
}

void udp_flow_end_all(struct udp_flows *flows)
{
	struct udp_flow *flow, *next;

	HASH_ITER (hh, flows->table, flow, next)
		drop(flow);
}
