/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offsets and acknowledgements are in the framing so that a pipe can move to another carrier and
 * send again what the old one lost. Here they are checked and sent; nothing is kept for a replay.
 *
 * Heartbeat: any byte of the peer is a sign of life, a PING asks for one. A timer that fires late
 * says that this process stood still (SIGSTOP, a suspended laptop), not that the peer was silent:
 * then the peer gets one more PING and its time to answer it.
 *
 * Before the allowed silence is over an unanswered PING already says that the path may be cut: the
 * owner hears of it and may look for another one, while this one has its chance.
 */
#include "tunnel/pipe.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/wire.h"
#include "tunnel/carrier.h"
#include "tunnel/pipe_priv.h"

/* Received bytes that are worth an ACK, but not more often than ACK_MS unless a lot is due: every
 * ACK is a TLS record, a packet, and a message that each relay on the way handles by itself. One
 * for every 16 KiB took half the bulk throughput through an API server. */
#define ACK_BYTES      (16 * 1024)
#define ACK_MS         2
#define ACK_BULK_BYTES (256 * 1024)
/* A timer later than a quarter of the allowed silence was not the peer's fault. */
#define LATE_PART 4
/* What is left to the peer then, as a part of the allowed silence. */
#define GRACE_PART 2
/* Round trips without an answer that say something. */
#define SUSPECT_ROUNDS 4

static uint64_t now_ms(void)
{
	return uv_hrtime() / 1000000;
}

static void pipe_fail(struct pipe *pipe, const struct err *err)
{
	if (pipe->dead)
		return;
	pipe->dead = true;
	uv_timer_stop(&pipe->timer);
	uv_timer_stop(&pipe->ack_timer);
	pipe->events.on_closed(pipe->user, err);
}

void pipe_send_record(struct pipe *pipe, uint8_t type, const void *payload, size_t len)
{
	uint8_t record[PIPE_HEADER_BYTES + PIPE_CONTROL_MAX_BYTES];
	struct wire wire = wire_writer(record, sizeof(record));

	if (pipe->dead)
		return;
	wire_put_u32(&wire, (uint32_t)type << 24 | (uint32_t)len);
	wire_put(&wire, payload, len);
	assert(wire_ok(&wire));
	carrier_send(pipe->carrier, record, wire.pos);
}

static void send_u64(struct pipe *pipe, uint8_t type, uint64_t value)
{
	uint8_t payload[8];
	struct wire wire = wire_writer(payload, sizeof(payload));

	wire_put_u64(&wire, value);
	pipe_send_record(pipe, type, payload, sizeof(payload));
}

/* Whether the peer is to hear now how far its bytes came. */
static bool ack_due(const struct pipe *pipe, uint64_t now)
{
	uint64_t due = pipe->rx_offset - pipe->rx_acked;

	return due >= ACK_BULK_BYTES || (due >= ACK_BYTES && now - pipe->last_ack_ms >= ACK_MS);
}

static void send_ack(struct pipe *pipe, uint64_t now)
{
	uv_timer_stop(&pipe->ack_timer);
	pipe->rx_acked = pipe->rx_offset;
	pipe->last_ack_ms = now;
	send_u64(pipe, PIPE_ACK, pipe->rx_offset);
}

static void on_ack_timer(uv_timer_t *timer);

/* What is owed to the peer and may wait for room: a peer that asks without reading gets no queue.
 */
static void send_due(struct pipe *pipe)
{
	uint64_t now = now_ms();

	if (pipe->dead || carrier_room(pipe->carrier) == 0)
		return;
	if (pipe->pong_due) {
		pipe->pong_due = false;
		send_u64(pipe, PIPE_PONG, pipe->pong_token);
		/* The rest of a burst that was too little for an ACK of its own. */
		if (pipe->rx_offset > pipe->rx_acked)
			send_ack(pipe, now);
	}
	if (ack_due(pipe, now))
		send_ack(pipe, now);
	else if (pipe->rx_offset - pipe->rx_acked >= ACK_BYTES &&
		 !uv_is_active((uv_handle_t *)&pipe->ack_timer))
		uv_timer_start(&pipe->ack_timer, on_ack_timer, ACK_MS, 0);
}

/* The peer may be waiting for this ACK before it sends more. */
static void on_ack_timer(uv_timer_t *timer)
{
	send_due(container_of(timer, struct pipe, ack_timer));
}

