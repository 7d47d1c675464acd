/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nghttp2 between the pipe and the streams.
 *
 * In: the carrier's bytes go through nghttp2 without a copy; a stream's on_data sees the read
 * buffer itself. How much may come is window.c's.
 *
 * Out: session_out.c.
 */
#include "tunnel/session.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"
#include "tunnel/conduit.h"
#include "tunnel/session_priv.h"
#include "tunnel/window.h"

/*
 * Streams that the peer may reset: nghttp2's default (1000, then 33/s, against CVE-2023-44487)
 * would end the tunnel of a laptop whose programs open and abort connections. The peer has proven
 * its Session and its streams are bounded.
 */
#define RESET_BURST 100000
#define RESET_RATE  10000

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *user)
{
	struct h2_session *session = user;

	(void)ng;
	session->frame_stream = hd->stream_id;
	session->frame_left =
		hd->type == NGHTTP2_DATA && !(hd->flags & NGHTTP2_FLAG_PADDED) ? hd->length : 0;
	return 0;
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
	session->frame_left -= MIN(len, session->frame_left);
	if (session->closing)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (stream && stream->events.on_data && !stream->resetting) {
		window_came(stream, len);
		if (session->conducting)
			stream->events.on_conducted(stream->user);
		else
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
	nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_session_callbacks_set_send_data_callback(callbacks, session_send_data);
	nghttp2_session_callbacks_set_data_source_read_length_callback(
		callbacks, session_read_length);
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

size_t h2_session_conduct_due(const struct h2_session *session)
{
	struct h2_stream *stream;

	if (session->closing || session->frame_left == 0)
		return 0;
	stream = nghttp2_session_get_stream_user_data(session->ng, session->frame_stream);
	return stream && stream->events.on_conducted && !stream->resetting ? session->frame_left
									   : 0;
}

/* nghttp2 counts the bytes of a DATA frame and hands them on, but does not look at them. */
int h2_session_conducted(struct h2_session *session, struct err *err)
{
	static const uint8_t stand_in[PIPE_DATA_MAX_BYTES];
	int r;

	session->conducting = true;
	r = h2_session_recv(session, stand_in, MIN(conduit_len(), sizeof(stand_in)), err);
	session->conducting = false;
	conduit_drop();
	return r;
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
