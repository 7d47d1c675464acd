/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/attr.h"
#include "tunnel/sched.h"

#define BULKS 64

/* One turn of whoever is next: sends all it may, of `has` bytes. */
static struct sched_entry *serve(struct sched *sched, size_t has)
{
	struct sched_entry *entry = sched_next(sched);
	size_t quantum;

	assert_non_null(entry);
	while (has > 0 && (quantum = sched_quantum(sched)) > 0) {
		quantum = MIN(quantum, has);
		sched_sent(sched, quantum);
		has -= quantum;
	}
	if (has == 0)
		sched_remove(sched, entry);
	return entry;
}

static void test_bulk_in_turn(void **state)
{
	struct sched_entry bulk[BULKS] = {{.round = 0}};
	struct sched sched;

	(void)state;
	sched_init(&sched);
	for (int i = 0; i < BULKS; i++)
		sched_ready(&sched, &bulk[i]);
	for (int turn = 0; turn < 5 * BULKS; turn++)
		assert_ptr_equal(serve(&sched, SIZE_MAX), &bulk[turn % BULKS]);
}

/* A request goes out before the next quantum of bulk, each time; one that asks for more than its
 * share in a round stands in line. */
static void test_sparse_first(void **state)
{
	struct sched_entry bulk[BULKS] = {{.round = 0}}, request = {.round = 0};
	struct sched sched;
	int waited = 0;

	(void)state;
	sched_init(&sched);
	for (int i = 0; i < BULKS; i++)
		sched_ready(&sched, &bulk[i]);
	for (int turn = 0; turn < 3 * BULKS; turn++)
		serve(&sched, SIZE_MAX);
	for (int i = 0; i < 100; i++) {
		sched_ready(&sched, &request);
		assert_ptr_equal(serve(&sched, 100), &request);
		serve(&sched, SIZE_MAX);
	}
	for (int i = 0; i < 4; i++) {
		sched_ready(&sched, &request);
		while (serve(&sched, SCHED_QUANTUM_BYTES) != &request)
			sched_ready(&sched, &bulk[waited++ % BULKS]);
	}
	assert_true(waited >= BULKS);
}

static void test_alone(void **state)
{
	struct sched_entry alone = {.round = 0}, other = {.round = 0};
	struct sched sched;

	(void)state;
	sched_init(&sched);
	sched_ready(&sched, &alone);
	sched_ready(&sched, &alone);
	assert_ptr_equal(sched_next(&sched), &alone);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(sched_quantum(&sched), SIZE_MAX);
		sched_sent(&sched, 64 * 1024);
	}
	sched_ready(&sched, &other);
	assert_int_equal(sched_quantum(&sched), 0);
	assert_null(sched.turn);
	assert_ptr_equal(serve(&sched, 1), &other);
	assert_ptr_equal(serve(&sched, 1), &alone);
	assert_null(sched_next(&sched));
}

static void test_remove(void **state)
{
	struct sched_entry a = {.round = 0}, b = {.round = 0};
	struct sched sched;

	(void)state;
	sched_init(&sched);
	sched_ready(&sched, &a);
	sched_ready(&sched, &b);
	sched_remove(&sched, &a);
	assert_ptr_equal(sched_next(&sched), &b);
	sched_remove(&sched, &b);
	sched_remove(&sched, &b);
	assert_null(sched_next(&sched));
}

/* Half a millisecond of the path, within bounds. */
static void test_quantum_follows_the_rate(void **state)
{
	static const struct {
		uint64_t rate;
		size_t quantum;
	} rows[] = {
		{0, SCHED_QUANTUM_BYTES},
		{12500000, SCHED_QUANTUM_BYTES}, /* 100 Mbit/s */
		{60000000, 30000},
		{1000000000, SCHED_QUANTUM_MAX_BYTES},
		{UINT64_MAX, SCHED_QUANTUM_MAX_BYTES},
	};
	struct sched sched;
	struct sched_entry bulk[2] = {{.round = 0}};

	(void)state;
	sched_init(&sched);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		sched_set_rate(&sched, rows[i].rate);
		for (int turn = 0; turn < 4; turn++) {
			sched_ready(&sched, &bulk[0]);
			sched_ready(&sched, &bulk[1]);
			(void)sched_next(&sched);
			if (turn >= 2)
				assert_int_equal(sched_quantum(&sched), rows[i].quantum);
			sched_sent(&sched, SIZE_MAX);
			assert_int_equal(sched_quantum(&sched), 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bulk_in_turn),
		cmocka_unit_test(test_sparse_first),
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_quantum_follows_the_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
