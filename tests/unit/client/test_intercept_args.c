/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client/userd/intercept_args.h"
#include "core/alloc.h"
#include "core/err.h"

static int parse(const char *text, struct intercept_args *args, struct err *err)
{
	json_object *request = json_tokener_parse(text);
	int r;

	assert_non_null(request);
	r = intercept_args_parse(request, "default", args, err);
	json_object_put(request);
	return r;
}

static void names_follow_the_rule(void **state)
{
	static const struct {
		const char *request, *name, *workload, *namespace;
	} rows[] = {
		{"{\"name\":\"hello\"}", "hello", "hello", "default"},
		{"{\"name\":\"hello\",\"namespace\":\"myns\"}", "hello-myns", "hello", "myns"},
		{"{\"name\":\"myhello\",\"namespace\":\"myns\",\"workload\":\"hello\"}", "myhello",
			"hello", "myns"},
		{"{\"name\":\"myhello\",\"workload\":\"hello\"}", "myhello", "hello", "default"},
	};
	struct intercept_args args;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(parse(rows[i].request, &args, NULL), 0);
		assert_string_equal(args.name, rows[i].name);
		assert_string_equal(args.workload, rows[i].workload);
		assert_string_equal(args.namespace, rows[i].namespace);
		intercept_args_done(&args);
	}
}

static void a_joined_name_is_no_longer_than_an_objects(void **state)
{
	struct intercept_args args;
	struct err err = ERR_INIT;
	char name[250], request[400];

	(void)state;
	memset(name, 'a', sizeof(name));
	/* With "-ns" 253 characters, then one more. */
	for (int extra = 0; extra < 2; extra++) {
		(void)snprintf(request, sizeof(request),
			"{\"name\":\"%.*s%s\",\"namespace\":\"ns\"}", (int)sizeof(name), name,
			extra ? "b" : "");
		if (!extra) {
			assert_int_equal(parse(request, &args, &err), 0);
			intercept_args_done(&args);
			continue;
		}
		assert_int_equal(parse(request, &args, &err), -ENAMETOOLONG);
		assert_int_equal(err.kind, ERR_USAGE);
		assert_non_null(strstr(err.msg, "--workload WORKLOAD --namespace ns"));
	}
}

static void local_only_has_a_name_and_a_namespace(void **state)
{
	static const char *const foreign[] = {"\"workload\":\"w\"", "\"service\":\"s\"",
		"\"container\":\"c\"", "\"address\":\"::1\"", "\"on-refuse\":\"app\"",
		"\"ports\":[\"8080\"]", "\"to-pod\":[\"90\"]", "\"environment\":true"};
	struct intercept_args args;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(parse("{\"name\":\"a\",\"namespace\":\"myns\",\"local-only\":true,"
			       "\"ports\":[],\"environment\":false}",
				 &args, NULL),
		0);
	assert_true(args.local_only);
	assert_string_equal(args.name, "a");
	assert_string_equal(args.namespace, "myns");
	assert_null(args.workload);
	assert_int_equal(args.port_count, 0);
	intercept_args_done(&args);
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
		char request[128];

		(void)snprintf(request, sizeof(request), "{\"name\":\"a\",\"local-only\":true,%s}",
			foreign[i]);
		assert_int_equal(parse(request, &args, &err), -EINVAL);
		assert_int_equal(err.kind, ERR_USAGE);
		assert_non_null(strstr(err.msg, "a local-only intercept cannot have "));
	}
}

static void defaults_are_8080_on_this_machine(void **state)
{
	struct intercept_args args;

	(void)state;
	assert_int_equal(parse("{\"name\":\"web\"}", &args, NULL), 0);
	assert_int_equal(args.port_count, 1);
	assert_int_equal(args.ports[0].local, 8080);
	assert_string_equal(args.ports[0].remote, "");
	assert_string_equal(args.address, "127.0.0.1");
	assert_false(args.close_on_refuse);
	assert_false(args.environment);
	intercept_args_done(&args);
}

static void everything_given_is_taken(void **state)
{
	static const char request[] =
		"{\"name\":\"a\",\"service\":\"s\",\"container\":\"c\",\"address\":\"::1\","
		"\"on-refuse\":\"close\",\"environment\":true,\"ports\":[\"8080:http\",\"53:53\"]}";
	struct intercept_args args;

	(void)state;
	assert_int_equal(parse(request, &args, NULL), 0);
	assert_string_equal(args.service, "s");
	assert_string_equal(args.container, "c");
	assert_string_equal(args.address, "::1");
	assert_true(args.close_on_refuse);
	assert_true(args.environment);
	assert_int_equal(args.port_count, 2);
	assert_string_equal(args.ports[0].remote, "http");
	assert_int_equal(args.ports[1].local, 53);
	assert_string_equal(args.ports[1].remote, "53");
	intercept_args_done(&args);
}

