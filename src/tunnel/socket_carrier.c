/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/socket_carrier.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/limits.h"
#include "tunnel/conduit.h"
#include "tunnel/ws.h"

/* Bytes per read: what fits the second-level cache with what is made of it. */
#define READ_BYTES (128 * 1024)
/* What stands before the bytes of a stream: the heads of a DATA record and of a DATA frame. */
#define HEAD_BYTES 21
/* A read of so much has more behind it. */
#define BULK_BYTES ((size_t)48 * 1024)
/* One record above the room, its framing and a burst of control records. */
#define QUEUE_MAX_BYTES (2 * LIMIT_CARRIER_QUEUE_BYTES)
/* RFC 6455 7.4.1: normal closure. */
#define WS_CODE_NORMAL 1000

struct socket_carrier {
	struct carrier base;
	uv_poll_t poll;
	int fd;
	int mask; /* what poll waits for */
	enum socket_framing framing;
	struct ws_parser parser;
	struct buf queue;
	bool bulk; /* so much comes that heads of frames are read by themselves, the rest by the
		      conduit */
	int send_error; /* -errno: reported as soon as the loop comes by */
	bool closed;
};

/* One loop thread, and no callback reads another carrier: all of them share it. */
static uint8_t read_buffer[READ_BYTES];

static struct socket_carrier *from_base(struct carrier *carrier)
{
	return container_of(carrier, struct socket_carrier, base);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void set_mask(struct socket_carrier *sc, int mask)
{
	if (mask == sc->mask || sc->closed)
		return;
	sc->mask = mask;
	uv_poll_start(&sc->poll, mask, on_poll);
}

static void sc_close(struct socket_carrier *sc, const struct err *err)
{
	if (sc->closed)
		return;
	sc->closed = true;
	uv_poll_stop(&sc->poll);
	sc->base.events.on_closed(sc->base.user, err);
}

static void sc_close_errno(struct socket_carrier *sc, int code)
{
	struct err err = ERR_INIT;

	err_set_errno(&err, code, "carrier");
	sc_close(sc, &err);
}

static void fail_sending(struct socket_carrier *sc, int code)
{
	sc->send_error = code;
	/* Makes the socket readable, so that on_poll() reports it from the loop. */
	shutdown(sc->fd, SHUT_RDWR);
}

/* Writes what the socket takes of the pieces; bytes taken. */
static size_t write_some(struct socket_carrier *sc, struct iovec *iov, size_t count, int flags)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = count};
	ssize_t n;

	do
		n = sendmsg(sc->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT | flags);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return (size_t)n;
	if (errno != EAGAIN)
		fail_sending(sc, -errno);
	return 0;
}

static void queue_rest(
	struct socket_carrier *sc, const struct iovec *iov, size_t count, size_t sent)
{
	for (size_t i = 0; i < count; i++) {
		size_t skip = MIN(sent, iov[i].iov_len);
		size_t rest = iov[i].iov_len - skip;

		sent -= skip;
		if (rest > 0 &&
			buf_append(&sc->queue, (const uint8_t *)iov[i].iov_base + skip, rest) < 0) {
			fail_sending(sc, -ENOBUFS);
			return;
		}
	}
	if (buf_len(&sc->queue) > 0)
		set_mask(sc, UV_READABLE | UV_WRITABLE);
}

static void send_pieces(struct socket_carrier *sc, struct iovec *iov, size_t count, int flags)
{
	size_t sent = 0;

	if (sc->closed || sc->send_error < 0)
		return;
	if (buf_len(&sc->queue) == 0)
		sent = write_some(sc, iov, count, flags);
	if (sc->send_error == 0)
		queue_rest(sc, iov, count, sent);
}

/* more: bytes of the frame that follow by themselves. */
static void send_frame(
	struct socket_carrier *sc, uint8_t opcode, const void *data, size_t len, size_t more)
{
	uint8_t header[WS_HEADER_MAX_BYTES];
	struct iovec iov[2] = {
		{.iov_base = header, .iov_len = ws_frame_header(header, opcode, len + more, NULL)},
		/* sendmsg() does not write to it. */
		{.iov_base = (void *)(uintptr_t)data, .iov_len = len},
	};

