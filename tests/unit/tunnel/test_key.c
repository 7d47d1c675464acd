/* SPDX-License-Identifier: Apache-2.0 */
/* Session keys, the proof made with them, and reasons. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/err.h"
#include "tunnel/key.h"
#include "tunnel/proof.h"
#include "tunnel/reason.h"

static void test_sign(void **state)
{
	struct session_key *key = NULL;
	struct session_key *other = NULL;
	uint8_t public_key[SESSION_KEY_BYTES], sig[SESSION_SIG_BYTES];

	(void)state;
	assert_int_equal(session_key_new(&key, NULL), 0);
	assert_int_equal(session_key_new(&other, NULL), 0);
	session_key_public(key, public_key);
	assert_int_equal(session_key_sign(key, "message", 7, sig), 0);
	assert_true(session_key_verify(public_key, "message", 7, sig));
	assert_false(session_key_verify(public_key, "messagf", 7, sig));
	assert_false(session_key_verify(public_key, "message", 6, sig));
	sig[63] ^= 1;
	assert_false(session_key_verify(public_key, "message", 7, sig));
	sig[63] ^= 1;
	session_key_public(other, public_key);
	assert_false(session_key_verify(public_key, "message", 7, sig));
	memset(public_key, 0xff, sizeof(public_key));
	assert_false(session_key_verify(public_key, "message", 7, sig));
	session_key_free(key);
	session_key_free(other);
}

/* RFC 8032 7.1, test 2: the library speaks the algorithm it says. */
static void test_vector(void **state)
{
	static const uint8_t public_key[SESSION_KEY_BYTES] = {0x3d, 0x40, 0x17, 0xc3, 0xe8, 0x43,
		0x89, 0x5a, 0x92, 0xb7, 0x0a, 0xa7, 0x4d, 0x1b, 0x7e, 0xbc, 0x9c, 0x98, 0x2c, 0xcf,
		0x2e, 0xc4, 0x96, 0x8c, 0xc0, 0xcd, 0x55, 0xf1, 0x2a, 0xf4, 0x66, 0x0c};
	static const uint8_t sig[SESSION_SIG_BYTES] = {0x92, 0xa0, 0x09, 0xa9, 0xf0, 0xd4, 0xca,
		0xb8, 0x72, 0x0e, 0x82, 0x0b, 0x5f, 0x64, 0x25, 0x40, 0xa2, 0xb2, 0x7b, 0x54, 0x16,
		0x50, 0x3f, 0x8f, 0xb3, 0x76, 0x22, 0x23, 0xeb, 0xdb, 0x69, 0xda, 0x08, 0x5a, 0xc1,
		0xe4, 0x3e, 0x15, 0x99, 0x6e, 0x45, 0x8f, 0x36, 0x13, 0xd0, 0xf1, 0x1d, 0x8c, 0x38,
		0x7b, 0x2e, 0xae, 0xb4, 0x30, 0x2a, 0xee, 0xb0, 0x0d, 0x29, 0x16, 0x12, 0xbb, 0x0c,
		0x00};

	(void)state;
	assert_true(session_key_verify(public_key, "\x72", 1, sig));
}

static void test_text(void **state)
{
	static const char *const bad[] = {
		"",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		/* Low bits of the last character are set: another text of the same key. */
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
		"AAAAAAAAAAAA=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		" AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAA\nAAAAAAAAAAAAAA=",
		"____________________________________________",
	};
	uint8_t key[SESSION_KEY_BYTES], again[SESSION_KEY_BYTES];
	char text[45];

	(void)state;
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 37);
	session_key_encode(key, text);
	assert_int_equal(strlen(text), 44);
	assert_int_equal(session_key_decode(text, again), 0);
	assert_memory_equal(key, again, sizeof(key));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(session_key_decode(bad[i], again), -EINVAL);
}

