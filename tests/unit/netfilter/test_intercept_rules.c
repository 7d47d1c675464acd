/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In a user and network namespace of its own: the kernel's own judgement, no privilege needed.
 * What the rules do to packets is in tests/netns/test_agent_engine.py.
 */
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/err.h"
#include "netfilter/intercept_rules.h"
#include "netfilter/nft.h"

static const struct intercept_port web = {8080, 40000, IPPROTO_TCP, false};
static const struct intercept_port probed = {8081, 40000, IPPROTO_TCP, true};
static const struct intercept_port dns = {53, 40053, IPPROTO_UDP, false};

static const struct ip_addr node4 = {AF_INET, {192, 0, 2, 1}};
static const struct ip_addr node6 = {AF_INET6, {0x20, 0x01, 0x0d, 0xb8, [15] = 1}};

struct owner {
	struct nft *nft;
	struct intercept_rules *rules;
};

static struct owner make_owner(void)
{
	struct owner owner = {.nft = NULL};

	assert_int_equal(nft_open(&owner.nft, NULL), 0);
	owner.rules = intercept_rules_new(owner.nft);
	return owner;
}

static void free_owner(struct owner *owner)
{
	intercept_rules_free(owner->rules);
	nft_free(owner->nft);
}

static void set(struct owner *owner, const struct intercept_want *want)
{
	struct err err = ERR_INIT;

	if (intercept_rules_set(owner->rules, want, &err) < 0)
		fail_msg("%s", err.msg);
}

static void set_replace_end(void **state)
{
	const struct intercept_want none = {.port_count = 0};
	const struct intercept_want one = {.ports = {web}, .port_count = 1};
	const struct intercept_want all = {
		.ports = {web, probed, dns, web},
		.port_count = 4,
		.nodes = {node4, node6, node4},
		.node_count = 3,
	};
	const struct intercept_want udp = {.ports = {dns}, .port_count = 1};
	struct intercept_want moved = all;
	struct owner owner = make_owner();

	(void)state;
	moved.ports[0].listener = moved.ports[1].listener = moved.ports[3].listener = 40001;
	set(&owner, &none);
	for (int i = 0; i < 3; i++) {
		set(&owner, &one);
		set(&owner, &all);
		set(&owner, &udp);
		set(&owner, &all);
		set(&owner, &moved);
		set(&owner, &none);
	}
	free_owner(&owner);
}

static void full_sets_fit(void **state)
{
	struct intercept_want want = {.port_count = INTERCEPT_PORTS, .node_count = INTERCEPT_NODES};
	struct owner owner = make_owner();

	(void)state;
	for (uint16_t i = 0; i < INTERCEPT_PORTS; i++) {
		want.ports[i] = i % 2 == 0 ? probed : dns;
		want.ports[i].port = (uint16_t)(1000 + i);
		want.ports[i].listener = i % 2 == 0 ? 40000 : (uint16_t)(50000 + i);
	}
	for (uint8_t i = 0; i < INTERCEPT_NODES; i++) {
		want.nodes[i] = i % 2 == 0 ? node4 : node6;
		want.nodes[i].bytes[3] = i;
	}
	set(&owner, &want);
	set(&owner, &want);
	free_owner(&owner);
}

static void too_many_are_refused(void **state)
{
	struct intercept_want want = {.port_count = INTERCEPT_PORTS + 1};
	struct owner owner = make_owner();
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(intercept_rules_set(owner.rules, &want, &err), -E2BIG);
	free_owner(&owner);
}

/* One table of that name at a time, gone with its owner. */
static void table_has_one_owner(void **state)
{
	const struct intercept_want one = {.ports = {web}, .port_count = 1};
	struct owner first = make_owner(), second = make_owner();
	struct err err = ERR_INIT;

	(void)state;
	set(&first, &one);
	assert_int_equal(intercept_rules_set(second.rules, &one, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "another process has table inet telepresence"));
	set(&first, &one);
	free_owner(&first);
	set(&second, &one);
	free_owner(&second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_replace_end),
		cmocka_unit_test(full_sets_fit),
		cmocka_unit_test(too_many_are_refused),
		cmocka_unit_test(table_has_one_owner),
	};

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
		perror("unshare: this test wants user namespaces");
		return EXIT_FAILURE;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
