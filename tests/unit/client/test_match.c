/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client/userd/match.h"
#include "core/err.h"

#define APP "{\"name\":\"app\",\"ports\":[{\"name\":\"http\",\"containerPort\":8081}]}"
#define SIDE \
	"{\"name\":\"side\",\"ports\":[{\"name\":\"admin\",\"containerPort\":9000}," \
	"{\"name\":\"dns\",\"containerPort\":53,\"protocol\":\"UDP\"}]," \
	"\"volumeMounts\":[{\"mountPath\":\"/a\"},{\"mountPath\":\"/b\"}]}"
#define TEMPLATE(containers) \
	"{\"metadata\":{\"labels\":{\"app\":\"web\",\"tier\":\"x\"}}," \
	"\"spec\":{\"containers\":[" containers "]}}"
#define WITH_SIDECAR(containers, sidecar) \
	"{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":{\"containers\":[" containers \
	"],\"initContainers\":[{\"name\":\"init\",\"ports\":[{\"containerPort\":9000}]}," sidecar \
	"]}}"
#define PROXY \
	"{\"name\":\"proxy\",\"restartPolicy\":\"Always\",\"ports\":[{\"containerPort\":9000}]," \
	"\"volumeMounts\":[{\"mountPath\":\"/p\"}]}"
#define SERVICE(name, selector, ports) \
	"{\"metadata\":{\"name\":\"" name "\",\"uid\":\"uid-" name \
	"\"},\"spec\":{\"selector\":{" selector "},\"ports\":[" ports "]}}"
#define WEB SERVICE("web", "\"app\":\"web\"", "{\"port\":80,\"targetPort\":\"http\"}")
#define TWO \
	SERVICE("two", "\"app\":\"web\"", \
		"{\"name\":\"main\",\"port\":80,\"targetPort\":8081}," \
		"{\"name\":\"admin\",\"port\":81,\"targetPort\":9000}")
#define DNS \
	"{\"name\":\"dns\",\"ports\":[{\"containerPort\":5353,\"protocol\":\"UDP\"}," \
	"{\"containerPort\":5354}]}"
#define DNS_SERVICE \
	SERVICE("dns", "\"app\":\"web\"", \
		"{\"name\":\"udp\",\"port\":53,\"targetPort\":5353,\"protocol\":\"UDP\"}," \
		"{\"name\":\"tcp\",\"port\":53,\"targetPort\":5354}")
#define OUTSIDE \
	"{\"metadata\":{\"name\":\"out\"},\"spec\":{\"type\":\"ExternalName\"," \
	"\"selector\":{\"app\":\"web\"},\"ports\":[{\"port\":9000}]}}"

struct row {
	const char *template, *services, *port;
	char *service;
	/* Expected. */
	int r;
	uint16_t container_port, service_port;
	const char *container, *error;
};

static int run(const struct row *row, char *container, struct intercept_target *target,
	struct err *err, char hint[static MATCH_HINT_BYTES])
{
	struct intercept_args args = {.name = "web",
		.workload = "web",
		.namespace = "shop",
		.service = row->service,
		.container = container,
		.port_count = 1};
	json_object *template = json_tokener_parse(row->template);
	json_object *services = json_tokener_parse(row->services);
	int r;

	assert_non_null(template);
	assert_non_null(services);
	assert_int_equal(intercept_port_parse(row->port, &args.ports[0], NULL), 0);
	r = match_ports(&args, "Deployment", "web", template, services, target, err, hint);
	json_object_put(template);
	json_object_put(services);
	return r;
}

static const struct row rows[] = {
	/* One service with one port. */
	{TEMPLATE(APP), "[" WEB "]", "8080", NULL, 0, 8081, 80, "app", NULL},
	{TEMPLATE(APP), "[" WEB "]", "8080:80", NULL, 0, 8081, 80, "app", NULL},
	/* Not this workload's service. */
	{TEMPLATE(APP), "[" SERVICE("api", "\"app\":\"api\"", "{\"port\":80}") "]", "8080", NULL, 0,
		8081, 0, "app", NULL},
	/* A selector of more labels than there are; one without any. */
	{TEMPLATE(APP),
		"[" SERVICE("a", "\"app\":\"web\",\"z\":\"1\"", "{\"port\":1}") "," SERVICE(
			"b", "", "{\"port\":2}") "," WEB "]",
		"8080", NULL, 0, 8081, 80, "app", NULL},
	/* The service's port by name and by number, the container's by name and by number. */
	{TEMPLATE(APP "," SIDE), "[" TWO "]", "8080:admin", NULL, 0, 9000, 81, "side", NULL},
	{TEMPLATE(APP "," SIDE), "[" TWO "]", "8080:80", NULL, 0, 8081, 80, "app", NULL},
	{TEMPLATE(APP "," SIDE), "[" TWO "]", "8080:http", NULL, 0, 8081, 0, "app", NULL},
	{TEMPLATE(APP "," SIDE), "[" TWO "]", "8080:9000", NULL, 0, 9000, 0, "side", NULL},
	{TEMPLATE(APP "," SIDE), "[" TWO "]", "8080:dns", NULL, 0, 53, 0, "side", NULL},
	/* The same number of both protocols. */
	{TEMPLATE(DNS), "[" DNS_SERVICE "]", "8080:53/UDP", NULL, 0, 5353, 53, "dns", NULL},
	{TEMPLATE(DNS), "[" DNS_SERVICE "]", "8080:53/tcp", NULL, 0, 5354, 53, "dns", NULL},
	{TEMPLATE(DNS), "[]", "8080:5353/UDP", NULL, 0, 5353, 0, "dns", NULL},
	{TEMPLATE("{\"name\":\"bare\"}"), "[]", "8080:7000/UDP", NULL, 0, 7000, 0, "", NULL},
	{TEMPLATE(DNS), "[" DNS_SERVICE "]", "8080:53", NULL, -E2BIG, 0, 0, NULL,
		"deployment web.shop has multiple interceptable ports. Please specify the one with "
		"--service=<svc> and/or --port=local:svcPort"},
	{TEMPLATE(APP), "[" WEB "]", "8080:80/UDP", NULL, -ENOENT, 0, 0, NULL,
		"deployment web.shop has no interceptable port matching 80/UDP"},
	/* A name for something outside the cluster leads to no pod, whatever it selects. */
	{TEMPLATE(APP "," SIDE), "[" OUTSIDE "," WEB "]", "8080", NULL, 0, 8081, 80, "app", NULL},
	/* No service at all. */
	{TEMPLATE(APP), "[]", "8080", NULL, 0, 8081, 0, "app", NULL},
	{TEMPLATE(APP "," SIDE), "[]", "8080:9000", NULL, 0, 9000, 0, "side", NULL},
	{TEMPLATE("{\"name\":\"bare\"}"), "[]", "8080:7000", NULL, 0, 7000, 0, "", NULL},
	/* A targetPort that nobody declares; none at all is the port itself. */
	{TEMPLATE("{\"name\":\"bare\"}"),
		"[" SERVICE("w", "\"app\":\"web\"", "{\"port\":80,\"targetPort\":7000}") "]",
		"8080", NULL, 0, 7000, 80, "", NULL},
	{TEMPLATE(APP), "[" SERVICE("w", "\"app\":\"web\"", "{\"port\":8081}") "]", "8080", NULL, 0,
		8081, 8081, "app", NULL},
	/* Two services, one container port: it is one. */
	{TEMPLATE(APP),
		"[" WEB
		"," SERVICE("alt", "\"tier\":\"x\"", "{\"port\":8000,\"targetPort\":\"http\"}") "]",
		"8080", NULL, 0, 8081, 80, "app", NULL},
	{TEMPLATE(APP),
		"[" WEB
		"," SERVICE("alt", "\"tier\":\"x\"", "{\"port\":8000,\"targetPort\":8081}") "]",
		"8080", NULL, 0, 8081, 80, "app", NULL},
	{TEMPLATE(APP "," SIDE), "[" WEB "," TWO "]", "8080", "web", 0, 8081, 80, "app", NULL},
	/* A sidecar's port; what an init container that ends declares is none. */
	{WITH_SIDECAR(APP, PROXY), "[]", "8080:9000", NULL, 0, 9000, 0, "proxy", NULL},
	/* Refused. */
	{TEMPLATE(APP "," SIDE), "[" TWO "]", "8080", NULL, -E2BIG, 0, 0, NULL,
		"deployment web.shop has multiple interceptable ports. Please specify the one with "
		"--service=<svc> and/or --port=local:svcPort"},
	{TEMPLATE(APP "," SIDE), "[]", "8080", NULL, -E2BIG, 0, 0, NULL,
		"deployment web.shop has multiple interceptable ports. Please specify the one with "
		"--service=<svc> and/or --port=local:svcPort"},
	{TEMPLATE(APP), "[" WEB "]", "8080:99", NULL, -ENOENT, 0, 0, NULL,
		"deployment web.shop has no interceptable port matching 99"},
	{TEMPLATE(APP), "[]", "8080:99", NULL, -ENOENT, 0, 0, NULL,
		"deployment web.shop has no interceptable port matching 99"},
	{TEMPLATE("{\"name\":\"bare\"}"), "[]", "8080", NULL, -ENOENT, 0, 0, NULL,
		"deployment web.shop has no interceptable port"},
	{TEMPLATE(APP), "[" WEB "]", "8080", "other", -ENOENT, 0, 0, NULL,
		"no service named other selects the pods of deployment web.shop"},
	{TEMPLATE(APP),
		"[" SERVICE("w", "\"app\":\"web\"", "{\"port\":80,\"targetPort\":\"gone\"}") "]",
		"8080:80", NULL, -ENOENT, 0, 0, NULL,
		"deployment web.shop has no interceptable port matching 80"},
	{"{\"spec\":{\"hostNetwork\":true,\"containers\":[" APP "]}}", "[]", "8080", NULL,
		-EOPNOTSUPP, 0, 0, NULL,
		"deployment web.shop uses its node's network (hostNetwork); intercepting it would "
		"take the node's own traffic"},
};

static void ports_are_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
		struct intercept_target target;
		char hint[MATCH_HINT_BYTES];
		struct err err = ERR_INIT;
		int r = run(row, NULL, &target, &err, hint);

		if (r != row->r)
			print_error("row %zu: %s\n", i, err.msg);
		assert_int_equal(r, row->r);
		if (r < 0) {
			assert_string_equal(err.msg, row->error);
			continue;
		}
		assert_int_equal(target.port_count, 1);
		assert_int_equal(target.ports[0].container_port, row->container_port);
		assert_int_equal(target.ports[0].service_port, row->service_port);
		assert_string_equal(target.ports[0].container, row->container);
		intercept_target_done(&target);
	}
}

