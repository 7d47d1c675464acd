/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of an open WebSocket connection. TLS may hold decrypted bytes that the socket's readiness
 * does not show, so reading goes on until EAGAIN, or by an idle handle when the budget of one
 * wake-up is used up.
 */
#include <errno.h>

#include "cluster/wsconn_impl.h"

static int io_error(struct wsconn *conn, CURLcode code, struct err *err)
{
	if (code == CURLE_OK) /* the peer's FIN */
		return err_set(err, -ECONNRESET, ERR_UNREACHABLE, "%s closed the connection",
			conn->names.server);
	return transport_error(&conn->transport, code, &conn->names, err);
}

void wsconn_flush(struct wsconn *conn)
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
		wsconn_fail_later(conn);
	}
	if (blocked != conn->want_write) {
		conn->want_write = blocked;
		wsconn_update_poll(conn);
	}
}

static void on_ping(void *user, const uint8_t *data, size_t len)
{
	struct wsconn *conn = user;

	if (conn->phase == PHASE_OPEN &&
		sendq_frame(&conn->queue, WS_OP_PONG, NULL, 0, data, len) == 0)
		wsconn_flush(conn);
}

static void on_payload(void *user, const uint8_t *data, size_t len)
{
	struct wsconn *conn = user;

	if (conn->phase == PHASE_OPEN)
		conn->events.on_payload(conn->user, data, len);
}

static void on_message_end(void *user)
{
	struct wsconn *conn = user;

	if (conn->phase == PHASE_OPEN && conn->events.on_message_end)
		conn->events.on_message_end(conn->user);
}

static void on_ws_close(void *user, uint16_t code)
{
	struct wsconn *conn = user;

	(void)code;
	/* In order: kind NONE. Reported once the parser has returned. */
	if (conn->failure.code == 0) {
		err_set(&conn->failure, -ESHUTDOWN, ERR_NONE, "closed by the other end");
		wsconn_fail_later(conn);
	}
}

static void take(struct wsconn *conn, uint8_t *data, size_t len)
{
	static const struct ws_events events = {.on_payload = on_payload,
		.on_message_end = on_message_end,
		.on_ping = on_ping,
		.on_close = on_ws_close};

	if (conn->failure.code == 0 && ws_parse(&conn->parser, data, len, &events, conn) < 0) {
		err_set(&conn->failure, -EPROTO, ERR_INTERNAL,
			"%s sends what is no WebSocket frame", conn->names.server);
		wsconn_fail_later(conn);
	}
}

static void on_more(uv_idle_t *idle)
{
	wsconn_pump(idle->data);
}

void wsconn_more(struct wsconn *conn)
{
	uv_idle_start(&conn->more, on_more);
}

/* Frames that came with the upgrade's answer. */
static void take_early(struct wsconn *conn)
{
	size_t len = buf_len(&conn->head);

	if (conn->phase != PHASE_OPEN || len == 0)
		return;
	/* Nothing is appended any more: the bytes stay in place meanwhile. */
	take(conn, buf_head(&conn->head), len);
	buf_consume(&conn->head, len);
}

/* Fills `in`, as far as there are bytes: a call of libcurl brings no more than a TLS record, and
 * the fewer pieces go on from here, the fewer packets the application gets, and the fewer ACKs come
 * back. len: what was read, also before a failure. */
static CURLcode fill(struct wsconn *conn, size_t *ret_len, bool *ret_ended)
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
static bool read_once(struct wsconn *conn, size_t *budget)
{
	struct err err = ERR_INIT;
	size_t len = 0;
	bool ended = false;
	CURLcode code = fill(conn, &len, &ended);

	if (conn->phase == PHASE_UPGRADE && code == CURLE_OK) {
		wsconn_read_upgrade(conn, conn->in, len);
		/* Once open, the next wake-up goes on: frames may be waiting in the head. */
		return conn->phase == PHASE_UPGRADE;
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
		wsconn_fail(conn, &err);
	}
	return false;
}

void wsconn_pump(struct wsconn *conn)
{
	size_t budget = LIMIT_PUMP_BYTES;

	uv_idle_stop(&conn->more);
	take_early(conn);
	while (conn->failure.code == 0 &&
		(conn->phase == PHASE_UPGRADE || (conn->phase == PHASE_OPEN && conn->started))) {
		if (budget == 0) {
			wsconn_more(conn);
			return;
		}
		if (!read_once(conn, &budget))
			return;
	}
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct wsconn *conn = poll->data;
	size_t before = conn->queue.len;

	if (conn->want_write && (status < 0 || events & UV_WRITABLE)) {
		wsconn_flush(conn);
		if (conn->phase == PHASE_OPEN && conn->queue.len < before &&
			conn->queue.len <= LIMIT_CARRIER_QUEUE_BYTES / 2)
			conn->events.on_writable(conn->user);
	}
	/* An error shows as the result of reading. With the idle handle a budget is due already:
	 * two in a turn of the loop are more than the TUN has, and what comes would queue there. */
	if ((status < 0 || events & UV_READABLE) && !uv_is_active((uv_handle_t *)&conn->more))
		wsconn_pump(conn);
}

void wsconn_update_poll(struct wsconn *conn)
{
	int events = conn->want_write ? UV_WRITABLE : 0;

	if (conn->phase == PHASE_UPGRADE || conn->started)
		events |= UV_READABLE;
	if (events)
		(void)uv_poll_start(&conn->poll, events, on_poll);
	else
		uv_poll_stop(&conn->poll);
}
