/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/agent_tokens.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <string.h>

static_assert(AGENT_TOKEN_DIGEST == SHA256_DIGEST_LENGTH, "digests are of SHA-256");

int agent_tokens_make(struct agent_tokens *tokens, uint64_t now_ms, uint64_t lifetime_ms,
	uint8_t ret_token[static AGENT_TOKEN_BYTES])
{
	size_t slot = 0;

	if (RAND_priv_bytes(ret_token, AGENT_TOKEN_BYTES) != 1)
		return -EIO;
	for (size_t i = 1; i < AGENT_TOKENS_MAX; i++) {
		if (tokens->slots[i].expires_ms < tokens->slots[slot].expires_ms)
			slot = i;
	}
	(void)SHA256(ret_token, AGENT_TOKEN_BYTES, tokens->slots[slot].digest);
	tokens->slots[slot].expires_ms = now_ms + lifetime_ms;
	return 0;
}

bool agent_tokens_spend(
	struct agent_tokens *tokens, uint64_t now_ms, const uint8_t token[static AGENT_TOKEN_BYTES])
{
	uint8_t digest[AGENT_TOKEN_DIGEST];
	bool good = false;

	(void)SHA256(token, AGENT_TOKEN_BYTES, digest);
	for (size_t i = 0; i < AGENT_TOKENS_MAX; i++) {
		if (CRYPTO_memcmp(digest, tokens->slots[i].digest, sizeof(digest)) != 0 ||
			now_ms >= tokens->slots[i].expires_ms)
			continue;
		tokens->slots[i].expires_ms = 0;
		good = true;
	}
	return good;
}
