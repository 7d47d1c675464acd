/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key signs one self-signed certificate, which is both what the server shows and the only root
 * that it verifies clients against. A manager that restarted makes another such certificate of the
 * same key and name, so what it issued before stays good.
 */
#include "tunnel/identity.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <string.h>

#include "core/alloc.h"
#include "core/err.h"

#define CURVE "P-256"
/* OpenSSL's own name of it. */
#define CURVE_GROUP "prime256v1"
#define ISSUER_CN   "telepresence traffic-manager"
/* For whoever looks at the dates; here nobody does, see make_tls(). */
#define BACKDATE_S (-24L * 3600)
/* An agent's certificate dies with its pod: no expiry shall come before. */
#define LIFETIME_DAYS 3650
#define SERIAL_BYTES  16

struct identity {
	EVP_PKEY *pkey; /* OpenSSL wipes the private part when it frees it */
	X509 *cert;
	SSL_CTX *tls;
	uint8_t pin[IDENTITY_PIN_BYTES];
};

static bool is_p256(const EVP_PKEY *pkey)
{
	char group[32];
	size_t len = 0;

	return EVP_PKEY_is_a(pkey, "EC") &&
	       EVP_PKEY_get_group_name(pkey, group, sizeof(group), &len) == 1 &&
	       strcmp(group, CURVE_GROUP) == 0;
}

static bool set_serial(X509 *cert)
{
	uint8_t bytes[SERIAL_BYTES];
	BIGNUM *number = NULL;
	bool ok;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	bytes[0] = (bytes[0] & 0x3f) | 0x40; /* positive, of a fixed length (RFC 5280 4.1.2.2) */
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
	BN_free(number);
	return ok;
}

static bool set_name(X509_NAME *name, const char *cn)
{
	return X509_NAME_add_entry_by_txt(
		       name, "CN", MBSTRING_UTF8, (const uint8_t *)cn, -1, -1, 0) == 1;
}

static bool add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	bool ok = extension && X509_add_ext(cert, extension, -1) == 1;

	X509_EXTENSION_free(extension);
	return ok;
}

static bool add_uses(X509 *cert, bool authority)
{
	if (authority)
		return add_extension(cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
		       add_extension(cert, NID_key_usage, "critical,digitalSignature,keyCertSign");
	return add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(cert, NID_key_usage, "critical,digitalSignature") &&
	       add_extension(cert, NID_ext_key_usage, "clientAuth");
}

/* A certificate for `subject`, signed by `signer`; NULL when OpenSSL fails. */
static X509 *make_cert(EVP_PKEY *subject, const char *cn, EVP_PKEY *signer, bool authority)
{
	X509 *cert = X509_new();

	if (cert && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
		X509_gmtime_adj(X509_getm_notBefore(cert), BACKDATE_S) &&
		X509_time_adj_ex(X509_getm_notAfter(cert), LIFETIME_DAYS, 0, NULL) &&
		set_name(X509_get_subject_name(cert), cn) &&
		set_name(X509_get_issuer_name(cert), ISSUER_CN) &&
		X509_set_pubkey(cert, subject) == 1 && add_uses(cert, authority) &&
		X509_sign(cert, signer, EVP_sha256()) > 0)
		return cert;
	X509_free(cert);
	return NULL;
}

static SSL_CTX *make_tls(const struct identity *identity)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

	if (!tls || SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) != 1 ||
		SSL_CTX_use_certificate(tls, identity->cert) != 1 ||
		SSL_CTX_use_PrivateKey(tls, identity->pkey) != 1 ||
		X509_STORE_add_cert(SSL_CTX_get_cert_store(tls), identity->cert) != 1 ||
		SSL_CTX_set_num_tickets(tls, 0) != 1) {
		SSL_CTX_free(tls);
		return NULL;
	}
	/* Clocks of a cluster's nodes differ, and jump: what an agent has is good for as long as
	 * its pod lives, by any clock. */
	(void)X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(tls), X509_V_FLAG_NO_CHECK_TIME);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(tls, SSL_OP_NO_TICKET);
	SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
	return tls;
}

static bool make_pin(EVP_PKEY *pkey, uint8_t ret_pin[static IDENTITY_PIN_BYTES])
{
	uint8_t *der = NULL;
	int len = i2d_PUBKEY(pkey, &der);
	bool ok = len > 0 && EVP_Digest(der, (size_t)len, ret_pin, NULL, EVP_sha256(), NULL) == 1;

	OPENSSL_free(der);
	return ok;
}

