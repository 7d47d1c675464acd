/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/userd/info.h"
#include "client/userd/plan.h"
#include "core/err.h"

static const char *const lines4[] = {
	"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n",
	"eth0\t00000000\t010AA8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n",
	"eth0\t000AA8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
	"vpn0\t0000600A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n",
	"tel0\t0000640A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n",
};

static void reads_ipv4_routes(void **state)
{
	struct route route;
	char text[ADDR_TEXT_BYTES];

	(void)state;
	assert_false(routes_parse4(lines4[0], &route));
	assert_true(routes_parse4(lines4[1], &route));
	assert_true(route_is_default(&route));
	assert_string_equal(ip_addr_format(&route.gateway, text), "192.168.10.1");
	assert_true(routes_parse4(lines4[2], &route));
	assert_string_equal(ip_prefix_format(&route.prefix, text), "192.168.10.0/24");
	assert_int_equal(route.gateway.family, 0);
	assert_string_equal(route.device, "eth0");
}

static void ignores_what_is_no_route(void **state)
{
	static const char *const lines[] = {
		"",
		"\n",
		"eth0 0000600A",
		"lo\t0000007F\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n",
		"eth0\t000000E0\t00000000\t0001\t0\t0\t0\t000000F0\t0\t0\t0\n", /* multicast */
		"eth0\t0000600A\t00000000\t0000\t0\t0\t0\t0000FFFF\t0\t0\t0\n", /* not up */
		"eth0\t0100600A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n", /* host bits */
		"eth0\tG000600A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n",
		"eth0\t0000600A1\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n",
		"a-name-of-16byte\t0000600A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n",
	};
	struct route route;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		assert_false(routes_parse4(lines[i], &route));
}

#define ZERO16 "00000000000000000000000000000000"

static void reads_ipv6_routes(void **state)
{
	static const char network[] = "fd001234000000000000000000000000 40 " ZERO16 " 00 " ZERO16
				      " 00000100 00000001 00000000 00000001     eth0\n";
	static const char gateway[] =
		ZERO16 " 00 " ZERO16
		       " 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 "
		       "eth0\n";
	static const char local[] = "fe800000000000000000000000000000 40 " ZERO16 " 00 " ZERO16
				    " 00000100 00000001 00000000 00000001     eth0\n";
	struct route route;
	char text[ADDR_TEXT_BYTES];

	(void)state;
	assert_true(routes_parse6(network, &route));
	assert_string_equal(ip_prefix_format(&route.prefix, text), "fd00:1234::/64");
	assert_int_equal(route.gateway.family, 0);
	assert_true(routes_parse6(gateway, &route));
	assert_true(route_is_default(&route));
	assert_string_equal(ip_addr_format(&route.gateway, text), "fe80::1");
	assert_false(routes_parse6(local, &route));
	assert_false(routes_parse6("fd00 40", &route));
}

struct world {
	struct route routes[ARRAY_SIZE(lines4)];
	struct route_list list;
	struct cluster_info info;
	struct proxy_lists lists;
	struct prefix_set direct;
	struct plan_input input;
};

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix value;

	assert_int_equal(ip_prefix_parse(text, &value), 0);
	return value;
}

static void set_up(struct world *world, const char *services, const char *pods)
{
	*world = (struct world){.list = {.items = world->routes}};
	for (size_t i = 1; i < ARRAY_SIZE(lines4); i++)
		assert_true(routes_parse4(lines4[i], &world->routes[world->list.count++]));
	world->info.services = (struct prefix_set){.items = {prefix(services)}, .count = 1};
	world->info.pods = (struct prefix_set){.items = {prefix(pods)}, .count = 1};
	world->input = (struct plan_input){.info = &world->info,
		.lists = &world->lists,
		.direct = &world->direct,
		.routes = &world->list,
		.own_device = "tel0"};
}

