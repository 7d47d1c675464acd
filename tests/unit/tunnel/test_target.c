/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "tunnel/target.h"

static void ports(void **state)
{
	static const char *const wrong[] = {"", "0", "080", "65536", "655350", "80x", "x80", "+80",
		"-80", " 80", "80 ", "0x50", "8.0"};
	uint16_t port = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		if (target_parse_port(wrong[i], &port) != -EINVAL || port != 7)
			fail_msg("%s: %u", wrong[i], port);
	}
	assert_int_equal(target_parse_port("65535", &port), 0);
	assert_int_equal(port, 65535);
}

static void authorities(void **state)
{
	static const struct {
		const char *text, *host;
		uint16_t port; /* 0: refused */
		uint8_t family;
	} cases[] = {
		{"10.0.0.1:80", "10.0.0.1", 80, AF_INET},
		{"[fd00::1]:65535", "fd00::1", 65535, AF_INET6},
		{"web.shop:8080", "web.shop", 8080, 0},
		{"web-1_a.shop.svc.cluster.local.:1", "web-1_a.shop.svc.cluster.local.", 1, 0},
		{"10.0.0.1", NULL, 0, 0},
		{"10.0.0.1:", NULL, 0, 0},
		{"10.0.0.1:0", NULL, 0, 0},
		{"10.0.0.1:080", NULL, 0, 0},
		{"10.0.0.1:65536", NULL, 0, 0},
		{"10.0.0.1:+80", NULL, 0, 0},
		{"10.0.0.1:80 ", NULL, 0, 0},
		{":80", NULL, 0, 0},
		{"fd00::1:80", NULL, 0, 0},
		{"[10.0.0.1]:80", NULL, 0, 0},
		{"[fd00::1:80", NULL, 0, 0},
		{"[]:80", NULL, 0, 0},
		{"[fe80::1%eth0]:80", NULL, 0, 0},
		/* getaddrinfo would take these for addresses */
		{"127.1:80", NULL, 0, 0},
		{"0x7f.1:80", NULL, 0, 0},
		{"2130706433:80", NULL, 0, 0},
		{"127.0.0.01:80", NULL, 0, 0},
		{"-x:80", NULL, 0, 0},
		{"a..b:80", NULL, 0, 0},
		{"a b:80", NULL, 0, 0},
		{"a/b:80", NULL, 0, 0},
		{"", NULL, 0, 0},
	};
	struct target target;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = target_parse(cases[i].text, &target);

		if (r != (cases[i].port ? 0 : -EINVAL))
			fail_msg("%s: %d", cases[i].text, r);
		if (r < 0)
			continue;
		assert_string_equal(target.host, cases[i].host);
		assert_int_equal(target.port, cases[i].port);
		assert_int_equal(target.addr.family, cases[i].family);
	}
	assert_int_equal(target_parse(NULL, &target), -EINVAL);
}

static void long_names_are_refused(void **state)
{
	char text[400];
	struct target target;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text + 253, ":80", 4);
	assert_int_equal(target_parse(text, &target), 0);
	memcpy(text + 253, "aaaa", 4);
	memcpy(text + 254, ":80", 4);
	assert_int_equal(target_parse(text, &target), -EINVAL);
}

static void datagram_paths(void **state)
{
	static const struct {
		const char *text;
		bool icmp;
		uint16_t port;
		int r;
	} cases[] = {
		{"/.well-known/masque/udp/10.0.0.10/53/", false, 53, 0},
		{"/.well-known/masque/udp/fd00%3A%3a1/53/", false, 53, 0},
		{"/.well-known/masque/udp/fd00::1/53/", false, 53, 0},
		{"/.well-known/masque/udp/web.shop/53/", false, 0, -EINVAL},
		{"/.well-known/masque/udp/10.0.0.10/53", false, 0, -EINVAL},
		{"/.well-known/masque/udp/10.0.0.10/", false, 0, -EINVAL},
		{"/.well-known/masque/udp/10.0.0.10/53/x", false, 0, -EINVAL},
		{"/.well-known/masque/udp/10.0.0.10%2F53/53/", false, 0, -EINVAL},
		{"/.well-known/masque/udp/fd00%3/53/", false, 0, -EINVAL},
		{"/.well-known/masque/udp//53/", false, 0, -EINVAL},
		{"/other/10.0.0.10/53/", false, 0, -EINVAL},
		{"/.well-known/telepresence/icmp/10.0.0.10/", true, 0, 0},
		{"/.well-known/telepresence/icmp/fd00%3A%3A1/", true, 0, 0},
		{"/.well-known/telepresence/icmp/10.0.0.10", true, 0, -EINVAL},
		{"/.well-known/telepresence/icmp/10.0.0.10/1/", true, 0, -EINVAL},
	};
	struct target target;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = cases[i].icmp ? target_parse_icmp(cases[i].text, &target)
				      : target_parse_udp(cases[i].text, &target);

		if (r != cases[i].r)
			fail_msg("%s: %d", cases[i].text, r);
		if (r == 0)
			assert_int_equal(target.port, cases[i].port);
	}
}

static void policy(void **state)
{
	static const struct {
		const char *address;
		uint16_t port;
		bool allowed;
	} cases[] = {
		{"10.128.0.5", 80, true},
		{"10.128.0.5", 8081, false}, /* the manager's own tunnel port */
		{"10.128.0.6", 8081, true},
		{"fd00::5", 8081, false},
		{"fd00::5", 80, true},
		{"8.8.8.8", 53, true},
		{"0.0.0.0", 80, false},
		{"0.1.2.3", 80, false},
		{"127.0.0.1", 80, false},
		{"127.255.0.1", 80, false},
		{"169.254.169.254", 80, false},
		{"169.253.0.1", 80, true},
		{"224.0.0.1", 80, false},
		{"255.255.255.255", 80, false},
		{"::", 80, false},
		{"::1", 80, false},
		{"fe80::1", 80, false},
		{"febf::1", 80, false},
		{"fec0::1", 80, true},
		{"ff02::1", 80, false},
		{"::ffff:127.0.0.1", 80, false},
		{"::ffff:169.254.169.254", 80, false},
		{"::ffff:10.128.0.5", 8081, false},
		{"::ffff:10.128.0.5", 80, true},
		{"::127.0.0.1", 80, false},
	};
	struct target_policy policy = {.own_port = 8081};

	(void)state;
	assert_int_equal(target_policy_add(&policy, "10.128.0.5,fd00::5"), 0);
	assert_int_equal(policy.own_count, 2);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip_endpoint endpoint = {.port = cases[i].port};

		assert_int_equal(ip_addr_parse(cases[i].address, &endpoint.addr), 0);
		if (target_allowed(&policy, &endpoint) != cases[i].allowed)
			fail_msg("%s port %u", cases[i].address, cases[i].port);
	}
}

static void policy_addresses(void **state)
{
	static const char *const bad[] = {
		"10.0.0.1;10.0.0.2", "x", "1.1.1.1,2.2.2.2,3.3.3.3,4.4.4.4,5.5.5.5"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct target_policy policy = {.own_count = 0};

		assert_int_equal(target_policy_add(&policy, bad[i]), -EINVAL);
	}
	assert_int_equal(target_policy_add(&(struct target_policy){.own_count = 0}, ""), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports),
		cmocka_unit_test(authorities),
		cmocka_unit_test(long_names_are_refused),
		cmocka_unit_test(datagram_paths),
		cmocka_unit_test(policy),
		cmocka_unit_test(policy_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
