/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/lines.h - one stream whose bodies are lines of text, both ways
 *
 * A line has at most LIMIT_CONTROL_BODY_BYTES. A longer one, a peer that does not read what it is
 * sent, and the end of the stream are told by on_over, once; never to a caller in the middle of
 * lines_send().
 */
#ifndef TUNNEL_LINES_H
#define TUNNEL_LINES_H

#include "core/attr.h"
#include "tunnel/h2.h"

struct err;
struct lines;

struct lines_events {
	/* A line without its newline, not NUL-terminated. Negative: the stream is over, by *err. */
	int (*on_line)(void *user, const char *text, size_t len, struct err *err);
	void (*on_over)(void *user, const struct err *err);
};

/* Asks for such a stream (client side): a status that is not 200 is its end. -EAGAIN as
 * h2_request(). */
NODISCARD int lines_request(struct h2_session *session, const struct h2_head *head,
	const struct lines_events *events, void *user, struct lines **ret_lines);
/* Answers such a request (server side) with 200; within on_stream. */
struct lines *lines_serve(struct h2_stream *stream, const struct lines_events *events, void *user);
/* A line without its newline; copied. Nothing happens after on_over. */
void lines_send(struct lines *lines, const char *text, size_t len);
/* In any callback; no event follows. The stream is left to its session. NULL-safe. */
void lines_free(struct lines *lines);

#endif /* TUNNEL_LINES_H */
