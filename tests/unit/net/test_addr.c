/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/addr.h"

static void prefixes_parse_strictly(void **state)
{
	static const struct {
		const char *text;
		bool valid;
	} cases[] = {
		{"10.96.0.0/16", true},
		{"0.0.0.0/0", true},
		{"10.1.2.3/32", true},
		{"fd00:10::/64", true},
		{"::/0", true},
		{"::1/128", true},
		{"10.96.0.1/16", false},
		{"10.96.0.0/33", false},
		{"10.96.0.0", false},
		{"10.96.0.0/", false},
		{"10.96.0.0/016", false},
		{"10.96.0.0/-1", false},
		{"10.96.0.0/1a", false},
		{"fd00::1/64", false},
		{"fd00::/129", false},
		{"010.1.0.0/16", false},
		{" 10.0.0.0/8", false},
		{"/8", false},
		{"10.0.0.0/9999", false},
		{"", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip_prefix prefix;
		char text[ADDR_TEXT_BYTES];
		int r = ip_prefix_parse(cases[i].text, &prefix);

		if ((r == 0) != cases[i].valid)
			fail_msg("%s: %d", cases[i].text, r);
		if (r == 0)
			assert_string_equal(ip_prefix_format(&prefix, text), cases[i].text);
	}
}

static void containment_and_overlap(void **state)
{
	static const struct {
		const char *a, *b;
		bool overlaps;
	} cases[] = {
		{"10.96.0.0/16", "10.96.1.0/24", true},
		{"10.96.0.0/16", "10.97.0.0/16", false},
		{"0.0.0.0/0", "10.0.0.0/8", true},
		{"10.96.128.0/17", "10.96.0.0/17", false},
		{"fd00::/8", "fd12::/16", true},
		{"::/0", "0.0.0.0/0", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip_prefix a, b;

		assert_int_equal(ip_prefix_parse(cases[i].a, &a), 0);
		assert_int_equal(ip_prefix_parse(cases[i].b, &b), 0);
		assert_int_equal(ip_prefix_overlaps(&a, &b), cases[i].overlaps);
		assert_int_equal(ip_prefix_overlaps(&b, &a), cases[i].overlaps);
	}
}

static void endpoints_survive_sockaddr(void **state)
{
	static const char *const addrs[] = {"192.0.2.1", "2001:db8::1"};
	struct sockaddr_storage sa;
	struct ip_endpoint in, out;
	char text[ADDR_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++) {
		assert_int_equal(ip_addr_parse(addrs[i], &in.addr), 0);
		in.port = 65535;
		(void)ip_endpoint_to_sockaddr(&in, &sa);
		assert_int_equal(ip_endpoint_from_sockaddr((struct sockaddr *)&sa, &out), 0);
		assert_true(ip_addr_equal(&in.addr, &out.addr));
		assert_int_equal(out.port, 65535);
	}
	assert_string_equal(ip_endpoint_format(&in, text), "[2001:db8::1]:65535");
	sa.ss_family = AF_UNIX;
	assert_true(ip_endpoint_from_sockaddr((struct sockaddr *)&sa, &out) < 0);
}

static void mapped_addresses_become_v4(void **state)
{
	struct ip_endpoint in = {.port = 80}, out;
	struct sockaddr_storage sa;
	char text[ADDR_TEXT_BYTES];

	(void)state;
	assert_int_equal(ip_addr_parse("::ffff:10.1.2.3", &in.addr), 0);
	(void)ip_endpoint_to_sockaddr(&in, &sa);
	assert_int_equal(ip_endpoint_from_sockaddr((struct sockaddr *)&sa, &out), 0);
	assert_string_equal(ip_endpoint_format(&out, text), "10.1.2.3:80");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prefixes_parse_strictly),
		cmocka_unit_test(containment_and_overlap),
		cmocka_unit_test(endpoints_survive_sockaddr),
		cmocka_unit_test(mapped_addresses_become_v4),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
