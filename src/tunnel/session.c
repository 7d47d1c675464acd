/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nghttp2 between the pipe and the streams.
 *
 * In: the carrier's bytes go through nghttp2 without a copy; a stream's on_data sees the read
 * buffer itself. How much may come is window.c's.
 *
 * Out: everything that one turn of the loop wants to send is collected in `out`, one DATA record
 * of the pipe. DATA frames are read by their owner straight into it, behind the space for their
 * frame header (NGHTTP2_DATA_FLAG_NO_COPY). nghttp2 must not be asked to send from within its own
 * callbacks, so requests only start the idle handle; it runs before the loop polls again.
 *
 * Whose DATA is next: nghttp2 would let a new stream stand behind all that are as far as it, with
 * 64 KiB each. So it sees at most one stream that has bytes: all others are deferred, and the one
 * with the turn (sched.h) is resumed. Frames other than DATA are nghttp2's to order; they go first.
 */
#include "tunnel/session.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"
#include "tunnel/session_priv.h"
#include "tunnel/window.h"

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
/*
 * Streams that the peer may reset: nghttp2's default (1000, then 33/s, against CVE-2023-44487)
 * would end the tunnel of a laptop whose programs open and abort connections. The peer has proven
 * its Session and its streams are bounded.
 */
#define RESET_BURST 100000
#define RESET_RATE  10000

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
	session->sent_bytes += len;
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
	stream_tell_worn(session);
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

static int on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *header,
	size_t len, nghttp2_data_source *source, void *user)
{
	struct h2_session *session = user;

	(void)ng, (void)frame, (void)source;
	/* No padding is ever asked for: the bytes follow the header at once. */
	memcpy(session_data_at(session) - FRAME_HEADER_BYTES, header, FRAME_HEADER_BYTES);
	session->out_len += FRAME_HEADER_BYTES + len;
	return 0;
}

static ssize_t on_read_length(nghttp2_session *ng, uint8_t type, int32_t id, int32_t session_window,
	int32_t stream_window, uint32_t max_frame, void *user)
{
	(void)ng, (void)type, (void)id, (void)user;
	return MIN(MIN(session_window, stream_window), (int32_t)MIN(max_frame, FRAME_MAX_BYTES));
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
	struct h2_session *session = user;
	struct h2_stream *stream;

	if (session->closing)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (session->role == H2_CLIENT || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	stream = stream_new(session);
	nghttp2_session_set_stream_user_data(ng, frame->hd.stream_id, stream);
	stream_number(stream, frame->hd.stream_id);
	return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
	struct h2_session *session = user;
	struct h2_stream *stream = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);

	(void)flags;
	if (session->closing)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (stream && head_add(stream, name, name_len, value, value_len) < 0)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	return 0;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
	struct h2_session *session = user;
	struct h2_stream *stream;

	if (!session->closing && frame->hd.type == NGHTTP2_GOAWAY && session->events.on_goaway)
		session->events.on_goaway(session->user);
	if (session->closing)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	stream = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
	if (!stream)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS)
		head_deliver(stream);
	if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && stream->events.on_end &&
		!stream->resetting)
		stream->events.on_end(stream->user);
	return session->closing ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_data_chunk(
	nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *user)
{
	struct h2_session *session = user;
	struct h2_stream *stream = nghttp2_session_get_stream_user_data(ng, id);

	(void)flags;
	if (session->closing)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (stream && stream->events.on_data && !stream->resetting) {
		window_came(stream, len);
		stream->events.on_data(stream->user, data, len);
	} else {
		(void)nghttp2_session_consume(ng, id, len);
	}
	return session->closing ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* A server that has answered in full and wants no more of the request says so (RFC 9113 8.1). */
static int on_frame_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
	struct h2_session *session = user;
	struct h2_stream *stream;

	if (session->role != H2_SERVER || frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	stream = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
	if (stream && stream->bodyless &&
		nghttp2_session_get_stream_remote_close(ng, frame->hd.stream_id) == 0)
		h2_stream_reset(stream, NGHTTP2_NO_ERROR);
	return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
	struct h2_session *session = user;
	struct h2_stream *stream = nghttp2_session_get_stream_user_data(ng, id);

	if (session->closing)
		return 0;
	if (stream) {
		nghttp2_session_set_stream_user_data(ng, id, NULL);
		stream_closed(stream, code);
		/* The session may have been freed by the owner: then the stream goes with it. */
		if (!session->closing)
			stream_free(stream);
	}
	return 0;
}

static int new_nghttp2(struct h2_session *session)
{
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_option *option = NULL;
	int r = nghttp2_session_callbacks_new(&callbacks);

	if (r == 0)
		r = nghttp2_option_new(&option);
	if (r != 0)
		goto out;
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
	nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, on_read_length);
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_stream_reset_rate_limit(option, RESET_BURST, RESET_RATE);
	/* Closed streams are kept only for priorities, which nobody here uses. */
	nghttp2_option_set_no_closed_streams(option, 1);
	if (session->role == H2_SERVER)
		r = nghttp2_session_server_new2(&session->ng, callbacks, session, option);
	else
		r = nghttp2_session_client_new2(&session->ng, callbacks, session, option);
out:
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
	return r;
}

