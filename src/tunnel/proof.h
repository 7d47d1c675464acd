/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/proof.h - the records that prove a Session: HELLO and PROOF (docs/tunnel.md, section 4)
 *
 * The signature covers the manager's nonce, the direction, the Session's UID and the carrier's
 * name, the names with their lengths, so that it is good for one carrier only and cannot be
 * replayed.
 */
#ifndef TUNNEL_PROOF_H
#define TUNNEL_PROOF_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"
#include "tunnel/key.h"

#define PROOF_VERSION     1
#define PROOF_NONCE_BYTES 32
#define PROOF_UID_MAX     64 /* a Kubernetes UID has 36 characters */
#define PROOF_CARRIER_MAX 32
#define PROOF_HELLO_BYTES (1 + PROOF_NONCE_BYTES)
#define PROOF_MAX_BYTES   (3 + PROOF_UID_MAX + PROOF_CARRIER_MAX + SESSION_SIG_BYTES)

struct proof {
	bool reverse; /* the manager opens the streams (docs/tunnel.md, section 5.3) */
	char session_uid[PROOF_UID_MAX + 1];
	char carrier[PROOF_CARRIER_MAX + 1];
	uint8_t sig[SESSION_SIG_BYTES];
};

void hello_format(
	const uint8_t nonce[static PROOF_NONCE_BYTES], uint8_t out[static PROOF_HELLO_BYTES]);
/* -EPROTO for another length, -EPROTONOSUPPORT for another version. */
NODISCARD int hello_parse(
	const uint8_t *payload, size_t len, uint8_t ret_nonce[static PROOF_NONCE_BYTES]);

/* Signs and writes the payload; its length, or -errno. Names that are too long are -EINVAL. */
NODISCARD ssize_t proof_format(const char *session_uid, const char *carrier, bool reverse,
	const uint8_t nonce[static PROOF_NONCE_BYTES], const struct session_key *key,
	uint8_t out[static PROOF_MAX_BYTES]);
/* -EPROTO unless it is well-formed, direction 0 or 1, names in printable ASCII. Says nothing about
 * the signature. */
NODISCARD int proof_parse(const uint8_t *payload, size_t len, struct proof *ret_proof);
bool proof_verify(const struct proof *proof, const uint8_t nonce[static PROOF_NONCE_BYTES],
	const uint8_t public_key[static SESSION_KEY_BYTES]);

#endif /* TUNNEL_PROOF_H */
