/* SPDX-License-Identifier: Apache-2.0 */
/* Points in time as the API server and credential plugins write them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/utc.h"

#define NOON 1769860800 /* of 2026-01-31 */

static void parses(void **state UNUSED)
{
	static const struct {
		const char *text;
		int r;
		time_t when;
	} cases[] = {
		{"2026-01-31T12:00:00Z", 0, NOON},
		{"2026-01-31T12:00:00z", 0, NOON},
		{"2026-01-31T12:00:00.9Z", 0, NOON},
		{"2026-01-31T12:00:00.123456789Z", 0, NOON},
		{"2026-01-31T14:00:00+02:00", 0, NOON},
		{"2026-01-31T08:30:00-03:30", 0, NOON},
		{"2026-01-31T14:00:00.123456+02:00", 0, NOON},
		{"1970-01-01T00:00:00Z", 0, 0},
		{"", -EINVAL, -1},
		{"tomorrow", -EINVAL, -1},
		{"2026-01-31T12:00:00", -EINVAL, -1},
		{"2026-01-31T12:00:00.", -EINVAL, -1},
		{"2026-01-31T12:00:00.Z", -EINVAL, -1},
		{"2026-01-31T12:00:00Zulu", -EINVAL, -1},
		{"2026-01-31T12:00:00+2:00", -EINVAL, -1},
		{"2026-01-31T12:00:00+02:00:00", -EINVAL, -1},
		{"2026-01-31T12:00:00+24:00", -EINVAL, -1},
		{"2026-01-31T12:00:00+02:60", -EINVAL, -1},
		{"2026-01-31 12:00:00Z", -EINVAL, -1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		time_t when = -1;

		if (utc_parse(cases[i].text, &when) != cases[i].r || when != cases[i].when)
			fail_msg("\"%s\" is read as %lld", cases[i].text, (long long)when);
	}
}

static void formats(void **state UNUSED)
{
	char text[UTC_TEXT_BYTES];

	assert_string_equal(utc_format(NOON, text), "2026-01-31T12:00:00Z");
	assert_string_equal(utc_format(0, text), "1970-01-01T00:00:00Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses),
		cmocka_unit_test(formats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
