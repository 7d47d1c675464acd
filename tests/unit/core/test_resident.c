/* SPDX-License-Identifier: Apache-2.0 */
/* When a process that is larger than an idle one has to be is made small. */
#include "core/resident.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#include "core/attr.h"

/* More than an idle daemon has. */
static char in_use[8 << 20];

/* Uses the processor for longer than an idle daemon does from one tick to the next. */
static void work(void)
{
	const clock_t end = clock() + CLOCKS_PER_SEC / 20;

	while (clock() < end)
		;
}

/* What a trim of the sanitizers' own memory costs is not the point here. */
static void tick_idle(struct resident *resident)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	resident->cpu_us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
			   (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
	resident_tick(resident);
}

static void test_not_while_it_works(void **state UNUSED)
{
	struct resident resident = {.cpu_us = 0};

	memset(in_use, 1, sizeof(in_use));
	for (int i = 0; i < 3; i++) {
		work();
		resident_tick(&resident);
		assert_int_equal(resident.pause, 0);
	}
	tick_idle(&resident);
	assert_int_equal(resident.pause, 1);
}

static void test_what_was_done_before_does_not_count(void **state UNUSED)
{
	struct resident resident = {.cpu_us = 0};

	memset(in_use, 1, sizeof(in_use));
	work();
	resident_begin(&resident);
	resident_tick(&resident);
	assert_int_equal(resident.pause, 1);
}

static void test_what_stays_large_is_left_in_peace_for_longer(void **state UNUSED)
{
	static const unsigned int pauses[] = {1, 2, 2, 4, 4, 4, 4, 4, 4, 4, 4};
	struct resident resident = {.cpu_us = 0};

	memset(in_use, 1, sizeof(in_use));
	for (size_t i = 0; i < ARRAY_SIZE(pauses); i++) {
		tick_idle(&resident);
		assert_int_equal(resident.pause, pauses[i]);
	}
	work();
	resident_tick(&resident);
	tick_idle(&resident);
	assert_int_equal(resident.pause, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_while_it_works),
		cmocka_unit_test(test_what_was_done_before_does_not_count),
		cmocka_unit_test(test_what_stays_large_is_left_in_peace_for_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
