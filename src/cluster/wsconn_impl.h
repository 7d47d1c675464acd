/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/wsconn_impl.h - the inside of a wsconn, shared by its phases (wsconn.c) and its bytes
 * (wsconn_io.c)
 *
 * Phases: credential -> connect (libcurl's multi) -> upgrade (our bytes, curl_easy_send/recv, our
 * own uv_poll on the socket) -> open. No event is called once the phase is CLOSED.
 */
#ifndef CLUSTER_WSCONN_IMPL_H
#define CLUSTER_WSCONN_IMPL_H

#include "cluster/driver.h"
#include "cluster/request.h"
#include "cluster/sendq.h"
#include "cluster/tls_batch.h"
#include "cluster/ws_upgrade.h"
#include "cluster/wsconn.h"
#include "core/err.h"
#include "core/limits.h"
#include "tunnel/ws.h"

/* Of one curl_easy_recv(): a TLS record is at most 16 KB, plain HTTP brings more. */
#define WSCONN_READ_BYTES ((size_t)64 * 1024)

enum wsconn_phase { PHASE_CREDENTIAL, PHASE_CONNECT, PHASE_UPGRADE, PHASE_OPEN, PHASE_CLOSED };

struct wsconn {
	struct kube_client *client; /* until the credential is there */
	struct kube_auth_wait *wait;
	struct kube_config names; /* server and context, for messages */
	struct driver *driver;
	struct transport transport;
	char *path, *protocol;
	char key[WS_UPGRADE_KEY_BYTES];
	enum wsconn_phase phase;
	uv_poll_t poll;
	uv_idle_t more; /* bytes are left after a full budget */
	uv_timer_t timer; /* the upgrade's deadline; 0: report `failure` */
	unsigned int handles;
	bool poll_inited, started, want_write, freed;
	struct err failure; /* found where no event may be called */
	struct buf head; /* the upgrade's answer and what came with it */
	struct sendq queue;
	SSL *ssl; /* the transport's; NULL: it has none */
	BIO *batch; /* of ssl; NULL: each record goes by itself */
	struct ws_parser parser;
	struct wsconn_events events;
	void *user;
	uint8_t in[WSCONN_READ_BYTES];
};

/* Ends it and says why. */
void wsconn_fail(struct wsconn *conn, const struct err *err);
/* The same from the loop, with conn->failure: the caller is in the middle of something. */
void wsconn_fail_later(struct wsconn *conn);
/* The upgrade's answer: bytes of it, none at the connection's end. */
void wsconn_read_upgrade(struct wsconn *conn, const uint8_t *data, size_t len);

/* Sends what the socket takes. Failures are reported later. */
void wsconn_flush(struct wsconn *conn);
/* Moves one wake-up's worth of bytes in. */
void wsconn_pump(struct wsconn *conn);
/* Soon once more, from the loop. */
void wsconn_more(struct wsconn *conn);
/* The socket's poll handle as the phase wants it. */
void wsconn_update_poll(struct wsconn *conn);

#endif /* CLUSTER_WSCONN_IMPL_H */
