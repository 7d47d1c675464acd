/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/ws_upgrade.h - the HTTP/1.1 exchange that turns a connection into a WebSocket
 *
 * Internal to the folder. Bytes only, no sockets.
 */
#ifndef CLUSTER_WS_UPGRADE_H
#define CLUSTER_WS_UPGRADE_H

#include <stdint.h>

#include "cluster/transport.h"
#include "core/buf.h"

#define WS_UPGRADE_KEY_BYTES 25 /* base64 of 16 bytes, with NUL */

/* Writes the request. key: a fresh Sec-WebSocket-Key (filled). */
NODISCARD int ws_upgrade_request(struct buf *out, const struct transport *transport,
	const char *server, const char *path, const char *protocol,
	char ret_key[static WS_UPGRADE_KEY_BYTES]);

struct ws_upgrade_answer {
	int status; /* 101, or the refusal */
	const char *body; /* of a refusal: within the buffer */
	size_t body_len;
};

/*
 * Reads an answer from what has come so far. 0: more bytes are needed (at_end: there are none).
 * > 0: complete; the head of a 101 is consumed, what follows are frames. -EPROTO: no HTTP answer,
 * or a 101 that does not fit the key and the protocol.
 */
NODISCARD int ws_upgrade_parse(struct buf *in, bool at_end, const char *key, const char *protocol,
	struct ws_upgrade_answer *ret_answer);

#endif /* CLUSTER_WS_UPGRADE_H */
