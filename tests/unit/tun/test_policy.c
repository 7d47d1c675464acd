/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/err.h"
#include "tun/device.h"
#include "tun/policy.h"

/* An address with its host bits, as a device has it. */
static struct ip_prefix own(const char *addr, uint8_t len)
{
	struct ip_prefix prefix = {.len = len};

	assert_int_equal(ip_addr_parse(addr, &prefix.addr), 0);
	return prefix;
}

static struct tun_config device(void)
{
	return (struct tun_config){.name = "tel0",
		.mtu = 1500,
		.addr4 = own("198.18.0.1", 30),
		.addr6 = own("fd00:77::1", 126)};
}

static void routes_one_by_one(void **state)
{
	static const struct {
		const char *prefix;
		int wanted;
	} cases[] = {
		{"10.0.0.0/8", 0},
		{"10.96.0.0/12", 0},
		{"10.1.2.3/32", 0},
		{"100.64.0.0/10", 0},
		{"1.1.1.1/32", 0},
		{"198.18.0.4/30", 0},
		{"fd00:10::/112", 0},
		{"2001:db8::/32", 0},
		{"fd00:77::4/126", 0},
		{"0.0.0.0/0", -EPERM},
		{"0.0.0.0/8", -EPERM},
		{"10.0.0.0/7", -EPERM},
		{"128.0.0.0/1", -EPERM},
		{"127.0.0.1/32", -EPERM},
		{"169.254.0.0/16", -EPERM},
		{"169.254.169.254/32", -EPERM},
		{"239.1.2.3/32", -EPERM},
		{"240.0.0.0/8", -EPERM},
		{"255.255.255.255/32", -EPERM},
		{"198.18.0.0/30", -EPERM},
		{"198.18.0.1/32", -EPERM},
		{"198.0.0.0/8", -EPERM},
		{"::/0", -EPERM},
		{"::/128", -EPERM},
		{"::1/128", -EPERM},
		{"::ffff:10.0.0.0/104", -EPERM},
		{"::/32", -EPERM},
		{"2001:d00::/24", -EPERM},
		{"fe80::/64", -EPERM},
		{"fe80::1/128", -EPERM},
		{"ff02::1/128", -EPERM},
		{"fd00:77::/126", -EPERM},
		{"fd00:77::/48", -EPERM},
	};
	const struct tun_config config = device();
	struct ip_prefix prefix;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = ERR_INIT;
		int r;

		assert_int_equal(ip_prefix_parse(cases[i].prefix, &prefix), 0);
		r = policy_check_routes(&prefix, 1, &config, &err);
		if (r != cases[i].wanted)
			fail_msg("%s: %d %s", cases[i].prefix, r, err.msg);
		assert_int_equal(err.kind, r ? ERR_PERMISSION : ERR_NONE);
	}
}

static void host_bits_are_no_route(void **state)
{
	const struct tun_config config = device();
	struct ip_prefix prefix = own("10.96.0.1", 16);

	(void)state;
	assert_int_equal(policy_check_routes(&prefix, 1, &config, NULL), -EINVAL);
	prefix = own("10.96.0.0", 16);
	prefix.len = 33;
	assert_int_equal(policy_check_routes(&prefix, 1, &config, NULL), -EINVAL);
	prefix.addr.family = 0;
	assert_int_equal(policy_check_routes(&prefix, 1, &config, NULL), -EINVAL);
}

static void not_the_whole_internet_in_pieces(void **state)
{
	const struct tun_config config = device();
	struct ip_prefix prefixes[9];

	(void)state;
	for (uint8_t i = 0; i < 9; i++)
		prefixes[i] = (struct ip_prefix){{AF_INET, {(uint8_t)(20 + i)}}, 8};
	assert_int_equal(policy_check_routes(prefixes, 8, &config, NULL), 0);
	assert_int_equal(policy_check_routes(prefixes, 9, &config, NULL), -EPERM);
	prefixes[8].len = 32;
	assert_int_equal(policy_check_routes(prefixes, 9, &config, NULL), -EPERM);
	assert_int_equal(policy_check_routes(prefixes, 0, &config, NULL), 0);
}

