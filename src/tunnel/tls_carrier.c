/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL between two memory windows: what recv() brought is read by it in place, what it writes is
 * queued here and sent with one sendmsg(), however many TLS records that is. So the socket's
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

/* Bytes per read: what fits the second-level cache with what is made of it. */
#define READ_BYTES (128 * 1024)
/* One TLS record's plain text (RFC 8446 5.1). */
#define PLAIN_BYTES (16 * 1024)
/* One record above the room, its framing, a burst of control records, and TLS's part of it all. */
#define QUEUE_MAX_BYTES (2 * LIMIT_CARRIER_QUEUE_BYTES)

/* RFC 8446 5.1 and 4: the content type handshake, 3.x, the length, then the type client_hello. */
#define TLS_HANDSHAKE    22
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
	const uint8_t *in; /* what OpenSSL may read now */
	size_t in_len;
	struct buf out;
	size_t hello_seen; /* of a server's first bytes, up to HELLO_START */
	bool may_speak;
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

static int window_read(BIO *bio, char *data, size_t len, size_t *ret_len)
{
	struct tls_carrier *tc = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (tc->in_len == 0) {
		BIO_set_retry_read(bio);
		return 0;
	}
	len = MIN(len, tc->in_len);
	memcpy(data, tc->in, len);
	tc->in += len;
	tc->in_len -= len;
	*ret_len = len;
	return 1;
}

/* Every write is of whole TLS records. A server's first one that is an alert answers what was no
 * good ClientHello: it is lost, and so is all after it. */
static int window_write(BIO *bio, const char *data, size_t len, size_t *ret_len)
{
	struct tls_carrier *tc = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (!tc->may_speak && len > 0 && data[0] == TLS_HANDSHAKE)
		tc->may_speak = true;
	if (tc->may_speak && buf_append(&tc->out, data, len) < 0)
		return 0;
	*ret_len = len;
	return 1;
}

static long window_ctrl(BIO *bio, int command, long number, void *ptr)
{
	(void)bio, (void)number, (void)ptr;
	return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static int window_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

/* The one of the process; NULL when OpenSSL has no memory. */
static const BIO_METHOD *window_method(void)
{
	static BIO_METHOD *method;

	if (method)
		return method;
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tls_carrier");
	if (method && (BIO_meth_set_read_ex(method, window_read) != 1 ||
			      BIO_meth_set_write_ex(method, window_write) != 1 ||
			      BIO_meth_set_ctrl(method, window_ctrl) != 1 ||
			      BIO_meth_set_create(method, window_create) != 1)) {
		BIO_meth_free(method);
		method = NULL;
	}
	return method;
}

static SSL *make_ssl(struct tls_carrier *tc, SSL_CTX *tls)
{
	const BIO_METHOD *method = window_method();
	SSL *ssl = method ? SSL_new(tls) : NULL;
	BIO *bio = ssl ? BIO_new(method) : NULL;

	if (!bio) {
		SSL_free(ssl);
		return NULL;
	}
	BIO_set_data(bio, tc);
	SSL_set_bio(ssl, bio, bio);
	if (tc->side == TLS_SIDE_SERVER)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	return ssl;
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

/* An alert of the peer that speaks of our certificate (RFC 8446 6.2). */
static bool is_refusal(int reason)
{
	switch (reason - SSL_AD_REASON_OFFSET) {
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_REVOKED:
	case SSL_AD_CERTIFICATE_EXPIRED:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_UNKNOWN_CA:
	case SSL_AD_ACCESS_DENIED:
	case SSL_AD_DECRYPT_ERROR:
		return true;
	default:
		return reason == SSL_R_CERTIFICATE_VERIFY_FAILED;
	}
}

/* What OpenSSL has to say after a failure that is none of the socket's. */
static void take_ssl_error(struct err *err)
{
	unsigned long code = ERR_peek_error();
	const char *text = ERR_reason_error_string(code);
	bool refused = ERR_GET_LIB(code) == ERR_LIB_SSL && is_refusal(ERR_GET_REASON(code));

	err_set(err, refused ? -EACCES : -EPROTO, refused ? ERR_AUTH : ERR_INTERNAL, "TLS: %s",
		text ? text : "failed");
	ERR_clear_error();
}

static void flush_out(struct tls_carrier *tc)
{
	struct err err = ERR_INIT;
	ssize_t n;

	while (buf_len(&tc->out) > 0 && tc->failed.code == 0) {
		n = send(
			tc->fd, buf_head(&tc->out), buf_len(&tc->out), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			buf_consume(&tc->out, (size_t)n);
		} else if (errno == EAGAIN) {
			break;
		} else if (errno != EINTR) {
			err_set_errno(&err, -errno, "carrier");
			fail_later(tc, &err);
		}
	}
	set_mask(tc, buf_len(&tc->out) > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

static size_t tc_room(const struct carrier *carrier)
{
	const struct tls_carrier *tc = from_const(carrier);

	if (tc->closed || !tc->established || tc->failed.code < 0 || buf_len(&tc->out) > 0)
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
		take_ssl_error(&err);
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
		take_ssl_error(&err);
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
	tc->in = data;
	tc->in_len = len;
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
	if (tc->side == TLS_SIDE_CLIENT && SSL_in_before(tc->ssl)) {
		(void)shake_hands(tc);
		return;
	}
	flush_out(tc);
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
	buf_done(&tc->out);
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
	tc->may_speak = side == TLS_SIDE_CLIENT;
	buf_init(&tc->out, QUEUE_MAX_BYTES);
	tc->ssl = make_ssl(tc, tls);
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
