/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/tunnel/fixture_end.h - one end of a stream, either side
 */
#ifndef UNIT_TUNNEL_FIXTURE_END_H
#define UNIT_TUNNEL_FIXTURE_END_H

#include <stdbool.h>
#include <stdint.h>

#include "core/alloc.h"
#include "tunnel/h2.h"

/* One end of a stream in a test: sends `to_send` bytes, a pattern unless it has its own, then EOF;
 * sums what it gets. */
struct end {
	struct h2_stream *stream;
	const uint8_t *bytes; /* NULL: the pattern */
	size_t to_send, sent, received, unconsumed;
	uint8_t sum_sent, sum_received;
	bool stalled; /* gives no credit */
	bool hold; /* has nothing to send yet */
	bool keep; /* more may follow what it sends: no EOF */
	int status, heads, ended, closed;
	uint32_t code;
};

static void end_on_head(void *user, const struct h2_head *head)
{
	struct end *end = user;

	end->status = head->status;
	end->heads++;
}

static void end_on_data(void *user, const uint8_t *data, size_t len)
{
	struct end *end = user;

	for (size_t i = 0; i < len; i++)
		end->sum_received = (uint8_t)(end->sum_received * 31 + data[i]);
	end->received += len;
	if (end->stalled)
		end->unconsumed += len;
	else
		h2_stream_consumed(end->stream, len);
}

static void end_on_end(void *user)
{
	((struct end *)user)->ended++;
}

static ssize_t end_on_read(void *user, uint8_t *out, size_t len)
{
	struct end *end = user;
	size_t take = MIN(len, end->to_send - end->sent);

	if (end->hold || (end->keep && end->sent == end->to_send))
		return H2_READ_AGAIN;
	if (end->sent == end->to_send)
		return H2_READ_EOF;
	for (size_t i = 0; i < take; i++) {
		out[i] = end->bytes ? end->bytes[end->sent + i]
				    : (uint8_t)((end->sent + i) * 7 >> 3);
		end->sum_sent = (uint8_t)(end->sum_sent * 31 + out[i]);
	}
	end->sent += take;
	return (ssize_t)take;
}

static void end_on_close(void *user, uint32_t code)
{
	struct end *end = user;

	end->stream = NULL;
	end->code = code;
	end->closed++;
}

UNUSED static const struct h2_stream_events end_events = {
	.on_head = end_on_head,
	.on_data = end_on_data,
	.on_end = end_on_end,
	.on_read = end_on_read,
	.on_close = end_on_close,
};

#endif /* UNIT_TUNNEL_FIXTURE_END_H */
