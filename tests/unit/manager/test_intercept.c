/* SPDX-License-Identifier: Apache-2.0 */
/* Intercept objects as they are read, and which of two has the older right. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/json.h"
#include "core/alloc.h"
#include "core/err.h"
#include "manager/intercept.h"

#define META(uid, created) \
	"\"metadata\":{\"uid\":\"" uid "\",\"name\":\"web\",\"namespace\":\"shop\"," \
	"\"creationTimestamp\":\"" created "\"}"
#define SPEC(ports) \
	"\"spec\":{\"owner\":\"alice\",\"host\":\"lap\",\"name\":\"web\",\"kind\":\"Deployment\"," \
	"\"workload\":\"web\",\"sessionUID\":\"s\",\"ports\":[" ports "]}"
#define T0 "2026-01-01T00:00:00Z"
#define T1 "2026-01-01T00:00:01Z"

static struct intercept_spec *parse(const char *text)
{
	json_object *object = json_parse(text, strlen(text));
	struct intercept_spec *spec = NULL;
	struct err err = ERR_INIT;

	assert_non_null(object);
	if (intercept_parse(object, &spec, &err) < 0)
		fail_msg("%s", err.msg);
	json_object_put(object);
	return spec;
}

static void test_an_object_is_read(void **state UNUSED)
{
	struct intercept_spec *spec = parse("{" META("u1", T0) "," SPEC(
		"{\"local\":8080,\"servicePort\":80,\"containerPort\":8080,\"containerPortName\":"
		"\"http\"},"
		"{\"local\":53,\"containerPort\":53,\"protocol\":\"UDP\"}") "}");

	assert_string_equal(spec->uid, "u1");
	assert_string_equal(spec->namespace, "shop");
	assert_string_equal(spec->owner, "alice");
	assert_string_equal(spec->service, "");
	assert_int_equal(spec->port_count, 2);
	assert_int_equal(spec->ports[0].service_port, 80);
	assert_string_equal(spec->ports[0].container_port_name, "http");
	assert_int_equal(spec->ports[0].protocol, IPPROTO_TCP);
	assert_int_equal(spec->ports[1].service_port, 0);
	assert_int_equal(spec->ports[1].protocol, IPPROTO_UDP);
	assert_false(spec->refuse_closes);
	intercept_spec_free(spec);
}

static void test_what_is_off_is_refused(void **state UNUSED)
{
	static const char *const bad[] = {
		"{}",
		"[]",
		"{" META("", T0) "," SPEC("{\"local\":1,\"containerPort\":1}") "}",
		"{" META("u", T0) "," SPEC("") "}",
		"{" META("u", T0) "," SPEC("{\"local\":1,\"containerPort\":70000}") "}",
		"{" META("u", T0) "," SPEC("{\"local\":1}") "}",
		/* It would go into a path. */
		"{" META("u", T0) ",\"spec\":{\"workload\":\"../"
				  "x?a\",\"ports\":[{\"containerPort\":1}]}}",
		"{" META("u",
			T0) ",\"spec\":{\"workload\":\"..\",\"ports\":[{\"containerPort\":1}]}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		json_object *object = json_parse(bad[i], strlen(bad[i]));
		struct intercept_spec *spec = NULL;
		struct err err = ERR_INIT;

		if (intercept_parse(object, &spec, &err) != -EINVAL || !err.msg[0])
			fail_msg("case %zu", i);
		json_object_put(object);
	}
}

#define PORT(number, name, protocol) \
	"{\"containerPort\":" number ",\"containerPortName\":\"" name \
	"\",\"protocol\":\"" protocol "\"}"

