/* SPDX-License-Identifier: Apache-2.0 */
/* The record JOIN, and whose refusal is logged. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tunnel/join.h"
#include "tunnel/refusals.h"

#define POD_UID "aaaaaaaa-2222-3333-4444-555555555555"

static struct join token_join(void)
{
	struct join join = {
		.kind = JOIN_TOKEN, .role = 1, .pod_uid = POD_UID, .spki_len = sizeof(join.spki)};

	memset(join.token, 't', sizeof(join.token));
	memset(join.spki, 'k', sizeof(join.spki));
	return join;
}

static void assert_round_trip(const struct join *join)
{
	uint8_t bytes[JOIN_MAX_BYTES];
	struct join again;
	ssize_t n = join_format(join, bytes);

	assert_true(n > 0);
	assert_int_equal(join_parse(bytes, (size_t)n, &again), 0);
	assert_int_equal(again.kind, join->kind);
	assert_int_equal(again.role, join->role);
	assert_string_equal(again.pod_uid, join->pod_uid);
	assert_int_equal(again.spki_len, join->spki_len);
	assert_memory_equal(again.token, join->token, sizeof(join->token));
	assert_memory_equal(again.spki, join->spki, sizeof(join->spki));
	/* Not a byte less, not one more. */
	for (size_t len = 0; len < (size_t)n; len++)
		assert_int_equal(join_parse(bytes, len, &again), -EINVAL);
	if ((size_t)n < sizeof(bytes)) {
		bytes[n] = 0;
		assert_int_equal(join_parse(bytes, (size_t)n + 1, &again), -EINVAL);
	}
}

static void test_round_trips(void **state)
{
	struct join join = token_join();
	struct join cert = {.kind = JOIN_CERTIFICATE, .pod_uid = POD_UID};

	(void)state;
	assert_round_trip(&join);
	join.spki_len = 1;
	memset(join.spki + 1, 0, sizeof(join.spki) - 1);
	assert_round_trip(&join);
	memset(join.pod_uid, 'u', JOIN_POD_UID_MAX);
	assert_round_trip(&join);
	assert_round_trip(&cert);
}

static void test_bytes(void **state)
{
	static const uint8_t expected[] = {2, 1, 3, 'a', '-', '9'};
	const struct join join = {.kind = JOIN_CERTIFICATE, .role = 1, .pod_uid = "a-9"};
	uint8_t bytes[JOIN_MAX_BYTES];

	(void)state;
	assert_int_equal(join_format(&join, bytes), sizeof(expected));
	assert_memory_equal(bytes, expected, sizeof(expected));
}

static void test_malformed(void **state)
{
	static const struct {
		uint8_t bytes[8];
		size_t len;
	} cases[] = {
		{{0, 0, 1, 'a'}, 4}, /* kind */
		{{3, 0, 1, 'a'}, 4},
		{{2, 2, 1, 'a'}, 4}, /* role */
		{{2, 0, 0}, 3}, /* no UID */
		{{2, 0, 3, 'a', 0, 'b'}, 6},
		{{2, 0, 3, 'a', '\n', 'b'}, 6},
		{{2, 0, 3, 'a', '/', 'b'}, 6},
		{{2, 0, 255, 'a'}, 4},
	};
	uint8_t bytes[JOIN_MAX_BYTES];
	struct join join = token_join();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(join_parse(cases[i].bytes, cases[i].len, &join), -EINVAL);
	join = token_join();
	memcpy(join.pod_uid, "a b", 4);
	assert_int_equal(join_format(&join, bytes), -EINVAL);
	join.pod_uid[0] = '\0';
	assert_int_equal(join_format(&join, bytes), -EINVAL);
	join = token_join();
	join.spki_len = sizeof(join.spki) + 1;
	assert_int_equal(join_format(&join, bytes), -EINVAL);
	join.spki_len = 0;
	assert_int_equal(join_format(&join, bytes), -EINVAL);
}

static struct ip_addr source(uint8_t last)
{
	return (struct ip_addr){.family = AF_INET, .bytes = {10, 0, 0, last}};
}

static void test_refusals(void **state)
{
	struct refusals refusals = {0};
	struct ip_addr first = source(1), second = source(2), other;
	uint64_t untold = 99;

	(void)state;
	assert_true(refusals_tell(&refusals, &first, 5, &untold));
	assert_int_equal(untold, 0);
	assert_false(refusals_tell(&refusals, &first, 6, &untold));
	assert_false(refusals_tell(&refusals, &first, 4 + REFUSALS_MS, &untold));
	assert_true(refusals_tell(&refusals, &second, 7, &untold));
	assert_int_equal(untold, 2);
	assert_true(refusals_tell(&refusals, &first, 5 + REFUSALS_MS, &untold));
	assert_int_equal(untold, 0);
	/* Who comes from everywhere gets no more lines than the table has rows. */
	for (uint8_t i = 3; i < REFUSALS_SOURCES + 1; i++) {
		other = source(i);
		assert_true(refusals_tell(&refusals, &other, 6 + REFUSALS_MS, &untold));
	}
	other = source(200);
	assert_true(refusals_tell(&refusals, &other, 7 + REFUSALS_MS, &untold));
	other = source(201);
	assert_false(refusals_tell(&refusals, &other, 8 + REFUSALS_MS, &untold));
	assert_true(refusals_tell(&refusals, &other, 9 + 2 * REFUSALS_MS, &untold));
	assert_int_equal(untold, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
