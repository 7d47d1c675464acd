/* SPDX-License-Identifier: Apache-2.0 */
/* The raw byte stream through a port-forward by SPDY/3.1 (cluster/spdy.h). */
#include <string.h>

#include "cluster/spdy.h"
#include "raw.h"

#define TYPE_SYN_REPLY 2

/* Skips what is no DATA of stream 3; 1: the payload of one is next, 0: nothing is there now. */
static int next_data(struct pump_stream *stream, const uint8_t *first, uint32_t until)
{
	uint8_t head[SPDY_HEADER_BYTES] = {*first}, rest[4096];
	size_t len;

	if (raw_read_exactly(stream, head + 1, sizeof(head) - 1) < 0)
		return -1;
	len = (size_t)head[5] << 16 | (size_t)head[6] << 8 | head[7];
	if (!(head[0] & 0x80) && head[3] == SPDY_STREAM_DATA) {
		stream->frame_left = len;
		return len > 0;
	}
	if (len > sizeof(rest) || raw_read_exactly(stream, rest, len) < 0)
		return -1;
	return until == TYPE_SYN_REPLY && head[3] == until && rest[3] == SPDY_STREAM_DATA;
}

static ssize_t take(struct pump_stream *stream, void *buf, size_t len)
{
	ssize_t n = raw_read(stream, buf, len < stream->frame_left ? len : stream->frame_left);

	if (n <= 0)
		return -1;
	stream->frame_left -= (uint64_t)n;
	return n;
}

static ssize_t spdy_read(struct pump_stream *stream, void *buf, size_t len)
{
	uint8_t first = 0;

	while (stream->frame_left == 0) {
		if (raw_read_exactly(stream, &first, 1) < 0 || next_data(stream, &first, 0) < 0)
			return -1;
	}
	return take(stream, buf, len);
}

static ssize_t spdy_read_now(struct pump_stream *stream, void *buf, size_t len)
{
	uint8_t first = 0;

	if (stream->frame_left == 0) {
		ssize_t n = raw_read_now(stream, &first, 1);
		int r = n > 0 ? next_data(stream, &first, 0) : (int)n;

		if (r <= 0)
			return r;
	}
	return take(stream, buf, len);
}

static ssize_t spdy_write(struct pump_stream *stream, const void *buf, size_t len)
{
	static uint8_t frame[SPDY_HEADER_BYTES + PUMP_BLOCK];

	len = len < PUMP_BLOCK ? len : PUMP_BLOCK;
	spdy_data_header(frame, SPDY_STREAM_DATA, len);
	memcpy(frame + SPDY_HEADER_BYTES, buf, len);
	return raw_write_all(stream, frame, SPDY_HEADER_BYTES + len) < 0 ? -1 : (ssize_t)len;
}

int raw_spdy_start(struct pump_stream *stream, uint16_t port)
{
	uint8_t frames[SPDY_STREAMS_MAX_BYTES], first = 0;
	int r = 0;

	if (raw_write_all(stream, frames, spdy_streams(frames, port)) < 0)
		return -1;
	/* What is sent before its reply the kubelet throws away. */
	while (r == 0) {
		if (raw_read_exactly(stream, &first, 1) < 0)
			return -1;
		r = next_data(stream, &first, TYPE_SYN_REPLY);
	}
	stream->read = spdy_read;
	stream->read_now = spdy_read_now;
	stream->write = spdy_write;
	return r < 0 ? -1 : 0;
}
