/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/upconn.h - one upgraded connection to the API server, by libcurl's CONNECT_ONLY
 *
 * Internal to the folder; carriers are made of it. libcurl does proxies and TLS; the upgrade and
 * the frames, of WebSocket or of a port-forward over SPDY, are ours. Lifecycle: upconn_open() ->
 * on_open -> upconn_start() -> upconn_free(), or on_closed at any time. Any event may call
 * upconn_free(); the memory lives until the loop's handles are closed. The client must outlive the
 * opening, not the open connection.
 */
#ifndef CLUSTER_UPCONN_H
#define CLUSTER_UPCONN_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/client.h"
#include "cluster/http_upgrade.h"

struct upconn;

struct upconn_events {
	void (*on_open)(void *user); /* the server has switched protocols; SPDY: has the streams */
	void (*on_payload)(void *user, const uint8_t *data, size_t len);
	void (*on_message_end)(void *user); /* may be NULL; SPDY has no messages */
	void (*on_writable)(void *user);
	/* Once; also when opening fails. Nothing follows. */
	void (*on_closed)(void *user, const struct err *err);
};

/* Everything is copied but the method and the protocol, which must be literals. */
struct upconn_config {
	struct http_upgrade upgrade; /* path: escaped, from the API server's root */
	uint32_t upgrade_ms; /* from the connection to on_open */
	uint16_t port; /* SPDY: what the streams are for */
};

struct upconn *upconn_open(struct kube_client *client, const struct upconn_config *wanted,
	const struct upconn_events *events, void *user);
void upconn_set_events(struct upconn *conn, const struct upconn_events *events, void *user);
/* After on_open: payload may come from now on. */
void upconn_start(struct upconn *conn);
/* The server was reached: the credential, the connection and TLS are done. */
bool upconn_reached(const struct upconn *conn);
size_t upconn_room(const struct upconn *conn);
/* One binary message, or bytes of the data stream; prefix may be NULL. Failures come by on_closed,
 * later. */
void upconn_send(
	struct upconn *conn, const void *prefix, size_t prefix_len, const void *data, size_t len);
/* Says goodbye as far as the socket takes it. NULL-safe; no event follows. */
void upconn_free(struct upconn *conn);

#endif /* CLUSTER_UPCONN_H */
