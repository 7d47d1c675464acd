/* SPDX-License-Identifier: Apache-2.0 */
/* From the request to the object: refusals, conflicts, hang-ups, names. */
#include "client/intercept_ask.h"
#include "client/userd/intercept_local.h"

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

static void a_static_pod_is_refused(void **state)
{
	static const struct rule rules[] = {
		{"/pods/web ", 200,
			"{\"metadata\":{\"name\":\"web\",\"annotations\":"
			"{\"kubernetes.io/config.mirror\":\"x\"}},\"spec\":{}}",
			false},
		{"/services?", 200, LIST(""), false},
		{.expects = NULL},
	};
	struct answer asked;
	struct rig rig;

	(void)state;
	start(&rig, rules);
	assert_int_equal(ask(&rig, "web", "8080", &asked, NULL), 0);
	run_until(&rig, is_done, &asked);
	assert_int_equal(asked.r, -EOPNOTSUPP);
	assert_string_equal(asked.hint, "");
	run_until(&rig, is_gone, "web");
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
		{CREATE, 403, "{\"message\":\"User \\\"jane\\\" cannot create intercepts\"}",
			false},
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

/* No role changes any of them, nor another version of the manager. */
static void what_no_role_changes_is_not_answered_with_one(void **state)
{
	static const struct {
		int status;
		const char *body, *says;
		enum err_kind kind;
	} cases[] = {
		{403,
			"{\"message\":\"intercepts.telepresence.io \\\"web\\\" is forbidden: "
			"unable to "
			"create new content in namespace shop because it is being terminated\"}",
			"namespace shop is being deleted", ERR_NOT_FOUND},
		{404, "{\"message\":\"namespaces \\\"shop\\\" not found\"}",
			"there is no namespace shop", ERR_NOT_FOUND},
		{403, "{\"message\":\"exceeded quota: intercepts\"}", "exceeded quota",
			ERR_PERMISSION},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct rule rules[] = {
			{"/deployments/web ", 200, DEPLOYMENT, false},
			{"/services?", 200, LIST(""), false},
			{CREATE, cases[i].status, cases[i].body, false},
			{.expects = NULL},
		};
		struct answer asked;
		struct rig rig;

		start(&rig, rules);
		assert_int_equal(ask(&rig, "web", "8080", &asked, NULL), 0);
		run_until(&rig, is_done, &asked);
		assert_int_equal(asked.err.kind, cases[i].kind);
		assert_non_null(strstr(asked.err.msg, cases[i].says));
		assert_string_equal(asked.hint, "");
		stop(&rig);
	}
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
	assert_int_equal(ask_at(&rig, "third", "8080", "localhost", &second, NULL), 0);
	run_until(&rig, is_done, &second);
	assert_string_equal(
		second.err.msg, "Port localhost:8080 is already in use by intercept web");
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

/* As run_until(), for what timers alone bring about. */
static void spin_until(
	struct rig *rig, bool (*met)(const struct rig *rig, const void *arg), const void *arg)
{
	uint64_t end = uv_hrtime() + DEADLINE_MS * 1000000ull;

	while (!met(rig, arg) && uv_hrtime() < end)
		uv_run(&rig->loop, UV_RUN_NOWAIT);
	assert_true(met(rig, arg));
}

static void ask_local(
	struct rig *rig, const char *name, const char *namespace, struct answer *asked)
{
	json_object *request = json_object_new_object();
	struct intercept_args args;

	memset(asked, 0, sizeof(*asked));
	asked->wait = (struct intercept_wait){
		.on_progress = on_progress, .on_done = on_done, .user = asked};
	json_object_object_add(request, "name", json_object_new_string(name));
	json_object_object_add(request, "namespace", json_object_new_string(namespace));
	json_object_object_add(request, "local-only", json_object_new_boolean(true));
	assert_int_equal(intercept_args_parse(request, "default", &args, NULL), 0);
	json_object_put(request);
	assert_int_equal(intercepts_add(rig->set, &args, &asked->wait, NULL), 0);
	intercept_args_done(&args);
	spin_until(rig, is_done, asked);
	assert_int_equal(asked->r, 0);
}

static void leave(struct rig *rig, const char *name)
{
	struct answer asked = {.wait = {.on_done = on_done, .user = &asked}};

	assert_int_equal(intercepts_leave(rig->set, name, &asked.wait, NULL), 0);
	spin_until(rig, is_done, &asked);
	assert_true(is_gone(rig, name));
}

static void local_only_asks_the_cluster_for_nothing(void **state)
{
	static const struct rule rules[] = {{.expects = NULL}};
	const char *namespaces[INTERCEPTS_MAX];
	json_object *described;
	struct answer asked;
	struct rig rig;

	(void)state;
	start(&rig, rules);
	ask_local(&rig, "a", "shop", &asked);
	ask_local(&rig, "b", "dev", &asked);
	ask_local(&rig, "c", "shop", &asked);
	assert_int_equal(intercepts_namespaces(rig.set, namespaces, INTERCEPTS_MAX), 2);
	assert_string_equal(namespaces[0], "shop");
	assert_string_equal(namespaces[1], "dev");
	/* Another session has them as they are. */
	intercepts_session(rig.set, "jane", "s2", "session-2");
	described = intercepts_describe(rig.set, true);
	assert_int_equal(json_object_array_length(described), 3);
	json_object_put(described);
	leave(&rig, "a");
	assert_int_equal(intercepts_namespaces(rig.set, namespaces, INTERCEPTS_MAX), 2);
	leave(&rig, "c");
	assert_int_equal(intercepts_namespaces(rig.set, namespaces, INTERCEPTS_MAX), 1);
	assert_string_equal(namespaces[0], "dev");
	leave(&rig, "b");
	assert_int_equal(intercepts_namespaces(rig.set, namespaces, INTERCEPTS_MAX), 0);
	assert_string_equal(rig.log, "");
	stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_changed_before_it_is_clear),
		cmocka_unit_test(a_static_pod_is_refused),
		cmocka_unit_test(a_conflict_takes_the_object_back),
		cmocka_unit_test(a_command_that_hangs_up_takes_it_back),
		cmocka_unit_test(anothers_name_is_not_taken),
		cmocka_unit_test(what_this_session_lost_is_replaced),
		cmocka_unit_test(a_missing_right_names_the_role),
		cmocka_unit_test(what_no_role_changes_is_not_answered_with_one),
		cmocka_unit_test(names_and_ports_of_this_machine_are_taken_once),
		cmocka_unit_test(a_new_session_has_them_again),
		cmocka_unit_test(local_only_asks_the_cluster_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
