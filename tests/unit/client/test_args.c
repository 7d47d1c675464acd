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

#include "client/userd/args.h"
#include "core/err.h"

static const struct connect_field *field(const char *name)
{
	for (size_t i = 0; i < connect_field_count; i++) {
		if (strcmp(connect_fields[i].name, name) == 0)
			return &connect_fields[i];
	}
	fail_msg("no field %s", name);
	return NULL;
}

static int set(struct connect_args *args, const char *name, const char *text)
{
	return connect_args_set(args, field(name), text, NULL);
}

static void survive_the_way_to_the_daemon(void **state)
{
	struct connect_args args = {0}, back;
	json_object *object;

	(void)state;
	for (size_t i = 0; i < connect_field_count; i++)
		assert_int_equal(connect_args_set(&args, &connect_fields[i],
					 connect_fields[i].type == FIELD_PREFIXES ? "10.0.0.0/8"
										  : "/some/value",
					 NULL),
			0);
	object = connect_args_to_json(&args);
	assert_int_equal(connect_args_from_json(object, &back, NULL), 0);
	json_object_put(object);
	assert_string_equal(back.token, "/some/value");
	assert_string_equal(back.image, "/some/value");
	assert_true(back.insecure_skip_tls_verify);
	assert_int_equal(back.also_proxy.count, 1);
	assert_int_equal(back.never_proxy.count, 1);
	assert_string_equal(connect_args_overrides(&back).client_key, "/some/value");
	connect_args_done(&args);
	connect_args_done(&back);
}

static void absent_ones_stay_absent(void **state)
{
	struct connect_args args = {0}, back;
	json_object *object = connect_args_to_json(&args);

	(void)state;
	assert_int_equal(connect_args_from_json(object, &back, NULL), 0);
	json_object_put(object);
	assert_null(back.kubeconfig);
	assert_null(back.manager_namespace);
	assert_false(back.insecure_skip_tls_verify);
	assert_int_equal(back.also_proxy.count, 0);
	connect_args_done(&back);
}

static void groups_are_several(void **state)
{
	struct connect_args args = {0}, back = {0};
	json_object *object;

	(void)state;
	assert_int_equal(set(&args, "as-group", "office"), 0);
	assert_int_equal(set(&args, "as-group", "staff"), 0);
	object = connect_args_to_json(&args);
	assert_int_equal(connect_args_from_json(object, &back, NULL), 0);
	assert_string_equal(back.as_group, "office\nstaff");
	json_object_put(object);
	connect_args_done(&back);
	connect_args_done(&args);
}

static void paths_become_absolute(void **state)
{
	struct connect_args args = {0};
	char cwd[1024];

	(void)state;
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_int_equal(set(&args, "kubeconfig", "some/config"), 0);
	assert_memory_equal(args.kubeconfig, cwd, strlen(cwd));
	assert_string_equal(args.kubeconfig + strlen(cwd), "/some/config");
	assert_int_equal(set(&args, "kubeconfig", "/other"), 0);
	assert_string_equal(args.kubeconfig, "/other");
	connect_args_done(&args);
}

static void lists_of_paths_become_absolute(void **state)
{
	static const struct {
		const char *list, *expected; /* %cwd: the working directory */
	} cases[] = {
		{"", ""},
		{"/a", "/a"},
		{"a", "%cwd/a"},
		{"/a:b:./c", "/a:%cwd/b:%cwd/./c"},
		{":a:", ":%cwd/a:"},
	};
	char cwd[1024], expected[4096];

	(void)state;
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *list = connect_absolute_paths(cases[i].list);
		const char *from = cases[i].expected;
		size_t len = 0;

		for (; *from; from++) {
			if (*from == '%') {
				len += (size_t)snprintf(
					expected + len, sizeof(expected) - len, "%s", cwd);
				from += 3;
			} else {
				expected[len++] = *from;
			}
		}
		expected[len] = '\0';
		assert_string_equal(list, expected);
		free(list);
	}
}

static void bad_subnets_are_usage_errors(void **state)
{
	static const char *const texts[] = {"", "10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "x/8"};
	struct connect_args args = {0};
	struct err err = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(
			connect_args_set(&args, field("also-proxy"), texts[i], &err), -EINVAL);
		assert_int_equal(err.kind, ERR_USAGE);
	}
	for (unsigned int i = 0; i < CONNECT_PREFIXES; i++)
		assert_int_equal(set(&args, "never-proxy", "10.0.0.0/8"), 0);
	assert_int_equal(set(&args, "never-proxy", "10.0.0.0/8"), -E2BIG);
	assert_int_equal(set(&args, "context", ""), -EINVAL);
	connect_args_done(&args);
}

static void unknown_members_are_refused(void **state)
{
	static const char *const texts[] = {"{\"bogus\":\"x\"}", "{\"context\":1}",
		"{\"also-proxy\":\"10.0.0.0/8\"}", "{\"also-proxy\":[\"x\"]}",
		"{\"also-proxy\":[null]}"};
	struct connect_args args;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		json_object *object = json_tokener_parse(texts[i]);

		assert_true(connect_args_from_json(object, &args, NULL) < 0);
		json_object_put(object);
	}
}

static void the_manager_namespace_has_an_order(void **state)
{
	const struct kube_config plain = {.context = NULL};
	const struct kube_config named = {.manager_namespace = (char[]){"from-file"}};
	struct connect_args args = {0};

	(void)state;
	unsetenv("TELEPRESENCE_MANAGER_NAMESPACE");
	assert_string_equal(connect_args_manager_namespace(&args, &plain), "ambassador");
	assert_string_equal(connect_args_manager_namespace(&args, &named), "from-file");
	setenv("TELEPRESENCE_MANAGER_NAMESPACE", "from-env", 1);
	assert_string_equal(connect_args_manager_namespace(&args, &named), "from-env");
	assert_int_equal(set(&args, "manager-namespace", "from-flag"), 0);
	assert_string_equal(connect_args_manager_namespace(&args, &named), "from-flag");
	unsetenv("TELEPRESENCE_MANAGER_NAMESPACE");
	connect_args_done(&args);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(survive_the_way_to_the_daemon),
		cmocka_unit_test(absent_ones_stay_absent),
		cmocka_unit_test(groups_are_several),
		cmocka_unit_test(paths_become_absolute),
		cmocka_unit_test(lists_of_paths_become_absolute),
		cmocka_unit_test(bad_subnets_are_usage_errors),
		cmocka_unit_test(unknown_members_are_refused),
		cmocka_unit_test(the_manager_namespace_has_an_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