static bool routed(const struct prefix_set *set, const char *host)
{
	struct ip_prefix one = {.len = 32};

	assert_int_equal(ip_addr_parse(host, &one.addr), 0);
	return prefix_set_overlap(set, &one) != NULL;
}

static void routes_the_cluster(void **state)
{
	struct world world;
	struct plan plan;

	(void)state;
	/* 10.100.0.0/16 is on our own device already. */
	set_up(&world, "10.100.0.0/16", "10.128.0.0/16");
	assert_int_equal(plan_routes(&world.input, &plan, NULL), 0);
	assert_int_equal(plan.routes.count, 2);
	assert_true(routed(&plan.routes, "10.100.0.1") && routed(&plan.routes, "10.128.9.9"));
}

static void names_both_sides_of_a_conflict(void **state)
{
	struct world world;
	struct plan plan;
	struct err err = ERR_INIT;

	(void)state;
	set_up(&world, "10.96.0.0/12", "10.128.0.0/16");
	assert_int_equal(plan_routes(&world.input, &plan, NULL), 0);
	assert_int_equal(plan.conflict_count, 1);
	assert_int_equal(plan_conflict_error(&plan.conflicts[0], &err), -EEXIST);
	assert_string_equal(err.msg,
		"subnet 10.96.0.0/12 overlaps with existing route \"10.96.0.0/16 dev vpn0\" "
		"(--allow-conflicting-subnets 10.96.0.0/12 connects all the same)");
	assert_int_equal(err.kind, ERR_CONFLICT);
	/* The kernel prefers the longer one of the VPN: ours may stay. */
	assert_true(routed(&plan.routes, "10.97.0.1"));
}

/* A VPN that came up while connected has what it says, unless that is allowed to be ours. */
static void what_a_route_covers_is_withdrawn(void **state)
{
	static const char *const covering[] = {"10.96.0.0/16", "10.96.0.0/20"};
	struct world world;
	struct plan plan;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(covering); i++) {
		set_up(&world, covering[i], "10.128.0.0/16");
		assert_int_equal(plan_routes(&world.input, &plan, NULL), 0);
		assert_int_equal(plan.conflict_count, 1);
		assert_false(routed(&plan.routes, "10.96.0.1"));
		assert_true(routed(&plan.routes, "10.128.0.1"));
	}
}

static void allowed_conflicts_are_routed(void **state)
{
	static const struct {
		const char *services, *allowed;
		bool ok;
	} cases[] = {
		{"10.96.0.0/20", "10.96.0.0/20", true},
		{"10.96.0.0/20", "10.0.0.0/8", true},
		{"10.96.0.0/20", "10.96.0.0/21", false},
		{"10.96.0.0/12", "10.96.0.0/12", true},
		{"10.96.0.0/12", "10.96.0.0/16", true}, /* the overlap */
		{"10.96.0.0/16", "10.96.0.0/16", true},
		{"10.96.0.0/16", "10.128.0.0/16", false},
	};
	struct world world;
	struct plan plan;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		set_up(&world, cases[i].services, "10.128.0.0/16");
		world.lists.allow_conflicting =
			(struct prefix_list){.items = {prefix(cases[i].allowed)}, .count = 1};
		assert_int_equal(plan_routes(&world.input, &plan, NULL), 0);
		assert_int_equal(plan.conflict_count, cases[i].ok ? 0 : 1);
		if (cases[i].ok)
			assert_true(routed(&plan.routes, "10.96.0.1"));
	}
	/* The kernel would refuse the same route twice; the halves are longer than the VPN's. */
	set_up(&world, "10.96.0.0/16", "10.128.0.0/16");
	world.lists.allow_conflicting =
		(struct prefix_list){.items = {prefix("10.96.0.0/16")}, .count = 1};
	assert_int_equal(plan_routes(&world.input, &plan, NULL), 0);
	assert_int_equal(plan.routes.count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_true(plan.routes.items[i].len == 17 ||
			    plan.routes.items[i].addr.bytes[1] == 128);
}

