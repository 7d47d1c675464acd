/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/ws.h - WebSocket framing (RFC 6455), both roles, binary messages as a byte stream
 *
 * Message boundaries mean nothing here: payload bytes of binary and continuation frames are passed
 * on as they come. Control frames are answered or reported by the owner through ws_events.
 */
#ifndef TUNNEL_WS_H
#define TUNNEL_WS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"

#define WS_HEADER_MAX_BYTES 14
#define WS_ACCEPT_BYTES     29 /* base64 of a SHA-1, with NUL */

enum ws_role { WS_CLIENT, WS_SERVER };

/* Callbacks must not free the parser's owner. Each may be NULL but on_payload. */
struct ws_events {
	void (*on_payload)(void *user, const uint8_t *data, size_t len);
	/* The frame with FIN set is complete (for protocols in which a message means something). */
	void (*on_message_end)(void *user);
	void (*on_ping)(void *user, const uint8_t *data, size_t len); /* len <= 125 */
	void (*on_close)(void *user, uint16_t code); /* 1005: the frame named none (7.4.1) */
};

/* Receiving state; zero-initialise, set role of *this* side. */
struct ws_parser {
	enum ws_role role;
	uint8_t header[WS_HEADER_MAX_BYTES];
	size_t header_len;
	uint64_t payload_left;
	uint64_t payload_pos;
	uint8_t mask[4];
	uint8_t opcode;
	bool in_payload;
	bool in_message; /* a continuation frame is due */
	bool closed; /* a close frame came: the rest is ignored (5.5.1) */
	uint8_t control[125];
	size_t control_len;
};

/* Takes all len bytes (payload is unmasked in place). 0, or -EPROTO for a frame that RFC 6455
 * forbids. */
NODISCARD int ws_parse(struct ws_parser *parser, uint8_t *data, size_t len,
	const struct ws_events *events, void *user);
/* Writes the header of one final frame; returns its length. mask: NULL for a server. */
size_t ws_frame_header(
	uint8_t out[static WS_HEADER_MAX_BYTES], uint8_t opcode, uint64_t len, const uint8_t *mask);
/* out = in XOR mask, where in[0] is payload byte number `pos`. out may be in. */
void ws_mask(
	uint8_t *out, const uint8_t *in, size_t len, const uint8_t mask[static 4], uint64_t pos);
/* Sec-WebSocket-Accept for a key (RFC 6455 4.2.2). */
void ws_accept(const char *key, char ret_accept[static WS_ACCEPT_BYTES]);

#define WS_OP_BINARY 0x2
#define WS_OP_CLOSE  0x8
#define WS_OP_PING   0x9
#define WS_OP_PONG   0xa

#endif /* TUNNEL_WS_H */
