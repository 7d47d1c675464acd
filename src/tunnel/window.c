/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much the peer may send. The connection's window is opened as bytes come, a stream's only as
 * they are used up: a reader that stands still holds one stream window and delays nobody else.
 * credit.h says how large windows are; here nghttp2 is told.
 */
#include "tunnel/window.h"

#include "core/limits.h"
#include "tunnel/session_priv.h"

int window_open(struct h2_session *session)
{
	const nghttp2_settings_entry entries[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, LIMIT_STREAM_FIRST_BYTES},
		{NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_MAX_BYTES},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEAD_MAX_BYTES},
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, LIMIT_STREAMS},
		{NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
	};
	/* The last two are a server's to say (RFC 8441 3), ENABLE_PUSH a client's (RFC 9113 6.5.2).
	 */
	bool server = session->role == H2_SERVER;
	int r;

	credit_pool_init(&session->credit);
	session->first_window = LIMIT_STREAM_FIRST_BYTES;
	r = nghttp2_submit_settings(session->ng, NGHTTP2_FLAG_NONE, entries + server,
		server ? ARRAY_SIZE(entries) - 1 : ARRAY_SIZE(entries) - 2);
	if (r != 0)
		return r;
	return nghttp2_session_set_local_window_size(
		session->ng, NGHTTP2_FLAG_NONE, 0, LIMIT_CONNECTION_WINDOW_BYTES);
}

static void consume_connection(struct h2_session *session, size_t len)
{
	if (len > 0)
		(void)nghttp2_session_consume_connection(session->ng, len);
}

void window_came(struct h2_stream *stream, size_t len)
{
	struct h2_session *session = stream->session;

	consume_connection(session, credit_came(&session->credit, &stream->credit, len));
}

void window_fit(struct h2_session *session)
{
	size_t first = credit_first(session->stream_count);
	const nghttp2_settings_entry entry = {
		NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)first};

	/* Up again only when it would stay so for a while. */
	if (session->closing || first == session->first_window ||
		(first > session->first_window && credit_first(2 * session->stream_count) < first))
		return;
	session->first_window = first;
	(void)nghttp2_submit_settings(session->ng, NGHTTP2_FLAG_NONE, &entry, 1);
	session_schedule(session);
}

void window_end(struct h2_stream *stream)
{
	struct h2_session *session = stream->session;
	size_t back = credit_end(&session->credit, &stream->credit);

	if (session->closing)
		return;
	consume_connection(session, back);
	window_fit(session);
}

/* Lets the peer send further ahead on a stream whose window holds it back. */
static void grow(struct h2_stream *stream, size_t len)
{
	struct h2_session *session = stream->session;
	int32_t window =
		nghttp2_session_get_stream_effective_local_window_size(session->ng, stream->id);
	size_t more;

	if (window <= 0)
		return;
	more = credit_grow(&session->credit, &stream->credit, len, (size_t)window,
		pipe_rtt_us(session->pipe), uv_hrtime() / 1000);
	if (more > 0)
		(void)nghttp2_session_set_local_window_size(
			session->ng, NGHTTP2_FLAG_NONE, stream->id, window + (int32_t)more);
}

void h2_stream_consumed(struct h2_stream *stream, size_t len)
{
	struct h2_session *session = stream->session;

	if (session->closing || stream->resetting || len == 0)
		return;
	consume_connection(session, credit_used(&session->credit, &stream->credit, len));
	(void)nghttp2_session_consume_stream(session->ng, stream->id, len);
	grow(stream, len);
	session_schedule(session);
}