	send_pieces(sc, iov, ARRAY_SIZE(iov), more > 0 ? MSG_MORE : 0);
}

static void sc_send(struct carrier *carrier, const void *data, size_t len)
{
	struct socket_carrier *sc = from_base(carrier);
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};

	if (sc->framing == SOCKET_WEBSOCKET)
		send_frame(sc, WS_OP_BINARY, data, len, 0);
	else
		send_pieces(sc, &iov, 1, 0);
}

/* What the socket does not take of the conduit becomes bytes of the queue. */
static void queue_conduit(struct socket_carrier *sc)
{
	size_t rest = conduit_len();
	uint8_t *at = buf_reserve(&sc->queue, rest);

	if (!at || conduit_read(at, rest) != rest) {
		fail_sending(sc, -ENOBUFS);
		return;
	}
	buf_commit(&sc->queue, rest);
	set_mask(sc, UV_READABLE | UV_WRITABLE);
}

static void sc_conduct(struct carrier *carrier, const void *data, size_t len)
{
	struct socket_carrier *sc = from_base(carrier);
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	ssize_t n = 0;

	if (sc->framing == SOCKET_WEBSOCKET)
		send_frame(sc, WS_OP_BINARY, data, len, conduit_len());
	else
		send_pieces(sc, &iov, 1, MSG_MORE);
	if (!sc->closed && sc->send_error == 0 && buf_len(&sc->queue) == 0)
		n = conduit_pour(sc->fd);
	if (n < 0)
		fail_sending(sc, (int)n);
	else if (!sc->closed && sc->send_error == 0 && conduit_len() > 0)
		queue_conduit(sc);
	conduit_drop();
}

static size_t sc_room(const struct carrier *carrier)
{
	const struct socket_carrier *sc =
		(const struct socket_carrier *)(const void *)((const char *)carrier -
							      offsetof(
								      struct socket_carrier, base));

	if (sc->closed || sc->send_error < 0 || buf_len(&sc->queue) > 0)
		return 0;
	return LIMIT_CARRIER_QUEUE_BYTES;
}

static void on_ws_payload(void *user, const uint8_t *data, size_t len)
{
	struct socket_carrier *sc = user;

	if (!sc->closed)
		sc->base.events.on_data(sc->base.user, data, len);
}

static void on_ws_ping(void *user, const uint8_t *data, size_t len)
{
	struct socket_carrier *sc = user;

	/* A PONG may be left out when more PINGs follow (RFC 6455 5.5.3): no queue of them. */
	if (sc_room(&sc->base) > 0)
		send_frame(sc, WS_OP_PONG, data, len, 0);
}

static void on_ws_close(void *user, uint16_t code)
{
	struct socket_carrier *sc = user;
	struct err none = ERR_INIT;

	(void)code;
	sc_close(sc, &none);
}

static void take_bytes(struct socket_carrier *sc, uint8_t *data, size_t len)
{
	static const struct ws_events events = {
		.on_payload = on_ws_payload,
		.on_ping = on_ws_ping,
		.on_close = on_ws_close,
	};
	int r;

	if (sc->framing == SOCKET_RAW) {
		sc->base.events.on_data(sc->base.user, data, len);
		return;
	}
	r = ws_parse(&sc->parser, data, len, &events, sc);
	if (r < 0)
		sc_close_errno(sc, r);
}

/* Bytes of a stream that come next, and that may go past this process. Frames of a WebSocket have
 * masks. */
static size_t conduct_due(const struct socket_carrier *sc)
{
	if (sc->framing != SOCKET_RAW || sc->closed || !sc->base.events.conduct_due)
		return 0;
	return sc->base.events.conduct_due(sc->base.user);
}

static ssize_t conduct_some(struct socket_carrier *sc, size_t due)
{
	ssize_t n = due >= CONDUIT_MIN_BYTES ? conduit_fill(sc->fd, due) : 0;

	if (n <= 0)
		return 0;
	sc->base.events.on_conducted(sc->base.user);
	conduit_drop();
	return n;
}