static void send_ping(struct pipe *pipe, uint64_t now)
{
	pipe->last_ping_ms = now;
	if (pipe->asked_ms == 0)
		pipe->asked_ms = now;
	/* Without room there are bytes under way whose ACK is as good an answer. */
	if (carrier_room(pipe->carrier) == 0)
		return;
	if (pipe->rx_offset > pipe->rx_acked)
		send_ack(pipe, now);
	pipe->ping_ns = uv_hrtime();
	send_u64(pipe, PIPE_PING, pipe->ping_ns);
}

static void on_timer(uv_timer_t *timer);

/* When the peer becomes suspect; UINT64_MAX: it was not asked, or is already. */
static uint64_t suspect_due(const struct pipe *pipe)
{
	uint64_t wait_ms = pipe->check_due_ms > 0 ? PIPE_CHECK_SUSPECT_MS : pipe->config.suspect_ms;

	if (pipe->config.suspect_ms == 0 || pipe->asked_ms == 0 || pipe->silent)
		return UINT64_MAX;
	return pipe->asked_ms + MAX(wait_ms, (uint64_t)pipe->rtt_us * SUSPECT_ROUNDS / 1000);
}

static void arm_timer(struct pipe *pipe, uint64_t now)
{
	uint64_t due = pipe->last_rx_ms + pipe->config.silence_ms;

	if (pipe->config.ping_ms > 0)
		due = MIN(due, pipe->last_ping_ms + pipe->config.ping_ms);
	if (pipe->check_due_ms > 0)
		due = MIN(due, pipe->check_due_ms);
	due = MIN(due, suspect_due(pipe));
	pipe->timer_due_ms = MAX(due, now + 1);
	uv_update_time(pipe->timer.loop);
	uv_timer_start(&pipe->timer, on_timer, pipe->timer_due_ms - now, 0);
}

void pipe_check(struct pipe *pipe)
{
	uint64_t now = now_ms();

	if (!pipe->open || pipe->dead)
		return;
	pipe->check_due_ms = now + MAX((uint64_t)PIPE_CHECK_MS, pipe->rtt_us / 250);
	pipe->asked_ms = 0;
	send_ping(pipe, now);
	if (!pipe->dead)
		arm_timer(pipe, now);
}

static void check_suspect(struct pipe *pipe, uint64_t now, bool late)
{
	if (now < suspect_due(pipe))
		return;
	if (late) {
		pipe->asked_ms = 0;
		send_ping(pipe, now);
		return;
	}
	pipe->silent = true;
	pipe->events.on_silence(pipe->user, true);
}

static void on_timer(uv_timer_t *timer)
{
	struct pipe *pipe = container_of(timer, struct pipe, timer);
	uint64_t now = now_ms();
	bool late = now > pipe->timer_due_ms + pipe->config.silence_ms / LATE_PART;
	struct err err = ERR_INIT;

	if (pipe->check_due_ms > 0 && now >= pipe->check_due_ms) {
		if (!late) {
			err_set(&err, -ETIMEDOUT, ERR_UNREACHABLE,
				"the other end of the tunnel is silent after the network changed");
			pipe_fail(pipe, &err);
			return;
		}
		pipe_check(pipe);
	}
	if (now >= pipe->last_rx_ms + pipe->config.silence_ms) {
		if (!late) {
			err_set(&err, -ETIMEDOUT, ERR_UNREACHABLE,
				"the other end of the tunnel has been silent for %u ms",
				pipe->config.silence_ms);
			pipe_fail(pipe, &err);
			return;
		}
		pipe->last_rx_ms = now - pipe->config.silence_ms / GRACE_PART;
		send_ping(pipe, now);
	} else if (pipe->config.ping_ms > 0 && now >= pipe->last_ping_ms + pipe->config.ping_ms) {
		send_ping(pipe, now);
	}
	check_suspect(pipe, now, late);
	if (!pipe->dead)
		arm_timer(pipe, now);
}

/* The peer is alive. */
static void heard(struct pipe *pipe)
{
	bool asked = pipe->asked_ms > 0;

	pipe->last_rx_ms = now_ms();
	pipe->check_due_ms = pipe->asked_ms = 0;
	pipe->heard_ms = uv_now(pipe->timer.loop);
	/* Once for each PING: the timer need not go off where it was to be suspected. */
	if (asked && pipe->config.suspect_ms > 0)
		arm_timer(pipe, pipe->last_rx_ms);
	if (pipe->silent) {
		pipe->silent = false;
		pipe->events.on_silence(pipe->user, false);
	}
}

