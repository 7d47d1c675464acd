/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/window.h - credit of a connection and its streams, told to the peer
 *
 * Internal to the folder: session.c and stream.c call it; how much is credit.h's to say.
 */
#ifndef TUNNEL_WINDOW_H
#define TUNNEL_WINDOW_H

#include <stddef.h>

#include "core/attr.h"

struct h2_session;
struct h2_stream;

/* Settings of a new connection; 0 or nghttp2's error. */
NODISCARD int window_open(struct h2_session *session);
/* Bytes of the peer came for a stream that takes them: they count until h2_stream_consumed(). */
void window_came(struct h2_stream *stream, size_t len);
void window_end(struct h2_stream *stream); /* it is gone */
/* Tells the peer what streams begin with, when their number asks for another amount. */
void window_fit(struct h2_session *session);

#endif /* TUNNEL_WINDOW_H */
