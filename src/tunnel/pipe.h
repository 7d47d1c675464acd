/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/pipe.h - records over a carrier: handshake, a byte stream with offsets, heartbeats
 *
 * docs/tunnel.md, section 3. Before pipe_open() only handshake records may come, after it only the
 * others. Ownership: the pipe owns the carrier. pipe_free() may be called from within any callback;
 * no callback follows it, memory goes when the handles are closed.
 * Threading: loop thread only.
 */
#ifndef TUNNEL_PIPE_H
#define TUNNEL_PIPE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/attr.h"

struct carrier;
struct carrier_ops;
struct err;
#define PIPE_CHECK_MS 1000
/* After pipe_check(), as config.suspect_ms. */
#define PIPE_CHECK_SUSPECT_MS 200

struct pipe;

enum pipe_record {
	PIPE_HELLO = 1,
	PIPE_PROOF = 2,
	PIPE_ACCEPT = 3,
	PIPE_REFUSE = 4,
	PIPE_DATA = 5,
	PIPE_ACK = 6,
	PIPE_PING = 7,
	PIPE_PONG = 8,
	PIPE_CLOSE = 9,
	/* Of an agent, instead of the first four: docs/agent.md, section 2. */
	PIPE_JOIN = 10,
	PIPE_WELCOME = 11
};

/* type, length, offset: what a DATA record has before its bytes. */
#define PIPE_DATA_HEADER_BYTES 12
/* An ACK that goes along with it. */
#define PIPE_DATA_TAIL_BYTES 12
/* Most bytes in one DATA record: the quantum that others wait for. */
#define PIPE_DATA_MAX_BYTES (64 * 1024)
/* Most payload of any other record. */
#define PIPE_CONTROL_MAX_BYTES 512

enum pipe_silence { PIPE_HEARD, PIPE_SUSPECT, PIPE_LOST };

struct pipe_config {
	uint32_t ping_ms; /* 0: this side asks only beside its answers */
	uint32_t silence_ms; /* without a byte of the peer for so long it is over */
	uint32_t lost_ms; /* without one for so long: PIPE_LOST; 0: never */
	/* Without an answer to a PING for so long, or four round trips, PIPE_SUSPECT; 0: never. */
	uint32_t suspect_ms;
};

struct pipe_events {
	/* A handshake record. A negative result ends the pipe with *err. */
	int (*on_record)(
		void *user, uint8_t type, const uint8_t *payload, size_t len, struct err *err);
	/* Bytes of the stream; the view dies on return. A negative result ends the pipe. */
	int (*on_data)(void *user, const uint8_t *data, size_t len, struct err *err);
	/* As the carrier's, see carrier.h. A negative result ends the pipe. */
	size_t (*conduct_due)(void *user);
	int (*on_conducted)(void *user, struct err *err);
	void (*on_writable)(void *user);
	/* The level has risen, or the peer is heard again. NULL without lost_ms and suspect_ms. */
	void (*on_silence)(void *user, enum pipe_silence silence);
	/* Over; err is set. Nothing but pipe_free() may follow. */
	void (*on_closed)(void *user, const struct err *err);
};

struct pipe *pipe_new(uv_loop_t *loop, struct carrier *carrier, const struct pipe_config *config,
	const struct pipe_events *events, void *user);
/* The handshake is over: DATA and heartbeats from now on. */
void pipe_open(struct pipe *pipe);
void pipe_send_record(struct pipe *pipe, uint8_t type, const void *payload, size_t len);
/* Bytes that pipe_send_data() takes now; 0: wait for on_writable. */
size_t pipe_room(const struct pipe *pipe);
/* record[PIPE_DATA_HEADER_BYTES..] holds len bytes of the stream, at most PIPE_DATA_MAX_BYTES; the
 * header is filled in, and the PIPE_DATA_TAIL_BYTES behind them may be. What is in the conduit,
 * when the carrier takes it from there, belongs to the record, too. */
void pipe_send_data(struct pipe *pipe, uint8_t *record, size_t len);
/* Asks for a sign of life now: without one the pipe is closed after PIPE_CHECK_MS or four round
 * trips, whichever is longer. For when the path may have changed. */
void pipe_check(struct pipe *pipe);
/* uv_now() when the peer's last byte came; 0: none yet. */
uint64_t pipe_heard_ms(const struct pipe *pipe);
uint64_t pipe_rate(const struct pipe *pipe); /* bytes per second that the peer took lately */
uint32_t pipe_rtt_us(const struct pipe *pipe); /* 0: not known yet */
/* From now on, instead of the configuration's. */
void pipe_set_silence(struct pipe *pipe, uint32_t silence_ms);
const struct carrier_ops *pipe_carrier(const struct pipe *pipe);
void pipe_free(struct pipe *pipe);

#endif /* TUNNEL_PIPE_H */
