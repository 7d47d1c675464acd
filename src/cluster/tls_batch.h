/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/tls_batch.h - the TLS records of one write leave with one send(2)
 *
 * Internal to the folder. OpenSSL gives each record of 16 KB to the socket by itself. A peer that
 * reads record by record, as Go programs do, then sleeps between any two of them, and so does
 * whoever it passes them on to. Here the records of one SSL_write() are collected in front of what
 * libcurl has put there, and go on together with the last one.
 */
#ifndef CLUSTER_TLS_BATCH_H
#define CLUSTER_TLS_BATCH_H

#include <openssl/bio.h>
#include <openssl/ssl.h>

/* Bytes that one SSL_write() may be announced to have. */
#define TLS_BATCH_MAX_BYTES ((size_t)64 * 1024)

/* A filter that is pushed before another BIO. NULL: no memory. */
BIO *tls_batch_new(void);
/* The next SSL_write() has so many bytes; those that are not announced go on at once. One that
 * would block is repeated until it is done, announced again or not. */
void tls_batch_announce(BIO *bio, size_t len);
/* libcurl tells of no connection that it has given to its user. So *ssl becomes the one of this
 * context that shook hands last: behind a proxy with TLS of its own that is the server's. */
void tls_batch_watch(SSL_CTX *context, SSL **ssl);
/* A filter before what ssl writes to, which owns it. NULL: no memory. */
BIO *tls_batch_attach(SSL *ssl);

#endif /* CLUSTER_TLS_BATCH_H */
