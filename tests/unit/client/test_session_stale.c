/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client/userd/session_stale.h"
#include "client/userd/session_steps.h"

#define BOOT  "01234567-89ab-cdef-0123-456789abcdef"
#define OTHER "fedcba98-7654-3210-fedc-ba9876543210"

static const struct session_maker me = {
	.owner = "jane", .host = "lap", .place = BOOT ":1000:4026531840", .uid = "u-mine"};

static bool stale(
	const char *uid, const char *owner, const char *host, const char *place, const char *ready)
{
	char text[1024];
	json_object *object;
	bool answer;

	(void)snprintf(text, sizeof(text),
		"{\"metadata\":{\"uid\":\"%s\"},\"spec\":{\"owner\":\"%s\",\"client\":"
		"{\"host\":\"%s\",\"place\":\"%s\"}},\"status\":{\"conditions\":"
		"[{\"type\":\"Ready\",\"status\":\"%s\"}]}}",
		uid, owner, host, place, ready);
	object = json_tokener_parse(text);
	assert_non_null(object);
	answer = session_is_stale(object, &me);
	json_object_put(object);
	return answer;
}

static void test_what_a_dead_daemon_left_here_is_stale(void **state)
{
	(void)state;
	/* Whether or not the manager has noticed. */
	assert_true(stale("u-1", "jane", "lap", me.place, "True"));
	assert_true(stale("u-1", "jane", "lap", me.place, "False"));
	/* Before the machine was booted, or by a client that did not say where. */
	assert_true(stale("u-1", "jane", "lap", OTHER ":1000:4026531840", "False"));
	assert_true(stale("u-1", "jane", "lap", "", "False"));
}

static void test_what_may_be_alive_is_not(void **state)
{
	(void)state;
	assert_false(stale("u-mine", "jane", "lap", me.place, "False"));
	assert_false(stale("u-1", "joe", "lap", me.place, "False"));
	assert_false(stale("u-1", "jane", "desk", me.place, "False"));
	/* Another user or another network namespace of this machine. */
	assert_false(stale("u-1", "jane", "lap", BOOT ":1001:4026531840", "False"));
	assert_false(stale("u-1", "jane", "lap", BOOT ":1000:4026532000", "False"));
	assert_false(stale("u-1", "jane", "lap", OTHER ":1000:4026531840", "True"));
	assert_false(stale("u-1", "jane", "lap", "", "True"));
}

static void test_without_a_status_nothing_is(void **state)
{
	json_object *object =
		json_tokener_parse("{\"metadata\":{\"uid\":\"u-1\"},\"spec\":{\"owner\":\"jane\","
				   "\"client\":{\"host\":\"lap\"}}}");

	(void)state;
	assert_false(session_is_stale(object, &me));
	json_object_put(object);
	assert_false(session_is_stale(NULL, &me));
}

static void test_this_place_has_a_name_and_keeps_it(void **state)
{
	char first[SESSION_PLACE_BYTES], second[SESSION_PLACE_BYTES];

	(void)state;
	assert_int_equal(session_place(first), 0);
	assert_int_equal(session_place(second), 0);
	assert_string_equal(first, second);
	assert_true(strlen(first) > 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_dead_daemon_left_here_is_stale),
		cmocka_unit_test(test_what_may_be_alive_is_not),
		cmocka_unit_test(test_without_a_status_nothing_is),
		cmocka_unit_test(test_this_place_has_a_name_and_keeps_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