static void test_ports_in_common(void **state UNUSED)
{
	static const struct {
		const char *a, *b;
		bool shared;
	} cases[] = {
		{"{" META("a", T0) "," SPEC(PORT("80", "", "TCP")) "}",
			"{" META("b", T0) "," SPEC(PORT("80", "", "TCP")) "}", true},
		{"{" META("a", T0) "," SPEC(PORT("80", "", "TCP")) "}",
			"{" META("b", T0) "," SPEC(PORT("81", "", "TCP")) "}", false},
		{"{" META("a", T0) "," SPEC(PORT("80", "", "TCP")) "}",
			"{" META("b", T0) "," SPEC(PORT("80", "", "UDP")) "}", false},
		/* One name may be another number in another pod. */
		{"{" META("a", T0) "," SPEC(PORT("80", "http", "TCP")) "}",
			"{" META("b", T0) "," SPEC(PORT("81", "http", "TCP")) "}", true},
		{"{" META("a", T0) "," SPEC(PORT("80", "x", "TCP") "," PORT("90", "", "TCP")) "}",
			"{" META("b", T0) "," SPEC(
				PORT("70", "y", "TCP") "," PORT("90", "", "TCP")) "}",
			true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct intercept_spec *a = parse(cases[i].a), *b = parse(cases[i].b);

		if (intercept_shares_port(a, b) != cases[i].shared ||
			intercept_shares_port(b, a) != cases[i].shared)
			fail_msg("case %zu", i);
		intercept_spec_free(a);
		intercept_spec_free(b);
	}
}

static void test_the_older_right(void **state UNUSED)
{
	static const struct {
		const char *a_uid, *a_created;
		bool a_active;
		const char *b_uid, *b_created;
		bool b_active, a_first;
	} cases[] = {
		{"b", T0, false, "a", T1, false, true},
		{"a", T1, true, "b", T0, false, false},
		/* Of one second: the active one, else by uid. */
		{"a", T0, false, "b", T0, false, true},
		{"b", T0, false, "a", T0, false, false},
		{"b", T0, true, "a", T0, false, true},
		{"a", T0, false, "b", T0, true, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *a_uid = xstrdup(cases[i].a_uid), *b_uid = xstrdup(cases[i].b_uid);
		auto_free char *a_created = xstrdup(cases[i].a_created);
		auto_free char *b_created = xstrdup(cases[i].b_created);
		const struct intercept_spec a = {.uid = a_uid, .created = a_created};
		const struct intercept_spec b = {.uid = b_uid, .created = b_created};

		if (intercept_precedes(&a, cases[i].a_active, &b, cases[i].b_active) !=
			cases[i].a_first)
			fail_msg("case %zu", i);
		/* Exactly one of two wins. */
		if (intercept_precedes(&b, cases[i].b_active, &a, cases[i].a_active) ==
			cases[i].a_first)
			fail_msg("case %zu the other way", i);
	}
}

/* What to type depends on whose it is, and where theirs is. */
static void test_a_conflict_names_the_owner(void **state UNUSED)
{
	static const struct {
		const char *owner, *host, *session, *text;
	} losers[] = {
		{"bob", "lap", "t",
			"Conflicts with the intercept \"web\" of alice (lap) since " T0
			": ask them to run telepresence leave web"},
		{"alice", "lap", "s",
			"Conflicts with your own intercept \"web\" of alice (lap) since " T0
			": end it by telepresence leave web"},
		{"alice", "desk", "t",
			"Conflicts with the intercept \"web\" of alice (lap) since " T0
			": end it there by telepresence leave web"},
	};
	struct intercept_spec *winner =
		parse("{" META("u", T0) "," SPEC("{\"local\":1,\"containerPort\":1}") "}");

	for (size_t i = 0; i < ARRAY_SIZE(losers); i++) {
		auto_free char *text =
			xasprintf("{" META("v", T1) ",\"spec\":{\"owner\":\"%s\","
						    "\"host\":\"%s\",\"sessionUID\":\"%s\","
						    "\"name\":\"other\",\"workload\":\"web\","
						    "\"ports\":[{\"containerPort\":1}]}}",
				losers[i].owner, losers[i].host, losers[i].session);
		struct intercept_spec *loser = parse(text);
		struct err err = ERR_INIT;

		assert_int_equal(intercept_conflict(winner, loser, &err), -EBUSY);
		assert_string_equal(err.msg, losers[i].text);
		intercept_spec_free(loser);
	}
	intercept_spec_free(winner);
}

/* A Service may lead elsewhere later; its port goes by its number, else by its name. */
static void test_a_port_goes_where_its_service_leads(void **state UNUSED)
{
	static const struct {
		const char *service; /* its ports; NULL: it is gone */
		bool changed, left;
		uint16_t port;
		const char *name;
	} steps[] = {
		{"{\"port\":80,\"targetPort\":8080}", false, false, 8080, ""},
		{"{\"port\":80,\"targetPort\":9090}", true, false, 9090, ""},
		{"{\"port\":80,\"targetPort\":\"web\"}", true, false, 8080, "web"},
		{"{\"port\":80,\"targetPort\":\"web\"}", false, false, 8080, "web"},
		{"{\"port\":81,\"name\":\"http\",\"targetPort\":7}", true, false, 7, ""},
		{"{\"port\":80}", true, false, 80, ""},
		{"{\"port\":80,\"protocol\":\"UDP\",\"targetPort\":6}", false, true, 80, ""},
		{"{\"port\":80,\"protocol\":\"SCTP\",\"targetPort\":6}", false, true, 80, ""},
		{NULL, false, true, 80, ""},
		{"{\"port\":80,\"targetPort\":70000}", false, false, 80, ""},
	};
	struct intercept_spec *spec = parse("{" META("u", T0) "," SPEC(
		"{\"service\":\"web\",\"servicePort\":80,\"servicePortName\":\"http\","
		"\"containerPort\":8080}") "}");

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		auto_free char *text = xasprintf(
			"{\"spec\":{\"ports\":[%s]}}", steps[i].service ? steps[i].service : "");
		json_object *service = steps[i].service ? json_parse(text, strlen(text)) : NULL;
		const struct intercept_port *port = &spec->ports[0];

		assert_false(intercept_retarget(spec, "other", service));
		if (intercept_retarget(spec, "web", service) != steps[i].changed ||
			port->left != steps[i].left || port->target_port != steps[i].port ||
			strcmp(port->target_name, steps[i].name) != 0)
			fail_msg("step %zu: %u %s", i, port->target_port, port->target_name);
		assert_int_equal(port->container_port, 8080);
		json_object_put(service);
	}
	intercept_spec_free(spec);
}

static void test_system_namespaces(void **state UNUSED)
{
	assert_true(intercept_is_system("kube-system", "ambassador"));
	assert_true(intercept_is_system("kube-public", "ambassador"));
	assert_true(intercept_is_system("kube-node-lease", "ambassador"));
	assert_true(intercept_is_system("ambassador", "ambassador"));
	assert_false(intercept_is_system("ambassador", "tools"));
	assert_false(intercept_is_system("kube-systems", "ambassador"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_object_is_read),
		cmocka_unit_test(test_what_is_off_is_refused),
		cmocka_unit_test(test_ports_in_common),
		cmocka_unit_test(test_the_older_right),
		cmocka_unit_test(test_a_conflict_names_the_owner),
		cmocka_unit_test(test_a_port_goes_where_its_service_leads),
		cmocka_unit_test(test_system_namespaces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
