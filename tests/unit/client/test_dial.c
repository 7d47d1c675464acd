/* SPDX-License-Identifier: Apache-2.0 */
/* What the program on the laptop sees of a target that was not reached: docs/tunnel.md, 5.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/userd/dial.h"
#include "tunnel/h2.h"
#include "tunnel/reason.h"

static void every_reason_has_its_verdict(void **state UNUSED)
{
	static const struct {
		const char *reason;
		enum flow_verdict verdict;
	} cases[] = {
		{"refused", FLOW_REFUSED},
		{"host-unreachable", FLOW_HOST_UNREACHABLE},
		{"net-unreachable", FLOW_NET_UNREACHABLE},
		{"timed-out", FLOW_SILENT},
		{"name-not-found", FLOW_HOST_UNREACHABLE},
		{"forbidden", FLOW_PROHIBITED},
		{"overloaded", FLOW_SILENT},
		{"internal", FLOW_REFUSED},
		{"no-client", FLOW_SILENT},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct h2_header header = {REASON_HEADER, cases[i].reason};
		const struct h2_head head = {.status = 500, .headers = &header, .header_count = 1};

		assert_int_equal(dial_verdict(&head), cases[i].verdict);
	}
}

static void a_status_alone_says_nothing(void **state UNUSED)
{
	const struct h2_head head = {.status = 404};

	assert_int_equal(dial_verdict(&head), FLOW_SILENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_reason_has_its_verdict),
		cmocka_unit_test(a_status_alone_says_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
