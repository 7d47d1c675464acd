/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "flow/table.h"

static struct ip_endpoint endpoint(const char *addr, unsigned int port)
{
	struct ip_endpoint ep = {.port = (uint16_t)port};

	assert_int_equal(ip_addr_parse(addr, &ep.addr), 0);
	return ep;
}

static void finds_by_each_key(void **state)
{
	struct ip_endpoint src = endpoint("10.0.0.1", 40000), dst = endpoint("10.244.0.2", 80);
	struct ip_endpoint other = endpoint("10.244.0.2", 81);
	struct ip_endpoint src6 = endpoint("fd00::1", 40000), dst6 = endpoint("fd00::2", 80);
	struct flow_table table;
	struct flow *flow, *second, *third;

	(void)state;
	flow_table_init(&table);
	flow = flow_table_add(&table, &src, &dst, 1);
	second = flow_table_add(&table, &src, &other, 2);
	third = flow_table_add(&table, &src6, &dst6, 3);
	assert_ptr_equal(flow_table_find(&table, &src, &dst), flow);
	assert_ptr_equal(flow_table_find(&table, &src, &other), second);
	assert_ptr_equal(flow_table_find(&table, &src6, &dst6), third);
	assert_null(flow_table_find(&table, &dst, &src));
	assert_ptr_equal(flow_table_by_port(&table, second->nat_port), second);
	assert_int_not_equal(flow->nat_port, second->nat_port);
	assert_null(flow_table_by_port(&table, 1023));
	assert_null(flow_table_by_port(&table, 0));
	assert_ptr_equal(flow_table_by_id(&table, flow_table_id(&table, third)), third);
	assert_ptr_equal(flow_table_oldest(&table, FLOW_STATE_OPENING), flow);
	assert_int_equal(flow_table_count(&table), 3);
	flow_table_done(&table);
}

static void stale_ids_are_recognised(void **state)
{
	struct ip_endpoint src = endpoint("10.0.0.1", 40000), dst = endpoint("10.244.0.2", 80);
	struct flow_table table;
	struct flow *flow;
	flow_id_t id;

	(void)state;
	flow_table_init(&table);
	flow = flow_table_add(&table, &src, &dst, 1);
	id = flow_table_id(&table, flow);
	flow_table_set_state(&table, flow, FLOW_STATE_FREE, 2);
	assert_null(flow_table_by_id(&table, id));
	assert_null(flow_table_find(&table, &src, &dst));
	assert_int_equal(flow_table_count(&table), 0);
	assert_ptr_equal(flow_table_add(&table, &src, &dst, 3), flow); /* the same slot again */
	assert_null(flow_table_by_id(&table, id));
	assert_null(flow_table_by_id(&table, 0));
	assert_null(flow_table_by_id(&table, UINT64_MAX));
	assert_null(flow_table_by_id(&table, (uint32_t)id));
	flow_table_done(&table);
}

/* Each flow has a port of its own; full is full; a freed port comes last. */
static void fills_up_and_drains(void **state)
{
	static uint8_t seen[65536];
	struct ip_endpoint src = endpoint("10.0.0.1", 1), dst = endpoint("10.244.0.2", 80);
	struct flow_table table;
	struct flow *flow;
	uint16_t freed;

	(void)state;
	flow_table_init(&table);
	for (unsigned int i = 0; i < LIMIT_FLOWS; i++) {
		src.port = (uint16_t)i;
		flow = flow_table_add(&table, &src, &dst, i);
		assert_non_null(flow);
		assert_in_range(flow->nat_port, FLOW_PORT_FIRST, 65535);
		assert_int_equal(seen[flow->nat_port]++, 0);
	}
	src.port = 65535;
	assert_null(flow_table_add(&table, &src, &dst, 1));
	flow = flow_table_oldest(&table, FLOW_STATE_OPENING);
	assert_int_equal(flow->src.port, 0);
	freed = flow->nat_port;
	flow_table_set_state(&table, flow, FLOW_STATE_FREE, 1);
	for (unsigned int i = LIMIT_FLOWS; i < FLOW_PORTS; i++) {
		flow = flow_table_add(&table, &src, &dst, 1);
		assert_non_null(flow);
		assert_int_not_equal(flow->nat_port, freed);
		flow_table_set_state(&table, flow, FLOW_STATE_FREE, 1);
	}
	flow = flow_table_add(&table, &src, &dst, 1);
	assert_int_equal(flow->nat_port, freed);
	while ((flow = flow_table_oldest(&table, FLOW_STATE_OPENING)))
		flow_table_set_state(&table, flow, FLOW_STATE_FREE, 1);
	assert_int_equal(flow_table_count(&table), 0);
	flow_table_done(&table);
}

static void lists_keep_the_order_of_entry(void **state)
{
	struct ip_endpoint src = endpoint("10.0.0.1", 1), dst = endpoint("10.244.0.2", 80);
	struct flow_table table;
	struct flow *flows[3];

	(void)state;
	flow_table_init(&table);
	for (unsigned int i = 0; i < 3; i++) {
		src.port = (uint16_t)(i + 1);
		flows[i] = flow_table_add(&table, &src, &dst, i);
		flow_table_set_state(&table, flows[i], FLOW_STATE_HANDSHAKE, i);
		flow_table_set_state(&table, flows[i], FLOW_STATE_LINGER, i);
	}
	flow_table_set_state(&table, flows[0], FLOW_STATE_LINGER, 9);
	assert_ptr_equal(flow_table_oldest(&table, FLOW_STATE_LINGER), flows[1]);
	flow_table_set_state(&table, flows[1], FLOW_STATE_FREE, 9);
	flow_table_set_state(&table, flows[2], FLOW_STATE_FREE, 9);
	assert_ptr_equal(flow_table_oldest(&table, FLOW_STATE_LINGER), flows[0]);
	assert_int_equal(flows[0]->since_ms, 9);
	assert_null(flow_table_oldest(&table, FLOW_STATE_HANDSHAKE));
	flow_table_done(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_by_each_key),
		cmocka_unit_test(stale_ids_are_recognised),
		cmocka_unit_test(fills_up_and_drains),
		cmocka_unit_test(lists_keep_the_order_of_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