static void named_targets_keep_their_name(void **state)
{
	const struct row row = {TEMPLATE(APP), "[" WEB "]", "8080", NULL, 0, 0, 0, NULL, NULL};
	struct intercept_target target;
	char hint[MATCH_HINT_BYTES];

	(void)state;
	assert_int_equal(run(&row, NULL, &target, NULL, hint), 0);
	assert_string_equal(target.ports[0].container_port_name, "http");
	assert_string_equal(target.ports[0].service, "web");
	assert_string_equal(target.ports[0].service_uid, "uid-web");
	assert_string_equal(target.kind, "Deployment");
	intercept_target_done(&target);
}

static void the_container_can_be_chosen(void **state)
{
	const struct row row = {
		TEMPLATE(APP "," SIDE), "[" WEB "]", "8080", NULL, 0, 0, 0, NULL, NULL};
	const struct row sidecar = {
		WITH_SIDECAR(APP, PROXY), "[" WEB "]", "8080", NULL, 0, 0, 0, NULL, NULL};
	struct intercept_target target;
	char hint[MATCH_HINT_BYTES];
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(run(&row, NULL, &target, &err, hint), 0);
	assert_string_equal(target.container, "app");
	assert_string_equal(target.mounts, "");
	intercept_target_done(&target);
	assert_int_equal(run(&row, "side", &target, &err, hint), 0);
	assert_string_equal(target.container, "side");
	assert_string_equal(target.mounts, "/a:/b");
	intercept_target_done(&target);
	assert_int_equal(run(&sidecar, "proxy", &target, &err, hint), 0);
	assert_string_equal(target.container, "proxy");
	assert_string_equal(target.mounts, "/p");
	intercept_target_done(&target);
	assert_int_equal(run(&sidecar, "init", &target, &err, hint), -ENOENT);
	assert_int_equal(run(&row, "none", &target, &err, hint), -ENOENT);
	assert_string_equal(err.msg, "deployment web.shop has no container named none");
}

