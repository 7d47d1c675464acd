/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/alloc.h"
#include "core/limits.h"
#include "tunnel/carrier.h"
#include "tunnel/conduit.h"
#include "tunnel/session_priv.h"
#include "tunnel/window.h"

/* Fields that a request has besides the caller's: :method :scheme :path :authority :protocol. */
#define PSEUDO_MAX 5

struct h2_stream *stream_new(struct h2_session *session)
{
	struct h2_stream *stream = XNEW(struct h2_stream);

	stream->session = session;
	buf_init(&stream->head, HEAD_MAX_BYTES);
	LIST_INSERT_HEAD(&session->streams, stream, entry);
	session->stream_count++;
	window_fit(session);
	return stream;
}

void stream_number(struct h2_stream *stream, int32_t id)
{
	struct h2_session *session = stream->session;

	stream->id = id;
	if (id < LIMIT_STREAM_ID || session->worn)
		return;
	session->worn = true;
	session_schedule(session);
}

void stream_free(struct h2_stream *stream)
{
	struct h2_session *session = stream->session;

	LIST_REMOVE(stream, entry);
	sched_remove(&session->sched, &stream->sched);
	session->stream_count--;
	window_end(stream);
	buf_done(&stream->head);
	free(stream);
}

void stream_closed(struct h2_stream *stream, uint32_t code)
{
	struct h2_stream_events events = stream->events;

	stream->events = (struct h2_stream_events){0};
	stream->resetting = true;
	if (events.on_close)
		events.on_close(stream->user, code);
}

/* What the owner's answer to on_read means for nghttp2; the stream has the turn. */
static ssize_t take_read(struct h2_stream *stream, ssize_t n, uint32_t *flags)
{
	struct sched *sched = &stream->session->sched;

	if (n > 0) {
		sched_sent(sched, (size_t)n);
		*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
		return n;
	}
	sched_remove(sched, &stream->sched);
	if (n == H2_READ_EOF) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		return 0;
	}
	if (n == H2_READ_ABORT)
		h2_stream_reset(stream, NGHTTP2_CONNECT_ERROR);
	else
		stream->waiting = true;
	return NGHTTP2_ERR_DEFERRED;
}

/* Bytes of the owner for the frame that is being made: in the conduit, or where the record is. */
static ssize_t read_owner(struct h2_stream *stream, size_t len)
{
	struct h2_session *session = stream->session;
	ssize_t n = 0;

	if (stream->events.on_conduct && len >= CONDUIT_MIN_BYTES &&
		pipe_carrier(session->pipe)->conduct)
		n = stream->events.on_conduct(stream->user, len);
	session->conducted = n > 0;
	return n > 0 ? n : stream->events.on_read(stream->user, session_data_at(session), len);
}

ssize_t stream_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t len, uint32_t *flags,
	nghttp2_data_source *source, void *user)
{
	struct h2_session *session = user;
	struct h2_stream *stream = source->ptr;
	size_t room, quantum;
	ssize_t n;

	(void)ng, (void)id, (void)buf; /* the bytes go where the record is put together */
	if (session->closing || stream->resetting || !stream->events.on_read)
		return NGHTTP2_ERR_DEFERRED;
	if (session->sched.turn != &stream->sched) {
		/* A new stream, or one that the peer has given credit. */
		sched_ready(&session->sched, &stream->sched);
		return NGHTTP2_ERR_DEFERRED;
	}
	room = session_data_room(session);
	if (room == 0) {
		session->paused = true;
		return NGHTTP2_ERR_PAUSE;
	}
	quantum = sched_quantum(&session->sched);
	if (quantum == 0)
		return NGHTTP2_ERR_DEFERRED;
	len = MIN(len, MIN(room, quantum));
	n = read_owner(stream, len);
	assert(n <= (ssize_t)len);
	return take_read(stream, n, flags);
}

