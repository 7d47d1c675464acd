/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/upconn_impl.h - the inside of an upconn, shared by its phases (upconn.c), its bytes
 * (upconn_io.c) and the streams of SPDY (upconn_spdy.c)
 *
 * Phases: credential -> connect (libcurl's multi) -> upgrade (our bytes, curl_easy_send/recv, our
 * own uv_poll on the socket) -> streams (SPDY) -> open. No event is called once the phase is
 * CLOSED.
 */
#ifndef CLUSTER_UPCONN_IMPL_H
#define CLUSTER_UPCONN_IMPL_H

#include "cluster/driver.h"
#include "cluster/request.h"
#include "cluster/sendq.h"
#include "cluster/spdy.h"
#include "cluster/tls_batch.h"
#include "cluster/http_upgrade.h"
#include "cluster/upconn.h"
#include "core/err.h"
#include "core/limits.h"
#include "tunnel/ws.h"

/* Of one curl_easy_recv(): a TLS record is at most 16 KB, plain HTTP brings more. */
#define UPCONN_READ_BYTES ((size_t)64 * 1024)

enum upconn_phase {
	PHASE_CREDENTIAL,
	PHASE_CONNECT,
	PHASE_UPGRADE,
	PHASE_STREAMS,
	PHASE_OPEN,
	PHASE_CLOSED
};

struct upconn {
	struct kube_client *client; /* until the credential is there */
	struct kube_auth_wait *wait;
	struct kube_config names; /* server and context, for messages */
	struct driver *driver;
	struct transport transport;
	struct upconn_config config;
	char *path; /* config's */
	char key[HTTP_UPGRADE_KEY_BYTES];
	enum upconn_phase phase;
	uv_poll_t poll;
	uv_idle_t more; /* bytes are left after a full budget */
	uv_timer_t timer; /* the upgrade's deadline; 0: report `failure` */
	unsigned int handles;
	bool poll_inited, reached, started, want_write, freed;
	struct err failure; /* found where no event may be called */
	struct buf head; /* the upgrade's answer and what came with it */
	struct sendq queue;
	SSL *ssl; /* the transport's; NULL: it has none */
	BIO *batch; /* of ssl; NULL: each record goes by itself */
	struct ws_parser parser;
	struct spdy_parser spdy;
	struct buf said; /* by the error stream of SPDY */
	struct upconn_events events;
	void *user;
	uint8_t in[UPCONN_READ_BYTES];
};

static inline bool upconn_is_spdy(const struct upconn *conn)
{
	return conn->config.upgrade.to == HTTP_UPGRADE_SPDY;
}

/* Ends it and says why. */
void upconn_fail(struct upconn *conn, const struct err *err);
/* The same from the loop, with conn->failure: the caller is in the middle of something. */
void upconn_fail_later(struct upconn *conn);
/* The upgrade's answer: bytes of it, none at the connection's end. */
void upconn_read_upgrade(struct upconn *conn, const uint8_t *data, size_t len);

/* Sends what the socket takes. Failures are reported later. */
void upconn_flush(struct upconn *conn);
/* SPDY: asks for the streams; bytes of the connection; one piece of the data stream. */
void upconn_spdy_begin(struct upconn *conn);
NODISCARD int upconn_spdy_take(struct upconn *conn, const uint8_t *data, size_t len);
NODISCARD int upconn_spdy_send(struct upconn *conn, const void *data, size_t len);
/* The connection is open: tells. */
void upconn_opened(struct upconn *conn);
/* Moves one wake-up's worth of bytes in. */
void upconn_pump(struct upconn *conn);
/* Soon once more, from the loop. */
void upconn_more(struct upconn *conn);
/* The socket's poll handle as the phase wants it. */
void upconn_update_poll(struct upconn *conn);

#endif /* CLUSTER_UPCONN_IMPL_H */
