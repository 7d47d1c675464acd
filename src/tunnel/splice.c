/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each stream is one half. What comes in on a half waits in the other half's `out` until that
 * stream may send it; only then the sender gets its credit back. HTTP/2 makes no room in between: a
 * sender that was given one window has at most that much in `out`.
 *
 *   ASKING -> JOINED -> OVER     the callee took it; over when both streams are closed
 *   ASKING -> OVER               it did not, in time or at all, or the caller gave up
 */
#include "tunnel/splice.h"

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <string.h>
#include <uv.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/limits.h"
#include "tunnel/reply.h"
#include "tunnel/session.h"

#define CAPSULE_HEADER "capsule-protocol" /* RFC 9297 3.4 */

enum splice_state { ASKING, JOINED, OVER };

struct half {
	struct splice *splice;
	struct half *other;
	struct h2_stream *stream; /* NULL: closed */
	struct buf out; /* bytes of the other half */
	bool end_in, end_out; /* END_STREAM came, was sent */
};

struct splice {
	enum splice_state state;
	struct half from, to;
	uv_timer_t deadline; /* of the answer */
	struct splice_events events;
	void *user;
};

static void on_deadline_closed(uv_handle_t *handle)
{
	struct splice *splice = container_of(handle, struct splice, deadline);

	buf_done(&splice->from.out);
	buf_done(&splice->to.out);
	free(splice);
}

/* Resets the stream and forgets it: no event of it comes any more. */
static void drop(struct half *half, uint32_t code)
{
	struct h2_stream *stream = TAKE_PTR(half->stream);

	if (!stream)
		return;
	h2_stream_set_events(stream, &(struct h2_stream_events){0}, NULL);
	h2_stream_reset(stream, code);
}

static void finish(struct splice *splice)
{
	splice->state = OVER;
	drop(&splice->from, NGHTTP2_CANCEL);
	drop(&splice->to, NGHTTP2_CANCEL);
	uv_close((uv_handle_t *)&splice->deadline, on_deadline_closed);
	if (splice->events.on_done)
		splice->events.on_done(splice->user);
}

/* Not taken: the caller is told why. */
static void refuse(struct splice *splice, enum reason reason)
{
	reply_reason(TAKE_PTR(splice->from.stream), reason);
	if (splice->events.on_answer)
		splice->events.on_answer(splice->user, reason);
	finish(splice);
}

static void on_deadline(uv_timer_t *timer)
{
	refuse(container_of(timer, struct splice, deadline), REASON_TIMED_OUT);
}

static void on_head(void *user, const struct h2_head *head)
{
	struct half *half = user;
	struct splice *splice = half->splice;
	const char *capsules = h2_head_get(head, CAPSULE_HEADER);
	const struct h2_header header = {CAPSULE_HEADER, capsules};

	if (head->status != 200) {
		refuse(splice, reason_parse(h2_head_get(head, REASON_HEADER)));
		return;
	}
	splice->state = JOINED;
	uv_timer_stop(&splice->deadline);
	h2_respond(splice->from.stream, 200, &header, capsules ? 1 : 0, true);
	if (splice->events.on_answer)
		splice->events.on_answer(splice->user, REASON_NONE);
}

static void on_data(void *user, const uint8_t *data, size_t len)
{
	struct half *half = user, *other = half->other;

	if (!other->stream || buf_append(&other->out, data, len) < 0) {
		/* The first is for nobody; the second is a peer that ignores its window. */
		splice_abort(half->splice);
		return;
	}
	h2_stream_resume(other->stream);
}

static void on_end(void *user)
{
	struct half *half = user;

	half->end_in = true;
	if (half->other->stream)
		h2_stream_resume(half->other->stream);
}

static ssize_t on_read(void *user, uint8_t *out, size_t len)
{
	struct half *half = user, *other = half->other;
	size_t take = MIN(len, buf_len(&half->out));

	if (take == 0) {
		half->end_out = other->end_in;
		return other->end_in ? H2_READ_EOF : H2_READ_AGAIN;
	}
	memcpy(out, buf_head(&half->out), take);
	buf_consume(&half->out, take);
	/* Ten thousand idle pairs keep nothing of what once went through them. */
	if (buf_len(&half->out) == 0)
		buf_done(&half->out);
	if (other->stream)
		h2_stream_consumed(other->stream, take);
	return (ssize_t)take;
}

static void on_close(void *user, uint32_t code)
{
	struct half *half = user, *other = half->other;
	struct splice *splice = half->splice;

	half->stream = NULL;
	if (splice->state == ASKING && half == &splice->to) {
		refuse(splice, REASON_NO_CLIENT);
		return;
	}
	/* An end in order was announced both ways; what waits for the other half still goes out. */
	if (code != NGHTTP2_NO_ERROR || !half->end_in || !half->end_out)
		drop(other, code == NGHTTP2_NO_ERROR ? NGHTTP2_CONNECT_ERROR : code);
	if (!other->stream)
		finish(splice);
}

static void half_init(struct half *half, struct splice *splice, struct half *other)
{
	half->splice = splice;
	half->other = other;
	buf_init(&half->out, LIMIT_STREAM_WINDOW_BYTES);
}

int splice_start(struct h2_stream *from, struct h2_session *to, const struct h2_head *head,
	uint32_t answer_ms, const struct splice_events *events, void *user,
	struct splice **ret_splice)
{
	static const struct h2_stream_events stream_events = {
		.on_head = on_head,
		.on_data = on_data,
		.on_end = on_end,
		.on_read = on_read,
		.on_close = on_close,
	};
	struct splice *splice = XNEW(struct splice);
	int r = h2_request(to, head, &stream_events, &splice->to, &splice->to.stream);

	if (r < 0) {
		free(splice);
		return r;
	}
	half_init(&splice->from, splice, &splice->to);
	half_init(&splice->to, splice, &splice->from);
	if (events)
		splice->events = *events;
	splice->user = user;
	splice->from.stream = from;
	h2_stream_set_events(from, &stream_events, &splice->from);
	uv_timer_init(h2_session_loop(to), &splice->deadline);
	uv_timer_start(&splice->deadline, on_deadline, answer_ms, 0);
	*ret_splice = splice;
	return 0;
}

void splice_abort(struct splice *splice)
{
	drop(&splice->from, NGHTTP2_CONNECT_ERROR);
	drop(&splice->to, NGHTTP2_CONNECT_ERROR);
	finish(splice);
}
