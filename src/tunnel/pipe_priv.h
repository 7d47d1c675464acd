/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/pipe_priv.h - what pipe.c (life, sending), pipe_beat.c (heartbeat) and pipe_recv.c
 * (records that come in) share
 */
#ifndef TUNNEL_PIPE_PRIV_H
#define TUNNEL_PIPE_PRIV_H

#include <stdbool.h>

#include "tunnel/flight.h"
#include "tunnel/pipe.h"

/* Type and length; the offset of a DATA record. */
#define PIPE_HEADER_BYTES 4
#define PIPE_OFFSET_BYTES 8

struct pipe {
	struct carrier *carrier;
	struct pipe_config config;
	struct pipe_events events;
	void *user;
	uv_timer_t timer, ack_timer;
	uv_prepare_t ack_turn; /* active: an ACK leaves in this turn of the loop */
	unsigned int handles; /* not closed yet */
	bool open, dead;

	uint8_t head[PIPE_DATA_HEADER_BYTES];
	size_t head_len;
	uint8_t body[PIPE_CONTROL_MAX_BYTES];
	size_t body_len;
	size_t data_left; /* of the DATA record that is coming in */

	struct flight tx;
	uint64_t rx_offset, rx_acked;

	uint64_t heard_ms; /* uv_now of the peer's last byte */
	uint64_t last_rx_ms, last_ping_ms, last_ack_ms, timer_due_ms;
	uint64_t check_due_ms; /* of pipe_check(), 0: none is under way */
	uint64_t last_asked_ms; /* of the last pipe_ask_back(), 0: none */
	uint64_t asked_ms; /* of the first PING since the peer was heard, 0: none */
	enum pipe_silence silence; /* as on_silence() has said */
	uint64_t ping_ns; /* token of the PING under way, 0: none */
	uint64_t pong_token;
	bool pong_due; /* a PING came while there was no room; only the last one is answered */
	uint32_t rtt_us;
};

/* pipe.c */
uint64_t pipe_now_ms(void);
void pipe_fail(struct pipe *pipe, const struct err *err);
void pipe_send_u64(struct pipe *pipe, uint8_t type, uint64_t value);
void pipe_send_ack(struct pipe *pipe, uint64_t now);

/* pipe_beat.c: heartbeats begin; a byte of the peer has come. */
void pipe_beat(struct pipe *pipe);
void pipe_heard(struct pipe *pipe);
/* The peer's PING was answered: a side without heartbeats learns the round trip with its own. */
void pipe_ask_back(struct pipe *pipe, uint64_t now);

/* pipe_recv.c. Takes some bytes of the carrier: how many, or -errno with *err. */
NODISCARD ssize_t pipe_take(struct pipe *pipe, const uint8_t *data, size_t len, struct err *err);

#endif /* TUNNEL_PIPE_PRIV_H */
