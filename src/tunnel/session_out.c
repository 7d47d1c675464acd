/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a session sends: everything that one turn of the loop wants to is collected in `out`, one
 * DATA record of the pipe. DATA frames are read by their owner straight into it, behind the space
 * for their frame header (NGHTTP2_DATA_FLAG_NO_COPY), or go past it (conduit.h), at a record's end.
 * nghttp2 must not be asked to send from within its own callbacks, so requests only start the idle
 * handle; it runs before the loop polls again.
 *
 * Whose DATA is next: nghttp2 would let a new stream stand behind all that are as far as it, with
 * 64 KiB each. So it sees at most one stream that has bytes: all others are deferred, and the one
 * with the turn (sched.h) is resumed. Frames other than DATA are nghttp2's to order; they go first.
 */
#include <errno.h>
#include <string.h>

#include "core/err.h"
#include "core/limits.h"
#include "tunnel/conduit.h"
#include "tunnel/session.h"
#include "tunnel/session_priv.h"

/* A DATA frame is not begun in less: send what is there first. */
#define FRAME_MIN_BYTES (4 * 1024)
/*
 * What a record is filled to: with what the pipe adds, a WebSocket's header (8 bytes, of a client)
 * and a channel's byte it has less than 64 KB, which is four TLS records. A few bytes more would be
 * a fifth, and one read, write and wake-up more of everybody on the way.
 */
#define RECORD_BYTES (PIPE_DATA_MAX_BYTES - 64)
/* Bytes sent in one turn of the loop before others have theirs. */
#define TURN_BYTES LIMIT_PUMP_BYTES
static void session_fail(struct h2_session *session, int code, const char *what)
{
	struct err err = ERR_INIT;

	if (session->closing)
		return;
	err_set(&err, code, ERR_INTERNAL, "tunnel: HTTP/2: %s", what);
	session->events.on_failed(session->user, &err);
}

static void send_out(struct h2_session *session)
{
	size_t len = session->out_len;

	if (len == 0)
		return;
	session->out_len = 0;
	session->sent_bytes += len + conduit_len();
	pipe_send_data(session->pipe, session->out, len);
}

uint8_t *session_data_at(struct h2_session *session)
{
	return session->out + PIPE_DATA_HEADER_BYTES + session->out_len + FRAME_HEADER_BYTES;
}

size_t session_data_room(struct h2_session *session)
{
	if (RECORD_BYTES - session->out_len < FRAME_HEADER_BYTES + FRAME_MIN_BYTES)
		send_out(session);
	if (session->sent_bytes >= TURN_BYTES || pipe_room(session->pipe) == 0)
		return 0;
	return RECORD_BYTES - session->out_len - FRAME_HEADER_BYTES;
}

static void append_out(struct h2_session *session, const uint8_t *data, size_t len)
{
	size_t take;

	while (len > 0) {
		if (session->out_len == RECORD_BYTES)
			send_out(session);
		take = MIN(len, RECORD_BYTES - session->out_len);
		memcpy(session->out + PIPE_DATA_HEADER_BYTES + session->out_len, data, take);
		session->out_len += take;
		data += take;
		len -= take;
	}
}

/* Gives the next stream its turn; false: nobody has both bytes and credit, or there is no room. */
static bool give_turn(struct h2_session *session)
{
	struct sched *sched = &session->sched;
	struct h2_stream *stream;

	if (session->paused || nghttp2_session_get_remote_window_size(session->ng) <= 0)
		return false;
	/* Without credit it left its turn to nghttp2, which asks again when there is some. */
	if (sched->turn)
		sched_remove(sched, sched->turn);
	if (!sched_next(sched))
		return false;
	stream = container_of(sched->turn, struct h2_stream, sched);
	/* It fails only for a stream that is about to be closed. */
	(void)nghttp2_session_resume_data(session->ng, stream->id);
	return true;
}

static void tell_worn(struct h2_session *session)
{
	if (!session->worn || session->worn_told)
		return;
	session->worn_told = true;
	if (session->events.on_worn)
		session->events.on_worn(session->user);
}

/* Frames for one turn; stays scheduled when the turn, not the work, is over. */
static void on_idle(uv_idle_t *idle)
{
	struct h2_session *session = container_of(idle, struct h2_session, idle);
	const uint8_t *data;
	ssize_t n = 0;

	uv_idle_stop(idle);
	session->sent_bytes = 0;
	session->paused = false;
	sched_set_rate(&session->sched, pipe_rate(session->pipe));
	while (pipe_room(session->pipe) > 0 && session->sent_bytes < TURN_BYTES) {
		n = nghttp2_session_mem_send(session->ng, &data);
		if (n < 0 || (n == 0 && !give_turn(session)))
			break;
		append_out(session, data, (size_t)n);
	}
	send_out(session);
	tell_worn(session);
	if (session->closing)
		return;
	if (n < 0)
		session_fail(session, -EPROTO, nghttp2_strerror((int)n));
	else if (!nghttp2_session_want_read(session->ng) &&
		 !nghttp2_session_want_write(session->ng))
		session_fail(session, -ECONNRESET, "the connection was ended");
	else if (session->sent_bytes >= TURN_BYTES)
		session_schedule(session);
}

void session_schedule(struct h2_session *session)
{
	if (!session->closing)
		uv_idle_start(&session->idle, on_idle);
}

int session_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *header, size_t len,
	nghttp2_data_source *source, void *user)
{
	struct h2_session *session = user;

	(void)ng, (void)frame, (void)source;
	/* No padding is ever asked for: the bytes follow the header at once. */
	memcpy(session_data_at(session) - FRAME_HEADER_BYTES, header, FRAME_HEADER_BYTES);
	session->out_len += FRAME_HEADER_BYTES;
	if (!session->conducted)
		session->out_len += len;
	else
		send_out(session); /* the record ends with what is in the conduit */
	session->conducted = false;
	return 0;
}

ssize_t session_read_length(nghttp2_session *ng, uint8_t type, int32_t id, int32_t session_window,
	int32_t stream_window, uint32_t max_frame, void *user)
{
	(void)ng, (void)type, (void)id, (void)user;
	return MIN(MIN(session_window, stream_window), (int32_t)MIN(max_frame, FRAME_MAX_BYTES));
}
