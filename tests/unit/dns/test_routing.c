/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/alloc.h"
#include "dns/routing.h"

static const char *const namespaces[] = {"shop", "io", "Team-A", "shop"};

/* The names with spaces between them. */
static char *domains(
	const struct dns_routing *routing, size_t bytes, size_t names, size_t *left_out)
{
	char *out = xcalloc(1, bytes + 1);
	size_t used = dns_routing_domains(routing, out, bytes, names, left_out);

	assert_true(used <= bytes);
	for (size_t i = 0; i + 1 < used; i++)
		out[i] = out[i] ? out[i] : ' ';
	return out;
}

static void names_what_may_be_the_clusters(void **state)
{
	char include[] = ".internal.example", db[] = "db.corp", alias[] = "db.shop";
	char *includes[] = {include, NULL}, *mappings[] = {db, alias, NULL};
	const struct dns_settings settings = {.include_suffixes = includes, .mappings = mappings};
	struct ip_prefix subnets[4];
	const struct dns_routing routing = {.cluster_domain = "Cluster.Local.",
		.namespace = "default",
		.namespaces = namespaces,
		.namespace_count = ARRAY_SIZE(namespaces),
		.subnets = subnets,
		.subnet_count = ARRAY_SIZE(subnets),
		.settings = &settings};
	size_t left_out = 0;
	char *text;

	(void)state;
	assert_int_equal(ip_prefix_parse("10.96.0.0/12", &subnets[0]), 0);
	assert_int_equal(ip_prefix_parse("10.244.3.0/24", &subnets[1]), 0);
	assert_int_equal(ip_prefix_parse("fd00:10:94::/46", &subnets[2]), 0);
	assert_int_equal(ip_prefix_parse("0.0.0.0/0", &subnets[3]), 0);
	text = domains(&routing, 4096, 512, &left_out);
	/* "io" is public unless the user says otherwise. */
	assert_string_equal(text, "default.svc.cluster.local ~cluster.local ~svc "
				  "~internal.example ~db.corp ~10.in-addr.arpa "
				  "~3.244.10.in-addr.arpa ~9.0.0.0.1.0.0.0.0.d.f.ip6.arpa "
				  "~pod ~shop ~team-a");
	assert_int_equal(left_out, 0);
	free(text);
}

/* After the connection's own; one that is that is there once. */
static void searches_further_namespaces(void **state)
{
	static const char *const further[] = {"stage", "default", "Shop"}, *const headless[] = {
										   "db", "io"};
	const struct dns_settings settings = {0};
	const struct dns_routing routing = {.cluster_domain = "cluster.local",
		.namespace = "default",
		.further = further,
		.further_count = ARRAY_SIZE(further),
		.headless = headless,
		.headless_count = ARRAY_SIZE(headless),
		.settings = &settings};
	size_t left_out = 0;
	char *text;

	(void)state;
	text = domains(&routing, 4096, 512, &left_out);
	assert_string_equal(text, "default.svc.cluster.local stage.svc.cluster.local "
				  "shop.svc.cluster.local ~cluster.local ~svc ~pod ~db");
	free(text);
}

static void keeps_within_its_bounds(void **state)
{
	static const struct dns_settings settings;
	const struct dns_routing routing = {.cluster_domain = "cluster.local",
		.namespaces = namespaces,
		.namespace_count = ARRAY_SIZE(namespaces),
		.settings = &settings};
	size_t left_out = 0;
	char *text = domains(&routing, 4096, 3, &left_out);

	(void)state;
	assert_string_equal(text, "~cluster.local ~svc ~pod");
	assert_int_equal(left_out, 3);
	free(text);
	for (size_t bytes = 0; bytes < 64; bytes++)
		free(domains(&routing, bytes, 512, &left_out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_what_may_be_the_clusters),
		cmocka_unit_test(searches_further_namespaces),
		cmocka_unit_test(keeps_within_its_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
