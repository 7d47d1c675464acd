/* SPDX-License-Identifier: Apache-2.0 */
/* Intercepts against an API server of canned answers; there is no tunnel. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client/userd/intercepts.h"
#include "client/userd/uplink.h"
#include "cluster/client.h"
#include "cluster/fake_api.h"
#include "cluster/json.h"
#include "core/err.h"
#include "tunnel/key.h"

#define DEADLINE_MS 5000

#define DEPLOYMENT \
	"{\"metadata\":{\"name\":\"web\"},\"spec\":{\"template\":{\"metadata\":{\"labels\":{}}," \
	"\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":80}]}]}}}}"
#define OBJECT(uid, status) \
	"{\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"uid\":\"" uid \
	"\",\"resourceVersion\":\"5\"},\"spec\":{\"name\":\"web\",\"ports\":[{}]},\"status\":" \
	"{" status "}}"
#define LIST(items) "{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[" items "]}"
#define HELD(owner, host, session) \
	"{\"metadata\":{\"name\":\"web\",\"uid\":\"old\"},\"spec\":{\"owner\":\"" owner \
	"\",\"host\":\"" host "\",\"session\":\"s-old\",\"sessionUID\":\"" session "\"}}"
#define ERROR   "\"state\":\"ERROR\",\"reason\":\"Conflict\",\"message\":\"Conflicts with x\""
#define WAITING "\"state\":\"WAITING\",\"pods\":[{\"state\":\"ACTIVE\"},{\"state\":\"WAITING\"}]"

#define CREATE "POST /apis/telepresence.io/v1alpha1/namespaces/shop/intercepts "
#define FETCH  "GET /apis/telepresence.io/v1alpha1/namespaces/shop/intercepts/web "
#define REMOVE "DELETE /apis/telepresence.io/v1alpha1/namespaces/shop/intercepts/web "
#define FOLLOW "GET /apis/telepresence.io/v1alpha1/namespaces/shop/intercepts?"

struct rule {
	const char *expects; /* how the request begins, or a part of it */
	int status;
	const char *body;
	bool once;
};

struct rig {
	uv_loop_t loop;
	struct fake_api api;
	struct kube_client *client;
	struct session_key *key;
	struct uplink uplink;
	struct intercepts *set;
	const struct rule *rules; /* ended by one without expects */
	bool used[16];
	char log[1024]; /* requests that change something */
	char last_post[4096];
	uv_timer_t deadline;
	bool late; /* it has passed */
};

struct answer {
	struct intercept_wait wait;
	bool done;
	int r;
	struct err err;
	char hint[512], progress[256];
};

static void note(struct rig *rig, const char *head)
{
	size_t len = strlen(rig->log);

	if (strncmp(head, "GET", 3) == 0)
		return;
	(void)snprintf(rig->log + len, sizeof(rig->log) - len, "%c", head[0]);
	if (head[0] == 'P')
		(void)snprintf(rig->last_post, sizeof(rig->last_post), "%s", head);
}

static char *answer(struct fake_api *api, const char *head)
{
	struct rig *rig = container_of(api, struct rig, api);

	note(rig, head);
	for (size_t i = 0; rig->rules[i].expects; i++) {
		const struct rule *rule = &rig->rules[i];

		if (rig->used[i] || !strstr(head, rule->expects))
			continue;
		rig->used[i] = rule->once;
		return rule->body ? fake_json(rule->status, rule->body) : NULL;
	}
	return fake_json(404, "{\"kind\":\"Status\",\"reason\":\"NotFound\"}");
}

static void on_progress(void *user, const char *line)
{
	struct answer *answer = user;

	(void)snprintf(answer->progress, sizeof(answer->progress), "%s", line);
}

static void on_done(void *user, int r, json_object *result, const struct err *err, const char *hint)
{
	struct answer *answer = user;

	assert_false(answer->done);
	answer->done = true;
	answer->r = r;
	if (r < 0)
		answer->err = *err;
	(void)snprintf(answer->hint, sizeof(answer->hint), "%s", hint ? hint : "");
	json_object_put(result);
}

