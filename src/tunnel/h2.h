/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/h2.h - streams of one HTTP/2 connection (RFC 9113 by nghttp2), either side of a tunnel
 *
 * A stream is a request and its response, or a CONNECT (RFC 9113 8.5): both directions are bytes
 * with credit. Received bytes count against the peer's window until h2_stream_consumed(); bytes to
 * send are pulled by `on_read` when the carrier and the peer's window have room, so nothing is
 * queued twice.
 *
 * Ownership: a stream belongs to its session and lives until on_close returned; the owner of the
 * other end (a socket relay, a DNS query) must forget it then. Callbacks may call any h2_stream_*
 * function on any stream; they must not free the session.
 */
#ifndef TUNNEL_H2_H
#define TUNNEL_H2_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/attr.h"

struct h2_session;
struct h2_stream;

#define H2_READ_EOF   (-1) /* on_read: no more bytes will come, half-close */
#define H2_READ_AGAIN (-2) /* on_read: none now; h2_stream_resume() when there are */
#define H2_READ_ABORT (-3) /* on_read: reset the stream */

struct h2_header {
	const char *name, *value; /* lower-case name, NUL-terminated */
};

/* Head of a request or a response. Strings die with the callback. */
struct h2_head {
	const char *method, *path, *authority, *protocol; /* requests; NULL when absent */
	int status; /* responses; 0 in requests */
	const struct h2_header *headers;
	size_t header_count;
};

struct h2_stream_events {
	/* Client side: the final response's head. */
	void (*on_head)(void *user, const struct h2_head *head);
	/* Bytes of the peer; give credit with h2_stream_consumed() when they are used up. */
	void (*on_data)(void *user, const uint8_t *data, size_t len);
	/* As on_data, of what is in the conduit, which is emptied. May be NULL. */
	void (*on_conducted)(void *user);
	/* The peer will send no more (END_STREAM). */
	void (*on_end)(void *user);
	/* Fill at most len bytes at out: count, or H2_READ_*. NULL: this side sends no body. */
	ssize_t (*on_read)(void *user, uint8_t *out, size_t len);
	/* At most len bytes into the conduit (tunnel/conduit.h): count, or 0: ask on_read. May be
	 * NULL. */
	ssize_t (*on_conduct)(void *user, size_t len);
	/* The stream is gone; code is the RFC 9113 error code, 0 for an orderly end. */
	void (*on_close)(void *user, uint32_t code);
};

/*
 * Starts a request (client side). Method, path (NULL for CONNECT), authority and headers are
 * copied. `protocol` is for extended CONNECT (RFC 8441), else NULL. -EAGAIN when LIMIT_STREAMS is
 * reached or the session is closing.
 */
NODISCARD int h2_request(struct h2_session *session, const struct h2_head *head,
	const struct h2_stream_events *events, void *user, struct h2_stream **ret_stream);

/* Server side: sends the head; has_body says that events.on_read delivers a body (or CONNECT
 * bytes). */
void h2_respond(struct h2_stream *stream, int status, const struct h2_header *headers, size_t count,
	bool has_body);
/* Server side, within on_stream: where this stream's events go from now on. */
void h2_stream_set_events(
	struct h2_stream *stream, const struct h2_stream_events *events, void *user);
/* on_read has bytes again after H2_READ_AGAIN. */
void h2_stream_resume(struct h2_stream *stream);
void h2_stream_consumed(struct h2_stream *stream, size_t len);
/* RST_STREAM; on_close follows. Codes: NGHTTP2_CANCEL, NGHTTP2_CONNECT_ERROR, ... */
void h2_stream_reset(struct h2_stream *stream, uint32_t code);
/* Value of a header, or NULL. */
const char *h2_head_get(const struct h2_head *head, const char *name);

#endif /* TUNNEL_H2_H */
