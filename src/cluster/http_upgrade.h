/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/http_upgrade.h - the HTTP/1.1 exchange that turns a connection into a WebSocket or into
 * SPDY (RFC 9110 7.8, RFC 6455 4)
 *
 * Internal to the folder. Bytes only, no sockets.
 */
#ifndef CLUSTER_HTTP_UPGRADE_H
#define CLUSTER_HTTP_UPGRADE_H

#include <stdint.h>

#include "cluster/transport.h"
#include "core/buf.h"

#define HTTP_UPGRADE_KEY_BYTES 25 /* base64 of 16 bytes, with NUL */

enum http_upgrade_to { HTTP_UPGRADE_WEBSOCKET, HTTP_UPGRADE_SPDY };

struct http_upgrade {
	const char *method, *path;
	enum http_upgrade_to to;
	const char *protocol; /* Sec-WebSocket-Protocol; SPDY: X-Stream-Protocol-Version */
};

/* Writes the request. key: a fresh Sec-WebSocket-Key (filled); SPDY has none. */
NODISCARD int http_upgrade_request(struct buf *out, const struct transport *transport,
	const char *server, const struct http_upgrade *upgrade,
	char ret_key[static HTTP_UPGRADE_KEY_BYTES]);

struct http_upgrade_answer {
	int status; /* 101, or the refusal */
	const char *body; /* of a refusal: within the buffer */
	size_t body_len;
};

/*
 * Reads an answer from what has come so far. 0: more bytes are needed (at_end: there are none).
 * > 0: complete; the head of a 101 is consumed, what follows are frames. -EPROTO: no HTTP answer,
 * or a 101 that does not fit the key and the protocol.
 */
NODISCARD int http_upgrade_parse(struct buf *in, bool at_end, const struct http_upgrade *upgrade,
	const char *key, struct http_upgrade_answer *ret_answer);

#endif /* CLUSTER_HTTP_UPGRADE_H */
