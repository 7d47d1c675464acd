/* SPDX-License-Identifier: Apache-2.0 */
/* From the request to the object: refusals, conflicts, hang-ups, names. */
#include "client/intercept_ask.h"

static void nothing_is_changed_before_it_is_clear(void **state)
{
	static const struct rule rules[] = {
		{"/services?", 200, LIST(""), false},
		{.expects = NULL},
	};
	struct answer asked;
	struct rig rig;

	(void)state;
	start(&rig, rules);
	assert_int_equal(ask(&rig, "web", "8080", &asked, NULL), 0);
	run_until(&rig, is_done, &asked);
	assert_int_equal(asked.r, -ENOENT);
	assert_string_equal(asked.err.msg, "No interceptable deployment, replicaset, or "
					   "statefulset matching web found");
	run_until(&rig, is_gone, "web");
	assert_string_equal(rig.log, "");
	stop(&rig);
}

static void a_conflict_takes_the_object_back(void **state)
{
	static const struct rule rules[] = {
		{"/deployments/web ", 200, DEPLOYMENT, false},
		{"/services?", 200, LIST(""), false},
		{CREATE, 201, OBJECT("u1", ""), false},
		{"&watch", 0, NULL, false},
		{FOLLOW, 200, LIST(OBJECT("u1", ERROR)), false},
		{REMOVE, 200, "{}", false},
		{.expects = NULL},
	};
	struct answer asked;
	struct rig rig;

	(void)state;
	start(&rig, rules);
	assert_int_equal(ask(&rig, "web", "8080", &asked, NULL), 0);
	run_until(&rig, is_gone, "web");
	assert_true(asked.done);
	assert_int_equal(asked.r, -EEXIST);
	assert_int_equal(asked.err.kind, ERR_CONFLICT);
	assert_string_equal(asked.err.msg, "Conflicts with x");
	assert_string_equal(rig.log, "PD");
	stop(&rig);
}

static void a_command_that_hangs_up_takes_it_back(void **state)
{
	static const struct rule rules[] = {
		{"/deployments/web ", 200, DEPLOYMENT, false},
		{"/services?", 200, LIST(""), false},
		{CREATE, 201, OBJECT("u1", ""), false},
		{"&watch", 0, NULL, false},
		{FOLLOW, 200, LIST(OBJECT("u1", WAITING)), false},
		{REMOVE, 200, "{}", false},
		{.expects = NULL},
	};
	struct answer asked;
	struct rig rig;

	(void)state;
	start(&rig, rules);
	assert_int_equal(ask(&rig, "web", "8080", &asked, NULL), 0);
	run_until(&rig, is_served, "u1");
	while (strcmp(asked.progress, "Waiting for agents: 1 of 2 pods") != 0)
		uv_run(&rig.loop, UV_RUN_ONCE);
	intercept_wait_cancel(&asked.wait, true);
	assert_false(is_served(&rig, "u1"));
	run_until(&rig, is_gone, "web");
	assert_string_equal(rig.log, "PD");
	assert_false(asked.done);
	/* Before there is an object there is nothing to take back. */
	assert_int_equal(ask(&rig, "web", "8080", &asked, NULL), 0);
	intercept_wait_cancel(&asked.wait, true);
	run_until(&rig, is_gone, "web");
	assert_string_equal(rig.log, "PD");
	stop(&rig);
}

static void anothers_name_is_not_taken(void **state)
{
	static const struct rule rules[] = {
		{"/deployments/web ", 200, DEPLOYMENT, false},
		{"/services?", 200, LIST(""), false},
		{CREATE, 409, "{\"reason\":\"AlreadyExists\"}", true},
		{FETCH, 200, HELD("eve", "elsewhere", "x"), false},
		{CREATE, 201, OBJECT("u1", ""), false},
		{"&watch", 0, NULL, false},
		{FOLLOW, 200, LIST(OBJECT("u1", "")), false},
		{.expects = NULL},
	};
	struct answer asked;
	struct rig rig;

	(void)state;
	start(&rig, rules);
	assert_int_equal(ask(&rig, "web", "8080", &asked, NULL), 0);
	run_until(&rig, is_served, "u1");
	assert_string_equal(rig.log, "PP");
	assert_non_null(strstr(rig.last_post, "\"metadata\":{\"name\":\"web-"));
	assert_non_null(strstr(rig.last_post, "\"name\":\"web\""));
	stop(&rig);
}

