/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/client.h - the laptop's end of a tunnel: proof of the Session, then HTTP/2
 *
 * docs/tunnel.md specifies the bytes. Lifecycle: tunnel_client_new() takes the carrier; on_ready
 * once the manager accepted the proof, on_closed once when it is over, for whatever reason; then
 * tunnel_client_free(). Free from within a callback is allowed (deferred).
 * Heartbeat: after LIMIT_CARRIER_SILENCE_MS without a byte on_lost; LIMIT_CARRIER_KEEP_MS close it
 * with -ETIMEDOUT.
 */
#ifndef TUNNEL_CLIENT_H
#define TUNNEL_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/attr.h"

struct carrier;
struct err;
struct h2_session;
struct session_key;
struct tunnel_client;

struct h2_head;
struct h2_stream;

struct tunnel_client_config {
	const char *session_uid; /* metadata.uid of the Session object, copied */
	const struct session_key *key; /* borrowed; outlives the tunnel */
	/* The manager opens the streams (intercepted connections), this side serves them. */
	bool reverse;
};

struct tunnel_client_events {
	void (*on_ready)(void *user);
	/* reverse: a request of the manager; set events and respond, now or later. */
	void (*on_stream)(void *user, struct h2_stream *stream, const struct h2_head *head);
	/* The manager has not answered a heartbeat in LIMIT_CARRIER_SUSPECT_MS, or is heard again:
	 * the path may be cut. May be NULL. */
	void (*on_silence)(void *user, bool silent);
	/* The numbers of its streams come to an end (LIMIT_STREAM_ID): it goes on, but another one
	 * is due. Once, from the loop; may be NULL. */
	void (*on_worn)(void *user);
	/* It was silent for longer, or the manager ends (GOAWAY): open no more streams. Those that
	 * are there go on, if it is heard again. NULL: it ends. */
	void (*on_lost)(void *user, const struct err *err);
	void (*on_closed)(void *user, const struct err *err);
};

struct tunnel_client *tunnel_client_new(uv_loop_t *loop, struct carrier *carrier,
	const struct tunnel_client_config *config, const struct tunnel_client_events *events,
	void *user);
/* Whose it is from now on. */
void tunnel_client_set_events(
	struct tunnel_client *tunnel, const struct tunnel_client_events *events, void *user);
/* The HTTP/2 session to open streams on; NULL before on_ready and after on_closed, and of a
 * reversed tunnel. Borrowed. */
struct h2_session *tunnel_client_h2(const struct tunnel_client *tunnel);
/* Streams that are open now, whoever opened them. */
size_t tunnel_client_streams(const struct tunnel_client *tunnel);
/* The path may have changed: silence from now on ends it within PIPE_CHECK_MS, or four round trips.
 */
void tunnel_client_check(struct tunnel_client *tunnel);
/* Round-trip time of the last heartbeat in microseconds, 0 before the first. */
uint32_t tunnel_client_rtt_us(const struct tunnel_client *tunnel);
const char *tunnel_client_carrier(const struct tunnel_client *tunnel);
void tunnel_client_free(struct tunnel_client *tunnel); /* NULL-safe; no callback follows */

#endif /* TUNNEL_CLIENT_H */
