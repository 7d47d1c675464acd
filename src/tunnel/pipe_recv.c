/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "core/err.h"
#include "core/wire.h"
#include "tunnel/pipe_priv.h"
#include "tunnel/pipe_text.h"

static int on_pong(struct pipe *pipe, uint64_t token)
{
	uint64_t now = uv_hrtime();

	if (token == pipe->ping_ns && token != 0) {
		pipe->rtt_us = (uint32_t)MIN((now - token) / 1000 + 1, UINT32_MAX);
		pipe->ping_ns = 0;
		flight_round_trip(&pipe->tx, pipe->rtt_us);
	}
	return 0;
}

static int on_ack(struct pipe *pipe, uint64_t offset, struct err *err)
{
	bool held = flight_room(&pipe->tx) == 0;

	if (offset < pipe->tx.acked || offset > pipe->tx.sent)
		return err_set(err, -EPROTO, ERR_INTERNAL,
			"tunnel: acknowledgement of bytes that are not under way");
	flight_acked(&pipe->tx, offset, uv_hrtime() / 1000);
	if (held && pipe_room(pipe) > 0)
		pipe->events.on_writable(pipe->user);
	return 0;
}

void pipe_text(const uint8_t *payload, size_t len, char out[static PIPE_TEXT_BYTES])
{
	size_t i;

	for (i = 0; i < len && i < PIPE_TEXT_BYTES - 1; i++)
		out[i] = payload[i] >= ' ' && payload[i] <= '~' ? (char)payload[i] : '?';
	out[i] = '\0';
}

static int on_close_record(struct pipe *pipe, struct err *err)
{
	char text[PIPE_TEXT_BYTES];

	pipe_text(pipe->body, pipe->body_len, text);
	return err_set(
		err, -ECONNRESET, ERR_UNREACHABLE, "the other end closed the tunnel: %s", text);
}

static int on_control(struct pipe *pipe, uint8_t type, struct err *err)
{
	struct wire wire = wire_reader(pipe->body, pipe->body_len);
	uint64_t value;

	if (type == PIPE_CLOSE)
		return on_close_record(pipe, err);
	if (!pipe->open)
		return pipe->events.on_record(pipe->user, type, pipe->body, pipe->body_len, err);
	value = wire_get_u64(&wire);
	if (!wire_ok(&wire) || wire_left(&wire) > 0)
		return err_set(err, -EPROTO, ERR_INTERNAL, "tunnel: record %u of %zu bytes", type,
			pipe->body_len);
	switch (type) {
	case PIPE_ACK:
		return on_ack(pipe, value, err);
	case PIPE_PING:
		pipe->pong_token = value;
		pipe->pong_due = true;
		return 0;
	default:
		return on_pong(pipe, value);
	}
}

/* Whether a record of this type and length may come now. */
static bool record_allowed(const struct pipe *pipe, uint8_t type, size_t len)
{
	switch (type) {
	case PIPE_HELLO:
	case PIPE_PROOF:
	case PIPE_ACCEPT:
	case PIPE_REFUSE:
	case PIPE_JOIN:
	case PIPE_WELCOME:
		return !pipe->open && len <= PIPE_CONTROL_MAX_BYTES;
	case PIPE_DATA:
		return pipe->open && len > PIPE_OFFSET_BYTES &&
		       len <= PIPE_OFFSET_BYTES + PIPE_DATA_MAX_BYTES;
	case PIPE_ACK:
	case PIPE_PING:
	case PIPE_PONG:
		return pipe->open && len == sizeof(uint64_t);
	case PIPE_CLOSE:
		return len <= PIPE_CONTROL_MAX_BYTES;
	default:
		return false;
	}
}

static int begin_data(struct pipe *pipe, size_t len, struct err *err)
{
	struct wire wire = wire_reader(pipe->head + PIPE_HEADER_BYTES, PIPE_OFFSET_BYTES);

	if (wire_get_u64(&wire) != pipe->rx_offset)
		return err_set(err, -EPROTO, ERR_INTERNAL, "tunnel: bytes out of order");
	pipe->data_left = len - PIPE_OFFSET_BYTES;
	pipe->head_len = 0;
	return 0;
}

static size_t head_record_len(const struct pipe *pipe)
{
	return (size_t)pipe->head[1] << 16 | (size_t)pipe->head[2] << 8 | pipe->head[3];
}

static int end_record(struct pipe *pipe, uint8_t type, struct err *err)
{
	int r = on_control(pipe, type, err);

	pipe->head_len = pipe->body_len = 0;
	return r;
}

/* The first four bytes are there. */
static int begin_record(struct pipe *pipe, uint8_t type, size_t record_len, struct err *err)
{
	if (!record_allowed(pipe, type, record_len))
		return err_set(err, -EPROTO, ERR_INTERNAL,
			"tunnel: record %u of %zu bytes is not due", type, record_len);
	if (type != PIPE_DATA && record_len == 0)
		return end_record(pipe, type, err);
	return 0;
}

/* Takes bytes of a header or a control record; returns how many, or -errno. */
static ssize_t take_record(struct pipe *pipe, const uint8_t *data, size_t len, struct err *err)
{
	uint8_t type = pipe->head[0];
	size_t need = PIPE_HEADER_BYTES, record_len = head_record_len(pipe), take;
	int r = 0;

	if (pipe->head_len >= PIPE_HEADER_BYTES)
		need = type == PIPE_DATA ? PIPE_DATA_HEADER_BYTES : 0;
	if (pipe->head_len < need) {
		take = MIN(len, need - pipe->head_len);
		memcpy(pipe->head + pipe->head_len, data, take);
		pipe->head_len += take;
		type = pipe->head[0];
		record_len = head_record_len(pipe);
		if (pipe->head_len == PIPE_HEADER_BYTES)
			r = begin_record(pipe, type, record_len, err);
		else if (pipe->head_len == PIPE_DATA_HEADER_BYTES)
			r = begin_data(pipe, record_len, err);
		return r < 0 ? r : (ssize_t)take;
	}
	take = MIN(len, record_len - pipe->body_len);
	memcpy(pipe->body + pipe->body_len, data, take);
	pipe->body_len += take;
	if (pipe->body_len == record_len)
		r = end_record(pipe, type, err);
	return r < 0 ? r : (ssize_t)take;
}

static ssize_t take_data(struct pipe *pipe, const uint8_t *data, size_t len, struct err *err)
{
	size_t take = MIN(len, pipe->data_left);
	int r;

	pipe->data_left -= take;
	pipe->rx_offset += take;
	r = pipe->events.on_data(pipe->user, data, take, err);
	return r < 0 ? r : (ssize_t)take;
}

ssize_t pipe_take(struct pipe *pipe, const uint8_t *data, size_t len, struct err *err)
{
	return pipe->data_left > 0 ? take_data(pipe, data, len, err)
				   : take_record(pipe, data, len, err);
}
