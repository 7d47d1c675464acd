/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/identity.h - the manager's key, and the certificates that it gives to agents
 *
 * One P-256 key is the manager's identity and its own small authority: docs/agent.md, section 2.
 * An agent pins its hash (RFC 7469: SHA-256 of the SubjectPublicKeyInfo) and gets a client
 * certificate (RFC 5280) for a key that never leaves the agent's process.
 */
#ifndef TUNNEL_IDENTITY_H
#define TUNNEL_IDENTITY_H

#include <openssl/types.h>
#include <stdint.h>

#include "core/attr.h"

#define IDENTITY_PIN_BYTES 32
#define IDENTITY_PIN_TEXT  45 /* base64 with NUL */
/* Public keys and certificates of P-256, in DER, with room. */
#define IDENTITY_KEY_DER_MAX  160
#define IDENTITY_CERT_DER_MAX 512
#define IDENTITY_PEM_MAX      1024

struct err;
struct identity;

/* A new key, or the one of a PEM text (PKCS #8). */
NODISCARD int identity_new(struct identity **ret_identity, struct err *err);
NODISCARD int identity_load(
	const char *pem, size_t len, struct identity **ret_identity, struct err *err);
void identity_free(struct identity *identity); /* NULL-safe; wipes */
/* malloc'd PEM of the private key; to be wiped by the caller. */
NODISCARD char *identity_pem(const struct identity *identity);
void identity_pin(const struct identity *identity, uint8_t ret_pin[static IDENTITY_PIN_BYTES]);
void identity_pin_text(const struct identity *identity, char ret_text[static IDENTITY_PIN_TEXT]);

/* The server's TLS context: TLS 1.3, its self-signed certificate, client certificates asked for and
 * verified by this key alone. Owned by the identity. */
SSL_CTX *identity_server_tls(struct identity *identity);
/* A client certificate for the key in spki (DER), common name cn. Length, or -errno. */
NODISCARD ssize_t identity_issue(const struct identity *identity, const uint8_t *spki, size_t len,
	const char *cn, uint8_t out[static IDENTITY_CERT_DER_MAX], struct err *err);

#endif /* TUNNEL_IDENTITY_H */