static nghttp2_nv field(const char *name, const char *value)
{
	return (nghttp2_nv){
		/* nghttp2 copies both: the flags do not say otherwise. */
		.name = (uint8_t *)(uintptr_t)name,
		.namelen = strlen(name),
		.value = (uint8_t *)(uintptr_t)value,
		.valuelen = strlen(value),
		.flags = NGHTTP2_NV_FLAG_NONE,
	};
}

static size_t request_fields(const struct h2_head *head, nghttp2_nv *fields)
{
	/* A plain CONNECT has neither scheme nor path (RFC 9113 8.5), an extended one has both. */
	bool bare = strcmp(head->method, "CONNECT") == 0 && !head->protocol;
	size_t count = 0;

	fields[count++] = field(":method", head->method);
	if (head->protocol)
		fields[count++] = field(":protocol", head->protocol);
	if (!bare) {
		fields[count++] = field(":scheme", "http");
		fields[count++] = field(":path", head->path ? head->path : "/");
	}
	fields[count++] = field(":authority", head->authority ? head->authority : "tunnel");
	for (size_t i = 0; i < head->header_count; i++)
		fields[count++] = field(head->headers[i].name, head->headers[i].value);
	return count;
}

int h2_request(struct h2_session *session, const struct h2_head *head,
	const struct h2_stream_events *events, void *user, struct h2_stream **ret_stream)
{
	nghttp2_nv fields[PSEUDO_MAX + HEAD_MAX_COUNT];
	nghttp2_data_provider body = {.read_callback = stream_read};
	struct h2_stream *stream;
	int32_t id;

	assert(session->role == H2_CLIENT);
	if (head->header_count > HEAD_MAX_COUNT)
		return -EINVAL;
	if (session->closing || session->stream_count >= LIMIT_STREAMS ||
		!nghttp2_session_check_request_allowed(session->ng))
		return -EAGAIN;
	stream = stream_new(session);
	stream->events = *events;
	stream->user = user;
	body.source.ptr = stream;
	id = nghttp2_submit_request(session->ng, NULL, fields, request_fields(head, fields),
		events->on_read ? &body : NULL, stream);
	if (id < 0) {
		stream_free(stream);
		return id == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EAGAIN;
	}
	session_schedule(session);
	*ret_stream = stream;
	stream_number(stream, id);
	return 0;
}

void h2_respond(struct h2_stream *stream, int status, const struct h2_header *headers, size_t count,
	bool has_body)
{
	struct h2_session *session = stream->session;
	nghttp2_nv fields[1 + HEAD_MAX_COUNT];
	nghttp2_data_provider body = {.source.ptr = stream, .read_callback = stream_read};
	char text[4] = {(char)('0' + status / 100 % 10), (char)('0' + status / 10 % 10),
		(char)('0' + status % 10), '\0'};

	assert(session->role == H2_SERVER && count <= HEAD_MAX_COUNT);
	if (session->closing || stream->resetting)
		return;
	fields[0] = field(":status", text);
	for (size_t i = 0; i < count; i++)
		fields[1 + i] = field(headers[i].name, headers[i].value);
	stream->bodyless = !has_body;
	if (nghttp2_submit_response(
		    session->ng, stream->id, fields, 1 + count, has_body ? &body : NULL) != 0)
		h2_stream_reset(stream, NGHTTP2_INTERNAL_ERROR);
	session_schedule(session);
}

void h2_stream_set_events(
	struct h2_stream *stream, const struct h2_stream_events *events, void *user)
{
	stream->events = *events;
	stream->user = user;
}

void h2_stream_resume(struct h2_stream *stream)
{
	struct h2_session *session = stream->session;

	if (session->closing || stream->resetting || !stream->waiting)
		return;
	stream->waiting = false;
	sched_ready(&session->sched, &stream->sched);
	session_schedule(session);
}

void h2_stream_reset(struct h2_stream *stream, uint32_t code)
{
	struct h2_session *session = stream->session;

	if (session->closing || stream->resetting)
		return;
	stream->resetting = true;
	sched_remove(&session->sched, &stream->sched);
	(void)nghttp2_submit_rst_stream(session->ng, NGHTTP2_FLAG_NONE, stream->id, code);
	session_schedule(session);
}
