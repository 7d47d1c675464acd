/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/tls_window.h - what OpenSSL reads and writes instead of a socket (tls_carrier.c)
 */
#ifndef TUNNEL_TLS_WINDOW_H
#define TUNNEL_TLS_WINDOW_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"
#include "core/buf.h"
#include "tunnel/tls_carrier.h"

/* RFC 8446 5.1: the content type of the records that begin a connection. */
#define TLS_HANDSHAKE 22

struct err;

struct tls_window {
	const uint8_t *in; /* what OpenSSL may read now; borrowed */
	size_t in_len;
	struct buf out; /* what it wrote; a record that does not fit fails the write */
	bool may_speak; /* else what it writes before a first handshake record is lost */
};

/* A connection that reads and writes there; NULL: no memory. The window stays where it is. */
SSL *tls_window_ssl(struct tls_window *window, SSL_CTX *tls, enum tls_side side);
/* What OpenSSL says of the call that just failed; ERR_AUTH when a certificate was not accepted. */
void tls_take_error(struct err *err);

#endif /* TUNNEL_TLS_WINDOW_H */