static void hosts_are_addresses_or_names(void **state)
{
	static const char *const right[] = {"10.0.0.1", "fe80::1", "fe80::1%eth0", "localhost", "h",
		"my_host.example.", "1and1.example", "a-b.c"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(right); i++) {
		auto_free char *request =
			xasprintf("{\"name\":\"a\",\"address\":\"%s\"}", right[i]);
		struct intercept_args args;

		assert_int_equal(parse(request, &args, NULL), 0);
		assert_string_equal(args.address, right[i]);
		intercept_args_done(&args);
	}
}

static void ports_of_the_pod_are_taken(void **state)
{
	struct intercept_args args;

	(void)state;
	assert_int_equal(
		parse("{\"name\":\"a\",\"to-pod\":[\"80\",\"80/UDP\",\"8080/udp\",\"443/tcp\"]}",
			&args, NULL),
		0);
	assert_int_equal(args.to_pod_count, 4);
	assert_int_equal(args.to_pod[1].port, 80);
	assert_true(args.to_pod[1].udp);
	assert_false(args.to_pod[3].udp);
	intercept_args_done(&args);
	/* The port that connections go to is another host's. */
	assert_int_equal(parse("{\"name\":\"a\",\"address\":\"10.0.0.1\",\"to-pod\":[\"8080\"]}",
				 &args, NULL),
		0);
	intercept_args_done(&args);
}

static void ports_are_parsed_strictly(void **state)
{
	static const char *const wrong[] = {"", "0", "65536", "99999999999", "http", "80:", ":80",
		"80:a b", "80:-a", "+80", " 80", "80:80:80", "80/udp", "80:53/", "80:/udp",
		"80:53/sctp", "80:53/udp/udp",
		"1:abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl"};
	struct intercept_port_arg port;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(intercept_port_parse(wrong[i], &port, &err), -EINVAL);
		assert_int_equal(err.kind, ERR_USAGE);
	}
	assert_int_equal(intercept_port_parse("65535:x-1", &port, NULL), 0);
	assert_int_equal(port.local, 65535);
	assert_int_equal(port.protocol, INTERCEPT_ANY);
	assert_int_equal(intercept_port_parse("5300:dns/UDP", &port, NULL), 0);
	assert_string_equal(port.remote, "dns");
	assert_int_equal(port.protocol, INTERCEPT_UDP);
}

static void wrong_requests_are_refused(void **state)
{
	static const char *const wrong[] = {
		"{}",
		"{\"name\":\"Web\"}",
		"{\"name\":\"../x\"}",
		"{\"name\":\"a\",\"namespace\":\"b?c\"}",
		"{\"name\":\"a\",\"service\":\"-b\"}",
		"{\"name\":\"a\",\"ports\":[\"x\"]}",
		"{\"name\":\"a\",\"ports\":[8080,null]}",
		"{\"name\":\"a\",\"address\":\"\"}",
		"{\"name\":\"a..b\"}",
		"{\"name\":\"a.-b\"}",
		"{\"name\":\"a-.b\"}",
		"{\"name\":\"a\",\"address\":\"127.0.0.1:80\"}",
		"{\"name\":\"a\",\"address\":\"999.1.1.1\"}",
		"{\"name\":\"a\",\"address\":\"1.2.3\"}",
		"{\"name\":\"a\",\"address\":\"8080\"}",
		"{\"name\":\"a\",\"address\":\".\"}",
		"{\"name\":\"a\",\"address\":\"a..b\"}",
		"{\"name\":\"a\",\"address\":\"h\\u00f6st\"}",
		"{\"name\":\"a\",\"address\":\"1.2.3.4/8\"}",
		"{\"name\":\"a\",\"on-refuse\":\"maybe\"}",
		"{\"name\":\"a\",\"to-pod\":[\"0\"]}",
		"{\"name\":\"a\",\"to-pod\":[\"65536\"]}",
		"{\"name\":\"a\",\"to-pod\":[\"80/sctp\"]}",
		"{\"name\":\"a\",\"to-pod\":[\"80 \"]}",
		"{\"name\":\"a\",\"to-pod\":[\"80\",\"80/TCP\"]}",
		"{\"name\":\"a\",\"to-pod\":[\"8080\"]}",
	};
	struct intercept_args args;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_true(parse(wrong[i], &args, NULL) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_follow_the_rule),
		cmocka_unit_test(a_joined_name_is_no_longer_than_an_objects),
		cmocka_unit_test(local_only_has_a_name_and_a_namespace),
		cmocka_unit_test(defaults_are_8080_on_this_machine),
		cmocka_unit_test(everything_given_is_taken),
		cmocka_unit_test(hosts_are_addresses_or_names),
		cmocka_unit_test(ports_of_the_pod_are_taken),
		cmocka_unit_test(ports_are_parsed_strictly),
		cmocka_unit_test(wrong_requests_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
