/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/userd/workload_table.h"
#include "cluster/json.h"

#define OWNED(name, kind, owner) \
	"\"metadata\":{\"name\":\"" name \
	"\",\"ownerReferences\":[{\"controller\":true,\"kind\":\"" kind "\",\"name\":\"" owner \
	"\"}]}"
#define AGENT(name, state) \
	",\"status\":{\"ephemeralContainerStatuses\":[{\"name\":\"" name "\",\"state\":{\"" state \
	"\":{}}}]}"
#define RUNS AGENT("telepresence-agent-2", "running")
#define WEB \
	"{\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":2},\"status\":{" \
	"\"readyReplicas\":1}}"
#define WEB_SET "{" OWNED("web-1", "Deployment", "web") "}"

static void add(struct workload_table *table, const char *kind, const char *text)
{
	json_object *object = json_tokener_parse(text);

	assert_non_null(object);
	workload_table_add(table, workload_kind_find(kind), object);
	json_object_put(object);
}

static void add_intercept(struct workload_table *table, const char *text)
{
	json_object *object = json_tokener_parse(text);

	assert_non_null(object);
	workload_table_add_intercept(table, object);
	json_object_put(object);
}

static const char *text_of(json_object *rows, size_t i, const char *key)
{
	return json_text_or(json_object_array_get_idx(rows, i), key, "");
}

static bool has_agent(json_object *rows, size_t i)
{
	return json_object_get_boolean(json_member(json_object_array_get_idx(rows, i), "agent"));
}

static void init(struct workload_table *table)
{
	workload_table_init(table, "shop", "ambassador");
}

static void owned_objects_are_no_rows(void **state)
{
	struct workload_table table;
	json_object *rows;

	(void)state;
	init(&table);
	add(&table, "Pod", "{" OWNED("web-1-a", "ReplicaSet", "web-1") "}");
	add(&table, "ReplicaSet", WEB_SET);
	add(&table, "ReplicaSet", "{\"metadata\":{\"name\":\"lone\"}}");
	add(&table, "Deployment", WEB);
	add(&table, "Pod", "{\"metadata\":{\"name\":\"bare\"}}");
	add(&table, "Pod",
		"{\"metadata\":{\"name\":\"done\"},\"status\":{\"phase\":\"Succeeded\"}}");
	rows = workload_table_take(&table);
	assert_int_equal(json_object_array_length(rows), 3);
	assert_string_equal(text_of(rows, 0, "name"), "bare");
	assert_string_equal(text_of(rows, 1, "name"), "lone");
	assert_string_equal(text_of(rows, 2, "name"), "web");
	assert_string_equal(text_of(rows, 2, "state"), "ready");
	assert_int_equal(json_int(json_object_array_get_idx(rows, 2), "replicas", 0), 2);
	assert_int_equal(json_int(json_object_array_get_idx(rows, 2), "ready", 0), 1);
	json_object_put(rows);
}

