/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offsets and acknowledgements are in the framing so that a pipe can move to another carrier and
 * send again what the old one lost. Here they are checked and sent; nothing is kept for a replay.
 */
#include "tunnel/pipe.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/wire.h"
#include "tunnel/carrier.h"
#include "tunnel/conduit.h"
#include "tunnel/pipe_priv.h"

/* Received bytes that are worth an ACK, but not more often than ACK_MS unless a lot is due: every
 * ACK is a TLS record, a packet, and a message that each relay on the way handles by itself. One
 * for every 16 KiB took half the bulk throughput through an API server. It leaves at the end of the
 * loop's turn, or behind a DATA record of that turn: who receives bulk sends window updates. */
#define ACK_BYTES      (16 * 1024)
#define ACK_MS         2
#define ACK_BULK_BYTES (256 * 1024)

uint64_t pipe_now_ms(void)
{
	return uv_hrtime() / 1000000;
}

void pipe_fail(struct pipe *pipe, const struct err *err)
{
	if (pipe->dead)
		return;
	pipe->dead = true;
	uv_timer_stop(&pipe->timer);
	uv_timer_stop(&pipe->ack_timer);
	uv_prepare_stop(&pipe->ack_turn);
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

void pipe_send_u64(struct pipe *pipe, uint8_t type, uint64_t value)
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

static void mark_acked(struct pipe *pipe, uint64_t now)
{
	uv_timer_stop(&pipe->ack_timer);
	uv_prepare_stop(&pipe->ack_turn);
	pipe->rx_acked = pipe->rx_offset;
	pipe->last_ack_ms = now;
}

void pipe_send_ack(struct pipe *pipe, uint64_t now)
{
	mark_acked(pipe, now);
	pipe_send_u64(pipe, PIPE_ACK, pipe->rx_offset);
}

/* Nothing was sent in this turn that it could have gone along with. */
static void on_ack_turn(uv_prepare_t *prepare)
{
	struct pipe *pipe = container_of(prepare, struct pipe, ack_turn);

	uv_prepare_stop(prepare);
	/* Without room it is due again as soon as there is some. */
	if (!pipe->dead && carrier_room(pipe->carrier) > 0)
		pipe_send_ack(pipe, pipe_now_ms());
}

/* The ACK that is due, behind a DATA record. Its bytes, 0: none is due. */
static size_t put_ack(struct pipe *pipe, uint8_t tail[static PIPE_DATA_TAIL_BYTES])
{
	struct wire wire = wire_writer(tail, PIPE_DATA_TAIL_BYTES);

	if (!uv_is_active((uv_handle_t *)&pipe->ack_turn))
		return 0;
	mark_acked(pipe, pipe_now_ms());
	wire_put_u32(&wire, (uint32_t)PIPE_ACK << 24 | (uint32_t)sizeof(uint64_t));
	wire_put_u64(&wire, pipe->rx_offset);
	return wire.pos;
}

static void on_ack_timer(uv_timer_t *timer);

/* What is owed to the peer and may wait for room: a peer that asks without reading gets no queue.
 */
static void send_due(struct pipe *pipe)
{
	uint64_t now = pipe_now_ms();

	if (pipe->dead || carrier_room(pipe->carrier) == 0)
		return;
	if (pipe->pong_due) {
		pipe->pong_due = false;
		pipe_send_u64(pipe, PIPE_PONG, pipe->pong_token);
		/* The rest of a burst that was too little for an ACK of its own. */
		if (pipe->rx_offset > pipe->rx_acked)
			pipe_send_ack(pipe, now);
		pipe_ask_back(pipe, now);
	}
	if (ack_due(pipe, now))
		uv_prepare_start(&pipe->ack_turn, on_ack_turn);
	else if (pipe->rx_offset - pipe->rx_acked >= ACK_BYTES &&
		 !uv_is_active((uv_handle_t *)&pipe->ack_timer))
		uv_timer_start(&pipe->ack_timer, on_ack_timer, ACK_MS, 0);
}

/* The peer may be waiting for this ACK before it sends more. */
static void on_ack_timer(uv_timer_t *timer)
{
	send_due(container_of(timer, struct pipe, ack_timer));
}

static void on_carrier_data(void *user, const uint8_t *data, size_t len)
{
	struct pipe *pipe = user;
	struct err err = ERR_INIT;
	ssize_t r = 0;

	pipe_heard(pipe);
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

static size_t on_carrier_due(void *user)
{
	struct pipe *pipe = user;

	if (pipe->dead || pipe->data_left == 0 || !pipe->events.conduct_due)
		return 0;
	return MIN(pipe->data_left, pipe->events.conduct_due(pipe->user));
}

static void on_carrier_conducted(void *user)
{
	struct pipe *pipe = user;
	struct err err = ERR_INIT;

	pipe_heard(pipe);
	pipe->data_left -= conduit_len();
	pipe->rx_offset += conduit_len();
	if (pipe->events.on_conducted(pipe->user, &err) < 0)
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
		.conduct_due = on_carrier_due,
		.on_conducted = on_carrier_conducted,
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
	uv_prepare_init(loop, &pipe->ack_turn);
	pipe->handles = 3;
	flight_init(&pipe->tx, uv_hrtime() / 1000);
	carrier_start(carrier, &carrier_events, pipe);
	return pipe;
}

void pipe_open(struct pipe *pipe)
{
	pipe->open = true;
	pipe_beat(pipe);
}

size_t pipe_room(const struct pipe *pipe)
{
	return pipe->dead ? 0 : MIN(flight_room(&pipe->tx), carrier_room(pipe->carrier));
}

/* The header of the next len bytes of the stream. */
static void put_data_header(struct pipe *pipe, uint8_t *record, size_t len)
{
	struct wire wire = wire_writer(record, PIPE_DATA_HEADER_BYTES);

	assert(pipe->open && len > 0 && len <= PIPE_DATA_MAX_BYTES);
	wire_put_u32(&wire, (uint32_t)PIPE_DATA << 24 | (uint32_t)(len + PIPE_OFFSET_BYTES));
	wire_put_u64(&wire, pipe->tx.sent);
	flight_sent(&pipe->tx, len, uv_hrtime() / 1000);
}

void pipe_send_data(struct pipe *pipe, uint8_t *record, size_t len)
{
	if (pipe->dead) {
		conduit_drop();
		return;
	}
	put_data_header(pipe, record, len + conduit_len());
	len += PIPE_DATA_HEADER_BYTES;
	if (conduit_len() > 0) {
		pipe->carrier->ops->conduct(pipe->carrier, record, len);
		return;
	}
	len += put_ack(pipe, record + len);
	carrier_send(pipe->carrier, record, len);
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
	/* Until a PING was answered: what its own bytes and their ACKs took. */
	return pipe->rtt_us ? pipe->rtt_us : flight_base_us(&pipe->tx);
}

void pipe_set_silence(struct pipe *pipe, uint32_t silence_ms)
{
	pipe->config.silence_ms = silence_ms;
}

const struct carrier_ops *pipe_carrier(const struct pipe *pipe)
{
	return pipe->carrier->ops;
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

static void on_ack_turn_closed(uv_handle_t *handle)
{
	handle_closed(container_of(handle, struct pipe, ack_turn));
}

void pipe_free(struct pipe *pipe)
{
	if (!pipe)
		return;
	pipe->dead = true;
	uv_close((uv_handle_t *)&pipe->timer, on_timer_closed);
	uv_close((uv_handle_t *)&pipe->ack_timer, on_ack_timer_closed);
	uv_close((uv_handle_t *)&pipe->ack_turn, on_ack_turn_closed);
}
