/* SPDX-License-Identifier: Apache-2.0 */
#include "core/nofile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

static void test_soft_becomes_hard(void **state)
{
	struct rlimit limit, after;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(nofile_raise(), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
	assert_int_equal(after.rlim_cur, limit.rlim_max);
	assert_int_equal(after.rlim_max, limit.rlim_max);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_soft_becomes_hard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