/* Takes pkey, also on failure. */
static int from_key(EVP_PKEY *pkey, struct identity **ret_identity, struct err *err)
{
	struct identity *identity = XNEW(struct identity);

	identity->pkey = pkey;
	if (pkey && make_pin(pkey, identity->pin))
		identity->cert = make_cert(pkey, ISSUER_CN, pkey, true);
	if (identity->cert)
		identity->tls = make_tls(identity);
	if (!identity->tls) {
		identity_free(identity);
		return err_set(err, -EIO, ERR_INTERNAL, "cannot make the manager's identity");
	}
	*ret_identity = identity;
	return 0;
}

int identity_new(struct identity **ret_identity, struct err *err)
{
	return from_key(EVP_PKEY_Q_keygen(NULL, NULL, "EC", CURVE), ret_identity, err);
}

/* An encrypted key is none of ours; OpenSSL's default would ask the terminal. */
static int no_password(char *out, int size, int writing, void *user)
{
	(void)out, (void)size, (void)writing, (void)user;
	return -1;
}

static bool is_whole(EVP_PKEY *pkey)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	bool ok = ctx && EVP_PKEY_pairwise_check(ctx) == 1;

	EVP_PKEY_CTX_free(ctx);
	return ok;
}

int identity_load(const char *pem, size_t len, struct identity **ret_identity, struct err *err)
{
	BIO *bio = len <= IDENTITY_PEM_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
	EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;

	BIO_free(bio);
	if (!pkey || !is_p256(pkey) || !is_whole(pkey)) {
		EVP_PKEY_free(pkey);
		return err_set(
			err, -EINVAL, ERR_CONFIG, "the manager's identity is no P-256 key in PEM");
	}
	return from_key(pkey, ret_identity, err);
}

void identity_free(struct identity *identity)
{
	if (!identity)
		return;
	SSL_CTX_free(identity->tls);
	X509_free(identity->cert);
	EVP_PKEY_free(identity->pkey);
	free(identity);
}

char *identity_pem(const struct identity *identity)
{
	BIO *bio = BIO_new(BIO_s_mem()); /* wiped by BIO_free() */
	char *data = NULL, *pem = NULL;
	long len;

	if (bio && PEM_write_bio_PKCS8PrivateKey(
			   bio, identity->pkey, NULL, NULL, 0, no_password, NULL) == 1) {
		len = BIO_get_mem_data(bio, &data);
		pem = xstrndup(data, (size_t)len);
	}
	BIO_free(bio);
	return pem;
}

void identity_pin(const struct identity *identity, uint8_t ret_pin[static IDENTITY_PIN_BYTES])
{
	memcpy(ret_pin, identity->pin, IDENTITY_PIN_BYTES);
}

void identity_pin_text(const struct identity *identity, char ret_text[static IDENTITY_PIN_TEXT])
{
	(void)EVP_EncodeBlock((uint8_t *)ret_text, identity->pin, IDENTITY_PIN_BYTES);
}

SSL_CTX *identity_server_tls(struct identity *identity)
{
	return identity->tls;
}

ssize_t identity_issue(const struct identity *identity, const uint8_t *spki, size_t len,
	const char *cn, uint8_t out[static IDENTITY_CERT_DER_MAX], struct err *err)
{
	const uint8_t *end = spki;
	EVP_PKEY *pkey = len <= IDENTITY_KEY_DER_MAX ? d2i_PUBKEY(NULL, &end, (long)len) : NULL;
	X509 *cert = NULL;
	int der_len;

	if (!pkey || end != spki + len || !is_p256(pkey)) {
		EVP_PKEY_free(pkey);
		return err_set(err, -EINVAL, ERR_AUTH, "the agent's key is no P-256 key");
	}
	cert = make_cert(pkey, cn, identity->pkey, false);
	EVP_PKEY_free(pkey);
	der_len = cert ? i2d_X509(cert, NULL) : -1;
	if (der_len > 0 && der_len <= IDENTITY_CERT_DER_MAX)
		der_len = i2d_X509(cert, &out);
	else
		der_len = -1;
	X509_free(cert);
	if (der_len < 0)
		return err_set(err, -EIO, ERR_INTERNAL, "cannot make the agent's certificate");
	return der_len;
}
