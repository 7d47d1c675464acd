/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/control.h"
#include "cluster/json.h"
#include "core/buf.h"
#include "core/err.h"

static int parse(const char *text, struct control_config *config)
{
	json_object *line = json_parse(text, strlen(text));
	struct err err = ERR_INIT;
	int r;

	assert_non_null(line);
	r = control_parse_config(line, config, &err);
	assert_true(r == 0 || (err.code == r && *err.msg));
	json_object_put(line);
	return r;
}

static void configuration_is_whole(void **state)
{
	struct control_config config;
	const struct engine_port *ports = config.engine.ports;

	(void)state;
	assert_int_equal(parse("{\"type\":\"config\",\"generation\":7,\"idleSeconds\":60,"
			       "\"nodeAddresses\":[\"10.1.0.1\",\"fd00::1\"],\"intercepts\":["
			       "{\"uid\":\"a\",\"onRefuse\":\"app\",\"ports\":[{\"port\":8080,"
			       "\"protocol\":\"TCP\",\"probe\":\"http\"},{\"port\":8080,"
			       "\"protocol\":\"UDP\"}]},"
			       "{\"uid\":\"b\",\"onRefuse\":\"close\",\"ports\":[{\"port\":65535,"
			       "\"protocol\":\"TCP\",\"probe\":\"grpc\",\"later\":1}]}]}",
				 &config),
		0);
	assert_int_equal(config.generation, 7);
	assert_int_equal(config.idle_s, 60);
	assert_int_equal(config.engine.node_count, 2);
	assert_int_equal(config.engine.port_count, 3);
	assert_string_equal(ports[1].intercept, "a");
	assert_int_equal(ports[0].probe, ENGINE_PROBE_HTTP);
	assert_int_equal(ports[1].probe, ENGINE_PROBE_NONE);
	assert_int_equal(ports[1].protocol, IPPROTO_UDP);
	assert_false(ports[0].close_on_refuse);
	assert_string_equal(ports[2].intercept, "b");
	assert_int_equal(ports[2].port, 65535);
	assert_true(ports[2].close_on_refuse);
}

/* Each is put where an intercept's ports are. */
static void malformed_ports_are_refused(void **state)
{
	static const char *const wrong[] = {"{}", "1", "null", "{\"port\":0,\"protocol\":\"TCP\"}",
		"{\"port\":65536,\"protocol\":\"TCP\"}", "{\"port\":\"80\",\"protocol\":\"TCP\"}",
		"{\"port\":80}", "{\"port\":80,\"protocol\":\"tcp\"}",
		"{\"port\":80,\"protocol\":6}",
		"{\"port\":80,\"protocol\":\"TCP\",\"probe\":\"exec\"}",
		"{\"port\":80,\"protocol\":\"TCP\"},{\"port\":80,\"protocol\":\"TCP\"}"};
	struct control_config config = {.generation = 1};
	char text[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		(void)snprintf(text, sizeof(text),
			"{\"generation\":2,\"intercepts\":[{\"uid\":\"a\",\"ports\":[%s]}]}",
			wrong[i]);
		if (parse(text, &config) == 0)
			fail_msg("%s is taken", wrong[i]);
	}
	assert_int_equal(config.generation, 1);
}

/* 64 characters and the quotes. */
#define TOO_LONG "\"0123456789012345678901234567890123456789012345678901234567890123\""

static void malformed_configurations_are_refused(void **state)
{
	static const char *const wrong[] = {"{}", "{\"intercepts\":{}}",
		"{\"intercepts\":[],\"idleSeconds\":0}",
		"{\"intercepts\":[],\"idleSeconds\":9999999999}",
		"{\"intercepts\":[],\"nodeAddresses\":[\"x\"]}",
		"{\"intercepts\":[],\"nodeAddresses\":[1]}", "{\"intercepts\":[1]}",
		"{\"intercepts\":[{\"uid\":1}]}",
		"{\"intercepts\":[{\"uid\":\"a\",\"onRefuse\":\"maybe\"}]}",
		"{\"intercepts\":[{\"uid\":" TOO_LONG "}]}"};
	struct control_config config;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		if (parse(wrong[i], &config) == 0)
			fail_msg("%s is taken", wrong[i]);
	}
}

static int parse_many(size_t ports, size_t nodes)
{
	struct control_config config;
	struct buf text;
	int r;

	buf_init(&text, 65536);
	r = buf_printf(&text, "{\"intercepts\":[{\"uid\":\"a\",\"ports\":[");
	for (size_t i = 0; r >= 0 && i < ports; i++)
		r = buf_printf(&text, "%s{\"port\":%zu,\"protocol\":\"TCP\"}", i ? "," : "", i + 1);
	if (r >= 0)
		r = buf_printf(&text, "]}],\"nodeAddresses\":[");
	for (size_t i = 0; r >= 0 && i < nodes; i++)
		r = buf_printf(&text, "%s\"10.0.0.%zu\"", i ? "," : "", i);
	if (r >= 0)
		r = buf_printf(&text, "]}");
	assert_true(r >= 0);
	r = parse(buf_cstr(&text), &config);
	buf_done(&text);
	return r;
}

static void too_much_is_refused(void **state)
{
	(void)state;
	assert_int_equal(parse_many(INTERCEPT_PORTS, INTERCEPT_NODES), 0);
	assert_true(parse_many(INTERCEPT_PORTS + 1, 0) < 0);
	assert_true(parse_many(0, INTERCEPT_NODES + 1) < 0);
}

static void expectations_are_checked(void **state)
{
	static const char *const wrong[] = {
		"{\"id\":-1,\"source\":\"10.1.0.9\",\"sourcePort\":1,\"port\":1,\"protocol\":"
		"\"TCP\"}",
		"{\"id\":4294967296,\"source\":\"10.1.0.9\",\"sourcePort\":1,\"port\":1,"
		"\"protocol\":\"TCP\"}",
		"{\"id\":1,\"source\":\"10.1.0\",\"sourcePort\":1,\"port\":1,\"protocol\":\"TCP\"}",
		"{\"id\":1,\"source\":\"10.1.0.9\",\"sourcePort\":0,\"port\":1,\"protocol\":"
		"\"TCP\"}",
		"{\"id\":1,\"source\":\"10.1.0.9\",\"sourcePort\":1,\"protocol\":\"TCP\"}",
		"{\"id\":1,\"source\":\"10.1.0.9\",\"sourcePort\":1,\"port\":1}",
	};
	static const char good[] = "{\"id\":4294967295,\"source\":\"fd00::9\",\"sourcePort\":1,"
				   "\"port\":53,\"protocol\":\"UDP\"}";
	struct control_expect expect = {.id = 0};
	json_object *line = json_parse(good, sizeof(good) - 1);

	(void)state;
	assert_int_equal(control_parse_expect(line, &expect), 0);
	assert_int_equal(expect.id, UINT32_MAX);
	assert_int_equal(expect.protocol, IPPROTO_UDP);
	json_object_put(line);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		line = json_parse(wrong[i], strlen(wrong[i]));
		if (control_parse_expect(line, &expect) == 0)
			fail_msg("%s is taken", wrong[i]);
		json_object_put(line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(configuration_is_whole),
		cmocka_unit_test(malformed_ports_are_refused),
		cmocka_unit_test(malformed_configurations_are_refused),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(expectations_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
