/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client/userd/subnets.h"
#include "core/err.h"

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix value;

	assert_int_equal(ip_prefix_parse(text, &value), 0);
	return value;
}

/* "a b c" as a set. */
static struct prefix_set set_of(const char *text)
{
	struct prefix_set set = {.count = 0};
	char copy[512];
	char *cursor = copy, *word;

	assert_true(strlen(text) < sizeof(copy));
	(void)snprintf(copy, sizeof(copy), "%s", text);
	while ((word = strsep(&cursor, " "))) {
		struct ip_prefix one;

		if (!*word)
			continue;
		one = prefix(word);
		assert_int_equal(prefix_set_add(&set, &one, NULL), 0);
	}
	return set;
}

static void assert_set(const struct prefix_set *set, const char *expected)
{
	char text[1024] = "", one[ADDR_TEXT_BYTES];

	for (size_t i = 0; i < set->count; i++) {
		size_t len = strlen(text);

		(void)snprintf(text + len, sizeof(text) - len, "%s%s", i ? " " : "",
			ip_prefix_format(&set->items[i], one));
	}
	assert_string_equal(text, expected);
}

static void a_set_keeps_no_covered_prefix(void **state)
{
	struct prefix_set set = set_of("10.1.0.0/16 10.1.2.0/24 10.2.0.0/16 fd00::/64");

	(void)state;
	assert_set(&set, "10.1.0.0/16 10.2.0.0/16 fd00::/64");
	set = set_of("10.1.2.0/24 10.3.0.0/16 10.0.0.0/8");
	assert_set(&set, "10.0.0.0/8");
}

static void a_full_set_says_so(void **state)
{
	struct prefix_set set = {.count = 0};
	struct err err = ERR_INIT;
	int r = 0;

	(void)state;
	for (unsigned int i = 0; r == 0 && i <= LIMIT_ROOT_PREFIXES; i++) {
		uint8_t bytes[4] = {10, (uint8_t)(i >> 8), (uint8_t)i, 0};
		struct ip_prefix one = {.addr = ip_addr_from_bytes(AF_INET, bytes), .len = 24};

		r = prefix_set_add(&set, &one, &err);
	}
	assert_int_equal(r, -E2BIG);
	assert_int_equal(set.count, LIMIT_ROOT_PREFIXES);
}

static void subtracts(void **state)
{
	static const struct {
		const char *wanted, *excluded, *expected;
	} cases[] = {
		{"10.0.0.0/8", "", "10.0.0.0/8"},
		{"10.0.0.0/8", "192.168.0.0/16", "10.0.0.0/8"},
		{"10.1.0.0/16", "10.0.0.0/8", ""},
		{"10.1.0.0/16", "10.1.0.0/16", ""},
		{"10.0.0.0/30", "10.0.0.1/32", "10.0.0.2/31 10.0.0.0/32"},
		{"10.0.0.0/24", "10.0.0.128/25", "10.0.0.0/25"},
		{"10.0.0.0/24", "10.0.0.0/26 10.0.0.192/26", "10.0.0.128/26 10.0.0.64/26"},
		{"0.0.0.0/0", "128.0.0.0/1", "0.0.0.0/1"},
		{"fd00::/126", "fd00::3/128", "fd00::/127 fd00::2/128"},
		{"10.0.0.0/30 fd00::/64", "10.0.0.0/32", "10.0.0.2/31 10.0.0.1/32 fd00::/64"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct prefix_set wanted = set_of(cases[i].wanted);
		struct prefix_set excluded = set_of(cases[i].excluded), left;

		assert_int_equal(prefix_set_subtract(&wanted, &excluded, &left, NULL), 0);
		assert_set(&left, cases[i].expected);
	}
}

/* Every address of a /24 is either in the result or excluded, never both. */
static void subtraction_is_exact(void **state)
{
	struct prefix_set wanted = set_of("10.0.0.0/24");
	struct prefix_set excluded = set_of("10.0.0.7/32 10.0.0.64/28 10.0.0.200/29");
	struct prefix_set left;

	(void)state;
	assert_int_equal(prefix_set_subtract(&wanted, &excluded, &left, NULL), 0);
	for (unsigned int i = 0; i < 256; i++) {
		uint8_t bytes[4] = {10, 0, 0, (uint8_t)i};
		struct ip_prefix host = {.addr = ip_addr_from_bytes(AF_INET, bytes), .len = 32};
		bool in_left = prefix_set_overlap(&left, &host) != NULL;
		bool in_excluded = prefix_set_overlap(&excluded, &host) != NULL;

		assert_true(in_left != in_excluded);
	}
}

static void picks_a_free_address(void **state)
{
	static const struct {
		const char *taken, *own, *peer;
	} cases[] = {
		{"", "198.18.0.1", "198.18.0.2"},
		{"10.0.0.0/8", "198.18.0.1", "198.18.0.2"},
		{"198.18.0.0/24", "198.18.1.1", "198.18.1.2"},
		{"198.18.0.0/15", "100.64.0.1", "100.64.0.2"},
	};
	char text[ADDR_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct prefix_set taken = set_of(cases[i].taken);
		struct ip_prefix own;
		struct ip_addr peer;

		assert_int_equal(subnets_pick4(&taken, &own, NULL), 0);
		assert_int_equal(own.len, 30);
		assert_string_equal(ip_addr_format(&own.addr, text), cases[i].own);
		peer = subnets_peer(&own);
		assert_string_equal(ip_addr_format(&peer, text), cases[i].peer);
	}
}

static void says_when_no_address_is_free(void **state)
{
	struct prefix_set taken = set_of("198.18.0.0/15 100.64.0.0/10");
	struct ip_prefix own;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(subnets_pick4(&taken, &own, &err), -EADDRINUSE);
	assert_int_equal(err.kind, ERR_CONFLICT);
}

static void picks_a_local_ipv6_address(void **state)
{
	static const uint8_t random[5] = {1, 2, 3, 4, 5};
	struct prefix_set taken = set_of("2001:db8::/32");
	struct ip_prefix own;
	struct ip_addr peer;
	char text[ADDR_TEXT_BYTES];

	(void)state;
	assert_int_equal(subnets_pick6(&taken, random, &own), 0);
	assert_string_equal(ip_addr_format(&own.addr, text), "fd01:203:405::1");
	peer = subnets_peer(&own);
	assert_string_equal(ip_addr_format(&peer, text), "fd01:203:405::2");
	taken = set_of("fd00::/8");
	assert_int_equal(subnets_pick6(&taken, random, &own), -EADDRINUSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_keeps_no_covered_prefix),
		cmocka_unit_test(a_full_set_says_so),
		cmocka_unit_test(subtracts),
		cmocka_unit_test(subtraction_is_exact),
		cmocka_unit_test(picks_a_free_address),
		cmocka_unit_test(says_when_no_address_is_free),
		cmocka_unit_test(picks_a_local_ipv6_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
