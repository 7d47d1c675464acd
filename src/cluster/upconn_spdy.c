/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port-forward's two streams. What is sent before the peer has answered SYN_STREAM it throws
 * away, so the connection is open with that answer. What goes wrong behind it the error stream
 * says, and then both end.
 */
#include <errno.h>

#include "cluster/upconn_impl.h"
#include "core/err.h"

void upconn_spdy_begin(struct upconn *conn)
{
	uint8_t frames[SPDY_STREAMS_MAX_BYTES];
	size_t len = spdy_streams(frames, conn->config.port);

	conn->phase = PHASE_STREAMS;
	/* The queue is as good as empty: the request has been sent. */
	(void)!sendq_raw(&conn->queue, NULL, 0, frames, len);
	upconn_flush(conn);
	upconn_update_poll(conn);
}

static void fail(struct upconn *conn, int code, enum err_kind kind, const char *what)
{
	if (conn->failure.code != 0 || conn->phase == PHASE_CLOSED)
		return;
	err_set(&conn->failure, code, kind, "%s", what);
	upconn_fail_later(conn);
}

static void on_reply(void *user, uint32_t stream)
{
	struct upconn *conn = user;

	if (stream == SPDY_STREAM_DATA && conn->phase == PHASE_STREAMS)
		upconn_opened(conn);
}

static void on_data(void *user, uint32_t stream, const uint8_t *data, size_t len)
{
	struct upconn *conn = user;

	if (stream == SPDY_STREAM_ERROR)
		(void)!buf_append(&conn->said, data, MIN(len, buf_room(&conn->said) - 1));
	else if (stream == SPDY_STREAM_DATA && conn->phase == PHASE_OPEN && conn->started)
		conn->events.on_payload(conn->user, data, len);
	else if (stream == SPDY_STREAM_DATA)
		fail(conn, -EPROTO, ERR_INTERNAL, "bytes before a port-forward's stream is there");
}

static void on_end(void *user, uint32_t stream)
{
	struct upconn *conn = user;
	const char *said = buf_cstr(&conn->said);
	struct err err = ERR_INIT;

	if (stream == SPDY_STREAM_ERROR)
		return;
	/* The kubelet's word, "... connection refused", says more than that it ended. */
	if (said && *said)
		err_set(&err, -ECONNRESET, ERR_UNREACHABLE, "port-forward: %s", said);
	else if (conn->phase == PHASE_STREAMS)
		err_set(&err, -ECONNRESET, ERR_UNREACHABLE,
			"%s ends a port-forward before it is there", conn->names.server);
	else /* in order */
		err_set(&err, -ESHUTDOWN, ERR_NONE, "closed by the other end");
	fail(conn, err.code, err.kind, err.msg);
}

static void on_ping(void *user, const uint8_t frame[static SPDY_PING_BYTES])
{
	struct upconn *conn = user;

	/* A queue that is full has bytes on the way, which say as much. */
	if (conn->phase != PHASE_CLOSED &&
		sendq_raw(&conn->queue, NULL, 0, frame, SPDY_PING_BYTES) == 0)
		upconn_flush(conn);
}

int upconn_spdy_take(struct upconn *conn, const uint8_t *data, size_t len)
{
	static const struct spdy_events events = {
		.on_reply = on_reply, .on_data = on_data, .on_end = on_end, .on_ping = on_ping};

	return spdy_parse(&conn->spdy, data, len, &events, conn);
}

int upconn_spdy_send(struct upconn *conn, const void *data, size_t len)
{
	uint8_t header[SPDY_HEADER_BYTES];

	spdy_data_header(header, SPDY_STREAM_DATA, len);
	return sendq_raw(&conn->queue, header, sizeof(header), data, len);
}