static void devices(void **state)
{
	struct tun_config config = device();

	(void)state;
	assert_int_equal(policy_check_device(&config, NULL), 0);
	config = (struct tun_config){.mtu = 1280};
	assert_int_equal(policy_check_device(&config, NULL), 0);
	config.mtu = 1279;
	assert_int_equal(policy_check_device(&config, NULL), -EINVAL);
	config.mtu = 65536;
	assert_int_equal(policy_check_device(&config, NULL), -EINVAL);
	config = device();
	config.addr4.len = 15;
	assert_int_equal(policy_check_device(&config, NULL), -EPERM);
	config.addr4 = own("fd00:77::1", 126);
	assert_int_equal(policy_check_device(&config, NULL), -EINVAL);
	config = device();
	config.addr6.len = 63;
	assert_int_equal(policy_check_device(&config, NULL), -EPERM);
	config.addr6 = own("fe80::1", 64);
	assert_int_equal(policy_check_device(&config, NULL), -EPERM);
	config = device();
	config.addr4 = own("127.0.0.2", 30);
	assert_int_equal(policy_check_device(&config, NULL), -EPERM);
	config.addr4 = own("0.0.0.0", 30);
	assert_int_equal(policy_check_device(&config, NULL), -EPERM);
}

static void device_names(void **state)
{
	static const struct {
		char name[16];
		bool fine;
	} cases[] = {
		{"", true},
		{"tel", true},
		{"tel-dev_1", true},
		{"tel456789012345", true},
		{"eth0", false},
		{"lo", false},
		{"tun0", false},
		{"tel/x", false},
		{"tel.", false},
		{"tel x", false},
		{"tel%d", false},
		{"TEL0", false},
		{{'t', 'e', 'l', '4', '5', '6', '7', '8', '9', '0', '1', '2', '3', '4', '5', '6'},
			false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tun_config config = device();
		int r;

		memcpy(config.name, cases[i].name, sizeof(config.name));
		r = policy_check_device(&config, NULL);
		if (r != (cases[i].fine ? 0 : -EINVAL))
			fail_msg("%.16s: %d", cases[i].name, r);
	}
}

static void nameservers(void **state)
{
	static const struct {
		const char *addr;
		int wanted;
	} cases[] = {
		{"192.0.2.1", 0},
		{"127.0.0.53", 0},
		{"169.254.169.254", 0},
		{"2001:db8::53", 0},
		{"::1", 0},
		{"0.0.0.0", -EPERM},
		{"224.0.0.251", -EPERM},
		{"255.255.255.255", -EPERM},
		{"::", -EPERM},
		{"ff02::fb", -EPERM},
		{"::ffff:192.0.2.1", -EPERM},
	};
	struct ip_addr addr = {.family = 0};

	(void)state;
	assert_int_equal(policy_check_nameserver(&addr, NULL), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r;

		assert_int_equal(ip_addr_parse(cases[i].addr, &addr), 0);
		r = policy_check_nameserver(&addr, NULL);
		if (r != cases[i].wanted)
			fail_msg("%s: %d", cases[i].addr, r);
	}
}

static void domains_are_host_names(void **state)
{
	static const struct {
		const char *text;
		size_t bytes;
		int wanted;
	} cases[] = {
		{"", 0, 0},
		{"~svc\0default.svc.cluster.local", 31, 0},
		{"~", 2, -EINVAL},
		{"", 1, -EINVAL},
		{".", 2, -EINVAL},
		{"~.", 3, -EINVAL},
		{"a..b", 5, -EINVAL},
		{"svc.", 5, -EINVAL},
		{"a b", 4, -EINVAL},
		{"~svc\0~~svc", 11, -EINVAL},
	};
	char many[2 * (POLICY_DOMAINS + 1)] = "", label[66];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(
			policy_check_domains(cases[i].text, cases[i].bytes, NULL), cases[i].wanted);
	for (size_t i = 0; i < sizeof(many); i += 2)
		many[i] = 'a';
	assert_int_equal(policy_check_domains(many, sizeof(many) - 2, NULL), 0);
	assert_int_equal(policy_check_domains(many, sizeof(many), NULL), -E2BIG);
	memset(label, 'a', sizeof(label));
	label[64] = '\0';
	assert_int_equal(policy_check_domains(label, 65, NULL), -EINVAL);
	assert_int_equal(policy_check_domains(label + 1, 64, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routes_one_by_one),
		cmocka_unit_test(host_bits_are_no_route),
		cmocka_unit_test(not_the_whole_internet_in_pieces),
		cmocka_unit_test(devices),
		cmocka_unit_test(device_names),
		cmocka_unit_test(nameservers),
		cmocka_unit_test(domains_are_host_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