/* Reads and hands on; as recv(2). *ret_full: there may be more. */
static ssize_t take_some(struct socket_carrier *sc, bool *ret_full)
{
	size_t due = sc->bulk ? conduct_due(sc) : 0, len = sizeof(read_buffer);
	ssize_t n = conduct_some(sc, due);

	*ret_full = true;
	if (n > 0) {
		/* What comes in smaller pieces costs fewer calls when it is copied. */
		sc->bulk = (size_t)n >= CONDUIT_MIN_BYTES;
		return n;
	}
	if (sc->bulk)
		len = due > 0 ? MIN(due, len) : HEAD_BYTES;
	n = recv(sc->fd, read_buffer, len, MSG_DONTWAIT);
	if (n <= 0)
		return n;
	*ret_full = (size_t)n == len;
	take_bytes(sc, read_buffer, (size_t)n);
	sc->bulk = sc->bulk ? conduct_due(sc) > 0 || due > 0 : (size_t)n >= BULK_BYTES;
	return n;
}

static void read_some(struct socket_carrier *sc)
{
	struct err none = ERR_INIT;
	size_t total = 0;
	bool full = true;
	ssize_t n;

	while (!sc->closed && total < LIMIT_PUMP_BYTES && full) {
		n = take_some(sc, &full);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			if (sc->send_error < 0 || n < 0)
				sc_close_errno(sc, sc->send_error < 0 ? sc->send_error : -errno);
			else
				sc_close(sc, &none);
			return;
		}
		total += (size_t)n;
	}
}

static void flush_queue(struct socket_carrier *sc)
{
	struct iovec iov = {.iov_base = buf_head(&sc->queue), .iov_len = buf_len(&sc->queue)};

	if (iov.iov_len == 0 || sc->send_error < 0)
		return;
	buf_consume(&sc->queue, write_some(sc, &iov, 1, 0));
	if (buf_len(&sc->queue) > 0)
		return;
	set_mask(sc, UV_READABLE);
	sc->base.events.on_writable(sc->base.user);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct socket_carrier *sc = container_of(poll, struct socket_carrier, poll);

	/* libuv reports a socket error as UV_EBADF and stops; recv() says what it was. */
	if (status < 0) {
		sc->mask = 0;
		set_mask(sc, UV_READABLE);
	}
	if (status < 0 || (events & UV_READABLE))
		read_some(sc);
	if (!sc->closed && (events & UV_WRITABLE))
		flush_queue(sc);
}

static void sc_start(struct carrier *carrier)
{
	set_mask(from_base(carrier), UV_READABLE);
}

static void on_poll_closed(uv_handle_t *handle)
{
	free(container_of(handle, struct socket_carrier, poll));
}

static void sc_free(struct carrier *carrier)
{
	struct socket_carrier *sc = from_base(carrier);
	const uint8_t code[2] = {WS_CODE_NORMAL >> 8, WS_CODE_NORMAL & 0xff};

	if (!sc->closed && sc->framing == SOCKET_WEBSOCKET)
		send_frame(sc, WS_OP_CLOSE, code, sizeof(code), 0);
	sc->closed = true;
	/* Closing with unread bytes would reset the connection and could cost the peer our last
	 * words. */
	shutdown(sc->fd, SHUT_WR);
	(void)!recv(sc->fd, read_buffer, sizeof(read_buffer), MSG_DONTWAIT);
	uv_close((uv_handle_t *)&sc->poll, on_poll_closed);
	close(sc->fd);
	buf_done(&sc->queue);
}

struct carrier *socket_carrier_new(uv_loop_t *loop, int fd, enum socket_framing framing)
{
	static const struct carrier_ops ops = {
		.name = "socket",
		.start = sc_start,
		.room = sc_room,
		.send = sc_send,
		.conduct = sc_conduct,
		.free = sc_free,
	};
	struct socket_carrier *sc = XNEW(struct socket_carrier);
	int on = 1, unsent = LIMIT_CARRIER_UNSENT_BYTES;

	sc->base.ops = &ops;
	sc->fd = fd;
	sc->framing = framing;
	sc->parser.role = WS_SERVER;
	buf_init(&sc->queue, QUEUE_MAX_BYTES);
	/* Best effort: an AF_UNIX socket has neither. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
	uv_poll_init(loop, &sc->poll, fd);
	return &sc->base;
}
