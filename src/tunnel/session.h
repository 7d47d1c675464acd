/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/session.h - one HTTP/2 connection on a pipe (what is behind tunnel/h2.h)
 *
 * Lifecycle: h2_session_new() on an open pipe; h2_session_recv() with the pipe's bytes,
 * h2_session_wake() when it is writable; h2_session_free() tells every stream that it is gone and
 * may be called from within any callback. The pipe is borrowed until then.
 * Sending happens once per turn of the loop, so that what one wake-up produced is one record.
 */
#ifndef TUNNEL_SESSION_H
#define TUNNEL_SESSION_H

#include <stdint.h>
#include <uv.h>

#include "core/attr.h"
#include "tunnel/h2.h"

struct err;
struct pipe;

struct h2_session_events {
	/* Server only: a request. The head dies on return. */
	void (*on_stream)(void *user, struct h2_stream *stream, const struct h2_head *head);
	/* The peer will end: no request is made any more, streams go on (GOAWAY). May be NULL. */
	void (*on_goaway)(void *user);
	/* Streams have numbers above LIMIT_STREAM_ID: another connection is due. Once, from the
	 * loop; may be NULL. */
	void (*on_worn)(void *user);
	/* The connection is unusable (from the loop, never from within a call), or was told to go
	 * and its last stream has ended. */
	void (*on_failed)(void *user, const struct err *err);
};

enum h2_role { H2_CLIENT, H2_SERVER };

NODISCARD int h2_session_new(uv_loop_t *loop, struct pipe *pipe, enum h2_role role,
	const struct h2_session_events *events, void *user, struct h2_session **ret_session,
	struct err *err);
NODISCARD int h2_session_recv(
	struct h2_session *session, const uint8_t *data, size_t len, struct err *err);
/* Bytes to come that belong to one DATA frame of a stream that takes them from the conduit. */
size_t h2_session_conduct_due(const struct h2_session *session);
/* So many of them, or fewer, are in the conduit; it is empty afterwards. */
NODISCARD int h2_session_conducted(struct h2_session *session, struct err *err);
/* Streams that are not over in both directions. */
size_t h2_session_streams(const struct h2_session *session);
uv_loop_t *h2_session_loop(const struct h2_session *session);
/* Tells the peer to make no more requests here, or that none will come; once. */
void h2_session_goaway(struct h2_session *session);
void h2_session_wake(struct h2_session *session);
void h2_session_free(struct h2_session *session); /* NULL-safe; deferred */

#endif /* TUNNEL_SESSION_H */
