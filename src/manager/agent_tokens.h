/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/agent_tokens.h - join tokens of one pod: 32 random bytes, each good once, for a while
 *
 * Only their hashes are kept, and compared in constant time. No I/O; times are of the loop's clock.
 */
#ifndef MANAGER_AGENT_TOKENS_H
#define MANAGER_AGENT_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"
#include "tunnel/agent_server.h"

/* A placement that failed half-way may still bring its agent; more than this is nobody's need. */
#define AGENT_TOKENS_MAX   4
#define AGENT_TOKEN_DIGEST 32

struct agent_tokens {
	struct {
		uint8_t digest[AGENT_TOKEN_DIGEST];
		uint64_t expires_ms; /* 0: free */
	} slots[AGENT_TOKENS_MAX];
};

/* A new token, good for lifetime_ms; the one that ends first makes room. -EIO: no random bytes. */
NODISCARD int agent_tokens_make(struct agent_tokens *tokens, uint64_t now_ms, uint64_t lifetime_ms,
	uint8_t ret_token[static AGENT_TOKEN_BYTES]);
/* Whether it is good; it is not any more afterwards. */
bool agent_tokens_spend(struct agent_tokens *tokens, uint64_t now_ms,
	const uint8_t token[static AGENT_TOKEN_BYTES]);

#endif /* MANAGER_AGENT_TOKENS_H */