static void test_proof(void **state)
{
	struct session_key *key = NULL;
	uint8_t nonce[PROOF_NONCE_BYTES] = {1, 2, 3}, out[PROOF_MAX_BYTES + 1];
	uint8_t public_key[SESSION_KEY_BYTES];
	struct proof proof, changed;
	ssize_t len;

	(void)state;
	assert_int_equal(session_key_new(&key, NULL), 0);
	session_key_public(key, public_key);
	len = proof_format("some-uid", "services/proxy", false, nonce, key, out);
	assert_int_equal(len, 1 + 1 + 8 + 1 + 14 + SESSION_SIG_BYTES);
	assert_int_equal(proof_parse(out, (size_t)len, &proof), 0);
	assert_string_equal(proof.session_uid, "some-uid");
	assert_string_equal(proof.carrier, "services/proxy");
	assert_false(proof.reverse);
	assert_true(proof_verify(&proof, nonce, public_key));

	/* Neither for another Session, carrier, nonce or direction, nor with a byte moved between
	 * the names. */
	changed = proof;
	changed.reverse = true;
	assert_false(proof_verify(&changed, nonce, public_key));
	changed = proof;
	changed.session_uid[0] = 'S';
	assert_false(proof_verify(&changed, nonce, public_key));
	changed = proof;
	strcpy(changed.carrier, "port-forward");
	assert_false(proof_verify(&changed, nonce, public_key));
	changed = proof;
	strcpy(changed.session_uid, "some-uids");
	strcpy(changed.carrier, "ervices/proxy");
	assert_false(proof_verify(&changed, nonce, public_key));
	nonce[31] = 1;
	assert_false(proof_verify(&proof, nonce, public_key));

	for (size_t cut = 0; cut < (size_t)len; cut++)
		assert_int_equal(proof_parse(out, cut, &proof), -EPROTO);
	assert_int_equal(proof_parse(out, (size_t)len + 1, &proof), -EPROTO);
	out[0] = 2;
	assert_int_equal(proof_parse(out, (size_t)len, &proof), -EPROTO);
	out[0] = 1;
	assert_int_equal(proof_parse(out, (size_t)len, &proof), 0);
	assert_true(proof.reverse);
	out[4] = '\n';
	assert_int_equal(proof_parse(out, (size_t)len, &proof), -EPROTO);
	out[1] = PROOF_UID_MAX + 1;
	assert_int_equal(proof_parse(out, (size_t)len, &proof), -EPROTO);
	assert_int_equal(
		proof_format("0123456789012345678901234567890123456789012345678901234567890123"
			     "too long",
			"c", false, nonce, key, out),
		-EINVAL);
	session_key_free(key);
}

static void test_reasons(void **state)
{
	static const struct {
		int code;
		enum reason reason;
	} rows[] = {
		{0, REASON_NONE},
		{-ECONNREFUSED, REASON_REFUSED},
		{ECONNREFUSED, REASON_REFUSED},
		{-EHOSTUNREACH, REASON_HOST_UNREACHABLE},
		{-ENETUNREACH, REASON_NET_UNREACHABLE},
		{-ETIMEDOUT, REASON_TIMED_OUT},
		{-EACCES, REASON_FORBIDDEN},
		{-EMFILE, REASON_OVERLOADED},
		{-EINVAL, REASON_INTERNAL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(reason_from_errno(rows[i].code), rows[i].reason);
	for (unsigned int i = 0; i < REASON_COUNT; i++) {
		assert_int_equal(reason_parse(reason_name((enum reason)i)),
			i == REASON_NONE ? REASON_INTERNAL : i);
		assert_true((reason_status((enum reason)i) == 200) == (i == REASON_NONE));
	}
	assert_int_equal(reason_parse("no-client"), REASON_NO_CLIENT);
	assert_int_equal(reason_status(REASON_NO_CLIENT), 503);
	assert_int_equal(reason_parse("bored"), REASON_INTERNAL);
	assert_int_equal(reason_parse(NULL), REASON_INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sign),
		cmocka_unit_test(test_vector),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_proof),
		cmocka_unit_test(test_reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
