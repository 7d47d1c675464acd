/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/wsconn.h - one WebSocket connection to the API server, by libcurl's CONNECT_ONLY
 *
 * Internal to the folder; carriers are made of it. libcurl does proxies and TLS; the upgrade and
 * the frames are ours. Lifecycle: wsconn_open() -> on_open -> wsconn_start() -> wsconn_free(), or
 * on_closed at any time. Any event may call wsconn_free(); the memory lives until the loop's
 * handles are closed. The client must outlive the opening, not the open connection.
 */
#ifndef CLUSTER_WSCONN_H
#define CLUSTER_WSCONN_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/client.h"

struct wsconn;

struct wsconn_events {
	void (*on_open)(void *user); /* the server has switched protocols */
	void (*on_payload)(void *user, const uint8_t *data, size_t len);
	void (*on_message_end)(void *user); /* may be NULL */
	void (*on_writable)(void *user);
	/* Once; also when opening fails. Nothing follows. */
	void (*on_closed)(void *user, const struct err *err);
};

/* path: escaped, from the API server's root. protocol: Sec-WebSocket-Protocol. All are copied. */
struct wsconn *wsconn_open(struct kube_client *client, const char *path, const char *protocol,
	const struct wsconn_events *events, void *user);
void wsconn_set_events(struct wsconn *conn, const struct wsconn_events *events, void *user);
/* After on_open: payload may come from now on. */
void wsconn_start(struct wsconn *conn);
/* The server has been reached: the credential, the connection and TLS are done. */
bool wsconn_is_connected(const struct wsconn *conn);
size_t wsconn_room(const struct wsconn *conn);
/* One binary message; prefix may be NULL. Failures come by on_closed, later. */
void wsconn_send(
	struct wsconn *conn, const void *prefix, size_t prefix_len, const void *data, size_t len);
/* Says goodbye as far as the socket takes it. NULL-safe; no event follows. */
void wsconn_free(struct wsconn *conn);

#endif /* CLUSTER_WSCONN_H */
