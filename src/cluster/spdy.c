/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers of a stream are compressed with zlib, one history a connection. Ours are few and sent
 * once, so they go in stored blocks (RFC 1951 3.2.4), each with an empty one behind it that makes
 * the reader give out what it has. The peer's headers say nothing that matters here.
 */
#include "cluster/spdy.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/wire.h"

#define CONTROL   0x8000
#define VERSION   3
#define FLAG_FIN  0x01
#define WORD_MASK 0x7fffffff
/* A SYN_STREAM's stream, associated stream, priority and slot. */
#define SYN_BYTES 10
/* The lengths of a stored block and of the empty one. */
#define BLOCK_BYTES 5
/* RFC 1950: deflate with a window of 32 KiB, no dictionary. */
#define ZLIB_HEADER 0x7801

enum control_type {
	SYN_STREAM = 1,
	SYN_REPLY = 2,
	RST_STREAM = 3,
	PING = 6,
	GOAWAY = 7,
};

static void put_text(struct wire *wire, const char *text)
{
	wire_put_u32(wire, (uint32_t)strlen(text));
	wire_put(wire, text, strlen(text));
}

static void put_headers(struct wire *wire, const char *type, const char *port)
{
	wire_put_u32(wire, 3);
	put_text(wire, "port");
	put_text(wire, port);
	put_text(wire, "requestid");
	put_text(wire, "0");
	put_text(wire, "streamtype");
	put_text(wire, type);
}

/* RFC 1951 3.2.4; a block that is not the last one, its lengths little-endian. */
static void put_block(struct wire *wire, const uint8_t *data, size_t len)
{
	const uint8_t head[BLOCK_BYTES] = {
		0, (uint8_t)len, (uint8_t)(len >> 8), (uint8_t)~len, (uint8_t)(~len >> 8)};

	wire_put(wire, head, sizeof(head));
	wire_put(wire, data, len);
}

static void put_stream(struct wire *wire, uint32_t stream, const char *type, const char *port)
{
	uint8_t headers[SPDY_STREAMS_MAX_BYTES / 2];
	struct wire block = wire_writer(headers, sizeof(headers));
	size_t len = SYN_BYTES;
	bool first = stream == SPDY_STREAM_ERROR;

	put_headers(&block, type, port);
	len += (first ? sizeof(uint16_t) : 0) + BLOCK_BYTES + block.pos + BLOCK_BYTES;
	wire_put_u16(wire, CONTROL | VERSION);
	wire_put_u16(wire, SYN_STREAM);
	wire_put_u32(wire, (uint32_t)len);
	wire_put_u32(wire, stream);
	wire_put_u32(wire, 0);
	wire_put_u16(wire, 0);
	if (first)
		wire_put_u16(wire, ZLIB_HEADER);
	put_block(wire, headers, block.pos);
	put_block(wire, headers, 0);
	assert(wire_ok(&block) && wire_ok(wire));
}

size_t spdy_streams(uint8_t out[static SPDY_STREAMS_MAX_BYTES], uint16_t port)
{
	struct wire wire = wire_writer(out, SPDY_STREAMS_MAX_BYTES);
	char text[8];

	(void)snprintf(text, sizeof(text), "%u", port);
	put_stream(&wire, SPDY_STREAM_ERROR, "error", text);
	put_stream(&wire, SPDY_STREAM_DATA, "data", text);
	return wire.pos;
}

void spdy_data_header(uint8_t out[static SPDY_HEADER_BYTES], uint32_t stream, size_t len)
{
	struct wire wire = wire_writer(out, SPDY_HEADER_BYTES);

	assert(len <= 0xffffff);
	wire_put_u32(&wire, stream);
	wire_put_u32(&wire, (uint32_t)len);
}

static uint32_t word(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static bool is_control(const struct spdy_parser *parser)
{
	return parser->head[0] & (CONTROL >> 8);
}

/* A control frame's head has its first word with it. 0: the header is not there yet. */
static size_t head_bytes(const struct spdy_parser *parser)
{
	if (parser->head_len < SPDY_HEADER_BYTES || !is_control(parser))
		return SPDY_HEADER_BYTES;
	return SPDY_PING_BYTES;
}

static bool has_ended(const struct spdy_parser *parser)
{
	return parser->head[4] & FLAG_FIN;
}

static void control(const struct spdy_parser *parser, const struct spdy_events *events, void *user)
{
	uint32_t stream = word(parser->head + SPDY_HEADER_BYTES) & WORD_MASK;

	switch (word(parser->head) & 0xffff) {
	case SYN_REPLY:
		events->on_reply(user, stream);
		if (has_ended(parser))
			events->on_end(user, stream);
		break;
	case RST_STREAM:
		events->on_end(user, stream);
		break;
	case GOAWAY:
		events->on_end(user, 0);
		break;
	case PING:
		/* Odd ones would answer ours, of which there are none. */
		if (stream % 2 == 0)
			events->on_ping(user, parser->head);
		break;
	default: /* SETTINGS, HEADERS, WINDOW_UPDATE */
		break;
	}
}

/* Every control frame begins with a word; a server that opens streams is none of a port-forward. */
static int check_control(const struct spdy_parser *parser, uint32_t len)
{
	uint32_t first = word(parser->head);
	uint32_t type = first & 0xffff;

	if (first >> 16 != (CONTROL | VERSION) || type == SYN_STREAM || len < 4 ||
		(type == PING && len != 4))
		return -EPROTO;
	return 0;
}

/* The header is complete, or the whole head. */
static int take_head(struct spdy_parser *parser, const struct spdy_events *events, void *user)
{
	uint32_t len = word(parser->head + 4) & 0xffffff;

	if (parser->head_len < head_bytes(parser))
		return check_control(parser, len);
	if (is_control(parser)) {
		parser->left = len - 4;
		control(parser, events, user);
		return 0;
	}
	parser->left = len;
	if (len == 0 && has_ended(parser))
		events->on_end(user, word(parser->head));
	return 0;
}

/* Bytes behind the head. */
static void take_body(struct spdy_parser *parser, const uint8_t *data, size_t len,
	const struct spdy_events *events, void *user)
{
	parser->left -= (uint32_t)len;
	if (is_control(parser))
		return;
	events->on_data(user, word(parser->head), data, len);
	if (parser->left == 0 && has_ended(parser))
		events->on_end(user, word(parser->head));
}

int spdy_parse(struct spdy_parser *parser, const uint8_t *data, size_t len,
	const struct spdy_events *events, void *user)
{
	size_t n;
	int r;

	while (len > 0) {
		if (parser->left > 0) {
			n = MIN(len, (size_t)parser->left);
			take_body(parser, data, n, events, user);
		} else {
			if (parser->head_len == head_bytes(parser))
				parser->head_len = 0;
			n = MIN(len, head_bytes(parser) - parser->head_len);
			memcpy(parser->head + parser->head_len, data, n);
			parser->head_len += n;
			r = parser->head_len >= SPDY_HEADER_BYTES ? take_head(parser, events, user)
								  : 0;
			if (r < 0)
				return r;
		}
		data += n;
		len -= n;
	}
	return 0;
}
