/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "tunnel/capsule.h"

struct seen {
	unsigned int count;
	size_t len;
	uint8_t last[CAPSULE_PAYLOAD_MAX_BYTES];
};

static void on_datagram(void *user, const uint8_t *payload, size_t len)
{
	struct seen *seen = user;

	seen->count++;
	seen->len = len;
	memcpy(seen->last, payload, len);
}

static struct seen seen;

/* Feeds it in pieces of `step` bytes. */
static int feed(const uint8_t *data, size_t len, size_t step)
{
	struct capsule_parser parser;
	int r = 0;

	seen = (struct seen){.count = 0};
	capsule_parser_init(&parser);
	for (size_t pos = 0; pos < len && r == 0; pos += step)
		r = capsule_parse(&parser, data + pos, MIN(step, len - pos), on_datagram, &seen);
	capsule_parser_done(&parser);
	return r;
}

static void round_trip(void **state)
{
	static const size_t sizes[] = {0, 1, 62, 63, 64, 16382, 16383, CAPSULE_PAYLOAD_MAX_BYTES};
	static uint8_t wire[CAPSULE_HEADER_MAX_BYTES + CAPSULE_PAYLOAD_MAX_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t header = capsule_header(wire, sizes[i]);

		for (size_t j = 0; j < sizes[i]; j++)
			wire[header + j] = (uint8_t)(j * 7);
		for (size_t step = 1; step < 70000; step *= 40) {
			assert_int_equal(feed(wire, header + sizes[i], step), 0);
			assert_int_equal(seen.count, 1);
			assert_int_equal(seen.len, sizes[i]);
			assert_memory_equal(seen.last, wire + header, sizes[i]);
		}
	}
}

static void others_are_skipped(void **state)
{
	static const uint8_t wire[] = {
		0x40, 0x37, 0x02, 'x', 'y', /* an unknown type of two bytes */
		0x00, 0x03, 0x02, 'n', 'o', /* a datagram of context 2 */
		0x00, 0x00, /* a datagram without a context */
		0x00, 0x40, 0x03, 0x00, 'o', 'k', /* a length in more bytes than it needs */
	};

	(void)state;
	for (size_t step = 1; step <= sizeof(wire); step++) {
		assert_int_equal(feed(wire, sizeof(wire), step), 0);
		assert_int_equal(seen.count, 1);
		assert_int_equal(seen.len, 2);
		assert_memory_equal(seen.last, "ok", 2);
	}
}

static void too_long_is_an_error(void **state)
{
	static const uint8_t long_datagram[] = {0x00, 0x80, 0x01, 0x00, 0x00, 0x00};
	static const uint8_t huge_datagram[] = {
		0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00};

	(void)state;
	assert_int_equal(feed(long_datagram, sizeof(long_datagram), 1), -EPROTO);
	assert_int_equal(feed(huge_datagram, sizeof(huge_datagram), 3), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(others_are_skipped),
		cmocka_unit_test(too_long_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
