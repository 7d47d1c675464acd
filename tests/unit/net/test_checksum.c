/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/checksum.h"

/* RFC 1071 section 3's example, and an odd length. */
static void known_sums(void **state)
{
	static const uint8_t example[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	static const uint8_t odd[] = {0x12, 0x34, 0x56};
	static const uint8_t sum[] = {0xdd, 0xf2}, odd_sum[] = {0x68, 0x34};
	uint16_t folded = checksum_fold(checksum_add(0, example, sizeof(example)));

	(void)state;
	assert_memory_equal(&folded, sum, sizeof(sum));
	folded = checksum_fold(checksum_add(0, odd, sizeof(odd)));
	assert_memory_equal(&folded, odd_sum, sizeof(odd_sum));
	assert_int_equal(checksum_finish(0), 0xffff);
}

/* However the bytes are cut into even pieces and aligned, the sum is that of the 16-bit words. */
static void pieces_and_alignment(void **state)
{
	uint8_t bytes[1501 + 8];
	uint32_t reference;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 + 0xc7);
	for (size_t offset = 0; offset < 8; offset++) {
		for (size_t len = 0; len <= 1501; len += 1 + len / 8) {
			const uint8_t *data = bytes + offset;
			size_t half = len / 4 * 2;
			uint16_t expected, word = 0;

			reference = 0;
			for (size_t i = 0; i < len; i += 2) {
				word = 0;
				memcpy(&word, data + i, len - i < 2 ? 1 : 2);
				reference += word;
			}
			while (reference >> 16)
				reference = (reference & 0xffff) + (reference >> 16);
			expected = (uint16_t)reference;
			assert_int_equal(checksum_fold(checksum_add(0, data, len)), expected);
			assert_int_equal(checksum_fold(checksum_add(checksum_add(0, data, half),
						 data + half, len - half)),
				expected);
		}
	}
}

/* Updating a checksum gives what computing it anew would; both zeros mean the same (RFC 1624). */
static void adjusting_equals_recomputing(void **state)
{
	static const uint8_t replacements[][4] = {{0, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff},
		{10, 244, 0, 2}, {198, 18, 0, 1}, {0x55, 0x85, 0, 0}};
	uint8_t bytes[24];

	(void)state;
	for (unsigned int round = 0; round < 256; round++) {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(round * 7 + i * i * 13);
		for (size_t i = 0; i < sizeof(replacements) / sizeof(replacements[0]); i++) {
			uint16_t before = checksum_finish(checksum_add(0, bytes, sizeof(bytes)));
			uint16_t old_sum = checksum_fold(checksum_add(0, bytes + 8, 4));
			uint16_t new_sum = checksum_fold(checksum_add(0, replacements[i], 4));
			uint16_t delta = checksum_delta(old_sum, new_sum), after;

			memcpy(bytes + 8, replacements[i], 4);
			after = checksum_adjust(before, delta);
			assert_int_equal(
				checksum_fold(checksum_add(after, bytes, sizeof(bytes))), 0xffff);
			assert_int_equal(
				checksum_fold((uint64_t)checksum_adjust(after, (uint16_t)~delta) +
					      (uint16_t)~before),
				0xffff);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_sums),
		cmocka_unit_test(pieces_and_alignment),
		cmocka_unit_test(adjusting_equals_recomputing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
