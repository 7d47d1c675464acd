/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/tls_window.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "core/err.h"

static int window_read(BIO *bio, char *data, size_t len, size_t *ret_len)
{
	struct tls_window *window = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (window->in_len == 0) {
		BIO_set_retry_read(bio);
		return 0;
	}
	len = MIN(len, window->in_len);
	memcpy(data, window->in, len);
	window->in += len;
	window->in_len -= len;
	*ret_len = len;
	return 1;
}

/* Every write is of whole TLS records. A server's first one that is an alert answers what was no
 * good ClientHello: it is lost, and nothing comes after it. */
static int window_write(BIO *bio, const char *data, size_t len, size_t *ret_len)
{
	struct tls_window *window = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (!window->may_speak && len > 0 && data[0] == TLS_HANDSHAKE)
		window->may_speak = true;
	if (window->may_speak && buf_append(&window->out, data, len) < 0)
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
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tls_window");
	if (method && (BIO_meth_set_read_ex(method, window_read) != 1 ||
			      BIO_meth_set_write_ex(method, window_write) != 1 ||
			      BIO_meth_set_ctrl(method, window_ctrl) != 1 ||
			      BIO_meth_set_create(method, window_create) != 1)) {
		BIO_meth_free(method);
		method = NULL;
	}
	return method;
}

SSL *tls_window_ssl(struct tls_window *window, SSL_CTX *tls, enum tls_side side)
{
	const BIO_METHOD *method = window_method();
	SSL *ssl = method ? SSL_new(tls) : NULL;
	BIO *bio = ssl ? BIO_new(method) : NULL;

	if (!bio) {
		SSL_free(ssl);
		return NULL;
	}
	BIO_set_data(bio, window);
	SSL_set_bio(ssl, bio, bio);
	if (side == TLS_SIDE_SERVER)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	return ssl;
}

/* An alert of the peer that speaks of our certificate (RFC 8446 6.2), or our own verdict on its. */
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

void tls_take_error(struct err *err)
{
	unsigned long code = ERR_peek_error();
	const char *text = ERR_reason_error_string(code);
	bool refused = ERR_GET_LIB(code) == ERR_LIB_SSL && is_refusal(ERR_GET_REASON(code));

	err_set(err, refused ? -EACCES : -EPROTO, refused ? ERR_AUTH : ERR_INTERNAL, "TLS: %s",
		text ? text : "failed");
	ERR_clear_error();
}
