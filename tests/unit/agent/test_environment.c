/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/environment.h"
#include "cluster/json.h"
#include "core/alloc.h"

static void is_of_the_app_only(void **state)
{
	static char *const variables[] = {"PORT=8080", "HOME=/root", "PATH=/bin", "HOSTNAME=web-1",
		"TERM=xterm", "HOMEPAGE=https://a/?b=c", "EMPTY=", "=odd", "noequals", "PORT=9",
		"MULTI=a\nb\t\"c\"", NULL};
	size_t left_out = 99;
	json_object *env = environment_json(variables, 4096, &left_out);

	(void)state;
	assert_int_equal(json_object_object_length(env), 4);
	assert_string_equal(json_text_or(env, "PORT", ""), "8080");
	assert_string_equal(json_text_or(env, "HOMEPAGE", ""), "https://a/?b=c");
	assert_string_equal(json_text_or(env, "EMPTY", "?"), "");
	assert_string_equal(json_text_or(env, "MULTI", ""), "a\nb\t\"c\"");
	assert_int_equal(left_out, 0);
	json_object_put(env);
}

/* A control character is six bytes of JSON. */
static void counts_escapes(void **state)
{
	char value[256 + sizeof("A=")] = "A=";
	char *const variables[] = {value, "B=small", NULL};
	size_t left_out = 0;
	json_object *env;

	(void)state;
	memset(value + 2, 1, 256);
	env = environment_json(variables, 1024, &left_out);
	assert_int_equal(left_out, 1);
	assert_null(json_member(env, "A"));
	assert_string_equal(json_text_or(env, "B", ""), "small");
	json_object_put(env);
	env = environment_json(variables, 2048, &left_out);
	assert_int_equal(left_out, 0);
	assert_int_equal(strlen(json_text_or(env, "A", "")), 256);
	json_object_put(env);
}

static void stays_below_the_bound(void **state)
{
	enum { COUNT = 200 };
	char *variables[COUNT + 1] = {NULL};
	size_t left_out = 0, len;
	json_object *env;

	(void)state;
	for (int i = 0; i < COUNT; i++)
		variables[i] = xasprintf("NAME_%03d=\"%0*d\"", i, i, 0);
	for (size_t max = 0; max < 20000; max += 613) {
		env = environment_json(variables, max, &left_out);
		(void)json_object_to_json_string_length(
			env, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
		assert_true(len <= MAX(max, 2));
		assert_int_equal(json_object_object_length(env) + (int)left_out, COUNT);
		json_object_put(env);
	}
	for (int i = 0; i < COUNT; i++)
		free(variables[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_of_the_app_only),
		cmocka_unit_test(counts_escapes),
		cmocka_unit_test(stays_below_the_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
