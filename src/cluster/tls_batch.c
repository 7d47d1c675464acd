/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many records an SSL_write() makes is OpenSSL's to know, but together they are longer than
 * what is in them: with as many bytes as were announced the last one is there. That one counts as
 * written when all of them are, so a socket that is full shows as it does without a batch, and
 * what OpenSSL repeats then is the last record again.
 */
#include "cluster/tls_batch.h"

#include <stdbool.h>

#include "core/alloc.h"
#include "core/buf.h"

/* Their bytes, what TLS adds to each, and an alert. */
#define OUT_MAX_BYTES (TLS_BATCH_MAX_BYTES * 2)

struct tls_batch {
	struct buf out;
	size_t announced, came; /* came: since the last time that all was written */
	bool complete; /* the last record is in `out` and is being written */
};

/* Writes all of it; what next's write returned when it took not everything. */
static int write_out(BIO *bio, struct buf *out)
{
	size_t n;
	int r;

	while (buf_len(out) > 0) {
		n = 0;
		r = BIO_write_ex(BIO_next(bio), buf_head(out), buf_len(out), &n);
		if (r <= 0) {
			BIO_copy_next_retry(bio);
			return -1;
		}
		buf_consume(out, n);
	}
	return 1;
}

static int batch_write(BIO *bio, const char *data, size_t len, size_t *ret_len)
{
	struct tls_batch *batch = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (!batch->complete) {
		if (buf_append(&batch->out, data, len) < 0)
			return -1;
		batch->came += len;
		batch->complete = batch->came >= batch->announced;
	}
	if (batch->complete) {
		if (write_out(bio, &batch->out) < 0)
			return -1;
		batch->complete = false;
		batch->announced = batch->came = 0;
	}
	*ret_len = len;
	return 1;
}

static long batch_ctrl(BIO *bio, int command, long number, void *ptr)
{
	return BIO_next(bio) ? BIO_ctrl(BIO_next(bio), command, number, ptr) : 0;
}

static int batch_create(BIO *bio)
{
	struct tls_batch *batch = XNEW(struct tls_batch);

	buf_init(&batch->out, OUT_MAX_BYTES);
	BIO_set_data(bio, batch);
	BIO_set_init(bio, 1);
	return 1;
}

static int batch_destroy(BIO *bio)
{
	struct tls_batch *batch = BIO_get_data(bio);

	buf_done(&batch->out);
	free(batch);
	return 1;
}

/* The one of the process; NULL when OpenSSL has no memory. */
static const BIO_METHOD *batch_method(void)
{
	static BIO_METHOD *method;

	if (method)
		return method;
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_FILTER, "tls_batch");
	if (method && (BIO_meth_set_write_ex(method, batch_write) != 1 ||
			      BIO_meth_set_ctrl(method, batch_ctrl) != 1 ||
			      BIO_meth_set_create(method, batch_create) != 1 ||
			      BIO_meth_set_destroy(method, batch_destroy) != 1)) {
		BIO_meth_free(method);
		method = NULL;
	}
	return method;
}

/* Where a context has the place that tls_batch_watch() was given. */
static int context_index(void)
{
	static int index = -1;

	if (index < 0)
		index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	return index;
}

BIO *tls_batch_new(void)
{
	const BIO_METHOD *method = batch_method();

	return method ? BIO_new(method) : NULL;
}

void tls_batch_announce(BIO *bio, size_t len)
{
	struct tls_batch *batch = BIO_get_data(bio);

	if (batch->came == 0)
		batch->announced = MIN(len, TLS_BATCH_MAX_BYTES);
}

static void on_info(const SSL *ssl, int where, int value)
{
	(void)value;
	if (where == SSL_CB_HANDSHAKE_DONE)
		*(const SSL **)SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), context_index()) = ssl;
}

void tls_batch_watch(SSL_CTX *context, SSL **ssl)
{
	*ssl = NULL;
	if (SSL_CTX_set_ex_data(context, context_index(), ssl) == 1)
		SSL_CTX_set_info_callback(context, on_info);
}

BIO *tls_batch_attach(SSL *ssl)
{
	BIO *batch = tls_batch_new(), *next = SSL_get_wbio(ssl);

	if (!batch || BIO_up_ref(next) != 1) {
		BIO_free(batch);
		return NULL;
	}
	BIO_push(batch, next);
	/* Drops the reference to `next` that it had. */
	SSL_set0_wbio(ssl, batch);
	return batch;
}
