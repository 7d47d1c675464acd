/* SPDX-License-Identifier: Apache-2.0 */
/* What is read of a pod: readiness, ports, probes, the agents that it has had. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/json.h"
#include "core/err.h"
#include "core/alloc.h"
#include "manager/pods.h"

static json_object *parse(const char *text)
{
	json_object *object = json_parse(text, strlen(text));

	if (!object)
		fail_msg("no JSON: %s", text);
	return object;
}

#define STATUS(ready) \
	"\"status\":{\"phase\":\"Running\",\"podIP\":\"10.1.0.4\",\"conditions\":[" \
	"{\"type\":\"Initialized\",\"status\":\"True\"}," \
	"{\"type\":\"Ready\",\"status\":\"" ready "\"}]}"

static void test_readiness(void **state UNUSED)
{
	static const struct {
		const char *pod;
		bool running, ready, alive;
	} cases[] = {
		{"{}", false, false, false},
		{"[]", false, false, false},
		{"{\"spec\":{\"nodeName\":\"n\"},\"status\":{\"phase\":\"Pending\"}}", false, false,
			true},
		{"{\"status\":{\"phase\":\"Pending\"}}", false, false, false},
		{"{\"spec\":{\"nodeName\":\"n\"},\"status\":{\"phase\":\"Failed\"}}", false, false,
			false},
		{"{\"spec\":{\"nodeName\":\"n\"}," STATUS("False") "}", true, false, true},
		{"{\"spec\":{\"nodeName\":\"n\"},\"metadata\":{\"deletionTimestamp\":\"t\"}"
		 "," STATUS("True") "}",
			false, false, false},
		{"{" STATUS("True") "}", true, true, false},
		{"{" STATUS("False") "}", true, false, false},
		{"{\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"}," STATUS(
			 "True") "}",
			false, false, false},
		{"{\"status\":{\"phase\":\"Pending\",\"podIP\":\"10.1.0.4\"}}", false, false,
			false},
		{"{\"status\":{\"phase\":\"Running\"}}", false, false, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_object *pod = parse(cases[i].pod);

		if (pod_running(pod) != cases[i].running || pod_ready(pod) != cases[i].ready ||
			pod_alive(pod) != cases[i].alive)
			fail_msg("case %zu", i);
		json_object_put(pod);
	}
}

static void test_pods_without_a_network_of_their_own(void **state UNUSED)
{
	static const struct {
		const char *pod, *message;
	} cases[] = {
		{"{\"metadata\":{\"name\":\"p\"},\"spec\":{\"hostNetwork\":true}}",
			"node's network"},
		{"{\"metadata\":{\"name\":\"p\",\"annotations\":{\"kubernetes.io/"
		 "config.mirror\":\"x\"}}}",
			"static pod"},
		{"{\"metadata\":{\"name\":\"p\"},\"spec\":{\"hostNetwork\":false}}", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_object *pod = parse(cases[i].pod);
		struct err err = ERR_INIT;
		int r = pod_refusal(pod, &err);

		if ((r < 0) != (cases[i].message != NULL))
			fail_msg("case %zu: %d", i, r);
		if (cases[i].message && !strstr(err.msg, cases[i].message))
			fail_msg("case %zu: %s", i, err.msg);
		json_object_put(pod);
	}
}

static const char two_containers[] =
	"{\"spec\":{\"containers\":["
	"{\"name\":\"log\",\"ports\":[{\"containerPort\":8080,\"protocol\":\"UDP\"}],"
	"\"livenessProbe\":{\"httpGet\":{\"port\":9000}}},"
	"{\"name\":\"web\",\"ports\":[{\"name\":\"http\",\"containerPort\":8080},"
	"{\"name\":\"dns\",\"containerPort\":5353,\"protocol\":\"UDP\"},{\"containerPort\":9090}],"
	"\"livenessProbe\":{\"httpGet\":{\"port\":\"http\",\"path\":\"/\"}},"
	"\"readinessProbe\":{\"grpc\":{\"port\":9090}},"
	"\"startupProbe\":{\"tcpSocket\":{\"port\":7000}}}],"
	"\"initContainers\":[{\"name\":\"side\",\"restartPolicy\":\"Always\","
	"\"ports\":[{\"name\":\"proxy\",\"containerPort\":15001}],"
	"\"readinessProbe\":{\"tcpSocket\":{\"port\":9090}}}]}}";

static void test_ports_by_name(void **state UNUSED)
{
	json_object *pod = parse(two_containers);

	assert_int_equal(pod_port(pod, "http", 1, IPPROTO_TCP), 8080);
	assert_int_equal(pod_port(pod, "http", 1, IPPROTO_UDP), 1);
	assert_int_equal(pod_port(pod, "dns", 1, IPPROTO_UDP), 5353);
	assert_int_equal(pod_port(pod, "proxy", 1, IPPROTO_TCP), 15001);
	assert_int_equal(pod_port(pod, "gone", 4, IPPROTO_TCP), 4);
	assert_int_equal(pod_port(pod, "", 5, IPPROTO_TCP), 5);
	json_object_put(pod);
}

static void test_the_container_of_a_port(void **state UNUSED)
{
	static const struct {
		const char *name;
		uint16_t port;
		int protocol;
		const char *container;
	} cases[] = {
		{"", 8080, IPPROTO_TCP, "web"},
		{"", 8080, IPPROTO_UDP, "log"},
		{"", 15001, IPPROTO_TCP, "side"},
		{"", 1234, IPPROTO_TCP, "log"}, /* nobody says: the first */
		{"log", 8080, IPPROTO_TCP, "log"},
		{"side", 8080, IPPROTO_TCP, "side"},
		{"gone", 8080, IPPROTO_TCP, "web"},
	};
	json_object *pod = parse(two_containers), *none = parse("{}");

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(json_text(pod_container(pod, cases[i].name, cases[i].port,
						      cases[i].protocol),
					    "name"),
			cases[i].container);
	assert_null(pod_container(none, "", 1, IPPROTO_TCP));
	json_object_put(pod);
	json_object_put(none);
}