static void start(struct rig *rig, const struct rule *rules)
{
	struct kube_config config = {.server = rig->api.url, .context = (char[]){"ctx"}};

	memset(rig, 0, sizeof(*rig));
	rig->rules = rules;
	rig->api.answer = answer;
	assert_int_equal(uv_loop_init(&rig->loop), 0);
	(void)uv_timer_init(&rig->loop, &rig->deadline);
	rig->deadline.data = rig;
	fake_start(&rig->api, &rig->loop);
	assert_int_equal(kube_client_new(&rig->loop, &config, &rig->client, NULL), 0);
	assert_int_equal(session_key_new(&rig->key, NULL), 0);
	rig->set = intercepts_new(&(struct intercepts_config){.loop = &rig->loop,
		.client = rig->client,
		.manager_namespace = "ambassador",
		.key = rig->key,
		.uplink = &rig->uplink});
	intercepts_session(rig->set, "jane", "s", "session-1");
}

static void stop(struct rig *rig)
{
	uv_close((uv_handle_t *)&rig->deadline, NULL);
	intercepts_free(rig->set);
	kube_client_free(rig->client);
	fake_stop(&rig->api);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	session_key_free(rig->key);
}

static int ask(
	struct rig *rig, const char *name, const char *port, struct answer *answer, struct err *err)
{
	json_object *request = json_object_new_object(), *ports = json_object_new_array();
	struct intercept_args args;
	int r;

	memset(answer, 0, sizeof(*answer));
	answer->wait = (struct intercept_wait){
		.on_progress = on_progress, .on_done = on_done, .user = answer};
	json_object_object_add(request, "name", json_object_new_string(name));
	json_object_object_add(request, "workload", json_object_new_string("web"));
	json_object_array_add(ports, json_object_new_string(port));
	json_object_object_add(request, "ports", ports);
	assert_int_equal(intercept_args_parse(request, "shop", &args, NULL), 0);
	json_object_put(request);
	r = intercepts_add(rig->set, &args, &answer->wait, err);
	intercept_args_done(&args);
	return r;
}

static void on_late(uv_timer_t *timer)
{
	struct rig *rig = timer->data;

	rig->late = true;
}

static bool is_done(const struct rig *rig, const void *arg)
{
	const struct answer *answer = arg;

	(void)rig;
	return answer->done;
}

static bool is_logged(const struct rig *rig, const void *arg)
{
	return strcmp(rig->log, arg) == 0;
}

static bool is_served(const struct rig *rig, const void *arg)
{
	const char *address;

	return intercepts_find_target(rig->set, arg, &address) != NULL;
}

static bool is_gone(const struct rig *rig, const void *arg)
{
	return !intercepts_has(rig->set, arg);
}

static void run_until(
	struct rig *rig, bool (*met)(const struct rig *rig, const void *arg), const void *arg)
{
	(void)uv_timer_start(&rig->deadline, on_late, DEADLINE_MS, 0);
	while (!met(rig, arg) && !rig->late)
		uv_run(&rig->loop, UV_RUN_ONCE);
	(void)uv_timer_stop(&rig->deadline);
	assert_false(rig->late);
}

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
		cmocka_unit_test(nothing_is_changed_before_it_is_clear),
		cmocka_unit_test(a_conflict_takes_the_object_back),
		cmocka_unit_test(a_command_that_hangs_up_takes_it_back),
		cmocka_unit_test(anothers_name_is_not_taken),
		cmocka_unit_test(what_this_session_lost_is_replaced),
		cmocka_unit_test(a_missing_right_names_the_role),
		cmocka_unit_test(names_and_ports_of_this_machine_are_taken_once),
		cmocka_unit_test(a_new_session_has_them_again),
		cmocka_unit_test(deleting_the_object_ends_it),
		cmocka_unit_test(an_object_that_went_with_its_session_comes_back),
		cmocka_unit_test(stopping_deletes_every_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
