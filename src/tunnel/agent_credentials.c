/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manager is known by its key alone: no name, no chain, no date. TLS itself proves that it has
 * the key of the certificate that it shows.
 */
#include "tunnel/agent_credentials.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <string.h>

#include "core/alloc.h"
#include "core/err.h"

struct agent_credentials {
	EVP_PKEY *pkey; /* OpenSSL wipes the private part when it frees it */
	SSL_CTX *tls;
	uint8_t token[AGENT_TOKEN_BYTES]; /* until there is a certificate */
	char pod_uid[JOIN_POD_UID_MAX + 1];
	bool has_cert;
};

/* A link's last bytes may come after the credentials are gone: the pin lives as long as the
 * context, which the connections hold. */
static void free_pin(
	void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long number, void *user)
{
	(void)parent, (void)data, (void)index, (void)number, (void)user;
	OPENSSL_free(ptr);
}

static bool keep_pin(SSL_CTX *tls, uint8_t *pin)
{
	static int index = -1;

	if (index < 0)
		index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_pin);
	return pin && index >= 0 && SSL_CTX_set_ex_data(tls, index, pin) == 1;
}

static int check_pin(X509_STORE_CTX *ctx, void *user)
{
	const uint8_t *pin = user;
	const X509 *cert = X509_STORE_CTX_get0_cert(ctx);
	uint8_t *der = NULL, digest[IDENTITY_PIN_BYTES];
	int len = cert ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der) : -1;
	bool ok = len > 0 && EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL) == 1 &&
		  CRYPTO_memcmp(digest, pin, sizeof(digest)) == 0;

	OPENSSL_free(der);
	if (!ok)
		X509_STORE_CTX_set_error(ctx, X509_V_ERR_CERT_REJECTED);
	return ok ? 1 : 0;
}

static SSL_CTX *make_tls(const uint8_t pin[static IDENTITY_PIN_BYTES])
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
	uint8_t *copy = OPENSSL_memdup(pin, IDENTITY_PIN_BYTES);

	if (!tls || SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) != 1 ||
		!keep_pin(tls, copy)) {
		OPENSSL_free(copy);
		SSL_CTX_free(tls);
		return NULL;
	}
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(tls, check_pin, copy);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(tls, SSL_OP_NO_TICKET);
	SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
	return tls;
}

int agent_credentials_new(const uint8_t pin[static IDENTITY_PIN_BYTES],
	const uint8_t token[static AGENT_TOKEN_BYTES], const char *pod_uid,
	struct agent_credentials **ret_credentials, struct err *err)
{
	AUTO(agent_credentials) credentials = NULL;
	size_t uid_len = strnlen(pod_uid, JOIN_POD_UID_MAX + 1);

	if (!join_uid_ok(pod_uid, uid_len))
		return err_set(err, -EINVAL, ERR_USAGE, "not a pod's UID: %.80s", pod_uid);
	credentials = XNEW(struct agent_credentials);
	memcpy(credentials->token, token, sizeof(credentials->token));
	memcpy(credentials->pod_uid, pod_uid, uid_len);
	credentials->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	credentials->tls = make_tls(pin);
	if (!credentials->pkey || !credentials->tls)
		return err_set(err, -EIO, ERR_INTERNAL, "cannot make the agent's key");
	*ret_credentials = TAKE_PTR(credentials);
	return 0;
}

void agent_credentials_free(struct agent_credentials *credentials)
{
	if (!credentials)
		return;
	SSL_CTX_free(credentials->tls);
	EVP_PKEY_free(credentials->pkey);
	explicit_bzero(credentials, sizeof(*credentials));
	free(credentials);
}

SSL_CTX *agent_credentials_tls(struct agent_credentials *credentials)
{
	return credentials->tls;
}

enum join_kind agent_credentials_kind(const struct agent_credentials *credentials)
{
	return credentials->has_cert ? JOIN_CERTIFICATE : JOIN_TOKEN;
}

ssize_t agent_credentials_join(const struct agent_credentials *credentials, enum join_kind kind,
	uint8_t role, uint8_t out[static JOIN_MAX_BYTES])
{
	struct join join = {.kind = (uint8_t)kind, .role = role};
	uint8_t *spki = join.spki;
	ssize_t n;
	int len;

	memcpy(join.pod_uid, credentials->pod_uid, sizeof(join.pod_uid));
	if (join.kind == JOIN_TOKEN) {
		len = i2d_PUBKEY(credentials->pkey, NULL);
		if (len <= 0 || (size_t)len > sizeof(join.spki))
			return -EIO;
		join.spki_len = (size_t)i2d_PUBKEY(credentials->pkey, &spki);
		memcpy(join.token, credentials->token, sizeof(join.token));
	}
	n = join_format(&join, out);
	explicit_bzero(join.token, sizeof(join.token));
	return n;
}

int agent_credentials_welcome(struct agent_credentials *credentials, X509 *manager,
	const uint8_t *payload, size_t len, struct err *err)
{
	const uint8_t *end = payload;
	X509 *cert;
	bool ok;

	/* The answer to a certificate is empty; an issued one is kept though another link was
	 * quicker. */
	if (len == 0 && credentials->has_cert)
		return 0;
	cert = len <= IDENTITY_CERT_DER_MAX ? d2i_X509(NULL, &end, (long)len) : NULL;
	ok = cert && end == payload + len && manager &&
	     X509_verify(cert, X509_get0_pubkey(manager)) == 1 &&
	     EVP_PKEY_eq(X509_get0_pubkey(cert), credentials->pkey) == 1 &&
	     SSL_CTX_use_certificate(credentials->tls, cert) == 1 &&
	     SSL_CTX_use_PrivateKey(credentials->tls, credentials->pkey) == 1;
	X509_free(cert);
	if (!ok)
		return err_set(err, -EPROTO, ERR_INTERNAL,
			"the manager's WELCOME has no certificate of this agent's key");
	credentials->has_cert = true;
	explicit_bzero(credentials->token, sizeof(credentials->token));
	return 0;
}
