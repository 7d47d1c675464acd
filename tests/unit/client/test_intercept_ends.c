/* SPDX-License-Identifier: Apache-2.0 */
/* How intercepts end, and how they outlive their Session. */
#include "client/intercept_ask.h"

#define GONE "{\"type\":\"DELETED\",\"object\":" OBJECT("u1", "") "}\n"

static void deleting_the_object_ends_it(void **state)
{
	static const struct rule rules[] = {
		{"/deployments/web ", 200, DEPLOYMENT, false},
		{"/services?", 200, LIST(""), false},
		{CREATE, 201, OBJECT("u1", ""), true},
		{"&watch", 200, GONE, true},
		{"&watch", 0, NULL, false},
		{FOLLOW, 200, LIST(OBJECT("u1", "")), false},
		{"/namespaces/ambassador/sessions/s ", 200, "{}", false},
		{.expects = NULL},
	};
	struct answer asked, held = {.wait = {.on_done = on_done, .user = &held}};
	struct rig rig;

	(void)state;
	start(&rig, rules);
	assert_int_equal(ask(&rig, "web", "8080", &asked, NULL), 0);
	assert_int_equal(intercepts_hold(rig.set, "web", &held.wait, NULL), 0);
	run_until(&rig, is_gone, "web");
	assert_true(asked.done && held.done);
	assert_string_equal(asked.err.msg, "the intercept was deleted in the cluster");
	assert_int_equal(held.r, 0);
	assert_string_equal(rig.log, "P");
	stop(&rig);
}

static void an_object_that_went_with_its_session_comes_back(void **state)
{
	static const struct rule rules[] = {
		{"/deployments/web ", 200, DEPLOYMENT, false},
		{"/services?", 200, LIST(""), false},
		{CREATE, 201, OBJECT("u1", ""), true},
		{CREATE, 201, OBJECT("u2", ""), true},
		{"&watch", 200, GONE, true},
		{"&watch", 0, NULL, false},
		{FOLLOW, 200, LIST(OBJECT("u1", "")), true},
		{FOLLOW, 200, LIST(OBJECT("u2", "")), false},
		{.expects = NULL},
	};
	struct answer asked;
	struct rig rig;

	(void)state;
	start(&rig, rules);
	assert_int_equal(ask(&rig, "web", "8080", &asked, NULL), 0);
	run_until(&rig, is_served, "u1");
	while (is_served(&rig, "u1"))
		uv_run(&rig.loop, UV_RUN_ONCE);
	intercepts_session(rig.set, "jane", "s2", "session-2");
	run_until(&rig, is_served, "u2");
	assert_true(intercepts_has(rig.set, "web"));
	stop(&rig);
}

static void on_stopped(void *user)
{
	bool *stopped = user;

	*stopped = true;
}

static bool is_set(const struct rig *rig, const void *arg)
{
	(void)rig;
	return *(const bool *)arg;
}

static void stopping_deletes_every_object(void **state)
{
	static const struct rule rules[] = {
		{"/deployments/web ", 200, DEPLOYMENT, false},
		{"/services?", 200, LIST(""), false},
		{CREATE, 201, OBJECT("u1", ""), false},
		{"&watch", 0, NULL, false},
		{FOLLOW, 200, LIST(OBJECT("u1", "")), false},
		{"DELETE ", 200, "{}", false},
		{.expects = NULL},
	};
	struct answer asked, second;
	bool stopped = false;
	struct rig rig;

	(void)state;
	start(&rig, rules);
	assert_false(intercepts_stop(rig.set, on_stopped, &stopped));
	assert_int_equal(ask(&rig, "web", "8080", &asked, NULL), 0);
	assert_int_equal(ask(&rig, "other", "8081", &second, NULL), 0);
	run_until(&rig, is_logged, "PP");
	run_until(&rig, is_served, "u1");
	assert_true(intercepts_stop(rig.set, on_stopped, &stopped));
	run_until(&rig, is_set, &stopped);
	assert_string_equal(rig.log, "PPDD");
	assert_true(asked.done && second.done);
	stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deleting_the_object_ends_it),
		cmocka_unit_test(an_object_that_went_with_its_session_comes_back),
		cmocka_unit_test(stopping_deletes_every_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
