/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "manager/agent_tokens.h"

#define NOW_MS      5000
#define LIFETIME_MS 60000

static void good_once(void **state)
{
	struct agent_tokens tokens = {.slots = {{.expires_ms = 0}}};
	uint8_t token[AGENT_TOKEN_BYTES], other[AGENT_TOKEN_BYTES];

	(void)state;
	assert_int_equal(agent_tokens_make(&tokens, NOW_MS, LIFETIME_MS, token), 0);
	assert_int_equal(agent_tokens_make(&tokens, NOW_MS, LIFETIME_MS, other), 0);
	assert_memory_not_equal(token, other, sizeof(token));
	assert_true(agent_tokens_spend(&tokens, NOW_MS, token));
	assert_false(agent_tokens_spend(&tokens, NOW_MS, token));
	other[31] ^= 1;
	assert_false(agent_tokens_spend(&tokens, NOW_MS, other));
	other[31] ^= 1;
	assert_true(agent_tokens_spend(&tokens, NOW_MS + LIFETIME_MS - 1, other));
}

static void good_for_a_while(void **state)
{
	struct agent_tokens tokens = {.slots = {{.expires_ms = 0}}};
	uint8_t token[AGENT_TOKEN_BYTES];

	(void)state;
	assert_int_equal(agent_tokens_make(&tokens, NOW_MS, LIFETIME_MS, token), 0);
	assert_false(agent_tokens_spend(&tokens, NOW_MS + LIFETIME_MS, token));
}

/* Only hashes are kept: neither a free slot's zeros nor what is in memory is a token. */
static void nothing_to_read(void **state)
{
	struct agent_tokens tokens = {.slots = {{.expires_ms = 0}}};
	uint8_t token[AGENT_TOKEN_BYTES], zeros[AGENT_TOKEN_BYTES] = {0};

	(void)state;
	assert_false(agent_tokens_spend(&tokens, 0, zeros));
	assert_int_equal(agent_tokens_make(&tokens, NOW_MS, LIFETIME_MS, token), 0);
	assert_null(memmem(&tokens, sizeof(tokens), token, sizeof(token)));
	assert_false(agent_tokens_spend(&tokens, NOW_MS, tokens.slots[0].digest));
}

static void newest_are_kept(void **state)
{
	struct agent_tokens tokens = {.slots = {{.expires_ms = 0}}};
	uint8_t token[AGENT_TOKENS_MAX + 1][AGENT_TOKEN_BYTES];

	(void)state;
	for (size_t i = 0; i <= AGENT_TOKENS_MAX; i++)
		assert_int_equal(agent_tokens_make(&tokens, NOW_MS + i, LIFETIME_MS, token[i]), 0);
	assert_false(agent_tokens_spend(&tokens, NOW_MS, token[0]));
	for (size_t i = 1; i <= AGENT_TOKENS_MAX; i++)
		assert_true(agent_tokens_spend(&tokens, NOW_MS, token[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_once),
		cmocka_unit_test(good_for_a_while),
		cmocka_unit_test(nothing_to_read),
		cmocka_unit_test(newest_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
