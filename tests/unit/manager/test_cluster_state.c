/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "manager/cluster_state.h"

static struct cluster_state *new_state(const char *own_pod)
{
	struct cluster_state_config config = {.cluster_domain = "cluster.local"};

	assert_int_equal(ip_addr_parse("10.96.0.10", &config.dns_server), 0);
	assert_int_equal(ip_addr_parse("10.96.0.1", &config.api_service), 0);
	if (own_pod)
		assert_int_equal(ip_addr_parse(own_pod, &config.own_pod), 0);
	return cluster_state_new(&config);
}

static void feed(struct cluster_state *state, cluster_state_fn apply, enum kube_event event,
	const char *text)
{
	json_object *object = json_tokener_parse(text);

	assert_non_null(object);
	apply(state, event, object);
	json_object_put(object);
}

/* The member of the description, as JSON. */
static void expect(struct cluster_state *state, const char *member, const char *json)
{
	char *line = cluster_state_format(state);
	json_object *object = json_tokener_parse(line), *value = NULL;

	assert_non_null(object);
	assert_true(json_object_object_get_ex(object, member, &value));
	assert_string_equal(json_object_to_json_string_ext(
				    value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
		json);
	assert_int_equal(line[strlen(line) - 1], '\n');
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	json_object_put(object);
	free(line);
}

#define NODE(name, cidrs) "{\"metadata\":{\"name\":\"" name "\"},\"spec\":{\"podCIDRs\":" cidrs "}}"
#define POD(ip, host) \
	"{\"metadata\":{\"name\":\"p\"},\"spec\":{\"hostNetwork\":" host \
	"},\"status\":{\"podIPs\":[{\"ip\":\"" ip "\"}]}}"
#define NAMED(name) "{\"metadata\":{\"name\":\"" name "\"}}"

static void whole_description(void **unused)
{
	struct cluster_state *state = new_state("10.1.0.7");
	char *line;

	(void)unused;
	feed(state, cluster_state_service_cidr, KUBE_ADDED,
		"{\"metadata\":{\"name\":\"k\"},\"spec\":{\"cidrs\":[\"10.96.0.0/16\","
		"\"fd00:96::/112\"]}}");
	feed(state, cluster_state_node, KUBE_ADDED, NODE("n2", "[\"10.1.1.0/24\"]"));
	feed(state, cluster_state_node, KUBE_ADDED, NODE("n1", "[\"10.1.0.0/24\"]"));
	feed(state, cluster_state_namespace, KUBE_ADDED, NAMED("shop"));
	feed(state, cluster_state_namespace, KUBE_ADDED, NAMED("default"));
	feed(state, cluster_state_api_endpoints, KUBE_ADDED,
		"{\"metadata\":{\"name\":\"kubernetes\"},\"endpoints\":[{\"addresses\":"
		"[\"192.0.2.11\"]}]}");
	cluster_state_set_agent_image(state, "r.example/tp:1");
	line = cluster_state_format(state);
	assert_string_equal(line,
		"{\"serviceSubnets\":[\"10.96.0.0/16\",\"fd00:96::/112\"],"
		"\"podSubnets\":[\"10.1.0.0/24\",\"10.1.1.0/24\"],"
		"\"clusterDomain\":\"cluster.local\",\"dnsServer\":\"10.96.0.10\","
		"\"namespaces\":[\"default\",\"shop\"],\"managerVersion\":\"" TP_VERSION
		"\",\"agentImage\":\"r.example/"
		"tp:1\",\"apiServer\":[\"10.96.0.1\",\"192.0.2.11\"]}\n");
	free(line);
	cluster_state_free(state);
}

static void follows_changes(void **unused)
{
	struct cluster_state *state = new_state(NULL);

	(void)unused;
	feed(state, cluster_state_node, KUBE_ADDED, NODE("n1", "[\"10.1.0.0/24\"]"));
	feed(state, cluster_state_node, KUBE_MODIFIED, NODE("n1", "[\"10.2.0.0/24\"]"));
	expect(state, "podSubnets", "[\"10.2.0.0/24\"]");
	feed(state, cluster_state_node, KUBE_DELETED, NODE("n1", "[\"10.2.0.0/24\"]"));
	feed(state, cluster_state_node, KUBE_DELETED, NODE("n1", "[\"10.2.0.0/24\"]"));
	expect(state, "podSubnets", "[]");
	feed(state, cluster_state_namespace, KUBE_ADDED, NAMED("a"));
	feed(state, cluster_state_namespace, KUBE_MODIFIED, NAMED("a"));
	expect(state, "namespaces", "[\"a\"]");
	feed(state, cluster_state_namespace, KUBE_DELETED, NAMED("a"));
	expect(state, "namespaces", "[]");
	cluster_state_free(state);
}

static void knows_when_pods_must_be_watched(void **unused)
{
	struct cluster_state *state = new_state("10.1.0.7");

	(void)unused;
	assert_false(cluster_state_pods_known(state)); /* nodes may not be read */
	feed(state, cluster_state_node, KUBE_ADDED, NODE("n1", "[\"10.1.0.0/24\"]"));
	assert_true(cluster_state_pods_known(state));
	feed(state, cluster_state_node, KUBE_ADDED, "{\"metadata\":{\"name\":\"n2\"},\"spec\":{}}");
	assert_false(cluster_state_pods_known(state)); /* a node without a range */
	feed(state, cluster_state_node, KUBE_MODIFIED,
		"{\"metadata\":{\"name\":\"n2\"},\"spec\":{\"podCIDR\":\"10.1.1.0/24\"}}");
	assert_true(cluster_state_pods_known(state));
	/* A network that ignores the nodes' ranges: our own address is elsewhere. */
	feed(state, cluster_state_node, KUBE_MODIFIED, NODE("n1", "[\"10.9.0.0/24\"]"));
	assert_false(cluster_state_pods_known(state));
	cluster_state_free(state);
}

static void covers_pods_and_services(void **unused)
{
	struct cluster_state *state = new_state(NULL);

	(void)unused;
	feed(state, cluster_state_pod, KUBE_ADDED, POD("10.5.1.9", "false"));
	feed(state, cluster_state_pod, KUBE_ADDED, POD("192.0.2.11", "true"));
	expect(state, "podSubnets", "[\"10.5.1.0/24\"]");
	feed(state, cluster_state_pod, KUBE_MODIFIED, POD("10.5.2.9", "false"));
	feed(state, cluster_state_pod, KUBE_DELETED, POD("10.5.2.9", "false"));
	expect(state, "podSubnets", "[\"10.5.0.0/22\"]");
	/* What a node's range contains is not repeated. */
	feed(state, cluster_state_node, KUBE_ADDED, NODE("n1", "[\"10.5.0.0/16\"]"));
	expect(state, "podSubnets", "[\"10.5.0.0/16\"]");

	assert_false(cluster_state_services_known(state));
	feed(state, cluster_state_service, KUBE_ADDED,
		"{\"metadata\":{\"name\":\"s\"},\"spec\":{\"clusterIPs\":[\"10.96.3.4\"]}}");
	feed(state, cluster_state_service, KUBE_ADDED,
		"{\"metadata\":{\"name\":\"h\"},\"spec\":{\"clusterIPs\":[\"None\"]}}");
	expect(state, "serviceSubnets", "[\"10.96.3.0/24\"]");
	cluster_state_free(state);
}

static void many_nodes_become_a_cover(void **unused)
{
	struct cluster_state *state = new_state(NULL);
	char text[128];

	(void)unused;
	for (unsigned int i = 0; i < 200; i++) {
		(void)snprintf(text, sizeof(text), NODE("n%u", "[\"10.1.%u.0/24\"]"), i, i);
		feed(state, cluster_state_node, KUBE_ADDED, text);
	}
	expect(state, "podSubnets", "[\"10.1.0.0/16\"]");
	cluster_state_free(state);
}

static void survives_hostile_objects(void **unused)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		"\"x\"",
		"{\"metadata\":7}",
		"{\"metadata\":{\"name\":\"x\"},\"spec\":[]}",
		"{\"metadata\":{\"name\":\"x\"},\"spec\":{\"podCIDRs\":[null,7,\"10.0.0.1/8\","
		"\"nonsense\"],\"cidrs\":{},\"clusterIPs\":[[]],\"hostNetwork\":\"x\"},"
		"\"endpoints\":[{\"addresses\":[7]},7,null],\"status\":{\"podIPs\":[null,{\"ip\":7}"
		"]}}",
		NODE("y", "[\"1.0.0.0/8\",\"2.0.0.0/8\",\"3.0.0.0/8\",\"4.0.0.0/8\",\"5.0.0.0/8\","
			  "\"6.0.0.0/8\",\"7.0.0.0/8\",\"8.0.0.0/8\",\"9.0.0.0/8\"]"),
	};
	static const cluster_state_fn fns[] = {cluster_state_service_cidr, cluster_state_node,
		cluster_state_namespace, cluster_state_api_endpoints, cluster_state_pod,
		cluster_state_service};

	(void)unused;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		for (size_t j = 0; j < sizeof(fns) / sizeof(fns[0]); j++) {
			struct cluster_state *state = new_state("10.0.0.1");
			char *line;

			feed(state, fns[j], KUBE_ADDED, texts[i]);
			feed(state, fns[j], KUBE_DELETED, texts[i]);
			line = cluster_state_format(state);
			assert_non_null(line);
			free(line);
			cluster_state_free(state);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_description),
		cmocka_unit_test(follows_changes),
		cmocka_unit_test(knows_when_pods_must_be_watched),
		cmocka_unit_test(covers_pods_and_services),
		cmocka_unit_test(many_nodes_become_a_cover),
		cmocka_unit_test(survives_hostile_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