/* A hole makes the subnet into pieces, some of them longer than a route that is longer than it. */
static void a_longer_route_keeps_what_it_has(void **state)
{
	static const char *const pods[] = {"10.96.0.0/12", "10.96.0.0/16", "10.96.0.0/18"};
	struct world world;
	struct plan plan;
	struct ip_addr host;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pods); i++) {
		set_up(&world, "10.100.0.0/16", pods[i]);
		world.lists.allow_conflicting =
			(struct prefix_list){.items = {prefix("10.96.0.0/12")}, .count = 1};
		assert_int_equal(ip_addr_parse("10.96.0.7", &host), 0);
		assert_int_equal(prefix_set_add_host(&world.direct, &host, NULL), 0);
		assert_int_equal(plan_routes(&world.input, &plan, NULL), 0);
		assert_int_equal(plan.conflict_count, 0);
		assert_false(routed(&plan.routes, "10.96.0.7"));
		/* The VPN's is 10.96.0.0/16. */
		assert_int_equal(routed(&plan.routes, "10.96.0.6"), i > 0);
		assert_int_equal(routed(&plan.routes, "10.97.0.7"), i == 0);
	}
}

static void never_proxy_resolves_a_conflict(void **state)
{
	struct world world;
	struct plan plan;

	(void)state;
	set_up(&world, "10.96.0.0/12", "10.128.0.0/16");
	world.lists.never = (struct prefix_list){.items = {prefix("10.96.0.0/16")}, .count = 1};
	assert_int_equal(plan_routes(&world.input, &plan, NULL), 0);
	assert_false(routed(&plan.routes, "10.96.0.10"));
	assert_true(routed(&plan.routes, "10.97.0.10"));
}

static void gateways_and_direct_hosts_are_left_out(void **state)
{
	struct world world;
	struct plan plan;
	struct ip_addr api;

	(void)state;
	/* A cluster whose pods have the range of the default gateway, but for the laptop's LAN. */
	set_up(&world, "10.100.0.0/16", "192.168.0.0/16");
	world.lists.never = (struct prefix_list){.items = {prefix("192.168.10.0/24")}, .count = 1};
	assert_int_equal(ip_addr_parse("192.168.77.7", &api), 0);
	assert_int_equal(prefix_set_add_host(&world.direct, &api, NULL), 0);
	assert_int_equal(plan_routes(&world.input, &plan, NULL), 0);
	assert_false(routed(&plan.routes, "192.168.10.1"));
	assert_false(routed(&plan.routes, "192.168.77.7"));
	assert_true(routed(&plan.routes, "192.168.77.8"));
}

static void the_most_specific_flag_wins(void **state)
{
	struct world world;
	struct plan plan;

	(void)state;
	set_up(&world, "10.100.0.0/16", "10.128.0.0/16");
	world.lists.never = (struct prefix_list){
		.items = {prefix("172.16.0.0/12"), prefix("172.20.5.0/24")}, .count = 2};
	world.lists.also = (struct prefix_list){.items = {prefix("172.20.0.0/16")}, .count = 1};
	assert_int_equal(plan_routes(&world.input, &plan, NULL), 0);
	assert_true(routed(&plan.routes, "172.20.1.1"));
	assert_false(routed(&plan.routes, "172.20.5.1"));
	assert_false(routed(&plan.routes, "172.17.0.1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_ipv4_routes),
		cmocka_unit_test(ignores_what_is_no_route),
		cmocka_unit_test(reads_ipv6_routes),
		cmocka_unit_test(routes_the_cluster),
		cmocka_unit_test(names_both_sides_of_a_conflict),
		cmocka_unit_test(what_a_route_covers_is_withdrawn),
		cmocka_unit_test(allowed_conflicts_are_routed),
		cmocka_unit_test(a_longer_route_keeps_what_it_has),
		cmocka_unit_test(never_proxy_resolves_a_conflict),
		cmocka_unit_test(gateways_and_direct_hosts_are_left_out),
		cmocka_unit_test(the_most_specific_flag_wins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
