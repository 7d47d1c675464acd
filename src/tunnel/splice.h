/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/splice.h - two HTTP/2 streams joined: what comes on one goes out on the other
 *
 * The manager's part of an intercepted connection. Credit passes through: bytes are consumed on one
 * side when the other has sent them, so that at most LIMIT_STREAM_WINDOW_BYTES wait and a stalled
 * side stalls only its own pair. END_STREAM and RST_STREAM pass in both directions.
 */
#ifndef TUNNEL_SPLICE_H
#define TUNNEL_SPLICE_H

#include <stdint.h>

#include "core/attr.h"
#include "tunnel/h2.h"
#include "tunnel/reason.h"

struct h2_session;
struct splice;

struct splice_events {
	/* The callee answered (REASON_NONE), or did not take it: called once. A callee whose
	 * carrier went, or who resets without an answer, is REASON_NO_CLIENT. */
	void (*on_answer)(void *user, enum reason reason);
	/* The splice is gone: both streams are closed, or the caller has its reason. Called once,
	 * also without on_answer when the caller gave up. */
	void (*on_done)(void *user);
};

/*
 * `from` is a request being served (within on_stream); the request `head` is made on `to`, its
 * answer is given to `from` (200, or the status and reason), then bytes flow. No answer within
 * answer_ms: on_answer(REASON_TIMED_OUT) and `from` is told so. Events may be NULL; none is called
 * from within this function. On failure (-EAGAIN: `to` takes no more streams) `from` is the
 * caller's to answer.
 */
NODISCARD int splice_start(struct h2_stream *from, struct h2_session *to,
	const struct h2_head *head, uint32_t answer_ms, const struct splice_events *events,
	void *user, struct splice **ret_splice);
void splice_abort(struct splice *splice); /* resets both; on_done is called before it returns */

#endif /* TUNNEL_SPLICE_H */
