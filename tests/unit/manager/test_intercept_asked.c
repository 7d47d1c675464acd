/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of a pod's agents, whatever becomes of the answers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/err.h"
#include "manager/intercept_asked.h"

static const struct err none = ERR_INIT;
static const struct err cut = {-ECONNRESET, ERR_UNREACHABLE, "cut"};
static const struct err conflict = {-EAGAIN, ERR_CONFLICT, "changed meanwhile"};
static const struct err exists = {-EEXIST, ERR_CONFLICT, "has one of that name"};
static const struct err forbidden = {-EPERM, ERR_PERMISSION, "forbidden"};

static void answered_numbers_count_up(void **state)
{
	struct asked asked = {.number = 0};

	(void)state;
	assert_int_equal(asked_next(&asked, 0), 1);
	assert_int_equal(asked_answered(&asked, 0, &none), ASKED_OURS);
	/* The watch is behind. */
	assert_int_equal(asked_next(&asked, 0), 2);
	assert_int_equal(asked_answered(&asked, 0, &none), ASKED_OURS);
	/* Somebody else's. */
	assert_int_equal(asked_next(&asked, 7), 8);
}

static void a_lost_answer_is_asked_for_by_the_same_name(void **state)
{
	struct asked asked = {.number = 0};

	(void)state;
	assert_int_equal(asked_next(&asked, 3), 4);
	asked.token[0] = 1;
	assert_int_equal(asked_answered(&asked, -ECONNRESET, &cut), ASKED_LOST);
	assert_int_equal(asked_next(&asked, 3), 4);
	assert_int_equal(asked_answered(&asked, -EAGAIN, &conflict), ASKED_LOST);
	assert_int_equal(asked_next(&asked, 3), 4);
	assert_int_equal(asked.token[0], 1);
	/* It was done the first time. */
	assert_int_equal(asked_answered(&asked, -EEXIST, &exists), ASKED_OURS);
	assert_false(asked.unanswered);
	assert_int_equal(asked.confirmed, 4);
	assert_int_equal(asked.token[0], 0);
	assert_int_equal(asked_next(&asked, 3), 5);
}

static void the_pod_may_answer_instead(void **state)
{
	struct asked asked = {.number = 0};

	(void)state;
	assert_false(asked_seen(&asked, 1));
	assert_int_equal(asked_next(&asked, 1), 2);
	assert_int_equal(asked_answered(&asked, -ECONNREFUSED, &cut), ASKED_LOST);
	assert_false(asked_seen(&asked, 1));
	assert_true(asked_seen(&asked, 2));
	assert_false(asked_seen(&asked, 2));
	assert_int_equal(asked_next(&asked, 2), 3);
}

static void another_managers_is_no_second_one(void **state)
{
	struct asked asked = {.number = 0};

	(void)state;
	assert_int_equal(asked_next(&asked, 0), 1);
	assert_int_equal(asked_answered(&asked, -EEXIST, &exists), ASKED_FOREIGN);
	assert_int_equal(asked.confirmed, 1);
}

static void refusals_come_later_and_later(void **state)
{
	static const unsigned int pauses[] = {1000, 2000, 4000, 8000, 10000, 10000};
	struct asked asked = {.number = 0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pauses); i++) {
		assert_int_equal(asked_next(&asked, 0), 1);
		assert_int_equal(asked_answered(&asked, -EPERM, &forbidden), ASKED_REFUSED);
		assert_int_equal(asked_pause_ms(&asked), pauses[i]);
	}
	assert_int_equal(asked_answered(&asked, 0, &none), ASKED_OURS);
	assert_int_equal(asked.refusals, 0);
	/* What is refused now may have been done before. */
	assert_int_equal(asked_next(&asked, 0), 2);
	assert_int_equal(asked_answered(&asked, -ECONNRESET, &cut), ASKED_LOST);
	assert_int_equal(asked_answered(&asked, -EPERM, &forbidden), ASKED_REFUSED);
	assert_true(asked_seen(&asked, 2));
}

static void nobody_waits(void **state)
{
	struct asked asked = {.number = 0};

	(void)state;
	assert_int_equal(asked_next(&asked, 0), 1);
	assert_int_equal(asked_answered(&asked, -ECONNRESET, &cut), ASKED_LOST);
	asked_forget(&asked);
	assert_false(asked_seen(&asked, 1));
	assert_int_equal(asked_next(&asked, 1), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answered_numbers_count_up),
		cmocka_unit_test(a_lost_answer_is_asked_for_by_the_same_name),
		cmocka_unit_test(the_pod_may_answer_instead),
		cmocka_unit_test(another_managers_is_no_second_one),
		cmocka_unit_test(refusals_come_later_and_later),
		cmocka_unit_test(nobody_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
