/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/err.h"
#include "resolv/resolvconf.h"

/* "addr,addr|search,search|ndots" */
static const char *summary(const struct resolv_conf *conf, char *out, size_t size)
{
	char text[ADDR_TEXT_BYTES];
	size_t len = 0;

	for (unsigned int i = 0; i < conf->nameserver_count; i++)
		len += (size_t)snprintf(out + len, size - len, "%s%s", i ? "," : "",
			ip_addr_format(&conf->nameservers[i], text));
	len += (size_t)snprintf(out + len, size - len, "|");
	for (unsigned int i = 0; i < conf->search_count; i++)
		len += (size_t)snprintf(
			out + len, size - len, "%s%s", i ? "," : "", conf->search[i]);
	(void)snprintf(out + len, size - len, "|%u", conf->ndots);
	return out;
}

static void parses_as_the_resolver_does(void **state)
{
	static const struct {
		const char *text;
		const char *wanted;
	} cases[] = {
		{"", "127.0.0.1||1"},
		{"nameserver 192.0.2.1\n", "192.0.2.1||1"},
		{"nameserver 192.0.2.1", "192.0.2.1||1"},
		{"nameserver\t192.0.2.1 \r\n", "192.0.2.1||1"},
		{"nameserver 192.0.2.1 trailing\n", "192.0.2.1||1"},
		{"nameserver 2001:db8::53\nnameserver ::1\n", "2001:db8::53,::1||1"},
		{"nameserver 1.0.0.1\nnameserver 1.0.0.2\nnameserver 1.0.0.3\nnameserver 1.0.0.4\n",
			"1.0.0.1,1.0.0.2,1.0.0.3||1"},
		{"nameserver 999.0.0.1\nnameserver fe80::1%eth0\nnameserver\n", "127.0.0.1||1"},
		{"nameserver 0.0.0.0\n", "127.0.0.1||1"},
		{"nameserver ::\nnameserver ::ffff:192.0.2.1\n", "::1,192.0.2.1||1"},
		{"nameserver 10.1\nnameserver 0x7f.1\nnameserver 10.1x\n", "10.0.0.1,127.0.0.1||1"},
		{"nameserver fe80::1\nnameserver 192.0.2.1\n", "192.0.2.1||1"},
		{"# nameserver 1.0.0.1\n;nameserver 1.0.0.2\n nameserver 1.0.0.3\n",
			"127.0.0.1||1"},
		{"nameservers 1.0.0.1\nNAMESERVER 1.0.0.2\n", "127.0.0.1||1"},
		{"search a.example b.example\n", "127.0.0.1|a.example,b.example|1"},
		{"search a.example\nsearch b.example c.example\n",
			"127.0.0.1|b.example,c.example|1"},
		{"search a.example\ndomain d.example e.example\n", "127.0.0.1|d.example|1"},
		{"search 1 2 3 4 5 6 7\n", "127.0.0.1|1,2,3,4,5,6|1"},
		{"search .\n", "127.0.0.1||1"},
		{"options ndots:5 timeout:1\n", "127.0.0.1||5"},
		{"options rotate ndots:0\n", "127.0.0.1||0"},
		{"options ndots:99999999999999999999\n", "127.0.0.1||15"},
		{"options ndots:\noptions ndotsx:3\n", "127.0.0.1||1"},
	};
	struct resolv_conf conf;
	char text[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		resolv_conf_parse(cases[i].text, strlen(cases[i].text), &conf);
		assert_string_equal(summary(&conf, text, sizeof(text)), cases[i].wanted);
	}
}

static void a_nameserver_with_a_zone_is_noted(void **state)
{
	static const struct {
		const char *text;
		bool zoned;
	} cases[] = {
		{"nameserver fe80::1%eth0\nnameserver 192.0.2.1\n", true},
		{"nameserver fe80::1234:5678:9abc:def0%wlp0s20f3u1u4\n", true},
		{"nameserver fe80::1\n# nameserver fe80::1%eth0\n", false},
		{"nameserver %eth0\nnameserver nonsense%eth0\n", false},
	};
	struct resolv_conf conf;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		resolv_conf_parse(cases[i].text, strlen(cases[i].text), &conf);
		assert_int_equal(conf.zoned, cases[i].zoned);
	}
}

