/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/reply.h - whole responses to a request of the tunnel
 *
 * Each function takes over the stream: its events are set, and nothing else is to be done with it.
 */
#ifndef TUNNEL_REPLY_H
#define TUNNEL_REPLY_H

#include <stddef.h>

#include "tunnel/h2.h"
#include "tunnel/reason.h"

/* A status without body. */
void reply_status(struct h2_stream *stream, int status);
/* A CONNECT that failed: the status of the reason and its name in REASON_HEADER. */
void reply_reason(struct h2_stream *stream, enum reason reason);
/* A status and a body, which is copied. */
void reply_body(struct h2_stream *stream, int status, const char *content_type, const void *body,
	size_t len);

#endif /* TUNNEL_REPLY_H */
