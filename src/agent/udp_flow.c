/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   ASKING -> LAPTOP      answered with 200
 *   ASKING -> APP         anything else, or nothing in time
 *
 *   LAPTOP -> APP         nobody listens there, which only an ICMP error tells
 *
 * Datagrams wait as capsules in `out`: on the way to the laptop they are sent so, on the way to the
 * app they are parsed again. What was sent to the laptop and not answered is in `kept` for a
 * moment, for the app if the laptop's program is not there. `timer` bounds ASKING, and then the
 * idle time.
 */
#include "agent/udp_flow.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/udp.h"
#include "agent/udp_app.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/log.h"
#include "tunnel/capsule.h"
#include "tunnel/h2.h"
#include "tunnel/reason.h"

/* Waiting in one flow, and in all of a port. */
#define QUEUE_BYTES     (256 * 1024)
#define QUEUE_ALL_BYTES (8 * 1024 * 1024)
/* Of all of a port, what is kept. */
#define KEPT_ALL_BYTES (1024 * 1024)
/* The laptop's word that nobody listens there comes in this time, or nobody hears it. */
#define KEEP_MS    1000
#define CANCEL     0x8 /* RFC 9113 7 */
#define PATH_BYTES (ADDR_TEXT_BYTES + 64)

enum udp_state { ASKING, LAPTOP, APP };

/* Zeroed before it is filled: it is hashed as bytes. */
struct udp_key {
	struct ip_endpoint source, target;
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
	struct buf kept; /* sent to the laptop since kept_ms, in LAPTOP */
	uint64_t kept_ms;
	struct udp_app *app; /* in APP */
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

static void drop_kept(struct udp_flow *flow)
{
	flow->flows->kept_bytes -= buf_len(&flow->kept);
	/* The memory too: there are many flows. */
	buf_done(&flow->kept);
	buf_init(&flow->kept, QUEUE_BYTES);
}

static void drop(struct udp_flow *flow)
{
	HASH_DEL(flow->flows->table, flow);
	flow->flows->engine->flow_count--;
	drop_stream(flow);
	drop_queue(flow);
	drop_kept(flow);
	capsule_parser_done(&flow->parser);
	udp_app_close(TAKE_PTR(flow->app));
	uv_close((uv_handle_t *)&flow->timer, on_timer_closed);
}

/* What is kept of it, if anything is. */
static bool is_old(const struct udp_flow *flow)
{
	return uv_now(flow->flows->engine->loop) - flow->kept_ms >= KEEP_MS;
}

static void on_idle(uv_timer_t *timer)
{
	struct udp_flow *flow = container_of(timer, struct udp_flow, timer);
	uint64_t idle = uv_now(flow->flows->engine->loop) - flow->active_ms;

	if (idle >= UDP_FLOW_IDLE_MS) {
		drop(flow);
		return;
	}
	if (is_old(flow))
		drop_kept(flow);
	(void)uv_timer_start(
		timer, on_idle, buf_len(&flow->kept) ? KEEP_MS : UDP_FLOW_IDLE_MS - idle, 0);
}

static void answer(void *user, const uint8_t *payload, size_t len)
{
	struct udp_flow *flow = user;

	flow->active_ms = uv_now(flow->flows->engine->loop);
	drop_kept(flow);
	udp_port_send(flow->flows->port, &flow->key.target, &flow->key.source, payload, len);
}

static void send_to_app(void *user, const uint8_t *payload, size_t len)
{
	struct udp_flow *flow = user;

	udp_app_send(flow->app, payload, len);
}

/* What nobody has answered: our own capsules, whole, and none too long. */
static void replay(struct udp_flow *flow)
{
	const struct buf *unanswered = flow->state == LAPTOP ? &flow->kept : &flow->out;

	/* An answer of the laptop may have come in part. */
	capsule_parser_done(&flow->parser);
	capsule_parser_init(&flow->parser);
	if (buf_len(unanswered) > 0 && capsule_parse(&flow->parser, buf_head(unanswered),
					       buf_len(unanswered), send_to_app, flow) < 0)
		log_warn("datagrams lost", "why=\"%s\"", "own capsules");
	drop_queue(flow);
	drop_kept(flow);
}

static void to_app(struct udp_flow *flow)
{
	int r = udp_app_open(
		flow->flows->engine->loop, &flow->key.target, answer, flow, &flow->app);

	if (r < 0) {
		log_warn("datagrams lost", "why=\"%s\"", strerror(-r));
		drop(flow);
		return;
	}
	replay(flow);
	flow->state = APP;
	(void)uv_timer_start(&flow->timer, on_idle, UDP_FLOW_IDLE_MS, 0);
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

/* One capsule or several, until an answer or KEEP_MS; not when there are too many. */
static void keep(struct udp_flow *flow, const uint8_t *data, size_t len)
{
	if (is_old(flow))
		drop_kept(flow);
	if (buf_len(&flow->kept) == 0) {
		flow->kept_ms = uv_now(flow->flows->engine->loop);
		(void)uv_timer_start(&flow->timer, on_idle, KEEP_MS, 0);
	}
	if (flow->flows->kept_bytes + len <= KEPT_ALL_BYTES &&
		buf_append(&flow->kept, data, len) == 0)
		flow->flows->kept_bytes += len;
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
	keep(flow, buf_head(&flow->out), buf_len(&flow->out));
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

static void on_close(void *user, uint32_t code)
{
	struct udp_flow *flow = user;

	flow->stream = NULL;
	if (flow->state == ASKING)
		fall_back(flow, REASON_NO_CLIENT);
	else if (reason_of_reset(code) != REASON_NONE)
		fall_back(flow, reason_of_reset(code));
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
	buf_init(&flow->kept, QUEUE_BYTES);
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
	size_t header_len = capsule_header(header, len), all = header_len + len;

	if ((flow->state == ASKING && flow->waiting >= UDP_FLOW_WAITING) ||
		buf_room(&flow->out) < all || flow->flows->queued_bytes + all > QUEUE_ALL_BYTES ||
		buf_append(&flow->out, header, header_len) < 0 ||
		buf_append(&flow->out, data, len) < 0)
		return;
	flow->flows->queued_bytes += all;
	flow->waiting++;
	if (flow->state == LAPTOP)
		keep(flow, buf_head(&flow->out) + buf_len(&flow->out) - all, all);
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