static void on_carrier_data(void *user, const uint8_t *data, size_t len)
{
	struct pipe *pipe = user;
	struct err err = ERR_INIT;
	ssize_t r = 0;

	heard(pipe);
	while (len > 0 && !pipe->dead) {
		r = pipe_take(pipe, data, len, &err);
		if (r < 0)
			break;
		data += r;
		len -= (size_t)r;
	}
	if (r < 0)
		pipe_fail(pipe, &err);
	else
		send_due(pipe);
}

static void on_carrier_writable(void *user)
{
	struct pipe *pipe = user;

	send_due(pipe);
	if (!pipe->dead)
		pipe->events.on_writable(pipe->user);
}

static void on_carrier_closed(void *user, const struct err *err)
{
	struct err closed = ERR_INIT;

	if (err && err->kind != ERR_NONE)
		closed = *err;
	else
		err_set(&closed, -ECONNRESET, ERR_UNREACHABLE,
			"the other end closed the connection");
	pipe_fail(user, &closed);
}

struct pipe *pipe_new(uv_loop_t *loop, struct carrier *carrier, const struct pipe_config *config,
	const struct pipe_events *events, void *user)
{
	static const struct carrier_events carrier_events = {
		.on_data = on_carrier_data,
		.on_writable = on_carrier_writable,
		.on_closed = on_carrier_closed,
	};
	struct pipe *pipe = XNEW(struct pipe);

	pipe->carrier = carrier;
	pipe->config = *config;
	pipe->events = *events;
	pipe->user = user;
	uv_timer_init(loop, &pipe->timer);
	uv_timer_init(loop, &pipe->ack_timer);
	pipe->handles = 2;
	flight_init(&pipe->tx, uv_hrtime() / 1000);
	carrier_start(carrier, &carrier_events, pipe);
	return pipe;
}

void pipe_open(struct pipe *pipe)
{
	uint64_t now = now_ms();

	pipe->open = true;
	pipe->last_rx_ms = pipe->last_ping_ms = now;
	if (pipe->config.ping_ms > 0)
		send_ping(pipe, now);
	arm_timer(pipe, now);
}

size_t pipe_room(const struct pipe *pipe)
{
	return pipe->dead ? 0 : MIN(flight_room(&pipe->tx), carrier_room(pipe->carrier));
}

void pipe_send_data(struct pipe *pipe, uint8_t *record, size_t len)
{
	struct wire wire = wire_writer(record, PIPE_DATA_HEADER_BYTES);

	assert(pipe->open && len > 0 && len <= PIPE_DATA_MAX_BYTES);
	if (pipe->dead)
		return;
	wire_put_u32(&wire, (uint32_t)PIPE_DATA << 24 | (uint32_t)(len + PIPE_OFFSET_BYTES));
	wire_put_u64(&wire, pipe->tx.sent);
	flight_sent(&pipe->tx, len, uv_hrtime() / 1000);
	carrier_send(pipe->carrier, record, PIPE_DATA_HEADER_BYTES + len);
}

uint64_t pipe_heard_ms(const struct pipe *pipe)
{
	return pipe->heard_ms;
}

uint64_t pipe_rate(const struct pipe *pipe)
{
	return pipe->tx.rate;
}

uint32_t pipe_rtt_us(const struct pipe *pipe)
{
	/* A side that sends no PING knows what its own bytes and their ACKs took. */
	return pipe->rtt_us ? pipe->rtt_us : flight_base_us(&pipe->tx);
}

const char *pipe_carrier(const struct pipe *pipe)
{
	return pipe->carrier->ops->name;
}

static void handle_closed(struct pipe *pipe)
{
	if (--pipe->handles > 0)
		return;
	carrier_free(pipe->carrier);
	free(pipe);
}

static void on_timer_closed(uv_handle_t *handle)
{
	handle_closed(container_of(handle, struct pipe, timer));
}

static void on_ack_timer_closed(uv_handle_t *handle)
{
	handle_closed(container_of(handle, struct pipe, ack_timer));
}

void pipe_free(struct pipe *pipe)
{
	if (!pipe)
		return;
	pipe->dead = true;
	uv_close((uv_handle_t *)&pipe->timer, on_timer_closed);
	uv_close((uv_handle_t *)&pipe->ack_timer, on_ack_timer_closed);
}
