/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/proof.h"

#include <errno.h>
#include <string.h>

#include "core/wire.h"

/* With its NUL: no other protocol's signature begins like this. */
#define PROOF_CONTEXT "telepresence tunnel v1"

#define SIGNED_MAX_BYTES \
	(sizeof(PROOF_CONTEXT) + PROOF_NONCE_BYTES + 3 + PROOF_UID_MAX + PROOF_CARRIER_MAX)

void hello_format(
	const uint8_t nonce[static PROOF_NONCE_BYTES], uint8_t out[static PROOF_HELLO_BYTES])
{
	out[0] = PROOF_VERSION;
	memcpy(out + 1, nonce, PROOF_NONCE_BYTES);
}

int hello_parse(const uint8_t *payload, size_t len, uint8_t ret_nonce[static PROOF_NONCE_BYTES])
{
	if (len >= 1 && payload[0] != PROOF_VERSION)
		return -EPROTONOSUPPORT;
	if (len != PROOF_HELLO_BYTES)
		return -EPROTO;
	memcpy(ret_nonce, payload + 1, PROOF_NONCE_BYTES);
	return 0;
}

static void put_text(struct wire *wire, const char *text)
{
	size_t len = strlen(text);

	wire_put_u8(wire, (uint8_t)len);
	wire_put(wire, text, len);
}

static size_t signed_bytes(const char *session_uid, const char *carrier, bool reverse,
	const uint8_t nonce[static PROOF_NONCE_BYTES], uint8_t out[static SIGNED_MAX_BYTES])
{
	struct wire wire = wire_writer(out, SIGNED_MAX_BYTES);

	wire_put(&wire, PROOF_CONTEXT, sizeof(PROOF_CONTEXT));
	wire_put(&wire, nonce, PROOF_NONCE_BYTES);
	wire_put_u8(&wire, reverse);
	put_text(&wire, session_uid);
	put_text(&wire, carrier);
	return wire.pos;
}

ssize_t proof_format(const char *session_uid, const char *carrier, bool reverse,
	const uint8_t nonce[static PROOF_NONCE_BYTES], const struct session_key *key,
	uint8_t out[static PROOF_MAX_BYTES])
{
	uint8_t msg[SIGNED_MAX_BYTES], sig[SESSION_SIG_BYTES];
	struct wire wire = wire_writer(out, PROOF_MAX_BYTES);
	int r;

	if (strlen(session_uid) > PROOF_UID_MAX || strlen(carrier) > PROOF_CARRIER_MAX)
		return -EINVAL;
	r = session_key_sign(
		key, msg, signed_bytes(session_uid, carrier, reverse, nonce, msg), sig);
	if (r < 0)
		return r;
	wire_put_u8(&wire, reverse);
	put_text(&wire, session_uid);
	put_text(&wire, carrier);
	wire_put(&wire, sig, sizeof(sig));
	return (ssize_t)wire.pos;
}

static int get_text(struct wire *wire, char *ret_text, size_t max_len)
{
	size_t len = wire_get_u8(wire);

	if (len == 0 || len > max_len)
		return -EPROTO;
	wire_get(wire, ret_text, len);
	ret_text[len] = '\0';
	for (size_t i = 0; i < len; i++)
		if (ret_text[i] <= ' ' || ret_text[i] > '~')
			return -EPROTO;
	return 0;
}

int proof_parse(const uint8_t *payload, size_t len, struct proof *ret_proof)
{
	struct wire wire = wire_reader(payload, len);
	struct proof proof = {0};
	uint8_t direction = wire_get_u8(&wire);

	if (direction > 1 || get_text(&wire, proof.session_uid, PROOF_UID_MAX) < 0 ||
		get_text(&wire, proof.carrier, PROOF_CARRIER_MAX) < 0)
		return -EPROTO;
	proof.reverse = direction == 1;
	wire_get(&wire, proof.sig, sizeof(proof.sig));
	if (!wire_ok(&wire) || wire_left(&wire) > 0)
		return -EPROTO;
	*ret_proof = proof;
	return 0;
}

bool proof_verify(const struct proof *proof, const uint8_t nonce[static PROOF_NONCE_BYTES],
	const uint8_t public_key[static SESSION_KEY_BYTES])
{
	uint8_t msg[SIGNED_MAX_BYTES];
	size_t len = signed_bytes(proof->session_uid, proof->carrier, proof->reverse, nonce, msg);

	return session_key_verify(public_key, msg, len, proof->sig);
}
