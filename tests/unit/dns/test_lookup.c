/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "core/alloc.h"
#include "core/limits.h"
#include "dns/cache.h"
#include "dns/lookup.h"
#include "dns/resolver.h"

#define WAITERS 3

struct world {
	uv_loop_t loop;
	struct dns_lookups *lookups;
	struct dns_query *query; /* the last one sent */
	uint8_t question[512];
	size_t question_len;
	unsigned int sent;
	int send_result;
	enum { LATER, AT_ONCE } answering;
	struct dns_waiter waiters[WAITERS];
	unsigned int answered, failed;
};

/* The question turned into an answer: rcode, and a SOA with that TTL. */
static size_t make_answer(
	const struct world *world, enum dns_rcode rcode, uint8_t ttl, uint8_t *out)
{
	static const uint8_t soa[] = {0, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0, 0, 0, 0, 1, 0, 0, 0,
		1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0};
	size_t question_end = world->question_len - 11; /* without its OPT */

	memcpy(out, world->question, question_end);
	out[2] |= 0x80;
	out[3] = (uint8_t)rcode;
	out[9] = 1;
	out[11] = 0;
	memcpy(out + question_end, soa, sizeof(soa));
	out[question_end + 8] = ttl;
	return question_end + sizeof(soa);
}

static void answer(struct world *world, enum dns_rcode rcode, uint8_t ttl)
{
	uint8_t msg[600];
	size_t len = make_answer(world, rcode, ttl, msg);

	dns_query_answer(world->query, msg, len);
}

static int on_send(void *user, struct dns_query *query, const uint8_t *msg, size_t len)
{
	struct world *world = user;

	world->sent++;
	if (world->send_result < 0)
		return world->send_result;
	assert_true(len <= sizeof(world->question));
	memcpy(world->question, msg, len);
	world->question_len = len;
	world->query = query;
	if (world->answering == AT_ONCE)
		answer(world, DNS_NXDOMAIN, 5);
	return 0;
}

static void on_done(
	void *user, const uint8_t *msg, size_t len, const struct dns_answer_facts *facts)
{
	struct world *world = user;

	assert_int_equal(msg == NULL, facts == NULL);
	assert_int_equal(msg == NULL, len == 0);
	if (msg)
		world->answered++;
	else
		world->failed++;
}

static int set_up(void **state)
{
	struct world *world = XNEW(struct world);

	(void)uv_loop_init(&world->loop);
	world->lookups = dns_lookups_new(&world->loop, LIMIT_DNS_TIMEOUT_MS, on_send, world);
	for (unsigned int i = 0; i < WAITERS; i++)
		world->waiters[i] = (struct dns_waiter){.on_done = on_done, .user = world};
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	dns_lookups_free(world->lookups);
	(void)uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	free(world);
	return 0;
}

static int ask(struct world *world, unsigned int waiter)
{
	return dns_lookup(world->lookups, "web.shop.svc.cluster.local", 1, &world->waiters[waiter]);
}

static void shares_what_is_under_way(void **state)
{
	struct world *world = *state;

	for (unsigned int i = 0; i < WAITERS; i++)
		assert_int_equal(ask(world, i), 0);
	assert_int_equal(world->sent, 1);
	dns_lookup_cancel(&world->waiters[1]);
	answer(world, DNS_NXDOMAIN, 5);
	assert_int_equal(world->answered, 2);
	/* And from then on from the cache. */
	assert_int_equal(ask(world, 1), 1);
	assert_int_equal(world->answered, 3);
	assert_int_equal(world->sent, 1);
}

static int ask_other_type(struct world *world)
{
	return dns_lookup(world->lookups, "web.shop.svc.cluster.local", 28, &world->waiters[1]);
}

static void types_are_apart(void **state)
{
	struct world *world = *state;

	assert_int_equal(ask(world, 0), 0);
	answer(world, DNS_NOERROR, 5);
	assert_int_equal(ask_other_type(world), 0);
	answer(world, DNS_NOERROR, 5);
	assert_int_equal(ask(world, 0), 1);
	assert_int_equal(ask_other_type(world), 1);
	assert_int_equal(world->sent, 2);
	assert_int_equal(world->answered, 4);
}

static void what_does_not_exist_has_no_type(void **state)
{
	struct world *world = *state;

	assert_int_equal(ask(world, 0), 0);
	answer(world, DNS_NXDOMAIN, 5);
	assert_int_equal(ask_other_type(world), 1);
	assert_int_equal(world->sent, 1);
	assert_int_equal(world->answered, 2);
	/* Not of a name above or below it. */
	assert_int_equal(
		dns_lookup(world->lookups, "shop.svc.cluster.local", 1, &world->waiters[2]), 0);
	answer(world, DNS_NXDOMAIN, 5);
	dns_lookups_forget(world->lookups, "web.shop.svc.cluster.local");
	assert_int_equal(ask_other_type(world), 0);
	answer(world, DNS_NOERROR, 5);
	assert_int_equal(ask(world, 0), 0);
	answer(world, DNS_NOERROR, 5);
}

static void keeps_no_failure(void **state)
{
	struct world *world = *state;

	assert_int_equal(ask(world, 0), 0);
	answer(world, DNS_SERVFAIL, 5);
	assert_int_equal(world->answered, 1);
	assert_int_equal(ask(world, 0), 0);
	answer(world, DNS_NXDOMAIN, 0);
	assert_int_equal(ask(world, 0), 0);
	dns_query_answer(world->query, NULL, 0);
	assert_int_equal(world->failed, 1);
	assert_int_equal(world->sent, 3);
}

