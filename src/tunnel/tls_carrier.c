/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL between two memory windows: what recv() brought is read by it in place, what it writes is
 * queued here and sent with one send(), however many TLS records that is. So the socket's
 * errors, back-pressure and SIGPIPE are handled here alone, and a server decides itself when its
 * first byte may leave: a stranger's bytes end in silence, not in an alert.
 */
#include "tunnel/tls_carrier.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/limits.h"
#include "tunnel/tls_window.h"

/* Bytes per read: what fits the second-level cache with what is made of it. */
#define READ_BYTES (128 * 1024)
/* One TLS record's plain text (RFC 8446 5.1). */
#define PLAIN_BYTES (16 * 1024)
/* One record above the room, its framing, a burst of control records, and TLS's part of it all. */
#define QUEUE_MAX_BYTES (2 * LIMIT_CARRIER_QUEUE_BYTES)

/* RFC 8446 5.1 and 4: TLS_HANDSHAKE, 3.x, the length, then the type client_hello. */
#define TLS_MAJOR        3
#define TLS_MINOR_MAX    4
#define TLS_CLIENT_HELLO 1
#define HELLO_START      6

struct tls_carrier {
	struct carrier base;
	uv_poll_t poll;
	int fd;
	int mask; /* what poll waits for */
	enum tls_side side;
	SSL *ssl;
	struct tls_window window;
	size_t hello_seen; /* of a server's first bytes, up to HELLO_START */
	bool established, aborted, closed;
	struct err failed; /* of a send: reported as soon as the loop comes by */
};

/* One loop thread, and no callback reads another carrier: all of them share these. */
static uint8_t read_buffer[READ_BYTES];
static uint8_t plain_buffer[PLAIN_BYTES];

static struct tls_carrier *from_base(struct carrier *carrier)
{
	return container_of(carrier, struct tls_carrier, base);
}

static const struct tls_carrier *from_const(const struct carrier *carrier)
{
	return (const struct tls_carrier *)(const void *)((const char *)carrier -
							  offsetof(struct tls_carrier, base));
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void set_mask(struct tls_carrier *tc, int mask)
{
	if (mask == tc->mask || tc->closed)
		return;
	tc->mask = mask;
	uv_poll_start(&tc->poll, mask, on_poll);
}

static void tc_close(struct tls_carrier *tc, const struct err *err)
{
	if (tc->closed)
		return;
	tc->closed = true;
	uv_poll_stop(&tc->poll);
	tc->base.events.on_closed(tc->base.user, err);
}

/* Where on_closed may not be called: makes the socket readable, so that the loop reports it. */
static void fail_later(struct tls_carrier *tc, const struct err *err)
{
	tc->failed = *err;
	shutdown(tc->fd, SHUT_RDWR);
}

/* Sends what the socket takes. What was full reports on_writable from on_poll() alone, also when
 * this empties it. */
static void flush_out(struct tls_carrier *tc)
{
	struct buf *out = &tc->window.out;
	struct err err = ERR_INIT;
	ssize_t n;

	if (buf_len(out) == 0 || tc->failed.code < 0)
		return;
	do
		n = send(tc->fd, buf_head(out), buf_len(out), MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n >= 0) {
		buf_consume(out, (size_t)n);
	} else if (errno != EAGAIN) {
		err_set_errno(&err, -errno, "carrier");
		fail_later(tc, &err);
	}
	if (buf_len(out) > 0)
		set_mask(tc, UV_READABLE | UV_WRITABLE);
}

static size_t tc_room(const struct carrier *carrier)
{
	const struct tls_carrier *tc = from_const(carrier);

	if (tc->closed || !tc->established || tc->failed.code < 0 || buf_len(&tc->window.out) > 0)
		return 0;
	return LIMIT_CARRIER_QUEUE_BYTES;
}

static void tc_send(struct carrier *carrier, const void *data, size_t len)
{
	struct tls_carrier *tc = from_base(carrier);
	struct err err = ERR_INIT;
	size_t sent = 0;

	if (tc->closed || !tc->established || tc->failed.code < 0 || len == 0)
		return;
	ERR_clear_error();
	if (SSL_write_ex(tc->ssl, data, len, &sent) != 1) {
		tls_take_error(&err);
		fail_later(tc, &err);
		return;
	}
	flush_out(tc);
}

/* Whether the bytes may be the start of a ClientHello, as far as they go. */
static bool may_be_hello(struct tls_carrier *tc, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len && tc->hello_seen < HELLO_START; i++, tc->hello_seen++) {
		if ((tc->hello_seen == 0 && data[i] != TLS_HANDSHAKE) ||
			(tc->hello_seen == 1 && data[i] != TLS_MAJOR) ||
			(tc->hello_seen == 2 && data[i] > TLS_MINOR_MAX) ||
			(tc->hello_seen == HELLO_START - 1 && data[i] != TLS_CLIENT_HELLO))
			return false;
	}
	return true;
}

/* After a call of OpenSSL with result r: 0 when it only wants more bytes, else the carrier is
 * closed and -errno comes back. */
static int check_result(struct tls_carrier *tc, int r)
{
	struct err err = ERR_INIT;
	int reason = SSL_get_error(tc->ssl, r);

	flush_out(tc); /* an alert to the peer, too */
	if (reason == SSL_ERROR_WANT_READ)
		return 0;
	if (reason != SSL_ERROR_ZERO_RETURN)
		tls_take_error(&err);
	tc_close(tc, &err);
	return -ECONNRESET;
}

