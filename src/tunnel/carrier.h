/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/carrier.h - what carries a tunnel's bytes: a reliable, ordered byte stream
 *
 * Implementations embed `struct carrier` as first member and fill ops: the WebSocket upgrade
 * through services/proxy and the port-forward (src/cluster), an accepted socket in the manager.
 * Ownership: whoever holds the carrier frees it with carrier_free(); events are set once, before
 * carrier_start(). Callbacks must not free the carrier; they may call carrier_send().
 * Threading: loop thread only.
 */
#ifndef TUNNEL_CARRIER_H
#define TUNNEL_CARRIER_H

#include <stdint.h>

#include "core/attr.h"

struct carrier;
struct err;

/*
 * How a carrier begins, before its first record (docs/tunnel.md): a bare byte stream sends the
 * preamble, an HTTP/1.1 one upgrades TUNNEL_PATH to WebSocket. Both are the carrier's own work.
 */
#define TUNNEL_PREAMBLE    "TPT/1\r\n"
#define TUNNEL_PATH        "/tunnel"
#define TUNNEL_SUBPROTOCOL "telepresence.io.v1"

struct carrier_events {
	/* Bytes of the peer in order; the view dies when the callback returns. */
	void (*on_data)(void *user, const uint8_t *data, size_t len);
	/* Of the next bytes so many may come by the conduit (tunnel/conduit.h); then on_conducted
	 * tells that they are there, to be taken before it returns. Both NULL: none ever. */
	size_t (*conduct_due)(void *user);
	void (*on_conducted)(void *user);
	/* carrier_room() has become > 0 again. */
	void (*on_writable)(void *user);
	/* The carrier is dead; err says why (kind ERR_NONE: closed in order). No callback follows.
	 */
	void (*on_closed)(void *user, const struct err *err);
};

struct carrier_ops {
	const char *name; /* "services/proxy", "port-forward", "socket" */
	void (*start)(struct carrier *carrier);
	size_t (*room)(const struct carrier *carrier);
	void (*send)(struct carrier *carrier, const void *data, size_t len);
	/* As send, and after these bytes what is in the conduit (tunnel/conduit.h). NULL: bytes do
	 * not go out as they are. */
	void (*conduct)(struct carrier *carrier, const void *data, size_t len);
	void (*free)(struct carrier *carrier);
};

struct carrier {
	const struct carrier_ops *ops;
	struct carrier_events events;
	void *user;
};

static inline void carrier_start(
	struct carrier *carrier, const struct carrier_events *events, void *user)
{
	carrier->events = *events;
	carrier->user = user;
	carrier->ops->start(carrier);
}

/* Bytes that carrier_send() takes now without growing past LIMIT_CARRIER_QUEUE_BYTES. */
static inline size_t carrier_room(const struct carrier *carrier)
{
	return carrier->ops->room(carrier);
}

/* Queues all len bytes (copied) and flushes what the socket takes. Callers respect carrier_room();
 * a short control record may exceed it. Errors arrive by on_closed. */
static inline void carrier_send(struct carrier *carrier, const void *data, size_t len)
{
	carrier->ops->send(carrier, data, len);
}

/* Closes the connection; memory goes when its handles are closed. NULL-safe. */
static inline void carrier_free(struct carrier *carrier)
{
	if (carrier)
		carrier->ops->free(carrier);
}

#endif /* TUNNEL_CARRIER_H */