static void refuses_answers_to_other_questions(void **state)
{
	struct world *world = *state;

	assert_int_equal(ask(world, 0), 0);
	world->question[13] = 'x';
	answer(world, DNS_NXDOMAIN, 5);
	assert_int_equal(world->failed, 1);
	assert_int_equal(ask(world, 0), 0);
	dns_query_answer(world->query, (const uint8_t *)"short", 5);
	assert_int_equal(world->failed, 2);
}

static void survives_a_refusal(void **state)
{
	struct world *world = *state;

	world->send_result = -ENOTCONN;
	assert_int_equal(ask(world, 0), -ENOTCONN);
	assert_int_equal(world->answered + world->failed, 0);
	assert_null(world->waiters[0].query);
	assert_int_equal(dns_lookup(world->lookups, "bad..name", 1, &world->waiters[0]), -EINVAL);
}

static void bounds_what_is_under_way(void **state)
{
	struct world *world = *state;
	static struct dns_query *queries[LIMIT_DNS_INFLIGHT];
	static struct dns_waiter waiters[LIMIT_DNS_INFLIGHT];
	char name[64];

	for (unsigned int i = 0; i < LIMIT_DNS_INFLIGHT; i++) {
		waiters[i] = world->waiters[0];
		(void)snprintf(name, sizeof(name), "n%u.shop.svc.cluster.local", i);
		assert_int_equal(dns_lookup(world->lookups, name, 1, &waiters[i]), 0);
		queries[i] = world->query;
	}
	assert_int_equal(ask(world, 0), -ENOBUFS);
	for (unsigned int i = 0; i < LIMIT_DNS_INFLIGHT; i++)
		dns_query_answer(queries[i], NULL, 0);
	assert_int_equal(world->failed, LIMIT_DNS_INFLIGHT);
	assert_int_equal(ask(world, 0), 0);
	dns_query_answer(world->query, NULL, 0);
}

static void takes_answers_after_its_end(void **state)
{
	struct world *world = *state;

	assert_int_equal(ask(world, 0), 0);
	dns_lookups_free(world->lookups);
	answer(world, DNS_NXDOMAIN, 5);
	assert_int_equal(world->answered + world->failed, 0);
	world->lookups = NULL;
}

static void cache_forgets(void **state)
{
	const struct dns_answer_facts facts = {.rcode = DNS_NXDOMAIN, .ttl_s = 3, .negative = true};
	struct dns_answer_facts got;
	struct dns_cache *cache = dns_cache_new(4000);
	uint8_t msg[500] = "answer";
	char key[16];
	size_t len;

	(void)state;
	dns_cache_put(cache, "a/1", msg, 6, &facts, 1000);
	assert_non_null(dns_cache_get(cache, "a/1", 999, &len, &got));
	assert_int_equal(len, 6);
	assert_int_equal(got.ttl_s, 3);
	assert_null(dns_cache_get(cache, "a/28", 0, &len, &got));
	assert_null(dns_cache_get(cache, "a/1", 1000, &len, &got));
	assert_int_equal(dns_cache_bytes(cache), 0);
	for (unsigned int i = 0; i < 100; i++) {
		(void)snprintf(key, sizeof(key), "%u/1", i);
		dns_cache_put(cache, key, msg, sizeof(msg), &facts, 1000);
		assert_true(dns_cache_bytes(cache) <= 4000);
	}
	assert_null(dns_cache_get(cache, "0/1", 0, &len, &got));
	assert_non_null(dns_cache_get(cache, "99/1", 0, &len, &got));
	dns_cache_put(cache, "99/1", msg, 6, &facts, 1000);
	assert_non_null(dns_cache_get(cache, "99/1", 0, &len, &got));
	assert_int_equal(len, 6);
	dns_cache_free(cache);
}

/* A Service was made: what was heard about its name before does not count any more. */
static void forgets_a_name(void **state)
{
	struct world *world = *state;
	struct dns_query *before;
	uint8_t old[600];
	size_t old_len;

	world->answering = AT_ONCE;
	assert_int_equal(ask(world, 0), 0);
	assert_int_equal(
		dns_lookup(world->lookups, "db.shop.svc.cluster.local", 1, &world->waiters[1]), 0);
	dns_lookups_forget(world->lookups, "eb.shop.svc.cluster.local");
	assert_int_equal(ask(world, 0), 1);
	dns_lookups_forget(world->lookups, "shop.svc.cluster.local");
	world->answering = LATER;
	assert_int_equal(ask(world, 0), 0);
	assert_int_equal(world->sent, 3);

	/* One that is under way meanwhile answers who waits for it, and nobody else. */
	before = world->query;
	old_len = make_answer(world, DNS_NXDOMAIN, 5, old);
	dns_lookups_forget(world->lookups, "web.shop.svc.cluster.local");
	assert_int_equal(ask(world, 1), 0);
	assert_int_equal(world->sent, 4);
	world->answered = 0;
	dns_query_answer(before, old, old_len);
	assert_int_equal(world->answered, 1);
	assert_int_equal(ask(world, 2), 0);
	assert_int_equal(world->sent, 4);
	answer(world, DNS_NXDOMAIN, 5);
	assert_int_equal(world->answered, 3);
	dns_lookups_forget(world->lookups, NULL);
	assert_int_equal(ask(world, 0), 0);
	assert_int_equal(world->sent, 5);
	answer(world, DNS_NXDOMAIN, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(shares_what_is_under_way, set_up, tear_down),
		cmocka_unit_test_setup_teardown(types_are_apart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_does_not_exist_has_no_type, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keeps_no_failure, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			refuses_answers_to_other_questions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(survives_a_refusal, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bounds_what_is_under_way, set_up, tear_down),
		cmocka_unit_test_setup_teardown(takes_answers_after_its_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(forgets_a_name, set_up, tear_down),
		cmocka_unit_test(cache_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
