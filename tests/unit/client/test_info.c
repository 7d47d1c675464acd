/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/userd/hosts.h"
#include "client/userd/info.h"
#include "core/err.h"

static int parse(const char *line, struct cluster_info *info, struct err *err)
{
	return cluster_info_parse(line, strlen(line), info, err);
}

static void reads_the_managers_line(void **state)
{
	struct cluster_info info, copy;

	(void)state;
	assert_int_equal(
		parse("{\"serviceSubnets\":[\"10.160.0.0/16\"],\"podSubnets\":[\"10.128.0.0/24\","
		      "\"fd00::/64\"],\"clusterDomain\":\"cluster.local\",\"dnsServer\":\"10.160.0."
		      "10\",\"namespaces\":[\"demo\",\"default\"],\"managerVersion\":\"0.1.0\","
		      "\"agentImage\":\"r.example/tp:1\",\"apiServer\":[]}",
			&info, NULL),
		0);
	assert_int_equal(info.services.count, 1);
	assert_int_equal(info.pods.count, 2);
	assert_string_equal(info.domain, "cluster.local");
	assert_int_equal(info.namespace_count, 2);
	cluster_info_copy(&info, &copy);
	cluster_info_done(&info);
	assert_string_equal(copy.namespaces[1], "default");
	assert_string_equal(copy.manager_version, "0.1.0");
	assert_string_equal(copy.agent_image, "r.example/tp:1");
	cluster_info_done(&copy);
}

static void refuses_what_it_cannot_use(void **state)
{
	static const char *const lines[] = {
		"",
		"{",
		"[]",
		"{}",
		"{\"clusterDomain\":\"\"}",
		"{\"clusterDomain\":7}",
		"{\"clusterDomain\":\"c.l\",\"podSubnets\":[\"10.0.0.1/8\"]}",
		"{\"clusterDomain\":\"c.l\",\"podSubnets\":[null]}",
		"{\"clusterDomain\":\"c.l\",\"serviceSubnets\":[\"x\"]}",
	};
	struct cluster_info info;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		err = (struct err)ERR_INIT;
		assert_int_equal(parse(lines[i], &info, &err), -EPROTO);
		assert_true(err.msg[0]);
	}
}

static void finds_the_host_of_a_url(void **state)
{
	static const struct {
		const char *url, *host;
	} cases[] = {
		{"https://api.example.com", "api.example.com"},
		{"https://api.example.com:6443/path", "api.example.com"},
		{"http://user:pw@proxy:3128", "proxy"},
		{"https://[fd00::1]:6443", "fd00::1"},
		{"https://10.0.0.1?x", "10.0.0.1"},
		{"https://host/a@b", "host"},
		{"https://[fd00::1", NULL},
		{"https://", NULL},
		{"api.example.com", NULL},
		{"", NULL},
		{NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *host = hosts_of_url(cases[i].url);

		if (cases[i].host)
			assert_string_equal(host, cases[i].host);
		else
			assert_null(host);
		free(host);
	}
}

static void on_hosts(void *user, const struct ip_addr *addrs, size_t count)
{
	char text[ADDR_TEXT_BYTES];

	assert_int_equal(count, 2);
	assert_string_equal(ip_addr_format(&addrs[0], text), "192.0.2.7");
	assert_string_equal(ip_addr_format(&addrs[1], text), "2001:db8::1");
	*(bool *)user = true;
}

static void on_hosts_never(void *user, const struct ip_addr *addrs, size_t count)
{
	(void)user, (void)addrs, (void)count;
	fail();
}

static void literals_need_no_query(void **state)
{
	static const char *const urls[] = {"https://192.0.2.7:6443", NULL, "http://[2001:db8::1]"};
	bool called = false;
	uv_loop_t loop;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	(void)hosts_resolve(&loop, urls, ARRAY_SIZE(urls), on_hosts, &called);
	assert_false(called);
	hosts_cancel(hosts_resolve(&loop, urls, ARRAY_SIZE(urls), on_hosts_never, NULL));
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_true(called);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_the_managers_line),
		cmocka_unit_test(refuses_what_it_cannot_use),
		cmocka_unit_test(finds_the_host_of_a_url),
		cmocka_unit_test(literals_need_no_query),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
