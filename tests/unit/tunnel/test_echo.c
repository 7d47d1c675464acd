/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "tunnel/echo.h"

#include <netinet/in.h>

static void request(void **state)
{
	static const uint8_t datagram[] = {0x12, 0x34, 0x00, 0x07, 'a', 'b'};
	static const uint8_t v4[] = {8, 0, 0, 0, 0, 0, 0x00, 0x07, 'a', 'b'};
	uint8_t out[16];
	uint16_t ident = 0;

	(void)state;
	assert_int_equal(
		echo_to_icmp(AF_INET, datagram, sizeof(datagram), out, &ident), sizeof(v4));
	assert_memory_equal(out, v4, sizeof(v4));
	assert_int_equal(ident, 0x1234);
	assert_int_equal(echo_to_icmp(AF_INET6, datagram, 4, out, &ident), 8);
	assert_int_equal(out[0], 128);
	for (size_t len = 0; len < ECHO_HEADER_BYTES; len++)
		assert_int_equal(echo_to_icmp(AF_INET, datagram, len, out, &ident), -EINVAL);
}

static void reply(void **state)
{
	static const uint8_t expected[] = {0x12, 0x34, 0x00, 0x07, 'a', 'b'};
	uint8_t message[] = {0, 0, 0xca, 0xfe, 0x99, 0x99, 0x00, 0x07, 'a', 'b'};
	uint8_t v6[] = {129, 0, 0, 0, 0, 0, 0, 1};
	uint8_t *start = NULL;

	(void)state;
	assert_int_equal(echo_from_icmp(AF_INET, 0x1234, message, sizeof(message), &start),
		sizeof(expected));
	assert_memory_equal(start, expected, sizeof(expected));
	assert_int_equal(echo_from_icmp(AF_INET6, 1, v6, sizeof(v6), &start), 4);
	/* Another family's type, a request, an error, a short one. */
	assert_int_equal(echo_from_icmp(AF_INET, 1, v6, sizeof(v6), &start), -EINVAL);
	message[0] = 8;
	assert_int_equal(echo_from_icmp(AF_INET, 1, message, sizeof(message), &start), -EINVAL);
	message[0] = 3;
	assert_int_equal(echo_from_icmp(AF_INET, 1, message, sizeof(message), &start), -EINVAL);
	message[0] = 0;
	assert_int_equal(echo_from_icmp(AF_INET, 1, message, 7, &start), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request),
		cmocka_unit_test(reply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
