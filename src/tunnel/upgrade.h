/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/upgrade.h - the one HTTP/1.1 request that the tunnel's port reads (RFC 9112)
 *
 * A strict parser of a bounded head: GET without a body, for a health check or for the upgrade to
 * WebSocket (RFC 6455 4.2.1). Not a general HTTP server.
 */
#ifndef TUNNEL_UPGRADE_H
#define TUNNEL_UPGRADE_H

#include <stdbool.h>

#include "core/attr.h"

#define UPGRADE_PATH_MAX 256

struct upgrade_request {
	char path[UPGRADE_PATH_MAX]; /* without the query */
	bool websocket; /* Upgrade: websocket, Connection: upgrade */
	bool version_13; /* Sec-WebSocket-Version: 13 */
	bool subprotocol; /* ours is among Sec-WebSocket-Protocol */
	char key[25]; /* Sec-WebSocket-Key: 16 bytes in base64, or "" */
};

/* Parses a whole head of len bytes, its empty line included. 0, -EPROTO for what is not HTTP/1.1,
 * -EOPNOTSUPP for another method. */
NODISCARD int upgrade_parse(const char *head, size_t len, struct upgrade_request *ret_request);
/* Length of the head in these bytes with its empty line; 0: not complete yet. */
size_t upgrade_head_len(const char *data, size_t len);

#endif /* TUNNEL_UPGRADE_H */
