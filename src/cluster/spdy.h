/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/spdy.h - SPDY/3.1 (draft-mbelshe-httpbis-spdy-00) as far as a port-forward speaks it
 *
 * Internal to the folder. Bytes only, no sockets. A kubelet wants two streams of each forwarded
 * port, one for what goes wrong and one for the bytes; there is no flow control (spdystream, the
 * other end, has none) and the connection carries nothing else.
 */
#ifndef CLUSTER_SPDY_H
#define CLUSTER_SPDY_H

#include <stddef.h>
#include <stdint.h>

#include "core/attr.h"

#define SPDY_PROTOCOL          "SPDY/3.1"
#define SPDY_HEADER_BYTES      8
#define SPDY_PING_BYTES        12
#define SPDY_STREAMS_MAX_BYTES 256
#define SPDY_STREAM_ERROR      1
#define SPDY_STREAM_DATA       3

/* Callbacks must not free the parser's owner. */
struct spdy_events {
	/* The peer has the stream: what was sent before that it throws away. */
	void (*on_reply)(void *user, uint32_t stream);
	void (*on_data)(void *user, uint32_t stream, const uint8_t *data, size_t len);
	/* Nothing more comes of it: FIN or RST_STREAM; of 0, the whole connection: GOAWAY. */
	void (*on_end)(void *user, uint32_t stream);
	/* The frame that answers a PING of the peer. */
	void (*on_ping)(void *user, const uint8_t frame[static SPDY_PING_BYTES]);
};

/* Receiving state; zero-initialise. */
struct spdy_parser {
	uint8_t head[SPDY_PING_BYTES]; /* of a frame; of a control frame with its first word */
	size_t head_len;
	uint32_t left; /* bytes of the frame that come behind the head */
};

/* Takes all len bytes. 0, or -EPROTO for what is no frame that a kubelet sends. */
NODISCARD int spdy_parse(struct spdy_parser *parser, const uint8_t *data, size_t len,
	const struct spdy_events *events, void *user);
/* The frames that ask for the two streams of a port; their bytes. Once in a connection. */
size_t spdy_streams(uint8_t out[static SPDY_STREAMS_MAX_BYTES], uint16_t port);
/* The header of a DATA frame of len bytes, at most 2^24 - 1. */
void spdy_data_header(uint8_t out[static SPDY_HEADER_BYTES], uint32_t stream, size_t len);

#endif /* CLUSTER_SPDY_H */
