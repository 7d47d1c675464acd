/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of an upgraded connection. TLS may hold decrypted bytes that the socket's readiness
 * does not show, so reading goes on until EAGAIN, or by an idle handle when the budget of one
 * wake-up is used up.
 */
#include <errno.h>

#include "cluster/upconn_impl.h"

static bool is_opening(const struct upconn *conn)
{
	return conn->phase == PHASE_UPGRADE || conn->phase == PHASE_STREAMS;
}

static int io_error(struct upconn *conn, CURLcode code, struct err *err)
{
	if (code == CURLE_OK) /* the peer's FIN */
		return err_set(err, -ECONNRESET, ERR_UNREACHABLE, "%s closed the connection",
			conn->names.server);
	return transport_error(&conn->transport, code, &conn->names, err);
}

void upconn_flush(struct upconn *conn)
{
	bool blocked = false;
	CURLcode code = CURLE_OK;

	while (conn->queue.len > 0) {
		size_t len = 0, sent = 0;
		const uint8_t *data = sendq_peek(&conn->queue, &len);

		if (conn->batch)
			tls_batch_announce(conn->batch, len);
		code = curl_easy_send(conn->transport.easy, data, len, &sent);
		if (code != CURLE_OK)
			break;
		sendq_consume(&conn->queue, sent);
	}
	if (code == CURLE_AGAIN) {
		blocked = true;
	} else if (code != CURLE_OK && conn->failure.code == 0) {
		io_error(conn, code, &conn->failure);
		upconn_fail_later(conn);
	}
	if (blocked != conn->want_write) {
		conn->want_write = blocked;
		upconn_update_poll(conn);
	}
}

static void on_ping(void *user, const uint8_t *data, size_t len)
{
	struct upconn *conn = user;

	if (conn->phase == PHASE_OPEN &&
		sendq_frame(&conn->queue, WS_OP_PONG, NULL, 0, data, len) == 0)
		upconn_flush(conn);
}

static void on_payload(void *user, const uint8_t *data, size_t len)
{
	struct upconn *conn = user;

	if (conn->phase == PHASE_OPEN)
		conn->events.on_payload(conn->user, data, len);
}

static void on_message_end(void *user)
{
	struct upconn *conn = user;

	if (conn->phase == PHASE_OPEN && conn->events.on_message_end)
		conn->events.on_message_end(conn->user);
}

static void on_ws_close(void *user, uint16_t code)
{
	struct upconn *conn = user;

	(void)code;
	/* In order: kind NONE. Reported once the parser has returned. */
	if (conn->failure.code == 0) {
		err_set(&conn->failure, -ESHUTDOWN, ERR_NONE, "closed by the other end");
		upconn_fail_later(conn);
	}
}

static void take(struct upconn *conn, uint8_t *data, size_t len)
{
	static const struct ws_events events = {.on_payload = on_payload,
		.on_message_end = on_message_end,
		.on_ping = on_ping,
		.on_close = on_ws_close};

	int r = 0;

	if (conn->failure.code != 0)
		return;
	if (upconn_is_spdy(conn))
		r = upconn_spdy_take(conn, data, len);
	else
		r = ws_parse(&conn->parser, data, len, &events, conn);
	if (r < 0 && conn->failure.code == 0) {
		err_set(&conn->failure, -EPROTO, ERR_INTERNAL, "%s sends what is no %s frame",
			conn->names.server, upconn_is_spdy(conn) ? "SPDY" : "WebSocket");
		upconn_fail_later(conn);
	}
}

static void on_more(uv_idle_t *idle)
{
	upconn_pump(idle->data);
}

void upconn_more(struct upconn *conn)
{
	uv_idle_start(&conn->more, on_more);
}

/* Frames that came with the upgrade's answer. */
static void take_early(struct upconn *conn)
{
	size_t len = buf_len(&conn->head);

	if ((conn->phase != PHASE_OPEN && conn->phase != PHASE_STREAMS) || len == 0)
		return;
	/* Nothing is appended any more: the bytes stay in place meanwhile. */
	take(conn, buf_head(&conn->head), len);
	buf_consume(&conn->head, len);
}

/* Fills `in`, as far as there are bytes: a call of libcurl brings no more than a TLS record, and
 * the fewer pieces go on from here, the fewer packets the application gets, and the fewer ACKs come
 * back. len: what was read, also before a failure. */
static CURLcode fill(struct upconn *conn, size_t *ret_len, bool *ret_ended)
{
	size_t n = 0, len = 0;
	CURLcode code = CURLE_OK;

	while (len < sizeof(conn->in)) {
		code = curl_easy_recv(
			conn->transport.easy, conn->in + len, sizeof(conn->in) - len, &n);
		*ret_ended = code == CURLE_OK && n == 0;
		if (code != CURLE_OK || n == 0)
			break;
		len += n;
		/* What follows the upgrade's answer is for somebody else. */
		if (conn->phase == PHASE_UPGRADE)
			break;
	}
	*ret_len = len;
	return code;
}

/* One buffer. False: no more for now. */
static bool read_once(struct upconn *conn, size_t *budget)
{
	struct err err = ERR_INIT;
	size_t len = 0;
	bool ended = false;
	CURLcode code = fill(conn, &len, &ended);

	if (conn->phase == PHASE_UPGRADE && code == CURLE_OK) {
		upconn_read_upgrade(conn, conn->in, len);
		/* Once open, the next wake-up goes on: frames may be waiting in the head. */
		return is_opening(conn);
	}
	if (len > 0)
		take(conn, conn->in, len);
	*budget -= MIN(*budget, len);
	if (code == CURLE_AGAIN)
		return false;
	if (code == CURLE_OK && !ended)
		return true;
	/* The last bytes may have said why, or have ended it. */
	if (conn->failure.code == 0 && conn->phase != PHASE_CLOSED) {
		io_error(conn, code, &err);
		upconn_fail(conn, &err);
	}
	return false;
}

void upconn_pump(struct upconn *conn)
{
	size_t budget = LIMIT_PUMP_BYTES;

	uv_idle_stop(&conn->more);
	take_early(conn);
	while (conn->failure.code == 0 &&
		(is_opening(conn) || (conn->phase == PHASE_OPEN && conn->started))) {
		if (budget == 0) {
			upconn_more(conn);
			return;
		}
		if (!read_once(conn, &budget))
			return;
	}
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct upconn *conn = poll->data;
	size_t before = conn->queue.len;

	if (conn->want_write && (status < 0 || events & UV_WRITABLE)) {
		upconn_flush(conn);
		if (conn->phase == PHASE_OPEN && conn->queue.len < before &&
			conn->queue.len <= LIMIT_CARRIER_QUEUE_BYTES / 2)
			conn->events.on_writable(conn->user);
	}
	/* An error shows as the result of reading. With the idle handle a budget is due already:
	 * two in a turn of the loop are more than the TUN has, and what comes would queue there. */
	if ((status < 0 || events & UV_READABLE) && !uv_is_active((uv_handle_t *)&conn->more))
		upconn_pump(conn);
}

void upconn_update_poll(struct upconn *conn)
{
	int events = conn->want_write ? UV_WRITABLE : 0;

	if (is_opening(conn) || conn->started)
		events |= UV_READABLE;
	if (events)
		(void)uv_poll_start(&conn->poll, events, on_poll);
	else
		uv_poll_stop(&conn->poll);
}