static void what_this_session_lost_is_replaced(void **state)
{
	static struct rule rules[] = {
		{"/deployments/web ", 200, DEPLOYMENT, false},
		{"/services?", 200, LIST(""), false},
		{CREATE, 409, "{\"reason\":\"AlreadyExists\"}", true},
		{FETCH, 200, NULL, false},
		{REMOVE, 200, "{}", false},
		{CREATE, 201, OBJECT("u1", ""), false},
		{"&watch", 0, NULL, false},
		{FOLLOW, 200, LIST(OBJECT("u1", "")), false},
		{.expects = NULL},
	};
	char host[256] = "", *held;
	struct answer asked;
	struct rig rig;

	(void)state;
	assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
	held = xasprintf("{\"metadata\":{\"name\":\"web\",\"uid\":\"old\"},\"spec\":{\"owner\":"
			 "\"jane\",\"host\":\"%s\",\"session\":\"gone\",\"sessionUID\":\"x\"}}",
		host);
	rules[3].body = held;
	start(&rig, rules);
	assert_int_equal(ask(&rig, "web", "8080", &asked, NULL), 0);
	run_until(&rig, is_served, "u1");
	assert_string_equal(rig.log, "PDP");
	assert_non_null(strstr(rig.last_post, "\"metadata\":{\"name\":\"web\""));
	stop(&rig);
	free(held);
}

static void a_missing_right_names_the_role(void **state)
{
	static const struct rule rules[] = {
		{"/deployments/web ", 200, DEPLOYMENT, false},
		{"/services?", 200, LIST(""), false},
		{CREATE, 403, "{\"message\":\"jane cannot create intercepts\"}", false},
		{.expects = NULL},
	};
	struct answer asked;
	struct rig rig;

	(void)state;
	start(&rig, rules);
	assert_int_equal(ask(&rig, "web", "8080", &asked, NULL), 0);
	run_until(&rig, is_done, &asked);
	assert_int_equal(asked.err.kind, ERR_PERMISSION);
	assert_non_null(strstr(asked.hint, "kubectl -n shop create rolebinding NAME "
					   "--clusterrole=telepresence-user --user=jane"));
	stop(&rig);
}

static void names_and_ports_of_this_machine_are_taken_once(void **state)
{
	static const struct rule rules[] = {
		{"/deployments/web ", 200, DEPLOYMENT, false},
		{"/services?", 200, LIST(""), false},
		{CREATE, 201, OBJECT("u1", ""), false},
		{"&watch", 0, NULL, false},
		{FOLLOW, 200, LIST(OBJECT("u1", "")), false},
		{.expects = NULL},
	};
	struct answer asked, second;
	struct err err = ERR_INIT;
	struct rig rig;

	(void)state;
	start(&rig, rules);
	assert_int_equal(ask(&rig, "web", "8080", &asked, NULL), 0);
	assert_int_equal(ask(&rig, "web", "8081", &second, &err), -EEXIST);
	assert_string_equal(err.msg, "Intercept with name \"web\" already exists");
	run_until(&rig, is_served, "u1");
	assert_int_equal(ask(&rig, "other", "8080", &second, NULL), 0);
	run_until(&rig, is_done, &second);
	assert_string_equal(
		second.err.msg, "Port 127.0.0.1:8080 is already in use by intercept web");
	assert_string_equal(rig.log, "P");
	stop(&rig);
}

static void a_new_session_has_them_again(void **state)
{
	static const struct rule rules[] = {
		{"/deployments/web ", 200, DEPLOYMENT, false},
		{"/services?", 200, LIST(""), false},
		{CREATE, 201, OBJECT("u1", ""), true},
		{CREATE, 201, OBJECT("u2", ""), false},
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
	intercepts_session(rig.set, "jane", "s", "session-1");
	assert_true(is_served(&rig, "u1"));
	intercepts_session(rig.set, "jane", "s2", "session-2");
	assert_false(is_served(&rig, "u1"));
	run_until(&rig, is_served, "u2");
	assert_string_equal(rig.log, "PP");
	assert_non_null(strstr(rig.last_post, "\"sessionUID\":\"session-2\""));
	stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_changed_before_it_is_clear),
		cmocka_unit_test(a_conflict_takes_the_object_back),
		cmocka_unit_test(a_command_that_hangs_up_takes_it_back),
		cmocka_unit_test(anothers_name_is_not_taken),
		cmocka_unit_test(what_this_session_lost_is_replaced),
		cmocka_unit_test(a_missing_right_names_the_role),
		cmocka_unit_test(names_and_ports_of_this_machine_are_taken_once),
		cmocka_unit_test(a_new_session_has_them_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
