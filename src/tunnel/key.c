/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/key.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "core/alloc.h"
#include "core/err.h"

/* Base64 of 32 bytes: 44 characters, the last one padding. */
#define KEY_TEXT_LEN 44

struct session_key {
	EVP_PKEY *pkey; /* OpenSSL wipes the private part when it frees it */
	uint8_t public_key[SESSION_KEY_BYTES];
};

int session_key_new(struct session_key **ret_key, struct err *err)
{
	size_t len = SESSION_KEY_BYTES;
	struct session_key *key = XNEW(struct session_key);

	key->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (!key->pkey || EVP_PKEY_get_raw_public_key(key->pkey, key->public_key, &len) != 1 ||
		len != SESSION_KEY_BYTES) {
		session_key_free(key);
		return err_set(err, -EIO, ERR_INTERNAL, "cannot make an Ed25519 key");
	}
	*ret_key = key;
	return 0;
}

void session_key_free(struct session_key *key)
{
	if (!key)
		return;
	EVP_PKEY_free(key->pkey);
	free(key);
}

void session_key_public(const struct session_key *key, uint8_t ret_public[static SESSION_KEY_BYTES])
{
	memcpy(ret_public, key->public_key, SESSION_KEY_BYTES);
}

int session_key_sign(const struct session_key *key, const void *msg, size_t len,
	uint8_t ret_sig[static SESSION_SIG_BYTES])
{
	size_t sig_len = SESSION_SIG_BYTES;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key->pkey) == 1 &&
		  EVP_DigestSign(ctx, ret_sig, &sig_len, msg, len) == 1 &&
		  sig_len == SESSION_SIG_BYTES;

	EVP_MD_CTX_free(ctx);
	return ok ? 0 : -EIO;
}

bool session_key_verify(const uint8_t public_key[static SESSION_KEY_BYTES], const void *msg,
	size_t len, const uint8_t sig[static SESSION_SIG_BYTES])
{
	EVP_PKEY *pkey =
		EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, SESSION_KEY_BYTES);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = pkey && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
		  EVP_DigestVerify(ctx, sig, SESSION_SIG_BYTES, msg, len) == 1;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return ok;
}

void session_key_encode(
	const uint8_t public_key[static SESSION_KEY_BYTES], char ret_text[static 45])
{
	(void)EVP_EncodeBlock((uint8_t *)ret_text, public_key, SESSION_KEY_BYTES);
}

int session_key_decode(const char *text, uint8_t ret_public[static SESSION_KEY_BYTES])
{
	uint8_t bytes[SESSION_KEY_BYTES + 1]; /* the padding decodes to a zero byte */
	char again[KEY_TEXT_LEN + 1];

	if (strlen(text) != KEY_TEXT_LEN)
		return -EINVAL;
	if (EVP_DecodeBlock(bytes, (const uint8_t *)text, KEY_TEXT_LEN) != (int)sizeof(bytes))
		return -EINVAL;
	/* OpenSSL takes padding and stray low bits anywhere; one key has one text here. */
	session_key_encode(bytes, again);
	if (strcmp(text, again) != 0)
		return -EINVAL;
	memcpy(ret_public, bytes, SESSION_KEY_BYTES);
	return 0;
}