static void test_probes_of_a_port(void **state UNUSED)
{
	static const struct {
		uint16_t port;
		int protocol;
		const char *probe;
	} cases[] = {
		{8080, IPPROTO_TCP, "http"},
		{9000, IPPROTO_TCP, "http"},
		{7000, IPPROTO_TCP, "tcp"},
		/* grpc by one container, tcp by another: a bare connection must pass. */
		{9090, IPPROTO_TCP, "tcp"},
		{5353, IPPROTO_UDP, "none"},
		{1, IPPROTO_TCP, "none"},
	};
	json_object *pod = parse(two_containers);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(
			pod_probe(pod, cases[i].port, cases[i].protocol), cases[i].probe);
	json_object_put(pod);
}

/* What the agent cannot read passes by rule. */
static void test_probes_that_cannot_be_read(void **state UNUSED)
{
	static const struct {
		const char *probes, *kind;
	} cases[] = {
		{"\"livenessProbe\":{\"httpGet\":{\"port\":1}}", "http"},
		{"\"livenessProbe\":{\"httpGet\":{\"port\":1,\"scheme\":\"HTTPS\"}}", "tcp"},
		{"\"lifecycle\":{\"preStop\":{\"httpGet\":{\"port\":1}}}", "http"},
		{"\"lifecycle\":{\"postStart\":{\"httpGet\":{\"port\":1,\"scheme\":\"HTTPS\"}}}",
			"tcp"},
		{"\"lifecycle\":{\"preStop\":{\"exec\":{\"command\":[\"true\"]}}}", "none"},
		{"\"livenessProbe\":{\"httpGet\":{\"port\":1,\"httpHeaders\":[{\"name\":\"Accept\","
		 "\"value\":\"x\"}]}}",
			"http"},
		{"\"livenessProbe\":{\"httpGet\":{\"port\":1,\"httpHeaders\":[{\"name\":\"user-"
		 "agent\","
		 "\"value\":\"x\"}]}}",
			"tcp"},
		{"\"livenessProbe\":{\"httpGet\":{\"port\":1}},"
		 "\"readinessProbe\":{\"grpc\":{\"port\":1}}",
			"grpc"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *text = xasprintf(
			"{\"spec\":{\"containers\":[{\"name\":\"a\",%s}]}}", cases[i].probes);
		json_object *pod = parse(text);

		assert_string_equal(pod_probe(pod, 1, IPPROTO_TCP), cases[i].kind);
		json_object_put(pod);
	}
}

static void test_addresses(void **state UNUSED)
{
	json_object *pod = parse("{\"status\":{\"podIPs\":[{\"ip\":\"10.1.0.4\"},{\"ip\":\"bad\"},"
				 "{\"ip\":\"fd00::4\"}],\"hostIP\":\"172.30.0.1\"}}");
	json_object *nodes = pod_node_addresses(pod);
	struct ip_addr addrs[4];

	assert_int_equal(pod_addresses(pod, addrs, 4), 2);
	assert_int_equal(addrs[1].family, AF_INET6);
	assert_int_equal(pod_addresses(pod, addrs, 1), 1);
	assert_string_equal(json_object_to_json_string_ext(nodes, 0), "[\"172.30.0.1\"]");
	json_object_put(nodes);
	json_object_put(pod);
}

#define AGENTS(list) "{\"spec\":{\"ephemeralContainers\":[" list "]}"
#define AGENT(name)  "{\"name\":\"" name "\",\"image\":\"i\"}"
#define SAID(name, what) \
	",\"status\":{\"ephemeralContainerStatuses\":[{\"name\":\"" name "\",\"state\":{" what \
	"}}]}}"

static void test_the_newest_agent(void **state UNUSED)
{
	static const struct {
		const char *pod;
		unsigned int number;
		enum pod_agent_state state;
		const char *reason;
		int exit_code;
	} cases[] = {
		{"{}", 0, POD_AGENT_NONE, "", 0},
		{AGENTS(AGENT("debugger-x")) "}", 0, POD_AGENT_NONE, "", 0},
		{AGENTS(AGENT("telepresence-agent-0")) "}", 0, POD_AGENT_NONE, "", 0},
		{AGENTS(AGENT("telepresence-agent-1x")) "}", 0, POD_AGENT_NONE, "", 0},
		{AGENTS(AGENT("telepresence-agent-99999999999999999999")) "}", 0, POD_AGENT_NONE,
			"", 0},
		{AGENTS(AGENT("telepresence-agent-1")) "}", 1, POD_AGENT_UNSEEN, "", 0},
		{AGENTS(AGENT("telepresence-agent-1") "," AGENT("telepresence-environment-2")) "}",
			1, POD_AGENT_UNSEEN, "", 0},
		{AGENTS(AGENT("telepresence-agent-10") "," AGENT("telepresence-agent-9"))
				SAID("telepresence-agent-9", "\"running\":{}"),
			10, POD_AGENT_UNSEEN, "", 0},
		{AGENTS(AGENT("telepresence-agent-1"))
				SAID("telepresence-agent-1", "\"running\":{}"),
			1, POD_AGENT_RUNNING, "", 0},
		{AGENTS(AGENT("telepresence-agent-1")) SAID(
			 "telepresence-agent-1", "\"waiting\":{\"reason\":\"ErrImagePull\"}"),
			1, POD_AGENT_WAITING, "ErrImagePull", 0},
		/* Never tried again by the kubelet. */
		{AGENTS(AGENT("telepresence-agent-1")) SAID(
			 "telepresence-agent-1", "\"waiting\":{\"reason\":\"RunContainerError\"}"),
			1, POD_AGENT_TERMINATED, "RunContainerError", 0},
		{AGENTS(AGENT("telepresence-agent-1")) SAID("telepresence-agent-1",
			 "\"terminated\":{\"reason\":\"OOMKilled\",\"exitCode\":137}"),
			1, POD_AGENT_TERMINATED, "OOMKilled", 137},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_object *pod = parse(cases[i].pod);
		struct pod_agent agent;

		pod_agent(pod, POD_AGENT_PREFIX, &agent);
		if (agent.number != cases[i].number || agent.state != cases[i].state ||
			strcmp(agent.reason, cases[i].reason) != 0 ||
			agent.exit_code != cases[i].exit_code)
			fail_msg("case %zu: %u %d %s", i, agent.number, agent.state, agent.reason);
		json_object_put(pod);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_readiness),
		cmocka_unit_test(test_pods_without_a_network_of_their_own),
		cmocka_unit_test(test_ports_by_name),
		cmocka_unit_test(test_the_container_of_a_port),
		cmocka_unit_test(test_probes_of_a_port),
		cmocka_unit_test(test_probes_that_cannot_be_read),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_the_newest_agent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
