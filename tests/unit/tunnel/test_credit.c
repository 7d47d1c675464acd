/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/credit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/attr.h"
#include "core/limits.h"

#define RTT_US 20000

/* Uses up one window after the other, each in `took_us`; the window in the end. */
static size_t run(struct credit_pool *pool, struct credit *credit, size_t window, uint64_t took_us)
{
	uint64_t now_us = 1000000;

	credit->since_us = now_us;
	for (int round = 0; round < 20; round++) {
		now_us += took_us;
		window += credit_grow(pool, credit, window, window, RTT_US, now_us);
	}
	return window;
}

static void test_grows_when_the_window_is_in_the_way(void **state)
{
	struct credit_pool pool;
	struct credit slow = {0}, fast = {0};

	(void)state;
	credit_pool_init(&pool);
	assert_int_equal(run(&pool, &slow, LIMIT_STREAM_FIRST_BYTES, 4 * RTT_US + 1),
		LIMIT_STREAM_FIRST_BYTES);
	assert_int_equal(pool.budget, CREDIT_BUDGET_BYTES);
	assert_int_equal(
		run(&pool, &fast, LIMIT_STREAM_FIRST_BYTES, RTT_US), LIMIT_STREAM_WINDOW_BYTES);
	assert_int_equal(pool.budget,
		CREDIT_BUDGET_BYTES - LIMIT_STREAM_WINDOW_BYTES + LIMIT_STREAM_FIRST_BYTES);
	(void)credit_end(&pool, &fast);
	assert_int_equal(pool.budget, CREDIT_BUDGET_BYTES);
}

/* A part of a window says nothing yet. */
static void test_counts_pieces(void **state)
{
	struct credit_pool pool;
	struct credit credit = {.since_us = 1};

	(void)state;
	credit_pool_init(&pool);
	for (int i = 0; i < 3; i++)
		assert_int_equal(credit_grow(&pool, &credit, 1000, 4000, 0, 2), 0);
	assert_int_equal(credit_grow(&pool, &credit, 1000, 4000, 0, 2), 4000);
	assert_int_equal(credit_grow(&pool, &credit, 1000, 8000, 0, 3), 0);
}

static void test_all_together_stay_within_the_budget(void **state)
{
	struct credit_pool pool;
	struct credit credits[64] = {0};
	size_t sum = 0;

	(void)state;
	credit_pool_init(&pool);
	for (size_t i = 0; i < ARRAY_SIZE(credits); i++)
		sum += run(&pool, &credits[i], LIMIT_STREAM_FIRST_BYTES, 1);
	assert_int_equal(pool.budget, 0);
	assert_int_equal(sum, CREDIT_BUDGET_BYTES + ARRAY_SIZE(credits) * LIMIT_STREAM_FIRST_BYTES);
	for (size_t i = 0; i < ARRAY_SIZE(credits); i++)
		(void)credit_end(&pool, &credits[i]);
	assert_int_equal(pool.budget, CREDIT_BUDGET_BYTES);
}

static void test_many_streams_begin_with_less(void **state)
{
	(void)state;
	assert_int_equal(credit_first(1), LIMIT_STREAM_FIRST_BYTES);
	for (size_t streams = 1; streams < LIMIT_STREAMS; streams *= 2) {
		assert_true(credit_first(streams) >= credit_first(2 * streams));
		assert_true(streams * credit_first(streams) <= CREDIT_BUDGET_BYTES ||
			    credit_first(streams) == 16384);
	}
}

/* What nobody reads holds back the connection in the end, and gives it free again. */
static void test_held_bytes_are_bounded(void **state)
{
	struct credit_pool pool;
	struct credit stalled = {0}, other = {0};

	(void)state;
	credit_pool_init(&pool);
	assert_int_equal(credit_came(&pool, &stalled, CREDIT_HELD_BYTES), CREDIT_HELD_BYTES);
	assert_int_equal(credit_came(&pool, &other, 1000), 0);
	assert_int_equal(credit_came(&pool, &stalled, 24), 0);
	assert_int_equal(credit_used(&pool, &other, 500), 0);
	assert_int_equal(credit_used(&pool, &stalled, 1000), 1024);
	assert_int_equal(credit_came(&pool, &other, 10), 10);
	/* More than is held is not counted twice. */
	assert_int_equal(credit_used(&pool, &other, SIZE_MAX), 0);
	assert_int_equal(credit_end(&pool, &stalled), 0);
	assert_int_equal(pool.held, 0);
}

static void test_the_end_of_a_stalled_stream_frees_the_connection(void **state)
{
	struct credit_pool pool;
	struct credit stalled = {0};

	(void)state;
	credit_pool_init(&pool);
	assert_int_equal(credit_came(&pool, &stalled, CREDIT_HELD_BYTES + 7), 0);
	assert_int_equal(credit_end(&pool, &stalled), CREDIT_HELD_BYTES + 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grows_when_the_window_is_in_the_way),
		cmocka_unit_test(test_counts_pieces),
		cmocka_unit_test(test_all_together_stay_within_the_budget),
		cmocka_unit_test(test_many_streams_begin_with_less),
		cmocka_unit_test(test_held_bytes_are_bounded),
		cmocka_unit_test(test_the_end_of_a_stalled_stream_frees_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