static void a_nameserver_that_nobody_can_send_to_is_noted(void **state)
{
	static const char *const unusable[] = {"fe80::1", "febf::1", "ff02::fb", "224.0.0.251",
		"255.255.255.255", "::ffff:224.0.0.251"};
	static const char *const usable[] = {"fec0::1", "fd00::1", "169.254.169.254", "0.0.0.0"};
	struct resolv_conf conf;
	char line[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(unusable); i++) {
		(void)snprintf(line, sizeof(line), "nameserver %s\n", unusable[i]);
		resolv_conf_parse(line, strlen(line), &conf);
		assert_true(conf.unusable);
		assert_int_equal(conf.nameservers[0].bytes[0], 127);
	}
	for (size_t i = 0; i < ARRAY_SIZE(usable); i++) {
		(void)snprintf(line, sizeof(line), "nameserver %s\n", usable[i]);
		resolv_conf_parse(line, strlen(line), &conf);
		assert_false(conf.unusable);
	}
}

static void overlong_names_are_left_out(void **state)
{
	char text[600] = "search ";
	struct resolv_conf conf;

	(void)state;
	memset(text + 7, 'a', 256);
	memcpy(text + 7 + 256, " b.example\n", 12);
	resolv_conf_parse(text, strlen(text), &conf);
	assert_int_equal(conf.search_count, 1);
	assert_string_equal(conf.search[0], "b.example");
	/* One byte less fits. */
	memset(text + 7, 'a', 255);
	memcpy(text + 7 + 255, "\nx", 2);
	resolv_conf_parse(text, 7 + 255, &conf);
	assert_int_equal(conf.search_count, 1);
	assert_int_equal(strlen(conf.search[0]), 255);
}

static void nul_bytes_are_no_end(void **state)
{
	static const char text[] = "search a\0b c\nnameserver 192.0.2.1\n";
	struct resolv_conf conf;

	(void)state;
	resolv_conf_parse(text, sizeof(text) - 1, &conf);
	assert_int_equal(conf.search_count, 1);
	assert_string_equal(conf.search[0], "c");
	assert_int_equal(conf.nameservers[0].bytes[0], 192);
}

static void reads_files(void **state)
{
	char path[] = "/tmp/test-resolv-XXXXXX";
	struct resolv_conf conf;
	struct err err = ERR_INIT;
	char text[512];
	char *big = calloc(1, RESOLV_FILE_BYTES);
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0 && big);
	assert_int_equal(write(fd, "nameserver 192.0.2.7\n", 21), 21);
	assert_int_equal(resolv_conf_read(path, &conf, &err), 0);
	assert_string_equal(summary(&conf, text, sizeof(text)), "192.0.2.7||1");
	memset(big, '#', RESOLV_FILE_BYTES);
	assert_int_equal(write(fd, big, RESOLV_FILE_BYTES), RESOLV_FILE_BYTES);
	assert_int_equal(resolv_conf_read(path, &conf, &err), -EFBIG);
	assert_int_equal(err.kind, ERR_CONFIG);
	unlink(path);
	assert_int_equal(resolv_conf_read(path, &conf, &err), 0);
	assert_string_equal(summary(&conf, text, sizeof(text)), "127.0.0.1||1");
	assert_true(resolv_conf_read("/tmp", &conf, &err) < 0);
	close(fd);
	free(big);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void knows_resolved(void **state)
{
	static const struct {
		const char *resolv, *nsswitch;
		bool stub, resolved;
	} cases[] = {
		{"nameserver 127.0.0.53\n", "hosts: files dns\n", true, true},
		{"nameserver 127.0.0.54\n", "hosts: files dns\n", true, true},
		{"nameserver 127.0.0.1\n", "hosts: files dns\n", false, false},
		{"nameserver 192.0.2.1\nnameserver 127.0.0.53\n", "hosts: dns\n", false, false},
		{"nameserver 192.0.2.1\n", "# x\nhosts:\tfiles resolve [!UNAVAIL=return] dns\n",
			false, true},
		{"nameserver 192.0.2.1\n", "passwd: resolve\nhosts: files # resolve\n", false,
			false},
		{"nameserver 192.0.2.1\n", "hosts: dns resolve", false, true},
		{"nameserver 192.0.2.1\n", "", false, false},
	};
	char path[] = "/tmp/test_resolvconf.XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct resolv_conf conf;

		resolv_conf_parse(cases[i].resolv, strlen(cases[i].resolv), &conf);
		write_file(path, cases[i].nsswitch);
		assert_int_equal(resolv_conf_is_stub(&conf), cases[i].stub);
		assert_int_equal(resolv_is_resolved(&conf, path), cases[i].resolved);
	}
	assert_int_equal(unlink(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_as_the_resolver_does),
		cmocka_unit_test(a_nameserver_with_a_zone_is_noted),
		cmocka_unit_test(a_nameserver_that_nobody_can_send_to_is_noted),
		cmocka_unit_test(overlong_names_are_left_out),
		cmocka_unit_test(nul_bytes_are_no_end),
		cmocka_unit_test(reads_files),
		cmocka_unit_test(knows_resolved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
