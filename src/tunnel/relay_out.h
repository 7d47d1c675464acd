/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/relay_out.h - a stream's bytes on their way to a relay's socket
 *
 * Internal to relay.c. Bytes go straight to the socket; what it does not take waits in `queue`. Of
 * bulk a small piece waits there for the next one, at most until the loop's next turn: it is what a
 * record or a buffer cut off, and would be a packet and an ACK of its own.
 */
#ifndef TUNNEL_RELAY_OUT_H
#define TUNNEL_RELAY_OUT_H

#include <stdbool.h>
#include <sys/types.h>

#include "core/buf.h"

struct relay_out {
	struct buf queue;
	bool bulk; /* the last piece for the socket was large */
	bool held; /* the queue is such a small piece: the socket has room */
};

/* Whether a piece of len bytes waits for the one behind it. room: the socket may be written to. */
bool relay_out_hold(struct relay_out *out, size_t len, bool room);
/* Sends the queue's first queue_len bytes and data behind them: how many of all were taken, the
 * queue's are consumed; or -errno. */
ssize_t relay_out_send(
	struct relay_out *out, int fd, size_t queue_len, const uint8_t *data, size_t len);

#endif /* TUNNEL_RELAY_OUT_H */
