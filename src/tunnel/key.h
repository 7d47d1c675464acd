/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/key.h - the Ed25519 key of one Session (RFC 8032), and its proofs
 *
 * The private part never leaves the process that made it; it is wiped by session_key_free().
 */
#ifndef TUNNEL_KEY_H
#define TUNNEL_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"

#define SESSION_KEY_BYTES 32
#define SESSION_SIG_BYTES 64

struct err;
struct session_key;

NODISCARD int session_key_new(struct session_key **ret_key, struct err *err);
void session_key_free(struct session_key *key);
void session_key_public(
	const struct session_key *key, uint8_t ret_public[static SESSION_KEY_BYTES]);
NODISCARD int session_key_sign(const struct session_key *key, const void *msg, size_t len,
	uint8_t ret_sig[static SESSION_SIG_BYTES]);
/* Whether sig is the signature of msg by the key with this public part. */
bool session_key_verify(const uint8_t public_key[static SESSION_KEY_BYTES], const void *msg,
	size_t len, const uint8_t sig[static SESSION_SIG_BYTES]);
/* Standard base64 (RFC 4648) of the public part, as in Session.spec.publicKey: 44 characters. */
void session_key_encode(
	const uint8_t public_key[static SESSION_KEY_BYTES], char ret_text[static 45]);
NODISCARD int session_key_decode(const char *text, uint8_t ret_public[static SESSION_KEY_BYTES]);

#endif /* TUNNEL_KEY_H */