static void the_hint_names_what_there_is(void **state)
{
	const struct row row = {
		TEMPLATE(APP "," SIDE), "[" TWO "]", "8080", NULL, 0, 0, 0, NULL, NULL};
	struct intercept_target target;
	char hint[MATCH_HINT_BYTES];

	(void)state;
	assert_int_equal(run(&row, NULL, &target, NULL, hint), -E2BIG);
	assert_string_equal(hint, "Its ports: main 80 of service two, admin 81 of service two");
}

static void ports_must_differ(void **state)
{
	static const struct {
		const char *a, *b;
		int r;
	} pairs[] = {
		{"1:80", "2:81", 0}, {"1:80", "2:80", -EINVAL}, {"1:80", "1:81", -EINVAL},
		{"1:80", "2:8081", -EINVAL}, /* the service's, and the container's own */
		{"53:80", "53:dns", 0}, /* TCP and UDP */
	};
	json_object *template = json_tokener_parse(TEMPLATE(APP "," SIDE));
	json_object *services = json_tokener_parse("[" TWO "]");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct intercept_args args = {
			.workload = "web", .namespace = "shop", .port_count = 2};
		struct intercept_target target;
		char hint[MATCH_HINT_BYTES];
		int r;

		assert_int_equal(intercept_port_parse(pairs[i].a, &args.ports[0], NULL), 0);
		assert_int_equal(intercept_port_parse(pairs[i].b, &args.ports[1], NULL), 0);
		r = match_ports(
			&args, "Deployment", "web", template, services, &target, NULL, hint);
		assert_int_equal(r, pairs[i].r);
		if (r == 0)
			intercept_target_done(&target);
	}
	json_object_put(template);
	json_object_put(services);
}