int h2_session_new(uv_loop_t *loop, struct pipe *pipe, enum h2_role role,
	const struct h2_session_events *events, void *user, struct h2_session **ret_session,
	struct err *err)
{
	struct h2_session *session = XNEW(struct h2_session);
	int r;

	session->pipe = pipe;
	session->role = role;
	session->events = *events;
	session->user = user;
	LIST_INIT(&session->streams);
	sched_init(&session->sched);
	r = new_nghttp2(session);
	if (r == 0)
		r = window_open(session);
	if (r != 0) {
		nghttp2_session_del(session->ng);
		free(session);
		return err_set(err, -ENOMEM, ERR_INTERNAL, "HTTP/2: %s", nghttp2_strerror(r));
	}
	uv_idle_init(loop, &session->idle);
	session_schedule(session);
	*ret_session = session;
	return 0;
}

int h2_session_recv(struct h2_session *session, const uint8_t *data, size_t len, struct err *err)
{
	ssize_t n;

	if (session->closing)
		return 0;
	n = nghttp2_session_mem_recv(session->ng, data, len);
	if (session->closing)
		return 0;
	if (n < 0)
		return err_set(
			err, -EPROTO, ERR_INTERNAL, "tunnel: HTTP/2: %s", nghttp2_strerror((int)n));
	/* With its last stream a session ends that was told to go. */
	if (nghttp2_session_want_write(session->ng) || !nghttp2_session_want_read(session->ng))
		session_schedule(session);
	return 0;
}

/* RFC 9113 6.8: a server that goes by and by names the highest stream that there can be. */
void h2_session_goaway(struct h2_session *session)
{
	if (session->closing)
		return;
	if (session->role == H2_SERVER)
		(void)nghttp2_submit_shutdown_notice(session->ng);
	else
		(void)nghttp2_submit_goaway(
			session->ng, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
	session_schedule(session);
}

size_t h2_session_streams(const struct h2_session *session)
{
	return session->stream_count;
}

uv_loop_t *h2_session_loop(const struct h2_session *session)
{
	return session->idle.loop;
}

void h2_session_wake(struct h2_session *session)
{
	session_schedule(session);
}

static void on_idle_closed(uv_handle_t *handle)
{
	struct h2_session *session = container_of(handle, struct h2_session, idle);
	struct h2_stream *stream;

	nghttp2_session_del(session->ng);
	while ((stream = LIST_FIRST(&session->streams)))
		stream_free(stream);
	free(session);
}

void h2_session_free(struct h2_session *session)
{
	struct h2_stream *stream;

	if (!session || session->closing)
		return;
	session->closing = true;
	LIST_FOREACH(stream, &session->streams, entry)
	stream_closed(stream, NGHTTP2_CANCEL);
	uv_close((uv_handle_t *)&session->idle, on_idle_closed);
}
