/* SPDX-License-Identifier: Apache-2.0 */
/* The manager's key through PEM and restarts, and what it signs. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "core/alloc.h"
#include "core/err.h"
#include "tunnel/identity.h"

#define POD_UID "aaaaaaaa-2222-3333-4444-555555555555"
#define DAY_S   (24L * 3600)

static struct identity *new_identity(void)
{
	struct identity *identity = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(identity_new(&identity, &err), 0);
	return identity;
}

static int load(const char *pem, struct err *err)
{
	struct identity *identity = NULL;
	int r = identity_load(pem, strlen(pem), &identity, err);

	assert_true((r == 0) == (identity != NULL));
	identity_free(identity);
	return r;
}

/* PEM of a key that is none of ours; with a password if there is one. */
static char *other_pem(EVP_PKEY *pkey, const char *password)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data = NULL, *pem;
	long len;

	assert_int_equal(
		PEM_write_bio_PKCS8PrivateKey(bio, pkey, password ? EVP_aes_128_cbc() : NULL,
			password, password ? (int)strlen(password) : 0, NULL, NULL),
		1);
	len = BIO_get_mem_data(bio, &data);
	pem = xstrndup(data, (size_t)len);
	BIO_free(bio);
	EVP_PKEY_free(pkey);
	return pem;
}

static void test_round_trip(void **state)
{
	struct identity *identity = new_identity(), *again = NULL, *other = new_identity();
	uint8_t pin[IDENTITY_PIN_BYTES], pin_again[IDENTITY_PIN_BYTES];
	char text[IDENTITY_PIN_TEXT];
	char *pem = identity_pem(identity);
	struct err err = ERR_INIT;
	uint8_t decoded[IDENTITY_PIN_BYTES + 1];

	(void)state;
	assert_non_null(pem);
	assert_true(strlen(pem) <= IDENTITY_PEM_MAX);
	assert_int_equal(identity_load(pem, strlen(pem), &again, &err), 0);
	identity_pin(identity, pin);
	identity_pin(again, pin_again);
	assert_memory_equal(pin, pin_again, sizeof(pin));
	identity_pin(other, pin_again);
	assert_memory_not_equal(pin, pin_again, sizeof(pin));
	identity_pin_text(identity, text);
	assert_int_equal(strlen(text), IDENTITY_PIN_TEXT - 1);
	assert_int_equal(EVP_DecodeBlock(decoded, (const uint8_t *)text, IDENTITY_PIN_TEXT - 1),
		IDENTITY_PIN_BYTES + 1);
	assert_memory_equal(decoded, pin, sizeof(pin));
	free(pem);
	identity_free(identity);
	identity_free(again);
	identity_free(other);
	identity_free(NULL);
}

static void test_bad_pem(void **state)
{
	char *texts[] = {
		xstrdup(""),
		xstrdup("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
		other_pem(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL),
		other_pem(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384"), NULL),
		/* Must not ask for a password on the terminal. */
		other_pem(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), "secret"),
		xcalloc(1, IDENTITY_PEM_MAX + 2),
	};
	struct err err = ERR_INIT;

	(void)state;
	memset(texts[ARRAY_SIZE(texts) - 1], '\n', IDENTITY_PEM_MAX + 1);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(load(texts[i], &err), -EINVAL);
		assert_int_equal(err.kind, ERR_CONFIG);
		free(texts[i]);
	}
}

/* The key's DER in *ret_spki (OPENSSL_free). */
static size_t spki_of(EVP_PKEY *pkey, uint8_t **ret_spki)
{
	int len;

	*ret_spki = NULL;
	len = i2d_PUBKEY(pkey, ret_spki);
	assert_true(len > 0);
	return (size_t)len;
}

/* Whole days, rounded towards now. */
static int days_from_now(const ASN1_TIME *when)
{
	int days = 0, seconds = 0;

	assert_int_equal(ASN1_TIME_diff(&days, &seconds, NULL, when), 1);
	return days;
}

static void test_issue(void **state)
{
	struct identity *identity = new_identity();
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	uint8_t der[IDENTITY_CERT_DER_MAX], *spki;
	const uint8_t *end = der;
	size_t len = spki_of(pkey, &spki);
	char cn[80];
	struct err err = ERR_INIT;
	X509 *cert;
	ssize_t n;

	(void)state;
	n = identity_issue(identity, spki, len, POD_UID, der, &err);
	assert_true(n > 0 && n <= IDENTITY_CERT_DER_MAX);
	cert = d2i_X509(NULL, &end, n);
	assert_non_null(cert);
	assert_ptr_equal(end, der + n);
	assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(cert), pkey), 1);
	assert_int_equal(X509_NAME_get_text_by_NID(
				 X509_get_subject_name(cert), NID_commonName, cn, sizeof(cn)),
		(int)strlen(POD_UID));
	assert_string_equal(cn, POD_UID);
	assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_CLIENT);
	assert_int_equal(X509_get_key_usage(cert), KU_DIGITAL_SIGNATURE);
	assert_int_equal(X509_check_ca(cert), 0);
	assert_int_equal(days_from_now(X509_get0_notBefore(cert)), -1);
	assert_in_range(days_from_now(X509_get0_notAfter(cert)), 3649, 3650);
	X509_free(cert);
	/* The longest common name still fits. */
	n = identity_issue(identity, spki, len,
		"0123456789012345678901234567890123456789012345678901234567890123", der, &err);
	assert_true(n > 0 && n <= IDENTITY_CERT_DER_MAX);
	OPENSSL_free(spki);
	EVP_PKEY_free(pkey);
	identity_free(identity);
}

static void test_issue_refuses(void **state)
{
	struct identity *identity = new_identity();
	EVP_PKEY *keys[] = {
		EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"),
		EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384"),
		EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"),
	};
	uint8_t der[IDENTITY_CERT_DER_MAX], more[IDENTITY_KEY_DER_MAX + 1] = {0}, *spki;
	struct err err = ERR_INIT;
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		len = spki_of(keys[i], &spki);
		if (i > 0)
			assert_int_equal(
				identity_issue(identity, spki, len, POD_UID, der, &err), -EINVAL);
		/* Bytes after it, bytes missing, and no key at all. */
		memcpy(more, spki, len);
		assert_int_equal(
			identity_issue(identity, more, len + 1, POD_UID, der, &err), -EINVAL);
		assert_int_equal(
			identity_issue(identity, more, len - 1, POD_UID, der, &err), -EINVAL);
		OPENSSL_free(spki);
		EVP_PKEY_free(keys[i]);
	}
	memset(more, 'x', sizeof(more));
	assert_int_equal(identity_issue(identity, more, 91, POD_UID, der, &err), -EINVAL);
	assert_int_equal(identity_issue(identity, more, sizeof(more), POD_UID, der, &err), -EINVAL);
	assert_int_equal(identity_issue(identity, more, 0, POD_UID, der, &err), -EINVAL);
	identity_free(identity);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_bad_pem),
		cmocka_unit_test(test_issue),
		cmocka_unit_test(test_issue_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