static void an_agent_is_in_all_pods_or_it_is_not_there(void **state)
{
	static const struct {
		const char *first, *second;
		bool agent;
	} cases[] = {
		{"{" OWNED("a", "ReplicaSet", "web-1") RUNS "}",
			"{" OWNED("b", "ReplicaSet", "web-1") RUNS "}", true},
		{"{" OWNED("a", "ReplicaSet", "web-1") RUNS "}",
			"{" OWNED("b", "ReplicaSet", "web-1") "}", false},
		{"{" OWNED("a", "ReplicaSet", "web-1") RUNS "}",
			"{" OWNED("b", "ReplicaSet", "web-1")
				AGENT("telepresence-agent-1", "terminated") "}",
			false},
		{"{" OWNED("a", "ReplicaSet", "web-1") AGENT("debugger", "running") "}",
			"{" OWNED("b", "ReplicaSet", "other") RUNS "}", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct workload_table table;
		json_object *rows;

		init(&table);
		add(&table, "Pod", cases[i].first);
		add(&table, "Pod", cases[i].second);
		add(&table, "Deployment", WEB);
		add(&table, "ReplicaSet", WEB_SET);
		rows = workload_table_take(&table);
		assert_int_equal(json_object_array_length(rows), 1);
		assert_int_equal(has_agent(rows, 0), cases[i].agent);
		json_object_put(rows);
	}
}

static void intercepts_are_shown_whoever_has_them(void **state)
{
	struct workload_table table;
	json_object *rows, *list;

	(void)state;
	init(&table);
	add(&table, "Deployment", WEB);
	add(&table, "StatefulSet", WEB);
	add_intercept(&table,
		"{\"metadata\":{\"namespace\":\"shop\"},\"spec\":{\"kind\":\"Deployment\","
		"\"workload\":\"web\",\"name\":\"mine\",\"owner\":\"eve\",\"host\":\"h\","
		"\"ports\":[{\"local\":8080,\"containerPort\":80}]},"
		"\"status\":{\"state\":\"ACTIVE\"}}");
	add_intercept(&table, "{\"spec\":{\"kind\":\"StatefulSet\",\"workload\":\"web\"},"
			      "\"status\":{\"state\":\"ERROR\"}}");
	rows = workload_table_take(&table);
	for (size_t i = 0; i < 2; i++) {
		bool deployment = strcmp(text_of(rows, i, "kind"), "Deployment") == 0;

		list = json_member(json_object_array_get_idx(rows, i), "intercepts");
		assert_int_equal(json_object_array_length(list), 1);
		assert_string_equal(
			text_of(rows, i, "state"), deployment ? "intercepted" : "ready");
		if (deployment)
			assert_string_equal(text_of(list, 0, "client"), "eve@h");
	}
	json_object_put(rows);
}

/* Deleted, to be made again perhaps: the intercept waits for it, and can be left. */
static void intercepts_of_an_absent_workload_are_shown(void **state)
{
	struct workload_table table;
	json_object *rows;

	(void)state;
	init(&table);
	add(&table, "Deployment", WEB);
	add_intercept(&table, "{\"spec\":{\"kind\":\"Deployment\",\"workload\":\"gone.v1\"},"
			      "\"status\":{\"state\":\"WAITING\"}}");
	rows = workload_table_take(&table);
	assert_int_equal(json_object_array_length(rows), 2);
	assert_string_equal(text_of(rows, 0, "name"), "gone.v1");
	assert_string_equal(text_of(rows, 0, "kind"), "Deployment");
	assert_string_equal(text_of(rows, 0, "namespace"), "shop");
	assert_string_equal(text_of(rows, 0, "state"), "intercepted");
	assert_false(has_agent(rows, 0));
	assert_string_equal(text_of(rows, 1, "state"), "ready");
	json_object_put(rows);
}

static void reasons_say_why_not(void **state)
{
	struct workload_table table;
	json_object *rows;

	(void)state;
	init(&table);
	add(&table, "DaemonSet",
		"{\"metadata\":{\"name\":\"net\"},\"spec\":{\"template\":{\"spec\":{"
		"\"hostNetwork\":true}}},\"status\":{\"desiredNumberScheduled\":3,"
		"\"numberReady\":2}}");
	rows = workload_table_take(&table);
	assert_string_equal(text_of(rows, 0, "state"), "not-interceptable");
	assert_string_equal(text_of(rows, 0, "reason"), "it uses its node's network (hostNetwork)");
	assert_int_equal(json_int(json_object_array_get_idx(rows, 0), "replicas", 0), 3);
	json_object_put(rows);
	workload_table_init(&table, "kube-system", "ambassador");
	add(&table, "Deployment", "{\"metadata\":{\"name\":\"coredns\"}}");
	rows = workload_table_take(&table);
	assert_string_equal(text_of(rows, 0, "state"), "not-interceptable");
	json_object_put(rows);
	workload_table_init(&table, "ambassador", "ambassador");
	add(&table, "Deployment", "{\"metadata\":{\"name\":\"traffic-manager\"}}");
	rows = workload_table_take(&table);
	assert_int_equal(json_object_array_length(rows), 0);
	json_object_put(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(owned_objects_are_no_rows),
		cmocka_unit_test(an_agent_is_in_all_pods_or_it_is_not_there),
		cmocka_unit_test(intercepts_are_shown_whoever_has_them),
		cmocka_unit_test(intercepts_of_an_absent_workload_are_shown),
		cmocka_unit_test(reasons_say_why_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