static int shake_hands(struct tls_carrier *tc)
{
	int r;

	ERR_clear_error();
	r = SSL_do_handshake(tc->ssl);
	if (r != 1)
		return check_result(tc, r);
	tc->established = true;
	flush_out(tc);
	if (tc_room(&tc->base) > 0)
		tc->base.events.on_writable(tc->base.user);
	return 0;
}

static void take_bytes(struct tls_carrier *tc, const uint8_t *data, size_t len)
{
	size_t plain = 0;
	struct err err = ERR_INIT;

	if (tc->side == TLS_SIDE_SERVER && tc->hello_seen < HELLO_START &&
		!may_be_hello(tc, data, len)) {
		err_set(&err, -EPROTO, ERR_INTERNAL, "no TLS");
		tc_close(tc, &err);
		return;
	}
	tc->window.in = data;
	tc->window.in_len = len;
	if (!tc->established && shake_hands(tc) < 0)
		return;
	while (tc->established && !tc->closed) {
		ERR_clear_error();
		if (SSL_read_ex(tc->ssl, plain_buffer, sizeof(plain_buffer), &plain) != 1) {
			(void)check_result(tc, 0);
			return;
		}
		tc->base.events.on_data(tc->base.user, plain_buffer, plain);
	}
}

static void read_some(struct tls_carrier *tc)
{
	struct err err = ERR_INIT;
	size_t total = 0;
	ssize_t n;

	while (!tc->closed && total < LIMIT_PUMP_BYTES) {
		n = recv(tc->fd, read_buffer, sizeof(read_buffer), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			if (tc->failed.code < 0)
				err = tc->failed;
			else
				err_set_errno(&err, n < 0 ? -errno : -ECONNRESET, "carrier");
			tc_close(tc, &err);
			return;
		}
		total += (size_t)n;
		if (tc->ssl)
			take_bytes(tc, read_buffer, (size_t)n);
		if ((size_t)n < sizeof(read_buffer))
			return;
	}
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct tls_carrier *tc = container_of(poll, struct tls_carrier, poll);

	/* libuv reports a socket error as UV_EBADF and stops; recv() says what it was. */
	if (status < 0) {
		tc->mask = 0;
		set_mask(tc, UV_READABLE);
	}
	if (status < 0 || (events & UV_READABLE))
		read_some(tc);
	if (tc->closed || !(events & UV_WRITABLE))
		return;
	if (tc->side == TLS_SIDE_CLIENT && tc->ssl && SSL_in_before(tc->ssl)) {
		(void)shake_hands(tc);
		return;
	}
	flush_out(tc);
	if (buf_len(&tc->window.out) > 0)
		return;
	set_mask(tc, UV_READABLE);
	if (tc_room(&tc->base) > 0)
		tc->base.events.on_writable(tc->base.user);
}

static void tc_start(struct carrier *carrier)
{
	struct tls_carrier *tc = from_base(carrier);
	struct err err = ERR_INIT;

	if (!tc->ssl) {
		err_set(&err, -ENOMEM, ERR_INTERNAL, "TLS: no memory");
		fail_later(tc, &err);
	}
	/* Writable at once: a client begins. */
	set_mask(tc, tc->side == TLS_SIDE_CLIENT ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

static void on_poll_closed(uv_handle_t *handle)
{
	free(container_of(handle, struct tls_carrier, poll));
}

static void tc_free(struct carrier *carrier)
{
	struct tls_carrier *tc = from_base(carrier);

	if (!tc->closed && tc->established && !tc->aborted && tc->failed.code == 0) {
		ERR_clear_error();
		(void)SSL_shutdown(tc->ssl);
		flush_out(tc);
	}
	tc->closed = true;
	/* Closing with unread bytes would reset the connection and could cost the peer our last
	 * words. */
	shutdown(tc->fd, SHUT_WR);
	(void)!recv(tc->fd, read_buffer, sizeof(read_buffer), MSG_DONTWAIT);
	uv_close((uv_handle_t *)&tc->poll, on_poll_closed);
	close(tc->fd);
	SSL_free(tc->ssl);
	buf_done(&tc->window.out);
}

struct carrier *tls_carrier_new(uv_loop_t *loop, int fd, SSL_CTX *tls, enum tls_side side)
{
	static const struct carrier_ops ops = {
		.name = "tls",
		.start = tc_start,
		.room = tc_room,
		.send = tc_send,
		.free = tc_free,
	};
	struct tls_carrier *tc = XNEW(struct tls_carrier);
	int on = 1, unsent = LIMIT_CARRIER_UNSENT_BYTES;

	tc->base.ops = &ops;
	tc->fd = fd;
	tc->side = side;
	tc->window.may_speak = side == TLS_SIDE_CLIENT;
	buf_init(&tc->window.out, QUEUE_MAX_BYTES);
	tc->ssl = tls_window_ssl(&tc->window, tls, side);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
	uv_poll_init(loop, &tc->poll, fd);
	return &tc->base;
}

X509 *tls_carrier_peer_cert(const struct carrier *carrier)
{
	const struct tls_carrier *tc = from_const(carrier);

	return tc->established ? SSL_get0_peer_certificate(tc->ssl) : NULL;
}

bool tls_carrier_ended(const struct carrier *carrier)
{
	const struct tls_carrier *tc = from_const(carrier);

	return tc->established && (SSL_get_shutdown(tc->ssl) & SSL_RECEIVED_SHUTDOWN);
}

void tls_carrier_abort(struct carrier *carrier)
{
	from_base(carrier)->aborted = true;
}
