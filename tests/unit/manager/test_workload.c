/* SPDX-License-Identifier: Apache-2.0 */
/* Label selectors as query parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/json.h"
#include "manager/workload.h"

static void test_selectors(void **state UNUSED)
{
	static const struct {
		const char *selector, *text;
	} cases[] = {
		{"{}", NULL}, /* all pods of the namespace: never meant */
		{"null", NULL},
		{"{\"matchLabels\":{\"app\":\"web\"}}", "app%3Dweb"},
		{"{\"matchLabels\":{\"a\":\"1\",\"b\":\"\"}}", "a%3D1%2Cb%3D"},
		{"{\"matchExpressions\":[{\"key\":\"t\",\"operator\":\"In\",\"values\":[\"x\","
		 "\"y\"]}]}",
			"t%20in%20%28x%2Cy%29"},
		{"{\"matchLabels\":{\"a\":\"1\"},\"matchExpressions\":["
		 "{\"key\":\"t\",\"operator\":\"NotIn\",\"values\":[\"x\"]},"
		 "{\"key\":\"u\",\"operator\":\"Exists\"},"
		 "{\"key\":\"v\",\"operator\":\"DoesNotExist\"}]}",
			"a%3D1%2Ct%20notin%20%28x%29%2Cu%2C%21v"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_object *selector = json_parse(cases[i].selector, strlen(cases[i].selector));
		auto_free char *text = workload_selector(selector);

		if (!cases[i].text != !text || (text && strcmp(text, cases[i].text) != 0))
			fail_msg("case %zu: %s", i, text ? text : "none");
		json_object_put(selector);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_selectors)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
