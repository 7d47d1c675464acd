/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions, controllers and preconditions, also of objects that have none. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/json.h"
#include "cluster/meta.h"

static json_object *parse(const char *text)
{
	json_object *object = json_parse(text, strlen(text));

	assert_non_null(object);
	return object;
}

static void test_conditions(void **state UNUSED)
{
	json_object *object = parse("{\"status\":{\"conditions\":["
				    "{\"type\":\"Initialized\",\"status\":\"False\"},"
				    "{\"type\":\"Ready\",\"status\":\"True\",\"message\":\"up\"},"
				    "{\"type\":\"Odd\"}]}}");

	assert_string_equal(json_text(kube_condition(object, "Ready"), "message"), "up");
	assert_string_equal(kube_condition_status(object, "Ready"), "True");
	assert_string_equal(kube_condition_status(object, "Initialized"), "False");
	assert_string_equal(kube_condition_status(object, "Odd"), "");
	assert_string_equal(kube_condition_status(object, "PodScheduled"), "");
	assert_null(kube_condition(object, "PodScheduled"));
	assert_null(kube_condition(NULL, "Ready"));
	json_object_put(object);
}

static void test_controller(void **state UNUSED)
{
	json_object *object = parse("{\"metadata\":{\"ownerReferences\":["
				    "{\"name\":\"friend\"},"
				    "{\"name\":\"other\",\"controller\":false},"
				    "{\"name\":\"boss\",\"controller\":true}]}}");
	json_object *free_one = parse("{\"metadata\":{\"ownerReferences\":[{\"name\":\"a\"}]}}");

	assert_string_equal(json_text(kube_controller(object), "name"), "boss");
	assert_null(kube_controller(free_one));
	assert_null(kube_controller(NULL));
	json_object_put(object);
	json_object_put(free_one);
}

static void test_delete_options(void **state UNUSED)
{
	auto_free char *text = kube_delete_options("u-1");
	json_object *object = parse(text);

	assert_string_equal(json_text(object, "kind"), "DeleteOptions");
	assert_string_equal(json_text(object, "preconditions.uid"), "u-1");
	json_object_put(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_controller),
		cmocka_unit_test(test_delete_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
