/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "manager/podcidr.h"

static int add(struct podcidr *cover, const char *text)
{
	struct ip_addr addr;

	assert_int_equal(ip_addr_parse(text, &addr), 0);
	return podcidr_add(cover, &addr);
}

static void covers(void **state)
{
	static const struct {
		const char *addresses[5];
		const char *expected; /* separated by spaces, in order of appearance */
	} cases[] = {
		{{"10.1.2.3"}, "10.1.2.0/24"},
		{{"10.1.2.3", "10.1.2.200"}, "10.1.2.0/24"},
		{{"10.1.2.3", "10.1.3.1"}, "10.1.2.0/23"},
		{{"10.1.2.3", "10.1.128.1", "10.1.255.255"}, "10.1.0.0/16"},
		{{"10.1.2.3", "10.2.2.3"}, "10.1.2.0/24 10.2.2.0/24"},
		{{"fd00::1"}, "fd00::/112"},
		{{"fd00::1", "fd00::2:1"}, "fd00::/110"},
		{{"fd00::1", "fd00:0:0:1::1"}, "fd00::/112 fd00:0:0:1::/112"},
		{{"10.1.2.3", "fd00::1", "10.1.4.3"}, "10.1.0.0/21 fd00::/112"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct podcidr cover = {.count = 0};
		char text[256] = "", one[ADDR_TEXT_BYTES];

		for (size_t j = 0; cases[i].addresses[j]; j++)
			assert_true(add(&cover, cases[i].addresses[j]) >= 0);
		for (unsigned int j = 0; j < cover.count; j++) {
			assert_true(ip_prefix_valid(&cover.prefixes[j]));
			(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
				j ? " " : "", ip_prefix_format(&cover.prefixes[j], one));
		}
		assert_string_equal(text, cases[i].expected);
	}
}

static void tells_changes(void **state)
{
	struct podcidr cover = {.count = 0};

	(void)state;
	assert_int_equal(add(&cover, "10.1.2.3"), 1);
	assert_int_equal(add(&cover, "10.1.2.4"), 0);
	assert_int_equal(add(&cover, "10.1.3.4"), 1);
	assert_int_equal(add(&cover, "10.1.2.4"), 0);
}

static void is_bounded(void **state)
{
	struct podcidr cover = {.count = 0};
	char text[32];

	(void)state;
	for (unsigned int i = 0; i < PODCIDR_MAX; i++) {
		(void)snprintf(text, sizeof(text), "10.%u.0.1", i);
		assert_int_equal(add(&cover, text), 1);
	}
	assert_int_equal(add(&cover, "11.0.0.1"), -ENOSPC);
	assert_int_equal(cover.count, PODCIDR_MAX);
	/* A known group still grows. */
	assert_int_equal(add(&cover, "10.0.200.1"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(covers),
		cmocka_unit_test(tells_changes),
		cmocka_unit_test(is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
