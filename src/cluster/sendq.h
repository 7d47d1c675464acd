/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/sendq.h - bytes and WebSocket frames waiting to be sent, in one ring that never moves
 *
 * Internal to the folder. An SSL_write() that would block must be repeated with the same bytes at
 * the same place, so what sendq_peek() showed stays where it is until it is consumed. Frames are
 * masked while they are copied in: one pass over the bytes.
 */
#ifndef CLUSTER_SENDQ_H
#define CLUSTER_SENDQ_H

#include <stdint.h>

#include "core/attr.h"

struct sendq {
	uint8_t *data;
	size_t cap, head, len;
	size_t peeked; /* bytes of an unfinished write; 0: none */
	uint8_t masks[256]; /* random bytes for masking keys, used once each */
	size_t masks_left;
};

void sendq_init(struct sendq *queue, size_t cap_bytes);
void sendq_done(struct sendq *queue);
/* prefix (may be NULL) and data as they are. 0, or -ENOBUFS and nothing is taken. */
NODISCARD int sendq_raw(
	struct sendq *queue, const void *prefix, size_t prefix_len, const void *data, size_t len);
/* One final frame with prefix (may be NULL) and data as its payload, masked. 0, -ENOBUFS, or the
 * failure of getrandom(). */
NODISCARD int sendq_frame(struct sendq *queue, uint8_t opcode, const void *prefix,
	size_t prefix_len, const void *data, size_t len);
/* Bytes to send next, the same ones until sendq_consume(); *ret_len is 0 when there are none. */
const uint8_t *sendq_peek(struct sendq *queue, size_t *ret_len);
void sendq_consume(struct sendq *queue, size_t len);

#endif /* CLUSTER_SENDQ_H */