#define ODD_SERVICE \
	"[{\"spec\":{\"selector\":{\"app\":\"web\"},\"ports\":[null,{},{\"port\":70000}," \
	"{\"port\":80,\"targetPort\":{}},{\"port\":80,\"targetPort\":70000}]}}]"

/* Whatever a cluster's users write into objects must not end the daemon. */
static void odd_objects_are_survived(void **state)
{
	static const char *const templates[] = {"{}", "[]", "{\"spec\":7}",
		"{\"spec\":{\"containers\":{}}}", "{\"spec\":{\"containers\":[null,7,{}]}}",
		TEMPLATE("{\"ports\":[null,{},{\"containerPort\":-1},{\"containerPort\":70000}]}")};
	static const char *const services[] = {
		"[null,7,{}]", ODD_SERVICE, "[{\"spec\":{\"selector\":[],\"ports\":{}}}]"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(templates) * ARRAY_SIZE(services); i++) {
		const struct row row = {templates[i / ARRAY_SIZE(services)],
			services[i % ARRAY_SIZE(services)], "8080", NULL, 0, 0, 0, NULL, NULL};
		struct intercept_target target;
		char hint[MATCH_HINT_BYTES];

		if (run(&row, NULL, &target, NULL, hint) == 0)
			intercept_target_done(&target);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_are_found),
		cmocka_unit_test(named_targets_keep_their_name),
		cmocka_unit_test(the_container_can_be_chosen),
		cmocka_unit_test(the_hint_names_what_there_is),
		cmocka_unit_test(ports_must_differ),
		cmocka_unit_test(odd_objects_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
