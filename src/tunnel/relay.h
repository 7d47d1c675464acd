/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/relay.h - bytes between a connected TCP socket and an HTTP/2 CONNECT stream
 *
 * Half-close passes through in both directions, an RST becomes CONNECT_ERROR (and the other way
 * round, by SO_LINGER 0), a stalled side stalls only its own stream: at most
 * LIMIT_STREAM_WINDOW_BYTES wait in memory. Ownership: the relay takes the fd. Until relay_start()
 * the stream's events are relay_events with the relay as user, or a wrapper that calls them; from
 * then on they are the relay's alone. It frees itself when both directions are over, after on_done.
 */
#ifndef TUNNEL_RELAY_H
#define TUNNEL_RELAY_H

#include <uv.h>

#include "core/attr.h"
#include "tunnel/h2.h"

struct relay;

struct relay_stats {
	uint64_t bytes_in, bytes_out; /* from the socket, to the socket */
};

extern const struct h2_stream_events relay_events;

/* A relay without socket yet: stream bytes that come early wait in its window. */
struct relay *relay_new(uv_loop_t *loop);
void relay_set_stream(struct relay *relay, struct h2_stream *stream);
/* Tells, until relay_start(), that the stream is gone (the peer gave up): the relay is freed then
 * and must be forgotten. Without it relay_start() says -ECANCELED. */
void relay_set_cancel(struct relay *relay, void (*on_cancel)(void *user), void *user);
/* The connected, non-blocking socket; starts moving bytes. on_done may be NULL. On failure fd is
 * closed, the relay freed and on_done not called. */
NODISCARD int relay_start(struct relay *relay, int fd,
	void (*on_done)(void *user, const struct relay_stats *stats), void *user);
/* Ends both sides at once (RST); on_done follows if relay_start() had been called. */
void relay_abort(struct relay *relay);

#endif /* TUNNEL_RELAY_H */
